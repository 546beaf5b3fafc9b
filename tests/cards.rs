//! Cards as the official SDKs serve them, read, projected to both versions, and read again by the official SDKs. The
//! projections are files to be read by eye; `BLESS=1` writes them and the sources anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod script;

use attache::card::{Capabilities, Card, Dialect, Interface, Location, Scheme, Security, Skills, View, project};
use attache::protocol::{Binding, Version};
use attache::wire::sorted::{SortedMap, SortedSet};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const URL: &str = "https://agents.example.com/a";
const VERSIONS: [Version; 2] = [Version::V0_3, Version::V1_0];

/// Hosts and secrets of the sources, none of which may be in a projection.
const INNER: [&str; 9] =
    ["svc.cluster.local", "10.1.2.3", "internal.example", "inner.example", "plain:", ":9000", ":9001", "static-secret", "signatures"];

fn folder() -> PathBuf {
    PathBuf::from("tests/cards")
}

fn blesses() -> bool {
    std::env::var_os("BLESS").is_some()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, value: &Value) {
    fs::write(path, format!("{value:#}\n")).unwrap();
}

/// The sources by name.
fn sources() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder().join("sources")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), read(&path))).collect()
}

/// Runs a script of `tests/cards` and gives what it prints.
fn run(program: &str, arguments: &[&str], input: &Value) -> Value {
    serde_json::from_str(&script::run(program, "tests/cards", arguments, input.to_string())).unwrap()
}

const PYTHON_1_0: &str = "py-1.0/bin/python";
const PYTHON_0_3: &str = "py-0.3/bin/python";

#[test]
fn the_sources_are_what_the_sdks_serve() {
    let kept = sources();
    for (program, script) in [(PYTHON_1_0, "emit_1_0.py"), (PYTHON_0_3, "emit_0_3.py"), ("node", "emit_js.mjs")] {
        let emitted = run(program, &[script], &Value::Null);
        for (name, card) in emitted.as_object().unwrap() {
            if blesses() {
                write(&folder().join("sources").join(format!("{name}.json")), card);
            } else {
                assert_eq!(kept.get(name), Some(card), "{name}: run BLESS=1 cargo test --test cards, then again");
            }
        }
    }
}

/// Everything served and shown, and the card's own security enforced.
fn declared(card: &Card, version: Version) -> Result<Value, String> {
    let security = Security::declared(card).map_err(|error| error.to_string())?;
    let interfaces = VERSIONS
        .iter()
        .flat_map(|version| [Binding::Jsonrpc, Binding::HttpJson].map(|binding| Interface { version: *version, binding, url: URL }));
    let view = View {
        version,
        dialect: Dialect::of(version),
        public_url: URL,
        interfaces: &interfaces.collect::<Vec<_>>(),
        security: &security,
        skills: Skills::All,
        capabilities: Capabilities { streaming: true, push_notifications: true, extended_card: true },
        one_flow: false,
    };
    project(card, &view).map_err(|error| error.to_string())
}

/// HTTP+JSON in 0.3 only, no streams, one skill shown, and security that the configuration sets.
fn configured(card: &Card, version: Version) -> Result<Value, String> {
    let schemes = [("corp", Scheme::bearer()), ("key", Scheme::api_key(Location::Header, "X-API-Key")), ("mtls", Scheme::mutual_tls())];
    let need = |name: &str, scopes: &[&str]| SortedMap::from([(name.to_owned(), scopes.iter().map(|scope| (*scope).to_owned()).collect())]);
    let mut both = need("key", &[]);
    both.insert("mtls".to_owned(), Vec::new());
    let security = Security {
        schemes: schemes.map(|(name, scheme)| (name.to_owned(), scheme)).into(),
        requirements: vec![need("corp", &["agent:execute"]), both],
        skills: SortedMap::from([("submit".to_owned(), vec![need("corp", &["expense:submit"])])]),
    };
    let offered = [(Version::V0_3, Binding::HttpJson), (Version::V0_3, Binding::Jsonrpc), (Version::V1_0, Binding::Jsonrpc)];
    let view = View {
        version,
        dialect: Dialect::of(version),
        public_url: URL,
        interfaces: &offered.map(|(version, binding)| Interface { version, binding, url: URL }),
        security: &security.described_by(card),
        skills: Skills::Only(&SortedSet::from(["submit".to_owned()])),
        capabilities: Capabilities { streaming: false, push_notifications: false, extended_card: false },
        one_flow: false,
    };
    project(card, &view).map_err(|error| error.to_string())
}

/// Every projection of every source, by the name of the source, then of the view and version.
fn projections() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, source) in sources() {
        let card = Card::read(source.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut views = Map::new();
        for version in VERSIONS {
            for (view, result) in [("declared", declared(&card, version)), ("configured", configured(&card, version))] {
                let value = result.unwrap_or_else(|error| json!({ "error": error }));
                views.insert(format!("{view} {version}"), value);
            }
        }
        all.insert(name, Value::Object(views));
    }
    all
}

#[test]
fn projections_are_as_reviewed() {
    for (name, views) in projections() {
        let path = folder().join("projected").join(format!("{name}.json"));
        if blesses() {
            write(&path, &views);
        } else {
            let expected = read(&path);
            assert!(views == expected, "{name} came out otherwise (BLESS=1 rewrites):\n{views:#}");
        }
    }
}

#[test]
fn no_projection_names_an_inner_host_or_keeps_a_stale_signature() {
    for (name, views) in projections() {
        let text = views.to_string();
        for word in INNER {
            assert!(!text.contains(word), "{name} leaks {word:?}: {views:#}");
        }
    }
}

#[test]
fn what_a_projection_declares_is_what_is_enforced() {
    for (name, views) in projections() {
        for version in VERSIONS {
            let once = &views[format!("declared {version}")];
            if once.get("error").is_none() {
                let again = declared(&Card::from_value(once.clone()).unwrap(), version).unwrap();
                assert_eq!(*once, again, "{name} {version}, read as a source");
            }
        }
    }
}

/// What an SDK should have read of a projection.
fn expected(version: &str, card: &Value) -> Value {
    let list = |name: &str| card[name].as_array().cloned().unwrap_or_default();
    let skills: Vec<_> = card["skills"].as_array().unwrap().iter().map(|skill| skill["id"].clone()).collect();
    let schemes: Vec<_> = card["securitySchemes"].as_object().map(|schemes| schemes.keys().cloned().collect()).unwrap_or_default();
    let (interfaces, requirements): (Vec<Value>, Vec<Value>) = if version == "1.0" {
        let unwrapped =
            |one: &Value| one["schemes"].as_object().unwrap().iter().map(|(name, scopes)| (name.clone(), scopes["list"].clone())).collect();
        (
            list("supportedInterfaces").iter().map(|one| json!([one["url"], one["protocolBinding"]])).collect(),
            list("securityRequirements").iter().map(unwrapped).collect(),
        )
    } else {
        let others = list("additionalInterfaces");
        let others = others.iter().skip(1).map(|one| json!([one["url"], one["transport"]]));
        (std::iter::once(json!([card["url"], card["preferredTransport"]])).chain(others).collect(), list("security"))
    };
    json!({"name": card["name"], "skills": skills, "schemes": schemes as Vec<String>, "requirements": requirements, "interfaces": interfaces})
}

#[test]
fn the_sdks_read_the_projections() {
    let mut cards = Vec::new();
    for (name, views) in projections() {
        for (view, card) in views.as_object().unwrap().iter().filter(|(_, card)| card.get("error").is_none()) {
            let version = view.rsplit(' ').next().unwrap().to_owned();
            cards.push((format!("{name} {view}"), version, card.clone()));
        }
    }
    assert!(cards.len() > 20, "there are projections to read");
    for (sdk, program, arguments, own, versions) in [
        ("Python 1.0", PYTHON_1_0, vec!["read_1_0.py"], "1.0", vec!["0.3", "1.0"]),
        ("Python 0.3", PYTHON_0_3, vec!["read_0_3.py"], "0.3", vec!["0.3"]),
        ("JavaScript 1.0", "node", vec!["read_js.mjs", "1.0"], "1.0", vec!["0.3", "1.0"]),
        ("JavaScript 0.3", "node", vec!["read_js.mjs", "0.3"], "0.3", vec!["0.3"]),
    ] {
        // The 1.0 SDK for Python reads no 0.3 card with several OAuth flows in one scheme, from whomever it is.
        let readable = |name: &str, version: &str| !(sdk == "Python 1.0" && version == "0.3" && name.starts_with("python-0.3 "));
        let given: Vec<_> =
            cards.iter().filter(|(name, version, _)| versions.contains(&version.as_str()) && readable(name, version)).collect();
        let input = given.iter().map(|(_, version, card)| json!({"version": version, "card": card})).collect();
        let seen = run(program, &arguments, &input);
        for ((name, version, card), seen) in given.iter().zip(seen.as_array().unwrap()) {
            let expected = expected(version, card);
            // What an SDK of 1.0 makes of a card of 0.3 is its own affair, as long as it reads it.
            let members: &[&str] =
                if version == own { &["name", "skills", "schemes", "requirements", "interfaces"] } else { &["name", "skills"] };
            for member in members {
                assert_eq!(seen[member], expected[member], "{sdk} read {member} of {name} otherwise");
            }
        }
        assert_eq!(seen.as_array().unwrap().len(), given.len());
    }
}
