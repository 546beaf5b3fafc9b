//! What the root context shares with the contexts of requests.

use crate::flow::supply::desk::Desk;
use crate::flow::{Exchange, Interest, Runtime};
use crate::host::metrics::Metrics;
use crate::host::room::Room;
use crate::host::signature::HostFirst;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// What the root shares with the requests.
#[derive(Default)]
pub struct Shared {
    pub verifier: Rc<HostFirst>,
    pub metrics: Metrics,
    /// Once there is a configuration.
    pub runtime: OnceCell<Rc<Runtime>>,
    /// A request has come here: the main thread of the host has a VM, too, and none ever comes there.
    pub serves: Cell<bool>,
    /// The host keeps marks beyond internal redirects.
    pub keeps_marks: Cell<bool>,
    /// Where fetches are made, and requests wait for them, by context id.
    pub desk: RefCell<Desk<Rc<Request>>>,
}

/// A request: its state machine, and what that wants to be told.
#[derive(Debug, Default)]
pub struct Request {
    pub exchange: RefCell<Exchange>,
    pub interest: Cell<Interest>,
    /// A callback of its body was answered with a pause, so that the host holds what has come of it.
    pub holds_body: Cell<bool>,
    /// So many bytes of white space stand before that, for what is going to be written there may be longer.
    pub padding: Cell<usize>,
}

impl Request {
    /// How many bytes may be written into the request's body: as many as the host holds of it, or what the part at hand may
    /// grow to if that is not held.
    pub fn room(&self) -> Room {
        let more = if self.holds_body.get() { self.padding.get() } else { self.interest.get().growth };
        Room { request: self.exchange.borrow().held_body().saturating_add(more), ..Room::NONE }
    }
}
