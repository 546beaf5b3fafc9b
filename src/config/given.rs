//! What stands in a configuration at the place of an error, so that the error can say it. Nothing is said of places where a secret can
//! stand, also in the wrong form.

use super::{Config, ConfigError};
use crate::wire::quoted;
use serde_json::Value;

/// Members at and below which a secret can stand, be it by mistake.
const HIDDEN: [&str; 13] =
    ["secrets", "secret", "credential", "inline", "keys", "key", "users", "sha256", "shared_secret", "client", "jwks", "value", "password"];
/// Members in whose place a secret can stand, but not below them.
const HIDDEN_WHOLE: [&str; 3] = ["api_key", "basic", "introspection"];
/// Members below one of these that hold none all the same.
const SHOWN: [&str; 6] = ["uri", "cluster", "refresh", "max_stale", "timeout", "operations"];

impl Config {
    /// `error`, for which `json` was refused, in all words: with what stands at its place, if no secret can stand there, and what the text
    /// seems to be, if it is no JSON.
    #[must_use]
    pub fn explain(error: &ConfigError, json: &[u8]) -> String {
        explain(error, json)
    }

    /// Whether a secret can stand at `place`, be it by mistake, so that what stands there must not be shown.
    #[must_use]
    pub fn may_hold_secret(place: &str) -> bool {
        is_hidden(&names(place))
    }
}

fn is_hidden(names: &[String]) -> bool {
    let is_open = names.last().is_some_and(|last| SHOWN.contains(&last.as_str()));
    let is_scheme = names.len() <= 2 && names.first().is_some_and(|first| first == "schemes");
    let is_whole = names.last().is_some_and(|last| HIDDEN_WHOLE.contains(&last.as_str()));
    is_scheme || is_whole || !is_open && names.iter().any(|name| HIDDEN.contains(&name.as_str()))
}

/// `error` about `json`, with what stands at its place, if that is a text, a number or a boolean and no secret can stand there.
#[cold]
#[inline(never)]
fn explain(error: &ConfigError, json: &[u8]) -> String {
    let plain = in_words(error.to_string());
    let Ok(document) = serde_json::from_slice::<Value>(json) else { return looks_like(plain, json) };
    let names: Vec<String> = names(error.place());
    // The meaning of an unknown member is not known, so its value is not shown.
    let found = names.iter().try_fold(&document, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    });
    // Where one of several can stand, the reader found several, or none.
    if error.reason().starts_with("expected value") && found.is_some_and(Value::is_object) {
        return format!("{plain}; it must have exactly one member");
    }
    if is_hidden(&names) || error.reason().starts_with("unknown field") || names.is_empty() {
        return plain;
    }
    let is_version = names.last().is_some_and(|last| last.ends_with("version"));
    let said = match found {
        Some(Value::String(text)) => quoted::text(text),
        Some(Value::Number(number)) if is_version => format!("{number}: write a version in quotes, \"{number}\""),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(is)) => is.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => return plain,
    };
    // Some errors say it themselves.
    if plain.contains(&said) { plain } else { format!("{plain}; it is {said}") }
}

/// The names and indexes that `place` is made of.
fn names(place: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    for letter in place.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '.' | '[' if !is_quoted => names.push(String::new()),
            ']' if !is_quoted => {}
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// `error` about a text that is no JSON, with what it may be in its place.
fn looks_like(error: String, json: &[u8]) -> String {
    let text = str::from_utf8(json).unwrap_or_default();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_yaml =
        |line: &str| line.starts_with("---") || line.starts_with("- ") || line.split_once(':').is_some_and(|(name, _)| is_name(name));
    if lines.next().is_some_and(is_yaml) {
        return "this must be JSON, and looks like YAML: convert it, for example with yq -o=json, and give the result as the value"
            .to_owned();
    }
    let has_comment = text.lines().any(|line| line.trim_start().starts_with(['#', '/']));
    match has_comment {
        true => error + "; JSON has no comments",
        false if error.contains("key must be a string") => error + "; is there a comma behind the last member, or a name without quotes?",
        false => error,
    }
}

/// `message` without names of Rust's types.
fn in_words(message: String) -> String {
    let plain = message.replace("expected a sequence", "expected a list");
    match plain.split_once(", expected struct ") {
        Some((head, tail)) => {
            format!("{head}, expected an object{}", tail.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric()))
        }
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{explain, names};
    use crate::config::Config;
    use serde_json::{Value, json};

    /// A value that is a secret in the wrong place.
    #[test]
    fn nothing_is_said_of_what_may_be_a_secret() {
        let config = |value: &Value| {
            let issuer = json!({"name": "i", "issuer": "https://i", "audiences": ["a"], "jwks": value});
            let remote = json!({"name": "i", "issuer": "https://i", "audiences": ["a"], "jwks": {"remote": value}});
            let scheme = |scheme: Value| json!({"schemes": {"s": scheme}, "agents": []});
            let connection = |credential: Value| {
                json!({"connections": [{"name": "c", "match": {"hosts": ["c"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
                    "credential": credential}]})
            };
            [
                json!({"issuers": [issuer]}),
                json!({"issuers": [remote]}),
                json!({"secrets": value}),
                json!({"secrets": {"a": value}}),
                json!({"secrets": {"a": {"env": value}}, "connections": []}),
                json!({"schemes": value}),
                scheme(value.clone()),
                scheme(json!({"api_key": value})),
                scheme(json!({"basic": value})),
                scheme(json!({"api_key": {"in": "header", "name": "x-key", "keys": value}})),
                scheme(json!({"api_key": {"in": "header", "name": "x-key", "keys": [value]}})),
                scheme(json!({"api_key": {"in": "header", "name": "x-key", "keys": [{"id": "a", "sha256": value}]}})),
                scheme(json!({"basic": {"users": [{"id": "a", "sha256": value}]}})),
                scheme(json!({"introspection": {"endpoint": {"uri": "https://i", "cluster": "c"}, "client": value}})),
                connection(value.clone()),
                connection(json!({"header": value})),
                connection(json!({"header": {"name": "x-key", "value": value}})),
                connection(json!({"header": {"name": "x-key", "value": {"secret": value}}})),
            ]
        };
        for config in config(&json!("Canary 7f3a")) {
            let text = config.to_string();
            let said = explain(&Config::parse(text.as_bytes()).unwrap_err(), text.as_bytes());
            assert!(!said.contains("Canary"), "{said}: {text}");
        }
    }

    #[test]
    fn places_of_secrets_are_told_from_others() {
        for (place, expected) in [
            ("agents[0].match.hosts[0]", false),
            ("issuers[0].jwks.remote.uri", false),
            ("issuers[0].jwks.inline.keys[0].n", true),
            ("secrets.key.env", true),
            ("connections[0].credential.header.value.secret", true),
            ("schemes.key", true),
        ] {
            assert_eq!(Config::may_hold_secret(place), expected, "{place}");
        }
    }

    #[test]
    fn a_place_comes_apart() {
        for (place, expected) in [
            ("", &[][..]),
            ("unmatched", &["unmatched"]),
            ("agents[1].match.hosts[0]", &["agents", "1", "match", "hosts", "0"]),
            ("agents[0].versions.\"1.0\".bindings[2]", &["agents", "0", "versions", "1.0", "bindings", "2"]),
        ] {
            assert_eq!(names(place), expected);
        }
    }
}
