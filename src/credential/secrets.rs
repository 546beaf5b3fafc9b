//! Secrets by name. A value never appears in logs, errors, statistics or answers; only its absence does.

use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use thiserror::Error;

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
}

/// The values that were found, or why not, by secret name.
#[derive(Debug, Default)]
pub struct Secrets(BTreeMap<String, Result<SecretString, SecretError>>);

impl Secrets {
    /// Takes what the source of secret `name` gave.
    pub fn insert(&mut self, name: &str, value: Option<String>) {
        let checked = match value {
            None => Err(SecretError::Missing),
            Some(text) if text.is_empty() => Err(SecretError::Empty),
            Some(text) if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) => Err(SecretError::Unusable),
            Some(text) => Ok(SecretString::from(text)),
        };
        self.0.insert(name.to_owned(), checked);
    }

    /// The value of secret `name`.
    ///
    /// # Errors
    /// Why it has none.
    pub fn value(&self, name: &str) -> Result<&SecretString, SecretError> {
        self.0.get(name).map_or(Err(SecretError::Missing), |value| value.as_ref().map_err(|error| *error))
    }

    /// The secrets without a value, with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&str, SecretError)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), *value.as_ref().err()?)))
    }
}

/// `prefix` and the secret behind it, as one secret.
#[must_use]
pub fn prefixed(prefix: &str, secret: &SecretString) -> SecretString {
    SecretString::from(format!("{prefix}{}", secret.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::{SecretError, Secrets};

    #[test]
    fn what_no_header_may_carry_is_no_value() {
        let mut secrets = Secrets::default();
        secrets.insert("good", Some("key".into()));
        secrets.insert("empty", Some(String::new()));
        secrets.insert("line", Some("key\n".into()));
        secrets.insert("missing", None);
        assert!(secrets.value("good").is_ok());
        assert_eq!(secrets.value("empty").unwrap_err(), SecretError::Empty);
        assert_eq!(secrets.value("line").unwrap_err(), SecretError::Unusable);
        assert_eq!(secrets.value("missing").unwrap_err(), SecretError::Missing);
        assert_eq!(secrets.value("unknown").unwrap_err(), SecretError::Missing);
        assert_eq!(secrets.missing().count(), 3);
        assert!(!format!("{secrets:?}").contains("key\""));
    }
}
