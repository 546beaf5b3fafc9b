//! The head of a request: whom it is for, whether it can be meant, and which machine goes on with it.

use crate::config::{Config, Unmatched};
use crate::flow::consent::visit;
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Level, Step, Value};
use crate::flow::inbound::expected::Expected;
use crate::flow::inbound::{machine as inbound, metadata, published_keys};
use crate::flow::outbound::machine as outbound;
use crate::flow::outbound::state::Sent;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::request::{beside, carried, classify, head, methods, steering};
use crate::flow::setup::agent::Agent;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::flow::stage::{Stage, answer, staged};
use crate::flow::supply::seats::Seat;
use crate::flow::supply::sought::Sought;
use crate::flow::webhook::head as webhook;
use crate::identity::Peer;
use crate::protocol::envelope::Id;
use crate::wire::header::Headers;
use std::rc::Rc;

/// What becomes of a head.
pub(in crate::flow) enum Begun {
    As(Stage, Step),
    /// What is offered has to be fetched first.
    Waits(Want, Seat),
}

impl From<(Stage, Step)> for Begun {
    fn from((stage, step): (Stage, Step)) -> Self {
        Self::As(stage, step)
    }
}

pub(in crate::flow) fn begin(
    headers: &Headers,
    peer: Option<&Peer>,
    (end_of_stream, waited): (bool, bool),
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
    (expected, sent): (&mut Option<Expected>, &mut Option<Sent>),
) -> Begun {
    effects.extend(head::reserved(headers, context.runtime.config()).into_iter().map(|name| Effect::RemoveHeader(name.into())));
    // What begins like ours is gone already.
    let asks = context.runtime.config().debug.iter().map(|trace| &trace.header);
    let asks = asks.filter(|name| headers.has(name) && !name.starts_with("x-attache-"));
    effects.extend(asks.map(|name| Effect::RemoveHeader(name.clone().into())));
    let head = match Head::read(headers) {
        Ok(head) => head,
        Err(denial) => {
            effects.extend(context.runtime.places().conceal(headers));
            return answer(&denial, None, &Id::default(), effects).into();
        }
    };
    if visit::is_meant(&head, context) {
        let (stage, step) = staged(visit::begin(&head, end_of_stream, context, effects));
        return Begun::As(stage, step);
    }
    if let Some(reply) = metadata::answer(&head, context.runtime, context.now).or_else(|| published_keys::answer(&head, context.runtime)) {
        effects.push(Effect::Reply(reply));
        return Begun::As(Stage::Done, Step::Pause);
    }
    let target = context.runtime.matcher().find(&head.authority, head.target, head.path);
    let destination = target.map(|target| target.and_then(|target| context.runtime.destination(target)));
    let destination = match destination {
        Ok(Some(Destination::Agent(agent))) => match Agent::by_card(&agent, context.runtime.supply(), context.now) {
            Sought::Here(agent) => Ok(Some(Destination::Agent(agent))),
            // A probe says how the agent is, also while it has no card.
            _ if beside::passes_unread(&agent, &agent.statement.paths, &head, agent.suffix(head.path), !end_of_stream) => {
                Ok(Some(Destination::Agent(agent)))
            }
            Sought::Wait(want) if !waited => {
                effects.clear();
                if let Some(seat) = context.runtime.sit(want, &Destination::Agent(Rc::clone(&agent)), context.now) {
                    return Begun::Waits(want, seat);
                }
                effects.push(Effect::Note(Note::For(agent.target())));
                let denial = Denial::new(Reason::Overloaded).at(&agent.name);
                return answer(&denial, classify::as_grpc(&head), &Id::default(), effects).into();
            }
            Sought::Wait(_) | Sought::No(_) => {
                effects.push(Effect::Note(Note::For(agent.target())));
                let denial = Denial::new(Reason::CardUnavailable).at(&agent.name);
                return answer(&denial, classify::as_grpc(&head), &Id::default(), effects).into();
            }
        },
        other => other,
    };
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
        return Begun::As(Stage::Done, Step::Continue);
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
        return answer(&denial, classify::as_grpc(&head), &Id::default(), effects).into();
    }
    let (stage, step) = match destination {
        Ok(Some(Destination::Agent(agent))) => staged(inbound::begin(agent, &head, peer, end_of_stream, context, effects, expected)),
        Ok(Some(Destination::Connection(connection))) => {
            staged(outbound::begin(connection, &head, peer, end_of_stream, context, effects, sent))
        }
        Ok(Some(Destination::Webhook(webhook))) => staged(webhook::begin(webhook, &head, peer, end_of_stream, context, effects)),
        Ok(None) => match context.runtime.config().unmatched {
            Unmatched::Pass => {
                // Envoy followed a redirect itself: what this request carries was meant for where it came from.
                if headers.has(carried::REDIRECTED) {
                    let carried = context.runtime.credential_headers().iter().filter(|name| headers.has(name));
                    effects.extend(carried.map(|name| Effect::RemoveHeader(name.clone().into())));
                }
                (Stage::Done, Step::Continue)
            }
            Unmatched::Refuse => {
                let denial = Denial::new(Reason::Unmatched).because(near(&head, context));
                answer(&denial, classify::as_grpc(&head), &Id::default(), effects)
            }
        },
        Err(denial) => {
            let detail = if denial.reason == Reason::Unmatched { near(&head, context) } else { None };
            answer(&denial.because(detail), None, &Id::default(), effects)
        }
    };
    Begun::As(stage, step)
}

/// Which hosts and prefixes are near those of a request that nothing matches, for its record.
#[cold]
#[inline(never)]
fn near(head: &Head<'_>, context: &Context<'_>) -> Option<String> {
    context.runtime.tells().then(|| context.runtime.matcher().near(&head.authority, head.path))
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
        Destination::Agent(_) | Destination::Webhook(_) => None,
        Destination::Connection(connection) => Some(&***connection),
    };
    steering::clean(headers, connection, config, effects)?;
    if let Destination::Agent(agent) = destination {
        let passes = beside::passes(agent, &agent.statement.paths, head, agent.suffix(head.path), !end_of_stream);
        if passes.map_err(|denial| denial.at(&agent.name))? {
            return Ok(Checked::Beside);
        }
    }
    // A webhook knows its one method.
    if matches!(destination, Destination::Webhook(_)) {
        return Ok(Checked::A2a);
    }
    methods::check(head, destination.name(), connection).map(|()| Checked::A2a)
}
