//! Ids in the messages of gRPC: in each message of each method, with all its fields filled by the official SDK's classes, exactly what
//! names a task or a context gets its tag on the way out and loses it on the way in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod script;

use attache::ownership::{Answer, Keys, Owner, Party, Plans, Problem, RequestBody, Subject, Tagger, Tenant};
use attache::protocol::{Binding, Operation, Version, grpc};
use attache::wire::grpc_frame::wrap;
use attache::wire::protobuf::Fault;
use attache::wire::scan::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;
use std::rc::Rc;

/// What puts on the tags of `who`.
fn tagger(who: &str) -> Rc<Tagger> {
    let secret = SecretString::from("0123456789abcdef0123456789abcdef");
    let keys = Rc::new(Keys::new([("k", &secret)].into_iter()));
    let party = Party { origin: ("issuer", "corp"), tenant: None, subject: Some(who), client: None, is_user: true };
    let tagger = Tagger::new(keys, Owner::of("expense", &party).unwrap());
    assert!(tagger.settle(Tenant::NONE));
    Rc::new(tagger)
}

/// A message in both forms: as the agent knows it, and as ann does.
struct Message {
    operation: Operation,
    version: Version,
    known: Vec<u8>,
    shown: Vec<u8>,
}

/// All messages of requests, or of answers.
fn messages(of: &str) -> Vec<Message> {
    let ann = tagger("ann");
    let [task, context] = [(Subject::Task, "t1"), (Subject::Context, "c1")].map(|(subject, id)| ann.tagged(subject, id).unwrap());
    let page = ann.sealed("p1").unwrap();
    let arguments = ["fill_grpc.py", "t1", &task, "c1", &context, "p1", &page];
    let printed = script::run("py-1.0/bin/python", "tests/corpus", &arguments, String::new());
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages = lines.map(|line| {
        let (operation, version) = grpc::route(&format!("/{}", line["method"].as_str().unwrap())).unwrap();
        let body = |place: usize| wrap(&STANDARD.decode(line[of][place].as_str().unwrap()).unwrap()).unwrap();
        Message { operation, version, known: body(0), shown: body(1) }
    });
    messages.collect()
}

fn request(message: &Message, body: &[u8], who: &str, size: usize) -> Result<Vec<u8>, Problem> {
    let plans = Plans::new(None);
    let places = plans.request(Binding::Grpc, message.operation, message.version).unwrap();
    let mut reader = RequestBody::new(Limits::default(), Rc::clone(places), tagger(who));
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend(reader.feed(chunk)?);
    }
    reader.end().map(|()| out)
}

fn answer(message: &Message, body: &[u8], context: &str, size: usize) -> Result<Vec<u8>, Problem> {
    let plans = Plans::new(None);
    let places = plans.answer(Binding::Grpc, message.operation, message.version).unwrap();
    let context = (message.operation == Operation::ListTasks).then(|| context.to_owned());
    let streams = matches!(message.operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
    let mut reader = Answer::new(Rc::clone(places), tagger("ann"), context, streams);
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend(reader.feed(chunk)?);
    }
    reader.end().map(|()| out)
}

#[test]
fn every_id_of_a_request_loses_its_tag_and_nothing_else_changes() {
    let messages = messages("request");
    assert!(messages.len() > 70);
    for message in &messages {
        let Message { operation, version, known, shown } = message;
        assert!(shown.len() > known.len(), "{operation:?} of {version} names nothing");
        for size in [1, 7, 50, usize::MAX] {
            assert_eq!(request(message, shown, "ann", size).as_deref(), Ok(&known[..]), "{operation:?} of {version} by {size}");
        }
        for (body, who) in [(shown, "bob"), (known, "ann"), (known, "bob")] {
            assert_eq!(request(message, body, who, 11), Err(Problem::NotFound), "{operation:?} of {version} as {who}");
        }
    }
}

#[test]
fn every_id_of_an_answer_gets_its_tag_and_nothing_else_changes() {
    let messages = messages("answer");
    let mut tagged = 0;
    for message in &messages {
        let Message { operation, version, known, shown } = message;
        for size in [1, 7, 50, usize::MAX] {
            assert_eq!(answer(message, known, "c1", size).as_deref(), Ok(&shown[..]), "{operation:?} of {version} by {size}");
        }
        let twice = [&known[..], known].concat();
        let streams = matches!(operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
        let expected = if streams { Ok([&shown[..], shown].concat()) } else { Err(Problem::Message(Fault::Trailing)) };
        assert_eq!(answer(message, &twice, "c1", 100), expected, "{operation:?} of {version}");
        tagged += usize::from(known != shown);
        if *operation == Operation::ListTasks {
            assert_eq!(answer(message, known, "c2", 100), Err(Problem::Foreign));
        }
    }
    // A deletion's answer is empty.
    assert_eq!(messages.len() - tagged, 8);
}

#[test]
fn a_task_without_its_context_is_not_listed() {
    let list = |body: &[u8]| {
        let message = Message { operation: Operation::ListTasks, version: Version::V1_0, known: Vec::new(), shown: Vec::new() };
        answer(&message, &wrap(body).unwrap(), "c1", 100).map(drop)
    };
    let own = b"\x0a\x08\x0a\x02t1\x12\x02c1";
    assert_eq!(list(b""), Ok(()));
    assert_eq!(list(&[&own[..], own].concat()), Ok(()));
    for foreign in [&b"\x0a\0"[..], b"\x0a\x04\x0a\x02t2", b"\x0a\x06\x0a\x02t2\x12\0", b"\x0a\x08\x0a\x02t2\x12\x02c2"] {
        for body in [foreign.to_vec(), [&own[..], foreign].concat(), [foreign, own].concat()] {
            assert_eq!(list(&body), Err(Problem::Foreign), "{body:?}");
        }
    }
}
