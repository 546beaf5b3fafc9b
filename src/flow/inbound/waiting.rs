//! A request that waits for something to be fetched: it has one of the places for those who do, or is refused.

use crate::flow::callers::authorize::{Admission, admit};
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Step};
use crate::flow::inbound::judged;
use crate::flow::inbound::state::{Identity, Inbound};
use crate::flow::progress::Progress;
use crate::flow::refusal::denial::Denial;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::seats::Seat;
use crate::protocol::Operation;

impl Inbound {
    /// The number of its place among those who wait.
    pub(in crate::flow) fn seat(&self) -> Option<u64> {
        self.seat.as_ref().map(Seat::number)
    }

    /// Whether its place has gone to another, and it does not know that yet.
    fn is_displaced(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_displaced)
    }

    /// Waits for `want`, which is fetched.
    ///
    /// # Errors
    /// If too many wait.
    pub(super) fn wait(&mut self, want: Want, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<(), Denial> {
        self.seat = None;
        self.seat = context.runtime.sit(want, &self.destination(), context.now);
        if self.seat.is_none() {
            return Err(Denial::new(Reason::Overloaded));
        }
        effects.push(Effect::Fetch(want));
        Ok(())
    }

    /// What it waited for has ended, or its place is gone. `Err`: that is all for now.
    pub(super) fn settle(
        mut self: Box<Self>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Box<Self>, Box<(Progress<Inbound>, Step)>> {
        if self.is_displaced() {
            return Err(Box::new(self.deny(Denial::new(Reason::Overloaded), context, effects)));
        }
        let Identity::Pending { want: settled, credentials } = &self.identity else {
            self.seat = None;
            return Ok(self);
        };
        let is_card = self.operation == Some(Operation::GetAgentCard);
        let destination = self.destination();
        let ask = |may_wait| admit(&destination, is_card, credentials, may_wait, context);
        // The issuer's answer about a token is the last thing that there is to wait for, and nothing is waited for twice.
        let admission = match ask(!matches!(settled, Want::Introspection(_))) {
            Admission::Wait(again) if again == *settled => ask(false),
            other => other,
        };
        match admission {
            Admission::As(admitted) => self.identity = Identity::Known(Some(admitted)),
            Admission::Shadowed(admitted, denial) => self.identity = Identity::shadowed(admitted, &denial, effects),
            Admission::Refused(known, denial) => {
                if let Some(known) = known {
                    judged::note_caller(&known, &self.agent, self.asks, None, context, effects);
                }
                return Err(Box::new(self.deny(denial, context, effects)));
            }
            Admission::Wait(next) => {
                if let Err(denial) = self.wait(next, context, effects) {
                    return Err(Box::new(self.deny(denial, context, effects)));
                }
                if let Identity::Pending { want, .. } = &mut self.identity {
                    *want = next;
                }
                return Err(Box::new((Progress::Wait(self), Step::Pause)));
            }
        }
        self.seat = None;
        Ok(self)
    }
}
