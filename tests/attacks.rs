//! Attacks on tokens and their verdicts (`attacks/tokens.json`), each beside an honest twin: here through the state
//! machines with signatures verified in Rust, in `abi.rs` through the built module with and without a host that
//! verifies, in the mesh through Envoy. `BLESS=1` writes the file anew.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "attacks/list.rs"]
mod list;
#[allow(dead_code, reason = "the vectors need more")]
#[path = "vectors/mint.rs"]
mod mint;

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::{Context, Effect, Event, Exchange, Outcome, Runtime, Step};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static FILE: LazyLock<Value> = LazyLock::new(|| {
    let path = "tests/attacks/tokens.json";
    if std::env::var_os("BLESS").is_some() {
        let mut text = serde_json::to_string_pretty(&list::file()).unwrap();
        text.push('\n');
        std::fs::write(path, text).unwrap();
    }
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

fn runtime() -> Runtime {
    let names: Vec<&Value> = FILE["issuers"].as_array().unwrap().iter().map(|issuer| &issuer["name"]).collect();
    let text = json!({
        "issuers": FILE["issuers"],
        "schemes": {"oauth2": {"bearer": {"issuers": names}}},
        "agents": [{"name": "expense", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"1.0": {"bindings": ["http_json"]}},
                    "default_version": "1.0", "security": [{"oauth2": []}]}],
        "secrets": {"hmac": {"env": "HMAC"}}
    });
    let mut secrets = Secrets::default();
    secrets.insert("hmac", FILE["secret"].as_str().map(str::to_owned));
    Runtime::new(Config::parse(text.to_string().as_bytes()).unwrap(), secrets).unwrap()
}

/// `ok`, or the reason, of a GetTask with the headers of `row`.
fn verdict(row: &Value, runtime: &Runtime) -> String {
    let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let path = format!("/tasks/t{}", row["query"].as_str().unwrap_or_default());
    let mut headers = vec![pair(":authority", "a"), pair(":path", &path), pair(":method", "GET"), pair(":scheme", "https")];
    for header in row["headers"].as_array().unwrap() {
        headers.push(pair(header[0].as_str().unwrap(), header[1].as_str().unwrap()));
    }
    let event = Event::RequestHeaders { headers: Headers::new(headers), peer: None, end_of_stream: true };
    let context = Context { runtime, verifier: &Software, now: UnixTime::from_secs(1_800_000_000) };
    let Outcome { effects, step, .. } = Exchange::default().on(event, &context);
    let reason = effects.into_iter().find_map(|effect| match effect {
        Effect::SetState("attache.reason", reason) => Some(reason),
        _ => None,
    });
    match (reason, step) {
        (Some(reason), Step::Pause) => reason,
        (None, Step::Continue) => "ok".to_owned(),
        other => panic!("{}: {other:?}", row["name"]),
    }
}

#[test]
fn every_row_has_its_verdict() {
    let runtime = runtime();
    let mut wrong = Vec::new();
    // Twice: what is remembered of a token must not change its verdict.
    for _ in 0..2 {
        for row in FILE["rows"].as_array().unwrap() {
            let verdict = verdict(row, &runtime);
            if row["expect"] != verdict {
                wrong.push(format!("{}: {verdict}, not {}", row["name"], row["expect"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_unique_and_every_reason_is_there() {
    let rows = FILE["rows"].as_array().unwrap();
    let mut names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *count.entry(row["expect"].as_str().unwrap()).or_default() += 1;
    }
    assert!(all >= 280 && count["ok"] >= 35, "{count:?}");
    for reason in [
        "credentials_missing",
        "credentials_repeated",
        "token_malformed",
        "token_algorithm_refused",
        "token_issuer_unknown",
        "token_key_unknown",
        "token_signature_invalid",
        "token_expired",
        "token_not_yet_valid",
        "token_audience_mismatch",
        "token_actor_refused",
    ] {
        assert!(count[reason] >= 2, "{reason}: {count:?}");
    }
}
