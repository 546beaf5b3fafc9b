//! A request for an agent: classify, authenticate, authorize, send on (in this order; the design's "inbound").
//! Unclassified is refused, never passed.

use super::denial::{Denial, Reason};
use super::event::{Effect, Event, Step, Value};
use super::exchange::{Meter, Stage, answer, refuse, withheld};
use super::head::Head;
use super::runtime::{Authentication, Context};
use crate::config::{Agent, CardAccess, Token};
use crate::identity::{Caller, bearer};
use crate::protocol::jsonrpc::{self, Envelope, EnvelopeError, Id};
use crate::protocol::{Binding, Operation, Version, http_json, version};
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
    limit: u64,
    /// Effects that the headers call for, to be done with the others when they go on.
    headers: Vec<Effect>,
    /// The headers went on already (without `hold_headers`).
    released: bool,
}

#[derive(Debug)]
enum Identity {
    /// The keys of an issuer are being fetched.
    Pending { issuer: usize, token: String },
    /// Verified, or nobody needs to be.
    Known(Option<Rc<Caller>>),
}

#[derive(Debug)]
enum Body {
    /// Nothing in it decides.
    NotNeeded,
    /// It decides and is still arriving.
    Pending,
    /// It is here.
    Read(Result<Envelope, EnvelopeError>),
    /// It is longer than allowed.
    TooLong,
}

/// A request that says by its method and path what it is.
#[derive(Clone, Copy, Debug)]
struct Classified {
    version: Version,
    operation: Option<Operation>,
}

pub(super) fn begin(index: usize, head: &Head<'_>, end_of_stream: bool, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
    let config = context.runtime.config();
    let (Some(agent), Some(demand)) = (config.agents.get(index), context.runtime.demand(index)) else {
        return answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects);
    };
    let suffix = path::strip_segments(head.path, agent.target.path_prefix.as_str()).unwrap_or_default();
    let binding = binding(head, suffix);
    let body_follows = !end_of_stream;
    let classified = match classify(agent, head, suffix, binding, body_follows) {
        Ok(classified) => classified,
        Err(denial) => return refuse(denial.at(&agent.name), binding, body_follows, context, effects),
    };
    let announced = match head.content_length() {
        Ok(length) => length.unwrap_or(0),
        Err(denial) => return answer(&denial.at(&agent.name), binding, &Id::default(), effects),
    };
    let is_public = classified.operation == Some(Operation::GetAgentCard) && agent.card.access == CardAccess::Public;
    let identity = match bearer::token(head.headers) {
        _ if is_public => Identity::Known(None),
        Err(error) => return refuse(context.runtime.unauthenticated(index, error.into()), binding, body_follows, context, effects),
        Ok(token) => match context.runtime.authenticate(demand, token, true, context) {
            Authentication::Caller(caller) => Identity::Known(Some(caller)),
            Authentication::Wait(issuer) => {
                effects.push(Effect::FetchKeys(issuer));
                Identity::Pending { issuer, token: token.to_owned() }
            }
            Authentication::Refused(reason) => {
                return refuse(context.runtime.unauthenticated(index, reason), binding, body_follows, context, effects);
            }
        },
    };
    let limit = if head.method == "POST" { agent.limits.max_body_bytes } else { 0 };
    let mut headers = Vec::new();
    head.set_version(&mut headers, classified.version);
    if agent.forward.token == Token::Remove {
        headers.push(Effect::RemoveHeader("authorization".into()));
    }
    let body = match binding {
        _ if announced > limit => Body::TooLong,
        Some(Binding::Jsonrpc) => Body::Pending,
        Some(Binding::HttpJson) | None => Body::NotNeeded,
    };
    let inbound = Inbound {
        agent: index,
        binding,
        version: classified.version,
        operation: classified.operation,
        identity,
        body,
        held: 0,
        limit,
        headers,
        released: false,
    };
    Box::new(inbound).decide(context, effects)
}

/// The binding by place and method alone, so that even a refusal can be said in it.
fn binding(head: &Head<'_>, suffix: &str) -> Option<Binding> {
    match suffix {
        "" | "/" if head.method == "POST" => Some(Binding::Jsonrpc),
        card if http_json::is_card(card) => None,
        _ => Some(Binding::HttpJson),
    }
}

fn classify(agent: &Agent, head: &Head<'_>, suffix: &str, binding: Option<Binding>, body_follows: bool) -> Result<Classified, Denial> {
    let offered = || agent.versions().map(Version::as_str).collect::<Vec<_>>().join(",");
    let versioned = |denial: Denial| Denial { versions: Some(offered()), ..denial };
    let requested = version::requested(head.headers, head.query).map_err(|error| versioned(Denial::new(error.into())))?;
    let version = requested.unwrap_or(agent.default_version);
    let announces_body = head.headers.has("transfer-encoding") || head.content_length()?.is_some_and(|length| length > 0);
    if head.method != "POST" && announces_body {
        return Err(Denial::new(Reason::RequestMalformed).advise("Only POST requests have a body here."));
    }
    let operation = match binding {
        Some(Binding::Jsonrpc) if !body_follows => {
            return Err(Denial::new(Reason::BodyMalformed).advise("A JSON-RPC request has a body."));
        }
        Some(Binding::Jsonrpc) => None,
        Some(Binding::HttpJson) => {
            let (operation, belongs) = http_json::route(head.method, suffix).ok_or_else(|| Denial::new(Reason::OperationUnknown))?;
            if belongs != version {
                return Err(versioned(mismatch("This route", belongs)));
            }
            Some(operation)
        }
        None if head.method == "GET" || head.method == "HEAD" => Some(Operation::GetAgentCard),
        None => return Err(Denial::new(Reason::OperationUnknown)),
    };
    let is_offered = match binding {
        Some(binding) => agent.offers(version, binding),
        None => agent.versions().any(|offered| offered == version),
    };
    if !is_offered {
        let over = binding.map(|binding| format!(" over {binding}")).unwrap_or_default();
        return Err(versioned(Denial::new(Reason::VersionNotSupported).advise(format!("A2A {version} is not offered here{over}."))));
    }
    Ok(Classified { version, operation })
}

fn mismatch(what: &str, belongs: Version) -> Denial {
    Denial::new(Reason::VersionMismatch).advise(format!("{what} belongs to A2A {belongs}: send A2A-Version: {belongs}."))
}

impl Inbound {
    pub(super) fn reads(&self, length: u64) -> bool {
        matches!(self.body, Body::Pending) && length <= self.limit
    }

    pub(super) fn awaits_body(&self) -> bool {
        matches!(self.body, Body::Pending) && !self.released
    }

    pub(super) fn awaits_keys(&self) -> Option<usize> {
        match &self.identity {
            Identity::Pending { issuer, .. } => Some(*issuer),
            Identity::Known(_) => None,
        }
    }

    pub(super) fn on(mut self: Box<Self>, event: Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        match event {
            Event::RequestBody { bytes, end, content } => {
                self.held = bytes;
                let body = std::mem::replace(&mut self.body, Body::TooLong);
                self.body = match body {
                    _ if bytes > self.limit => Body::TooLong,
                    Body::Pending if end => Body::Read(jsonrpc::parse(&content)),
                    other => other,
                };
            }
            Event::KeysSettled => {
                if let (Identity::Pending { token, .. }, Some(demand)) = (&self.identity, context.runtime.demand(self.agent)) {
                    let reason = match context.runtime.authenticate(demand, token, false, context) {
                        Authentication::Caller(caller) => {
                            self.identity = Identity::Known(Some(caller));
                            return self.decide(context, effects);
                        }
                        Authentication::Wait(_) => Reason::KeysUnavailable,
                        Authentication::Refused(reason) => reason,
                    };
                    let denial = context.runtime.unauthenticated(self.agent, reason);
                    return self.deny(denial, context, effects);
                }
            }
            Event::BodyWithheld => return withheld(effects),
            Event::RequestHeaders { .. } => {}
        }
        self.decide(context, effects)
    }

    /// What is known so far decides, or more is waited for.
    fn decide(mut self: Box<Self>, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        match (&self.identity, &self.body) {
            (Identity::Pending { .. }, _) => (Stage::Inbound(self), Step::Pause),
            (Identity::Known(caller), body) => {
                if let Some(caller) = caller.clone()
                    && let Err(denial) = self.authorize(&caller, context)
                {
                    return self.deny(denial, context, effects);
                }
                match body {
                    Body::NotNeeded => {
                        self.send_on(context, effects);
                        let denial = match self.limit {
                            0 => Denial::new(Reason::RequestMalformed).advise("Only POST requests have a body here."),
                            _ => Denial::new(Reason::BodyTooLarge),
                        };
                        let denial = self.named(denial, context);
                        (Stage::Passing(Meter { passed: self.held, limit: self.limit, denial, binding: self.binding }), Step::Continue)
                    }
                    // What is held of an undecided body must not go on with the headers.
                    Body::Pending if self.released || self.held > 0 || context.runtime.config().hold_headers => {
                        (Stage::Inbound(self), Step::Pause)
                    }
                    Body::Pending => {
                        self.send_on(context, effects);
                        self.released = true;
                        (Stage::Inbound(self), Step::Continue)
                    }
                    Body::TooLong => self.deny(Denial::new(Reason::BodyTooLarge), context, effects),
                    Body::Read(Err(error)) => {
                        let denial = match error {
                            EnvelopeError::NotJson => Denial::new(Reason::BodyMalformed),
                            EnvelopeError::NotARequest { reason, .. } => {
                                Denial::new(Reason::RequestMalformed).advise(format!("This is no JSON-RPC request: {reason}."))
                            }
                        };
                        self.deny(denial, context, effects)
                    }
                    Body::Read(Ok(envelope)) => match Operation::from_method(&envelope.method) {
                        None => self.deny(Denial::new(Reason::OperationUnknown), context, effects),
                        Some((operation, belongs)) if belongs != self.version => {
                            self.deny(mismatch(operation.name(), belongs), context, effects)
                        }
                        Some((operation, _)) => {
                            self.operation = Some(operation);
                            if !self.released {
                                self.send_on(context, effects);
                            }
                            (Stage::Done, Step::Continue)
                        }
                    },
                }
            }
        }
    }

    /// Whether `caller` may do this. A card needs an accepted identity; everything else the agent's scopes.
    fn authorize(&self, caller: &Caller, context: &Context<'_>) -> Result<(), Denial> {
        let denied = || Denial::new(Reason::InsufficientScope);
        let demand = context.runtime.demand(self.agent).ok_or_else(denied)?;
        match self.operation {
            Some(Operation::GetAgentCard) if demand.knows(caller) => Ok(()),
            _ => demand.meets(caller).map_err(|scopes| Denial { scopes: scopes.to_vec(), ..denied() }),
        }
    }

    fn send_on(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.append(&mut self.headers);
        let mut set = |name: &'static str, value: &str| {
            effects.push(Effect::SetHeader(name.into(), Value::Text(safe_value(value))));
        };
        if let Some(agent) = context.runtime.config().agents.get(self.agent) {
            set("x-attache-agent", &agent.name);
        }
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
    }

    fn named(&self, denial: Denial, context: &Context<'_>) -> Denial {
        match context.runtime.config().agents.get(self.agent) {
            Some(agent) if denial.realm.is_none() => denial.at(&agent.name),
            _ => denial,
        }
    }

    /// Refuses, with the id if the body has been read, else after it.
    fn deny(&self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        let denial = self.named(denial, context);
        match &self.body {
            Body::Pending => refuse(denial, self.binding, !self.released, context, effects),
            Body::Read(Ok(envelope)) => answer(&denial, self.binding, &envelope.id, effects),
            Body::Read(Err(error)) => answer(&denial, self.binding, &error.id(), effects),
            Body::NotNeeded | Body::TooLong => answer(&denial, self.binding, &Id::default(), effects),
        }
    }
}
