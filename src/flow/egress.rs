//! A call to a remote agent: the client's own credentials go, the connection's credential comes, and only
//! there. No credential, no request.

use super::denial::{Denial, Reason};
use super::event::{Effect, Event, Level, Step, Value};
use super::exchange::{Stage, answer, plain_reader, refuse};
use super::facts::Note;
use super::fetch::Want;
use super::head::{Head, Target};
use super::inspect::Reader;
use super::negotiate::{self, Spoken};
use super::obtain::{Attachment, Obtained};
use super::runtime::Context;
use crate::config::Connection;
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

/// A call that waits for its credential.
#[derive(Debug)]
pub struct Outbound {
    connection: usize,
    binding: Binding,
    /// Its version, if that is not set yet.
    spoken: Option<Spoken>,
    /// The caller's own token, if the credential is made of it.
    caller: Option<SecretString>,
    /// What was waited for; the last of these is what is waited for now.
    waited: Vec<Want>,
    /// One of the places that a connection has for those who wait, once it does.
    seat: Option<Rc<()>>,
    /// Reads the id of a JSON-RPC request, for a refusal.
    reader: Option<Box<Reader>>,
    /// The body is complete.
    complete: bool,
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
    for name in context.runtime.credential_headers().iter().filter(|name| head.headers.has(name)) {
        effects.push(Effect::RemoveHeader(name.clone().into()));
    }
    let spoken = match negotiate::begin(head, connection, effects) {
        Ok(spoken) => spoken,
        Err(denial) => return refuse(denial, Some(binding), !end_of_stream, context, effects),
    };
    let mut outbound =
        Outbound { connection: index, binding, spoken, caller, waited: Vec::new(), seat: None, reader: None, complete: end_of_stream };
    match outbound.next(connection, context, effects) {
        Next::Go(attachment) => {
            *sent = Some(attach(index, connection, attachment, binding, effects));
            (Stage::Done, Step::Continue)
        }
        Next::Refuse(denial) => refuse(denial, Some(outbound.binding), !end_of_stream, context, effects),
        Next::Wait(want) => {
            outbound.seat = context.runtime.seat(index);
            if outbound.seat.is_none() {
                let cause =
                    format!("connection {:?}: {} requests wait for its credential already", connection.name, connection.max_waiting);
                let denial = denial(connection, Reason::CredentialUnavailable, Some(cause), effects);
                return refuse(denial, Some(binding), !end_of_stream, context, effects);
            }
            effects.push(Effect::Fetch(want));
            outbound.waited.push(want);
            outbound.reader = (binding == Binding::Jsonrpc && !end_of_stream).then(|| Box::new(plain_reader()));
            (Stage::Outbound(Box::new(outbound)), Step::Pause)
        }
    }
}

/// What becomes of a call now.
enum Next {
    Go(Attachment),
    Refuse(Denial),
    Wait(Want),
}

impl Outbound {
    /// Finds version and credential, or what they have to wait for.
    fn next(&mut self, connection: &Connection, context: &Context<'_>, effects: &mut Vec<Effect>) -> Next {
        let agent = connection.card.as_ref().map(|_| context.runtime.remote_agent(self.connection, &self.waited, context.now));
        if let (Some(Ok(agent)), Some(spoken)) = (&agent, self.spoken.take_if(|_| matches!(agent, Some(Ok(_))))) {
            let (binding, settled) = spoken.settle(&agent.offers, connection, effects);
            self.binding = binding.unwrap_or(self.binding);
            if let Err(denial) = settled {
                return Next::Refuse(denial);
            }
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

    pub(super) fn awaits(&self) -> Option<Want> {
        self.waited.last().copied()
    }

    pub(super) const fn reads(&self) -> bool {
        self.reader.is_some() && !self.complete
    }

    pub(super) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Stage, Step) {
        match event {
            Event::RequestBody { end, chunk, .. } => {
                self.complete = end;
                if let Some(reader) = &mut self.reader {
                    // Whether the remote agent can read it is its own affair; an id may be found all the same.
                    let _ = reader.read(&chunk, end);
                }
                (Stage::Outbound(self), Step::Pause)
            }
            Event::Settled => self.settled(context, effects, sent),
            _ => (Stage::Outbound(self), Step::Pause),
        }
    }

    fn settled(mut self: Box<Self>, context: &Context<'_>, effects: &mut Vec<Effect>, sent: &mut Option<Sent>) -> (Stage, Step) {
        let Some(connection) = context.runtime.config().connections.get(self.connection) else {
            return answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects);
        };
        match self.next(connection, context, effects) {
            Next::Go(attachment) => {
                *sent = Some(attach(self.connection, connection, attachment, self.binding, effects));
                (Stage::Done, Step::Continue)
            }
            Next::Wait(want) => {
                self.waited.push(want);
                effects.push(Effect::Fetch(want));
                (Stage::Outbound(self), Step::Pause)
            }
            Next::Refuse(denial) => self.refuse(denial, context, effects),
        }
    }

    /// Refuses, with the id of a JSON-RPC request: if it has come, now, else when it has.
    fn refuse(self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
        match self.reader.filter(|_| self.binding == Binding::Jsonrpc) {
            Some(reader) if reader.id().is_none() && !self.complete && context.runtime.config().hold_headers => {
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
    let Attachment { headers, method, origin, age, token } = attachment;
    let names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
    effects.extend(headers.into_iter().map(|(name, value)| Effect::SetHeader(name.into(), Value::Secret(value))));
    if let Some(pin) = &connection.pin {
        // Last of all that changes the request: every change lets Envoy choose its route anew.
        let mut otherwise: Vec<Effect> = names.into_iter().map(|name| Effect::RemoveHeader(name.into())).collect();
        let cause = Some(format!("connection {:?}: its route does not lead where its pin says", connection.name));
        let denial = denial(connection, Reason::ConnectionMismatch, cause, &mut otherwise);
        answer(&denial, Some(binding), &Id::default(), &mut otherwise);
        effects.push(Effect::Pin { pin: pin.clone(), connection: connection.name.clone(), otherwise });
    }
    let age = age.map(|age| format!(" age={}", age.as_secs())).unwrap_or_default();
    effects.push(Effect::SetState("attache.credential", format!("connection={:?} method={method} from={origin}{age}", connection.name)));
    effects.push(Effect::CountUse { connection: connection.name.clone(), method, origin });
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
