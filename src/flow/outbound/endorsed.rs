//! What is kept of the body of a call that is looked at as a whole: it may hold a push-notification configuration, or ids of ours.

use crate::config::{Connection, CredentialsInMessages};
use crate::identity::Caller;
use std::fmt;
use std::rc::Rc;

/// Most bytes of a body that is read for credentials alone.
const MOST_SEARCHED: u64 = 1024 * 1024;

/// What is known of such a call.
#[derive(Debug, Default)]
pub(super) struct Endorsed {
    /// Who calls.
    pub caller: Option<Rc<Caller>>,
    pub body: Body,
    /// What is held of the body is not what came.
    pub is_altered: bool,
    /// It has been searched for credentials.
    pub is_searched: bool,
    /// Most bytes that are held.
    limit: u64,
}

/// The body of such a call.
#[derive(Default)]
pub(super) enum Body {
    /// It stays in the proxy.
    #[default]
    Unread,
    /// What has come of it. `is_wanted`: all of it is waited for.
    Held { bytes: Vec<u8>, is_wanted: bool },
    /// More of it has come than is held.
    TooLong,
    /// It goes on as it came.
    Fine,
    /// This goes on in its place.
    Changed(Vec<u8>),
}

impl fmt::Debug for Body {
    /// Without the bytes: a token is in them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unread => "Unread",
            Self::Held { .. } => "Held",
            Self::TooLong => "TooLong",
            Self::Fine => "Fine",
            Self::Changed(_) => "Changed",
        })
    }
}

impl Endorsed {
    /// What is known at first of a call through `connection`; nothing where no body is looked at as a whole.
    pub fn of(connection: &Connection) -> Option<Box<Self>> {
        let push = connection.push.as_ref().map(|push| push.max_body_bytes);
        let own = connection.user_passthrough().map(|own| own.max_body_bytes);
        let searched = (connection.credentials_in_messages == Some(CredentialsInMessages::Refuse)).then_some(MOST_SEARCHED);
        let limit = push.max(own).max(searched)?;
        Some(Box::new(Self { limit, ..Self::default() }))
    }

    /// Most bytes that are held.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// From now on the body is kept.
    pub fn begin(&mut self) {
        if matches!(self.body, Body::Unread) {
            self.body = Body::Held { bytes: Vec::new(), is_wanted: false };
        }
    }

    /// Whether the body is kept.
    pub const fn keeps(&self) -> bool {
        matches!(self.body, Body::Held { .. })
    }

    /// Whether all of the body is waited for.
    pub const fn waits(&self) -> bool {
        matches!(self.body, Body::Held { is_wanted: true, .. })
    }

    /// Whether the body is longer than what is kept.
    pub const fn is_too_long(&self) -> bool {
        matches!(self.body, Body::TooLong)
    }

    /// Whether the body has been looked at, all of it.
    pub const fn is_judged(&self) -> bool {
        matches!(self.body, Body::Fine | Body::Changed(_))
    }

    /// Keeps a part of the body, up to the limit.
    pub fn keep(&mut self, chunk: &[u8]) {
        if let Body::Held { bytes, .. } = &mut self.body {
            bytes.extend_from_slice(chunk);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.limit {
                self.body = Body::TooLong;
            }
        }
    }
}
