//! What is wanted of a flow whose user agrees on another device, how far that is, and what came of it.

use crate::credential::Failure;
use crate::credential::user::GrantKey;
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::standing::Standing;
use crate::flow::supply::vault::operation::{Session, Version};
use crate::wire::time::UnixTime;

/// What is wanted.
#[derive(Debug)]
pub enum Order {
    /// How it stands.
    Look,
    /// The same; where nothing is under way, a flow of this id begins, for the user whom the hint names, with this message.
    Begin {
        /// What tells the flow from others.
        id: [u8; 16],
        /// Whom the server is to ask, in CIBA.
        hint: String,
        /// What that user is shown, in CIBA.
        message: String,
    },
    /// This flow ends like this, if it is under way.
    End([u8; 16], Ended),
    /// The server says that the user of this flow has decided, which it knows by that: it may be asked at once.
    Ping([u8; 16], String),
    /// The grant that this flow gave is kept, sealed, until then.
    Keep([u8; 16], Vec<u8>, UnixTime),
}

/// What came of it.
#[derive(Debug)]
pub struct Seen {
    /// How it stands.
    pub standing: Standing,
    /// The latest flow has ended just now.
    pub is_over: bool,
    /// The grant is kept.
    pub is_kept: bool,
}

impl Seen {
    pub(super) const fn new(standing: Standing) -> Self {
        Self { standing, is_over: false, is_kept: false }
    }
}

/// One order that is worked on.
#[derive(Debug)]
pub(super) struct Work {
    pub key: GrantKey,
    pub connection: usize,
    pub order: Order,
    pub at: At,
    pub session: Option<Box<dyn Session>>,
    /// How often somebody else was quicker.
    pub attempts: u8,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum At {
    Reading,
    /// It is said that the server will be called.
    Claiming(Standing),
    /// The server is called.
    Asking(Standing, Version, UnixTime),
    /// What came of it is written.
    Writing(Result<Seen, Failure>),
    /// A flow is taken away whose grant is then kept.
    Taking(Standing),
    Keeping(Standing),
}
