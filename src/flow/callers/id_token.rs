//! ID tokens (OpenID Connect Core 1.0 section 3.1.3.7): who signed in, held against who called.

use crate::config::OwnTerms;
use crate::flow::event::reason::Reason;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::identity::jws::Jws;
use crate::identity::verify::{Accepted, Taken};
use serde_json::Value;

/// Why it is not the caller who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is somebody else.
    User,
    /// A claim is missing by which users are compared.
    Unnamed,
    /// The token is none that counts.
    Token,
    /// The issuer's keys cannot be had.
    Keys,
}

/// What ties an ID token to a flow.
#[derive(Clone, Copy)]
pub struct Tied<'a> {
    /// The claim.
    pub claim: &'a str,
    /// What it says.
    pub value: &'a str,
    /// Whether it must be there at all.
    pub must: bool,
}

/// What an ID token must say.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// Who issues it, by its name in the configuration.
    pub issuer: &'a str,
    /// Claims of the caller's token that it must have, too.
    pub identity: &'a [(String, String)],
    /// For whom it is.
    pub client_id: &'a str,
    /// In which flow.
    pub tie: Option<Tied<'a>>,
}

/// Whether `token` says that who is `expected` signed in.
pub fn judge(token: &str, expected: &Expected<'_>, may_wait: bool, context: &Context<'_>) -> Sought<(), Wrong> {
    let Expected { identity, client_id, tie, .. } = *expected;
    let config = context.runtime.config();
    let Some((index, issuer)) = config.issuers.iter().enumerate().find(|(_, issuer)| issuer.name == expected.issuer) else {
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
    let is_tied = |tie: Tied<'_>| claim(tie.claim).map_or(!tie.must, |value| value.as_str() == Some(tie.value));
    if !tie.is_none_or(is_tied) {
        return Sought::No(Wrong::Token);
    }
    // With several audiences it says which of them it is for.
    let is_for_us = match (claim("azp"), claim("aud")) {
        (Some(azp), _) => azp.as_str() == Some(client_id),
        (None, Some(Value::Array(list))) => list.len() == 1,
        (None, _) => true,
    };
    if !is_for_us || identity.is_empty() {
        return Sought::No(Wrong::Token);
    }
    let mut wrong = None;
    for (name, value) in identity {
        match claim(name).and_then(Value::as_str) {
            Some(own) if own == value => {}
            Some(_) => wrong = Some(Wrong::User),
            None => return Sought::No(Wrong::Unnamed),
        }
    }
    wrong.map_or(Sought::Here(()), Sought::No)
}
