//! `credential.signed_jwt`: a JWT that this side signs for each notification, and whose keys it publishes.

use crate::config::credential::Prefix;
use crate::config::{AssertionAlgorithm, ConfigError, CredentialHeader, SecretRef, duration};
use serde::Deserialize;
use std::time::Duration;

/// A JWT that this side signs for each notification, see [signed tokens](push-notifications.md#signed-tokens).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct SignedJwt {
    /// `iss` and `sub`: as whom receivers know this side.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub issuer: String,
    /// The private key, a secret: PKCS#8 in PEM.
    pub key: SecretRef,
    /// How it signs: `RS256`, `ES256`.
    pub algorithm: AssertionAlgorithm,
    /// `kid` of the header: by which receivers find the key.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub key_id: String,
    /// `aud`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "the origin of the notification's target")))]
    pub audience: Option<String>,
    /// `exp` - `iat`, `1s` to `3600s`.
    #[serde(default = "five_minutes", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "300s")))]
    pub lifetime: Duration,
    /// The header that has it.
    #[serde(default = "authorization")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "authorization", "x-default" = "`authorization`")))]
    pub header: CredentialHeader,
    /// What stands before it there.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`Bearer ` in `Authorization`, nothing elsewhere")))]
    pub prefix: Option<Prefix>,
}

impl SignedJwt {
    /// What stands before the token.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let usual = if self.header.as_str() == "authorization" { "Bearer " } else { "" };
        self.prefix.as_ref().map_or(usual, Prefix::as_str)
    }

    pub(in crate::config) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let texts = [("issuer", Some(&self.issuer)), ("key_id", Some(&self.key_id)), ("audience", self.audience.as_ref())];
        if let Some((member, _)) = texts.into_iter().find(|(_, text)| text.is_some_and(String::is_empty)) {
            return Err(ConfigError::of(at, member, "must not be empty"));
        }
        if !(1..=3600).contains(&self.lifetime.as_secs()) {
            return Err(ConfigError::of(at, "lifetime", "must be 1s to 3600s"));
        }
        Ok(())
    }
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn authorization() -> CredentialHeader {
    CredentialHeader::authorization()
}
