//! Tokens that are bound to a key of their client (`cnf`, RFC 7800): to its certificate (RFC 8705 section 3.1), or to
//! something that is not checked here.

use super::claim_path::ClaimError;
use crate::wire::base64url;
use crate::wire::json::UniqueObject;

/// What the client must prove besides having the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// That it has the key of the certificate with this SHA-256 (`x5t#S256`).
    Certificate([u8; 32]),
    /// Something that cannot be checked here, such as a DPoP key (RFC 9449): the token is of no use.
    Other,
}

/// `cnf` of a claims set or of an introspection's answer.
///
/// # Errors
/// If it has the wrong type.
pub fn read(payload: &UniqueObject) -> Result<Option<Confirmation>, ClaimError> {
    let Some(cnf) = payload.0.get("cnf") else { return Ok(None) };
    let members = cnf.as_object().filter(|members| !members.is_empty()).ok_or(ClaimError)?;
    match members.get("x5t#S256") {
        Some(thumbprint) if members.len() == 1 => {
            let bytes = thumbprint.as_str().and_then(base64url::decode).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|digest| Some(Confirmation::Certificate(digest))).ok_or(ClaimError)
        }
        _ => Ok(Some(Confirmation::Other)),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimError, Confirmation, read};
    use serde_json::{Value, json};

    fn cnf(value: Value) -> Result<Option<Confirmation>, ClaimError> {
        read(&serde_json::from_value(json!({"cnf": value})).unwrap())
    }

    #[test]
    fn a_certificate_or_something_else() {
        let thumbprint = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";
        assert!(cnf(json!({"x5t#S256": thumbprint})).is_err(), "not canonical");
        let thumbprint = format!("{}g", &thumbprint[..42]);
        assert!(matches!(cnf(json!({"x5t#S256": thumbprint})), Ok(Some(Confirmation::Certificate(_)))));
        assert_eq!(cnf(json!({"jkt": "x"})), Ok(Some(Confirmation::Other)));
        assert_eq!(cnf(json!({"x5t#S256": thumbprint, "jkt": "x"})), Ok(Some(Confirmation::Other)));
        for odd in [json!(null), json!("x"), json!({}), json!([]), json!({"x5t#S256": "AQAB"}), json!({"x5t#S256": 1})] {
            assert_eq!(cnf(odd.clone()), Err(ClaimError), "{odd}");
        }
        assert_eq!(read(&serde_json::from_value(json!({})).unwrap()), Ok(None));
    }
}
