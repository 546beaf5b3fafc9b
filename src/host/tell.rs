//! One event for a request, and what comes of it.

use crate::flow::{Context, Effect, Event, Outcome, Step};
use crate::host::call;
use crate::host::room::Room;
use crate::host::waiting::{Request, Shared};

/// Tells the state machine of the request at hand what happened, and does what it says. The machine decides first, and its effects
/// are collected; then they are done, with nothing borrowed.
pub fn tell(request: &Request, event: Event, context: &Context<'_>, shared: &Shared, room: Room) -> Step {
    let mut event = event;
    loop {
        let Outcome { effects, step, interest } = request.exchange.borrow_mut().on(event, context);
        request.interest.set(interest);
        let replaces = request.padding.get() > 0 && effects.iter().any(|effect| matches!(effect, Effect::ReplaceRequestBody(_)));
        let mut is_done = call::perform(effects, shared, room, context.now);
        if replaces {
            request.padding.set(0);
        }
        let padding = if step == Step::Continue { request.padding.take() } else { 0 };
        if is_done && padding > 0 && !call::unpad(padding) {
            call::fail();
            is_done = false;
        }
        if !is_done {
            request.interest.set(request.exchange.borrow_mut().stop());
            return Step::Pause;
        }
        match step {
            Step::AskRoute(question) => event = Event::Route(call::route(question)),
            Step::Continue | Step::Pause => return step,
        }
    }
}
