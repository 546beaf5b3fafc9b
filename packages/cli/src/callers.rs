//! Who calls: what the filter makes of the credentials of a request at one agent, and of each claim of its token.

use crate::fetch::Files;
use attache::flow::callers::credentials::Credentials;
use attache::flow::callers::why;
use attache::flow::event::reason::Reason;
use attache::flow::event::target::Target;
use attache::flow::request::head::Head;
use attache::flow::setup::destination::Destination;
use attache::flow::supply::sought::Sought;
use attache::flow::{Context, Want};
use attache::identity::demand::Unmet;
use attache::identity::{Caller, Peer};
use attache::wire::header::Headers;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// Most fetches for one caller: keys, the metadata before them, a card.
const MOST: usize = 8;

/// What became of the credentials.
#[derive(Debug)]
pub enum Who {
    /// They are good, and enough for `security`.
    Admitted(Rc<Caller>),
    /// They are not, or not enough. With the caller, if it is known.
    Refused(Option<Rc<Caller>>, Reason, Option<String>),
}

/// Who sends a request with these headers to `target`. What is missing comes from `files`.
///
/// # Errors
/// If something is needed that no file has.
pub fn who(target: Target, headers: &Headers, peer: Option<&Peer>, context: &Context<'_>, files: &Files) -> Result<Option<Who>, String> {
    let Some(destination) = context.runtime.destination(target) else { return Ok(None) };
    let Ok(head) = Head::read(headers) else { return Ok(None) };
    for _ in 0..MOST {
        match identified(&destination, &head, peer, context) {
            Ok(who) => return Ok(Some(who)),
            Err(want) => drop(files.give(want, context.runtime, context.now)?),
        }
    }
    Ok(None)
}

fn identified(destination: &Destination, head: &Head<'_>, peer: Option<&Peer>, context: &Context<'_>) -> Result<Who, Want> {
    let policy = match destination.policy(context.runtime.supply(), context.now) {
        Sought::Here(policy) => policy,
        Sought::Wait(want) => return Err(want),
        Sought::No(reason) => return Ok(Who::Refused(None, reason, None)),
    };
    let credentials = Credentials::read(&policy, context.runtime, head, peer);
    let detail = |reason, proofs| why::unauthenticated(reason, &credentials, proofs, destination, context);
    let proven = match context.runtime.identify(destination, &credentials, true, context) {
        Sought::Here(proven) => proven,
        Sought::Wait(want) => return Err(want),
        Sought::No(reason) => return Ok(Who::Refused(None, reason, detail(reason, None))),
    };
    Ok(match proven.policy.demand.meets(&proven.proofs) {
        Ok(caller) => Who::Admitted(caller),
        Err(Unmet::Credentials) => Who::Refused(None, proven.lacking, detail(proven.lacking, Some(&proven.proofs))),
        Err(Unmet::Scopes(scopes)) => {
            let known = proven.policy.demand.knows(&proven.proofs);
            let detail = why::lacks_scopes(&scopes, &proven.proofs, &proven.policy, destination, context);
            Who::Refused(known, Reason::InsufficientScope, detail)
        }
    })
}

/// What is known of a caller.
pub fn told(caller: &Caller, context: &Context<'_>) -> Map<String, Value> {
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
    tell("kind", json!(caller.kind.as_str()));
    if let Some((what, _)) = caller.origin.authority(context.runtime.config())
        && let Some(voucher) = caller.origin.voucher(context.runtime.config())
    {
        tell(what, json!(voucher.name()));
    }
    for (name, value) in [("subject", &caller.subject), ("client", &caller.client), ("tenant", &caller.tenant)] {
        if let Some(value) = value {
            tell(name, json!(value));
        }
    }
    for (name, list) in [("scopes", &caller.scopes), ("roles", &caller.roles), ("actors", &caller.actors)] {
        if !list.is_empty() {
            tell(name, json!(list));
        }
    }
    told
}
