//! The golden matrix: what each operation is called in each binding and version, or why it cannot be called there.
//! `matrix.json` is read by eye; here each cell goes through the functions that classify requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::card::{CardPath, CardPaths};
use attache::protocol::{Binding, Operation, Version, grpc, http_json};
use attache::wire::sorted::SortedMap;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const BINDINGS: [Binding; 3] = [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc];
const VERSIONS: [Version; 2] = [Version::V0_3, Version::V1_0];

fn matrix() -> Value {
    serde_json::from_str(include_str!("matrix.json")).unwrap()
}

/// The key of a binding in the matrix: its name in configurations.
const fn key(binding: Binding) -> &'static str {
    match binding {
        Binding::Jsonrpc => "jsonrpc",
        Binding::HttpJson => "http_json",
        Binding::Grpc => "grpc",
    }
}

/// What `spelling` asks for, in the versions that it may belong to.
fn classify(binding: Binding, spelling: &str) -> Option<(Operation, Vec<Version>)> {
    let known = match binding {
        Binding::Jsonrpc => Operation::from_method(spelling),
        Binding::Grpc => grpc::route(spelling),
        Binding::HttpJson => {
            let (method, path) = spelling.split_once(' ').unwrap();
            let cards = CardPaths::new(&SortedMap::new(), &VERSIONS).unwrap();
            match cards.find(path).filter(|_| method == "GET") {
                Some(CardPath::Negotiated) => return Some((Operation::GetAgentCard, VERSIONS.to_vec())),
                Some(CardPath::Of(version)) => return Some((Operation::GetAgentCard, vec![version])),
                None => {}
            }
            http_json::route(method, path)
        }
    };
    known.map(|(operation, version)| (operation, vec![version]))
}

/// The place of an operation in `Operation::ALL`: a new operation does not compile until it has one.
const fn place(operation: Operation) -> usize {
    match operation {
        Operation::SendMessage => 0,
        Operation::SendStreamingMessage => 1,
        Operation::GetTask => 2,
        Operation::ListTasks => 3,
        Operation::CancelTask => 4,
        Operation::SubscribeToTask => 5,
        Operation::CreateTaskPushNotificationConfig => 6,
        Operation::GetTaskPushNotificationConfig => 7,
        Operation::ListTaskPushNotificationConfigs => 8,
        Operation::DeleteTaskPushNotificationConfig => 9,
        Operation::GetExtendedAgentCard => 10,
        Operation::GetAgentCard => 11,
    }
}

#[test]
fn every_operation_binding_and_version_has_a_cell_and_nothing_else_does() {
    let places: Vec<usize> = Operation::ALL.into_iter().map(place).collect();
    assert_eq!(places, (0..Operation::ALL.len()).collect::<Vec<_>>());
    let matrix = matrix();
    let mut shape = BTreeMap::new();
    for operation in Operation::ALL {
        let bindings: BTreeMap<_, _> = BINDINGS.map(|binding| (key(binding), VERSIONS.map(Version::as_str))).into();
        shape.insert(operation.name(), bindings);
    }
    let mut seen: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (operation, bindings) in matrix["cells"].as_object().unwrap() {
        for (binding, versions) in bindings.as_object().unwrap() {
            let versions = versions.as_object().unwrap().keys().map(String::as_str).collect();
            seen.entry(operation).or_default().insert(binding, versions);
        }
    }
    assert_eq!(json!(seen), json!(shape));
    for binding in BINDINGS {
        assert_eq!(serde_json::from_value::<Binding>(json!(key(binding))).unwrap(), binding, "the key is the configuration's name");
    }
}

#[test]
fn each_cell_is_what_the_filter_takes_it_for() {
    let matrix = matrix();
    let mut places = BTreeMap::new();
    for operation in Operation::ALL {
        for binding in BINDINGS {
            for version in VERSIONS {
                let place = format!("{} over {binding} in {version}", operation.name());
                match &matrix["cells"][operation.name()][key(binding)][version.as_str()] {
                    Value::Array(spellings) => {
                        assert!(!spellings.is_empty(), "{place}: no spelling and no reason");
                        for spelling in spellings {
                            let spelling = spelling.as_str().unwrap();
                            let (taken_for, versions) = classify(binding, spelling).unwrap_or_else(|| panic!("{place}: {spelling}"));
                            assert!(
                                taken_for == operation && versions.contains(&version),
                                "{place}: {spelling} is {taken_for:?} {versions:?}"
                            );
                            let other = places.insert((key(binding), spelling.to_owned()), operation);
                            assert!(other.is_none_or(|other| other == operation), "{place}: {spelling} is spelled twice");
                        }
                    }
                    Value::String(reason) => assert!(!reason.is_empty(), "{place}: impossible without a reason"),
                    other => panic!("{place}: {other}"),
                }
            }
        }
    }
}

#[test]
fn what_has_no_cell_is_no_operation() {
    let matrix = matrix();
    for binding in BINDINGS {
        for spelling in matrix["refused"][key(binding)].as_array().unwrap() {
            let spelling = spelling.as_str().unwrap();
            assert_eq!(classify(binding, spelling), None, "{binding}: {spelling:?}");
        }
    }
}
