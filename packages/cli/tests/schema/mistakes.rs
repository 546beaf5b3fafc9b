//! Mistakes that operators make, and which of them the schema finds. What it cannot find is in a list: rules about several members, names
//! that must exist, and limits on what a text means.

use super::corpus::{changed, read};
use super::{golden, validator};
use serde_json::Value;

const LIST: &str = "packages/cli/tests/schema/only-the-filter.txt";

#[test]
fn the_schema_finds_every_mistake_but_those_of_a_list() {
    let (document, validator) = (read("tests/mistakes.json"), validator());
    let (mut found, mut missed) = (0, Vec::new());
    for case in document["mistakes"].as_array().unwrap() {
        let config = match case["text"].as_str() {
            None => changed(&document["base"], &case["with"]),
            // What is no JSON an editor finds without a schema.
            Some(text) => match serde_json::from_str::<Value>(text) {
                Ok(config) => config,
                Err(_) => continue,
            },
        };
        let name = case["name"].as_str().unwrap();
        match (case["said"]["refused"].as_str(), validator.is_valid(&config)) {
            (Some(_), false) => found += 1,
            (Some(reason), true) => missed.push(format!("{name}\n    {}\n", reason.lines().next().unwrap_or_default())),
            (None, is_valid) => assert!(is_valid, "{name} is no mistake, and the schema refuses it"),
        }
    }
    assert!(found > 50, "{found} found, {} missed", missed.len());
    let head =
        "Mistakes of tests/mistakes.json that the filter and `attache check` refuse, and the schema cannot: BLESS=1 writes this list.\n\n";
    golden(LIST, &format!("{head}{}", missed.concat()));
}
