//! A document that is fetched through an Envoy cluster and kept: keys of an issuer, the card of an agent.

use super::{ConfigError, HttpUri, duration};
use serde::Deserialize;
use std::time::Duration;

/// A document that is fetched through an Envoy cluster and kept.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// What is fetched, `https://` or `http://`.
    pub uri: HttpUri,
    /// The Envoy cluster that it is fetched through. TLS and its CA are the cluster's `transport_socket`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Longest wait for one answer, at least `0.01s`.
    #[serde(default = "Remote::default_timeout", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "2s")))]
    pub timeout: Duration,
    /// Age at which it is fetched anew, at least `1s`.
    #[serde(default = "Remote::default_refresh", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "300s")))]
    pub refresh: Duration,
    /// Age up to which the last good answer is used while fetching fails; then 503. Not shorter than `refresh`.
    #[serde(default = "Remote::default_max_stale", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "3600s")))]
    pub max_stale: Duration,
}

impl Remote {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
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

impl Remote {
    pub(super) const fn default_timeout() -> Duration {
        Duration::from_secs(2)
    }

    pub(super) const fn default_refresh() -> Duration {
        Duration::from_secs(300)
    }

    pub(super) const fn default_max_stale() -> Duration {
        Duration::from_secs(3600)
    }
}
