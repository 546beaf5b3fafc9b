//! Agents read with Python's `json` or Node's `JSON.parse`: each body of the corpus, and thousands made from them, mean
//! the same to both and to Attaché, or Attaché refuses them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "corpus/bodies.rs"]
#[allow(dead_code, reason = "no chunks here")]
mod bodies;
mod script;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bodies::{Dice, Rules, body, cases, verdict};
use serde_json::{Value, json};

/// What `program` reads in each of `bodies`.
fn read_by(program: &str, script: &str, bodies: &[Vec<u8>]) -> Vec<Value> {
    let lines = bodies.iter().map(|body| STANDARD.encode(body) + "\n").collect();
    let printed = script::run(program, "tests/corpus", &[script], lines);
    let answers: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), bodies.len(), "{program}");
    answers
}

#[test]
fn agents_read_what_attache_reads_or_it_refuses() {
    let written: Vec<Vec<u8>> = cases().iter().map(body).collect();
    let short: Vec<Vec<u8>> = written.iter().filter(|body| body.len() < 2000).cloned().collect();
    let mut dice = Dice(0xa2a);
    let mut all = written;
    all.extend((0..5000).map(|_| dice.mutate(&short)));
    let python = read_by("py-1.0/bin/python", "read.py", &all);
    let node = read_by("node", "read.mjs", &all);
    let rules = Rules::default();
    let (mut taken, mut disputed) = (0, 0);
    for ((body, python), node) in all.iter().zip(&python).zip(&node) {
        let verdict = verdict(&rules, [body.as_slice()].into_iter());
        if verdict.get("method").is_none() {
            disputed += usize::from(python != node);
            continue;
        }
        taken += 1;
        // A URL that is no string, or too long to be kept, is no URL here.
        let url = verdict["url"][0].as_str().filter(|url| *url != "null");
        let expected = json!({ "method": verdict["method"], "parts": verdict["parts"].as_u64().unwrap_or(0), "url": url });
        for (name, mut answer) in [("Python", python.clone()), ("Node", node.clone())] {
            if answer["url"].as_str().is_some_and(|url| url.len() > 2048) {
                answer["url"] = Value::Null;
            }
            assert_eq!(answer, expected, "{name}: {}", String::from_utf8_lossy(body));
        }
    }
    assert!(taken > 200 && disputed > 100, "{taken} taken, {disputed} read in two ways");
}
