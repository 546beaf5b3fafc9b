//! A call to a remote agent: the client's own credentials go, the connection's credential comes, and only
//! there. No credential, no request.

use super::denial::{Denial, Reason};
use super::event::{Effect, Event, Level, Step, Value};
use super::exchange::{Stage, answer, plain_reader, refuse, withheld};
use super::facts::Note;
use super::fetch::Want;
use super::head::{Head, Target};
use super::inspect::Reader;
use super::negotiate::{self, Spoken};
use super::obtain::{Attachment, Obtained};
use super::record::Used;
use super::runtime::Context;
use crate::config::{Connection, Pin};
use crate::credential::Key;
use crate::credential::cache::Token;
use crate::identity::bearer::{self, BearerError};
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, http_json};
use crate::wire::path;
use secrecy::SecretString;
use std::rc::Rc;

/// No call needs more fetches than this: a secret, keys, an actor token, the token, the agent's card.
const MOST_WAITS: usize = 6;

/// A call that has no credential yet.
#[derive(Debug)]
pub struct Outbound {
    connection: usize,
    binding: Binding,
    /// What its version depends on, if that is not set yet.
    spoken: Option<Spoken>,
    /// The caller's own token, if the credential is made of it.
    caller: Option<SecretString>,
    /// What was waited for.
    waited: Vec<Want>,
    /// What is waited for now; nothing before the first time.
    pause: Option<Pause>,
    /// One of the places that a connection has for those who wait for a fetch, once it does.
    seat: Option<Rc<()>>,
    /// Reads the body of a JSON-RPC request: its method, and its id for a refusal.
    reader: Option<Box<Reader>>,
    /// The body is complete, or cannot be read.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pause {
    Fetch(Want),
    /// The body, up to its method.
    Method,
}

/// A credential that went out; the answer tells what it was worth.
#[derive(Debug)]
pub struct Sent {
    connection: usize,
    method: &'static str,
    token: Option<(Key, Rc<Token>)>,
}

pub(super) fn begin(
    index: usize,
    head: &Head<'_>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    sent: &mut Option<Sent>,
) -> (Stage, Step) {
    let config = context.runtime.config();
    effects.push(Effect::Note(Note::For(Target::Connection(index))));
    let Some(connection) = config.connections.get(index) else {
        return answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects);
    };
    let binding = binding(head, connection);
    let for_caller = connection.credential.each().any(|credential| credential.subject().is_some());
    let is_sure = connection.credential.subject().is_some();
    let caller = match for_caller.then(|| bearer::token(head.headers)) {
        None => None,
        Some(Ok(token)) => Some(SecretString::from(token.to_owned())),
        // It may turn out not to be needed.
        Some(Err(BearerError::Missing)) if !is_sure => None,
        Some(Err(error)) => {
            let denial = Denial::new(error.into()).at(&connection.name);
            return refuse(denial, Some(binding), !end_of_stream, context, effects);
        }
    };
    let dropped = context.runtime.dropped(index);
    effects.extend(dropped.into_iter().flat_map(|dropped| dropped.headers(head.headers)));
    let target = dropped.and_then(|dropped| dropped.target(head.target));
    effects.extend(target.iter().map(|target| Effect::SetHeader(":path".into(), Value::Text(target.clone()))));
    let head = &head.with_target(target.as_deref());
    let spoken = match negotiate::begin(head, connection, effects) {
        Ok(spoken) => spoken,
        Err(denial) => return refuse(denial, Some(binding), !end_of_stream, context, effects),
    };
    let outbound = Outbound {
        connection: index,
        binding,
        spoken,
        caller,
        waited: Vec::new(),
        pause: None,
        seat: None,
        reader: None,
        ended: end_of_stream,
    };
    Box::new(outbound).go_on(connection, context, effects, sent)
}

/// What becomes of a call now.
enum Next {
    Go(Attachment),
    Refuse(Denial),
    Wait(Want),
    /// The method is needed.
    Read,
}

impl Outbound {
    /// Finds version and credential, or what they have to wait for.
    fn next(&mut self, connection: &Connection, context: &Context<'_>, effects: &mut Vec<Effect>) -> Next {
        let agent = connection.card.as_ref().map(|_| context.runtime.remote_agent(self.connection, &self.waited, context.now));
        if let (Some(Ok(agent)), Some(spoken)) = (&agent, &self.spoken) {
            if spoken.needs_method(&agent.offers, connection) && self.may_read(context) {
                self.binding = Binding::Jsonrpc;
                return Next::Read;
            }
            let method = self.reader.as_ref().and_then(|reader| reader.method());
            let (binding, settled) = spoken.settle(&agent.offers, connection, method, effects);
            self.binding = binding.unwrap_or(self.binding);
            if let Err(denial) = settled {
                return Next::Refuse(denial);
            }
            self.spoken = None;
        }
        let obtained = match agent {
            Some(Err(stopped)) => *stopped,
            Some(Ok(_)) | None => context.runtime.obtain(self.connection, self.caller.as_ref(), &self.waited, context),
        };
        match obtained {
            Obtained::Attach(attachment) => Next::Go(attachment),
            Obtained::Wait(want) if self.waited.len() < MOST_WAITS => Next::Wait(want),
            Obtained::Wait(_) => Next::Refuse(denial(connection, Reason::CredentialUnavailable, None, effects)),
            Obtained::Refused(reason, cause) => Next::Refuse(denial(connection, reason, cause, effects)),
        }
    }

    /// Whether the method can still come.
    fn may_read(&self, context: &Context<'_>) -> bool {
        let has_come = self.reader.as_ref().is_some_and(|reader| reader.method().is_some());
        // Without that the proxy delivers no body before the headers have gone.
        !self.ended && !has_come && context.runtime.config().hold_headers
    }

    pub(super) const fn awaits(&self) -> Option<Want> {
        match self.pause {
            Some(Pause::Fetch(want)) => Some(want),
            Some(Pause::Method) | None => None,
        }
    }

    pub(super) const fn awaits_body(&self) -> bool {
        matches!(self.pause, Some(Pause::Method))
    }

    /// Whether the body is read. While something is fetched it stays in the proxy.
    pub(super) const fn reads(&self) -> bool {
        matches!(self.pause, Some(Pause::Method)) && self.reader.is_some() && !self.ended
    }

    pub(super) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Stage, Step) {
        match (event, self.pause) {
            (Event::RequestBody { end, chunk, .. }, Some(Pause::Method)) => {
                // Whether the remote agent can read it is its own affair; an id may have been found all the same.
                let failed = self.reader.as_mut().is_some_and(|reader| reader.read(&chunk, end).is_err());
                self.ended |= end || failed;
                if self.may_read(context) { (Stage::Outbound(self), Step::Pause) } else { self.again(context, effects, sent) }
            }
            (Event::Settled, Some(Pause::Fetch(_))) => self.again(context, effects, sent),
            (Event::BodyWithheld, Some(Pause::Method)) => withheld(Some(self.binding), effects),
            _ => (Stage::Outbound(self), Step::Pause),
        }
    }

    fn again(self: Box<Self>, context: &Context<'_>, effects: &mut Vec<Effect>, sent: &mut Option<Sent>) -> (Stage, Step) {
        match context.runtime.config().connections.get(self.connection) {
            Some(connection) => self.go_on(connection, context, effects, sent),
            None => answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects),
        }
    }

    fn go_on(
        mut self: Box<Self>,
        connection: &Connection,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Stage, Step) {
        match self.next(connection, context, effects) {
            Next::Go(attachment) => {
                *sent = Some(attach(self.connection, connection, attachment, self.binding, effects));
                (Stage::Done, Step::Continue)
            }
            Next::Refuse(denial) => self.refuse(denial, context, effects),
            Next::Read => self.pause(Pause::Method),
            Next::Wait(want) => {
                self.seat = self.seat.take().or_else(|| context.runtime.seat(self.connection));
                if self.seat.is_none() {
                    let cause =
                        format!("connection {:?}: {} requests wait for its credential already", connection.name, connection.max_waiting);
                    let denial = denial(connection, Reason::CredentialUnavailable, Some(cause), effects);
                    return self.refuse(denial, context, effects);
                }
                self.waited.push(want);
                effects.push(Effect::Fetch(want));
                self.pause(Pause::Fetch(want))
            }
        }
    }

    fn pause(mut self: Box<Self>, pause: Pause) -> (Stage, Step) {
        self.begin_reading();
        self.pause = Some(pause);
        (Stage::Outbound(self), Step::Pause)
    }

    /// The proxy holds all that has come of the body.
    fn begin_reading(&mut self) {
        if self.reader.is_none() && self.binding == Binding::Jsonrpc && !self.ended {
            self.reader = Some(Box::new(plain_reader()));
        }
    }

    /// Refuses, with the id of a JSON-RPC request: if it has come, now, else when it has.
    fn refuse(mut self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        self.begin_reading();
        match self.reader.filter(|_| self.binding == Binding::Jsonrpc) {
            Some(reader) if reader.id().is_none() && !self.ended && context.runtime.config().hold_headers => {
                (Stage::Refusing(Box::new(denial), reader), Step::Pause)
            }
            reader => answer(&denial, Some(self.binding), &reader.and_then(|reader| reader.id()).unwrap_or_default(), effects),
        }
    }
}

impl Sent {
    /// The remote agent has answered.
    pub(super) fn on_response(&mut self, status: u16, context: &Context<'_>, effects: &mut Vec<Effect>) {
        if !matches!(status, 401 | 403) {
            return;
        }
        let Some(connection) = context.runtime.config().connections.get(self.connection) else { return };
        let hint = match (status, &self.token) {
            (401, Some(_)) => "is it issued for the audience that the agent expects?",
            (401, None) => "is the credential still valid, and the one that the agent expects?",
            _ => "has this identity the roles or scopes that the agent asks for?",
        };
        let text = format!("connection {:?}: the agent answered {status} to the credential ({}): {hint}", connection.name, self.method);
        effects.push(Effect::Log(Level::Warn, text));
        if let (401, Some((key, token))) = (status, self.token.take()) {
            context.runtime.reject(&key, &token, context.now);
        }
    }
}

/// Puts the credential on the request, says so, and lets it go only where the connection's route leads.
fn attach(index: usize, connection: &Connection, attachment: Attachment, binding: Binding, effects: &mut Vec<Effect>) -> Sent {
    let Attachment { headers, method, origin, age, token, caller } = attachment;
    let names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
    effects.extend(headers.into_iter().map(|(name, value)| Effect::SetHeader(name.into(), Value::Secret(value))));
    if let Some(pin) = connection.pin.as_ref().filter(|pin| **pin != Pin::None) {
        // Last of all that changes the request: every change lets Envoy choose its route anew.
        let mut otherwise: Vec<Effect> = names.into_iter().map(|name| Effect::RemoveHeader(name.into())).collect();
        let cause = Some(format!("connection {:?}: its route does not lead where its pin says", connection.name));
        let denial = denial(connection, Reason::ConnectionMismatch, cause, &mut otherwise);
        answer(&denial, Some(binding), &Id::default(), &mut otherwise);
        effects.push(Effect::Pin { pin: pin.clone(), connection: connection.name.clone(), otherwise });
    }
    let told = age.map(|age| format!(" age={}", age.as_secs())).unwrap_or_default();
    effects.push(Effect::SetState("attache.credential", format!("connection={:?} method={method} from={origin}{told}", connection.name)));
    effects.push(Effect::CountUse { connection: connection.name.clone(), method, origin });
    effects.extend(caller.map(|caller| Effect::Note(Note::From(caller))));
    effects.push(Effect::Note(Note::Attached(Used { method, origin, age })));
    effects.push(Effect::Note(Note::Allowed));
    Sent { connection: index, method, token }
}

fn denial(connection: &Connection, reason: Reason, cause: Option<String>, effects: &mut Vec<Effect>) -> Denial {
    effects.extend(cause.map(|cause| Effect::Log(Level::Warn, cause)));
    Denial::new(reason).at(&connection.name)
}

/// The binding of a call that is refused: a POST on no HTTP+JSON route is JSON-RPC.
fn binding(head: &Head<'_>, connection: &Connection) -> Binding {
    let suffix = path::strip_segments(head.path, connection.target.path_prefix.as_str()).unwrap_or_default();
    if head.method == "POST" && http_json::route(head.method, suffix).is_none() { Binding::Jsonrpc } else { Binding::HttpJson }
}
