//! What in a configuration needs a proxy that signs.

use crate::config::Config;
use serde_json::Value;

/// Members that say so.
const SIGNED: [&str; 2] = ["private_key_jwt", "signed_jwt"];

impl Config {
    /// The first place below `connections` of `json`, a good configuration, that needs something signed.
    #[must_use]
    pub fn first_signed(json: &[u8]) -> Option<String> {
        let document: Value = serde_json::from_slice(json).ok()?;
        find(document.get("connections")?, "connections")
    }
}

fn find(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let at = [at, ".", name].concat();
            // A parameter of that name is a text.
            if SIGNED.contains(&name.as_str()) && value.is_object() { Some(at) } else { find(value, &at) }
        }),
        Value::Array(list) => list.iter().enumerate().find_map(|(index, value)| find(value, &format!("{at}[{index}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn what_is_signed_is_named_by_its_place() {
        for (json, place) in [
            (
                r#"{"connections":[{"credential":{"none":{}}},{"credential":{"signed_jwt":{}}}]}"#,
                Some("connections[1].credential.signed_jwt"),
            ),
            (
                r#"{"connections":[{"credential":{"auto":[{"credential":{"client_credentials":{"client":{"authentication":{"private_key_jwt":{}}}}}}]}}]}"#,
                Some("connections[0].credential.auto[0].credential.client_credentials.client.authentication.private_key_jwt"),
            ),
            (r#"{"connections":[{"name":"signed_jwt","request":{"parameters":{"private_key_jwt":"x"}}}]}"#, None),
            (r#"{"secrets":{"signed_jwt":{"env":"A"}},"schemes":{"private_key_jwt":{}}}"#, None),
        ] {
            assert_eq!(Config::first_signed(json.as_bytes()).as_deref(), place, "{json}");
        }
    }
}
