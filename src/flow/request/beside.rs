//! Requests for what stands beside an agent and is no A2A: paths that the operator names, and preflights of browsers. They pass as they
//! are, for callers who are not known.

use crate::card::CardPaths;
use crate::config::{Agent, Cors, SkillFrom};
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::protocol::{grpc, http_json};

/// Segments of the longest route, and some more.
const MOST_SEGMENTS: usize = 10;

/// Whether the request passes although it is not known yet what the agent offers, which its card will say. What may be a route of some
/// binding, wherever the card will say that this is, waits for the card; places that are below an endpoint make the card unusable.
#[must_use]
pub fn passes_unread(agent: &Agent, cards: &CardPaths, head: &Head<'_>, suffix: &str, body_follows: bool) -> bool {
    let lower = suffix.to_ascii_lowercase();
    // No route has more segments.
    let mut rests = lower.rmatch_indices('/').take(MOST_SEGMENTS).filter_map(|(start, _)| lower.get(start..));
    let is_preflight = head.method == "OPTIONS" && agent.cors == Cors::Pass;
    matches!(passes(agent, cards, head, suffix, body_follows), Ok(true)) && (is_preflight || !rests.any(http_json::resembles_route))
}

/// Whether the request passes. `suffix` is what follows the agent's prefix, and unambiguous.
///
/// # Errors
/// If it would, but for what it carries.
pub fn passes(agent: &Agent, cards: &CardPaths, head: &Head<'_>, suffix: &str, body_follows: bool) -> Result<bool, Denial> {
    let is_preflight = agent.cors == Cors::Pass
        && head.method == "OPTIONS"
        && head.headers.has("origin")
        && head.headers.has("access-control-request-method");
    if is_preflight {
        if body_follows || head.headers.has("upgrade") {
            return Err(Denial::new(Reason::RequestMalformed).advise("A preflight has no body."));
        }
        return Ok(true);
    }
    // What a reader that undoes escapes twice, or knows no case, may take for A2A is judged as A2A; so is what names a skill first.
    let names_skill = || matches!(&agent.skill_from, Some(SkillFrom::Path(path)) if path.take(suffix).is_some());
    let is_a2a = || {
        agent.offered().is_a2a(suffix) || cards.resembles(suffix) || grpc::is_service(head.path) || suffix.contains("%25") || names_skill()
    };
    if !agent.other_paths.iter().any(|other| other.has(head.method, suffix)) || is_a2a() {
        return Ok(false);
    }
    if head.headers.has("upgrade") {
        return Err(Denial::new(Reason::RequestMalformed).advise("Requests are not upgraded to other protocols here."));
    }
    Ok(true)
}
