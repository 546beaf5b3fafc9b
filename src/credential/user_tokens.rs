//! The tokens of a user who agreed, as a token endpoint gives them.

use super::Failure;
use super::answer::{NOT_IN_THE_FUTURE, access_token, good, is_token, object, said_lifetime};
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use serde_json::Value;
use std::time::Duration;

/// The tokens of a user who agreed (RFC 6749 section 5.1, OpenID Connect Core 1.0 section 3.1.3.3).
#[derive(Debug)]
pub struct UserTokens {
    /// The access token.
    pub access: SecretString,
    /// How long it is good, counted from the moment it was asked for, if the answer says that.
    pub lifetime: Option<Duration>,
    /// With what a new one is asked for, if the server gave that.
    pub refresh: Option<SecretString>,
    /// Who agreed, not verified.
    pub id_token: Option<SecretString>,
    /// What it is good for (`scope`), if the answer says that: it must where that is not what was asked for.
    pub scope: Option<String>,
}

/// Reads the answer to a code or a refresh token.
///
/// # Errors
/// What kind of failure it is, and the cause for the log.
pub fn read_user(status: u16, body: &[u8], now: UnixTime) -> Result<UserTokens, (Failure, String)> {
    let unavailable = |cause: &str| (Failure::Unavailable, cause.to_owned());
    good(status, body)?;
    let answer = object(body).map_err(unavailable)?;
    let access = access_token(&answer).map_err(unavailable)?;
    let is_bearer = answer.get("token_type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
    if !is_bearer {
        return Err(unavailable("answered with a token that is not of type Bearer, or does not say its type"));
    }
    let is_unsaid = ["expires_in", "expires_on"].iter().all(|name| matches!(answer.get(*name), None | Some(Value::Null)));
    let said = if is_unsaid { None } else { Some(said_lifetime(&answer, now).ok_or_else(|| unavailable(NOT_IN_THE_FUTURE))?) };
    let other = |name: &str| match answer.get(name).and_then(Value::as_str) {
        Some(token) if is_token(token) => Ok(Some(SecretString::from(token.to_owned()))),
        Some(_) => Err(unavailable("answered with a refresh_token or id_token that is no token")),
        None => Ok(None),
    };
    Ok(UserTokens {
        access: SecretString::from(access.to_owned()),
        lifetime: said,
        refresh: other("refresh_token")?,
        id_token: other("id_token")?,
        scope: answer.get("scope").and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::read_user;
    use crate::credential::Failure;
    use crate::wire::time::UnixTime;
    use secrecy::ExposeSecret;
    use serde_json::json;

    #[test]
    fn what_is_said_is_believed_and_nothing_else() {
        let read = |answer: serde_json::Value| read_user(200, answer.to_string().as_bytes(), UnixTime::from_secs(1000));
        let all =
            read(json!({"access_token": "a", "token_type": "bearer", "expires_in": 7_776_001, "refresh_token": "r", "id_token": "i", "scope": "s t"}))
                .unwrap();
        assert_eq!(all.scope.as_deref(), Some("s t"));
        assert_eq!((all.access.expose_secret(), all.lifetime.unwrap().as_secs()), ("a", 7_776_001));
        assert_eq!(all.refresh.unwrap().expose_secret(), "r");
        assert_eq!(all.id_token.unwrap().expose_secret(), "i");
        let least = read(json!({"access_token": "a", "token_type": "Bearer"})).unwrap();
        assert!(least.lifetime.is_none() && least.refresh.is_none() && least.id_token.is_none() && least.scope.is_none());
        for (answer, told) in [
            (json!({"access_token": "a"}), "not of type Bearer"),
            (json!({"access_token": "a", "token_type": "DPoP"}), "not of type Bearer"),
            (json!({"access_token": "a b", "token_type": "Bearer"}), "no header can carry"),
            (json!({"access_token": "a", "token_type": "Bearer", "expires_in": 0}), "not in the future"),
            (json!({"access_token": "a", "token_type": "Bearer", "refresh_token": "r\n"}), "is no token"),
        ] {
            let (failure, cause) = read(answer.clone()).unwrap_err();
            assert!(failure == Failure::Unavailable && cause.contains(told), "{answer}: {cause}");
        }
        let refused =
            read_user(400, br#"{"error": "invalid_grant", "error_description": "canary"}"#, UnixTime::from_secs(1000)).unwrap_err();
        assert!(refused.0 == Failure::Grant && !refused.1.contains("canary"), "{refused:?}");
    }
}
