//! A call to a remote agent: classify, ask who calls, read what the body tells, and only then attach the connection's credential. The
//! client's own credentials go. What is not A2A gets none. No credential, no request.

use crate::config::Pin;
use crate::credential::secrets;
use crate::flow::callers::credentials::Credentials;
use crate::flow::callers::tenancy::Tenancy;
use crate::flow::event::call::Want;
use crate::flow::event::decision::Used;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Event, Level, Route, Step, Value};
use crate::flow::meter::{Excess, Meter};
use crate::flow::outbound::endorsed::Endorsed;
use crate::flow::outbound::finding::{Method, Next, permit, subject};
use crate::flow::outbound::leaving::{Call, CallKind, not_a2a};
use crate::flow::outbound::notice::Notice;
use crate::flow::outbound::state::{Attached, Outbound, Pause, Ready, Sent, denial};
use crate::flow::outbound::{leaving, negotiate};
use crate::flow::progress::{Progress, Watched, answer, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::connection::Connection;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::obtain::Attachment;
use crate::flow::supply::seats::Seat;
use crate::identity::Peer;
use crate::protocol::envelope::{EnvelopeReader, Id};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::scan::Limits;
use std::rc::Rc;

pub(in crate::flow) fn begin(
    connection: Rc<Connection>,
    head: &Head<'_>,
    peer: Option<&Peer>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    sent: &mut Option<Sent>,
) -> (Progress<Outbound>, Step) {
    effects.push(Effect::Note(Note::For(connection.target())));
    let target = leaving::conceal(&connection, head, effects);
    let call = Call::new(head, target, &connection, !end_of_stream);
    ask_plainly(&connection, head, context, effects);
    let notice = Notice::new(head, &connection, !end_of_stream, effects);
    let policy = connection.callers.as_ref();
    let caller = policy.map(|policy| Box::new(Credentials::read(policy, context.runtime, head, peer).into_owned()));
    let outbound = Outbound {
        place: call.place(&connection, None),
        notice,
        call,
        caller,
        subject: subject(head, &connection),
        endorsed: Endorsed::of(&connection),
        as_user: None,
        connection,
        waited: Vec::new(),
        pause: None,
        seat: None,
        strangers_seat: None,
        reader: None,
        wrong: None,
        held: 0,
        announced: head.content_length().ok().flatten(),
        ended: end_of_stream,
        bodiless: end_of_stream,
        released: None,
    };
    Box::new(outbound).go_on(context, effects, sent)
}

/// What would let the remote agent answer with something that cannot be read, where answers are read to be changed.
fn ask_plainly(connection: &Connection, head: &Head<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) {
    let is_changed = connection.notifications.is_none() && (connection.strips_links() || context.runtime.consent_host().is_some());
    let names = ["accept-encoding", "grpc-accept-encoding", "range", "if-range"].into_iter();
    effects.extend(names.filter(|name| is_changed && head.headers.has(name)).map(|name| Effect::RemoveHeader(name.into())));
}

impl Outbound {
    /// Whether the method can still come before the head goes on, or more of a body of which all is needed.
    pub(super) fn may_read(&self, context: &Context<'_>) -> bool {
        let (is_too_long, waits) = self.endorsed.as_ref().map_or((false, false), |endorsed| (endorsed.is_too_long(), endorsed.waits()));
        let has_come = self.reader.as_ref().map_or(is_too_long, |reader| reader.method().is_some());
        let is_needed = !has_come || waits;
        !self.ended && self.wrong.is_none() && is_needed && !self.is_too_long() && context.runtime.config().hold_headers
    }

    pub(in crate::flow) const fn awaits(&self) -> Option<Want> {
        match self.pause {
            Some(Pause::Fetch(want)) => Some(want),
            Some(Pause::Method | Pause::Route(_)) | None => None,
        }
    }

    pub(in crate::flow) const fn awaits_body(&self) -> bool {
        matches!(self.pause, Some(Pause::Method))
    }

    /// Whether the body is read. Until the caller is known it stays in the proxy; what has been read from is read on, so that nothing
    /// goes on unread.
    pub(in crate::flow) const fn reads(&self) -> bool {
        (self.reader.is_some() || self.keeps()) && self.wrong.is_none() && !self.ended
    }

    /// Whether the body is kept.
    const fn keeps(&self) -> bool {
        matches!(&self.endorsed, Some(endorsed) if endorsed.keeps())
    }

    /// The number of its place among those whose senders are not known yet.
    pub(in crate::flow) fn seat(&self) -> Option<u64> {
        self.strangers_seat.as_ref().map(Seat::number)
    }

    /// Whether its place has gone to another, and it does not know that yet.
    fn is_displaced(&self) -> bool {
        self.strangers_seat.as_ref().is_some_and(Seat::is_displaced)
    }

    pub(in crate::flow) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Progress<Outbound>, Step) {
        match (event, self.pause.take()) {
            (Event::Route(said), Some(Pause::Route(ready))) => self.leave(*ready, &said, context, effects, sent),
            (Event::RequestBody { bytes, end, chunk }, pause) => {
                self.read(bytes, end, &chunk);
                match (pause, self.released) {
                    (_, Some(version)) => {
                        let (progress, step) = self.judge(version, context, effects);
                        if matches!(progress, Progress::Done) {
                            // The answer is ours, and says nothing of the credential.
                            *sent = None;
                        }
                        (progress, step)
                    }
                    (Some(Pause::Method), None) if !self.may_read(context) => self.go_on(context, effects, sent),
                    (pause, None) => self.stay(pause),
                }
            }
            (Event::Settled, Some(Pause::Fetch(_))) if self.is_displaced() => {
                self.turn_away(Denial::new(Reason::Overloaded), context, effects)
            }
            (Event::Settled, Some(Pause::Fetch(_))) => self.go_on(context, effects, sent),
            (Event::BodyWithheld, Some(Pause::Method)) => withheld(self.binding(), effects),
            (_, pause) => self.stay(pause),
        }
    }

    /// Waits for what it waited for.
    fn stay(mut self: Box<Self>, pause: Option<Pause>) -> (Progress<Outbound>, Step) {
        self.pause = pause;
        (Progress::Wait(self), Step::Pause)
    }

    /// Reads what has come of the body.
    pub(super) fn read(&mut self, bytes: u64, end: bool, chunk: &[u8]) {
        self.held = bytes;
        // A body that is not read yet has not ended either: its end is reported when it is read.
        if !self.reads() {
            return;
        }
        // With the announced length everything is here, whether the proxy says so yet or not.
        self.ended = end || self.announced == Some(bytes);
        if let Some(reader) = &mut self.reader {
            self.wrong = reader.read(chunk, self.ended).err();
        }
        if let Some(endorsed) = &mut self.endorsed {
            endorsed.keep(chunk);
        }
    }

    /// The head went out with the credential before the method was known: the body follows only if it is what may leave.
    pub(super) fn judge(self: Box<Self>, version: Version, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Outbound>, Step) {
        let operation = match self.method() {
            Err(denial) => return self.refuse(denial, context, effects),
            Ok(Method::Unknown) if !self.ended => return (Progress::Wait(self), Step::Pause),
            // Whatever passes without a credential: this has one.
            Ok(Method::Unknown | Method::Other) => {
                return self.refuse(not_a2a(), context, effects);
            }
            Ok(Method::Is(operation, belongs)) => {
                effects.push(Effect::Note(Note::Is { version, binding: self.place.binding(), operation: Some(operation) }));
                let checked =
                    negotiate::check(Some((operation, Some(belongs))), version).and_then(|()| permit(Some(operation), &self.connection));
                if let Err(denial) = checked {
                    return self.refuse(denial, context, effects);
                }
                operation
            }
        };
        effects.push(Effect::Note(Note::Allowed));
        self.onward(operation, version)
    }

    pub(super) fn go_on(
        mut self: Box<Self>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Progress<Outbound>, Step) {
        match self.next(context, effects) {
            Next::Go(attachment, version, operation) => {
                // A notification goes as the agent wrote it.
                if self.notice.is_none() {
                    negotiate::set(&self.call, version, effects);
                }
                let attached = attach(*attachment, &self.target(), effects);
                self.release(effects);
                let ready = Ready { attached, version, operation };
                // Last of all that changes the request: every change lets Envoy choose its route anew.
                match self.connection.pin.as_ref().and_then(route) {
                    Some(question) => {
                        self.pause = Some(Pause::Route(Box::new(ready)));
                        (Progress::Wait(self), Step::AskRoute(question))
                    }
                    None => self.go(ready, context, effects, sent),
                }
            }
            Next::Pass => {
                effects.push(Effect::Note(Note::Allowed));
                (Progress::Done, Step::Continue)
            }
            Next::Answer(reply) => {
                effects.push(Effect::Reply(reply));
                (Progress::Done, Step::Pause)
            }
            Next::Refuse(denial) => self.turn_away(denial, context, effects),
            Next::Sit(want) => {
                self.strangers_seat = None;
                self.strangers_seat = context.runtime.sit(want, &self.destination(), context.now);
                if self.strangers_seat.is_none() {
                    return self.turn_away(Denial::new(Reason::Overloaded), context, effects);
                }
                self.waited.push(want);
                effects.push(Effect::Fetch(want));
                self.pause(Pause::Fetch(want))
            }
            Next::Read => {
                // Only who waits for a fetch has one.
                self.seat = None;
                self.begin_reading(context);
                if let Some(endorsed) = &mut self.endorsed {
                    endorsed.begin();
                }
                self.pause(Pause::Method)
            }
            Next::Wait(want) => {
                self.seat = self.seat.take().or_else(|| context.runtime.supply().seat(self.connection.index));
                if self.seat.is_none() {
                    let (name, max_waiting) = (&self.connection.name, self.connection.max_waiting);
                    let cause = format!("connection {name:?}: {max_waiting} requests wait for its credential already");
                    let denial = denial(&self.connection, Reason::CredentialUnavailable, Some(cause), effects);
                    return self.turn_away(denial, context, effects);
                }
                self.waited.push(want);
                effects.push(Effect::Fetch(want));
                self.pause(Pause::Fetch(want))
            }
        }
    }

    /// The target as it leaves: the version of a call stands in a header.
    fn target(&self) -> String {
        if self.notice.is_some() { self.call.target.clone() } else { self.call.target_without_version() }
    }

    /// The credential is on the request: it goes only where the connection's route leads.
    fn leave(
        self: Box<Self>,
        ready: Ready,
        said: &[u8],
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Progress<Outbound>, Step) {
        let connection = &self.connection;
        if connection.pin.as_ref().is_some_and(|pin| pin.fits(said, &connection.name)) {
            return self.go(ready, context, effects, sent);
        }
        effects.extend(ready.attached.names.into_iter().map(|name| Effect::RemoveHeader(name.into())));
        if ready.attached.in_query {
            effects.push(Effect::SetHeader(":path".into(), Value::Text(self.target())));
        }
        let cause = connection.pin.as_ref().map(|pin| format!("connection {:?}: {}", connection.name, pin.contradicts(said)));
        let denial = denial(connection, Reason::ConnectionMismatch, cause, effects);
        answer(&denial, self.place.binding(), &Id::default(), effects)
    }

    /// Says what is attached, and lets the call go as far as it may.
    fn go(
        mut self: Box<Self>,
        ready: Ready,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        sent: &mut Option<Sent>,
    ) -> (Progress<Outbound>, Step) {
        let Ready { attached, version, operation } = ready;
        *sent = Some(attached.report(Rc::clone(&self.connection), effects));
        if self.notice.is_some() {
            effects.push(Effect::Note(Note::Allowed));
            return (Progress::Done, Step::Continue);
        }
        if let Some(operation) = operation {
            effects.push(Effect::Note(Note::Allowed));
            return self.onward(operation, version);
        }
        self.begin_reading(context);
        (self.released, self.pause, self.seat) = (Some(version), None, None);
        (Progress::Wait(self), Step::Continue)
    }

    /// Refuses, and reads what is still needed for that.
    pub(super) fn turn_away(
        mut self: Box<Self>,
        denial: Denial,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> (Progress<Outbound>, Step) {
        self.begin_reading(context);
        self.refuse(denial, context, effects)
    }

    /// What came of the body goes on; the rest must not contradict what was decided.
    pub(super) fn onward(self: Box<Self>, operation: Operation, version: Version) -> (Progress<Outbound>, Step) {
        let binding = self.place.binding();
        let (passed, announced, destination) = (self.held, self.announced, self.destination());
        let meter = |limit, excess| Meter { passed, announced, limit, excess, destination, binding };
        let progress = match (self.place, self.reader) {
            (CallKind::Jsonrpc, Some(reader)) => {
                let meter = meter(u64::MAX, Excess::TooLong);
                if self.ended {
                    Progress::Pass(meter.ended())
                } else {
                    let (owned, tenancy, caller) = (None, Tenancy::default(), None);
                    Progress::Watch(Box::new(Watched { reader, meter, operation, version, owned, tenancy, caller }))
                }
            }
            // All of it has been looked at.
            _ if self.endorsed.is_some_and(|endorsed| endorsed.is_judged()) => Progress::Pass(meter(0, Excess::Announced).ended()),
            _ if !self.call.is_post() && !self.bodiless => Progress::Pass(meter(0, Excess::Method)),
            _ => Progress::Done,
        };
        (progress, Step::Continue)
    }

    pub(super) fn pause(mut self: Box<Self>, pause: Pause) -> (Progress<Outbound>, Step) {
        self.pause = Some(pause);
        (Progress::Wait(self), Step::Pause)
    }

    /// The proxy holds all that has come of the body.
    pub(super) fn begin_reading(&mut self, context: &Context<'_>) {
        if self.reader.is_none() && !self.ended {
            self.reader = self.notification_reader(context);
        }
        if self.reader.is_none() && !self.ended && self.call.may_be_jsonrpc(self.place, &self.connection) {
            self.reader = Some(Box::new(Reader::Jsonrpc(EnvelopeReader::new(Limits::default(), context.runtime.envelope()))));
        }
    }

    /// The binding of a refusal: before the card is known, a POST on no route may be JSON-RPC.
    pub(super) fn binding(&self) -> Option<Binding> {
        if self.reader.is_some() && !matches!(self.place, CallKind::HttpJson(..) | CallKind::Notification) {
            Some(Binding::Jsonrpc)
        } else {
            self.place.binding()
        }
    }

    /// Refuses, with the id of a JSON-RPC request: if it has come, now, else when it has.
    pub(super) fn refuse(self, denial: Denial, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Outbound>, Step) {
        let denial = if denial.realm.is_none() { denial.at(&self.connection.name) } else { denial };
        let binding = self.binding();
        if let (Some(wrong), Some(Binding::Jsonrpc)) = (&self.wrong, binding) {
            return answer(&denial, binding, &wrong.1, effects);
        }
        let may_wait = !self.ended && self.released.is_none() && context.runtime.config().hold_headers;
        match self.reader.filter(|_| binding == Some(Binding::Jsonrpc)) {
            Some(reader) if reader.id().is_none() && may_wait => (Progress::Refuse(Box::new(denial), reader), Step::Pause),
            reader => answer(&denial, binding, &reader.and_then(|reader| reader.id()).unwrap_or_default(), effects),
        }
    }
}

impl Sent {
    /// The remote agent has answered.
    pub(in crate::flow) fn on_response(&mut self, status: u16, context: &Context<'_>, effects: &mut Vec<Effect>) {
        if !matches!(status, 401 | 403) {
            return;
        }
        let connection = &self.connection;
        let (receiver, is_calling) = if connection.notifications.is_some() { ("receiver", false) } else { ("agent", true) };
        let hint = match (status, &self.token) {
            _ if !is_calling => "is it the one that the receiver expects?",
            (401, Some(_)) => "is it issued for the audience that the agent expects?",
            (401, None) => "is the credential still valid, and the one that the agent expects?",
            _ => "has this identity the roles or scopes that the agent asks for?",
        };
        let text =
            format!("connection {:?}: the {receiver} answered {status} to the credential ({}): {hint}", connection.name, self.method);
        effects.push(Effect::Log(Level::Warn, text));
        if let (401, Some((key, token))) = (status, self.token.take()) {
            let supply = context.runtime.supply();
            match connection.user_passthrough() {
                Some(_) => supply.refuse_grant(&key, &token, context.now),
                None => supply.reject(&key, &token, context.now),
            }
        }
    }
}

/// What is asked of Envoy's route, if anything is.
const fn route(pin: &Pin) -> Option<Route> {
    match pin {
        Pin::Clusters(_) => Some(Route::Cluster),
        Pin::RouteMetadata(_) => Some(Route::Metadata),
        Pin::OwnCluster => Some(Route::Attempts),
        Pin::None => None,
    }
}

/// Puts the credential on the request.
fn attach(attachment: Attachment, target: &str, effects: &mut Vec<Effect>) -> Attached {
    let Attachment { headers, parameter, method, origin, age, token, caller } = attachment;
    let in_query = parameter.is_some();
    effects.extend(parameter.map(|parameter| {
        let target = secrets::with_parameter(target, &parameter);
        Effect::SetHeader(":path".into(), Value::Secret(target))
    }));
    let names = headers.iter().map(|(name, _)| name.clone()).collect();
    effects.extend(headers.into_iter().map(|(name, value)| Effect::SetHeader(name.into(), Value::Secret(value))));
    Attached { names, in_query, method, origin, age, token, caller }
}

impl Attached {
    /// Says what was attached, in filter state, in the statistics and for the record.
    fn report(self, connection: Rc<Connection>, effects: &mut Vec<Effect>) -> Sent {
        let Self { method, origin, age, token, caller, .. } = self;
        let old = age.map(|age| format!(" age={}", age.as_secs())).unwrap_or_default();
        effects
            .push(Effect::SetState("attache.credential", format!("connection={:?} method={method} from={origin}{old}", connection.name)));
        effects.push(Effect::CountUse { connection: connection.name.clone(), method, origin });
        effects.extend(caller.map(|caller| Effect::Note(Note::From(caller))));
        effects.push(Effect::Note(Note::Attached(Used { method, origin, age })));
        Sent { connection, method, token }
    }
}
