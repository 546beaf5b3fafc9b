//! Metadata of protected resources (RFC 9728): where a client that was refused learns who issues tokens for an agent. It is
//! public; nothing in it is secret, and no credential is looked at.

use crate::flow::event::Reply;
use crate::flow::request::head::Head;
use crate::flow::setup::resource::WELL_KNOWN;
use crate::flow::setup::runtime::Runtime;
use crate::wire::time::UnixTime;
use std::cmp::Reverse;

/// The answer to a request for the metadata of an agent.
#[must_use]
pub fn answer(head: &Head<'_>, runtime: &Runtime, now: UnixTime) -> Option<Reply> {
    let own = head.path.strip_prefix(WELL_KNOWN).filter(|_| matches!(head.method, "GET" | "HEAD"))?;
    let own = own.strip_suffix('/').unwrap_or(own);
    let known = runtime.agents().iter().filter_map(|agent| {
        let place = agent.metadata.as_ref().filter(|place| place.own == own)?;
        let is_own = place.host == head.authority.host();
        (is_own || runtime.matcher().serves(&head.authority, agent.target())).then_some((is_own, agent, place))
    });
    // The agent whose own host this is, before one that covers it among others.
    let (_, agent, place) = known.max_by_key(|(is_own, agent, _)| (*is_own, Reverse(agent.index)))?;
    let policy = agent.policy(runtime.supply(), now).here().filter(|policy| policy.takes_tokens())?;
    Some(Reply {
        status: 200,
        grpc_status: None,
        headers: vec![("content-type", "application/json".to_owned()), ("cache-control", "public, max-age=300".to_owned())],
        body: place.document(runtime.config(), agent, &policy).to_string(),
    })
}
