//! What the root context shares with the contexts of requests.

use crate::flow::{Exchange, Runtime};
use crate::host::metrics::Metrics;
use crate::host::signature::HostFirst;
use crate::wire::time::UnixTime;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the root shares with the requests.
#[derive(Default)]
pub struct Shared {
    pub verifier: HostFirst,
    pub metrics: Metrics,
    /// Once there is a configuration.
    pub runtime: OnceCell<Rc<Runtime>>,
    /// The host keeps marks beyond internal redirects.
    pub keeps_marks: Cell<bool>,
    /// Paused requests, by context id.
    pub waiting: RefCell<BTreeMap<u32, Waiting>>,
}

/// A paused request.
pub struct Waiting {
    pub exchange: Rc<RefCell<Exchange>>,
    pub since: UnixTime,
}
