//! Golden cases: what each request does to the state machines, as JSON to be read by eye. `BLESS=1` rewrites what
//! the cases expect; the difference is then the thing to review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "golden/player.rs"]
mod player;

use serde_json::Value;
use std::fs;
use std::path::Path;

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays every case of `tests/golden/<room>.json`.
fn room(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let configs = read(&folder.join("configs.json"));
    let path = folder.join(format!("{name}.json"));
    let mut cases = read(&path);
    let mut wrong = Vec::new();
    let bless = std::env::var_os("BLESS").is_some();
    for case in cases.as_array_mut().unwrap() {
        println!("{}", case["name"]);
        let effects = player::play(case, &configs);
        if bless {
            case["effects"] = effects;
        } else if case["effects"] != effects {
            wrong.push(format!("{}\nexpected {:#}\ngot {effects:#}", case["name"], case["effects"]));
        }
    }
    if bless {
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&cases).unwrap())).unwrap();
    }
    assert!(wrong.is_empty(), "{} cases of {name} came out otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn inbound() {
    room("inbound");
}

#[test]
fn layouts() {
    room("layouts");
}

#[test]
fn tokens() {
    room("tokens");
}

#[test]
fn schemes() {
    room("schemes");
}

#[test]
fn keys() {
    room("keys");
}

#[test]
fn policy() {
    room("policy");
}

#[test]
fn grpc() {
    room("grpc");
}

#[test]
fn skills() {
    room("skills");
}

#[test]
fn task_states() {
    room("task_states");
}

#[test]
fn tenants() {
    room("tenants");
}

#[test]
fn cards() {
    room("cards");
}

#[test]
fn ownership() {
    room("ownership");
}

#[test]
fn marks() {
    room("marks");
}

#[test]
fn names() {
    room("names");
}

#[test]
fn outbound() {
    room("outbound");
}

#[test]
fn remote_cards() {
    room("remote_cards");
}

#[test]
fn matching() {
    room("matching");
}

#[test]
fn steering() {
    room("steering");
}

#[test]
fn record() {
    room("record");
}

#[test]
fn media_types() {
    room("media_types");
}

#[test]
fn leaving() {
    room("leaving");
}
