//! ID tokens (OpenID Connect Core 1.0 section 3.1.3.7): who signed in, held against who called.

use crate::config::OwnTerms;
use crate::credential::link::Link;
use crate::flow::event::reason::Reason;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::identity::jws::Jws;
use crate::identity::verify::{Accepted, Taken};
use serde_json::Value;

/// Why it is not the caller who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is somebody else.
    User,
    /// A claim is missing by which users are compared.
    Unnamed,
    /// The token is none that counts.
    Token,
    /// The issuer's keys cannot be had.
    Keys,
}

/// Whether `token` says that the caller of `link` signed in for `client_id`, in the flow that has this nonce.
pub(super) fn judge(token: &str, link: &Link, client_id: &str, nonce: &str, may_wait: bool, context: &Context<'_>) -> Sought<(), Wrong> {
    let config = context.runtime.config();
    let Some((index, issuer)) = config.issuers.iter().enumerate().find(|(_, issuer)| issuer.name == link.issuer) else {
        return Sought::No(Wrong::Token);
    };
    let (audiences, types) = ([client_id.to_owned()], ["JWT".to_owned()]);
    let own = OwnTerms { audiences: Some(&audiences), required: Some(&[]), token_types: Some(&types), max_lifetime: None };
    let taken = [Taken { scheme: usize::MAX, issuer: index, terms: issuer.terms.with(&own) }];
    match context.runtime.supply().authenticate((token, None), &taken, may_wait, &context.verifying()) {
        Sought::Here(Accepted { .. }) => {}
        Sought::Wait(want) => return Sought::Wait(want),
        Sought::No(Reason::KeysUnavailable) => return Sought::No(Wrong::Keys),
        Sought::No(_) => return Sought::No(Wrong::Token),
    }
    let Ok(jws) = Jws::parse(token) else { return Sought::No(Wrong::Token) };
    let claim = |name: &str| jws.payload.0.get(name);
    if claim("nonce").and_then(Value::as_str) != Some(nonce) {
        return Sought::No(Wrong::Token);
    }
    // With several audiences it says which of them it is for.
    let is_for_us = match (claim("azp"), claim("aud")) {
        (Some(azp), _) => azp.as_str() == Some(client_id),
        (None, Some(Value::Array(list))) => list.len() == 1,
        (None, _) => true,
    };
    if !is_for_us || link.identity.is_empty() {
        return Sought::No(Wrong::Token);
    }
    let mut wrong = None;
    for (name, value) in &link.identity {
        match claim(name).and_then(Value::as_str) {
            Some(own) if own == value => {}
            Some(_) => wrong = Some(Wrong::User),
            None => return Sought::No(Wrong::Unnamed),
        }
    }
    wrong.map_or(Sought::Here(()), Sought::No)
}
