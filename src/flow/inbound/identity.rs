//! What the agent learns of a request: who sends it, who vouches for that, and what it asks for. Only these headers say so, for
//! what a client sends under their names is gone already. No two callers make the same lines.

use crate::config::{Form, HeaderSource, IDENTITY_HEADER, Member};
use crate::flow::callers::authorize::Admitted;
use crate::flow::event::{Effect, Value};
use crate::flow::inbound::state::Inbound;
use crate::flow::setup::runtime::Context;
use crate::identity::Caller;
use crate::identity::forwarded::Forwarded;
use crate::identity::rendered::{push_member, write};
use std::rc::Rc;

/// Bytes that the members about the request take, nearly always.
const USUAL_BYTES: usize = 96;

impl Inbound {
    /// Sends the head on, with what is known by now.
    pub(super) fn send_on(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.append(&mut self.headers);
        let config = context.runtime.config();
        let agent = Rc::clone(&self.agent);
        let caller = self.identity.admitted().map(|Admitted { caller, .. }| caller.as_ref());
        let known = caller.map(|caller| caller.rendered(config)).unwrap_or_default();
        let mut line = String::with_capacity(USUAL_BYTES.saturating_add(agent.name.len()).saturating_add(known.len()));
        for member in [Member::Agent, Member::Operation, Member::Version] {
            if let Some(value) = self.about(member, &agent.name) {
                push_member(&mut line, member, value);
            }
        }
        if !known.is_empty() {
            line.push_str(", ");
            line.push_str(known);
        }
        effects.push(Effect::SetHeader(IDENTITY_HEADER.into(), Value::Text(line)));
        for header in &agent.forward.headers {
            let value = match header.source {
                HeaderSource::Member(member, form) => self.single(member, form, &agent.name, caller, context),
                HeaderSource::Claim(index) => caller.and_then(|caller| match caller.forwarded.get(index) {
                    Some(Forwarded::Value(value)) => Some(value.to_string()),
                    Some(Forwarded::Absent | Forwarded::Unfit) | None => None,
                }),
            };
            effects.extend(value.map(|value| Effect::SetHeader(header.name.clone().into(), Value::Text(value))));
        }
    }

    /// A member about the request.
    fn about<'a>(&self, member: Member, agent: &'a str) -> Option<&'a str> {
        match member {
            Member::Agent => Some(agent),
            Member::Operation => self.operation.map(|operation| operation.name()),
            Member::Version => Some(self.version.as_str()),
            _ => None,
        }
    }

    fn single(&self, member: Member, form: Form, agent: &str, caller: Option<&Caller>, context: &Context<'_>) -> Option<String> {
        match self.about(member, agent) {
            Some(text) => Some(write(text, form)),
            None => caller?.single(member, form, context.runtime.config()),
        }
    }
}
