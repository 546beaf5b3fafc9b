//! Who asks an authorization server for tokens, how it proves that, and what it asks for (RFC 6749, RFC 7523, RFC 8707).

use super::{ConfigError, HttpUri, ManagedIdentity, SecretRef, duration};
use crate::wire::json::UniqueMap;
use serde::Deserialize;
use std::time::Duration;

/// Parameters that this side sets itself.
const OURS: [&str; 15] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "audience",
    "resource",
    "assertion",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "requested_token_use",
];

/// Where tokens are asked for.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct TokenEndpoint {
    /// The endpoint.
    pub uri: HttpUri,
    /// The Envoy cluster that leads there.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Longest wait for one answer, at least `0.01s`.
    #[serde(default = "two_seconds", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "2s")))]
    pub timeout: Duration,
}

/// A client of an authorization server.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Where it asks.
    pub token_endpoint: TokenEndpoint,
    /// Its id there.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub client_id: String,
    /// How it proves that, see [authentication](outbound.md#client).
    pub authentication: ClientAuthentication,
}

/// How a client proves who it is.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// `Authorization: Basic`, id and secret form-encoded first (RFC 6749 section 2.3.1).
    ClientSecretBasic(SecretRef),
    /// `client_id` and `client_secret` in the form.
    ClientSecretPost(SecretRef),
    /// An assertion (RFC 7523) that Envoy signs. Needs Envoy 1.37 or newer.
    PrivateKeyJwt(PrivateKeyJwt),
    /// An assertion that something else signs and renews, such as a projected service-account token.
    ClientAssertion(SecretRef),
    /// An assertion that the platform gives: the token of a managed identity in which the server trusts.
    ManagedIdentity(Box<ManagedIdentity>),
    /// The client is an agent identity of Entra: the token that its blueprint gets for it is the assertion. See [agent
    /// identities](outbound.md#agent-identities-of-entra).
    AgentIdentityBlueprint(Box<Blueprint>),
    /// `client_id` alone: the client's certificate authenticates (RFC 8705 section 2.1). Envoy's cluster has it.
    TlsClientAuth(super::Nothing),
    /// The same with a certificate that the client registered itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth(super::Nothing),
    /// `client_id` alone: a public client.
    None(super::Nothing),
}

/// The blueprint of an agent identity (Microsoft Entra Agent ID). It asks at the same token endpoint.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// Its client id.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub client_id: String,
    /// How the blueprint itself authenticates.
    pub authentication: ClientAuthentication,
}

/// A signed client assertion.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PrivateKeyJwt {
    /// The private key, a secret: PKCS#8 in PEM.
    pub key: SecretRef,
    /// How it signs: `RS256`, `ES256`.
    pub algorithm: AssertionAlgorithm,
    /// `kid` of the header.
    #[serde(default)]
    pub key_id: Option<String>,
    /// `x5t` of the header (SHA-1 of the certificate, base64url), which Entra wants.
    #[serde(default)]
    pub x5t: Option<String>,
    /// `aud` of the assertion.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the endpoint's URI")))]
    pub audience: Option<String>,
    /// `exp` - `iat`, `1s` to `600s`.
    #[serde(default = "a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "60s")))]
    pub lifetime: Duration,
}

/// An algorithm that the proxy signs with (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[allow(missing_docs, reason = "the names are the IANA registry's")]
pub enum AssertionAlgorithm {
    RS256,
    ES256,
}

impl AssertionAlgorithm {
    /// The name of the IANA registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
        }
    }
}

/// What a token is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct TokenParameters {
    /// `scope` (RFC 6749 section 3.3).
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$"))))]
    pub scopes: Vec<String>,
    /// `audience` (RFC 8693 section 2.1, and many servers for other grants).
    #[cfg_attr(feature = "schema", schemars(inner(length(min = 1))))]
    pub audience: Vec<String>,
    /// `resource` (RFC 8707 section 2).
    #[cfg_attr(feature = "schema", schemars(inner(length(min = 1))))]
    pub resource: Vec<String>,
    /// Any others, by name.
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>", extend("x-default" = "`{}`")))]
    pub parameters: UniqueMap<String>,
}

impl TokenEndpoint {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.cluster.is_empty() {
            return Err(ConfigError::of(at, "cluster", "name an Envoy cluster"));
        }
        if self.timeout < Duration::from_millis(10) {
            return Err(ConfigError::of(at, "timeout", "must be at least 0.01s"));
        }
        Ok(())
    }
}

impl Client {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        self.token_endpoint.check(&format!("{at}.token_endpoint"))?;
        if self.client_id.is_empty() {
            return Err(ConfigError::of(at, "client_id", "must not be empty"));
        }
        self.check_authentication(&self.authentication, at, "authentication")
    }

    fn check_authentication(&self, authentication: &ClientAuthentication, at: &str, place: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, &[place, ".", member].concat(), reason));
        match authentication {
            ClientAuthentication::PrivateKeyJwt(own) if !(1..=600).contains(&own.lifetime.as_secs()) => {
                fail("private_key_jwt.lifetime", "must be 1s to 600s")
            }
            ClientAuthentication::AgentIdentityBlueprint(own) => match &own.authentication {
                _ if own.client_id.is_empty() => fail("agent_identity_blueprint.client_id", "must not be empty"),
                ClientAuthentication::AgentIdentityBlueprint(_) => fail(
                    "agent_identity_blueprint.authentication",
                    "a blueprint is no agent identity: say how the blueprint itself authenticates",
                ),
                inner => self.check_authentication(inner, at, &[place, ".agent_identity_blueprint.authentication"].concat()),
            },
            ClientAuthentication::TlsClientAuth(_) | ClientAuthentication::SelfSignedTlsClientAuth(_)
                if self.token_endpoint.uri.scheme() != "https" =>
            {
                Err(ConfigError::of(at, "token_endpoint.uri", "must be https: the certificate of the connection is what authenticates"))
            }
            _ => Ok(()),
        }
    }

    /// The blueprint of this agent identity as a client.
    #[must_use]
    pub fn blueprint(&self) -> Option<Self> {
        let ClientAuthentication::AgentIdentityBlueprint(own) = &self.authentication else { return None };
        let Blueprint { client_id, authentication } = own.as_ref().clone();
        Some(Self { token_endpoint: self.token_endpoint.clone(), client_id, authentication })
    }
}

impl ClientAuthentication {
    /// The authentication that needs no other token, with its place: the blueprint's, or the client's own.
    pub(super) fn first(&self) -> (&'static str, &Self) {
        match self {
            Self::AgentIdentityBlueprint(own) => ("authentication.agent_identity_blueprint.authentication", &own.authentication),
            own => ("authentication", own),
        }
    }

    /// The secret that it needs, with its place.
    pub(super) const fn secret(&self) -> Option<(&'static str, &SecretRef)> {
        match self {
            ClientAuthentication::ClientSecretBasic(secret) => Some(("client_secret_basic", secret)),
            ClientAuthentication::ClientSecretPost(secret) => Some(("client_secret_post", secret)),
            ClientAuthentication::PrivateKeyJwt(own) => Some(("private_key_jwt.key", &own.key)),
            ClientAuthentication::ClientAssertion(secret) => Some(("client_assertion", secret)),
            ClientAuthentication::ManagedIdentity(_)
            | ClientAuthentication::AgentIdentityBlueprint(_)
            | ClientAuthentication::TlsClientAuth(_)
            | ClientAuthentication::SelfSignedTlsClientAuth(_)
            | ClientAuthentication::None(_) => None,
        }
    }
}

impl TokenParameters {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        // RFC 6749 section 3.3: a scope is visible ASCII without quote and backslash.
        let is_scope = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if let Some(index) = self.scopes.iter().position(|scope| !is_scope(scope)) {
            return Err(ConfigError::new(format!("{at}.scopes[{index}]"), "a scope is one word of visible ASCII"));
        }
        for (member, list) in [("audience", &self.audience), ("resource", &self.resource)] {
            if let Some(index) = list.iter().position(String::is_empty) {
                return Err(ConfigError::new(format!("{at}.{member}[{index}]"), "must not be empty"));
            }
        }
        match self.parameters.0.keys().find(|name| name.is_empty() || OURS.contains(&name.as_str())) {
            Some(name) => Err(ConfigError::new(format!("{at}.parameters"), format!("{name:?} cannot be given here"))),
            None => Ok(()),
        }
    }
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

const fn a_minute() -> Duration {
    Duration::from_secs(60)
}

#[cfg(test)]
mod tests {
    use super::Client;
    use serde_json::{Value, json};

    fn fault(uri: &str, authentication: Value) -> Option<String> {
        let client = json!({"token_endpoint": {"uri": uri, "cluster": "idp"}, "client_id": "me", "authentication": authentication});
        serde_json::from_value::<Client>(client).unwrap().check("at").err().map(|error| error.to_string())
    }

    #[test]
    fn a_certificate_authenticates_over_tls_only() {
        for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
            assert_eq!(fault("https://a.example/token", json!({ method: {} })), None);
            let fault = fault("http://a.example/token", json!({ method: {} })).unwrap();
            assert!(fault.starts_with("at.token_endpoint.uri: must be https"), "{fault}");
        }
        assert_eq!(fault("http://a.example/token", json!({"none": {}})), None);
    }

    #[test]
    fn a_blueprint_authenticates_itself() {
        let blueprint =
            |id: &str, authentication: Value| json!({"agent_identity_blueprint": {"client_id": id, "authentication": authentication}});
        let fault = |authentication: Value| fault("http://a.example/token", authentication);
        assert_eq!(fault(blueprint("b", json!({"client_secret_post": {"secret": "s"}}))), None);
        let key = json!({"private_key_jwt": {"key": {"secret": "s"}, "algorithm": "ES256", "lifetime": "601s"}});
        for (authentication, place) in [
            (blueprint("", json!({"none": {}})), "at.authentication.agent_identity_blueprint.client_id: "),
            (blueprint("b", blueprint("c", json!({"none": {}}))), "at.authentication.agent_identity_blueprint.authentication: a blueprint"),
            (blueprint("b", json!({"tls_client_auth": {}})), "at.token_endpoint.uri: must be https"),
            (blueprint("b", key), "at.authentication.agent_identity_blueprint.authentication.private_key_jwt.lifetime: "),
        ] {
            let fault = fault(authentication.clone()).unwrap_or_default();
            assert!(fault.starts_with(place), "{authentication}: {fault}");
        }
    }
}
