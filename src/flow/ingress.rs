//! A request for an agent: classify, authenticate, authorize, send on (in this order; the design's "inbound").
//! Unclassified is refused, never passed.

use super::authenticate::{Identified, Policy};
use super::card::{CardRequest, Place};
use super::classify::{binding, classify, mismatch};
use super::credentials::Credentials;
use super::denial::{Denial, Reason};
use super::event::{Count, Effect, Event, Step, Value};
use super::exchange::{Meter, Stage, Watched, answer, refuse, withheld};
use super::fetch::Want;
use super::head::Head;
use super::inspect::{self, Reader};
use super::runtime::Context;
use crate::config::{CardAccess, Config, Token};
use crate::identity::demand::Unmet;
use crate::identity::{Caller, Origin, Peer};
use crate::policy::access::{self, Refusal};
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::header::safe_value;
use crate::wire::path;
use std::rc::Rc;

/// A request for an agent, not decided yet.
#[derive(Debug)]
pub struct Inbound {
    agent: usize,
    /// `None` for cards: no binding's rules apply to them.
    binding: Option<Binding>,
    version: Version,
    /// Known at once for HTTP+JSON and cards; from the body for JSON-RPC.
    operation: Option<Operation>,
    identity: Identity,
    body: Body,
    /// Bytes of the body that the proxy holds.
    held: u64,
    /// Bytes that the client announced.
    announced: Option<u64>,
    limit: u64,
    /// Effects that the headers call for, to be done with the others when they go on.
    headers: Vec<Effect>,
    /// The headers went on already (without `hold_headers`).
    released: bool,
    /// About the card, if it asks for one.
    place: Place,
}

#[derive(Debug)]
enum Identity {
    /// Something is being fetched.
    Pending { want: Want, credentials: Box<Credentials<'static>> },
    /// Admitted by `security`, or nobody needs to be.
    Known(Option<Rc<Caller>>),
}

#[derive(Debug)]
enum Body {
    /// Nothing in it decides.
    NotNeeded,
    /// It decides, and is read as it comes.
    Reading {
        reader: Box<Reader>,
        /// It is complete, and one document.
        complete: bool,
    },
    /// It is none that is taken; with the id to answer with.
    Wrong(Box<(Denial, Id)>),
    /// It is longer than allowed.
    TooLong,
}

pub(super) fn begin(
    index: usize,
    head: &Head<'_>,
    peer: Option<&Peer>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    card: &mut Option<Box<CardRequest>>,
) -> (Stage, Step) {
    let config = context.runtime.config();
    let (Some(agent), Some(policy)) = (config.agents.get(index), context.runtime.policy(index)) else {
        return answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects);
    };
    let suffix = path::strip_segments(head.path, agent.target.path_prefix.as_str()).unwrap_or_default();
    let cards = context.runtime.statement(index).map(|statement| &statement.paths);
    let binding = binding(head, suffix, cards);
    let body_follows = !end_of_stream;
    let classified = match classify(agent, head, suffix, binding, cards, body_follows) {
        Ok(classified) => classified,
        Err(denial) => return refuse(denial.at(&agent.name), binding, body_follows, context, effects),
    };
    let announced = match head.content_length() {
        Ok(length) => length,
        Err(denial) => return answer(&denial.at(&agent.name), binding, &Id::default(), effects),
    };
    let is_card = classified.operation == Some(Operation::GetAgentCard);
    let is_public = is_card && agent.card.access == CardAccess::Public;
    let identity = if is_public {
        Identity::Known(None)
    } else {
        let credentials = Credentials::read(&policy, config, head, peer);
        let identified = context.runtime.identify(&policy, &credentials, true, context);
        match admit(index, &policy, is_card, identified, context) {
            Admission::As(caller) => Identity::Known(Some(caller)),
            Admission::Refused(denial) => return refuse(denial, binding, body_follows, context, effects),
            Admission::Wait(want) => {
                effects.push(Effect::Fetch(want));
                Identity::Pending { want, credentials: Box::new(credentials.into_owned()) }
            }
        }
    };
    let limit = match (head.method, agent.limits.max_body_bytes) {
        ("POST", 0) => u64::MAX,
        ("POST", limit) => limit,
        _ => 0,
    };
    let mut headers = Vec::new();
    let target = context.runtime.places().target(head.target);
    head.set_version(target.as_deref().unwrap_or(head.target), &mut headers, classified.version);
    let source = context.runtime.statement(index).and_then(|statement| statement.source(agent.target.path_prefix.as_str(), suffix));
    if let Some(path) = source {
        headers.push(Effect::SetHeader(":path".into(), Value::Text(path)));
    }
    if agent.forward.token == Token::Remove || !policy.passes_authorization(head.headers) {
        headers.push(Effect::RemoveHeader("authorization".into()));
    }
    let reader = context.runtime.plans(index).and_then(|plans| plans.reader(binding, classified.operation));
    let body = match reader {
        _ if announced.is_some_and(|length| length > limit) => Body::TooLong,
        Some(reader) if body_follows && head.method == "POST" => Body::Reading { reader: Box::new(reader), complete: false },
        _ => Body::NotNeeded,
    };
    let inbound = Inbound {
        agent: index,
        binding,
        version: classified.version,
        operation: classified.operation,
        identity,
        body,
        held: 0,
        announced,
        limit,
        headers,
        released: false,
        place: Place {
            version: classified.version,
            negotiated: classified.negotiated,
            public: is_public,
            head: head.method == "HEAD",
            known: CardRequest::known(head.headers),
        },
    };
    Box::new(inbound).decide(context, effects, card)
}

impl Inbound {
    pub(super) const fn reads(&self) -> bool {
        matches!(self.body, Body::Reading { complete: false, .. })
    }

    pub(super) fn awaits_body(&self) -> bool {
        matches!(self.body, Body::Reading { complete: false, .. }) && !self.released
    }

    pub(super) fn awaits(&self) -> Option<Want> {
        match &self.identity {
            Identity::Pending { want, .. } => Some(*want),
            Identity::Known(_) => None,
        }
    }

    pub(super) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        card: &mut Option<Box<CardRequest>>,
    ) -> (Stage, Step) {
        match event {
            Event::RequestBody { bytes, end, chunk } => {
                if context.runtime.config().hold_headers {
                    context.runtime.note_hold();
                }
                self.held = bytes;
                // With the announced length everything is here, whether the proxy says so yet or not.
                let end = end || self.announced == Some(bytes);
                let body = std::mem::replace(&mut self.body, Body::TooLong);
                self.body = match body {
                    _ if bytes > self.limit => Body::TooLong,
                    Body::Reading { mut reader, complete: false } => match reader.read(&chunk, end) {
                        Ok(()) => Body::Reading { reader, complete: end },
                        Err(wrong) => Body::Wrong(wrong),
                    },
                    other => other,
                };
            }
            Event::Settled => {
                if let (Identity::Pending { credentials, .. }, Some(policy)) = (&self.identity, context.runtime.policy(self.agent)) {
                    let identified = context.runtime.identify(&policy, credentials, false, context);
                    let is_card = self.operation == Some(Operation::GetAgentCard);
                    match admit(self.agent, &policy, is_card, identified, context) {
                        Admission::As(caller) => self.identity = Identity::Known(Some(caller)),
                        Admission::Refused(denial) => return self.deny(denial, context, effects),
                        Admission::Wait(want) => {
                            let denial = context.runtime.unauthenticated(self.agent, unavailable(want));
                            return self.deny(denial, context, effects);
                        }
                    }
                }
            }
            Event::BodyWithheld => return withheld(effects),
            Event::RequestHeaders { .. } | Event::ResponseHeaders { .. } | Event::ResponseBody { .. } => {}
        }
        self.decide(context, effects, card)
    }

    /// What is known so far decides, or more is waited for.
    fn decide(mut self: Box<Self>, context: &Context<'_>, effects: &mut Vec<Effect>, card: &mut Option<Box<CardRequest>>) -> (Stage, Step) {
        match (&self.identity, &self.body) {
            (Identity::Pending { .. }, _) => (Stage::Inbound(self), Step::Pause),
            (Identity::Known(caller), body) => {
                let caller = caller.clone();
                match body {
                    Body::NotNeeded => {
                        if let Err(denial) = self.permit(caller.as_deref(), context) {
                            return self.deny(denial, context, effects);
                        }
                        self.send_on(context, effects);
                        *card = self.card(context, effects);
                        (Stage::Passing(self.meter(context)), Step::Continue)
                    }
                    Body::TooLong => self.deny(Denial::new(Reason::BodyTooLarge), context, effects),
                    Body::Wrong(wrong) => {
                        let denial = wrong.0.clone();
                        self.deny(denial, context, effects)
                    }
                    Body::Reading { reader, .. } => match self.asked(reader) {
                        Ok(None) if self.released || self.held > 0 || context.runtime.config().hold_headers => {
                            // What is held of an undecided body must not go on with the headers.
                            (Stage::Inbound(self), Step::Pause)
                        }
                        Ok(None) => {
                            self.send_on(context, effects);
                            self.released = true;
                            (Stage::Inbound(self), Step::Continue)
                        }
                        Ok(Some(operation)) => {
                            self.operation = Some(operation);
                            if let Err(denial) = self.permit(caller.as_deref(), context) {
                                return self.deny(denial, context, effects);
                            }
                            if !self.released {
                                self.send_on(context, effects);
                            }
                            *card = self.card(context, effects);
                            self.go_on(context)
                        }
                        Err(denial) => self.deny(denial, context, effects),
                    },
                }
            }
        }
    }

    /// The operation, once it is known and something of the body has come to be judged with it.
    fn asked(&self, reader: &Reader) -> Result<Option<Operation>, Denial> {
        match (self.binding, reader.method().map(Operation::from_method)) {
            (Some(Binding::Jsonrpc), None) => Ok(None),
            (Some(Binding::Jsonrpc), Some(None)) => Err(Denial::new(Reason::OperationUnknown)),
            (Some(Binding::Jsonrpc), Some(Some((operation, belongs)))) if belongs != self.version => {
                Err(mismatch(operation.name(), belongs))
            }
            (Some(Binding::Jsonrpc), Some(Some((operation, _)))) => Ok(Some(operation)),
            _ if self.reads() && self.held == 0 => Ok(None),
            _ => Ok(self.operation),
        }
    }

    /// Whether the operation, now known, and what has come of its body are allowed.
    fn permit(&self, caller: Option<&Caller>, context: &Context<'_>) -> Result<(), Denial> {
        if let Some(caller) = caller {
            self.authorize(caller, context)?;
        }
        let (Some(agent), Some(plans), Some(operation)) =
            (context.runtime.config().agents.get(self.agent), context.runtime.plans(self.agent), self.operation)
        else {
            return Err(Denial::new(Reason::OperationUnknown));
        };
        inspect::is_offered(self.binding, operation, &agent.limits)?;
        match &self.body {
            Body::Reading { reader, .. } => plans.inspect(reader, operation, self.version, agent),
            Body::NotNeeded | Body::Wrong(_) | Body::TooLong => Ok(()),
        }
    }

    /// The card to expect as the answer. The agent must give it whole and as it is.
    fn card(&self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Option<Box<CardRequest>> {
        let request = CardRequest::new(self.agent, self.operation?, self.binding, self.place.clone(), context.runtime)?;
        if !self.released {
            effects.extend(CardRequest::conditions());
        }
        Some(Box::new(request))
    }

    /// The head and what came of the body go on; the rest is watched.
    fn go_on(&mut self, context: &Context<'_>) -> (Stage, Step) {
        let meter = self.meter(context);
        match std::mem::replace(&mut self.body, Body::NotNeeded) {
            Body::Reading { reader, complete: false } => {
                let watched =
                    self.operation.map(|operation| Watched { reader, meter, agent: self.agent, operation, version: self.version });
                (watched.map_or(Stage::Done, |watched| Stage::Watching(Box::new(watched))), Step::Continue)
            }
            _ => (Stage::Done, Step::Continue),
        }
    }

    fn meter(&self, context: &Context<'_>) -> Meter {
        let denial = match self.limit {
            0 => Denial::new(Reason::RequestMalformed).advise("Only POST requests have a body here."),
            _ => Denial::new(Reason::BodyTooLarge),
        };
        Meter {
            passed: self.held,
            announced: self.announced,
            limit: self.limit,
            denial: self.named(denial, context),
            binding: self.binding,
        }
    }

    /// Whether the rules let `caller`, who was admitted, do this. Cards are not under them.
    fn authorize(&self, caller: &Caller, context: &Context<'_>) -> Result<(), Denial> {
        let config = context.runtime.config();
        let rules = config.agents.get(self.agent).and_then(|agent| agent.access.as_ref());
        let (Some(rules), Some(operation)) = (rules, self.operation) else { return Ok(()) };
        if operation == Operation::GetAgentCard {
            return Ok(());
        }
        access::decide(rules, operation, &subject(caller, config)).map_err(|refusal| match refusal {
            Refusal::Scopes(scopes) => Denial { scopes, ..Denial::new(Reason::InsufficientScope) },
            Refusal::NoRule | Refusal::Caller => Denial::new(Reason::AccessDenied),
        })
    }

    fn send_on(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.append(&mut self.headers);
        let mut set = |name: &'static str, value: &str| {
            effects.push(Effect::SetHeader(name.into(), Value::Text(safe_value(value))));
        };
        let agent = context.runtime.config().agents.get(self.agent).map(|agent| agent.name.as_str()).unwrap_or_default();
        set("x-attache-agent", agent);
        if let Some(operation) = self.operation {
            set("x-attache-operation", operation.name());
        }
        if let Identity::Known(Some(caller)) = &self.identity {
            if let Some(subject) = &caller.subject {
                set("x-attache-subject", subject);
            }
            if let Some(client) = &caller.client {
                set("x-attache-client", client);
            }
            set("x-attache-kind", caller.kind.as_str());
            set("x-attache-scopes", &caller.scopes.join(" "));
        }
        if let Some(binding) = self.binding {
            effects.push(Effect::Count(Count { agent: agent.to_owned(), version: self.version, binding }));
        }
    }

    fn named(&self, denial: Denial, context: &Context<'_>) -> Denial {
        match context.runtime.config().agents.get(self.agent) {
            Some(_) if denial.realm.is_none() => context.runtime.at(self.agent, denial),
            _ => denial,
        }
    }

    /// Refuses, with the id: if it has come, now, else when it has.
    fn deny(&mut self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        let denial = self.named(denial, context);
        match std::mem::replace(&mut self.body, Body::NotNeeded) {
            Body::Reading { reader, complete } => match reader.id() {
                Some(id) => answer(&denial, self.binding, &id, effects),
                None if complete || self.released || !context.runtime.config().hold_headers => {
                    answer(&denial, self.binding, &Id::default(), effects)
                }
                None => (Stage::Refusing(Box::new(denial), reader), Step::Pause),
            },
            Body::Wrong(wrong) => answer(&denial, self.binding, &wrong.1, effects),
            Body::NotNeeded | Body::TooLong => answer(&denial, self.binding, &Id::default(), effects),
        }
    }
}

/// Whether a caller is let in.
enum Admission {
    As(Rc<Caller>),
    Refused(Denial),
    Wait(Want),
}

/// Holds what is proved against `policy`. A card needs an accepted identity; everything else its scopes as well.
fn admit(index: usize, policy: &Policy, is_card: bool, identified: Identified, context: &Context<'_>) -> Admission {
    let (proofs, lacking) = match identified {
        Identified::As(proofs, lacking) => (proofs, lacking),
        Identified::Refused(reason) => return Admission::Refused(context.runtime.unauthenticated(index, reason)),
        Identified::Wait(want) => return Admission::Wait(want),
    };
    let met = match policy.demand.knows(&proofs) {
        Some(caller) if is_card => Ok(caller),
        _ => policy.demand.meets(&proofs),
    };
    match met {
        Ok(caller) => Admission::As(caller),
        Err(Unmet::Credentials) => Admission::Refused(context.runtime.unauthenticated(index, lacking)),
        Err(Unmet::Scopes(scopes)) => {
            let denial = Denial { scopes, ..Denial::new(Reason::InsufficientScope) };
            Admission::Refused(context.runtime.at(index, denial))
        }
    }
}

/// Why a request is refused that would have to wait a second time.
const fn unavailable(want: Want) -> Reason {
    match want {
        Want::Introspection(_) => Reason::IntrospectionUnavailable,
        Want::Keys(_) | Want::Card(_) => Reason::KeysUnavailable,
    }
}

/// The caller as rules see it.
fn subject<'a>(caller: &'a Caller, config: &'a Config) -> access::Subject<'a> {
    let issuer = match caller.origin {
        Origin::Issuer(index) => config.issuers.get(index).map(|issuer| issuer.name.as_str()),
        Origin::Introspection(_) | Origin::Scheme(_) => None,
    };
    access::Subject {
        issuer,
        subject: caller.subject.as_deref(),
        client: caller.client.as_deref(),
        tenant: caller.tenant.as_deref(),
        kind: caller.kind,
        scopes: &caller.scopes,
        roles: &caller.roles,
    }
}
