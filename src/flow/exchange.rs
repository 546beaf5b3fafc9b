//! One request from its first byte to the verdict. Headers and body are held together; what goes on is
//! complete and verified, what is refused is answered in the caller's binding.

use crate::config::{Config, Unmatched};
use crate::flow::event::metric::Tally;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Event, Interest, Level, Outcome, Read, Step, Value, Wait};
use crate::flow::inbound::expected::Expected;
use crate::flow::inbound::state::Inbound;
use crate::flow::inbound::{machine as inbound, metadata};
use crate::flow::meter::Meter;
use crate::flow::outbound::machine as outbound;
use crate::flow::outbound::state::{Outbound, Sent};
use crate::flow::progress::{Progress, Watched, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::arrived::{Arrived, MAX_BYTES_FOR_ID, Part, Reading};
use crate::flow::request::facts::Facts;
use crate::flow::request::head::Head;
use crate::flow::request::inspect::Reader;
use crate::flow::request::say::say;
use crate::flow::request::{beside, carried, classify, head, methods, steering};
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::identity::Peer;
use crate::protocol::Binding;
use crate::protocol::envelope::Id;
use crate::wire::header::Headers;
use crate::wire::path;

/// The state machine of one request.
#[derive(Debug, Default)]
pub struct Exchange {
    stage: Stage,
    /// What has come of the body.
    arrived: Arrived,
    /// The answer to expect, if it matters.
    expected: Option<Expected>,
    /// A credential of ours went out with the request.
    sent: Option<Sent>,
    answered: Answered,
    /// The agent has begun to answer.
    responding: bool,
    /// For its record.
    facts: Facts,
}

/// Whether the proxy answered itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answered {
    #[default]
    No,
    /// What comes back is that answer.
    Instead,
    /// In place of the agent's answer: what still comes of that goes nowhere.
    Over,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing has happened yet.
    #[default]
    New,
    /// For an agent, not decided yet.
    Inbound(Box<Inbound>),
    /// For a remote agent; its credential is waited for.
    Outbound(Box<Outbound>),
    /// Refused; only the id of the JSON-RPC request is waited for.
    Refusing(Box<Denial>, Box<Reader>),
    /// A request that went on before its end; the rest must not contradict what was decided.
    Watching(Box<Watched>),
    /// Passed on; the rest of the body is counted.
    Passing(Meter),
    /// Answered, or passed on for good.
    Done,
}

impl Exchange {
    /// Tells what happened; answers what to do.
    pub fn on(&mut self, event: Event, context: &Context<'_>) -> Outcome {
        let (effects, step) = self.take(event, context);
        Outcome { effects, step, interest: self.interest() }
    }

    fn take(&mut self, event: Event, context: &Context<'_>) -> (Vec<Effect>, Step) {
        let is_response = matches!(event, Event::ResponseHeaders { .. } | Event::ResponseBody { .. });
        match (self.answered, &event) {
            (Answered::Over, Event::ResponseBody { content, .. }) => {
                let emptied = (!content.is_empty()).then(|| Effect::ReplaceResponseBody(Vec::new()));
                return (emptied.into_iter().collect(), Step::Pause);
            }
            (Answered::Instead | Answered::Over, _) if is_response => {
                self.answered = Answered::Instead;
                return (Vec::new(), Step::Continue);
            }
            _ => {}
        }
        let (effects, step) = self.decide(event, context);
        if effects.iter().any(|effect| matches!(effect, Effect::Reply(_) | Effect::Answer(_))) {
            self.answered = if is_response || self.responding { Answered::Over } else { Answered::Instead };
        }
        self.responding |= is_response;
        (record(effects, &mut self.facts, context.runtime.config()), step)
    }

    fn decide(&mut self, event: Event, context: &Context<'_>) -> (Vec<Effect>, Step) {
        let mut effects = context.runtime.supply().effects();
        match &event {
            Event::RequestHeaders { headers, .. } => {
                self.facts = Facts::begin(headers, context.now, context.runtime.config(), context.runtime.supply().lowest_log_level());
            }
            Event::RequestBody { chunk, .. } => Tally::add(&context.runtime.supply().tally().scanned, chunk.len()),
            Event::ResponseHeaders { .. } => {
                let trace = self.facts.trace(context.runtime.config());
                effects.extend(trace.map(|(name, value)| Effect::SetResponseHeader(name.into(), value)));
            }
            Event::ResponseBody { .. } | Event::BodyWithheld | Event::Settled | Event::Route(_) => {}
        }
        if let (Event::ResponseHeaders { status, .. }, Some(sent)) = (&event, &mut self.sent) {
            sent.on_response(*status, context, &mut effects);
        }
        if matches!(event, Event::ResponseHeaders { .. } | Event::ResponseBody { .. }) {
            let step = self.expected.as_mut().map_or(Step::Continue, |expected| expected.on(&event, context, &mut effects));
            return (effects, step);
        }
        let stage = std::mem::take(&mut self.stage);
        let (stage, step) = match (stage, event) {
            (Stage::New, Event::RequestHeaders { headers, peer, end_of_stream }) => {
                begin(&headers, peer.as_deref(), end_of_stream, context, &mut effects, (&mut self.expected, &mut self.sent))
            }
            (Stage::Inbound(inbound), event) => staged(inbound.on(event, context, &mut effects, &mut self.expected)),
            (Stage::Outbound(outbound), event) => staged(outbound.on(event, context, &mut effects, &mut self.sent)),
            (Stage::Refusing(denial, reader), event) => refusing(denial, reader, &event, &mut effects),
            (Stage::Watching(watched), Event::RequestBody { bytes, end, chunk }) => watching(watched, bytes, end, &chunk, &mut effects),
            (Stage::Passing(meter), Event::RequestBody { bytes, .. }) => passing(meter, bytes, &mut effects),
            // Also an event that no proxy sends at this stage; a stage already decided stays decided.
            (stage @ (Stage::New | Stage::Watching(..) | Stage::Passing(_) | Stage::Done), _) => (stage, Step::Continue),
        };
        self.stage = stage;
        (effects, step)
    }

    /// The host has answered already: what still comes of the request is ignored. What is of interest then.
    pub fn stop(&mut self) -> Interest {
        self.stage = Stage::Done;
        self.interest()
    }

    /// How much is read of the body as far as it has come.
    fn reading(&self) -> Reading {
        let rest = |reads| if reads { Reading::Rest } else { Reading::Nothing };
        match &self.stage {
            Stage::Inbound(inbound) => rest(inbound.reads()),
            Stage::Outbound(outbound) => rest(outbound.reads()),
            Stage::Refusing(..) => Reading::ForId,
            Stage::Watching(..) => Reading::Passing,
            Stage::New | Stage::Passing(_) | Stage::Done => Reading::Nothing,
        }
    }

    /// A part of the body has come, or its end. `size`: bytes in the proxy's buffer, everything so far while the request is
    /// paused, else this part alone. What is to be read of it, for [`Part::event`].
    pub fn body_came(&mut self, size: usize, end: bool) -> Part {
        let reading = self.reading();
        self.arrived.come(size, end, reading)
    }

    /// Trailers have come: they end a body whose last part did not say so. As [`Exchange::body_came`].
    pub fn trailers_came(&mut self) -> Part {
        // What an undecided request holds is still there.
        let size = if self.is_undecided() { self.arrived.held() } else { 0 };
        self.body_came(size, true)
    }

    /// What the proxy holds of the body that nobody has read, if somebody reads now. To be asked after
    /// [`Event::Settled`].
    pub fn unread_body(&mut self) -> Option<Part> {
        let reading = self.reading();
        self.arrived.unread(reading)
    }

    /// Bytes of the body in the proxy's buffer, as of the last callback.
    #[must_use]
    pub const fn held_body(&self) -> usize {
        self.arrived.held()
    }

    /// Whether there is no verdict yet, so that the proxy still holds what came of the body.
    const fn is_undecided(&self) -> bool {
        matches!(self.stage, Stage::Inbound(_) | Stage::Outbound(_) | Stage::Refusing(..))
    }

    fn interest(&self) -> Interest {
        let request = match &self.stage {
            Stage::New | Stage::Done => Read::Nothing,
            Stage::Passing(_) => Read::Count,
            Stage::Inbound(_) | Stage::Outbound(_) | Stage::Refusing(..) | Stage::Watching(_) => Read::New,
        };
        let (headers, response) = match (self.answered, &self.expected) {
            (Answered::No, Some(expected)) if expected.reads() => (true, Read::New),
            (Answered::No, expected) => (expected.is_some() || self.sent.is_some() || self.facts.is_traced(), Read::Nothing),
            (Answered::Instead, _) => (false, Read::Nothing),
            (Answered::Over, _) => (true, Read::New),
        };
        Interest { request, headers, response, wait: self.wait() }
    }

    fn wait(&self) -> Wait {
        // Once a part has come, the proxy withholds nothing.
        let body = |awaits| awaits && !self.arrived.has_begun();
        match &self.stage {
            Stage::Inbound(inbound) => Wait { until: inbound.awaits(), seat: inbound.seat(), body: body(inbound.awaits_body()) },
            Stage::Outbound(outbound) => Wait { until: outbound.awaits(), seat: outbound.seat(), body: body(outbound.awaits_body()) },
            Stage::Refusing(..) => Wait { body: body(true), ..Wait::default() },
            Stage::New | Stage::Watching(_) | Stage::Passing(_) | Stage::Done => Wait::default(),
        }
    }
}

/// What a machine says, as a stage of the request.
fn staged<M>((progress, step): (Progress<M>, Step)) -> (Stage, Step)
where
    Stage: From<Box<M>>,
{
    let stage = match progress {
        Progress::Wait(machine) => machine.into(),
        Progress::Refuse(denial, reader) => Stage::Refusing(denial, reader),
        Progress::Watch(watched) => Stage::Watching(watched),
        Progress::Pass(meter) => Stage::Passing(meter),
        Progress::Done => Stage::Done,
    };
    (stage, step)
}

impl From<Box<Inbound>> for Stage {
    fn from(machine: Box<Inbound>) -> Self {
        Self::Inbound(machine)
    }
}

impl From<Box<Outbound>> for Stage {
    fn from(machine: Box<Outbound>) -> Self {
        Self::Outbound(machine)
    }
}

/// Refuses now.
fn answer(denial: &Denial, binding: Option<Binding>, id: &Id, effects: &mut Vec<Effect>) -> (Stage, Step) {
    say(denial, binding, id, effects);
    (Stage::Done, Step::Pause)
}

/// `effects` with records in place of notes.
fn record(mut effects: Vec<Effect>, facts: &mut Facts, config: &Config) -> Vec<Effect> {
    // Few are added to what comes without a note, and none where nobody asks for a trace.
    let mut traced = Vec::new();
    let mut place = 0_usize;
    effects.retain_mut(|effect| {
        match effect {
            Effect::Note(_) => {
                let Effect::Note(note) = std::mem::replace(effect, Effect::Log(Level::Debug, String::new())) else { return false };
                match facts.take(note, config) {
                    Some(record) => *effect = Effect::Audit(record),
                    None => return false,
                }
            }
            Effect::Reply(_) => traced.extend(facts.trace(config).map(|(name, value)| (place, Effect::ReplyHeader(name, value)))),
            Effect::Answer(whole) => facts.trace(config).into_iter().for_each(|(name, value)| whole.set(&name, value)),
            _ => {}
        }
        place = place.saturating_add(1);
        true
    });
    // The last first, so that the places of the others stay.
    for (place, header) in traced.into_iter().rev() {
        effects.insert(place, header);
    }
    effects
}

fn begin(
    headers: &Headers,
    peer: Option<&Peer>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    (expected, sent): (&mut Option<Expected>, &mut Option<Sent>),
) -> (Stage, Step) {
    effects.extend(head::reserved(headers, context.runtime.config()).into_iter().map(|name| Effect::RemoveHeader(name.into())));
    // What begins like ours is gone already.
    let asks = context.runtime.config().debug.iter().map(|trace| &trace.header);
    let asks = asks.filter(|name| headers.has(name) && !name.starts_with("x-attache-"));
    effects.extend(asks.map(|name| Effect::RemoveHeader(name.clone().into())));
    let head = match Head::read(headers) {
        Ok(head) => head,
        Err(denial) => {
            effects.extend(context.runtime.places().conceal(headers));
            return answer(&denial, None, &Id::default(), effects);
        }
    };
    if let Some(reply) = metadata::answer(&head, context.runtime, context.now) {
        effects.push(Effect::Reply(reply));
        return (Stage::Done, Step::Pause);
    }
    let target = context.runtime.matcher().find(&head.authority, head.target, head.path);
    let destination = target.map(|target| target.and_then(|target| context.runtime.destination(target)));
    // Requests that are none of ours keep what they have; a connection has rules of its own.
    let is_foreign = matches!(destination, Ok(None)) && context.runtime.config().unmatched == Unmatched::Pass;
    let config = context.runtime.config();
    let mut steered = Vec::new();
    let verdict = match &destination {
        Ok(Some(destination)) => check(headers, &head, destination, end_of_stream, config, &mut steered).map(Some),
        Ok(None) | Err(_) => Ok(None),
    };
    // What passes beside an agent keeps what it has, too.
    if matches!(verdict, Ok(Some(Checked::Beside))) {
        effects.append(&mut steered);
        return (Stage::Done, Step::Continue);
    }
    if !is_foreign && !matches!(destination, Ok(Some(Destination::Connection(_)))) {
        effects.extend(context.runtime.places().conceal(headers));
        if let Some(target) = context.runtime.places().target(head.target) {
            effects.push(Effect::SetHeader(":path".into(), Value::Text(target)));
        }
    }
    if !matches!(destination, Ok(Some(_))) {
        effects.extend(context.runtime.matcher().warnings().into_iter().map(|warning| Effect::Log(Level::Warn, warning)));
    }
    effects.append(&mut steered);
    if let (Ok(Some(destination)), Err(denial)) = (&destination, verdict) {
        effects.push(Effect::Note(Note::For(destination.target())));
        return answer(&denial, classify::as_grpc(&head), &Id::default(), effects);
    }
    match destination {
        Ok(Some(Destination::Agent(agent))) => staged(inbound::begin(agent, &head, peer, end_of_stream, context, effects, expected)),
        Ok(Some(Destination::Connection(connection))) => {
            staged(outbound::begin(connection, &head, peer, end_of_stream, context, effects, sent))
        }
        Ok(None) => match context.runtime.config().unmatched {
            Unmatched::Pass => {
                // Envoy followed a redirect itself: what this request carries was meant for where it came from.
                if headers.has(carried::REDIRECTED) {
                    let carried = context.runtime.credential_headers().iter().filter(|name| headers.has(name));
                    effects.extend(carried.map(|name| Effect::RemoveHeader(name.clone().into())));
                }
                (Stage::Done, Step::Continue)
            }
            Unmatched::Refuse => answer(&Denial::new(Reason::Unmatched), classify::as_grpc(&head), &Id::default(), effects),
        },
        Err(denial) => answer(&denial, None, &Id::default(), effects),
    }
}

/// What a head is at first sight.
enum Checked {
    /// It may be A2A.
    A2a,
    /// It is for what stands beside an agent.
    Beside,
}

/// Whether the head can be meant for `destination`, without what steers the proxy.
fn check(
    headers: &Headers,
    head: &Head<'_>,
    destination: &Destination,
    end_of_stream: bool,
    config: &Config,
    effects: &mut Vec<Effect>,
) -> Result<Checked, Denial> {
    let connection = match destination {
        Destination::Agent(_) => None,
        Destination::Connection(connection) => Some(&***connection),
    };
    steering::clean(headers, connection, config, effects)?;
    if let Destination::Agent(agent) = destination {
        let suffix = path::strip_segments(head.path, agent.target.path_prefix.as_str()).unwrap_or_default();
        let passes = beside::passes(agent, &agent.statement.paths, head, suffix, !end_of_stream);
        if passes.map_err(|denial| denial.at(&agent.name))? {
            return Ok(Checked::Beside);
        }
    }
    methods::check(head, destination.name(), connection).map(|()| Checked::A2a)
}

fn refusing(denial: Box<Denial>, mut reader: Box<Reader>, event: &Event, effects: &mut Vec<Effect>) -> (Stage, Step) {
    let (bytes, end, chunk) = match event {
        Event::RequestBody { bytes, end, chunk } => (*bytes, *end, chunk.as_slice()),
        Event::BodyWithheld => return staged(withheld::<Inbound>(Some(Binding::Jsonrpc), effects)),
        _ => return (Stage::Refusing(denial, reader), Step::Pause),
    };
    let failed = reader.read(chunk, end).err();
    let id = match (reader.id(), failed) {
        (Some(id), _) => id,
        (None, Some(wrong)) => wrong.1,
        (None, None) if end || bytes > u64::try_from(MAX_BYTES_FOR_ID).unwrap_or(u64::MAX) => Id::default(),
        (None, None) => return (Stage::Refusing(denial, reader), Step::Pause),
    };
    answer(&denial, Some(Binding::Jsonrpc), &id, effects)
}

/// The rest of a body that went on: what contradicts the verdict, is not allowed, or is too long, is cut off before the
/// agent has a complete request.
fn watching(mut watched: Box<Watched>, bytes: u64, end: bool, chunk: &[u8], effects: &mut Vec<Effect>) -> (Stage, Step) {
    let Watched { reader, meter, operation, version, owned } = watched.as_mut();
    meter.passed = meter.passed.saturating_add(bytes);
    let binding = meter.binding;
    // An agent that counts needs no other end than the announced length: what is wrong must be known before.
    let end = end || meter.announced == Some(meter.passed);
    if meter.passed > meter.limit {
        return answer(&meter.refusal(), binding, &reader.id().unwrap_or_default(), effects);
    }
    let inspected = reader.read(chunk, end).and_then(|()| {
        // Of a call that leaves only the envelope matters.
        let Destination::Agent(agent) = &meter.destination else { return Ok(()) };
        let inspected = agent.plans.inspect(reader, *operation, *version, agent);
        let inspected = inspected.and_then(|()| owned.as_mut().map_or(Ok(None), |owned| owned.feed(chunk, end)));
        let changed = inspected.map_err(|denial| Box::new((denial, reader.id().unwrap_or_default())))?;
        effects.extend(changed);
        Ok(())
    });
    match inspected {
        Err(wrong) => {
            let (denial, id) = *wrong;
            answer(&denial.at(meter.destination.name()), binding, &id, effects)
        }
        Ok(()) if end => {
            let Watched { meter, .. } = *watched;
            (Stage::Passing(meter.ended()), Step::Continue)
        }
        Ok(()) => (Stage::Watching(watched), Step::Continue),
    }
}

fn passing(meter: Meter, bytes: u64, effects: &mut Vec<Effect>) -> (Stage, Step) {
    let passed = meter.passed.saturating_add(bytes);
    if passed > meter.limit {
        return answer(&meter.refusal(), meter.binding, &Id::default(), effects);
    }
    (Stage::Passing(Meter { passed, ..meter }), Step::Continue)
}
