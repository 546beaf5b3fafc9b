//! Client certificates: where the verified one is said, and whose are taken.

use super::{ConfigError, key};
use serde::Deserialize;

/// A scheme of client certificates.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// Where the certificate is.
    #[serde(default)]
    pub from: CertificateSource,
    /// Whose certificates are taken.
    pub allow: Vec<Allowed>,
}

/// Where the client's certificate is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// The TLS connection to this Envoy.
    #[default]
    Connection,
    /// `x-forwarded-client-cert`, from a proxy in front.
    XForwardedClientCert(Forwarded),
}

/// Which `x-forwarded-client-cert` is believed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ForwardedCertificate", transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// Who may say it: identities (URI, DNS name or subject) of the certificates of the proxies in front; `*` for whoever
    /// can connect.
    pub proxies: Vec<String>,
    /// How many elements the header has; the first is the client's.
    #[serde(default = "one")]
    pub elements: usize,
}

const fn one() -> usize {
    1
}

/// How bound tokens (RFC 8705) are held against the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Where the certificate is.
    #[serde(default)]
    pub from: CertificateSource,
    /// Whether tokens that are not bound are refused.
    #[serde(default)]
    pub required: bool,
}

/// Whose certificates are taken. Exactly one of `uri`, `dns` and `subject`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// A URI such as a SPIFFE ID; with `/*` at its end everything below.
    #[serde(default)]
    pub uri: Option<String>,
    /// A DNS name; with `*.` in front every name below.
    #[serde(default)]
    pub dns: Option<String>,
    /// A subject as Envoy writes it (RFC 2253).
    #[serde(default)]
    pub subject: Option<String>,
    /// Scopes that come with it.
    #[serde(default)]
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
