//! A document that is fetched through an Envoy cluster and kept: keys of an issuer, the card of an agent.

use super::{ConfigError, HttpUri, duration};
use serde::Deserialize;
use std::time::Duration;

/// Where a document is, and how long it is good.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// What is fetched.
    pub uri: HttpUri,
    /// The Envoy cluster that it is fetched through.
    pub cluster: String,
    /// Longest wait for one fetch.
    #[serde(default = "two_seconds", deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// Age at which it is fetched anew.
    #[serde(default = "five_minutes", deserialize_with = "duration::deserialize")]
    pub refresh: Duration,
    /// Age up to which it is used while fetching fails.
    #[serde(default = "an_hour", deserialize_with = "duration::deserialize")]
    pub max_stale: Duration,
}

impl Remote {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::new(format!("{at}.{member}"), reason));
        if self.cluster.is_empty() {
            return fail("cluster", "name an Envoy cluster");
        }
        if self.timeout < Duration::from_millis(10) {
            return fail("timeout", "must be at least 0.01s");
        }
        if self.refresh < Duration::from_secs(1) {
            return fail("refresh", "must be at least 1s");
        }
        if self.max_stale < self.refresh {
            return fail("max_stale", "must not be shorter than refresh");
        }
        Ok(())
    }
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

const fn an_hour() -> Duration {
    Duration::from_secs(3600)
}
