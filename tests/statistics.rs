//! Envoy's statistics: whatever callers send, only so many counters are made, and none has a word of a caller in its name. Every
//! example of an Envoy and the page for Istio take out every label.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::event::metric::LABELS;
use attache::flow::{Context, Effect, Event, Exchange, Runtime};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One of `list`, or in one case of six a word that nobody has said before.
    fn word(&mut self, list: &[&str]) -> String {
        let number = self.next();
        match number % 6 {
            0 => format!("wild{number:x};.;version=.=9;.;"),
            _ => list[usize::try_from(number / 6).unwrap() % list.len()].to_owned(),
        }
    }
}

/// The names of the counters of all decisions on one request, body included.
fn counters(runtime: &Runtime, random: &mut Random) -> Vec<String> {
    let method = random.word(&["GET", "POST", "POST", "DELETE"]);
    let path = format!("/{}", random.word(&["", "", "message:send", "v1/message:send", "tasks/t", "v1/card"]));
    let headers = [
        (":method", method),
        (":path", path),
        (":authority", random.word(&["one.example", "two.example", "far.example"])),
        ("a2a-version", random.word(&["1.0", "0.3", "9.9", ""])),
        ("content-type", random.word(&["application/json", "application/json", "application/grpc", "text/plain"])),
        ("accept", random.word(&["*/*", "text/event-stream"])),
        ("x-api-key", random.word(&["test", "bad"])),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let body = json!({"jsonrpc": "2.0", "id": random.word(&["1"]), "method": random.word(&["SendMessage", "message/send", "GetTask"]),
        "params": {"id": random.word(&["t"]), "message": {"messageId": "m", "role": "ROLE_USER", "parts": []}}});
    let body = body.to_string().into_bytes();

    let context = Context { runtime, verifier: &Software, now: UnixTime::from_secs(1000) };
    let mut exchange = Exchange::default();
    let begun = exchange.on(Event::RequestHeaders { headers: Headers::new(headers), peer: None, end_of_stream: false }, &context);
    let part = exchange.body_came(body.len(), true);
    let chunk = body[part.range.clone()].to_vec();
    let ended = exchange.on(part.event(chunk), &context);
    let effects = begun.effects.into_iter().chain(ended.effects);
    effects
        .filter_map(|effect| if let Effect::Audit(record) = effect { Some(record.count().counter(runtime.config())) } else { None })
        .collect()
}

#[test]
fn callers_cannot_make_more_counters_than_the_configuration_has_values_for() {
    // printf test | sha256sum
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let agent = |name: &str, host: &str| {
        json!({"name": name, "match": {"hosts": [host], "path_prefix": "/"}, "default_version": "0.3", "security": [{"key": []}],
            "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}, "0.3": {"bindings": ["jsonrpc", "http_json"]}}})
    };
    let config = json!({
        "schemes": {"key": {"api_key": {"in": "header", "name": "x-api-key", "keys": [{"id": "me", "sha256": digest}]}}},
        "agents": [agent("one", "one.example"), agent("two", "two.example")],
        "connections": [{"name": "far", "match": {"hosts": ["far.example"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
            "credential": {"none": {}}}],
    });
    let runtime = Runtime::new(Config::parse(config.to_string().as_bytes()).unwrap(), Secrets::default()).unwrap();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut after = |count: usize, names: &mut BTreeSet<String>| {
        for _ in 0..count {
            names.extend(counters(&runtime, &mut random));
        }
        names.len()
    };
    let mut names = BTreeSet::new();
    let few = after(5_000, &mut names);
    let many = after(5_000, &mut names);
    // The words of callers double with their requests, counters do not.
    assert!(few > 50 && many < 400 && many < few + few / 5, "{few} counters, then {many}");
    for name in &names {
        let labels = name.strip_prefix("attache_decisions.").and_then(|rest| rest.strip_suffix(";.;total")).unwrap();
        let labels: Vec<(&str, &str)> = labels.split(";.;").map(|label| label.split_once("=.=").unwrap()).collect();
        let [(place, target), rest @ ..] = &labels[..] else { panic!("{name}") };
        assert!(["agent", "connection"].contains(place) && ["one", "two", "far", "none"].contains(target), "{name}");
        assert_eq!(rest.iter().map(|(label, _)| *label).collect::<Vec<_>>(), ["version", "binding", "operation", "decision", "reason"]);
        assert!(!name.contains("wild"), "{name}");
    }
    let has = |what: &str| assert!(names.iter().any(|name| name.contains(what)), "no {what} in {names:?}");
    ["=one;", "=two;", "=far;", "=1.0;", "=0.3;", "=jsonrpc;", "=http_json;", "=allow;", "=deny;", "=SendMessage;"]
        .into_iter()
        .for_each(has);
}

fn read(name: &str) -> String {
    fs::read_to_string(name).unwrap()
}

#[test]
fn every_example_takes_out_every_label() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new("envoy")).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
        if text.contains("static_resources:") {
            seen += 1;
            for label in LABELS {
                let tag = format!(r"- {{tag_name: {label}, regex: '({label}=\.=(.*?);\.;)'}}");
                assert!(text.contains(&tag), "{}: no {tag}", path.display());
            }
        }
    }
    assert!(seen >= 6, "{seen}");
    let all = format!("sidecar.istio.io/extraStatTags: {}", LABELS.join(","));
    assert!(read("docs/istio.md").contains(&all), "docs/istio.md: no {all}");
    let records = read("docs/records.md");
    for label in LABELS {
        assert!(records.contains(&format!("`{label}`")), "docs/records.md does not name {label}");
    }
}
