//! Client certificates: where the verified one is said, and whose are taken.

use super::{ConfigError, key};
use serde::Deserialize;

/// Client certificates. The listener verifies them, not the filter.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// Where the certificate is: the TLS connection to this Envoy, or `{"x_forwarded_client_cert": {…}}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`connection`")))]
    pub from: CertificateSource,
    /// Whose certificates are taken.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub allow: Vec<Allowed>,
}

/// Where the client's certificate is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// On the TLS connection to this Envoy.
    #[default]
    Connection,
    /// In the header `x-forwarded-client-cert`, from a proxy in front.
    XForwardedClientCert(Forwarded),
}

/// Which `x-forwarded-client-cert` is believed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ForwardedCertificate", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// The proxies in front that may send this header: identities (URI, DNS name or subject) of their certificates; `*` for any client that can connect.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub proxies: Vec<String>,
    /// How many elements the header has, exactly, from 1 to 8; the first is the client's.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8)))]
    pub elements: usize,
}

const fn one() -> usize {
    1
}

/// How bound tokens (RFC 8705) are held against the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Where the certificate is: the TLS connection to this Envoy, or `{"x_forwarded_client_cert": {…}}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`connection`")))]
    pub from: CertificateSource,
    /// Whether tokens that are not bound are refused.
    #[serde(default)]
    pub required: bool,
}

/// Whose certificates are taken, by one of `uri`, `dns` and `subject`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// A URI such as a SPIFFE ID; with `/*` at its end everything below.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub uri: Option<String>,
    /// A DNS name; with `*.` in front every name below.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub dns: Option<String>,
    /// A subject as Envoy writes it (RFC 2253).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub subject: Option<String>,
    /// Scopes that come with it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$"))))]
    pub scopes: Vec<String>,
    /// Roles that come with it.
    #[serde(default)]
    pub roles: Vec<String>,
}

impl MutualTls {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        self.from.check(&format!("{at}.from"))?;
        if self.allow.is_empty() {
            return Err(ConfigError::of(at, "allow", "name at least one: a certificate of everyone admits everyone"));
        }
        for (index, allowed) in self.allow.iter().enumerate() {
            let at = format!("{at}.allow[{index}]");
            let named: Vec<&String> = [&allowed.uri, &allowed.dns, &allowed.subject].into_iter().flatten().collect();
            let [name] = named.as_slice() else {
                return Err(ConfigError::new(at, "give exactly one of uri, dns and subject"));
            };
            // A star alone, or in front of all authorities, would be everyone.
            let authority = allowed.uri.as_deref().map(|uri| uri.split_once("://").map_or("", |(_, rest)| rest));
            let is_open = authority.is_some_and(|rest| rest.is_empty() || rest.starts_with(['*', '/']));
            let host = allowed.dns.as_deref().is_some_and(|name| name.strip_prefix("*.").unwrap_or(name).is_empty());
            let inner = match (&allowed.uri, &allowed.dns) {
                (Some(uri), _) => uri.strip_suffix("/*").unwrap_or(uri),
                (None, Some(dns)) => dns.strip_prefix("*.").unwrap_or(dns),
                (None, None) => "",
            };
            if name.is_empty() || is_open || host || inner.contains('*') {
                return Err(ConfigError::new(at, "must be a whole identity, a uri that ends in /*, or a dns name that starts with *."));
            }
            key::scopes(&allowed.scopes, &format!("{at}.scopes"))?;
        }
        Ok(())
    }
}

impl CertificateSource {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let Self::XForwardedClientCert(forwarded) = self else { return Ok(()) };
        let fail = |member: &str, reason: &str| Err(ConfigError::new(format!("{at}.x_forwarded_client_cert.{member}"), reason.to_owned()));
        if forwarded.proxies.is_empty() || forwarded.proxies.iter().any(String::is_empty) {
            return fail("proxies", "name the proxies that may say it, or \"*\" if nobody else can connect");
        }
        if !(1..=8).contains(&forwarded.elements) {
            return fail("elements", "must be from 1 to 8");
        }
        Ok(())
    }

    /// Whether the certificate of the connection has to be known: the client's, or the one of the proxy in front.
    #[must_use]
    pub fn asks_connection(&self) -> bool {
        match self {
            Self::Connection => true,
            Self::XForwardedClientCert(forwarded) => !forwarded.proxies.iter().any(|proxy| proxy == "*"),
        }
    }
}
