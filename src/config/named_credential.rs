//! API keys in the query or in a cookie: `in: query` and `in: cookie` of OpenAPI and A2A.

use super::{ConfigError, SecretRef, folded};
use serde::Deserialize;

/// Query parameters of A2A: none of them can be a key. Folded.
const OF_A2A: [&str; 9] =
    ["a2aversion", "tenant", "contextid", "status", "pagesize", "pagetoken", "historylength", "includeartifacts", "statustimestampafter"];

/// A query parameter or a cookie whose value is a secret.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct NamedCredential {
    /// Its name: letters, digits, and `-` `.` `_` `~`.
    pub name: KeyName,
    /// The secret.
    pub value: SecretRef,
}

/// A name of letters, digits, and `-` `.` `_` `~`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[A-Za-z0-9._~-]+$")))]
#[serde(try_from = "String")]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if fits { Ok(Self(text)) } else { Err("a name of letters, digits, and - . _ ~") }
    }
}

impl NamedCredential {
    /// Checks the name of a query parameter.
    pub(super) fn check_parameter(&self, at: &str) -> Result<(), ConfigError> {
        match OF_A2A.contains(&folded(self.name.as_str()).as_str()) {
            true => Err(ConfigError::of(at, "name", "A2A has a parameter of this name")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn parsed(credential: &Value, keep: &Value) -> Result<Config, String> {
        let config = json!({"secrets": {"key": {"env": "KEY"}}, "connections": [{"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"},
            "version": "1.0", "pin": "none", "credential": credential, "keep": keep}]});
        Config::parse(config.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_fault_has_its_place() {
        let named = |kind: &str, name: &str, secret: &str| json!({ kind: {"name": name, "value": {"secret": secret}} });
        for good in [named("query", "api_key", "key"), named("cookie", "__Host-key", "key"), named("cookie", "tenant", "key")] {
            assert_eq!(parsed(&good, &json!({})).err(), None, "{good}");
        }
        for (credential, keep, place) in [
            (named("query", "", "key"), json!({}), "connections[0].credential.query.name: a name of"),
            (named("query", "a=b", "key"), json!({}), "connections[0].credential.query.name: a name of"),
            (named("query", "Tenant", "key"), json!({}), "connections[0].credential.query.name: A2A has"),
            (named("query", "page_token", "key"), json!({}), "connections[0].credential.query.name: A2A has"),
            (named("query", "k", "other"), json!({}), "connections[0].credential.query.value.secret: there is no secret"),
            (named("cookie", "a;b", "key"), json!({}), "connections[0].credential.cookie.name: a name of"),
            (named("cookie", "a", "other"), json!({}), "connections[0].credential.cookie.value.secret: there is no secret"),
            (named("cookie", "a", "key"), json!({"headers": ["cookie"]}), "connections[0].keep.headers[0]: a credential"),
            (named("query", "a-key", "key"), json!({"query": ["akey"]}), "connections[0].keep.query[0]: "),
        ] {
            let fault = parsed(&credential, &keep).err().unwrap_or_default();
            assert!(fault.starts_with(place), "{credential} {keep}: {fault}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_warned_of() {
        let query = parsed(&json!({"query": {"name": "key", "value": {"secret": "key"}}}), &json!({})).unwrap();
        let cautions: Vec<String> = query.cautions().collect();
        assert!(cautions.iter().any(|caution| caution.starts_with("connections[0].credential.query: ")), "{cautions:?}");
        let cookie = parsed(&json!({"cookie": {"name": "key", "value": {"secret": "key"}}}), &json!({})).unwrap();
        assert!(cookie.cautions().all(|caution| !caution.contains("query")));
    }
}
