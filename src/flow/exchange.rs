//! One request from its first byte to the verdict. Headers and body are held together; what goes on is
//! complete and verified, what is refused is answered in the caller's binding.

use crate::config::Config;
use crate::flow::auth_required::Noticing;
use crate::flow::begin::{Begun, begin};
use crate::flow::callers::tenancy::About;
use crate::flow::event::call::Want;
use crate::flow::event::metric::Tally;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::event::{Effect, Event, Interest, Level, Outcome, Read, Step, Wait};
use crate::flow::inbound::expected::Expected;
use crate::flow::inbound::state::Inbound;
use crate::flow::meter::Meter;
use crate::flow::outbound::state::Sent;
use crate::flow::progress::{Watched, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::arrived::{Arrived, MAX_BYTES_FOR_ID, Part, Reading};
use crate::flow::request::facts::Facts;
use crate::flow::request::inspect::Reader;
use crate::flow::request::published;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::flow::stage::{Stage, Unread, answer, staged};
use crate::flow::tasks::remote::RemoteAnswer;
use crate::identity::Peer;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::header::Headers;

/// The state machine of one request.
#[derive(Debug, Default)]
pub struct Exchange {
    stage: Stage,
    /// What has come of the body.
    arrived: Arrived,
    /// The answer to expect, if it matters.
    expected: Option<Expected>,
    /// What its answer is read for besides.
    noticing: Option<Box<Noticing>>,
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
        let effects = record(effects, &mut self.facts, context.runtime.config());
        let records = || effects.iter().filter_map(|effect| if let Effect::Audit(record) = effect { Some(record) } else { None });
        if let Some(plans) = context.runtime.task_states() {
            records().for_each(|record| self.noticing = Noticing::new(record, plans));
        }
        if context.runtime.remote_texts().is_some()
            && let Some((index, asked)) = records().find_map(|record| record.leaves())
        {
            self.expect_remote(index, asked, context);
        }
        (effects, step)
    }

    /// The answer of a remote agent is read for links, and with them for tasks that wait for credentials.
    #[cold]
    #[inline(never)]
    fn expect_remote(&mut self, index: usize, asked: (Binding, Operation, Version), context: &Context<'_>) {
        let answer = context.runtime.connection(index).and_then(|connection| RemoteAnswer::new(connection, asked, context));
        if let Some(answer) = answer {
            (self.expected, self.noticing) = (Some(Expected::Remote(answer)), None);
        }
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
        if let (Event::BodyWithheld, Answered::No, Some(expected)) = (&event, self.answered, &self.expected)
            && expected.awaits_body()
        {
            let step = expected.withheld(&mut effects);
            return (effects, step);
        }
        if matches!(event, Event::ResponseHeaders { .. } | Event::ResponseBody { .. }) {
            if self.noticing.as_mut().is_some_and(|noticing| !noticing.on(&event, &mut effects)) {
                self.noticing = None;
            }
            if matches!(event, Event::ResponseBody { .. }) && self.expected.as_ref().is_some_and(Expected::awaits_body) {
                context.runtime.supply().note_hold();
            }
            let step = self.expected.as_mut().map_or(Step::Continue, |expected| expected.on(&event, context, &mut effects));
            return (effects, step);
        }
        let stage = std::mem::take(&mut self.stage);
        let (stage, step) = match (stage, event) {
            (Stage::New, Event::RequestHeaders { headers, peer, end_of_stream }) => {
                self.begin(headers, peer, end_of_stream, false, context, &mut effects)
            }
            (Stage::Unread(unread), Event::Settled) if unread.seat.is_displaced() => {
                // What it waits for is an agent's card.
                if let Want::Card(index) = unread.want {
                    effects.push(Effect::Note(Note::For(Target::Agent(index))));
                }
                answer(&Denial::new(Reason::Overloaded), None, &Id::default(), &mut effects)
            }
            (Stage::Unread(unread), Event::Settled) => {
                let Unread { headers, peer, end_of_stream, .. } = *unread;
                self.begin(headers, peer, end_of_stream, true, context, &mut effects)
            }
            (stage @ Stage::Unread(_), _) => (stage, Step::Pause),
            (Stage::Inbound(inbound), event) => staged(inbound.on(event, context, &mut effects, &mut self.expected)),
            (Stage::Outbound(outbound), event) => staged(outbound.on(event, context, &mut effects, &mut self.sent)),
            (Stage::Webhook(arriving), event) => staged(arriving.on(event, context, &mut effects)),
            (Stage::Visiting(visit), event) => staged(visit.on(event, context, &mut effects)),
            (Stage::Refusing(denial, reader), event) => refusing(denial, reader, &event, &mut effects),
            (Stage::Watching(watched), Event::RequestBody { bytes, end, chunk }) => {
                watching(watched, (bytes, end, &chunk), context, &mut effects)
            }
            (Stage::Passing(meter), Event::RequestBody { bytes, .. }) => passing(meter, bytes, &mut effects),
            // Also an event that no proxy sends at this stage; a stage already decided stays decided.
            (stage @ (Stage::New | Stage::Watching(..) | Stage::Passing(_) | Stage::Done), _) => (stage, Step::Continue),
        };
        self.stage = stage;
        (effects, step)
    }

    /// Begins with a head, once it is known what is offered. With `waited`, that has been waited for.
    fn begin(
        &mut self,
        headers: Headers,
        peer: Option<Box<Peer>>,
        end_of_stream: bool,
        waited: bool,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> (Stage, Step) {
        let begun = begin(&headers, peer.as_deref(), (end_of_stream, waited), context, effects, (&mut self.expected, &mut self.sent));
        match begun {
            Begun::As(stage, step) => (stage, step),
            Begun::Waits(want, seat) => {
                effects.push(Effect::Fetch(want));
                let growth = context.runtime.growth();
                (Stage::Unread(Box::new(Unread { headers, peer, end_of_stream, want, seat, growth })), Step::Pause)
            }
        }
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
            Stage::Webhook(arriving) => rest(arriving.reads()),
            Stage::Visiting(visit) => rest(visit.reads()),
            Stage::Refusing(..) => Reading::ForId,
            Stage::Watching(..) => Reading::Passing,
            Stage::New | Stage::Unread(_) | Stage::Passing(_) | Stage::Done => Reading::Nothing,
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

    /// What the proxy holds of the body and the filter has not read, if it reads now. To be asked after
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
        matches!(
            self.stage,
            Stage::Unread(_) | Stage::Inbound(_) | Stage::Outbound(_) | Stage::Webhook(_) | Stage::Visiting(_) | Stage::Refusing(..)
        )
    }

    fn interest(&self) -> Interest {
        let request = match &self.stage {
            Stage::New | Stage::Done => Read::Nothing,
            Stage::Passing(_) => Read::Count,
            Stage::Unread(_)
            | Stage::Inbound(_)
            | Stage::Outbound(_)
            | Stage::Webhook(_)
            | Stage::Visiting(_)
            | Stage::Refusing(..)
            | Stage::Watching(_) => Read::New,
        };
        let (headers, response) = match (self.answered, &self.expected) {
            (Answered::No, Some(expected)) if expected.reads() => (true, Read::New),
            (Answered::No, _) if self.noticing.as_ref().is_some_and(|noticing| noticing.reads()) => (true, Read::New),
            (Answered::No, expected) => {
                let is_wanted = expected.is_some() || self.noticing.is_some() || self.sent.is_some() || self.facts.is_traced();
                (is_wanted, Read::Nothing)
            }
            (Answered::Instead, _) => (false, Read::Nothing),
            (Answered::Over, _) => (true, Read::New),
        };
        Interest { request, headers, response, growth: self.growth(), wait: self.wait() }
    }

    /// By how many bytes the request's body may grow.
    fn growth(&self) -> usize {
        match &self.stage {
            Stage::Unread(unread) => unread.growth,
            Stage::Inbound(inbound) => inbound.growth(),
            Stage::Watching(watched) => watched.owned.as_ref().map_or(0, |owned| owned.growth()),
            Stage::Outbound(outbound) => outbound.growth(),
            Stage::New | Stage::Webhook(_) | Stage::Visiting(_) | Stage::Refusing(..) | Stage::Passing(_) | Stage::Done => 0,
        }
    }

    fn wait(&self) -> Wait {
        // Once a part has come, the proxy withholds nothing.
        let body = |awaits| awaits && !self.arrived.has_begun();
        match &self.stage {
            Stage::Unread(unread) => Wait { until: Some(unread.want), seat: Some(unread.seat.number()), ..Wait::default() },
            Stage::Inbound(inbound) => {
                Wait { until: inbound.awaits(), seat: inbound.seat(), body: body(inbound.awaits_body()), answer: false }
            }
            Stage::Outbound(outbound) => {
                Wait { until: outbound.awaits(), seat: outbound.seat(), body: body(outbound.awaits_body()), answer: false }
            }
            Stage::Webhook(arriving) => {
                Wait { until: arriving.awaits(), seat: arriving.seat(), body: body(arriving.awaits_body()), answer: false }
            }
            Stage::Visiting(visit) => Wait { until: visit.awaits(), body: body(visit.awaits_body()), ..Wait::default() },
            Stage::Refusing(..) => Wait { body: body(true), ..Wait::default() },
            Stage::New | Stage::Watching(_) | Stage::Passing(_) | Stage::Done => {
                let answer = self.answered == Answered::No && self.expected.as_ref().is_some_and(Expected::awaits_body);
                Wait { answer, ..Wait::default() }
            }
        }
    }
}

/// `effects` with records in place of notes.
fn record(mut effects: Vec<Effect>, facts: &mut Facts, config: &Config) -> Vec<Effect> {
    // Few are added to what comes without a note, and none where nobody asks for a trace or for filter state.
    let mut added = Vec::new();
    let mut place = 0_usize;
    effects.retain_mut(|effect| {
        match effect {
            Effect::Note(_) => {
                let Effect::Note(note) = std::mem::replace(effect, Effect::Log(Level::Debug, String::new())) else { return false };
                match facts.take(note, config) {
                    Some(record) => {
                        if !record.is_of_answer() {
                            added.extend(published::members(&record.count(), config).map(|state| (place, state)));
                        }
                        *effect = Effect::Audit(record);
                    }
                    None => return false,
                }
            }
            Effect::Reply(_) => added.extend(facts.trace(config).map(|(name, value)| (place, Effect::ReplyHeader(name, value)))),
            Effect::Log(Level::Warn | Level::Error, text) => *text = facts.warning(std::mem::take(text)),
            Effect::Answer(whole) => facts.trace(config).into_iter().for_each(|(name, value)| whole.set(&name, value)),
            _ => {}
        }
        place = place.saturating_add(1);
        true
    });
    // The last first, so that the places of the others stay.
    for (place, effect) in added.into_iter().rev() {
        effects.insert(place, effect);
    }
    effects
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
fn watching(
    mut watched: Box<Watched>,
    (bytes, end, chunk): (u64, bool, &[u8]),
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> (Stage, Step) {
    let Watched { reader, meter, operation, version, owned, tenancy, caller } = watched.as_mut();
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
        let inspected = agent.plans.inspect(reader, *operation, *version, agent).and_then(|()| {
            let (operation, version, caller) = (*operation, *version, caller.as_deref());
            let about = binding.map(|binding| About { agent, binding, version, operation, caller });
            about.map_or(Ok(None), |about| tenancy.judge(about, Some(reader), context))?;
            owned.as_mut().map_or(Ok(None), |owned| owned.feed(chunk, end, tenancy))
        });
        let changed = inspected.map_err(|denial| Box::new((denial, reader.id().unwrap_or_default())))?;
        effects.extend(changed);
        Ok(())
    });
    match inspected {
        Err(wrong) => {
            let (denial, id) = *wrong;
            answer(&denial.at(meter.destination.name()).for_version(*version), binding, &id, effects)
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
