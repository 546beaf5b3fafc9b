//! Golden cases: what each request does to the state machines, as JSON to be read by eye. `BLESS=1` rewrites what
//! the cases expect; the difference is then the thing to review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "golden/player.rs"]
mod player;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays every case of `tests/golden/<room>.json`.
fn room(name: &str) {
    let folder = Path::new("tests/golden");
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

/// Every case of every room, with its configuration changed so that each decision leaves a line, or none.
fn played(case: &Value, configs: &Value, audit: Value) -> Value {
    let mut case = case.clone();
    let with = case.as_object_mut().unwrap().entry("with").or_insert_with(|| json!({})).as_object_mut().unwrap();
    with.retain(|pointer, _| !pointer.starts_with("/audit"));
    with.insert("/audit".to_owned(), audit);
    case["record"] = json!(true);
    player::play(&case, configs)
}

/// What a record says is for the operator alone: no answer depends on whether there is one, and none has a credential in it.
#[test]
fn no_caller_reads_what_is_in_a_record_and_no_credential_is_in_one() {
    let folder = Path::new("tests/golden");
    let configs = read(&folder.join("configs.json"));
    let (mut details, mut secrets) = (0, 0);
    let rooms = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for room in rooms.filter(|path| path.extension().is_some_and(|ending| ending == "json") && !path.ends_with("configs.json")) {
        for case in read(&room).as_array().unwrap().iter().filter(|case| case["effects"].to_string().contains("deny")) {
            let is_record = |effect: &Value| effect.get("record").is_some() || effect == "counted, without a record";
            let [told, untold] = [json!({"level": "all", "filter_state": true}), json!({"level": "none"})].map(|audit| {
                let mut outcomes = played(case, &configs, audit);
                let mut records = Vec::new();
                for outcome in outcomes.as_array_mut().unwrap().iter_mut().filter_map(Value::as_array_mut) {
                    records.extend(outcome.iter().filter(|effect| is_record(effect)).cloned());
                    outcome.retain(|effect| !is_record(effect));
                }
                (outcomes, records)
            });
            assert_eq!(told.0, untold.0, "{}: {}", room.display(), case["name"]);
            let records: Vec<String> = told.1.iter().map(Value::to_string).collect();
            details += records.iter().filter(|record| record.contains("\"detail\":")).count();
            for secret in player::credentials(case) {
                secrets += 1;
                assert!(!records.iter().any(|record| record.contains(&secret)), "{}: {secret}: {records:?}", case["name"]);
            }
        }
    }
    assert!(details > 300 && secrets > 300, "{details} details, {secrets} credentials");
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
fn webhooks() {
    room("webhooks");
}

#[test]
fn audiences() {
    room("audiences");
}

#[test]
fn providers() {
    room("providers");
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
fn notifications() {
    room("notifications");
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

#[test]
fn remote_links() {
    room("remote_links");
}

#[test]
fn sent_credentials() {
    room("sent_credentials");
}

#[test]
fn push_out() {
    room("push_out");
}
