//! The schema of the configuration, held against the reader: that it takes what the reader takes and has its members and defaults, that
//! it refuses nothing else than the reader refuses, and that what is made of it is not stale. `BLESS=1` rewrites that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "schema/corpus.rs"]
mod corpus;
#[path = "schema/members.rs"]
mod members;
#[path = "schema/mistakes.rs"]
mod mistakes;
#[path = "schema/tables.rs"]
mod tables;
#[path = "schema/walk.rs"]
mod walk;

use attache::config::schema::Document;
use jsonschema::Validator;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Found when a test runs, not when it is compiled: a checkout may be a copy, with all that was built in it.
fn root() -> PathBuf {
    std::env::current_dir().unwrap().join("../..")
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares `text` with the file, or writes it there.
fn golden(file: &str, text: &str) {
    let path = root().join(file);
    if is_blessing() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{file} is stale: run `make docs`, then read the difference");
}

/// Holds documents against the schema of configurations.
fn validator() -> Validator {
    jsonschema::draft202012::new(&Document::Configuration.schema()).unwrap()
}

/// What is wrong with `config`, each fault with its place.
fn faults(validator: &Validator, config: &Value) -> Vec<String> {
    validator.iter_errors(config).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What the command prints with these arguments.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(std::env::var_os("CARGO_BIN_EXE_attache").expect("cargo says where it is")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_committed_copies_are_what_the_command_prints() {
    for (file, arguments, document) in [
        ("envoy/attache.schema.json", &["schema"][..], Document::Configuration),
        ("envoy/istio/attache.schema.json", &["schema", "--kubernetes"], Document::Kubernetes),
    ] {
        let text = printed(arguments);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, document.schema(), "order and line breaks change nothing");
        let with_json: Value = serde_json::from_str(&printed(&[&["--json"], arguments].concat())).unwrap();
        assert_eq!(read, with_json);
        golden(file, &text);
    }
}

#[test]
fn it_is_a_schema_and_nothing_in_it_is_empty() {
    for document in [Document::Configuration, Document::Kubernetes] {
        let schema = document.schema();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
        let text = schema.to_string();
        for mark in ["x-order", "x-default", ".md)", "\"null\"", "null"] {
            assert!(!text.contains(mark), "{document:?} has {mark}");
        }
    }
    // Every definition is used, and every member is explained to who looks at it in an editor.
    let schema = Document::Configuration.schema();
    let text = schema.to_string();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        assert!(text.contains(&format!("\"#/$defs/{name}\"")), "nothing refers to {name}");
        assert!(definition["description"].is_string(), "{name} is not explained");
        for (member, own) in definition["properties"].as_object().into_iter().flatten() {
            assert!(own["description"].as_str().is_some_and(|text| text.len() > 3), "{name}.{member} is not explained");
        }
    }
}

#[test]
fn resources_of_kubernetes_are_judged_by_the_configuration_in_them() {
    let validator = jsonschema::draft202012::new(&Document::Kubernetes.schema()).unwrap();
    let good: Value = serde_json::from_str(&corpus::first("envoy/istio/wasmplugin.yaml")).unwrap();
    let mut bad = good.clone();
    bad["agents"][0]["nam"] = "a".into();
    let plugin = |config: &Value| {
        serde_json::json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "a"},
        "spec": {"url": "oci://x", "pluginConfig": config}})
    };
    let policy = |config: &Value| {
        serde_json::json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy",
        "spec": {"wasm": [{"name": "attache", "config": config}]}})
    };
    let service = |config: &Value| serde_json::json!({"apiVersion": "v1", "kind": "Service", "spec": {"pluginConfig": config}});
    for (resource, is_judged) in [(plugin(&bad), true), (policy(&bad), true), (service(&bad), false)] {
        assert_eq!(validator.is_valid(&resource), !is_judged, "{resource}");
    }
    for resource in [plugin(&good), policy(&good), service(&good)] {
        assert!(validator.is_valid(&resource), "{:?}", faults(&validator, &resource));
    }
}
