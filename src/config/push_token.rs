//! The token that the filter puts into the push configurations of calls that leave, so that it knows the notifications that come back
//! (A2A 1.0 section 13.2). It goes out through one listener and comes back through another, often of another filter: both have the keys.

use super::{ConfigError, HttpUri, Secret, TagKey, duration, tag_key};
use crate::wire::path;
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;
use std::time::Duration;

/// Longest life of a token: tasks that take longer set their configuration anew.
const MAX_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What becomes of push configurations in calls of a connection.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PushTo {
    /// The webhook of this side: configurations that name this URL, or one below it, get a token.
    pub url: HttpUri,
    /// The first signs tokens.
    pub keys: Vec<TagKey>,
    /// How long a token is good.
    #[serde(default = "a_day", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::schema::Span"))]
    pub lifetime: Duration,
    /// Configurations that name another URL.
    #[serde(default)]
    pub others: OtherTargets,
    /// Longest body of a call that may hold a configuration, in bytes: all of it is held.
    #[serde(default = "megabyte")]
    pub max_body_bytes: u64,
}

/// What becomes of a push configuration whose URL is not the webhook's.
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

/// The tokens that a webhook takes.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PushToken {
    /// Those that `connections[].push.keys` have.
    pub keys: Vec<TagKey>,
    /// The connections (by name, here or in the filter of another listener) whose remote agents post here.
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
