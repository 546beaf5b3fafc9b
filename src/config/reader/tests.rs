//! What the reader says of thousands of broken configurations, beside what `serde_path_to_error` says of them.

use super::{place, read};
use crate::config::{Config, ConfigError};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The configurations of the golden cases: together they have every member.
fn configurations() -> Vec<Value> {
    let path = Path::new("../../tests/golden/configs.json");
    let all: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    all.as_object().unwrap().values().cloned().collect()
}

fn oracle(json: &[u8]) -> Result<Config, ConfigError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let config = serde_path_to_error::deserialize(&mut reader).map_err(|error: serde_path_to_error::Error<_>| {
        let path = error.path().to_string();
        ConfigError::from_json(if path == "." { "" } else { &path }, error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| ConfigError::new("", error.to_string()))?;
    Ok(config)
}

/// Compares what is said of `json`; true where it is refused.
fn says_the_same(json: &str) -> bool {
    let (own, other) = (read::<Config>(json.as_bytes()), oracle(json.as_bytes()));
    match (own, other) {
        (Err(own), Ok(_)) => {
            assert!(own.to_string().contains("invalid type: sequence, expected struct "), "{own}: {json}");
            true
        }
        (Ok(own), Ok(other)) => {
            assert_eq!(format!("{own:?}"), format!("{other:?}"), "{json}");
            false
        }
        (own, other) => {
            let [own, other] = [own.err(), other.err()].map(|error| error.map_or_else(String::new, |error| error.to_string()));
            // It takes a list for an object with fixed members.
            if own.contains("invalid type: sequence, expected struct ") {
                return true;
            }
            // It has no name for keys that are no strings in Rust; the reader has.
            match other.split_once(".?") {
                Some((path, reason)) => assert!(own.starts_with(&format!("{path}.")) && own.ends_with(reason), "{json}: {own}, {other}"),
                None => assert_eq!(own, other, "{json}"),
            }
            true
        }
    }
}

fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            pointers(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
        }),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, element)| pointers(element, &format!("{at}/{index}"), all)),
        _ => {}
    }
}

#[test]
fn errors_name_the_same_place_in_the_same_words() {
    let odd = [
        json!(null),
        json!(true),
        json!(5),
        json!(-1),
        json!(1e300),
        json!(1.5),
        json!(""),
        json!("x y"),
        json!("a\"b\\"),
        json!([]),
        json!({}),
        json!([1]),
        json!([[], {}]),
        json!({"x": 1}),
        json!({"jwks": {}}),
        json!({"remote": 5, "x": []}),
    ];
    let (mut refused, mut taken) = (0, 0);
    let mut say = |json: &Value| {
        let text = if (refused + taken) % 3 == 0 { format!("\n{json:#} \n") } else { json.to_string() };
        *(if says_the_same(&text) { &mut refused } else { &mut taken }) += 1;
    };
    for config in configurations() {
        say(&config);
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        for (turn, pointer) in all.into_iter().enumerate() {
            // Each place gets four of them; places that are alike get all.
            for value in odd.iter().cycle().skip(turn * 4 % odd.len()).take(4) {
                let mut broken = config.clone();
                *broken.pointer_mut(&pointer).unwrap() = value.clone();
                say(&broken);
            }
            let names: Vec<String> =
                config.pointer(&pointer).unwrap().as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
            for name in names {
                let mut broken = config.clone();
                let object = broken.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
                let member = object.remove(&name).unwrap();
                say(&broken);
                let object = broken.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
                object.insert(format!("{name}s"), member);
                say(&broken);
            }
        }
    }
    assert!(refused > 1500 && taken > 200, "{refused} refused, {taken} taken");
}

#[test]
fn members_that_repeat_and_strings_that_are_none_are_told_alike() {
    for json in [
        r#"{"agents": [], "agents": []}"#,
        r#"{"agents": [], "agents" : 5}"#,
        r#"{"schemes": {"a": {"none": {}}, "a": {"none": {}}}}"#,
        r#"{"agents": [{"name": "a\ud800"}]}"#,
        r#"{"agents": [{"name": 1e999}]}"#,
        r#"{"agents": [{"match": {"hosts": ["a b"]}}]}"#,
        r#"{"agents": [{"match": {"hosts": ["a b"] , "path_prefix": "/"}}]}"#,
        r#"{"connections": [{"credential": {}}]}"#,
        r#"{"connections": [{"credential": 5}]}"#,
        r#"{"connections": [{"credential": "header"}]}"#,
        r#"{"connections": [{"credential": {"header": {"name": "a"}, "x": 1}}]}"#,
        r#"{"max_path_bytes": -0}"#,
        r#"{"max_path_bytes": 18446744073709551616}"#,
        r#"[1, 2]"#,
        "5",
        "\"text\"",
        "null",
    ] {
        assert!(says_the_same(json), "{json}");
    }
}

#[test]
fn broken_syntax_has_a_place() {
    for (json, error) in [
        (r#"{"agents": [{"name": tru}]}"#, "agents[0].name: expected ident at line 1 column 25"),
        (
            "{\"agents\": [{},\n {\"name\": \"a\n\"}]}",
            "agents[1].name: control character (\\u0000-\\u001F) found while parsing a string at line 2 column 12",
        ),
        (r#"{"agents": []} x"#, "trailing characters at line 1 column 16"),
        (r#"{"agents": [{"match": {"hosts": ["a", "#, "agents[0].match.hosts[1]: EOF while parsing a value at line 1 column 38"),
        ("", "EOF while parsing a value at line 1 column 0"),
    ] {
        assert_eq!(read::<Config>(json.as_bytes()).err().map(|error| error.to_string()).as_deref(), Some(error), "{json}");
    }
    assert_eq!(place(br#"{"a": {"b": 1}, "c": [{"d": "e:,{", "f": 2}, "#), "c[1]");
}

#[test]
fn depth_is_bounded() {
    let deep = format!(r#"{{"agents": [{{"card": {{"source": {{"inline": {}{}}}}}}}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let error = read::<Config>(deep.as_bytes()).err().map(|error| error.to_string()).unwrap();
    assert!(error.starts_with("agents[0].card.source.inline[0][0]") && error.contains("recursion limit exceeded"), "{error:.200}");
}
