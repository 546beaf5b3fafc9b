//! Token introspection: who is asked about a token, and what the answer must say (RFC 7662).

use super::certificate::Bound;
use super::secret::named;
use super::waiting::{self, Fairness};
use super::{Claims, ConfigError, HttpUri, Secret, SecretRef, duration};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use std::time::Duration;

/// A scheme of tokens that only their issuer can read.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// The introspection endpoint.
    pub uri: HttpUri,
    /// The Envoy cluster that it is asked through.
    pub cluster: String,
    /// Longest wait for an answer.
    #[serde(default = "two_seconds", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::schema::Span"))]
    pub timeout: Duration,
    /// As whom it is asked.
    pub client: Client,
    /// The exact `iss` of the answer; for clients also where tokens come from. `None`: it is not looked at.
    #[serde(default)]
    pub issuer: Option<String>,
    /// A token is for us if `aud` of the answer holds one of these, exactly.
    pub audiences: Vec<String>,
    /// Longest time that an answer is believed; `exp` may end it earlier.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::schema::Span"))]
    pub cache: Duration,
    /// How far clocks may differ.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::schema::Span"))]
    pub clock_skew: Duration,
    /// Names of the members that are read.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "super::claims::GivenClaims"))]
    pub claims: Claims,
    /// How tokens are held against the client's certificate. `None`: bound tokens are refused.
    #[serde(default)]
    pub certificate_bound: Option<Bound>,
    /// Most requests that wait for an answer at a time in one worker; as many again whose tokens were good before.
    #[serde(default = "waiting::of_a_scheme")]
    pub max_waiting: usize,
    /// How clients share these places, and whose token is asked about next.
    #[serde(default)]
    pub fairness: Fairness,
}

/// A client of the authorization server.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "IntrospectionClient", transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
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
