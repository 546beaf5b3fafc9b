//! Bodies, valid, odd and hostile, with the verdict on each: `corpus/jsonrpc.json`, to be read by eye. `BLESS=1`
//! rewrites the verdicts. The verdict must not depend on the chunks, and memory not on the body.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "corpus/bodies.rs"]
mod bodies;

use attache::protocol::envelope::EnvelopeReader;
use attache::wire::grpc_frame::Body;
use attache::wire::protobuf;
use attache::wire::scan::{Document, Fault, Keep, Limits, Plan};
use bodies::{Dice, Rules, body, cases, review, review_chunks, verdict};
use serde_json::Value;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn every_body_has_its_verdict() {
    let rules = Rules::default();
    review("jsonrpc.json", 300, |_, chunks| verdict(&rules, chunks.iter().copied()));
}

#[test]
fn no_verdict_depends_on_the_chunks() {
    let rules = Rules::default();
    review_chunks("jsonrpc.json", |_, chunks| verdict(&rules, chunks.iter().copied()));
}

#[test]
fn no_verdict_on_a_changed_body_depends_on_the_chunks() {
    let rules = Rules::default();
    let bodies: Vec<Vec<u8>> = cases().iter().map(body).filter(|body| body.len() < 2000).collect();
    let mut dice = Dice(0x5eed);
    for _ in 0..20_000 {
        let body = dice.mutate(&bodies);
        let whole = verdict(&rules, [body.as_slice()].into_iter());
        let chunks = dice.cut(&body);
        assert_eq!(verdict(&rules, chunks.into_iter()), whole, "{}", String::from_utf8_lossy(&body));
    }
}

/// Another reader of whole documents agrees on what JSON is.
#[test]
fn what_is_json_is_what_serde_json_takes() {
    let bodies: Vec<Vec<u8>> = cases().iter().map(body).filter(|body| body.len() < 2000).collect();
    let plan = Rc::new(Plan::default());
    let mut dice = Dice(0xd1ce);
    let changed: Vec<Vec<u8>> = (0..20_000).map(|_| dice.mutate(&bodies)).collect();
    let (mut taken, mut refused) = (0, 0);
    for body in bodies.iter().chain(&changed) {
        let mut document = Document::new(Limits::default(), Rc::clone(&plan));
        let result = document.feed(body).and_then(|()| document.end());
        let shape = serde_json::from_slice::<serde::de::IgnoredAny>(body);
        let value = serde_json::from_slice::<Value>(body);
        let text = String::from_utf8_lossy(body);
        match result {
            // It does not look into strings that it ignores, and what it keeps is neither as great nor as deep as may be.
            Ok(()) => {
                let is_limit =
                    |error: &serde_json::Error| ["out of range", "recursion"].iter().any(|word| error.to_string().contains(word));
                assert!(shape.is_ok() && std::str::from_utf8(body).is_ok(), "taken: {text}");
                assert!(value.as_ref().err().is_none_or(is_limit), "taken: {text}");
                taken += 1;
            }
            Err(Fault::RepeatedName | Fault::CaseVariant | Fault::TooDeep | Fault::TooManyMembers | Fault::TooManyValues) => {}
            Err(fault) => {
                let is_nul_in_a_name = fault == Fault::ControlCharacter && body.windows(6).any(|six| six == b"\\u0000");
                assert!(shape.is_err() || value.is_err() || is_nul_in_a_name, "{fault}: {text}");
                refused += 1;
            }
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(isize::try_from(layout.size()).unwrap_or(0));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-isize::try_from(layout.size()).unwrap_or(0));
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that a reader holds while `head` comes and then `chunk` so often that it is 8 MB.
fn most_held(head: &str, chunk: &[u8]) -> isize {
    let mut reader = EnvelopeReader::new(Limits::default(), Rules::default().questions);
    let before = HELD.get();
    MOST.set(before);
    reader.feed(head.as_bytes()).unwrap();
    for _ in 0..8_000_000 / chunk.len() {
        if reader.feed(chunk).is_err() {
            break;
        }
    }
    MOST.get() - before
}

/// The same for the message of a gRPC call that begins with `head`, up to 1 MB.
fn most_held_of_grpc(head: &[u8], chunk: &[u8]) -> isize {
    let mut plan = protobuf::Plan::default();
    let part = [protobuf::Step::One(2), protobuf::Step::Each(5)];
    plan.ask(&part, protobuf::Type::Message, Keep::Kind);
    plan.ask(&[part[0].clone(), part[1].clone(), protobuf::Step::Choice(1)], protobuf::Type::Text, Keep::Text);
    plan.ask(&[protobuf::Step::Each(1)], protobuf::Type::Text, Keep::Text);
    let plan = Rc::new(plan);
    let before = HELD.get();
    MOST.set(before);
    let mut body = Body::new(Limits::default(), plan);
    body.feed(&[&[0, 0x20, 0, 0, 0], head].concat()).unwrap();
    for _ in 0..1_000_000 / chunk.len() {
        body.feed(chunk).unwrap();
    }
    MOST.get() - before
}

#[test]
fn memory_does_not_grow_with_the_body() {
    let start = r#"{"jsonrpc":"2.0","id":7,"method":"SendMessage","params":{"message":{"parts":["#;
    let block = |text: &str| text.repeat(64 * 1024 / text.len()).into_bytes();
    assert!(most_held(&format!("{start}{{\"text\":\""), &block("lorem ipsum")) < 2048);
    assert!(most_held(&format!("{start}{{\""), &block("a name without end ")) < 2048);
    assert!(most_held(start, &block("{\"text\":\"x\",\"kind\":\"text\"},")) < 2048);
    assert!(most_held(start, &block("[],-1.25e3,null,")) < 2048);
    assert!(most_held(&format!("{start}1"), &block("0")) < 2048);
    assert!(most_held(start, &block(" ")) < 2048);
    assert!(most_held_of_grpc(b"", &block("\n\u{4}text")) < 2048);
    assert!(most_held_of_grpc(b"\x0a\x80\x80\x80\x04", &block("lorem ipsum")) < 2048);
    assert!(most_held_of_grpc(b"\x12\x80\x80\x80\x04", &block("*\u{3}\n\u{1}a")) < 2048);
    // At worst: names up to the limit, long texts that differ.
    let names: String = (0..5000).map(|index| format!("\"n{index}\":1,")).collect();
    assert!(most_held(&start[..start.len() - 1], format!("{{{names}").as_bytes()) < 256 * 1024);
    let kinds: String = (0..70).map(|index| format!("{{\"kind\":\"{index}{}\"}},", "x".repeat(2000))).collect();
    assert!(most_held(start, kinds.as_bytes()) < 256 * 1024);
}
