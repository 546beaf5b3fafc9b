//! Cards as protocol buffers: the official SDKs' own classes write what is read here, and read what is written here. The
//! messages they write are kept in `cards/messages.json`; `BLESS=1` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod script;

use attache::card::messages::{self, Kind, Label, Message};
use attache::card::{Capabilities, Dialect, Interface, Security, Skills, View, project, protobuf};
use attache::protocol::{Binding, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const SDKS: [(Version, &str); 2] = [(Version::V1_0, "py-1.0/bin/python"), (Version::V0_3, "py-0.3/bin/python")];

/// The cards that an SDK's classes can hold.
const SOURCES: [(Version, &[&str]); 2] =
    [(Version::V1_0, &["python-1.0", "python-1.0-plain"]), (Version::V0_3, &["python-0.3", "python-0.3-plain"])];

fn folder() -> PathBuf {
    PathBuf::from("tests/cards")
}

fn json_of(path: &str) -> Value {
    let path = folder().join(path);
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `messages.py` says in the SDK of `version`.
fn run(version: Version, mode: &str, input: &Value) -> Value {
    let python = SDKS.iter().find(|(own, _)| *own == version).unwrap().1;
    serde_json::from_str(&script::run(python, "tests/cards", &["messages.py", mode], input.to_string())).unwrap()
}

/// The messages that are kept: version, name, message, ProtoJSON.
fn kept() -> Vec<(Version, String, Vec<u8>, Value)> {
    let kept = json_of("messages.json");
    let mut all = Vec::new();
    for (version, names) in SOURCES {
        for name in names {
            let one = &kept[*name];
            let message = STANDARD.decode(one["message"].as_str().unwrap()).unwrap();
            all.push((version, (*name).to_owned(), message, one["json"].clone()));
        }
    }
    all
}

#[test]
fn the_messages_are_what_the_sdks_write() {
    let mut emitted = Map::new();
    for (version, names) in SOURCES {
        let cards: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json_of(&format!("sources/{name}.json")))).collect();
        emitted.extend(run(version, "emit", &Value::Object(cards)).as_object().unwrap().clone());
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(folder().join("messages.json"), format!("{:#}\n", Value::Object(emitted))).unwrap();
    } else {
        assert_eq!(json_of("messages.json"), Value::Object(emitted), "run BLESS=1 cargo test --test card_messages, then again");
    }
}

#[test]
fn what_an_sdk_writes_is_read_and_written_the_same() {
    for (version, name, message, json) in kept() {
        let card = protobuf::read(version, &message).unwrap();
        assert_eq!(Value::Object(card.members().clone()), json, "{name}");
        assert_eq!(STANDARD.encode(protobuf::write(version, &json).unwrap()), STANDARD.encode(message), "{name}");
    }
}

/// The card that a proxy serves in place of this one.
fn projected(version: Version, message: &[u8]) -> Vec<u8> {
    let card = protobuf::read(version, message).unwrap();
    let url = "https://agents.example.com/a";
    let interfaces = [(Version::V0_3, Binding::Grpc), (Version::V1_0, Binding::Grpc), (Version::V0_3, Binding::Jsonrpc)];
    let view = View {
        version,
        dialect: Dialect::ProtoJson,
        public_url: url,
        interfaces: &interfaces.map(|(version, binding)| Interface { version, binding, url }),
        security: &Security::declared(&card).unwrap_or_default(),
        skills: Skills::All,
        capabilities: Capabilities { streaming: true, push_notifications: true, extended_card: true },
        one_flow: false,
    };
    protobuf::write(version, &project(&card, &view).unwrap()).unwrap()
}

#[test]
fn the_sdks_read_projected_cards() {
    for (version, _) in SDKS {
        let own: Vec<_> = kept().into_iter().filter(|(own, ..)| *own == version).collect();
        let written: Vec<Vec<u8>> = own.iter().map(|(_, _, message, _)| projected(version, message)).collect();
        let read = run(version, "read", &written.iter().map(|message| json!(STANDARD.encode(message))).collect());
        for (((_, name, _, source), message), read) in own.iter().zip(&written).zip(read.as_array().unwrap()) {
            assert_eq!(*read, Value::Object(protobuf::read(version, message).unwrap().members().clone()), "{name}");
            let ids =
                |card: &Value| -> Vec<Value> { card["skills"].as_array().into_iter().flatten().map(|skill| skill["id"].clone()).collect() };
            assert_eq!((&read["name"], ids(read)), (&source["name"], ids(source)), "{name}");
            let text = read.to_string();
            for inner in ["svc.cluster.local", "10.1.2.3", "internal.example", "plain:", ":9000", "signatures"] {
                assert!(!text.contains(inner), "{name} leaks {inner:?}: {text}");
            }
            // Those that are required are declared, and the other way round.
            let required = |card: &Value| {
                let list = card.get("securityRequirements").or(card.get("security")).and_then(Value::as_array).cloned().unwrap_or_default();
                list.iter().flat_map(|one| one["schemes"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()).collect::<BTreeSet<_>>()
            };
            let declared: BTreeSet<String> = read["securitySchemes"].as_object().into_iter().flat_map(Map::keys).cloned().collect();
            assert_eq!((&required(read), &declared), (&required(source), &required(source)), "{name}");
        }
    }
}

fn row(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"text": true}),
        Kind::Bool => json!({"bool": true}),
        Kind::Struct => json!({"struct": true}),
        Kind::Map(value) => json!({"map": row(*value)}),
        Kind::Message(message) => table(message),
    }
}

fn table(message: &Message) -> Value {
    let label = |field: &messages::Field| match (field.kind, field.label) {
        (Kind::Map(_), _) => "map",
        (_, Label::Plain) => "plain",
        (_, Label::Optional) => "optional",
        (_, Label::Repeated) => "repeated",
    };
    let fields = message.fields.iter().map(|field| (field.number.to_string(), json!([field.name, label(field), row(field.kind)])));
    json!({"fields": fields.collect::<Map<_, _>>(), "oneof": message.is_oneof})
}

#[test]
fn the_tables_are_what_the_sdks_classes_have() {
    for (version, _) in SDKS {
        assert_eq!(run(version, "table", &Value::Null), table(messages::card(version)), "{version}");
    }
}
