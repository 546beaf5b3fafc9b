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

/// What is looked at in a token, in the order of [`attache::identity::verify`], with the reason of a refusal for it.
const CHECKS: [(&str, &str); 11] = [
    ("issuer (iss)", "token_issuer_unknown"),
    ("type (typ)", "token_type_refused"),
    ("algorithm (alg)", "token_algorithm_refused"),
    ("key (kid)", "token_key_unknown"),
    ("signature", "token_signature_invalid"),
    ("required claims", "token_malformed"),
    ("end (exp)", "token_expired"),
    ("begin (nbf, iat)", "token_not_yet_valid"),
    ("audience (aud)", "token_audience_mismatch"),
    ("lifetime", "token_lifetime_too_long"),
    ("actor (act)", "token_actor_refused"),
];

/// What of a refused token was found good before that which was not.
pub fn good(verdict: &Value) -> Option<String> {
    let reason = verdict["reason"].as_str()?;
    let place = CHECKS.iter().position(|(_, own)| *own == reason)?;
    let detail = verdict["detail"].as_str().unwrap_or_default();
    // The tenant is the issuer's, too, and comes before the audience; what cannot be read at all has nothing good.
    let place = match reason {
        "token_issuer_unknown" if detail.starts_with("the tenant") => 8,
        "token_malformed" if !detail.starts_with("issuers[") => 0,
        _ => place,
    };
    let names: Vec<&str> = CHECKS.iter().take(place).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::good;
    use serde_json::json;

    #[test]
    fn what_came_before_was_good() {
        let said = |reason: &str, detail: &str| good(&json!({"reason": reason, "detail": detail})).unwrap_or_default();
        assert_eq!(said("token_issuer_unknown", "iss is …"), "");
        assert_eq!(said("token_malformed", "header is not base64url"), "");
        assert!(said("token_malformed", "issuers[0]: exp is missing").ends_with("key (kid), signature"));
        assert!(said("token_issuer_unknown", "the tenant is \"a\"").ends_with("begin (nbf, iat)"));
        assert!(said("token_audience_mismatch", "").ends_with("begin (nbf, iat)"));
        assert_eq!(said("insufficient_scope", ""), "");
    }
}
