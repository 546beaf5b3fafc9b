//! The claims of a token (RFC 7519 section 4.1), typed. A claim of the wrong type is an error, never an
//! absence.

use crate::config::Claims as Names;
use crate::identity::Kind;
use crate::identity::confirmation::{self, Confirmation};
use crate::wire::json::UniqueMap;
use crate::wire::time::UnixTime;
use serde_json::Value;

/// The claims that decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `aud`, as a list.
    pub audiences: Vec<String>,
    /// `exp`.
    pub expires: UnixTime,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued: Option<UnixTime>,
    /// `sub`.
    pub subject: Option<String>,
    /// The client, by the first of the configured names.
    pub client: Option<String>,
    /// Whether one of the user markers is there.
    pub kind: Kind,
    /// Scopes, by the first of the configured names.
    pub scopes: Vec<String>,
    /// Roles, by the first of the configured names.
    pub roles: Vec<String>,
    /// The tenant, by the first of the configured names.
    pub tenant: Option<String>,
    /// `cnf`.
    pub confirmation: Option<Confirmation>,
}

/// A claim is missing or has the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimError;

/// `iss` of a claims set (RFC 7519 section 4.1.1).
#[must_use]
pub fn issuer(payload: &UniqueMap<Value>) -> Option<&str> {
    payload.0.get("iss").and_then(Value::as_str)
}

impl Claims {
    /// Reads `payload` with the claim names of its issuer. `exp` and `aud` must be there.
    ///
    /// # Errors
    /// If one of them is not, or anything that is read has the wrong type.
    pub fn read(payload: &UniqueMap<Value>, names: &Names) -> Result<Self, ClaimError> {
        let claim = |name: &str| payload.0.get(name);
        let first = |names: &[String]| names.iter().find_map(|name| payload.0.get(name.as_str()));
        Ok(Self {
            audiences: words(claim("aud").ok_or(ClaimError)?, false)?,
            expires: moment(claim("exp"))?.ok_or(ClaimError)?,
            not_before: moment(claim("nbf"))?,
            issued: moment(claim("iat"))?,
            subject: text(claim("sub"))?,
            client: text(first(&names.client))?,
            kind: if first(&names.user_marker).is_some() { Kind::User } else { Kind::Service },
            scopes: first(&names.scopes).map_or(Ok(Vec::new()), |value| words(value, true))?,
            roles: first(&names.roles).map_or(Ok(Vec::new()), |value| words(value, false))?,
            tenant: text(first(&names.tenant))?,
            confirmation: confirmation::read(payload)?,
        })
    }
}

/// A `NumericDate` in whole seconds.
fn moment(value: Option<&Value>) -> Result<Option<UnixTime>, ClaimError> {
    value.map(|value| value.as_u64().map(UnixTime::from_secs).ok_or(ClaimError)).transpose()
}

fn text(value: Option<&Value>) -> Result<Option<String>, ClaimError> {
    value.map(|value| value.as_str().map(str::to_owned).ok_or(ClaimError)).transpose()
}

/// One string (split at spaces if `split`) or a list of strings.
fn words(value: &Value, split: bool) -> Result<Vec<String>, ClaimError> {
    match value {
        Value::String(line) if split => Ok(line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()),
        Value::String(word) => Ok(vec![word.clone()]),
        Value::Array(list) => list.iter().map(|word| word.as_str().map(str::to_owned).ok_or(ClaimError)).collect(),
        _ => Err(ClaimError),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimError, Claims, Kind, Names, UniqueMap, UnixTime};
    use serde_json::{Value, json};

    fn read(payload: Value) -> Result<Claims, ClaimError> {
        let map: UniqueMap<Value> = serde_json::from_value(payload).unwrap();
        Claims::read(&map, &Names::default())
    }

    #[test]
    fn both_spellings_of_scopes_and_audiences() {
        let claims = read(json!({"aud": "a", "exp": 9, "scope": "x  y", "sub": "s", "client_id": "c"})).unwrap();
        assert_eq!((claims.audiences, claims.scopes), (vec!["a".to_owned()], vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!((claims.expires, claims.kind), (UnixTime::from_secs(9), Kind::Service));
        let claims = read(json!({"aud": ["a", "b"], "exp": 9, "scp": ["x"], "azp": "c", "appid": "d"})).unwrap();
        assert_eq!((claims.scopes, claims.client.as_deref(), claims.kind), (vec!["x".to_owned()], Some("c"), Kind::User));
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_an_error() {
        for odd in [
            json!({"aud": "a"}),
            json!({"exp": 9}),
            json!({"aud": "a", "exp": "9"}),
            json!({"aud": "a", "exp": 9.5}),
            json!({"aud": "a", "exp": -9}),
            json!({"aud": "a", "exp": null}),
            json!({"aud": "a", "exp": 9, "nbf": "1"}),
            json!({"aud": "a", "exp": 9, "iat": []}),
            json!({"aud": 5, "exp": 9}),
            json!({"aud": ["a", 5], "exp": 9}),
            json!({"aud": "a", "exp": 9, "scope": 5}),
            json!({"aud": "a", "exp": 9, "sub": 5}),
            json!({"aud": "a", "exp": 9, "client_id": {}}),
        ] {
            assert_eq!(read(odd.clone()), Err(ClaimError), "{odd}");
        }
    }
}
