//! Asking the issuer about a token that only it can read, and judging the answer as strictly as a JWT (RFC 7662).

use super::claims::Claims;
use super::verify::VerifyError;
use super::{Caller, Origin};
use crate::config::{ClientMethod, Introspection};
use crate::wire::json::UniqueObject;
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use serde_json::Value;
use thiserror::Error;

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why an answer lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IntrospectionError {
    /// It is no answer of RFC 7662 section 2.2.
    #[error("the answer is not one of RFC 7662")]
    Answer,
    /// The token is not active: expired, revoked, or never issued.
    #[error("the token is not active")]
    Inactive,
    /// The token is active, but not for here.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

/// The form that asks about `token`, and the `Authorization` header to go with it, if there is one (RFC 7662 section 2.1,
/// RFC 6749 section 2.3.1).
#[must_use]
pub fn question(token: &str, config: &Introspection, secret: &str) -> (String, Option<String>) {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    match config.client.method {
        ClientMethod::ClientSecretPost => {
            form.append_pair("client_id", &config.client.id).append_pair("client_secret", secret);
            (form.finish(), None)
        }
        ClientMethod::ClientSecretBasic => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&config.client.id), encoded(secret));
            (form.finish(), Some(format!("Basic {}", STANDARD.encode(pair))))
        }
    }
}

/// The caller of whom `answer` speaks; `scheme` is the index of the scheme that asked.
///
/// # Errors
/// As [`IntrospectionError`] says. Only [`IntrospectionError::Answer`] says nothing about the token.
pub fn read(scheme: usize, config: &Introspection, answer: &[u8], now: UnixTime) -> Result<Caller, IntrospectionError> {
    let payload: UniqueObject = serde_json::from_slice(answer).map_err(|_| IntrospectionError::Answer)?;
    match payload.0.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(IntrospectionError::Inactive),
        _ => return Err(IntrospectionError::Answer),
    }
    // A DPoP token is none that may come as Bearer, and a refresh token is none at all.
    match payload.0.get("token_type") {
        None => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(_) => return Err(VerifyError::Type.into()),
    }
    let issuer = payload.0.get("iss").map(|issuer| issuer.as_str().ok_or(VerifyError::Malformed)).transpose()?;
    if config.issuer.is_some() && issuer != config.issuer.as_deref() {
        return Err(VerifyError::Issuer.into());
    }
    let claims =
        Claims::read(&payload, &config.claims).ok().filter(|claims| claims.say(&config.claims.fields())).ok_or(VerifyError::Malformed)?;
    if now >= claims.expires.plus(config.clock_skew) {
        return Err(VerifyError::Expired.into());
    }
    if claims.is_early(now, config.clock_skew) {
        return Err(VerifyError::NotYetValid.into());
    }
    if !claims.audiences.iter().any(|audience| config.audiences.contains(audience)) {
        return Err(VerifyError::Audience.into());
    }
    if claims.has_foreign_actor {
        return Err(VerifyError::Actor.into());
    }
    Ok(claims.caller(Origin::Introspection(scheme)))
}

#[cfg(test)]
mod tests {
    use super::{Introspection, IntrospectionError as Refused, UnixTime, VerifyError, question, read};
    use serde_json::{Value, json};

    fn config(changes: Value) -> Introspection {
        let mut config = json!({
            "uri": "https://auth.example.com/introspect", "cluster": "idp", "audiences": ["https://expense.example.com"],
            "client": {"id": "a:b", "secret": {"secret": "s"}}, "issuer": "https://auth.example.com", "clock_skew": "0s",
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    fn answer(changes: Value) -> Value {
        let mut answer = json!({
            "active": true, "iss": "https://auth.example.com", "aud": "https://expense.example.com", "exp": 2000, "iat": 900,
            "sub": "ann", "client_id": "cli", "scope": "a b", "token_type": "Bearer",
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::String(text) if text == "-" => answer.as_object_mut().unwrap().remove(name),
                value => answer.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        answer
    }

    fn judge(changes: Value) -> Result<Vec<String>, Refused> {
        read(0, &config(json!({})), answer(changes).to_string().as_bytes(), UnixTime::from_secs(1000)).map(|caller| caller.scopes)
    }

    #[test]
    fn the_question_names_token_and_client() {
        let (form, header) = question("a+b", &config(json!({})), "s c&r");
        assert_eq!(form, "token=a%2Bb&token_type_hint=access_token");
        assert_eq!(header.as_deref(), Some("Basic YSUzQWI6cytjJTI2cg=="));
        let post = json!({"client": {"id": "a", "secret": {"secret": "s"}, "method": "client_secret_post"}});
        let (form, header) = question("t", &config(post), "s c");
        assert_eq!((form.as_str(), header), ("token=t&token_type_hint=access_token&client_id=a&client_secret=s+c", None));
    }

    #[test]
    fn an_answer_is_judged_as_strictly_as_a_token() {
        assert_eq!(judge(json!({})), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(judge(json!({"token_type": "-", "iat": "-", "sub": "-"})).is_ok());
        assert!(judge(json!({"exp": 1000.5, "nbf": 999.5, "iat": 1e3})).is_ok());
        assert!(judge(json!({"roles": vec!["r"; 8_000]})).is_ok());
        for (changes, refused) in [
            (json!({"active": false}), Refused::Inactive),
            (json!({"active": "true"}), Refused::Answer),
            (json!({"active": "-"}), Refused::Answer),
            (json!({"iss": "https://auth.example.com/"}), VerifyError::Issuer.into()),
            (json!({"iss": "-"}), VerifyError::Issuer.into()),
            (json!({"iss": 5}), VerifyError::Malformed.into()),
            (json!({"token_type": "DPoP"}), VerifyError::Type.into()),
            (json!({"aud": "-"}), VerifyError::Malformed.into()),
            (json!({"aud": "https://other.example.com"}), VerifyError::Audience.into()),
            (json!({"exp": "-"}), VerifyError::Malformed.into()),
            (json!({"exp": "2000"}), VerifyError::Malformed.into()),
            (json!({"exp": 1000}), VerifyError::Expired.into()),
            (json!({"nbf": 1001}), VerifyError::NotYetValid.into()),
            (json!({"iat": 1001}), VerifyError::NotYetValid.into()),
            (json!({"scope": 1}), VerifyError::Malformed.into()),
            (json!({"cnf": "x"}), VerifyError::Malformed.into()),
            (json!({"exp": 999.5}), VerifyError::Expired.into()),
            (json!({"nbf": 1000.5}), VerifyError::NotYetValid.into()),
            (json!({"exp": 1e300}), VerifyError::Malformed.into()),
            (json!({"exp": -1.5}), VerifyError::Malformed.into()),
            // 10,000 roles: some 40 KB.
            (json!({"roles": vec!["r"; 10_000]}), VerifyError::Malformed.into()),
        ] {
            assert_eq!(judge(changes.clone()), Err(refused), "{changes}");
        }
        for text in ["", "[]", "true", r#"{"active":true,"active":false}"#, "active"] {
            assert_eq!(read(0, &config(json!({})), text.as_bytes(), UnixTime::from_secs(1)).map(drop), Err(Refused::Answer), "{text}");
        }
        let any = config(json!({"issuer": null}));
        assert!(read(0, &any, answer(json!({"iss": "-"})).to_string().as_bytes(), UnixTime::from_secs(1000)).is_ok());
    }
}
