//! Secrets by name. A value never appears in logs, errors, statistics or answers; only its absence does.

use crate::wire::sorted::SortedMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;

/// Longest secret that is read from a document.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a secret has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The source has nothing under its name.
    #[error("is not set")]
    Missing,
    /// Set, but to nothing.
    #[error("is empty")]
    Empty,
    /// It holds a line break or another character that no header may carry (RFC 9110 section 5.5).
    #[error("holds a character that no header may carry (a line break at its end, perhaps)")]
    Unusable,
    /// It holds a character that no cookie may carry (RFC 6265 section 4.1.1).
    #[error("holds a character that no cookie may carry")]
    NoCookie,
}

/// The values that were found, or why not, by secret name.
#[derive(Debug, Default)]
pub struct Secrets(SortedMap<String, Result<SecretString, SecretError>>);

impl Secrets {
    /// Takes what the source of secret `name` gave.
    pub fn insert(&mut self, name: &str, value: Option<String>) {
        let checked = match value {
            None => Err(SecretError::Missing),
            Some(text) if text.is_empty() => Err(SecretError::Empty),
            Some(text) => Ok(SecretString::from(text)),
        };
        self.0.insert(name.to_owned(), checked);
    }

    /// The value of secret `name`, fit for a header or a form.
    ///
    /// # Errors
    /// Why it has none.
    pub fn value(&self, name: &str) -> Result<&SecretString, SecretError> {
        let value = self.document(name)?;
        if value.expose_secret().bytes().all(|byte| matches!(byte, 0x20..=0x7e)) { Ok(value) } else { Err(SecretError::Unusable) }
    }

    /// The value of secret `name`, which may have several lines: a key in PEM.
    ///
    /// # Errors
    /// Why it has none.
    pub fn document(&self, name: &str) -> Result<&SecretString, SecretError> {
        self.0.get(name).map_or(Err(SecretError::Missing), |value| value.as_ref().map_err(|error| *error))
    }

    /// The secrets without a value, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&str, SecretError)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Err(error) => Some((name.as_str(), *error)),
            // Only keys have lines, and are no use in a header.
            Ok(text) if text.expose_secret().starts_with("-----BEGIN ") => None,
            Ok(_) => Some((name.as_str(), self.value(name).err()?)),
        })
    }
}

/// The secret in the `body` of an answer: all of it without one line break at its end, or the text at `pointer` of a
/// JSON document (RFC 6901).
///
/// # Errors
/// What is wrong with it, without repeating any of it.
pub fn read(body: &[u8], pointer: Option<&str>) -> Result<SecretString, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8")?;
    let found = match pointer {
        None => {
            let line = text.strip_suffix('\n').unwrap_or(text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        Some(pointer) => {
            let document: Value = serde_json::from_slice(text.as_bytes()).map_err(|_| "the answer is not JSON")?;
            document.pointer(pointer).and_then(Value::as_str).ok_or("the answer has no text at json_pointer")?.to_owned()
        }
    };
    if found.is_empty() { Err("the secret is empty") } else { Ok(SecretString::from(found)) }
}

/// `prefix` and the secret behind it, as one secret.
#[must_use]
pub fn prefixed(prefix: &str, secret: &SecretString) -> SecretString {
    SecretString::from(format!("{prefix}{}", secret.expose_secret()))
}

/// `target` (path and query) with `parameter` at its end.
#[must_use]
pub fn with_parameter(target: &str, parameter: &SecretString) -> SecretString {
    let mark = if target.contains('?') { "&" } else { "?" };
    prefixed(&[target, mark].concat(), parameter)
}

#[cfg(test)]
mod tests {
    use super::{ExposeSecret, SecretError, Secrets, read};

    #[test]
    fn what_no_header_may_carry_is_no_value() {
        let mut secrets = Secrets::default();
        secrets.insert("good", Some("key".into()));
        secrets.insert("empty", Some(String::new()));
        secrets.insert("line", Some("key\n".into()));
        secrets.insert("pem", Some("-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n".into()));
        secrets.insert("missing", None);
        assert!(secrets.value("good").is_ok());
        assert_eq!(secrets.value("empty").unwrap_err(), SecretError::Empty);
        assert_eq!(secrets.value("line").unwrap_err(), SecretError::Unusable);
        assert_eq!(secrets.value("missing").unwrap_err(), SecretError::Missing);
        assert_eq!(secrets.value("unknown").unwrap_err(), SecretError::Missing);
        assert_eq!(secrets.value("pem").unwrap_err(), SecretError::Unusable);
        assert!(secrets.document("pem").is_ok());
        assert_eq!(secrets.missing().count(), 3);
        assert!(!format!("{secrets:?}").contains("key\""));
    }

    #[test]
    fn a_document_gives_one_secret() {
        let secret = |body: &str, pointer| read(body.as_bytes(), pointer).map(|secret| secret.expose_secret().to_owned());
        assert_eq!(secret("k-1\n", None).unwrap(), "k-1");
        assert_eq!(secret("k-1\r\n", None).unwrap(), "k-1");
        assert_eq!(secret("k-1\n\n", None).unwrap(), "k-1\n");
        assert_eq!(secret(r#"{"data": {"data": {"key": "k-1"}}}"#, Some("/data/data/key")).unwrap(), "k-1");
        for (body, pointer) in [("", None), ("\n", None), ("k-1", Some("/a")), (r#"{"a": 1}"#, Some("/a")), (r#"{"a": ""}"#, Some("/a"))] {
            assert!(!secret(body, pointer).unwrap_err().contains("k-1"), "{body}");
        }
        assert!(read(b"\xff", None).is_err());
    }
}
