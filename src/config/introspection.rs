//! Token introspection: who is asked about a token, and what the answer must say (RFC 7662).

use super::certificate::Bound;
use super::secret::named;
use super::waiting::{self, Fairness};
use super::{Claims, ConfigError, HttpUri, Secret, SecretRef, duration};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use std::time::Duration;

/// Tokens that only their issuer can read: it is asked about each.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// The introspection endpoint.
    pub uri: HttpUri,
    /// The Envoy cluster that it is asked through.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Longest wait for an answer, at least `0.01s`.
    #[serde(default = "two_seconds", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "2s")))]
    pub timeout: Duration,
    /// As whom it is asked.
    pub client: Client,
    /// What `iss` of the answer must be, exactly: an answer without `iss` is then refused. Clients are told to get tokens there, too.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub issuer: Option<String>,
    /// `aud` of the answer must be there and hold one of these.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub audiences: Vec<String>,
    /// Longest time that an answer is believed; `exp` may end it earlier. A revoked token works this long.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "30s")))]
    pub cache: Duration,
    /// How far clocks may differ.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "30s")))]
    pub clock_skew: Duration,
    /// Names of the members that are read, as for issuers.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "super::claims::GivenClaims", extend("x-default" = "the usual ones")))]
    pub claims: Claims,
    /// How tokens are checked against the client's certificate, see [bound tokens](credentials.md#bound-tokens-rfc-8705).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none: bound tokens are refused")))]
    pub certificate_bound: Option<Bound>,
    /// Most requests that wait for an answer at a time in one worker; as many again whose tokens were good before. See [requests that
    /// wait](credentials.md#requests-that-wait).
    #[serde(default = "waiting::of_a_scheme")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_waiting: usize,
    /// Who gets a place when all are taken, and whose token is asked about next.
    #[serde(default)]
    pub fairness: Fairness,
}

/// As whom an introspection endpoint is asked.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "IntrospectionClient", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub id: String,
    /// Its `client_secret`.
    pub secret: SecretRef,
    /// How it authenticates (RFC 6749 section 2.3.1).
    #[serde(default)]
    pub method: ClientMethod,
}

/// How a client with a password authenticates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ClientMethod {
    /// In `Authorization: Basic`.
    #[default]
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

impl Introspection {
    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.cluster.is_empty() {
            return fail("cluster", "name an Envoy cluster");
        }
        if self.timeout < Duration::from_millis(10) {
            return fail("timeout", "must be at least 0.01s");
        }
        if self.client.id.is_empty() {
            return fail("client.id", "must not be empty");
        }
        named(&format!("{at}.client.secret.secret"), &self.client.secret.secret, secrets)?;
        if self.issuer.as_ref().is_some_and(String::is_empty) {
            return fail("issuer", "must not be empty");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return fail("audiences", "name at least one audience: a token for someone else must be refused");
        }
        self.claims.check(&format!("{at}.claims"))?;
        if let Some(bound) = &self.certificate_bound {
            bound.from.check(&format!("{at}.certificate_bound.from"))?;
        }
        waiting::check(&format!("{at}."), self.max_waiting)
    }
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}
