//! Who signs tokens, where their keys are, and what a token must say (RFC 7519, RFC 9068, RFC 7517).

use super::{ConfigError, Remote, duration};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// A JWS algorithm that Attaché verifies (RFC 7518 section 3.1, RFC 8037). Never `none`, never a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are the IANA registry's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    EdDSA,
}

/// One token issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The name that schemes use.
    pub name: String,
    /// The exact `iss` claim (RFC 7519 section 4.1.1).
    pub issuer: String,
    /// A token is for us if its `aud` holds one of these, exactly (RFC 7519 section 4.1.3).
    pub audiences: Vec<String>,
    /// What `alg` may be; the key still has to fit it.
    #[serde(default = "every_algorithm")]
    pub algorithms: Vec<Algorithm>,
    /// What header `typ` may be, compared without regard to case and to a leading `application/`. A token
    /// without `typ` counts as `JWT`.
    #[serde(default = "access_token_types")]
    pub token_types: Vec<String>,
    /// The keys.
    pub jwks: Jwks,
    /// How far clocks may differ.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    pub clock_skew: Duration,
    /// Longest accepted `exp - iat`; a token without `iat` is then refused.
    #[serde(default, deserialize_with = "duration::deserialize_some")]
    pub max_lifetime: Option<Duration>,
    /// Names of the claims that are read.
    #[serde(default)]
    pub claims: Claims,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jwks {
    /// Fetched and kept fresh.
    Remote(Remote),
    /// A JWK Set in the configuration (RFC 7517 section 5).
    Inline(Value),
}

/// Names of the claims that are read, the first one present counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// Scopes: a string of words or a list.
    pub scopes: Vec<String>,
    /// Roles: a list, or one.
    pub roles: Vec<String>,
    /// The client that got the token.
    pub client: Vec<String>,
    /// The tenant of the issuer.
    pub tenant: Vec<String>,
    /// A token that has one of these was issued on behalf of a user.
    pub user_marker: Vec<String>,
}

impl Default for Claims {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Self {
            scopes: names(&["scope", "scp"]),
            roles: names(&["roles"]),
            client: names(&["azp", "appid", "client_id"]),
            tenant: names(&["tid"]),
            user_marker: names(&["scp"]),
        }
    }
}

impl Issuer {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::new(format!("{at}.{member}"), reason));
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return fail("audiences", "name at least one audience: a token for someone else must be refused");
        }
        if self.algorithms.is_empty() {
            return fail("algorithms", "name at least one algorithm, or leave the member out for all");
        }
        if self.token_types.is_empty() {
            return fail("token_types", "name at least one type, or leave the member out for the default");
        }
        if self.max_lifetime == Some(Duration::ZERO) {
            return fail("max_lifetime", "must be longer than 0s");
        }
        if let Jwks::Remote(remote) = &self.jwks {
            remote.check(&format!("{at}.jwks.remote"))?;
        }
        Ok(())
    }
}

fn every_algorithm() -> Vec<Algorithm> {
    use Algorithm::{ES256, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    vec![RS256, RS384, RS512, PS256, PS384, PS512, ES256, EdDSA]
}

fn access_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned(), "JWT".to_owned()]
}

const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}
