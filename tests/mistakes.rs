//! Mistakes that operators make, and what each of them reads: the exact message of a configuration that is refused, or the exact
//! warnings of one that is taken. `mistakes.json` has one good configuration and what is changed in it, or another text. `BLESS=1`
//! rewrites what is said; read the difference as somebody would who has only that line.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use attache::config::AssertionAlgorithm;
use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::credential::signing::Signer;
use attache::flow::Runtime;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::rc::Rc;

#[path = "golden/keys.rs"]
#[allow(dead_code, reason = "others read more of it")]
mod keys;

/// A proxy that cannot sign: Envoy before 1.37.
#[derive(Debug)]
struct Unable;

impl Signer for Unable {
    fn is_there(&self) -> bool {
        false
    }

    fn sign(&self, _: AssertionAlgorithm, _: &SecretString, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("the proxy has no foreign function sign".to_owned())
    }
}

/// The text of a case.
fn text(case: &Value, base: &Value) -> String {
    if let Some(text) = case["text"].as_str() {
        return text.to_owned();
    }
    let mut config = base.clone();
    for (pointer, value) in case["with"].as_object().unwrap() {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match (config.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")), value) {
            (Value::Object(members), Value::Null) => drop(members.remove(member)),
            (Value::Object(members), value) => drop(members.insert(member.to_owned(), value.clone())),
            (parent, _) => panic!("{pointer}: {parent}"),
        }
    }
    config.to_string()
}

/// What the log says at start, as `host::root` has it.
fn said(text: &str, case: &Value) -> Value {
    let refused = |error| json!({ "refused": Config::explain(&error, text.as_bytes()) });
    let config = match Config::parse(text.as_bytes()) {
        Ok(config) => config,
        Err(error) => return refused(error),
    };
    let mut secrets = Secrets::default();
    // A private key is made of one byte.
    let value =
        |name: &str| case["keys"][name].as_u64().map_or_else(|| "a value".to_owned(), |seed| keys::pem(u8::try_from(seed).unwrap()));
    config.secrets().keys().for_each(|name| secrets.insert(name, Some(value(name))));
    let signer: Rc<dyn Signer> = if case["without_sign"] == true { Rc::new(Unable) } else { Rc::new(keys::Es256Signer) };
    match Runtime::new(config, secrets).and_then(|runtime| runtime.signing_with(signer, text.as_bytes())) {
        Ok(runtime) => json!({ "warned": runtime.config().cautions().chain(runtime.warnings()).collect::<Vec<_>>() }),
        Err(error) => refused(error),
    }
}

/// The warnings that the documentation shows are those that operators read.
#[test]
fn warnings_are_documented_in_their_own_words() {
    let root = Path::new(".");
    let document: Value = serde_json::from_str(&fs::read_to_string(root.join("tests/mistakes.json")).unwrap()).unwrap();
    let cases = document["mistakes"].as_array().unwrap().iter();
    let said: Vec<&str> = cases.filter_map(|case| case["said"]["warned"].as_array()).flatten().filter_map(Value::as_str).collect();
    let text = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Warnings at start")).unwrap();
    let shown = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut checked = 0;
    // What depends on Envoy (`…`) the mesh holds.
    for one in shown.flat_map(|cell| cell.split('`').step_by(2)).filter(|one| !one.contains('…')) {
        let (place, words) = one.split_once(": ").unwrap_or(("", one));
        let place = place.replace("schemes.x", "schemes.spare").replace("secrets.x", "secrets.spare");
        assert!(said.iter().any(|warning| warning.contains(&place) && warning.contains(words)), "{one}");
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

#[test]
fn every_mistake_is_told_in_these_words() {
    let path = Path::new("tests/mistakes.json");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let base = document["base"].clone();
    let bless = std::env::var_os("BLESS").is_some();
    let (mut wrong, mut refused, mut warned) = (Vec::new(), 0, 0);
    for case in document["mistakes"].as_array_mut().unwrap() {
        let name = case["name"].as_str().unwrap().to_owned();
        let said = said(&text(case, &base), case);
        match name.split_once(':').map(|(kind, _)| kind) {
            Some("good") => assert_eq!(said["warned"], json!([]), "{name}"),
            Some("warned") => {
                warned += 1;
                assert!(said["warned"].as_array().is_some_and(|all| !all.is_empty()), "{name}: {said}");
            }
            _ => {
                refused += 1;
                assert!(said["refused"].is_string(), "{name} is no mistake: {said}");
            }
        }
        assert!(!said.to_string().contains("s3cret"), "{name}: {said}");
        if bless {
            case["said"] = said;
        } else if case["said"] != said {
            wrong.push(format!("{name}\nexpected {}\ngot {said}", case["said"]));
        }
    }
    if bless {
        fs::write(path, format!("{}\n", serde_json::to_string_pretty(&document).unwrap())).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused >= 50 && warned >= 10, "{refused} refused, {warned} warned");
}
