//! Messages that leave with a credential in them: they do not, where their bodies are read as a whole.

use crate::config::CredentialsInMessages;
use crate::flow::event::reason::Reason;
use crate::flow::outbound::endorse;
use crate::flow::outbound::state::Outbound;
use crate::flow::outbound::whole::Whole;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect;
use crate::flow::setup::runtime::Context;
use crate::policy::push_place::may_hold;
use crate::policy::revealed::Unread;
use crate::protocol::{Operation, Version};

/// What callers read whose body is too long.
const TOO_LONG: &str = "The body is too long for a message that is looked at before it leaves: send a shorter one.";

impl Outbound {
    /// Looks for credentials in a message in a call for `operation`. `false`: all of the body is needed first.
    ///
    /// # Errors
    /// If there is one, or the body cannot be read.
    pub(super) fn search(&mut self, operation: Operation, version: Version, context: &Context<'_>) -> Result<bool, Denial> {
        let is_read = match self.connection.credentials_in_messages {
            Some(CredentialsInMessages::Allow) => false,
            Some(CredentialsInMessages::Refuse) => true,
            // Where the body is read as a whole anyway.
            None => self.connection.user_passthrough().is_some() || self.connection.push.is_some() && may_hold(operation),
        };
        let is_sent = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
        if !is_read || !is_sent || self.endorsed.as_ref().is_none_or(|endorsed| endorsed.is_searched) {
            return Ok(true);
        }
        let as_event = self.reads_events(operation, version);
        let refuse = |denial: Denial| Denial { as_event, ..denial.for_version(version) };
        let limit = self.endorsed.as_ref().map_or(0, |endorsed| endorsed.limit());
        let is_for_push = self.connection.credentials_in_messages.is_none() && self.connection.push.is_some();
        let bytes = match self.whole(limit, if is_for_push { endorse::TOO_LONG } else { TOO_LONG }).map_err(refuse)? {
            Whole::Later => return Ok(false),
            Whole::Here(bytes) => bytes,
        };
        let found = self.place.binding().map_or(Ok(None), |binding| context.runtime.revealed().find((binding, version), &bytes));
        self.keep_whole(bytes);
        if let Some(endorsed) = &mut self.endorsed {
            endorsed.is_searched = true;
        }
        match found {
            Ok(None) => Ok(true),
            Ok(Some(place)) => Err(refuse(Denial::new(Reason::CredentialInMessage).advise(format!(
                "Credentials do not leave in messages. There is one at {place}: take it out, and give it to the remote agent in another way."
            )))),
            Err(Unread::Json(fault)) => Err(refuse(endorse::unreadable_json(fault))),
            Err(Unread::Message(fault)) => Err(refuse(inspect::unreadable(fault))),
        }
    }
}
