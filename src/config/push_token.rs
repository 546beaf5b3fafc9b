//! The token that the filter puts into the push configurations of calls that leave, so that it knows the notifications that come back
//! (A2A 1.0 section 13.2). It goes out through one listener and comes back through another, often of another filter: both have the keys.

use super::{ConfigError, HttpUri, Secret, TagKey, duration, tag_key};
use crate::wire::path;
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;
use std::time::Duration;

/// Longest life of a token: tasks that take longer set their configuration anew.
const MAX_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Puts a token of the filter into push-notification configurations that name a webhook of this side.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PushTo {
    /// Where notifications of this remote agent are to come: configurations that name this URL, or one below it, get a token. Without a
    /// query.
    pub url: HttpUri,
    /// 1 to 8 of `{"id": "k1", "secret": "push"}`: the first signs. At least 32 characters each, from `env`; the webhook takes tokens
    /// with `token.keys`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8)))]
    pub keys: Vec<TagKey>,
    /// How long a token is good, `1s` to `7776000s` (90 days).
    #[serde(default = "a_day", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "86400s")))]
    pub lifetime: Duration,
    /// Configurations that name another URL: `refuse`, or `pass` without a token.
    #[serde(default)]
    pub others: OtherTargets,
    /// Longest body of a call that may hold a configuration: all of it is held. [Envoy's buffers](buffers.md) must be larger.
    #[serde(default = "megabyte")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_body_bytes: u64,
}

/// What becomes of push-notification configurations that name another URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum OtherTargets {
    /// The call is refused.
    #[default]
    Refuse,
    /// It leaves as it is, without a token.
    Pass,
}

const fn megabyte() -> u64 {
    1 << 20
}

const fn a_day() -> Duration {
    Duration::from_secs(24 * 60 * 60)
}

impl PushTo {
    pub(super) fn check(&self, at: &str, hold_headers: bool, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if !hold_headers {
            return Err(ConfigError::new(at, "needs hold_headers: the token is put into the body, whose length stands in the headers"));
        }
        if self.url.path().contains(['?', '%']) || path::is_ambiguous(self.url.path()) {
            return fail("url", "must have a plain path and no query");
        }
        if self.max_body_bytes == 0 {
            return fail("max_body_bytes", "must be at least 1");
        }
        if self.lifetime < Duration::from_secs(1) || self.lifetime > MAX_LIFETIME {
            return fail("lifetime", "must be 1s to 7776000s (90 days)");
        }
        tag_key::check(&format!("{at}.keys"), &self.keys, secrets)
    }
}

/// The token that the filter put into the push-notification configuration of a call.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PushToken {
    /// 1 to 8 of `{"id": "k1", "secret": "push"}`: the keys that `push.keys` of connections have. At least 32 characters each, from
    /// `env`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8)))]
    pub keys: Vec<TagKey>,
    /// The names of the connections whose remote agents post here.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true)))]
    pub connections: Vec<String>,
}

impl PushToken {
    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let distinct: SortedSet<&String> = self.connections.iter().filter(|name| !name.is_empty()).collect();
        if distinct.is_empty() || distinct.len() != self.connections.len() {
            return Err(ConfigError::of(at, "connections", "name at least one connection, each once"));
        }
        tag_key::check(&format!("{at}.keys"), &self.keys, secrets)
    }
}
