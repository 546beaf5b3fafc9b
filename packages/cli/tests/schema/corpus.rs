//! Every configuration in the project that the filter takes: of examples, documentation, golden cases, identity providers, mistakes.

use super::{faults, root, validator};
use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::Runtime;
use attache_cli::command::configurations;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The files of a folder with this ending, by name.
pub fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|own| own == ending)).collect();
    found.sort();
    found
}

/// The first configuration in a file.
pub fn first(file: &str) -> String {
    configurations(&fs::read_to_string(root().join(file)).unwrap()).into_iter().next().unwrap()
}

pub fn read(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(file)).unwrap()).unwrap()
}

/// `config` with these values at JSON pointers; `null` takes a member away.
pub fn changed(config: &Value, with: &Value) -> Value {
    let mut config = config.clone();
    for (pointer, value) in with.as_object().into_iter().flatten() {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match config.pointer_mut(parent) {
            Some(Value::Object(members)) if value.is_null() => drop(members.remove(member)),
            Some(Value::Object(members)) => drop(members.insert(member.to_owned(), value.clone())),
            Some(Value::Array(list)) => list[member.parse::<usize>().unwrap()] = value.clone(),
            _ => panic!("{pointer}"),
        }
    }
    config
}

/// Each configuration with its place, also those that the filter refuses.
fn all() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut add = |place: String, text: &str| {
        if let Ok(config) = serde_json::from_str::<Value>(text) {
            found.push((place, config));
        }
    };
    for folder in ["envoy", "envoy/istio", "packages/cli/tests/check"] {
        for path in ["yaml", "json"].iter().flat_map(|ending| files(&root().join(folder), ending)) {
            let text = fs::read_to_string(&path).unwrap();
            configurations(&text).iter().for_each(|config| add(path.display().to_string(), config));
        }
    }
    for path in files(&root().join("docs"), "md").into_iter().chain([root().join("README.md")]) {
        let text = fs::read_to_string(&path).unwrap();
        let blocks = text.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
        blocks.for_each(|block| add(path.display().to_string(), block));
    }
    let configs = read("tests/golden/configs.json");
    for (name, config) in configs.as_object().unwrap() {
        found.push((format!("configs.json: {name}"), config.clone()));
    }
    for path in files(&root().join("tests/golden"), "json").iter().filter(|path| !path.ends_with("configs.json")) {
        let cases: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for case in cases.as_array().into_iter().flatten().filter(|case| case["with"].is_object()) {
            let config = changed(&configs[case["config"].as_str().unwrap_or("inbound")], &case["with"]);
            found.push((format!("{}: {}", path.display(), case["name"]), config));
        }
    }
    for (index, shape) in read("tests/providers/shapes.json").as_array().unwrap().iter().enumerate() {
        let mut config = configs["inbound"].clone();
        let issuer = &mut config["issuers"][0];
        (issuer["preset"], issuer["tenants"]) = (shape["preset"].clone(), json!(["t-1"]));
        found.push((format!("shapes.json: {index}"), config));
    }
    let mistakes = read("tests/mistakes.json");
    for case in mistakes["mistakes"].as_array().unwrap().iter().filter(|case| case["with"].is_object()) {
        found.push((format!("mistakes.json: {}", case["name"]), changed(&mistakes["base"], &case["with"])));
    }
    found.push(("rare".to_owned(), rare()));
    found.iter_mut().for_each(|(_, config)| written(config));
    found
}

/// What no other configuration has.
fn rare() -> Value {
    let mut config = read("tests/mistakes.json")["base"].clone();
    config["issuers"][0]["actors"] = json!({});
    config["schemes"]["oauth2"]["bearer"]["certificate_bound"] = json!({});
    config["agents"][0]["push_notifications"] = json!({});
    config["agents"][0]["versions"]["1.0"]["paths"] = json!({});
    config
}

/// Takes what is not written: `null`, and the keys of golden cases, which the player of those puts in.
fn written(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(written);
        }
        Value::Array(list) => list.iter_mut().for_each(written),
        Value::String(text) if text.starts_with("the player puts key") => {
            *value = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]});
        }
        _ => {}
    }
}

/// Whether the filter starts with it.
pub fn is_taken(config: &Value) -> bool {
    let Ok(config) = Config::parse(config.to_string().as_bytes()) else { return false };
    let mut secrets = Secrets::default();
    config.secrets().keys().for_each(|name| secrets.insert(name, Some("k".repeat(40))));
    Runtime::new(config, secrets).is_ok()
}

/// Those that the filter takes.
pub fn good() -> Vec<(String, Value)> {
    let mut good = all();
    good.retain(|(_, config)| is_taken(config));
    good
}

#[test]
fn the_schema_takes_every_configuration_that_the_filter_takes() {
    let validator = validator();
    let good = good();
    for (place, config) in &good {
        let faults = faults(&validator, config);
        assert!(faults.is_empty(), "{place}: {faults:#?}\n{config}");
    }
    let from = |name: &str| good.iter().filter(|(place, _)| place.contains(name)).count();
    let counts = ["envoy/", "docs/", "README.md", "golden", "shapes.json", "mistakes.json", "istio"].map(|name| (name, from(name)));
    assert!(counts.iter().all(|(_, count)| *count > 0) && good.len() > 300, "{} in all, {counts:?}", good.len());
}

#[test]
fn a_null_is_a_line_that_was_forgotten() {
    let config = json!({"agents": [], "issuers": null});
    assert_eq!(faults(&validator(), &config).len(), 1);
}
