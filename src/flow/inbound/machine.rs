//! A request for an agent: classify, authenticate, authorize, send on (in this order; the design's "inbound").
//! Unclassified is refused, never passed.

use crate::config::{SkillFrom, Token};
use crate::flow::callers::authorize::{Admission, Spoken, admit};
use crate::flow::callers::credentials::Credentials;
use crate::flow::callers::tenancy::{About, Tenancy};
use crate::flow::callers::why;
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Event, Level, Step, Value};
use crate::flow::inbound::card::{Asking, CardRequest};
use crate::flow::inbound::expected::Expected;
use crate::flow::inbound::judged;
use crate::flow::inbound::passing::Passing;
use crate::flow::inbound::state::{Body, Identity, Inbound};
use crate::flow::meter::{Excess, Meter};
use crate::flow::progress::{Progress, Watched, answer, refuse, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::{Classified, binding, classify, mismatch};
use crate::flow::request::head::Head;
use crate::flow::request::inspect;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::source::Source;
use crate::flow::tasks::owned::Owned;
use crate::identity::Peer;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation};
use std::rc::Rc;

pub(in crate::flow) fn begin(
    agent: Rc<Agent>,
    head: &Head<'_>,
    peer: Option<&Peer>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    expected: &mut Option<Expected>,
) -> (Progress<Inbound>, Step) {
    let config = context.runtime.config();
    let destination = Destination::Agent(Rc::clone(&agent));
    effects.push(Effect::Note(Note::For(agent.target())));
    let suffix = agent.suffix(head.path);
    let in_path = match &agent.skill_from {
        Some(SkillFrom::Path(path)) => path.take(suffix),
        _ => None,
    };
    let suffix = in_path.map_or(suffix, |(_, rest)| rest);
    let cards = &agent.statement.paths;
    let binding = binding(&agent, head, suffix, cards);
    let (body_follows, events) = (!end_of_stream, head.reads_events_only());
    let (classified, tenancy) = match classified(&agent, head, suffix, binding, body_follows) {
        Ok(known) => known,
        Err(denial) => {
            let detail = why::of_head(denial.reason, head, &agent, context);
            return refuse(denial.at(&agent.name).for_events(events).because(detail), binding, body_follows, context, effects);
        }
    };
    effects.push(Effect::Note(Note::Is { version: classified.version, binding, operation: classified.operation }));
    effects.extend(classified.doubt.map(|reason| Effect::Note(Note::Shadowed(reason, why::of_head(reason, head, &agent, context)))));
    let announced = match head.content_length() {
        Ok(length) => length,
        Err(denial) => return answer(&denial.at(&agent.name), binding, &Id::default(), effects),
    };
    // What a card that is still to be fetched will look at is not known.
    let looked_at = agent.policy(context.runtime.supply(), context.now).here().unwrap_or_else(|| context.runtime.everything());
    let is_card = classified.operation == Some(Operation::GetAgentCard);
    let asks = config.debug.as_ref().is_some_and(|trace| head.headers.has(&trace.header));
    let is_public = is_card && agent.card.access.is_public();
    let mut seat = None;
    let identity = if is_public {
        Identity::Known(None)
    } else {
        let credentials = Credentials::read(&looked_at, context.runtime, head, peer);
        match admit(&destination, is_card, &credentials, true, context) {
            Admission::As(admitted) => Identity::Known(Some(admitted)),
            Admission::Shadowed(admitted, denial) => Identity::shadowed(admitted, &denial, effects),
            Admission::Refused(known, denial) => {
                if let Some(known) = known {
                    judged::note_caller(&known, &agent, asks, None, context, effects);
                }
                return refuse(denial, binding, body_follows, context, effects);
            }
            Admission::Wait(want) => {
                seat = context.runtime.sit(want, &destination, context.now);
                if seat.is_none() {
                    return refuse(Denial::new(Reason::Overloaded).at(&agent.name), binding, body_follows, context, effects);
                }
                effects.push(Effect::Fetch(want));
                Identity::Pending { want, credentials: Box::new(credentials.into_owned()) }
            }
        }
    };
    let limit = limit(&agent, head, classified.untyped);
    let target = context.runtime.places().target(head.target);
    let target = target.as_deref().unwrap_or(head.target);
    let mut headers = Vec::new();
    head.set_version(target, &mut headers, classified.version);
    headers.extend(other_path(&agent, target, suffix, in_path.is_some()));
    if agent.forward.token == Token::Remove || !looked_at.passes_authorization(head.headers) {
        headers.push(Effect::RemoveHeader("authorization".into()));
    }
    let route = suffix.get(classified.route..).unwrap_or_default();
    let owned = if is_card { None } else { owned(&agent, binding, head, target, (suffix, route)) };
    headers.extend(owned.iter().flat_map(|owned| owned.headers(body_follows)));
    let reader = agent.plans.reader(binding, classified.operation, classified.version);
    let body = match reader {
        _ if announced.is_some_and(|length| length > limit) => Body::TooLong,
        Some(reader) if body_follows && head.method == "POST" => Body::Reading { reader: Box::new(reader), complete: false },
        _ => Body::NotNeeded,
    };
    let asking = Asking::of(&agent, head, &classified, is_public, context.runtime.supply());
    let spoken = Spoken::new(agent.skill_from.as_ref(), in_path.map(|(skill, _)| skill), head.headers);
    let inbound = Inbound {
        agent,
        binding,
        version: classified.version,
        operation: classified.operation,
        identity,
        body,
        held: 0,
        read: 0,
        announced,
        limit,
        events,
        inferred: classified.inferred && config.hold_headers,
        untyped: classified.untyped,
        headers,
        released: false,
        asking,
        wanted: None,
        seat,
        spoken,
        permitted: false,
        owned,
        tenancy,
        asks,
    };
    Box::new(inbound).decide(context, effects, expected)
}

/// What the request is, as far as its head says, and which tenant that names.
fn classified(
    agent: &Agent,
    head: &Head<'_>,
    suffix: &str,
    binding: Option<Binding>,
    body_follows: bool,
) -> Result<(Classified, Tenancy), Denial> {
    let classified = classify(agent, head, suffix, binding, &agent.statement.paths, body_follows)?;
    let tenancy = Tenancy::of(binding, head, suffix.get(classified.route..).unwrap_or_default())?;
    Ok((classified, tenancy))
}

/// The request as one about tasks that belong to their makers, if the agent's do.
fn owned(agent: &Rc<Agent>, binding: Option<Binding>, head: &Head<'_>, target: &str, (suffix, route): (&str, &str)) -> Option<Box<Owned>> {
    agent.tasks.owned()?;
    // Where the path ends that the agent gets.
    let path = Head::at(target, agent.target.path_prefix.as_str(), suffix);
    Owned::new(agent, binding, head, &path, route)
}

/// Most bytes of the request's body.
fn limit(agent: &Agent, head: &Head<'_>, untyped: bool) -> u64 {
    match (head.method, agent.limits.max_body_bytes) {
        ("POST", _) if untyped => 0,
        ("POST", 0) => u64::MAX,
        ("POST", limit) => limit,
        _ => 0,
    }
}

/// Sets the path of a request that the agent gets under another than it came with: a card where the agent has it, or
/// what stands behind a skill in the path.
fn other_path(agent: &Agent, target: &str, suffix: &str, skill_in_path: bool) -> Option<Effect> {
    let prefix = agent.target.path_prefix.as_str();
    let source = agent.statement.source(prefix, suffix);
    let path = source.or_else(|| skill_in_path.then(|| Head::at(target, prefix, suffix)))?;
    Some(Effect::SetHeader(":path".into(), Value::Text(path)))
}

impl Inbound {
    /// Whether the body is read. Nothing of it is before its sender is known: it stays in the proxy.
    pub(in crate::flow) const fn reads(&self) -> bool {
        matches!((&self.body, &self.identity), (Body::Reading { complete: false, .. }, Identity::Known(_) | Identity::Shadowed))
    }

    pub(in crate::flow) fn awaits_body(&self) -> bool {
        matches!(self.body, Body::Reading { complete: false, .. }) && !self.released
    }

    /// By how many bytes the body may grow before it goes on.
    pub(in crate::flow) fn growth(&self) -> usize {
        self.owned.as_ref().map_or(0, |owned| owned.growth())
    }

    pub(in crate::flow) fn awaits(&self) -> Option<Want> {
        match &self.identity {
            Identity::Pending { want, .. } => Some(*want),
            Identity::Known(_) | Identity::Shadowed => self.wanted,
        }
    }

    pub(in crate::flow) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        expected: &mut Option<Expected>,
    ) -> (Progress<Inbound>, Step) {
        match event {
            Event::RequestBody { bytes, end, chunk } => {
                if context.runtime.config().hold_headers {
                    context.runtime.supply().note_hold();
                }
                self.held = bytes;
                // With the announced length everything is here, whether the proxy says so yet or not.
                let end = end || self.announced == Some(bytes);
                let reads = self.reads();
                self.read = self.read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                let body = std::mem::replace(&mut self.body, Body::TooLong);
                self.body = match body {
                    _ if bytes > self.limit => Body::TooLong,
                    // What does not come cannot be judged.
                    Body::Reading { .. } if reads && self.read != bytes => {
                        Body::Wrong(Box::new((Denial::new(Reason::BodyMalformed), Id::default())))
                    }
                    Body::Reading { mut reader, complete: false } if reads => match self.read(&mut reader, &chunk, end) {
                        Ok(()) => Body::Reading { reader, complete: end },
                        Err(wrong) => Body::Wrong(wrong),
                    },
                    other => other,
                };
            }
            Event::Settled => match self.settle(context, effects) {
                Ok(settled) => self = settled,
                Err(stopped) => return *stopped,
            },
            Event::BodyWithheld => return withheld(self.binding, effects),
            Event::RequestHeaders { .. } | Event::ResponseHeaders { .. } | Event::ResponseBody { .. } | Event::Route(_) => {}
        }
        self.decide(context, effects, expected)
    }

    /// What is known so far decides, or more is waited for.
    pub(super) fn decide(
        mut self: Box<Self>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        expected: &mut Option<Expected>,
    ) -> (Progress<Inbound>, Step) {
        if matches!(self.identity, Identity::Pending { .. }) {
            return (Progress::Wait(self), Step::Pause);
        }
        let asked = match &self.body {
            Body::TooLong => Err(self.excess().denial()),
            Body::Wrong(wrong) => Err(wrong.0.clone()),
            Body::NotNeeded => Ok(self.operation),
            Body::Reading { reader, .. } => self.asked(reader),
        };
        let permitted = asked.and_then(|asked| {
            self.operation = self.operation.or(asked);
            self.follow_method(effects);
            let permitted = self.permit(asked, context, effects)?;
            self.own(permitted, context)
        });
        match permitted {
            Err(denial) => self.deny(denial, context, effects),
            Ok(true) => self.release(context, effects, expected),
            // What is held of an undecided body must not go on with the headers.
            Ok(false) if self.released || self.held > 0 || context.runtime.config().hold_headers => (Progress::Wait(self), Step::Pause),
            Ok(false) => {
                self.send_on(context, effects);
                self.released = true;
                (Progress::Wait(self), Step::Continue)
            }
        }
    }

    /// The request is allowed: it goes on, or gets its card here.
    pub(super) fn release(
        mut self: Box<Self>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        expected: &mut Option<Expected>,
    ) -> (Progress<Inbound>, Step) {
        self.note(context, effects);
        let request = self.card();
        if let Some(request) = &request
            && let Some(found) = request.at_hand(context)
        {
            return self.serve(request, found, context, effects);
        }
        if !self.released {
            self.send_on(context, effects);
            effects.extend(request.iter().flat_map(|request| request.conditions()));
        }
        *expected = match (request, &self.owned, self.operation) {
            (Some(request), ..) => Some(Expected::Card(request)),
            (None, Some(owned), Some(operation)) => owned.answer(operation, self.version).map(Expected::Tasks),
            (None, ..) => {
                let looked_at = self.asking.looked_at.take().map(|authority| Passing::new(Rc::clone(&self.agent), authority));
                looked_at.map(|passing| Expected::Passing(Box::new(passing)))
            }
        };
        if let Some(owned) = &mut self.owned {
            effects.extend(owned.release(!self.released));
        }
        effects.push(Effect::Note(Note::Allowed));
        match self.body {
            Body::Reading { .. } => self.go_on(),
            Body::NotNeeded | Body::Wrong(_) | Body::TooLong => (Progress::Pass(self.meter()), Step::Continue),
        }
    }

    /// Answers with a card that the agent need not be asked for.
    pub(super) fn serve(
        mut self: Box<Self>,
        request: &CardRequest,
        found: Sought<Rc<Source>>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> (Progress<Inbound>, Step) {
        let wanted = self.wanted.take();
        match found {
            Sought::Wait(want) if wanted != Some(want) => {
                if let Err(denial) = self.wait(want, context, effects) {
                    return self.deny(denial, context, effects);
                }
                self.wanted = Some(want);
                return (Progress::Wait(self), Step::Pause);
            }
            Sought::Here(source) => match request.serve(&source.card, context) {
                Ok(reply) => {
                    effects.extend(context.runtime.warnings().into_iter().map(|warning| Effect::Log(Level::Warn, warning)));
                    effects.push(Effect::Note(Note::Allowed));
                    effects.push(Effect::Reply(reply));
                }
                Err(error) => drop(request.refuse(&error, effects)),
            },
            Sought::Wait(_) | Sought::No(_) => return self.deny(Denial::new(Reason::CardUnavailable), context, effects),
        }
        (Progress::Done, Step::Pause)
    }

    /// The operation, once it is known and something of the body has come to be judged with it.
    pub(super) fn asked(&self, reader: &Reader) -> Result<Option<Operation>, Denial> {
        match (self.binding, reader.method().map(Operation::from_method)) {
            (Some(Binding::Jsonrpc), None) => Ok(None),
            (Some(Binding::Jsonrpc), Some(None)) => Err(Denial::new(Reason::OperationUnknown)),
            (Some(Binding::Jsonrpc), Some(Some((operation, belongs))))
                if belongs != self.version && !self.infers(belongs) && !self.shadows(Reason::VersionMismatch) =>
            {
                Err(mismatch(operation.name(), belongs))
            }
            (Some(Binding::Jsonrpc), Some(Some((operation, _)))) => Ok(Some(operation)),
            _ if self.reads() && self.read == 0 => Ok(None),
            _ => Ok(self.operation),
        }
    }

    /// Whether the request is allowed. `asked` is its operation, once something of the body has come to be judged with it.
    /// `false`: that is not known yet.
    pub(super) fn permit(&mut self, asked: Option<Operation>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<bool, Denial> {
        let Some(operation) = self.operation else { return Ok(false) };
        if !self.permitted {
            inspect::is_offered(operation, &self.agent.limits)?;
            self.permitted = match self.may(operation, context) {
                Err(denial) if self.shadows(denial.reason) => {
                    effects.push(Effect::Note(Note::Shadowed(denial.reason, denial.told())));
                    true
                }
                permitted => permitted?,
            };
        }
        if let (Some(reader), Some(operation)) = (self.reader(), asked) {
            self.agent.plans.inspect(reader, operation, self.version, &self.agent)?;
        }
        if self.permitted {
            let reported = self.judge_tenant(operation, context)?;
            effects.extend(reported.map(|reason| Effect::Note(Note::Shadowed(reason, None))));
        }
        Ok(self.permitted && asked.is_some())
    }

    /// Whether the request may be about the tenant that it names, if it names one by now.
    fn judge_tenant(&mut self, operation: Operation, context: &Context<'_>) -> Result<Option<Reason>, Denial> {
        let Some(binding) = self.binding else { return Ok(None) };
        let caller = self.identity.admitted().map(|admitted| admitted.caller.as_ref());
        let about = About { agent: &self.agent, binding, version: self.version, operation, caller };
        let reader = match &self.body {
            Body::Reading { reader, .. } => Some(&**reader),
            Body::NotNeeded | Body::Wrong(_) | Body::TooLong => None,
        };
        self.tenancy.judge(about, reader, context)
    }

    /// The card to expect as the answer.
    pub(super) fn card(&self) -> Option<Box<CardRequest>> {
        if !matches!(self.operation, Some(Operation::GetAgentCard | Operation::GetExtendedAgentCard)) {
            return None;
        }
        let asking = Asking { admitted: self.identity.admitted().cloned(), ..self.asking.clone() };
        CardRequest::new(&self.agent, self.operation?, self.binding, asking).map(Box::new)
    }

    /// The head and what came of the body go on; the rest is watched.
    pub(super) fn go_on(&mut self) -> (Progress<Inbound>, Step) {
        let meter = self.meter();
        match std::mem::replace(&mut self.body, Body::NotNeeded) {
            Body::Reading { reader, complete: false } => {
                let owned = self.owned.take();
                let (version, tenancy) = (self.version, std::mem::take(&mut self.tenancy));
                let caller = self.identity.admitted().map(|admitted| Rc::clone(&admitted.caller));
                let watched = self.operation.map(|operation| Watched { reader, meter, operation, version, owned, tenancy, caller });
                (watched.map_or(Progress::Done, |watched| Progress::Watch(Box::new(watched))), Step::Continue)
            }
            _ => (Progress::Pass(meter.ended()), Step::Continue),
        }
    }

    pub(super) fn meter(&self) -> Meter {
        Meter {
            passed: self.held,
            announced: self.announced,
            limit: self.limit,
            excess: self.excess(),
            destination: self.destination(),
            binding: self.binding,
        }
    }

    /// What is wrong with a body of more than may come.
    pub(super) const fn excess(&self) -> Excess {
        match self.limit {
            _ if self.untyped => Excess::Untyped,
            0 => Excess::Method,
            _ => Excess::TooLong,
        }
    }

    pub(super) fn named(&self, denial: Denial, context: &Context<'_>) -> Denial {
        if denial.realm.is_none() { context.runtime.at(&self.destination(), denial, context.now) } else { denial }
    }

    /// Refuses, with the id: if it has come, now, else when it has.
    pub(super) fn deny(&mut self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Inbound>, Step) {
        self.note(context, effects);
        let detail = self.why(&denial, context);
        let denial = self.named(denial, context).for_events(self.events).for_version(self.version).because(detail);
        match std::mem::replace(&mut self.body, Body::NotNeeded) {
            Body::Reading { reader, complete } => match reader.id() {
                Some(id) => answer(&denial, self.binding, &id, effects),
                None if complete || self.released || !context.runtime.config().hold_headers => {
                    answer(&denial, self.binding, &Id::default(), effects)
                }
                None => (Progress::Refuse(Box::new(denial), reader), Step::Pause),
            },
            Body::Wrong(wrong) => answer(&denial, self.binding, &wrong.1, effects),
            Body::NotNeeded | Body::TooLong => answer(&denial, self.binding, &Id::default(), effects),
        }
    }
}
