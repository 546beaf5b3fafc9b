//! Bodies of gRPC calls, valid, odd and hostile, with the verdict on each: `corpus/grpc.json`, whose names say what is
//! what. `BLESS=1` rewrites the verdicts. No verdict depends on the chunks, and what is taken means the same to the
//! official SDK's protobuf classes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "corpus/bodies.rs"]
#[allow(dead_code, reason = "the bodies here are others")]
mod bodies;
mod script;

use attache::policy::fields::{metadata, watch};
use attache::policy::places::{Fact, Facts, MAX_TEXT_BYTES};
use attache::protocol::{Operation, Version, grpc};
use attache::wire::grpc_frame::{self, Body};
use attache::wire::protobuf::{Plan, Type};
use attache::wire::scan::{Keep, Kind, Limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bodies::{Case, Dice, body, read, review, review_chunks};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::rc::Rc;

const FACTS: [Fact; 9] = [
    Fact::PushConfig,
    Fact::PushUrl,
    Fact::PushCredential,
    Fact::Part,
    Fact::PartText,
    Fact::PartFile,
    Fact::PartData,
    Fact::HistoryLength,
    Fact::OutputMode,
];

/// The method of a case.
fn name(case: &Case) -> &str {
    case["method"].as_str().unwrap()
}

/// The calls of the corpus: method and body.
fn calls() -> Vec<(String, Vec<u8>)> {
    read("grpc.json").iter().map(|case| (name(case).to_owned(), body(case))).collect()
}

/// The operation behind `package/Method`.
fn method(name: &str) -> (Operation, Version) {
    let (package, method) = name.split_once('/').unwrap();
    grpc::route(&format!("/{package}.A2AService/{method}")).unwrap_or_else(|| panic!("{name} is no method"))
}

/// What is made of a body that comes in `chunks`. Empty texts count as absent, which protobuf does not tell apart.
fn verdict<'a>(name: &str, mut chunks: impl Iterator<Item = &'a [u8]>) -> Value {
    let (operation, version) = method(name);
    let mut plan = Plan::default();
    let watched = watch(&FACTS, operation, version, |path, kind, keep| plan.ask(path, kind, keep));
    let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
    let skill = sends.then(|| plan.ask(&metadata(version, "skill"), Type::Value, Keep::Text));
    let mut body = Body::new(Limits { text: MAX_TEXT_BYTES, ..Limits::default() }, Rc::new(plan));
    if let Err(fault) = chunks.try_for_each(|chunk| body.feed(chunk)).and_then(|()| body.end()) {
        assert_eq!(body.feed(b""), Err(fault), "a fault stays");
        return json!({ "refused": fault.to_string() });
    }
    assert!(watched.questions(operation).iter().all(|asked| body.is_settled(*asked)));
    let findings = |asked| body.findings(asked);
    let facts = Facts::new(&watched, operation, &findings);
    let texts = |fact| {
        let texts: BTreeSet<&str> = facts.values(fact).map(|value| value.text.as_deref().unwrap_or("too long")).collect();
        texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>()
    };
    let skill = skill.and_then(|skill| body.findings(skill).values.first()).map_or("", |value| match value.kind {
        Kind::Number => "number",
        Kind::Object => "object",
        Kind::Array => "list",
        Kind::String | Kind::Bool | Kind::Null => value.text.as_deref().unwrap_or("too long"),
    });
    let one = |fact| texts(fact).first().copied().unwrap_or_default().to_owned();
    let kinds = [("text", Fact::PartText), ("file", Fact::PartFile), ("data", Fact::PartData)];
    let kinds: Map<_, _> = kinds
        .iter()
        .map(|(kind, fact)| ((*kind).to_owned(), facts.count(*fact)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind, json!(count)))
        .collect();
    json!({
        "url": one(Fact::PushUrl), "credentials": texts(Fact::PushCredential), "modes": texts(Fact::OutputMode),
        "history": one(Fact::HistoryLength).trim_start_matches('0'), "parts": facts.count(Fact::Part), "kinds": kinds,
        "skill": skill, "inline": facts.count(Fact::PushConfig) > 0,
    })
}

#[test]
fn every_body_has_its_verdict() {
    review("grpc.json", 100, |case, chunks| verdict(name(case), chunks.iter().copied()));
}

#[test]
fn no_verdict_depends_on_the_chunks() {
    review_chunks("grpc.json", |case, chunks| verdict(name(case), chunks.iter().copied()));
}

/// Calls that no one wrote: messages of the corpus with a few changes, or their bodies.
fn changed(count: usize, seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut dice = Dice(seed);
    let all = calls();
    let short: Vec<&(String, Vec<u8>)> = all.iter().filter(|(_, body)| (5..2000).contains(&body.len())).collect();
    let mut made = Vec::new();
    for _ in 0..count {
        let (name, own) = short[dice.roll(short.len())];
        // What is put in place of something comes from calls of the same method.
        let alike: Vec<Vec<u8>> = short.iter().filter(|(other, _)| other == name).map(|(_, body)| body[5..].to_vec()).collect();
        made.push((
            name.clone(),
            if dice.roll(4) == 0 { dice.mutate(std::slice::from_ref(own)) } else { grpc_frame::wrap(&dice.mutate(&alike)).unwrap() },
        ));
    }
    made
}

#[test]
fn no_verdict_on_a_changed_body_depends_on_the_chunks() {
    let mut dice = Dice(0xc41);
    for (name, body) in changed(20_000, 0x5eed) {
        let whole = verdict(&name, [body.as_slice()].into_iter());
        let chunks = dice.cut(&body);
        assert_eq!(verdict(&name, chunks.into_iter()), whole, "{name}: {body:02x?}");
    }
}

/// What the official SDK reads in each call; null if it reads nothing.
fn read_by_python(calls: &[(String, Vec<u8>)]) -> Vec<Value> {
    let lines = calls.iter().map(|(name, message)| format!("{name} {}\n", STANDARD.encode(message))).collect();
    let printed = script::run("py-1.0/bin/python", "tests/corpus", &["read_grpc.py"], lines);
    let answers: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), calls.len());
    answers
}

#[test]
fn agents_read_what_attache_reads_or_it_refuses() {
    let mut calls = calls();
    calls.extend(changed(8000, 0xa2a));
    // A body that is not one message has none that could be read.
    let calls: Vec<_> = calls.into_iter().filter_map(|(name, body)| Some((name, grpc_frame::unwrap(&body).ok()?.to_vec()))).collect();
    let answers = read_by_python(&calls);
    let (mut taken, mut refused, mut stricter) = (0, 0, 0);
    for ((name, message), answer) in calls.iter().zip(answers) {
        let body = grpc_frame::wrap(message).unwrap();
        let verdict = verdict(name, [body.as_slice()].into_iter());
        match (verdict.get("refused"), answer) {
            (Some(_), Value::Null) => refused += 1,
            (Some(_), _) => stricter += 1,
            // The agent refuses what it cannot read, such as texts that nobody asked for and that are no UTF-8.
            (None, Value::Null) => {}
            (None, answer) => {
                let known = |value: &Value| value.as_str().is_none_or(|text| text.len() <= MAX_TEXT_BYTES);
                if known(&answer["url"]) {
                    assert_eq!(verdict, answer, "{name}: {message:02x?}");
                }
                taken += 1;
            }
        }
    }
    assert!(taken > 500 && refused > 500 && stricter > 100, "{taken} taken, {refused} refused by both, {stricter} refused here alone");
}
