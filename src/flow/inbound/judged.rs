//! What is noted of a request: for its record, for a caller who may see how it is judged, and in place of refusals that the
//! agent only watches (`shadow`).

use crate::config::{Agent, Trace};
use crate::flow::callers::authorize::{Admitted, may_anyone};
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Value};
use crate::flow::inbound::state::{Body, Identity, Inbound};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::facts::is_shadowed;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::runtime::Context;
use crate::identity::Caller;
use crate::policy::access::Skill;
use crate::protocol::{Binding, Operation, Version, version};
use crate::wire::quoted;
use std::rc::Rc;

impl Identity {
    /// Who goes on although it would be refused with `denial`.
    pub(super) fn shadowed(admitted: Option<Admitted>, denial: &Denial, effects: &mut Vec<Effect>) -> Self {
        effects.push(Effect::Note(Note::Shadowed(denial.reason, denial.told())));
        admitted.map_or(Self::Shadowed, |admitted| Self::Known(Some(admitted)))
    }

    pub(super) const fn admitted(&self) -> Option<&Admitted> {
        match self {
            Self::Known(Some(admitted)) => Some(admitted),
            Self::Known(None) | Self::Shadowed | Self::Pending { .. } => None,
        }
    }
}

/// Notes who it is, and how it is judged at `agent` if it asks and may see that.
pub(super) fn note_caller(
    admitted: &Admitted,
    agent: &Agent,
    asks: bool,
    asked: Option<(Operation, Skill<'_>)>,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) {
    let config = context.runtime.config();
    effects.push(Effect::Note(Note::From(Rc::clone(&admitted.caller))));
    let Caller { origin, tenant, client, .. } = admitted.caller.as_ref();
    let is_for = |trace: &Trace| trace.is_for(origin.voucher(config), tenant.as_deref(), client.as_deref());
    let may_see = asks && config.debug.as_ref().is_some_and(is_for);
    if may_see {
        effects.push(Effect::Note(Note::Judged(admitted.judged(agent, asked, config))));
    }
}

impl Inbound {
    pub(super) fn shadows(&self, reason: Reason) -> bool {
        is_shadowed(&self.agent, reason)
    }

    /// Whether a method of version `belongs` says that this is the version.
    pub(super) fn infers(&self, belongs: Version) -> bool {
        self.inferred && self.agent.offers(belongs, Binding::Jsonrpc)
    }

    /// Where the version is inferred, or only watched: the method that has come decides which one is in force.
    pub(super) fn follow_method(&mut self, effects: &mut Vec<Effect>) {
        let method = match (self.binding, &self.body) {
            (Some(Binding::Jsonrpc), Body::Reading { reader, .. }) => reader.method().and_then(Operation::from_method),
            _ => None,
        };
        if let Some((_, belongs)) = method.filter(|(_, belongs)| *belongs != self.version) {
            (self.version, self.asking.version) = (belongs, belongs);
            self.headers.retain(|effect| !matches!(effect, Effect::SetHeader(name, _) if name == version::HEADER));
            self.headers.push(Effect::SetHeader(version::HEADER.into(), Value::Text(belongs.as_str().to_owned())));
            if !self.infers(belongs) {
                let said = format!("the method belongs to A2A {belongs}, another version than was in force before it came");
                effects.push(Effect::Note(Note::Shadowed(Reason::VersionMismatch, Some(said))));
            }
        }
    }

    /// Notes what is known for the record, and how the caller is judged if it may see that.
    pub(super) fn note(&self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.push(Effect::Note(Note::Is { version: self.version, binding: self.binding, operation: self.operation }));
        let Some(admitted) = self.identity.admitted() else { return };
        let skill = |operation| (operation, self.spoken.skill(operation, self.reader(), &self.agent.plans).unwrap_or(Skill::Unnamed));
        note_caller(admitted, &self.agent, self.asks, self.operation.map(skill), context, effects);
    }

    /// What is wrong with the body that `denial` is about, for the record.
    #[cold]
    #[inline(never)]
    pub(super) fn why(&self, denial: &Denial, context: &Context<'_>) -> Option<String> {
        if denial.detail.is_some() || !context.runtime.tells() {
            return None;
        }
        match denial.reason {
            Reason::OperationUnknown => self.reader()?.method().map(|method| format!("method is {}; unverified", quoted::text(method))),
            Reason::BodyTooLarge => {
                let (bytes, limit) = (self.announced.unwrap_or(self.held), self.limit);
                Some(format!("{bytes} bytes, agents[{}].limits.max_body_bytes is {limit}", self.agent.index))
            }
            _ => None,
        }
    }

    pub(super) fn reader(&self) -> Option<&Reader> {
        match &self.body {
            Body::Reading { reader, .. } => Some(&**reader),
            Body::NotNeeded | Body::Wrong(_) | Body::TooLong => None,
        }
    }

    /// Whether the caller may do what it asks for. `false`: that depends on the skill, which is not settled.
    pub(super) fn may(&self, operation: Operation, context: &Context<'_>) -> Result<bool, Denial> {
        let agent = &self.agent;
        let skill = self.spoken.skill(operation, self.reader(), &agent.plans)?;
        match &self.identity {
            Identity::Known(Some(admitted)) => admitted
                .may(agent, operation, skill, context.runtime.config())
                .map_err(|denial| denial.because(admitted.why(agent, operation, skill, context))),
            // Everyone may read a public card, and nothing else.
            Identity::Known(None) => Ok(operation == Operation::GetAgentCard),
            Identity::Shadowed => {
                let policy = agent.policy(context.runtime.supply(), context.now).here();
                let policy = policy.ok_or_else(|| Denial::new(Reason::CardUnavailable))?;
                let nobody = || "the caller is not known (shadow), and a rule or a skill keeps this for callers".to_owned();
                may_anyone(agent, &policy, operation, skill).map_err(|denial| denial.because(context.runtime.tells().then(nobody)))
            }
            Identity::Pending { .. } => Ok(false),
        }
    }
}
