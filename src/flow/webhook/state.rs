//! A notification, not decided yet.

use crate::credential::push_token::PushClaims;
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::Effect;
use crate::flow::event::call::Want;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::webhook::Webhook;
use crate::flow::supply::seats::Seat;
use crate::identity::Caller;
use crate::protocol::notification::Posted;
use crate::wire::time::UnixTime;
use std::rc::Rc;

/// A notification of which not all is known.
#[derive(Debug)]
pub struct Arriving {
    pub(super) webhook: Rc<Webhook>,
    pub(super) sender: Sender,
    /// What the token says that the filter gave away; `None` where none is asked for.
    pub(super) token: Option<PushClaims>,
    pub(super) body: Posted,
    /// Bytes of the body that the proxy holds.
    pub(super) held: u64,
    /// How many of them have been read.
    pub(super) read: u64,
    /// Bytes that the sender announced.
    pub(super) announced: Option<u64>,
    /// Effects that the headers call for, to be done with the others when they go on.
    pub(super) headers: Vec<Effect>,
    /// The headers went on already (without `hold_headers`).
    pub(super) released: bool,
    /// Its place among those who wait, while it does.
    pub(super) seat: Option<Seat>,
}

/// Who posts it, as `security` asks.
#[derive(Debug)]
pub(super) enum Sender {
    /// Something is being fetched.
    Pending { want: Want, credentials: Box<Credentials<'static>> },
    /// It is one of those who may. Nothing, where `security` asks for nothing.
    Known(Option<Known>),
}

/// A sender who may post here.
#[derive(Debug)]
pub(super) struct Known {
    pub caller: Rc<Caller>,
    /// What its signed token says besides, if it has one.
    pub signed: Option<Signed>,
}

/// What a signed token says of the notification that it comes with.
#[derive(Debug)]
pub(super) struct Signed {
    /// `jti` (RFC 7519 section 4.1.7).
    pub id: Option<String>,
    /// `taskId`: the task that it is for.
    pub task: Option<String>,
    /// Its `exp`.
    pub expires: UnixTime,
}

impl Arriving {
    pub(super) fn destination(&self) -> Destination {
        Destination::Webhook(Rc::clone(&self.webhook))
    }
}
