//! The grants: client credentials (RFC 6749 section 4.4), token exchange (RFC 8693), Entra's on-behalf-of, identity assertions, and
//! what the platform gives. One source makes one kind of request, and tells its tokens apart by a key. Some need a token of another
//! source for that.

use super::endpoint::{Answers, Grant, ID_JAG, TokenRequest};
use super::secrets::{SecretError, Secrets};
use super::{Key, managed_identity};
use crate::config::{
    ActorToken, Client, ClientAuthentication, ClientCredentials, Credential, IdentityAssertion, ManagedIdentity, OnBehalfOf, TokenExchange,
    TokenParameters,
};
use crate::wire::hex;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};

const CLIENT_CREDENTIALS: &str = "client_credentials";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Where tokens of one kind come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// This side's own token.
    Own(&'a ClientCredentials),
    /// The machine's own token.
    Platform(&'a ManagedIdentity),
    /// One for the caller.
    Exchange(&'a TokenExchange),
    /// One for the caller, in Entra's form.
    OnBehalfOf(&'a OnBehalfOf),
    /// The ID-JAG of an identity assertion, from the caller's identity provider.
    IdJag(&'a IdentityAssertion),
    /// What the remote agent's authorization server gives for it.
    Asserted(&'a IdentityAssertion),
    /// What the blueprint of this client, an agent identity of Entra, gets for it.
    Blueprint(&'a Client),
}

/// What the token of another source is in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who acts for the caller.
    Actor,
    /// The grant itself.
    Grant,
    /// The client's assertion.
    Assertion,
}

impl Role {
    /// What it is called in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor token",
            Self::Grant => "ID-JAG",
            Self::Assertion => "client assertion",
        }
    }
}

/// The caller's token, and those of other sources.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    /// The caller's own token, verified.
    pub subject: Option<SecretString>,
    /// The actor's token.
    pub actor: Option<SecretString>,
    /// The grant.
    pub grant: Option<SecretString>,
    /// The client's assertion.
    pub assertion: Option<SecretString>,
}

impl<'a> Source<'a> {
    /// The source of a connection's token, if it has one.
    #[must_use]
    pub const fn of(credential: &'a Credential) -> Option<Self> {
        match credential {
            Credential::ClientCredentials(own) => Some(Self::Own(own)),
            Credential::ManagedIdentity(own) => Some(Self::Platform(own)),
            Credential::TokenExchange(exchange) => Some(Self::Exchange(exchange)),
            Credential::OnBehalfOf(exchange) => Some(Self::OnBehalfOf(exchange)),
            Credential::IdentityAssertion(own) => Some(Self::Asserted(own)),
            Credential::Header(_)
            | Credential::Headers(_)
            | Credential::Query(_)
            | Credential::Cookie(_)
            | Credential::Passthrough(_)
            | Credential::UserPassthrough(_)
            | Credential::SignedJwt(_)
            | Credential::None(_)
            | Credential::Auto(_) => None,
        }
    }

    /// The sources whose tokens its request needs, and what each is there.
    pub fn needs(self) -> impl Iterator<Item = (Role, Self)> {
        let other = match self {
            Self::Exchange(TokenExchange { actor: Some(actor), .. }) => match &actor.token {
                ActorToken::Secret(_) => None,
                ActorToken::ClientCredentials(own) => Some((Role::Actor, Self::Own(own))),
                ActorToken::ManagedIdentity(own) => Some((Role::Actor, Self::Platform(own))),
            },
            Self::Asserted(own) => Some((Role::Grant, Self::IdJag(own))),
            _ => None,
        };
        let assertion = self.authentication().and_then(|(client, authentication)| match authentication {
            ClientAuthentication::ManagedIdentity(own) => Some((Role::Assertion, Self::Platform(own))),
            ClientAuthentication::AgentIdentityBlueprint(_) => Some((Role::Assertion, Self::Blueprint(client))),
            _ => None,
        });
        [assertion, other].into_iter().flatten()
    }

    /// Who asks, and how that is proved.
    fn authentication(self) -> Option<(&'a Client, &'a ClientAuthentication)> {
        let client = match self {
            Self::Own(own) => &own.client,
            Self::Exchange(own) => &own.client,
            Self::OnBehalfOf(own) => &own.client,
            Self::IdJag(own) => &own.exchange.client,
            Self::Asserted(own) => &own.client,
            Self::Blueprint(client) => {
                let ClientAuthentication::AgentIdentityBlueprint(own) = &client.authentication else { return None };
                return Some((client, &own.authentication));
            }
            Self::Platform(_) => return None,
        };
        Some((client, &client.authentication))
    }

    /// The secret in which the actor's token is, if its request needs that.
    #[must_use]
    pub fn actor_secret(self) -> Option<&'a str> {
        let Self::Exchange(TokenExchange { actor: Some(actor), .. }) = self else { return None };
        if let ActorToken::Secret(name) = &actor.token { Some(name) } else { None }
    }

    /// Whether its tokens are for one caller.
    #[must_use]
    pub const fn is_for_caller(self) -> bool {
        match self {
            Self::Exchange(_) | Self::OnBehalfOf(_) | Self::IdJag(_) | Self::Asserted(_) => true,
            Self::Own(_) | Self::Platform(_) | Self::Blueprint(_) => false,
        }
    }

    /// Whether the caller's own token stands in its request: a server that does not take the grant does not take that.
    #[must_use]
    pub const fn sends_subject(self) -> bool {
        self.is_for_caller() && !matches!(self, Self::Asserted(_))
    }

    /// What its tokens are called in the log.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::IdJag(_) => Role::Grant.name(),
            Self::Blueprint(_) => "token of the blueprint",
            _ => "token",
        }
    }

    /// This source, or one that it needs: the one whose token for `subject` has this key.
    #[must_use]
    pub fn find(self, key: &Key, connection: &str, subject: Option<&SecretString>) -> Option<Self> {
        if self.key(connection, subject).as_ref() == Some(key) {
            return Some(self);
        }
        self.needs().find_map(|(_, other)| other.find(key, connection, subject))
    }

    /// What tells the tokens of this source for `subject`, through connection `connection`, from all others. `None` if it
    /// needs a subject and there is none: different callers must never share a token.
    #[must_use]
    pub fn key(self, connection: &str, subject: Option<&SecretString>) -> Option<Key> {
        let text = subject.map(|subject| subject.expose_secret()).filter(|subject| !subject.is_empty());
        match self {
            Self::Own(own) => Some(grant(CLIENT_CREDENTIALS, Vec::new(), &own.request).key(connection, &own.client)),
            Self::Platform(own) => Some(managed_identity::key(own, connection)),
            Self::Exchange(exchange) => {
                let mut parameters = vec![("subject_token", text?), ("subject_token_type", &exchange.subject_token_type)];
                parameters.extend(exchange.requested_token_type.as_deref().map(|kind| ("requested_token_type", kind)));
                // Who the actor is, not its token: that changes, and what came of the exchange stays good.
                let actor = exchange.actor.as_ref().map(|actor| (actor.kind.as_str(), who(&actor.token, connection)));
                parameters.extend(actor.iter().flat_map(|(kind, who)| [("actor_token_type", *kind), ("actor", who.as_str())]));
                Some(grant(TOKEN_EXCHANGE, parameters, &exchange.request).key(connection, &exchange.client))
            }
            Self::OnBehalfOf(exchange) => {
                Some(grant(JWT_BEARER, vec![("assertion", text?)], &exchange.request).key(connection, &exchange.client))
            }
            Self::IdJag(own) => Some(id_jag(own, text?).key(connection, &own.exchange.client)),
            Self::Asserted(own) => {
                // Whose the ID-JAG is, not the ID-JAG: a new one asks for the same.
                let id_jag = hex::encode(&id_jag(own, text?).key(connection, &own.exchange.client));
                Some(grant(JWT_BEARER, vec![("id_jag", &id_jag)], &own.request).key(connection, &own.client))
            }
            Self::Blueprint(client) => client.blueprint().map(|own| fmi(&client.client_id, |grant| grant.key(connection, &own))),
        }
    }

    /// What it answers with.
    #[must_use]
    pub const fn answers(self) -> Answers {
        match self {
            Self::Platform(own) => managed_identity::answers(own),
            Self::IdJag(_) => Answers::IdJag,
            Self::Own(_) | Self::Exchange(_) | Self::OnBehalfOf(_) | Self::Asserted(_) | Self::Blueprint(_) => Answers::Token,
        }
    }

    /// The request for a token. `serial` makes an assertion unlike every other.
    ///
    /// # Errors
    /// The secret that has no value, and why.
    pub fn request(self, parties: &Parties, secrets: &Secrets, now: UnixTime, serial: &Key) -> Result<TokenRequest, (String, SecretError)> {
        let subject = parties.subject.as_ref().map_or("", |token| token.expose_secret());
        let (grant, client) = match self {
            Self::Own(own) => (grant(CLIENT_CREDENTIALS, Vec::new(), &own.request), &own.client),
            Self::Platform(own) => return managed_identity::request(own, secrets, now, serial),
            Self::Exchange(exchange) => {
                let mut parameters = vec![("subject_token", subject), ("subject_token_type", exchange.subject_token_type.as_str())];
                if let (Some(actor), Some(token)) = (&exchange.actor, &parties.actor) {
                    parameters.extend([("actor_token", token.expose_secret()), ("actor_token_type", actor.kind.as_str())]);
                }
                parameters.extend(exchange.requested_token_type.as_deref().map(|kind| ("requested_token_type", kind)));
                (grant(TOKEN_EXCHANGE, parameters, &exchange.request), &exchange.client)
            }
            Self::OnBehalfOf(exchange) => {
                let parameters = vec![("assertion", subject), ("requested_token_use", "on_behalf_of")];
                (grant(JWT_BEARER, parameters, &exchange.request), &exchange.client)
            }
            Self::IdJag(own) => (id_jag(own, subject), &own.exchange.client),
            Self::Asserted(own) => {
                let assertion = parties.grant.as_ref().map_or("", |token| token.expose_secret());
                (grant(JWT_BEARER, vec![("assertion", assertion)], &own.request), &own.client)
            }
            Self::Blueprint(client) => {
                let own = client.blueprint().ok_or_else(|| (String::new(), SecretError::Missing))?;
                return fmi(&client.client_id, |grant| {
                    Grant { assertion: parties.assertion.as_ref(), ..grant }.request(&own, secrets, now, serial)
                });
            }
        };
        Grant { assertion: parties.assertion.as_ref(), ..grant }.request(client, secrets, now, serial)
    }
}

/// What a blueprint asks for in the name of agent identity `id`.
fn fmi<T>(id: &str, act: impl FnOnce(Grant<'_>) -> T) -> T {
    let request = TokenParameters { scopes: vec!["api://AzureADTokenExchange/.default".to_owned()], ..TokenParameters::default() };
    act(grant(CLIENT_CREDENTIALS, vec![("fmi_path", id)], &request))
}

/// The exchange of token `subject` for an ID-JAG.
fn id_jag<'a>(own: &'a IdentityAssertion, subject: &'a str) -> Grant<'a> {
    let kind = own.exchange.subject_token_type.as_str();
    let parameters = vec![("requested_token_type", ID_JAG), ("subject_token", subject), ("subject_token_type", kind)];
    grant(TOKEN_EXCHANGE, parameters, &own.exchange.request)
}

/// What tells this actor from others of the same connection.
fn who(actor: &ActorToken, connection: &str) -> String {
    let source = match actor {
        ActorToken::Secret(name) => return format!("secret {name}"),
        ActorToken::ClientCredentials(own) => Source::Own(own),
        ActorToken::ManagedIdentity(own) => Source::Platform(own),
    };
    hex::encode(&source.key(connection, None).unwrap_or_default())
}

const fn grant<'a>(kind: &'static str, parameters: Vec<(&'a str, &'a str)>, request: &'a TokenParameters) -> Grant<'a> {
    Grant { kind, parameters, request, assertion: None }
}

#[cfg(test)]
mod tests {
    use super::{ExposeSecret, Parties, Role, SecretString, Secrets, Source, UnixTime};
    use crate::config::Credential;
    use serde_json::{Value, json};

    fn credential(json: Value) -> Credential {
        serde_json::from_value(json).unwrap()
    }

    fn client(authentication: &Value) -> Value {
        json!({"token_endpoint": {"uri": "https://idp.example/token", "cluster": "idp"}, "client_id": "me", "authentication": authentication})
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.insert("s", Some("p&w".into()));
        secrets
    }

    fn form(credential: &Credential, parties: &Parties) -> (Vec<(&'static str, String)>, String) {
        let source = Source::of(credential).unwrap();
        let request = source.request(parties, &secrets(), UnixTime::from_secs(1000), &[7; 32]).unwrap();
        let headers = request.headers.iter().map(|(name, value)| (*name, value.expose_secret().to_owned())).collect();
        (headers, request.form.unwrap().expose_secret().to_owned())
    }

    #[test]
    fn client_credentials_by_post_and_by_basic() {
        let request =
            json!({"scopes": ["a", "b"], "audience": ["x"], "resource": ["https://r/1", "https://r/2"], "parameters": {"tenant": "é"}});
        let with = |authentication| credential(json!({"client_credentials": {"client": client(&authentication), "request": request}}));
        let asked =
            "grant_type=client_credentials&scope=a+b&audience=x&resource=https%3A%2F%2Fr%2F1&resource=https%3A%2F%2Fr%2F2&tenant=%C3%A9";
        let (headers, sent) = form(&with(json!({"client_secret_post": {"secret": "s"}})), &Parties::default());
        assert_eq!((headers.len(), sent), (0, format!("{asked}&client_id=me&client_secret=p%26w")));
        let (headers, sent) = form(&with(json!({"client_secret_basic": {"secret": "s"}})), &Parties::default());
        assert_eq!(sent, asked);
        assert!(headers[0].1.starts_with("Basic "));
        for alone in ["none", "tls_client_auth", "self_signed_tls_client_auth"] {
            let (headers, sent) = form(&with(json!({ alone: {} })), &Parties::default());
            assert_eq!((headers.len(), sent), (0, format!("{asked}&client_id=me")));
        }
    }

    #[test]
    fn exchanges_carry_subject_and_actor() {
        let parties = Parties { subject: Some(secret("sub.ject.t")), actor: Some(secret("act.or.t")), ..Parties::default() };
        let exchange = credential(json!({"token_exchange": {
            "client": client(&json!({"none": {}})), "subject": {"issuers": ["corp"]},
            "actor": {"token": {"client_credentials": {"client": client(&json!({"none": {}}))}}, "type": "urn:ietf:params:oauth:token-type:jwt"}}}));
        let (_, sent) = form(&exchange, &parties);
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3A";
        assert_eq!(
            sent,
            format!(
                "grant_type={kind}grant-type%3Atoken-exchange&subject_token=sub.ject.t&subject_token_type={kind}token-type%3Aaccess_token\
                 &actor_token=act.or.t&actor_token_type={kind}token-type%3Ajwt&client_id=me"
            )
        );
        let on_behalf = credential(json!({"on_behalf_of": {"client": client(&json!({"none": {}})), "subject": {"issuers": ["corp"]}}}));
        let (_, sent) = form(&on_behalf, &parties);
        assert_eq!(
            sent,
            format!("grant_type={kind}grant-type%3Ajwt-bearer&assertion=sub.ject.t&requested_token_use=on_behalf_of&client_id=me")
        );
    }

    #[test]
    fn callers_connections_and_requests_never_share_a_key() {
        let exchange = |scope: &str| {
            credential(
                json!({"token_exchange": {"client": client(&json!({"none": {}})), "subject": {"issuers": ["corp"]}, "request": {"scopes": [scope]}}}),
            )
        };
        let acting = |token: Value| {
            let actor = json!({"token": token, "type": "urn:ietf:params:oauth:token-type:jwt"});
            credential(
                json!({"token_exchange": {"client": client(&json!({"none": {}})), "subject": {"issuers": ["corp"]}, "request": {"scopes": ["a"]},
                    "actor": actor}}),
            )
        };
        let of_client =
            |scope: &str| json!({"client_credentials": {"client": client(&json!({"none": {}})), "request": {"scopes": [scope]}}});
        let on_behalf = credential(json!({"on_behalf_of": {"client": client(&json!({"none": {}})), "subject": {"issuers": ["corp"]}}}));
        let own = credential(json!({"client_credentials": {"client": client(&json!({"none": {}}))}}));
        let key = |credential: &Credential, connection: &str, subject: Option<&str>| {
            Source::of(credential).unwrap().key(connection, subject.map(secret).as_ref())
        };
        let asserted = |scope: &str| {
            let own = client(&json!({"none": {}}));
            credential(
                json!({"identity_assertion": {"exchange": {"client": own, "request": {"audience": ["b"], "scopes": [scope]}}, "client": own,
                "subject": {"issuers": ["corp"]}}}),
            )
        };
        let id_jag = |credential: &Credential, connection: &str, subject: Option<&str>| {
            let (role, source) = Source::of(credential).unwrap().needs().next().unwrap();
            let subject = subject.map(secret);
            let key = source.key(connection, subject.as_ref());
            let found = Source::of(credential).unwrap().find(&key.unwrap(), connection, subject.as_ref()).unwrap();
            assert!(role == Role::Grant && matches!(found, Source::IdJag(_)));
            key
        };
        let keys = [
            key(&exchange("a"), "x", Some("ann")),
            key(&exchange("a"), "x", Some("bob")),
            key(&exchange("a"), "y", Some("ann")),
            key(&exchange("b"), "x", Some("ann")),
            key(&acting(json!({"secret": "one"})), "x", Some("ann")),
            key(&acting(json!({"secret": "two"})), "x", Some("ann")),
            key(&acting(of_client("a")), "x", Some("ann")),
            key(&acting(of_client("b")), "x", Some("ann")),
            key(&on_behalf, "x", Some("ann")),
            key(&own, "x", None),
            key(&own, "y", None),
            key(&asserted("a"), "x", Some("ann")),
            key(&asserted("a"), "x", Some("bob")),
            key(&asserted("b"), "x", Some("ann")),
            id_jag(&asserted("a"), "x", Some("ann")),
            id_jag(&asserted("a"), "x", Some("bob")),
        ];
        let mut unlike: Vec<_> = keys.iter().map(|key| key.unwrap()).collect();
        unlike.sort_unstable();
        unlike.dedup();
        assert_eq!(unlike.len(), keys.len());
        for subject in [None, Some("")] {
            assert_eq!(key(&exchange("a"), "x", subject), None);
            assert_eq!(key(&on_behalf, "x", subject), None);
            assert_eq!(key(&asserted("a"), "x", subject), None);
        }
    }
}
