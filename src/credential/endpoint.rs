//! Token endpoints: what is sent to them (RFC 6749 sections 2.3 and 3.2), and what of their answers is believed
//! (sections 5.1 and 5.2).

pub use super::answer::MAX_TOKEN_BYTES;
use super::answer::{NOT_IN_THE_FUTURE, access_token, good, is_token, object, said_lifetime};
use super::assertion;
use super::secrets::{SecretError, Secrets};
use super::signing::Unsigned;
use super::{Failure, Key};
use crate::config::{Client, ClientAuthentication, HttpUri, SecretRef, TokenParameters};
use crate::wire::base64url;
use crate::wire::json::UniqueObject;
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The type of an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant).
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// How long a token is used whose answer does not say (RFC 6749 section 5.1 only recommends that it does).
const UNSAID_LIFETIME: Duration = Duration::from_secs(60);
/// Nothing is believed to be good for longer.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// One request for a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// Where it goes.
    pub uri: HttpUri,
    /// Path and query, if they differ from those of `uri`.
    pub target: Option<String>,
    /// The Envoy cluster.
    pub cluster: String,
    /// Longest wait for the answer.
    pub timeout: Duration,
    /// Headers that authenticate.
    pub headers: Vec<(&'static str, SecretString)>,
    /// The form of a POST; without it, it is a GET.
    pub form: Option<SecretString>,
    /// An assertion that is still to be signed and added to the form.
    pub unsigned: Option<Unsigned>,
}

impl TokenRequest {
    /// The same with the signed assertion in the form.
    #[must_use]
    pub fn with_assertion(self, assertion: &SecretString) -> Self {
        let form = self.form.as_ref().map_or("", |form| form.expose_secret());
        let form = SecretString::from(format!("{form}&client_assertion={}", assertion.expose_secret()));
        Self { form: Some(form), unsigned: None, ..self }
    }
}

/// What a grant asks for, without who asks.
#[derive(Debug)]
pub struct Grant<'a> {
    /// `grant_type`; empty for a request that has none.
    pub kind: &'static str,
    /// Its own parameters.
    pub parameters: Vec<(&'a str, &'a str)>,
    /// Scopes and the like.
    pub request: &'a TokenParameters,
    /// The client's assertion, where that is a token of another source.
    pub assertion: Option<&'a SecretString>,
}

impl Grant<'_> {
    /// The request for it by `client`. `serial` makes an assertion unlike every other.
    ///
    /// # Errors
    /// The secret that has no value, and why.
    pub fn request(&self, client: &Client, secrets: &Secrets, now: UnixTime, serial: &Key) -> Result<TokenRequest, (String, SecretError)> {
        let mut form = Serializer::new(String::new());
        // A token is given up without one (RFC 7009 section 2.1).
        if !self.kind.is_empty() {
            form.append_pair("grant_type", self.kind);
        }
        for (name, value) in &self.parameters {
            form.append_pair(name, value);
        }
        if !self.request.scopes.is_empty() {
            form.append_pair("scope", &self.request.scopes.join(" "));
        }
        for (name, list) in [("audience", &self.request.audience), ("resource", &self.request.resource)] {
            for value in list {
                form.append_pair(name, value);
            }
        }
        for (name, value) in &self.request.parameters.0 {
            form.append_pair(name, value);
        }
        let value = |of: &SecretRef| secrets.value(&of.secret).map_err(|error| (of.secret.clone(), error));
        let mut headers = Vec::new();
        let mut unsigned = None;
        if !matches!(client.authentication, ClientAuthentication::ClientSecretBasic(_)) {
            form.append_pair("client_id", &client.client_id);
        }
        match &client.authentication {
            ClientAuthentication::ClientSecretBasic(secret) => headers.push(("authorization", basic(&client.client_id, value(secret)?))),
            ClientAuthentication::ClientSecretPost(secret) => drop(form.append_pair("client_secret", value(secret)?.expose_secret())),
            ClientAuthentication::ClientAssertion(secret) => {
                form.append_pair("client_assertion_type", assertion::TYPE);
                form.append_pair("client_assertion", value(secret)?.expose_secret());
            }
            ClientAuthentication::ManagedIdentity(_) | ClientAuthentication::AgentIdentityBlueprint(_) => {
                form.append_pair("client_assertion_type", assertion::TYPE);
                form.append_pair("client_assertion", self.assertion.map_or("", |token| token.expose_secret()));
            }
            ClientAuthentication::PrivateKeyJwt(own) => {
                form.append_pair("client_assertion_type", assertion::TYPE);
                let key = secrets.document(&own.key.secret).map_err(|error| (own.key.secret.clone(), error))?;
                unsigned = Some(assertion::unsigned(client, own, key.clone(), now, serial));
            }
            ClientAuthentication::TlsClientAuth(_) | ClientAuthentication::SelfSignedTlsClientAuth(_) | ClientAuthentication::None(_) => {}
        }
        let endpoint = &client.token_endpoint;
        Ok(TokenRequest {
            uri: endpoint.uri.clone(),
            target: None,
            cluster: endpoint.cluster.clone(),
            timeout: endpoint.timeout,
            headers,
            form: Some(SecretString::from(form.finish())),
            unsigned,
        })
    }

    /// A digest of all that makes this grant different from another one; secrets are not in it.
    #[must_use]
    pub fn key(&self, connection: &str, client: &Client) -> Key {
        let uri = client.token_endpoint.uri.to_string();
        let fixed = [connection, &uri, &client.client_id, self.kind];
        let own = self.parameters.iter().flat_map(|(name, value)| [*name, *value]);
        let lists = [("scope", &self.request.scopes), ("audience", &self.request.audience), ("resource", &self.request.resource)];
        let lists = lists.into_iter().flat_map(|(name, list)| list.iter().flat_map(move |value| [name, value.as_str()]));
        let others = self.request.parameters.0.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        digest(fixed.into_iter().chain(own).chain(lists).chain(others))
    }
}

/// A digest of these texts, each with its length, so that no two lists give the same.
pub fn digest<'a>(parts: impl Iterator<Item = &'a str>) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// `Basic`: id and secret are form-encoded first (RFC 6749 section 2.3.1), which plain Basic does not do.
fn basic(id: &str, secret: &SecretString) -> SecretString {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair)))
}

/// A token as it was issued.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub value: SecretString,
    /// How long it is good, counted from the moment it was asked for.
    pub lifetime: Duration,
}

/// What an endpoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A token in a JSON object (RFC 6749 section 5.1).
    Token,
    /// An ID-JAG in such an object: the answer to a token exchange, but no access token.
    IdJag,
    /// A JWT and nothing else; its `exp` says how long it is good.
    Jwt,
}

/// Reads the answer of a token endpoint.
///
/// # Errors
/// What kind of failure it is, and the cause for the log. Nothing of it can be a secret: only codes of the endpoint are
/// repeated.
pub fn read(answers: Answers, status: u16, body: &[u8], now: UnixTime) -> Result<Issued, (Failure, String)> {
    let unavailable = |cause: &str| (Failure::Unavailable, cause.to_owned());
    good(status, body)?;
    if answers == Answers::Jwt {
        return read_jwt(body, now).map_err(unavailable);
    }
    let answer = object(body).map_err(unavailable)?;
    let token = access_token(&answer).map_err(unavailable)?;
    let word = |name: &str| answer.get(name).and_then(Value::as_str);
    let is_id_jag = answers == Answers::IdJag;
    if is_id_jag && word("issued_token_type") != Some(ID_JAG) {
        return Err(unavailable("answered with an issued_token_type that is not that of an ID-JAG"));
    }
    match word("token_type") {
        Some(kind) if kind.eq_ignore_ascii_case(if is_id_jag { "N_A" } else { "Bearer" }) => {}
        Some(_) if is_id_jag => return Err(unavailable("answered with an ID-JAG that is not of type N_A")),
        Some(_) => return Err(unavailable("answered with a token that is not of type Bearer")),
        None => return Err(unavailable("answered without a token_type")),
    }
    let lifetime = lifetime(&answer, now).ok_or_else(|| unavailable(NOT_IN_THE_FUTURE))?;
    Ok(Issued { value: SecretString::from(token.to_owned()), lifetime })
}

/// The JWT that is the whole answer. Whoever gets it verifies it; only its `exp` matters here.
fn read_jwt(body: &[u8], now: UnixTime) -> Result<Issued, &'static str> {
    let text = std::str::from_utf8(body).ok().map(str::trim_end).filter(|text| is_token(text));
    let parts: Vec<&str> = text.unwrap_or_default().split('.').collect();
    let claims = match parts.as_slice() {
        [_, claims, _] => base64url::decode(claims).and_then(|claims| serde_json::from_slice::<UniqueObject>(&claims).ok()),
        _ => None,
    };
    let (Some(token), Some(UniqueObject(claims))) = (text, claims) else { return Err("answered with something that is not a JWT") };
    let expiry = claims.get("exp").and_then(Value::as_u64).map(UnixTime::from_secs);
    let lifetime = expiry.map(|expiry| expiry.since(now)).filter(|lifetime| *lifetime > Duration::ZERO);
    let lifetime = lifetime.ok_or("answered with a JWT without an exp in the future")?;
    Ok(Issued { value: SecretString::from(token.to_owned()), lifetime: lifetime.min(LONGEST_LIFETIME) })
}

/// How long the token is good. `None` if what is said about it makes no sense, or the time is over.
fn lifetime(answer: &serde_json::Map<String, Value>, now: UnixTime) -> Option<Duration> {
    match (answer.get("expires_in"), answer.get("expires_on")) {
        (Some(Value::Null) | None, Some(Value::Null) | None) => Some(UNSAID_LIFETIME),
        _ => said_lifetime(answer, now).map(|lifetime| lifetime.min(LONGEST_LIFETIME)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lifetime_of(answer: Value) -> Result<u64, (Failure, String)> {
        read(Answers::Token, 200, answer.to_string().as_bytes(), UnixTime::from_secs(1000)).map(|issued| issued.lifetime.as_secs())
    }

    #[test]
    fn lifetimes_are_read_in_every_form_and_bounded() {
        let with = |name: &str, value: Value| lifetime_of(json!({"access_token": "t", "token_type": "bearer", name: value}));
        for (name, value, seconds) in [
            ("expires_in", json!(3600), 3600),
            ("expires_in", json!("3599"), 3599),
            ("expires_in", json!(u64::MAX), 86400),
            ("expires_in", json!("9999999999999999999"), 86400),
            ("expires_in", json!(null), 60),
            ("other", json!(1), 60),
            ("expires_on", json!("1500"), 500),
            ("expires_on", json!(1500), 500),
        ] {
            assert_eq!(with(name, value.clone()).ok(), Some(seconds), "{name} {value}");
        }
        for (name, value) in [
            ("expires_in", json!(0)),
            ("expires_in", json!(-5)),
            ("expires_in", json!("-5")),
            ("expires_in", json!("")),
            ("expires_in", json!(1.5)),
            ("expires_in", json!([3600])),
            ("expires_in", json!("99999999999999999999999")),
            ("expires_on", json!("1000")),
            ("expires_on", json!("09/14/2017 00:00:00 PM +00:00")),
        ] {
            assert_eq!(with(name, value.clone()).unwrap_err().0, Failure::Unavailable, "{name} {value}");
        }
    }

    #[test]
    fn only_bearer_tokens_that_a_header_can_carry() {
        for (token, kind) in [
            (json!("a\r\nx: 1"), json!("Bearer")),
            (json!("a b"), json!("Bearer")),
            (json!("é"), json!("Bearer")),
            (json!(""), json!("Bearer")),
            (json!("a".repeat(MAX_TOKEN_BYTES + 1)), json!("Bearer")),
            (json!(5), json!("Bearer")),
            (json!(null), json!("Bearer")),
            (json!("a"), json!("DPoP")),
            (json!("a"), json!("N_A")),
            (json!("a"), json!(null)),
        ] {
            assert_eq!(
                lifetime_of(json!({"access_token": token, "token_type": kind})).unwrap_err().0,
                Failure::Unavailable,
                "{token} {kind}"
            );
        }
        for body in ["", "<html>", "[]", "null", r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#] {
            assert_eq!(read(Answers::Token, 200, body.as_bytes(), UnixTime::default()).unwrap_err().0, Failure::Unavailable, "{body}");
        }
    }

    #[test]
    fn complaints_are_told_apart_and_repeat_no_text() {
        for (status, body, failure, cause) in [
            (401, r#"{"error":"invalid_client"}"#, Failure::Refused, "status 401, error invalid_client"),
            (400, r#"{"error":"invalid_scope","error_description":"s3cret"}"#, Failure::Refused, "error invalid_scope"),
            (
                400,
                r#"{"error":"invalid_grant","suberror":"consent_required","error_description":"AADSTS65001: s3cret"}"#,
                Failure::Consent,
                "error invalid_grant (consent_required) (AADSTS65001)",
            ),
            (400, r#"{"error":"interaction_required"}"#, Failure::Consent, "interaction_required"),
            (400, r#"{"error":"invalid_grant"}"#, Failure::Grant, "invalid_grant"),
            (400, r#"{"error":"s3cret text"}"#, Failure::Refused, "no OAuth error"),
            (403, "<html>s3cret", Failure::Refused, "status 403 and no OAuth error"),
            (429, r#"{"error":"invalid_client"}"#, Failure::Unavailable, "status 429"),
            (302, "", Failure::Unavailable, "redirects are not followed"),
            (503, "", Failure::Unavailable, "status 503"),
        ] {
            let (found, told) = read(Answers::Token, status, body.as_bytes(), UnixTime::default()).unwrap_err();
            assert_eq!(found, failure, "{body}");
            assert!(told.contains(cause) && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn an_id_jag_says_that_it_is_one() {
        let good = json!({"access_token": "j.a.g", "issued_token_type": ID_JAG, "token_type": "N_A", "expires_in": 300});
        let read = |name: &str, value: Value| {
            let mut answer = good.clone();
            answer[name] = value;
            read(Answers::IdJag, 200, answer.to_string().as_bytes(), UnixTime::from_secs(1000))
        };
        assert_eq!(read("scope", json!("a")).unwrap().lifetime.as_secs(), 300);
        for (name, value, told) in [
            (
                "issued_token_type",
                json!("urn:ietf:params:oauth:token-type:access_token"),
                "an issued_token_type that is not that of an ID-JAG",
            ),
            ("issued_token_type", json!(null), "an issued_token_type that is not that of an ID-JAG"),
            ("token_type", json!("Bearer"), "an ID-JAG that is not of type N_A"),
            ("token_type", json!(null), "without a token_type"),
            ("access_token", json!(null), "without an access_token"),
            ("expires_in", json!(0), "not in the future"),
        ] {
            let (failure, cause) = read(name, value).unwrap_err();
            assert!(failure == Failure::Unavailable && cause.contains(told), "{cause}");
        }
    }

    #[test]
    fn a_jwt_alone_is_good_until_its_exp() {
        let jwt = |claims: &str| format!("e30.{}.c2ln", base64url::encode(claims.as_bytes()));
        let read = |body: &str| read(Answers::Jwt, 200, body.as_bytes(), UnixTime::from_secs(1000));
        for end in ["", "\n", "\r\n"] {
            let issued = read(&(jwt(r#"{"exp":1500}"#) + end)).unwrap();
            assert_eq!((issued.value.expose_secret(), issued.lifetime.as_secs()), (jwt(r#"{"exp":1500}"#).as_str(), 500));
        }
        assert_eq!(read(&jwt(r#"{"exp":9000000}"#)).unwrap().lifetime, LONGEST_LIFETIME);
        let (no_jwt, no_exp) = ("not a JWT", "without an exp in the future");
        for (body, told) in [
            (String::new(), no_jwt),
            ("a.b".to_owned(), no_jwt),
            ("<html>".to_owned(), no_jwt),
            (r#"{"access_token":"t"}"#.to_owned(), no_jwt),
            ("e30.bm8.c2ln".to_owned(), no_jwt),
            (format!("{}.x", jwt(r#"{"exp":1500}"#)), no_jwt),
            (format!("{} x", jwt(r#"{"exp":1500}"#)), no_jwt),
            (jwt(r#"{"exp":1500,"exp":1500}"#), no_jwt),
            (jwt(&format!(r#"{{"exp":1500,"a":"{}"}}"#, "a".repeat(MAX_TOKEN_BYTES))), no_jwt),
            (jwt("{}"), no_exp),
            (jwt(r#"{"exp":"1500"}"#), no_exp),
            (jwt(r#"{"exp":1000}"#), no_exp),
            (jwt(r#"{"exp":-1}"#), no_exp),
        ] {
            let (failure, cause) = read(&body).unwrap_err();
            assert!(failure == Failure::Unavailable && cause.contains(told), "{body}: {cause}");
        }
    }

    #[test]
    fn basic_encodes_both_halves_first() {
        let header = basic("a:b c", &SecretString::from("s%é+".to_owned()));
        assert_eq!(header.expose_secret(), format!("Basic {}", STANDARD.encode("a%3Ab+c:s%25%C3%A9%2B")));
    }

    #[test]
    fn no_two_lists_have_one_digest() {
        let of = |parts: &[&str]| digest(parts.iter().copied());
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", ""]), of(&["a"]));
    }
}
