//! Tokens of each provider as they really are (`providers/shapes.json`): what its preset reads of them, what every other preset makes
//! of them, and that the documentation shows these tokens and configurations that take them.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[allow(dead_code, reason = "the vectors need more")]
#[path = "vectors/mint.rs"]
mod mint;

use attache::config::{Config, Preset};
use attache::credential::secrets::Secrets;
use attache::flow::{Context, Effect, Event, Exchange, Outcome, Runtime, Step, Value as HeaderValue};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use mint::{Key, encode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static SHAPES: LazyLock<Vec<Value>> = LazyLock::new(|| read("tests/providers/shapes.json").as_array().unwrap().clone());
static KEY: LazyLock<Key> = LazyLock::new(|| Key::rsa("providers", 2048));
static PAGE: LazyLock<String> = LazyLock::new(|| text("docs/identity-providers.md"));

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn read(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn name(preset: Preset) -> String {
    let debug = format!("{preset:?}");
    let words = debug.char_indices().map(|(at, letter)| match letter.is_ascii_uppercase() && at > 0 {
        true => format!("_{}", letter.to_ascii_lowercase()),
        false => letter.to_ascii_lowercase().to_string(),
    });
    words.collect()
}

/// The token of a shape, signed.
fn token(shape: &Value) -> String {
    let mut header = json!({"alg": "RS256", "kid": "1"});
    header.as_object_mut().unwrap().extend(shape["header"].as_object().unwrap().clone());
    let input = format!("{}.{}", encode(header.to_string()), encode(shape["claims"].to_string()));
    format!("{input}.{}", encode(KEY.sign("RS256", input.as_bytes())))
}

/// What becomes of a GetTask with `token`: what the agent is told, or the reason.
fn verdict(token: &str, config: &Value) -> Result<String, String> {
    let parsed = Config::parse(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{config}"));
    let runtime = Runtime::new(parsed, Secrets::default()).unwrap();
    let authorization = format!("Bearer {token}");
    let headers = [(":authority", "expense.example.com"), (":path", "/tasks/t"), (":method", "GET"), ("authorization", &authorization)];
    let headers = Headers::new(headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec());
    let event = Event::RequestHeaders { headers, peer: None, end_of_stream: true };
    let context = Context { runtime: &runtime, verifier: &Software, now: UnixTime::from_secs(1_800_000_000) };
    let Outcome { effects, step, .. } = Exchange::default().on(event, &context);
    let (mut told, mut reason) = (None, None);
    for effect in effects {
        match effect {
            Effect::SetState("attache.reason", text) => reason = Some(text),
            Effect::SetHeader(name, HeaderValue::Text(text)) if name == "x-attache" => told = Some(text),
            _ => {}
        }
    }
    match (step, reason) {
        (Step::Continue, None) => Ok(told.expect("x-attache")),
        (Step::Pause, Some(reason)) => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// `user`, `service`, or `refused`.
fn kind(verdict: &Result<String, String>) -> &'static str {
    match verdict {
        Ok(told) if told.contains("kind=\"user\"") => "user",
        Ok(told) if told.contains("kind=\"service\"") => "service",
        Ok(told) => panic!("{told}"),
        Err(_) => "refused",
    }
}

/// A configuration with this issuer, whose keys are [`KEY`], and no rule.
fn config(mut issuer: Value) -> Value {
    issuer["jwks"] = json!({"inline": {"keys": [KEY.jwk("1")]}});
    json!({
        "schemes": {"oauth2": {"bearer": {"issuers": [issuer["name"]]}}},
        "issuers": [issuer],
        "agents": [{"name": "expense", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"1.0": {"bindings": ["http_json"]}},
                    "security": [{"oauth2": []}]}]
    })
}

/// The section of a preset in the documentation.
fn section(preset: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!(": `{preset}`\n")).unwrap_or_else(|| panic!("no section for {preset}"));
    rest.split("\n## ").next().unwrap()
}

/// The blocks of JSON in a section: its configuration, and tokens.
fn blocks(preset: &str) -> (Value, Vec<Value>) {
    let blocks = section(preset).split("```json\n").skip(1).map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap());
    let (mut configs, tokens): (Vec<Value>, Vec<Value>) = blocks.partition(|block: &Value| block["agents"].is_array());
    assert_eq!(configs.len(), 1, "{preset}: one configuration");
    (configs.remove(0), tokens)
}

fn shapes(preset: &str) -> impl Iterator<Item = &'static Value> {
    SHAPES.iter().filter(move |shape| shape["preset"] == preset)
}

#[test]
fn a_preset_reads_the_tokens_of_its_provider_as_they_are() {
    let mut wrong = Vec::new();
    for preset in Preset::ALL.map(name) {
        let issuer = blocks(&preset).0["issuers"][0].clone();
        assert_eq!(issuer["preset"], preset.as_str());
        assert!(shapes(&preset).any(|shape| shape["kind"] == "service"), "{preset}");
        for shape in shapes(&preset) {
            let mut config = config(issuer.clone());
            let says = &shape["says"];
            if says["roles"].is_array() {
                config["agents"][0]["access"] = json!([{"operations": ["any"], "require": {"roles": says["roles"]}}]);
            }
            let verdict = verdict(&token(shape), &config);
            assert_eq!(shape["kind"] == "refused", shape["reason"].is_string(), "{}", shape["name"]);
            if kind(&verdict) != shape["kind"] {
                wrong.push(format!("{}: {verdict:?}, not {}", shape["name"], shape["kind"]));
            }
            if let (Err(reason), Some(expected)) = (&verdict, shape["reason"].as_str())
                && reason != expected
            {
                wrong.push(format!("{}: {reason}, not {expected}", shape["name"]));
            }
            let told = verdict.unwrap_or_default();
            for member in ["subject", "client", "tenant"] {
                let expected = says[member].as_str().map(|text| format!("{member}=\"{text}\""));
                let found = told.split(", ").find(|said| said.starts_with(&format!("{member}=")));
                if found != expected.as_deref() {
                    wrong.push(format!("{}: {expected:?} and {found:?}", shape["name"]));
                }
            }
            let scopes: Vec<String> = says["scopes"].as_array().into_iter().flatten().map(Value::to_string).collect();
            let scopes = format!("scopes=({})", scopes.join(" "));
            if !told.is_empty() && !told.ends_with(&scopes) {
                wrong.push(format!("{}: {scopes} and {told}", shape["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A preset that is set for the wrong provider reads nothing, or what is so. Each token has the issuer and an audience that the
/// configuration names, so that only its shape is judged.
#[test]
fn no_preset_takes_a_service_of_another_provider_for_a_user() {
    let mut understood: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    for shape in SHAPES.iter().filter(|shape| shape["kind"] != "refused") {
        let (own, token, claims) = (shape["preset"].as_str().unwrap(), token(shape), &shape["claims"]);
        let is_service = shape["kind"] == "service" && shape["name"] != "zitadel user";
        for preset in Preset::ALL.map(name).into_iter().filter(|preset| preset != own) {
            let mut audiences: Vec<&Value> = claims["aud"].as_array().map_or_else(|| vec![&claims["aud"]], |list| list.iter().collect());
            audiences.push(&claims["client_id"]);
            audiences.retain(|audience| audience.is_string());
            let issuer = claims["iss"].as_str().unwrap_or("spiffe://corp.example");
            let mut other = json!({"name": "other", "preset": preset, "issuer": issuer, "audiences": audiences, "token_types": ["JWT", "at+jwt", "JOSE"]});
            if preset == "github_actions" {
                other["tenants"] = json!(["acme"]);
            }
            let found = kind(&verdict(&token, &config(other)));
            assert!(!(is_service && found == "user"), "{}: a user for {preset}", shape["name"]);
            if found != "refused" {
                understood.entry(shape["name"].as_str().unwrap().to_owned()).or_default().insert(preset, found);
            }
        }
    }
    let path = "tests/providers/understood.json";
    let found = json!(understood);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{found:#}\n")).unwrap();
    }
    assert_eq!(found, read(path), "BLESS=1 writes what each preset makes of tokens of others");
}

#[test]
fn what_the_operator_writes_counts() {
    let shape = shapes("okta").find(|shape| shape["name"] == "okta user").unwrap();
    let issuer = blocks("okta").0["issuers"][0].clone();
    let with = |member: &str, value: Value| {
        let mut issuer = issuer.clone();
        issuer[member] = value;
        verdict(&token(shape), &config(issuer))
    };
    assert_eq!(with("algorithms", json!(["ES256"])), Err("token_algorithm_refused".to_owned()));
    assert_eq!(with("token_types", json!(["at+jwt"])), Err("token_type_refused".to_owned()));
    assert_eq!(with("claims", json!({"required": ["tenant"]})), Err("token_malformed".to_owned()));
    let told = with("claims", json!({"subject": ["uid"], "user_marker": ["nothing"]})).unwrap();
    assert!(told.contains("kind=\"service\"") && told.contains("subject=\"00u1ann\"") && told.contains("client=\"0oa1desk\""), "{told}");
}

#[test]
fn the_documentation_shows_these_tokens_and_configurations_that_take_them() {
    for preset in Preset::ALL.map(name) {
        let (mut documented, tokens) = blocks(&preset);
        assert!(!tokens.is_empty(), "{preset}: no token is shown");
        for token in tokens {
            assert!(shapes(&preset).any(|shape| shape["claims"] == token && shape["kind"] != "refused"), "{preset}: {token}");
        }
        documented["issuers"][0]["jwks"] = json!({"inline": {"keys": [KEY.jwk("1")]}});
        documented["agents"][0]["versions"] = json!({"1.0": {"bindings": ["http_json"]}});
        let taken = shapes(&preset).filter(|shape| verdict(&token(shape), &documented).is_ok()).count();
        assert!(taken >= 1, "{preset}: its rule admits none of the tokens");
    }
}

/// Every text in `value`, and every name of a member whose value is one of claims.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| texts(value, found)),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[test]
fn the_table_names_all_that_a_preset_fills() {
    let page = text("docs/tokens.md");
    for preset in Preset::ALL {
        let name = name(preset);
        let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("no row for {name}"));
        let line = line.replace(r"\|", "|");
        let row: Value = serde_json::from_str(preset.text()).unwrap();
        let mut found = Vec::new();
        texts(&row, &mut found);
        for text in found {
            assert!(line.contains(&text), "{name}: {text} is not in {line}");
        }
        assert_eq!(line.contains("RS256"), !row["algorithms"].is_null(), "{name}");
    }
}
