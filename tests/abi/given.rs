//! Configurations, requests and tokens that the tests begin with.

use super::host::{Host, Pairs};
use super::vm::Vm;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Letters of one, two and four bytes, so that a cut can fall inside of one.
pub const SEND: &[u8] =
    r#"{"jsonrpc":"2.0","id":"id-1","method":"SendMessage","params":{"message":{"parts":[{"text":"h\u00e9llo é 💶"}]}}}"#.as_bytes();

/// `tests/vectors/tokens.json`.
pub static VECTORS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("../vectors/tokens.json")).unwrap());

/// The vector called `name`.
pub fn token(name: &str) -> &'static str {
    let vectors = VECTORS["tokens"].as_array().unwrap();
    vectors.iter().find(|vector| vector["name"] == name).and_then(|vector| vector["token"].as_str()).unwrap()
}

/// One agent, and an issuer with these keys.
pub fn inbound(jwks: &Value) -> Value {
    json!({
        "issuers": [{"name": "corp", "issuer": VECTORS["issuer"], "audiences": [VECTORS["audience"]], "jwks": jwks,
                     "algorithms": VECTORS["algorithms"]}],
        "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
        "agents": [{"name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/agents/expense"},
                    "public_url": "https://expense.example.com/agents/expense",
                    "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}, "0.3": {"bindings": ["jsonrpc", "http_json"]}},
                    "default_version": "0.3", "card": {"access": "public"}, "security": [{"oauth2": ["agent:execute"]}],
                    "limits": {"max_body_bytes": 4096}}]
    })
}

/// Keys in the configuration, and a host that verifies.
pub fn guard() -> Vm {
    Vm::with(Host { verifies: true, ..Host::default() }, &inbound(&json!({"inline": VECTORS["keys"]})))
}

/// Keys that have to be fetched.
pub fn remote() -> Value {
    inbound(&json!({"remote": {"uri": "https://auth.example.com/jwks", "cluster": "idp", "timeout": "1.5s", "refresh": "300s"}}))
}

/// A JSON-RPC call with a good token, ready to be changed.
pub fn headers() -> Pairs {
    pairs(&[
        (":authority", "expense.example.com"),
        (":path", "/agents/expense"),
        (":method", "POST"),
        (":scheme", "https"),
        ("content-type", "application/json"),
        ("a2a-version", "1.0"),
        ("authorization", &format!("Bearer {}", token("RS256 good"))),
    ])
}

pub fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// `headers` with `name` set, or added.
pub fn with(mut headers: Pairs, name: &str, value: impl AsRef<[u8]>) -> Pairs {
    headers.retain(|(given, _)| given != name);
    headers.push((name.to_owned(), value.as_ref().to_vec()));
    headers
}

/// Every value of `name`.
pub fn all<'a>(headers: &'a Pairs, name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(given, _)| given == name).map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
}
