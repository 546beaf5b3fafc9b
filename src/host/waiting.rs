//! What the root context shares with the contexts of requests.

use crate::flow::supply::desk::Desk;
use crate::flow::{Exchange, Interest, Runtime};
use crate::host::metrics::Metrics;
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
}
