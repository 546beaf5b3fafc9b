//! The golden cases once more, on wasm32 itself: the rooms without a host must not lean on what that target lacks
//! (clock, randomness, threads, 64-bit sizes). `make unit` runs this under Node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "player.rs"]
mod player;

use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

fn room(cases: &str) {
    let configs: Value = serde_json::from_str(include_str!("configs.json")).unwrap();
    let cases: Value = serde_json::from_str(cases).unwrap();
    assert!(!cases.as_array().unwrap().is_empty());
    for case in cases.as_array().unwrap() {
        assert_eq!(player::play(case, &configs), case["effects"], "{}", case["name"]);
    }
}

#[wasm_bindgen_test]
fn inbound() {
    room(include_str!("inbound.json"));
}

#[wasm_bindgen_test]
fn layouts() {
    room(include_str!("layouts.json"));
}

#[wasm_bindgen_test]
fn webhooks() {
    room(include_str!("webhooks.json"));
}

#[wasm_bindgen_test]
fn tokens() {
    room(include_str!("tokens.json"));
}

#[wasm_bindgen_test]
fn providers() {
    room(include_str!("providers.json"));
}

#[wasm_bindgen_test]
fn schemes() {
    room(include_str!("schemes.json"));
}

#[wasm_bindgen_test]
fn keys() {
    room(include_str!("keys.json"));
}

#[wasm_bindgen_test]
fn policy() {
    room(include_str!("policy.json"));
}

#[wasm_bindgen_test]
fn grpc() {
    room(include_str!("grpc.json"));
}

#[wasm_bindgen_test]
fn skills() {
    room(include_str!("skills.json"));
}

#[wasm_bindgen_test]
fn task_states() {
    room(include_str!("task_states.json"));
}

#[wasm_bindgen_test]
fn tenants() {
    room(include_str!("tenants.json"));
}

#[wasm_bindgen_test]
fn cards() {
    room(include_str!("cards.json"));
}

#[wasm_bindgen_test]
fn ownership() {
    room(include_str!("ownership.json"));
}

#[wasm_bindgen_test]
fn marks() {
    room(include_str!("marks.json"));
}

#[wasm_bindgen_test]
fn names() {
    room(include_str!("names.json"));
}

#[wasm_bindgen_test]
fn outbound() {
    room(include_str!("outbound.json"));
}

#[wasm_bindgen_test]
fn steering() {
    room(include_str!("steering.json"));
}

#[wasm_bindgen_test]
fn notifications() {
    room(include_str!("notifications.json"));
}

#[wasm_bindgen_test]
fn remote_cards() {
    room(include_str!("remote_cards.json"));
}

#[wasm_bindgen_test]
fn matching() {
    room(include_str!("matching.json"));
}

#[wasm_bindgen_test]
fn record() {
    room(include_str!("record.json"));
}

#[wasm_bindgen_test]
fn media_types() {
    room(include_str!("media_types.json"));
}

#[wasm_bindgen_test]
fn leaving() {
    room(include_str!("leaving.json"));
}

#[wasm_bindgen_test]
fn remote_links() {
    room(include_str!("remote_links.json"));
}

#[wasm_bindgen_test]
fn sent_credentials() {
    room(include_str!("sent_credentials.json"));
}

#[wasm_bindgen_test]
fn push_out() {
    room(include_str!("push_out.json"));
}
