//! A call to a remote agent: what is known of it, and what it waits for.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Level};
use crate::flow::outbound::acting::AsUser;
use crate::flow::outbound::endorsed::Endorsed;
use crate::flow::outbound::leaving::{Call, CallKind};
use crate::flow::outbound::notice::Notice;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::connection::Connection;
use crate::flow::setup::destination::Destination;
use crate::flow::supply::seats::Seat;
use crate::identity::Caller;
use crate::protocol::envelope::Id;
use crate::protocol::{Operation, Version};
use secrecy::SecretString;
use std::rc::Rc;
use std::time::Duration;

/// No call needs more fetches than this: keys and an answer about its caller; a secret, keys, what the
/// token is made of, the token, the agent's card.
pub(super) const MOST_WAITS: usize = 10;

/// A call that has no credential yet, or whose head went out with one before its method was known (without `hold_headers`).
#[derive(Debug)]
pub struct Outbound {
    pub(super) connection: Rc<Connection>,
    pub(super) call: Call,
    pub(super) place: CallKind,
    /// What its head says, if it is a notification.
    pub(super) notice: Option<Box<Notice>>,
    /// What shows who calls, until that is known.
    pub(super) caller: Option<Box<Credentials<'static>>>,
    /// The caller's own token, if the credential is made of it.
    pub(super) subject: Result<Option<SecretString>, Reason>,
    /// What was waited for.
    pub(super) waited: Vec<Want>,
    /// What is waited for now; nothing before the first time.
    pub(super) pause: Option<Pause>,
    /// One of the places that a connection has for those who wait for a fetch, once it does.
    pub(super) seat: Option<Rc<()>>,
    /// A place among those whose senders are not known yet.
    pub(super) strangers_seat: Option<Seat>,
    /// Reads the body of a JSON-RPC request: its method, and its id for a refusal.
    pub(super) reader: Option<Box<Reader>>,
    /// What becomes of a push-notification configuration, where such get tokens.
    pub(super) endorsed: Option<Box<Endorsed>>,
    /// What is found out of a call that goes as its user.
    pub(super) as_user: Option<Box<AsUser>>,
    /// The body is no JSON-RPC request; with the id to answer with.
    pub(super) wrong: Option<Box<(Denial, Id)>>,
    /// Bytes of the body that the proxy holds.
    pub(super) held: u64,
    /// Bytes that the client announced.
    pub(super) announced: Option<u64>,
    /// Nothing more comes of the body.
    pub(super) ended: bool,
    /// No body follows the head.
    pub(super) bodiless: bool,
    /// The version in force, once the head has gone out with it.
    pub(super) released: Option<Version>,
}

impl Outbound {
    pub(super) fn destination(&self) -> Destination {
        Destination::Connection(Rc::clone(&self.connection))
    }
}

#[derive(Debug)]
pub(super) enum Pause {
    Fetch(Want),
    /// The body, up to its method, or all of it.
    Method,
    /// Where the route leads. The credential is on the request already: this is what is left to do.
    Route(Box<Ready>),
}

/// A call whose credential is on it.
#[derive(Debug)]
pub(super) struct Ready {
    pub attached: Attached,
    pub version: Version,
    pub operation: Option<Operation>,
}

/// What was attached.
#[derive(Debug)]
pub(super) struct Attached {
    /// The headers.
    pub names: Vec<String>,
    /// It is in the query.
    pub in_query: bool,
    pub method: &'static str,
    pub origin: &'static str,
    pub age: Option<Duration>,
    pub token: Option<(Key, Rc<Token>)>,
    pub caller: Option<Rc<Caller>>,
}

/// A credential that went out; the answer tells what it was worth.
#[derive(Debug)]
pub struct Sent {
    pub(super) connection: Rc<Connection>,
    pub(super) method: &'static str,
    pub(super) token: Option<(Key, Rc<Token>)>,
}

pub(super) fn denial(connection: &Connection, reason: Reason, cause: Option<String>, effects: &mut Vec<Effect>) -> Denial {
    effects.extend(cause.iter().map(|cause| Effect::Log(Level::Warn, cause.clone())));
    Denial::new(reason).at(&connection.name).because(cause)
}
