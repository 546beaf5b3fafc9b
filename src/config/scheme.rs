//! Ways to authenticate, by the names that cards and `agents[].security` use.

use super::certificate::{Bound, CertificateSource, MutualTls};
use super::claims::Field;
use super::introspection::Introspection;
use super::key::{ApiKey, Basic};
use super::terms::{self, OwnTerms};
use super::waiting::{self, Fairness};
use super::{ConfigError, Issuer, Secret, duration};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use std::time::Duration;

/// One way to authenticate. What each proves, and how several go together: [credentials](credentials.md).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// A JWT in `Authorization: Bearer` (RFC 6750, RFC 9068), verified here.
    Bearer(Bearer),
    /// Any token in `Authorization: Bearer`, by the answer of its issuer (RFC 7662): opaque tokens.
    Introspection(Box<Introspection>),
    /// A key in a header, the query, or a cookie.
    ApiKey(ApiKey),
    /// Name and password in `Authorization: Basic` (RFC 7617).
    Basic(Basic),
    /// The client's certificate.
    MutualTls(MutualTls),
    /// Nothing: everyone, said on purpose.
    None(Open),
}

/// JWTs of issuers, verified with their keys.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The issuers whose tokens it takes, by their names in `issuers`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub issuers: Vec<String>,
    /// Whom tokens must be for, as for [issuers](configuration.md#issuers).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("x-default" = "the issuer's")))]
    pub audiences: Option<Vec<String>>,
    /// What a token must say: of `subject`, `client`, `scopes`, `roles`, `tenant`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the issuer's `claims.required`")))]
    pub required: Option<Vec<Field>>,
    /// What header `typ` may be.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "the issuer's")))]
    pub token_types: Option<Vec<String>>,
    /// Longest `exp` - `iat`.
    #[serde(default, deserialize_with = "duration::deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("x-default" = "the issuer's")))]
    pub max_lifetime: Option<Duration>,
    /// How tokens are checked against the client's certificate, see [bound tokens](credentials.md#bound-tokens-rfc-8705).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none: bound tokens are refused")))]
    pub certificate_bound: Option<Bound>,
    /// Most requests that wait for the issuers' keys at a time in one worker, see [requests that
    /// wait](credentials.md#requests-that-wait).
    #[serde(default = "waiting::of_a_scheme")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_waiting: usize,
    /// Who gets a place when all are taken.
    #[serde(default)]
    pub fairness: Fairness,
}

impl Bearer {
    /// What it says of tokens, for an agent that has `audiences` of its own, or none.
    #[must_use]
    pub fn own_terms<'c>(&'c self, audiences: Option<&'c [String]>) -> OwnTerms<'c> {
        OwnTerms {
            audiences: audiences.or(self.audiences.as_deref()),
            required: self.required.as_deref(),
            token_types: self.token_types.as_deref(),
            max_lifetime: self.max_lifetime,
        }
    }
}

/// `none: {}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct Open {}

impl Scheme {
    pub(super) fn check(&self, at: &str, issuers: &[Issuer], secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        match self {
            Self::Bearer(bearer) => {
                if let Some(bound) = &bearer.certificate_bound {
                    bound.from.check(&format!("{at}.bearer.certificate_bound.from"))?;
                }
                waiting::check(&format!("{at}.bearer."), bearer.max_waiting)?;
                terms::check(&format!("{at}.bearer"), &bearer.own_terms(None))?;
                let at = format!("{at}.bearer.issuers");
                if bearer.issuers.is_empty() {
                    return Err(ConfigError::new(at, "name at least one issuer"));
                }
                let unknown = |wanted: &String| !issuers.iter().any(|issuer| &issuer.name == wanted);
                match bearer.issuers.iter().position(unknown) {
                    Some(index) => {
                        let name = bearer.issuers.get(index);
                        Err(ConfigError::new(
                            format!("{at}[{index}]"),
                            format!("there is no issuer called {:?}", name.map_or("", String::as_str)),
                        ))
                    }
                    None => Ok(()),
                }
            }
            Self::Introspection(introspection) => introspection.check(&format!("{at}.introspection"), secrets),
            Self::ApiKey(key) => key.check(&format!("{at}.api_key")),
            Self::Basic(basic) => basic.check(&format!("{at}.basic")),
            Self::MutualTls(tls) => tls.check(&format!("{at}.mutual_tls")),
            Self::None(_) => Ok(()),
        }
    }

    /// How tokens of this scheme are held against the client's certificate, if they are.
    #[must_use]
    pub const fn bound(&self) -> Option<&Bound> {
        match self {
            Self::Bearer(bearer) => bearer.certificate_bound.as_ref(),
            Self::Introspection(introspection) => introspection.certificate_bound.as_ref(),
            Self::ApiKey(_) | Self::Basic(_) | Self::MutualTls(_) | Self::None(_) => None,
        }
    }

    /// Where the client's certificate is looked for, if it matters.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateSource> {
        match self {
            Self::MutualTls(tls) => Some(&tls.from),
            _ => self.bound().map(|bound| &bound.from),
        }
    }

    /// Most requests that wait for it at a time in one worker, and how clients share these places. `None` for schemes that
    /// nobody waits for.
    #[must_use]
    pub const fn waiting(&self) -> Option<(usize, Fairness)> {
        match self {
            Self::Bearer(bearer) => Some((bearer.max_waiting, bearer.fairness)),
            Self::Introspection(introspection) => Some((introspection.max_waiting, introspection.fairness)),
            Self::ApiKey(_) | Self::Basic(_) | Self::MutualTls(_) | Self::None(_) => None,
        }
    }

    /// Whether it takes a bearer token.
    #[must_use]
    pub const fn is_token(&self) -> bool {
        matches!(self, Self::Bearer(_) | Self::Introspection(_))
    }
}
