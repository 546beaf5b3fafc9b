//! Each mistake of `tests/mistakes.json` has a place in the file, and it is the same place in whichever form the configuration stands there.

use super::{golden, here, json, root, run};
use serde_json::Value;
use std::fs;

/// The text of a case, in lines.
fn text(case: &Value, base: &Value) -> String {
    if let Some(text) = case["text"].as_str() {
        return text.to_owned();
    }
    let mut config = base.clone();
    for (pointer, value) in case["with"].as_object().unwrap() {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.remove(member)),
            value => drop(parent.insert(member.to_owned(), value.clone())),
        }
    }
    serde_json::to_string_pretty(&config).unwrap()
}

/// What was found, with line and column less than those where the configuration begins. What is said of the surroundings is left out.
fn places(document: &Value, first: u64, indent: u64, only: Option<&[(String, u64, u64)]>) -> Vec<(String, u64, u64)> {
    let findings = document["files"][0]["findings"].as_array().unwrap().iter().map(|finding| {
        let (line, column) = (finding["line"].as_u64().unwrap(), finding["column"].as_u64().unwrap());
        (finding["message"].as_str().unwrap().to_owned(), (line + 1).saturating_sub(first), column.saturating_sub(indent))
    });
    let is_same = |message: &str| only.is_none_or(|only| only.iter().any(|(other, ..)| other == message));
    let mut found: Vec<_> = findings.filter(|(message, ..)| is_same(message)).collect();
    found.sort();
    found
}

#[test]
fn every_mistake_has_a_place() {
    let document: Value = serde_json::from_str(&fs::read_to_string(root().join("tests/mistakes.json")).unwrap()).unwrap();
    let mut all = String::new();
    let (mut strings, mut objects) = (0, 0);
    for case in document["mistakes"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        // What is wrong with the value of a secret, or with the proxy, no file says.
        let is_elsewhere =
            |refused: &str| ["fewer than", "needs Envoy 1.37", "signed_jwt.key: "].iter().any(|words| refused.contains(words));
        if case["said"]["refused"].as_str().is_some_and(is_elsewhere) {
            continue;
        }
        let text = text(case, &document["base"]);
        let (said, status) = run(&here(), &["check", "-"], &text);
        assert_eq!(status == 1, case["said"]["refused"].is_string(), "{name}: {said}");
        all.push_str(&format!("## {name}\n{said}\n"));
        let plain = places(&json(&["check", "-"], &text), 1, 0, None);
        let expected = case["said"]["warned"].as_array().map_or(1, Vec::len);
        assert_eq!(plain.len(), expected, "{name}: {said}");
        if text.is_empty() || !text.starts_with('{') {
            continue;
        }
        let indented = text.lines().map(|line| format!("        {line}\n")).collect::<String>();
        let filter = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\nconfig:\n  root_id: attache\n  configuration:\n    \
                      \"@type\": type.googleapis.com/google.protobuf.StringValue\n    value: |-\n";
        let block = json(&["check", "-"], &format!("{filter}{indented}"));
        assert_eq!(places(&block, 7, 8, Some(&plain)), plain, "{name}: {block:#}");
        strings += 1;
        // What is no JSON may be YAML.
        if serde_json::from_str::<Value>(&text).is_ok() {
            let plugin = format!("kind: WasmPlugin\nspec:\n  pluginName: attache\n  pluginConfig:\n{indented}");
            let object = json(&["check", "-"], &plugin);
            let same = places(&object, 5, 8, Some(&plain));
            assert!(same == plain, "{name}: {plain:?}\n{object:#}");
            objects += 1;
        }
    }
    assert!(strings > 60 && objects > 55, "{strings} texts, {objects} objects");
    golden(&here().join("mistakes.txt"), &all);
}
