//! What the root context shares with the contexts of requests.

use crate::flow::supply::desk::Desk;
use crate::flow::{Context, Event, Exchange, Interest, Outcome, Runtime, Step};
use crate::host::call;
use crate::host::call::Room;
use crate::host::metrics::Metrics;
use crate::host::signature::HostFirst;
use std::cell::{Cell, OnceCell, RefCell};
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
    /// Where fetches are made, and requests wait for them, by context id.
    pub desk: RefCell<Desk<Rc<Request>>>,
}

/// A request: its state machine, and what that wants to be told.
#[derive(Debug, Default)]
pub struct Request {
    pub exchange: RefCell<Exchange>,
    pub interest: Cell<Interest>,
}

impl Request {
    /// Tells the state machine what happened to the request at hand, and does what it says. The machine decides first, and its
    /// effects are collected; then they are done, with nothing borrowed.
    pub fn tell(&self, event: Event, context: &Context<'_>, shared: &Shared, room: Room) -> Step {
        let mut event = event;
        loop {
            let Outcome { effects, step, interest } = self.exchange.borrow_mut().on(event, context);
            self.interest.set(interest);
            if !call::perform(effects, shared, room, context.now) {
                self.interest.set(self.exchange.borrow_mut().stop());
                return Step::Pause;
            }
            match step {
                Step::AskRoute(question) => event = Event::Route(call::route(question)),
                Step::Continue | Step::Pause => return step,
            }
        }
    }
}
