//! Where secrets come from. Errors here never repeat what stands in the configuration: it may be the secret itself.

use super::{ConfigError, CredentialHeader, DocumentHeader, Remote};
use crate::wire::json::UniqueMap;
use crate::wire::sorted::SortedMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A secret, by its name in `secrets`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// A name in `secrets`.
    pub secret: String,
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum Secret {
    /// An environment variable that Envoy passes on (`vm_config.environment_variables.host_env_keys`).
    Env(String),
    /// Fetched through an Envoy cluster and fetched anew, so that it can change while Envoy runs.
    Http(SecretDocument),
    /// In the configuration itself, only with `allow_inline_secrets: true`.
    Inline(SecretString),
}

/// A secret that is fetched through an Envoy cluster and again every `refresh`; the last good value is kept while fetches fail.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct SecretDocument {
    /// Where it is. `max_stale` does not count.
    pub remote: Remote,
    /// Where in a JSON document it stands (RFC 6901), such as `/data/data/key`. One line break at the end of a body is dropped.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/"), extend("x-default" = "none: the answer's body is the secret")))]
    pub json_pointer: Option<String>,
    /// Headers of the request for it: a text, or `{"secret": "name"}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::ByAnyHeader<DocumentHeader>", extend("x-default" = "`{}`")))]
    pub headers: UniqueMap<DocumentHeader, CredentialHeader>,
}

/// The secret that `at` names.
///
/// # Errors
/// If there is none. The name is not repeated: somebody may have put the secret itself there.
pub(super) fn named<'a>(at: &str, name: &str, secrets: &'a SortedMap<String, Secret>) -> Result<&'a Secret, ConfigError> {
    let unknown = || ConfigError::new(at, "there is no secret of this name: `secrets` says where each comes from");
    secrets.get(name).ok_or_else(unknown)
}

/// The same for a secret that is needed when the configuration is read.
///
/// # Errors
/// If there is none, or it comes later.
pub(super) fn named_at_once(at: &str, name: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
    match named(at, name, secrets)? {
        Secret::Env(_) | Secret::Inline(_) => Ok(()),
        Secret::Http(_) => Err(ConfigError::new(at, "this is needed when Envoy reads the configuration: name a secret from env")),
    }
}

impl SecretDocument {
    /// A secret from elsewhere that waits for another one would wait in vain where two wait for each other.
    fn check_headers(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        for (name, header) in &self.headers.0 {
            let at = [at, ".", name.as_str()].concat();
            if let Some(other) = header.secret(&at)?
                && let Secret::Http(_) = named(&at, other, secrets)?
            {
                return Err(ConfigError::new(at, "this is needed to fetch another secret: name a secret from env"));
            }
        }
        Ok(())
    }
}

impl Secret {
    pub(super) fn check(&self, at: &str, allow_inline: bool, secrets: &SortedMap<String, Self>) -> Result<(), ConfigError> {
        match self {
            Self::Env(variable) if variable.is_empty() || variable.contains(['=', '\0']) => {
                Err(ConfigError::of(at, "env", "name an environment variable"))
            }
            Self::Env(_) => Ok(()),
            Self::Http(document) => {
                document.remote.check(&format!("{at}.http.remote"))?;
                document.check_headers(&format!("{at}.http.headers"), secrets)?;
                match &document.json_pointer {
                    Some(pointer) if !pointer.starts_with('/') => {
                        Err(ConfigError::of(at, "http.json_pointer", "a JSON pointer starts with /"))
                    }
                    _ => Ok(()),
                }
            }
            Self::Inline(_) if allow_inline => Ok(()),
            Self::Inline(_) => Err(ConfigError::of(
                at,
                "inline",
                "configurations are logged and dumped: name an env or http source, or set allow_inline_secrets: true for a test",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Source)
    }
}

const EXPECTED: &str = "give exactly one source: env, http or inline";

/// Reads `{"env": …}` and the like. Serde's own enums would repeat what they did not expect.
struct Source;

impl<'de> Visitor<'de> for Source {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTED)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secret, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::custom(EXPECTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Secret, A::Error> {
        let name: Option<String> = members.next_key()?;
        let secret = match name.as_deref() {
            Some("env") => Secret::Env(members.next_value::<Hidden>()?.0),
            Some("http") => Secret::Http(members.next_value()?),
            Some("inline") => Secret::Inline(members.next_value::<Hidden>()?.0.into()),
            _ => return Err(A::Error::custom(EXPECTED)),
        };
        match members.next_key::<IgnoredAny>()? {
            None => Ok(secret),
            Some(_) => Err(A::Error::custom(EXPECTED)),
        }
    }
}

/// A text; what is none is not repeated in the error.
struct Hidden(String);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("must be a text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, SortedMap};

    #[test]
    fn no_error_and_no_debug_form_repeats_a_secret() {
        for odd in [
            r#""s3cret""#,
            r#"["s3cret"]"#,
            r#"{"s3cret": "s3cret"}"#,
            r#"{"inline": ["s3cret"]}"#,
            r#"{"inline": {"a": "s3cret"}}"#,
            r#"{"inline": 53}"#,
            "53",
            "5.3",
            "-53",
            "true",
            "null",
            "{}",
            r#"{"env": "A", "inline": "s3cret"}"#,
        ] {
            let error = serde_json::from_str::<Secret>(odd).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("53"), "{odd}: {error}");
        }
        let inline = serde_json::from_str::<Secret>(r#"{"inline": "s3cret"}"#).unwrap();
        assert!(!format!("{inline:?}").contains("s3cret"));
        let none = SortedMap::new();
        assert!(inline.check("secrets.a", false, &none).is_err() && inline.check("secrets.a", true, &none).is_ok());
    }
}
