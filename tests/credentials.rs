//! Credentials, good, bad and hostile, with the verdict on each: `attacks/credentials.json`, to be read by eye. Whatever becomes
//! of a request, no key, password or token comes out of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "golden/player.rs"]
mod player;

use attache::config::Config;
use serde_json::{Value, json};
use std::sync::LazyLock;

static FILE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("attacks/credentials.json")).unwrap());

/// The effects of a row: GetTask over HTTP+JSON, so that nothing but the head decides.
fn effects(row: &Value) -> Vec<Value> {
    let query = row["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
    let mut headers = vec![
        json!([":method", "GET"]),
        json!([":path", format!("/{}/tasks/t{query}", row["agent"].as_str().unwrap())]),
        json!([":authority", "expense.example.com"]),
        json!(["a2a-version", "1.0"]),
    ];
    headers.extend(row["headers"].as_array().unwrap().iter().cloned());
    let mut first = json!({"headers": headers, "end": true});
    if let Some(peer) = row.get("peer") {
        first["peer"] = peer.clone();
    }
    let answer = row.get("introspection").map(|answer| json!({"introspection": answer}));
    let events: Vec<Value> = [first].into_iter().chain(answer).collect();
    let case = json!({"config": "credentials", "events": events, "secrets": {"introspection": "canary-secret"}});
    let outcomes = player::play(&case, &json!({"credentials": FILE["config"]}));
    outcomes.as_array().unwrap().iter().flat_map(|outcome| outcome.as_array().unwrap().clone()).collect()
}

/// What is wrong with the outcome of a row.
fn complaints(row: &Value) -> Vec<String> {
    let effects = effects(row);
    let lines: Vec<&str> = effects.iter().filter_map(Value::as_str).collect();
    let reason = lines.iter().find_map(|line| line.strip_prefix("state attache.reason=")).unwrap_or("ok");
    let mut wrong = Vec::new();
    if reason != row["expect"] {
        wrong.push(format!("expected {}, got {reason}", row["expect"]));
    }
    let told = lines.iter().find_map(|line| line.strip_prefix("set x-attache: ")).unwrap_or_default();
    for (member, key) in [("caller", "client"), ("subject", "subject"), ("kind", "kind")] {
        if let Some(value) = row[member].as_str()
            && !told.split(", ").any(|said| said == format!("{key}=\"{value}\""))
        {
            wrong.push(format!("{key}={value:?} is missing in {told:?}"));
        }
    }
    let mut wants = |present: bool, line: String| {
        if lines.contains(&line.as_str()) != present {
            wrong.push(format!("{line:?} {}", if present { "is missing" } else { "is there" }));
        }
    };
    for name in row["removed"].as_array().into_iter().flatten() {
        wants(true, format!("remove {}", name.as_str().unwrap()));
    }
    if let Some(header) = row["set"].as_str() {
        wants(true, format!("set {header}"));
    }
    if let Some(query) = row["path"].as_str() {
        wants(true, format!("set :path: /{}/tasks/t{query}", row["agent"].as_str().unwrap()));
    }
    // A key stops here, also when it is refused.
    for (name, place) in [("x-api-key", "remove x-api-key"), ("x_api_key", "remove x_api_key")] {
        let has = row["headers"].as_array().unwrap().iter().any(|pair| pair[0] == name);
        wants(has, place.to_owned());
    }
    let seen = Value::Array(effects.clone()).to_string();
    if seen.contains("canary") && !seen.contains("access_token=canary") {
        wrong.push(format!("a secret came out: {seen}"));
    }
    wrong
}

#[test]
fn every_credential_has_its_verdict() {
    let rows = FILE["rows"].as_array().unwrap();
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let wrong = complaints(row);
            (!wrong.is_empty()).then(|| format!("{} at {}: {}", row["name"], row["agent"], wrong.join("; ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{} rows came out otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.len() >= 150);
}

#[test]
fn every_agent_has_rows_that_pass_and_rows_that_do_not() {
    for agent in FILE["config"]["agents"].as_array().unwrap() {
        let mine = || FILE["rows"].as_array().unwrap().iter().filter(|row| row["agent"] == agent["name"]);
        assert!(mine().any(|row| row["expect"] == "ok"), "{}", agent["name"]);
        let open = agent["security"].to_string().contains("nothing");
        assert!(open || mine().any(|row| row["expect"] != "ok"), "{}", agent["name"]);
    }
}

/// What is wrong with a configuration is said at its place, and never with a secret.
#[test]
fn a_wrong_scheme_names_its_place() {
    let digest = "ab".repeat(32);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let key = |changes: Value| {
        let mut key = json!({"in": "header", "name": "x-api-key", "keys": [{"id": "a", "sha256": digest}]});
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "api_key": key })
    };
    let introspection = |changes: Value| {
        let mut config = FILE["config"]["schemes"]["opaque"]["introspection"].clone();
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "introspection": config })
    };
    for (scheme, expected) in [
        (key(json!({"name": "X-Api-Key"})), "schemes.s.api_key.name: must be a header name in lower case"),
        (key(json!({"name": "authorization"})), "schemes.s.api_key.name: this header has another meaning"),
        (key(json!({"name": "x-attache-key"})), "schemes.s.api_key.name: this header has another meaning"),
        (key(json!({"in": "cookie", "name": "a b"})), "schemes.s.api_key.name: must be the name of a cookie"),
        (key(json!({"in": "query", "name": "A2A-Version"})), "schemes.s.api_key.name: must be the name of a parameter"),
        (key(json!({"in": "body"})), "schemes.s.api_key.in: unknown variant"),
        (key(json!({"keys": []})), "schemes.s.api_key.keys: name at least one"),
        (key(json!({"keys": [{"id": "", "sha256": digest}]})), "schemes.s.api_key.keys[0].id: must not be empty"),
        (key(json!({"keys": [{"id": "a", "sha256": "canary-key"}]})), "schemes.s.api_key.keys[0].sha256: must be a SHA-256"),
        (key(json!({"keys": [{"id": "a", "sha256": empty}]})), "schemes.s.api_key.keys[0].sha256: is the SHA-256 of nothing"),
        (
            key(json!({"keys": [{"id": "a", "sha256": digest}, {"id": "b", "sha256": digest}]})),
            "schemes.s.api_key.keys[1].sha256: is there twice",
        ),
        (
            key(json!({"keys": [{"id": "a", "sha256": digest, "scopes": ["a b"]}]})),
            "schemes.s.api_key.keys[0].scopes[0]: not a scope-token",
        ),
        (json!({"basic": {"users": [{"id": "a", "password": "canary"}]}}), "schemes.s.basic.users[0].password: unknown field"),
        (json!({"mutual_tls": {"allow": []}}), "schemes.s.mutual_tls.allow: name at least one"),
        (json!({"mutual_tls": {"allow": [{}]}}), "schemes.s.mutual_tls.allow[0]: give exactly one"),
        (json!({"mutual_tls": {"allow": [{"uri": "spiffe://a/b", "dns": "a"}]}}), "schemes.s.mutual_tls.allow[0]: give exactly one"),
        (json!({"mutual_tls": {"allow": [{"uri": "*"}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (json!({"mutual_tls": {"allow": [{"uri": "spiffe://*"}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (json!({"mutual_tls": {"allow": [{"uri": "spiffe://a/*/b"}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (json!({"mutual_tls": {"allow": [{"dns": "*."}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (json!({"mutual_tls": {"allow": [{"dns": ""}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (json!({"mutual_tls": {"allow": [{"subject": ""}]}}), "schemes.s.mutual_tls.allow[0]: must be a whole identity"),
        (
            json!({"mutual_tls": {"from": {"x_forwarded_client_cert": {"proxies": []}}, "allow": [{"dns": "a"}]}}),
            "schemes.s.mutual_tls.from.x_forwarded_client_cert.proxies: name the proxies",
        ),
        (
            json!({"bearer": {"issuers": ["corp"], "certificate_bound": {"from": {"x_forwarded_client_cert": {"proxies": ["*"], "elements": 0}}}}}),
            "schemes.s.bearer.certificate_bound.from.x_forwarded_client_cert.elements: must be from 1 to 8",
        ),
        (introspection(json!({"audiences": []})), "schemes.s.introspection.audiences: name at least one audience"),
        (
            introspection(json!({"client": {"id": "a", "secret": {"secret": "none"}}})),
            "schemes.s.introspection.client.secret.secret: there is no secret",
        ),
        (introspection(json!({"client": {"id": "a", "secret": "canary"}})), "schemes.s.introspection.client.secret: invalid type"),
        (introspection(json!({"cluster": ""})), "schemes.s.introspection.cluster: name an Envoy cluster"),
        (introspection(json!({"cache": "1m"})), "schemes.s.introspection.cache: "),
        (json!({"none": {"of": "it"}}), "schemes.s.none.of: unknown field"),
    ] {
        let mut config = FILE["config"].clone();
        config["issuers"][0]["jwks"]["inline"] = player::jwks();
        config["schemes"]["s"] = scheme.clone();
        let error = Config::parse(config.to_string().as_bytes()).map(|_| "ok".to_owned()).unwrap_or_else(|error| error.to_string());
        assert!(error.starts_with(expected), "{scheme}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
    for (security, expected) in [
        (json!([{"nothing": [], "key": []}]), "agents[0].security[0].nothing: "),
        (json!([{"nothing": ["read"]}]), "agents[0].security[0].nothing: "),
        (json!([{"opaque": []}, {"other": []}]), "agents[0].security: name one scheme of introspection"),
    ] {
        let mut config = FILE["config"].clone();
        config["issuers"][0]["jwks"]["inline"] = player::jwks();
        config["schemes"]["other"] = config["schemes"]["opaque"].clone();
        config["agents"][0]["security"] = security;
        let error = Config::parse(config.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
