//! Registrations at authorization servers in which users agree that this side acts for them (RFC 6749 section 4.1, RFC 7636).

use super::{Client, ClientAuthentication, ConfigError, HttpUri, TokenEndpoint, TokenParameters};
use crate::wire::json::UniqueMap;
use serde::Deserialize;

/// Parameters of the authorization request that this side sets itself.
const OURS: [&str; 11] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "resource",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
];

/// A client of an authorization server at which users sign in and agree.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct OauthApp {
    /// What the server calls itself (`issuer` of its metadata, RFC 8414). An answer whose `iss` (RFC 9207) is another is refused.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "unknown: an answer with `iss` is refused")))]
    pub issuer: Option<String>,
    /// Whether its answers must name it by `iss`: `true` where its metadata says `authorization_response_iss_parameter_supported`.
    #[serde(default)]
    pub require_iss: bool,
    /// The server's metadata (RFC 8414, OpenID Connect Discovery 1.0), such as `https://server/.well-known/openid-configuration`. It says
    /// which endpoints there are besides those that are given here, and whether answers name the issuer. They must have the scheme, host
    /// and port of `uri`; calls to them go through its cluster. Needs `issuer`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none: the endpoints are given here")))]
    pub discovery: Option<TokenEndpoint>,
    /// Where users sign in and agree, in their browsers.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-default" = "required, unless there is `discovery`, or each connection has `device_code` or `ciba`"))
    )]
    pub authorization_endpoint: Option<HttpUri>,
    /// Who asks for tokens. Register the redirect URI `<public_url><path>/callback/<name of the app>` for it.
    pub client: AppClient,
    /// Where tokens are renewed, if that is not `client.token_endpoint`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`client.token_endpoint`")))]
    pub refresh_endpoint: Option<TokenEndpoint>,
    /// Where a grant is revoked that the user gives up (RFC 7009).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "that of `discovery`; without one the grant is only forgotten here")))]
    pub revocation_endpoint: Option<TokenEndpoint>,
    /// What users are asked to agree to, unless the connection says it. Many servers give a refresh token only for `offline_access`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$")), extend("default" = [])))]
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request, such as `{"prompt": "consent"}`. Also of the requests with which `device_code` and
    /// `ciba` begin.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>", extend("x-default" = "`{}`")))]
    pub authorization_parameters: UniqueMap<String>,
}

/// The client of an app.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct AppClient {
    /// Where it asks.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless there is `discovery`")))]
    pub token_endpoint: Option<TokenEndpoint>,
    /// Its id there.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub client_id: String,
    /// How it proves that, see [authentication](outbound.md#client).
    pub authentication: ClientAuthentication,
}

impl AppClient {
    /// The same as a client that asks at `token_endpoint`.
    #[must_use]
    pub fn at(&self, token_endpoint: TokenEndpoint) -> Client {
        Client { token_endpoint, client_id: self.client_id.clone(), authentication: self.authentication.clone() }
    }
}

impl OauthApp {
    /// Checks what it says, but not its secret.
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.issuer.as_ref().is_some_and(String::is_empty) {
            return fail("issuer", "must not be empty");
        }
        if self.require_iss && self.issuer.is_none() {
            return fail("issuer", "is missing: require_iss needs it");
        }
        if self.discovery.is_some() && self.issuer.is_none() {
            return fail("issuer", "is missing: discovery needs it, since the metadata must be this server's own");
        }
        if let Some(endpoint) = &self.authorization_endpoint {
            check_authorization_endpoint(at, endpoint)?;
        }
        let at_client = format!("{at}.client");
        match self.client.token_endpoint.as_ref().or(self.discovery.as_ref()) {
            Some(endpoint) => self.client.at(endpoint.clone()).check(&at_client)?,
            None => {
                return Err(ConfigError::of(&at_client, "token_endpoint", "is missing, and there is no discovery that says where it is"));
            }
        }
        for (member, endpoint) in [
            ("discovery", &self.discovery),
            ("refresh_endpoint", &self.refresh_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
        ] {
            if let Some(endpoint) = endpoint {
                endpoint.check(&format!("{at}.{member}"))?;
            }
        }
        let scopes = TokenParameters { scopes: self.scopes.clone(), ..TokenParameters::default() };
        scopes.check(at)?;
        match self.authorization_parameters.0.keys().find(|name| name.is_empty() || OURS.contains(&name.as_str())) {
            Some(name) => Err(ConfigError::new(format!("{at}.authorization_parameters"), format!("{name:?} cannot be given here"))),
            None => Ok(()),
        }
    }
}

impl OauthApp {
    /// Whether browsers can be sent to it.
    pub(super) const fn has_browsers(&self) -> bool {
        self.authorization_endpoint.is_some() || self.discovery.is_some()
    }
}

/// The parameter of ours that the query of an authorization endpoint has already, if it has one.
#[must_use]
pub fn set_twice(endpoint: &HttpUri) -> Option<&str> {
    // RFC 6749 section 3.1: it may have a query, and that is kept.
    let query = endpoint.path().split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split('=').next()).find(|name| OURS.contains(name))
}

/// A browser is sent there with parameters of ours.
pub(super) fn check_authorization_endpoint(at: &str, endpoint: &HttpUri) -> Result<(), ConfigError> {
    match set_twice(endpoint) {
        Some(name) => {
            let reason = format!("its query has {name}, which is set for each request");
            Err(ConfigError::new(format!("{at}.authorization_endpoint"), reason))
        }
        None => Ok(()),
    }
}
