//! Where an issuer's keys are (RFC 7517 section 5; RFC 8414; OpenID Connect Discovery 1.0).

use super::secret::SecretRef;
use super::{ConfigError, HttpUri, Remote, duration};
use crate::wire::path;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Where an issuer's keys are.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Jwks {
    /// A JWK Set that is fetched and kept fresh.
    Remote(Remote),
    /// The issuer's metadata (OpenID Connect Discovery, RFC 8414), which says where the set is.
    Discovery(Discovery),
    /// A JWK Set in the configuration: `{"keys": […]}`.
    Inline(#[cfg_attr(feature = "schema", schemars(with = "crate::config::form::JwkSet"))] Value),
    /// A secret that the issuer and Attaché share, for HS256, HS384, HS512 and nothing else.
    SharedSecret(SecretRef),
}

/// The metadata of an issuer, through which its keys are found.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// The metadata document, such as `https://issuer/.well-known/openid-configuration`.
    pub uri: HttpUri,
    /// The Envoy cluster that it and the keys are fetched through. TLS and its CA are the cluster's `transport_socket`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Longest wait for each of the two answers, at least `0.01s`.
    #[serde(default = "Remote::default_timeout", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "2s")))]
    pub timeout: Duration,
    /// Age at which both are fetched anew, at least `1s`.
    #[serde(default = "Remote::default_refresh", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "300s")))]
    pub refresh: Duration,
    /// Age up to which the last good keys are used while fetching fails; then 503. Not shorter than `refresh`.
    #[serde(default = "Remote::default_max_stale", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "3600s")))]
    pub max_stale: Duration,
    /// Host and port where the keys may be besides those of `uri`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "that of `uri`")))]
    pub jwks_authority: Option<String>,
}

impl Discovery {
    /// The metadata as a document.
    #[must_use]
    pub fn metadata(&self) -> Remote {
        self.document(self.uri.clone())
    }

    /// The keys at `uri`, if they may be there: at the host and port of the metadata or at the configured ones, by whatever scheme.
    /// Whether there is TLS is the cluster's matter.
    #[must_use]
    pub fn keys(&self, uri: HttpUri) -> Option<Remote> {
        let other = self.jwks_authority.iter().filter_map(|authority| HttpUri::try_from(format!("{}://{authority}", uri.scheme())).ok());
        let is_there = uri.has_authority_of(&self.uri) || other.into_iter().any(|other| uri.has_authority_of(&other));
        is_there.then(|| self.document(uri))
    }

    fn document(&self, uri: HttpUri) -> Remote {
        Remote { uri, cluster: self.cluster.clone(), timeout: self.timeout, refresh: self.refresh, max_stale: self.max_stale }
    }
}

impl Jwks {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        match self {
            Self::Remote(remote) => remote.check(&format!("{at}.remote")),
            Self::Discovery(discovery) => {
                discovery.metadata().check(&format!("{at}.discovery"))?;
                match &discovery.jwks_authority {
                    Some(authority) if path::host(authority).is_none() => {
                        Err(ConfigError::of(at, "discovery.jwks_authority", "must be a host, with a port if it has one"))
                    }
                    _ => Ok(()),
                }
            }
            Self::Inline(_) | Self::SharedSecret(_) => Ok(()),
        }
    }
}
