//! Headers of the request for a secret: what a metadata server or a vault wants to see. An error never repeats a value.

use super::ConfigError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;

/// The value of one.
#[derive(Clone, Debug)]
pub enum DocumentHeader {
    /// As it stands in the configuration. It may be a secret all the same.
    Plain(SecretString),
    /// That of another secret, by its name.
    Secret(String),
}

impl<'de> Deserialize<'de> for DocumentHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Plain(text.into())),
            Value::Object(members) if members.len() == 1 => match members.into_iter().next() {
                Some((member, Value::String(name))) if member == "secret" => Ok(Self::Secret(name)),
                _ => Err(D::Error::custom(EXPECTED)),
            },
            _ => Err(D::Error::custom(EXPECTED)),
        }
    }
}

const EXPECTED: &str = "must be a text, or {\"secret\": \"<name in secrets>\"}";

impl DocumentHeader {
    /// The name of the secret whose value it is.
    ///
    /// # Errors
    /// If no header may have the value that it has itself. `at` is its place.
    pub(super) fn secret(&self, at: &str) -> Result<Option<&str>, ConfigError> {
        match self {
            Self::Plain(value) if !is_value(value) => Err(ConfigError::new(at, "must be printable ASCII, and not empty")),
            Self::Plain(_) => Ok(None),
            Self::Secret(name) => Ok(Some(name)),
        }
    }
}

fn is_value(value: &SecretString) -> bool {
    let value = value.expose_secret();
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    #[test]
    fn each_fault_has_its_place_and_shows_no_value() {
        let fault = |headers: Value| {
            let remote = json!({"uri": "http://metadata/x", "cluster": "metadata"});
            let config = json!({
                "connections": [{"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
                    "credential": {"header": {"name": "x-key", "value": {"secret": "key"}}}}],
                "secrets": {"key": {"http": {"remote": remote, "headers": headers}}, "token": {"env": "TOKEN"}, "other": {"http": {"remote": remote}}},
            });
            Config::parse(config.to_string().as_bytes()).err().map(|error| error.to_string())
        };
        let good = json!({"Metadata-Flavor": "Google", "x-vault-token": {"secret": "token"}, "accept": "text/plain"});
        assert_eq!(fault(good), None);
        assert_eq!(fault(json!({})), None);
        for (headers, place) in [
            (json!({"Host": "Canary"}), "secrets.key.http.headers"),
            (json!({"content-length": "1"}), "secrets.key.http.headers"),
            (json!({"Connection": "Canary"}), "secrets.key.http.headers"),
            (json!({":path": "Canary"}), "secrets.key.http.headers"),
            (json!({"a b": "Canary"}), "secrets.key.http.headers"),
            (json!({"X-A": "Canary", "x-a": "Canary"}), "secrets.key.http.headers"),
            (json!({"x-a": "Canary\r\nx-b: 1"}), "secrets.key.http.headers.x-a: must be printable"),
            (json!({"x-a": ""}), "secrets.key.http.headers.x-a: must be printable"),
            (json!({"x-a": ["Canary"]}), "secrets.key.http.headers.x-a: must be a text, or"),
            (json!({"x-a": {"env": "Canary"}}), "secrets.key.http.headers.x-a: must be a text, or"),
            (json!({"x-a": {"secret": "token", "prefix": "Canary"}}), "secrets.key.http.headers.x-a: must be a text, or"),
            (json!({"x-a": {"secret": "Canary"}}), "secrets.key.http.headers.x-a: there is no secret"),
            (json!({"x-a": {"secret": "other"}}), "secrets.key.http.headers.x-a: this is needed to fetch another secret"),
            (json!({"x-a": {"secret": "key"}}), "secrets.key.http.headers.x-a: this is needed to fetch another secret"),
        ] {
            let fault = fault(headers.clone()).unwrap_or_default();
            assert!(fault.starts_with(place) && !fault.contains("Canary"), "{headers}: {fault}");
        }
    }
}
