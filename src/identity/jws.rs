//! The compact serialization of a JWS (RFC 7515 section 7.1), taken apart without believing it.

use crate::wire::base64url;
use crate::wire::json::{UniqueObject, UniqueValue};
use serde_json::Value;
use thiserror::Error;

/// Why a token is no JWS that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JwsError {
    /// Not three parts of strict base64url around JSON objects with unique members at every depth.
    #[error("the token is not a JWT in compact form")]
    Malformed,
    /// The header names extensions that must be understood (`crit`), or an unencoded payload (`b64`).
    #[error("the token's header demands an extension")]
    Extension,
}

/// A JWS taken apart. Nothing in it is verified.
#[derive(Debug)]
pub struct Jws<'a> {
    /// `alg`, as it stands there.
    pub algorithm: String,
    /// `kid`.
    pub key_id: Option<String>,
    /// `typ`.
    pub kind: Option<String>,
    /// The claims set.
    pub payload: UniqueObject,
    /// What was signed: header and payload with the dot between.
    pub signing_input: &'a str,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes `token` apart. Key material in the header (`jwk`, `jku`, `x5u`, `x5c`) is never looked at.
    ///
    /// # Errors
    /// As [`JwsError`] says.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Malformed)?;
        let object = |part: &str| match serde_json::from_slice(&base64url::decode(part)?).ok()? {
            UniqueValue(Value::Object(members)) => Some(UniqueObject(members)),
            UniqueValue(_) => None,
        };
        let UniqueObject(mut header) = object(header).ok_or(JwsError::Malformed)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JwsError::Extension);
        }
        let mut text = |name: &str| match header.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwsError::Malformed),
        };
        Ok(Self {
            algorithm: text("alg")?.ok_or(JwsError::Malformed)?,
            key_id: text("kid")?,
            kind: text("typ")?,
            payload: object(payload).ok_or(JwsError::Malformed)?,
            signing_input,
            signature: base64url::decode(signature).ok_or(JwsError::Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Jws, JwsError};
    use base64::Engine as _;

    fn parse(header: &str, payload: &str, signature: &str) -> Result<(String, Option<String>), JwsError> {
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.{signature}", encode(header), encode(payload));
        Jws::parse(&token).map(|jws| (jws.algorithm, jws.key_id))
    }

    #[test]
    fn a_compact_jws_comes_apart() {
        assert_eq!(parse(r#"{"alg":"RS256","kid":"k"}"#, "{}", "AQAB"), Ok(("RS256".into(), Some("k".into()))));
    }

    #[test]
    fn anything_else_is_refused() {
        for header in
            ["", "[]", "{}", r#"{"alg":1}"#, r#"{"alg":"RS256","alg":"none"}"#, r#"{"alg":"RS256","kid":7}"#, r#"{"alg":"RS256"} "x""#]
        {
            assert_eq!(parse(header, "{}", "AQAB"), Err(JwsError::Malformed), "{header}");
        }
        for header in [r#"{"alg":"RS256","crit":["exp"]}"#, r#"{"alg":"RS256","b64":false}"#] {
            assert_eq!(parse(header, "{}", "AQAB"), Err(JwsError::Extension), "{header}");
        }
        let good = r#"{"alg":"RS256"}"#;
        assert_eq!(parse(good, r#"{"sub":"a","sub":"b"}"#, "AQAB"), Err(JwsError::Malformed));
        assert_eq!(parse(good, r#"{"act":{"sub":"a","\u0073ub":"b"}}"#, "AQAB"), Err(JwsError::Malformed), "nested, escaped");
        assert_eq!(parse(good, r#"{"exp":1e400}"#, "AQAB"), Err(JwsError::Malformed));
        assert_eq!(parse(good, "{}", "AQA="), Err(JwsError::Malformed));
        assert_eq!(parse(good, "{}", "a.b"), Err(JwsError::Malformed));
        for token in ["", "a", "a.b", "..", "e30.e30.AQAB.AQAB"] {
            assert!(Jws::parse(token).is_err(), "{token}");
        }
    }
}
