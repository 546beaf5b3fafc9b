//! The body of a request about tasks that belong to somebody: kept while it is read, and without its tags when it goes on.

use crate::flow::event::reason::Reason;
use crate::flow::inbound::state::{Body, Identity, Inbound};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::runtime::Context;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation};

impl Inbound {
    /// Reads all of `chunk`, and keeps it if it is to change.
    pub(super) fn read(&mut self, reader: &mut Reader, chunk: &[u8], end: bool) -> Result<(), Box<(Denial, Id)>> {
        if let Some(owned) = &mut self.owned {
            owned.hold(chunk);
        }
        // Over HTTP+JSON these may come without a body, and nothing says that none follows until none has.
        match (self.binding, self.operation) {
            (Some(Binding::HttpJson), Some(Operation::CancelTask | Operation::SubscribeToTask)) if end && self.held == 0 => Ok(()),
            _ => reader.read(chunk, end),
        }
    }

    /// Takes the tags off what an allowed request names, as far as it has come. `false`: more of it has to come first.
    pub(super) fn own(&mut self, permitted: bool, context: &Context<'_>) -> Result<bool, Denial> {
        let Some(owned) = &mut self.owned else { return Ok(permitted) };
        // An unauthenticated caller cannot own tasks, also where refusals are only reported.
        let Identity::Known(Some(admitted)) = &self.identity else { return Err(Denial::new(Reason::CredentialsMissing)) };
        self.headers.extend(owned.identify(&admitted.caller, &self.tenancy, context)?);
        let is_complete = !matches!(self.body, Body::Reading { complete: false, .. });
        match self.operation {
            Some(operation) if permitted => owned.admit((operation, self.version), &self.tenancy, is_complete),
            _ => Ok(permitted),
        }
    }
}
