//! Credentials of connections: what is attached to calls that leave, and how it is obtained.

use super::client::{Client, ClientAuthentication, TokenEndpoint, TokenParameters};
use super::secret::named;
use super::{
    Choice, ConfigError, Google, HttpUri, IdentityAssertion, Issuer, NamedCredential, Secret, SecretRef, SignedJwt, UserPassthrough,
    choice, duration, terms,
};
use crate::wire::header;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use std::time::Duration;

/// What is attached to calls, and how it is obtained, see [outbound calls](outbound.md).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A header with a secret value: an API key, a personal access token.
    Header(HeaderCredential),
    /// Several such headers.
    Headers(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] Vec<HeaderCredential>),
    /// A query parameter with a secret value.
    Query(NamedCredential),
    /// A cookie with a secret value.
    Cookie(NamedCredential),
    /// One identity for all, from an authorization server: a token by client credentials (RFC 6749 section 4.4).
    ClientCredentials(ClientCredentials),
    /// One identity for all, without a secret to look after: a token of the platform that Envoy runs on (Azure, Google Cloud).
    ManagedIdentity(ManagedIdentity),
    /// The user's permissions, from a server that exchanges the caller's token (RFC 8693).
    TokenExchange(Box<TokenExchange>),
    /// The user's permissions, with Entra (grant `urn:ietf:params:oauth:grant-type:jwt-bearer`).
    OnBehalfOf(OnBehalfOf),
    /// The user's permissions, from the remote agent's own authorization server, which believes the caller's identity provider (ID-JAG).
    IdentityAssertion(Box<IdentityAssertion>),
    /// The caller's own token, if it names the remote agent as its audience.
    Passthrough(Passthrough),
    /// The user's own token of the remote agent's authorization server: each user signs in and agrees once, see [user
    /// passthrough](user-passthrough.md).
    UserPassthrough(Box<UserPassthrough>),
    /// For notifications: a JWT that this side signs for each.
    SignedJwt(Box<SignedJwt>),
    /// None, on purpose.
    None(Nothing),
    /// The first of several that the remote agent's card asks for.
    Auto(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] Vec<Choice>),
}

/// `{}`: nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A header whose value is a secret.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct HeaderCredential {
    /// Name of the header.
    pub name: CredentialHeader,
    /// What stands before the secret, such as `Bearer ` with its space.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "nothing")))]
    pub prefix: Prefix,
    /// The secret.
    pub value: SecretRef,
}

/// A token of this side's own, by client credentials.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Who asks.
    pub client: Client,
    /// What for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`{}`")))]
    pub request: TokenParameters,
}

/// A platform that gives its machines tokens.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ManagedIdentity {
    /// Azure virtual machines and scale sets.
    VirtualMachine(VirtualMachine),
    /// Azure App Service, Functions and Container Apps.
    AppService(AppService),
    /// Workload identity (AKS and other clusters): a federated token is exchanged for one of Entra.
    Workload(Workload),
    /// The metadata server of Google Cloud: Compute Engine, Cloud Run, GKE.
    Google(Google),
}

/// The metadata endpoint of Azure virtual machines.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct VirtualMachine {
    /// The Envoy cluster that leads to 169.254.169.254:80.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// The endpoint.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the usual one")))]
    pub uri: Option<HttpUri>,
    /// Longest wait for one answer, at least `0.01s`.
    #[serde(default = "five_seconds", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "5s")))]
    pub timeout: Duration,
    /// What the token is for: an application id URI, such as `api://remote`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub resource: String,
    /// Which identity, if the machine has several.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the machine's only one")))]
    pub identity: Option<UserAssigned>,
}

/// The endpoint of Azure App Service.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct AppService {
    /// The value of `IDENTITY_ENDPOINT`, and the Envoy cluster that leads there.
    pub endpoint: TokenEndpoint,
    /// The secret that is the value of `IDENTITY_HEADER`.
    pub identity_header: SecretRef,
    /// What the token is for: an application id URI, such as `api://remote`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub resource: String,
    /// Which identity, if the app has several.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the app's only one")))]
    pub identity: Option<UserAssigned>,
}

/// A user-assigned identity, by one of its names.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserAssigned {
    /// By client id.
    ClientId(String),
    /// By object id.
    ObjectId(String),
    /// By resource id.
    ResourceId(String),
}

/// Workload identity.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Who asks; its authentication is the federated token: `client_assertion`.
    pub client: Client,
    /// What the token is for, such as `api://target/.default`.
    pub scopes: Vec<String>,
}

/// Whose token is exchanged or passed on.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The caller's token must be of one of these, by their names in `issuers`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub issuers: Vec<String>,
}

/// A token for the caller, in exchange for the one that it presented (RFC 8693).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct TokenExchange {
    /// Who asks.
    pub client: Client,
    /// What for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`{}`")))]
    pub request: TokenParameters,
    /// For whom.
    pub subject: Subject,
    /// The actor token (RFC 8693 section 2.1), which says who acts for the subject. Without this member none is sent.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// What the caller's token is called in the request (`subject_token_type`).
    #[serde(default = "access_token")]
    pub subject_token_type: String,
    /// What is asked for (`requested_token_type`).
    #[serde(default)]
    pub requested_token_type: Option<String>,
}

/// The actor token of an exchange.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Where it comes from.
    pub token: ActorToken,
    /// What it is called in the request (`actor_token_type`).
    #[serde(default = "access_token", rename = "type")]
    pub kind: String,
}

/// A token of this side's own, for an exchange.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorToken {
    /// One that something else renews, by its name in `secrets`.
    Secret(String),
    /// One by client credentials.
    ClientCredentials(ClientCredentials),
    /// One of the platform.
    ManagedIdentity(ManagedIdentity),
}

/// Entra's on-behalf-of flow.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct OnBehalfOf {
    /// Who asks.
    pub client: Client,
    /// What for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`{}`")))]
    pub request: TokenParameters,
    /// For whom.
    pub subject: Subject,
}

/// The caller's own token.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Passthrough {
    /// Whose tokens.
    pub subject: Subject,
    /// Names of the remote agent: the token's `aud` must hold one of them.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub audiences: Vec<String>,
}

/// The name of a header that has no other meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")))]
#[serde(try_from = "String")]
pub struct CredentialHeader(String);

impl CredentialHeader {
    pub(super) fn authorization() -> Self {
        Self("authorization".to_owned())
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CredentialHeader {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FRAMING: [&str; 9] =
            ["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive"];
        let name = text.to_ascii_lowercase();
        if !header::is_name(&name) {
            return Err("not a header name");
        }
        if FRAMING.contains(&name.as_str()) || name == crate::protocol::version::HEADER || super::taken::is_ours(&name) {
            return Err("this header has another meaning and cannot carry a credential");
        }
        Ok(Self(name))
    }
}

/// What stands before a secret: printable ASCII.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[ -~]*$")))]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Prefix {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) { Ok(Self(text)) } else { Err("must be printable ASCII") }
    }
}

impl Credential {
    /// The method's name, as the configuration spells it.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Header(_) | Self::Headers(_) => "header",
            Self::Query(_) => "query",
            Self::Cookie(_) => "cookie",
            Self::ClientCredentials(_) => "client_credentials",
            Self::ManagedIdentity(_) => "managed_identity",
            Self::TokenExchange(_) => "token_exchange",
            Self::OnBehalfOf(_) => "on_behalf_of",
            Self::IdentityAssertion(_) => "identity_assertion",
            Self::Passthrough(_) => "passthrough",
            Self::UserPassthrough(_) => "user_passthrough",
            Self::SignedJwt(_) => "signed_jwt",
            Self::None(_) => "none",
            Self::Auto(_) => "auto",
        }
    }

    /// Whether it is a token in `Authorization: Bearer`.
    #[must_use]
    pub const fn is_token(&self) -> bool {
        match self {
            Self::ClientCredentials(_)
            | Self::ManagedIdentity(_)
            | Self::TokenExchange(_)
            | Self::OnBehalfOf(_)
            | Self::IdentityAssertion(_)
            | Self::Passthrough(_)
            | Self::UserPassthrough(_) => true,
            Self::Header(_) | Self::Headers(_) | Self::Query(_) | Self::Cookie(_) | Self::SignedJwt(_) | Self::None(_) | Self::Auto(_) => {
                false
            }
        }
    }

    /// The headers with secret values.
    #[must_use]
    pub fn headers(&self) -> &[HeaderCredential] {
        match self {
            Self::Header(header) => std::slice::from_ref(header),
            Self::Headers(headers) => headers,
            _ => &[],
        }
    }

    /// Whose token a caller has to present, if one is needed.
    #[must_use]
    pub const fn subject(&self) -> Option<&Subject> {
        match self {
            Self::TokenExchange(exchange) => Some(&exchange.subject),
            Self::OnBehalfOf(exchange) => Some(&exchange.subject),
            Self::IdentityAssertion(own) => Some(&own.subject),
            Self::Passthrough(passthrough) => Some(&passthrough.subject),
            Self::UserPassthrough(own) => Some(&own.subject),
            _ => None,
        }
    }

    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>, issuers: &[Issuer]) -> Result<(), ConfigError> {
        let fail = |member: String, reason: &str| Err(ConfigError::of(at, &member, reason));
        let known = |place: String, secret: &str| named(&format!("{at}.{place}"), secret, secrets).map(drop);
        match self {
            Self::Headers(headers) if headers.is_empty() => return fail("headers".to_owned(), "give at least one"),
            Self::Headers(headers) => {
                for (index, header) in headers.iter().enumerate() {
                    known(format!("headers[{index}].value.secret"), &header.value.secret)?;
                    if headers.iter().take(index).any(|earlier| earlier.name == header.name) {
                        return fail(format!("headers[{index}].name"), "is used twice");
                    }
                }
            }
            Self::Header(header) => known("header.value.secret".to_owned(), &header.value.secret)?,
            Self::Cookie(own) => known("cookie.value.secret".to_owned(), &own.value.secret)?,
            Self::Query(own) => {
                own.check_parameter(&format!("{at}.query"))?;
                known("query.value.secret".to_owned(), &own.value.secret)?;
            }
            Self::ClientCredentials(own) => own.check(at, "client_credentials", &known)?,
            Self::ManagedIdentity(own) => own.check(at, "managed_identity", &known)?,
            Self::TokenExchange(exchange) => {
                check_client(&exchange.client, at, "token_exchange", &known)?;
                exchange.request.check(&format!("{at}.token_exchange.request"))?;
                match exchange.actor.as_ref().map(|actor| &actor.token) {
                    None => {}
                    Some(ActorToken::Secret(name)) => known("token_exchange.actor.token.secret".to_owned(), name)?,
                    Some(ActorToken::ClientCredentials(own)) => own.check(at, "token_exchange.actor.token.client_credentials", &known)?,
                    Some(ActorToken::ManagedIdentity(own)) => own.check(at, "token_exchange.actor.token.managed_identity", &known)?,
                }
            }
            Self::OnBehalfOf(exchange) => {
                check_client(&exchange.client, at, "on_behalf_of", &known)?;
                exchange.request.check(&format!("{at}.on_behalf_of.request"))?;
            }
            Self::IdentityAssertion(own) => {
                check_client(&own.exchange.client, at, "identity_assertion.exchange", &known)?;
                check_client(&own.client, at, "identity_assertion", &known)?;
                own.check(&format!("{at}.identity_assertion"))?;
            }
            Self::Passthrough(own) if own.audiences.is_empty() || own.audiences.iter().any(String::is_empty) => {
                return fail("passthrough.audiences".to_owned(), "name the remote agent: a token for someone else must not go there");
            }
            Self::SignedJwt(own) => {
                own.check(&format!("{at}.signed_jwt"))?;
                known("signed_jwt.key.secret".to_owned(), &own.key.secret)?;
            }
            Self::UserPassthrough(own) => own.check(&format!("{at}.user_passthrough"))?,
            Self::Passthrough(_) | Self::None(_) => {}
            Self::Auto(choices) => return choice::check(choices, &format!("{at}.auto"), secrets, issuers),
        }
        let Some(subject) = self.subject() else { return Ok(()) };
        let place = format!("{}.subject.issuers", self.method());
        if subject.issuers.is_empty() {
            return fail(place, "name at least one issuer");
        }
        match subject.issuers.iter().position(|name| !issuers.iter().any(|issuer| &issuer.name == name)) {
            Some(index) => fail(format!("{place}[{index}]"), "there is no issuer of this name"),
            None if matches!(self, Self::Passthrough(_)) => Ok(()),
            None => terms::has_audiences(issuers, &subject.issuers),
        }
    }
}

type Known<'a> = &'a dyn Fn(String, &str) -> Result<(), ConfigError>;

fn check_client(client: &Client, at: &str, method: &str, known: Known<'_>) -> Result<(), ConfigError> {
    client.check(&format!("{at}.{method}.client"))?;
    let (place, authentication) = client.authentication.first();
    let place = format!("{method}.client.{place}");
    if let ClientAuthentication::ManagedIdentity(own) = authentication {
        return own.check(at, &format!("{place}.managed_identity"), known);
    }
    authentication.secret().map_or(Ok(()), |(own, secret)| known(format!("{place}.{own}.secret"), &secret.secret))
}

impl ClientCredentials {
    fn check(&self, at: &str, place: &str, known: Known<'_>) -> Result<(), ConfigError> {
        check_client(&self.client, at, place, known)?;
        self.request.check(&format!("{at}.{place}.request"))
    }
}

impl ManagedIdentity {
    fn check(&self, at: &str, place: &str, known: Known<'_>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::new(format!("{at}.{place}.{member}"), reason));
        match self {
            Self::VirtualMachine(own) if own.cluster.is_empty() => fail("virtual_machine.cluster", "name an Envoy cluster"),
            Self::VirtualMachine(own) if own.resource.is_empty() => fail("virtual_machine.resource", "must not be empty"),
            Self::VirtualMachine(own) if own.timeout < Duration::from_millis(10) => {
                fail("virtual_machine.timeout", "must be at least 0.01s")
            }
            Self::VirtualMachine(_) => Ok(()),
            Self::Google(own) => own.check(&format!("{at}.{place}.google")),
            Self::AppService(own) => {
                own.endpoint.check(&format!("{at}.{place}.app_service.endpoint"))?;
                if own.resource.is_empty() {
                    return fail("app_service.resource", "must not be empty");
                }
                known(format!("{place}.app_service.identity_header.secret"), &own.identity_header.secret)
            }
            Self::Workload(own)
                if matches!(
                    own.client.authentication,
                    ClientAuthentication::ManagedIdentity(_) | ClientAuthentication::AgentIdentityBlueprint(_)
                ) =>
            {
                fail("workload.client.authentication", "give the federated token as client_assertion, or use client_credentials")
            }
            Self::Workload(own) => {
                check_client(&own.client, at, &format!("{place}.workload"), known)?;
                TokenParameters { scopes: own.scopes.clone(), ..TokenParameters::default() }.check(&format!("{at}.{place}.workload"))
            }
        }
    }
}

pub(super) const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn access_token() -> String {
    "urn:ietf:params:oauth:token-type:access_token".to_owned()
}
