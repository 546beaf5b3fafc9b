//! What the store makes of answers that etcd gives seldom or never, and of places that look alike. Real members answer in the mesh
//! (`tests/mesh/tests/mesh/vault.rs`).

use super::request::{Lease, key, value};
use super::{CALLS, Etcd, MOST};
use crate::config::GrantStore;
use crate::flow::event::call::Call;
use crate::flow::event::value::Value;
use crate::flow::supply::vault::operation::{Done, Fault, Operation, Over, Place, Session, Step, Store, Version};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const PLACE: Place = Place::Grant { user: [1; 16], grant: [2; 16] };

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + seconds)
}

fn etcd(user: bool) -> Etcd {
    let mut settings = json!({"uri": "https://etcd.example:2379", "cluster": "etcd"});
    if user {
        settings["user"] = json!("us\"er");
        settings["password"] = json!({"secret": "p"});
    }
    let GrantStore::Etcd(config) = serde_json::from_value(json!({"etcd": settings})).unwrap() else { panic!() };
    let etcd = Etcd::new(config);
    if user {
        etcd.set_password(SecretString::from("hush\\wo\"rd"));
    }
    etcd
}

fn writing(over: Over) -> Operation {
    Operation::Write { place: PLACE, bytes: b"sealed".to_vec(), until: at(100), over }
}

fn call(step: Step) -> (Call, Box<dyn Session>) {
    match step {
        Step::Call(call, session) => (call, session),
        other => panic!("{other:?}"),
    }
}

fn done(step: Step) -> Result<Done, Fault> {
    match step {
        Step::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

fn path(call: &Call) -> &str {
    match &call.headers.iter().find(|(name, _)| name == ":path").unwrap().1 {
        Value::Text(text) => text,
        Value::Secret(_) => panic!("a path is no secret"),
    }
}

/// Plays all calls with one answer.
fn play(etcd: &Etcd, operation: Operation, status: u16, body: &str) -> (Result<Done, Fault>, usize) {
    let mut step = etcd.begin(operation, at(0));
    let mut calls = 0;
    loop {
        match step {
            Step::Call(_, session) => step = session.answered(Ok((status, body.as_bytes())), at(0)),
            Step::Wait(_) => panic!("nobody else is at work"),
            Step::Done(done) => return (done, calls),
        }
        calls += 1;
    }
}

#[test]
fn a_call_is_what_the_gateway_takes() {
    let (call, _) = call(etcd(false).begin(Operation::Read(PLACE), at(0)));
    let headers: Vec<String> = call.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    assert_eq!(
        headers,
        [
            r#":method: Text("POST")"#,
            r#":scheme: Text("https")"#,
            r#":authority: Text("etcd.example:2379")"#,
            r#":path: Text("/v3/kv/range")"#,
            r#"accept: Text("application/json")"#,
            r#"content-type: Text("application/json")"#,
        ]
    );
    // attache/g/AQEBAQEBAQEBAQEBAQEBAQ/AgICAgICAgICAgICAgICAg
    let key = "YXR0YWNoZS9nL0FRRUJBUUVCQVFFQkFRRUJBUUVCQVEvQWdJQ0FnSUNBZ0lDQWdJQ0FnSUNBZw==";
    assert!(matches!(&call.body, Some(Value::Text(body)) if *body == format!("{{\"key\":\"{key}\"}}")));
    assert_eq!((call.cluster.as_str(), call.timeout, call.most), ("etcd", Duration::from_secs(2), MOST));
}

#[test]
fn no_two_places_have_one_key() {
    let ids = [[0; 16], [1; 16], *b"g/AAAAAAAAAAAAAA", *b"////////////////", [0xff; 16]];
    let grants = ids.into_iter().flat_map(|user| ids.map(|grant| Place::Grant { user, grant }));
    let places: Vec<Place> = grants.chain(ids.map(|id| Place::Flow { id })).collect();
    let prefixes = ["a/", "a/g", "a/f/", "a"];
    let keys: BTreeSet<String> = prefixes.iter().flat_map(|prefix| places.iter().map(|place| key(prefix, place))).collect();
    assert_eq!(keys.len(), prefixes.len() * places.len());
}

#[test]
fn values_that_end_together_share_a_lease() {
    let lease = |seconds| Lease::of(at(seconds), at(0)).0;
    // at(0) ends ten minutes.
    assert!(lease(1) == lease(600) && lease(600) != lease(601) && lease(0) != lease(1));
    let number = |text: &str, prefix: &str, now| match &Lease::of(at(600), at(0)).0.grant(prefix, at(now)).body {
        Value::Text(body) => serde_json::from_str::<serde_json::Value>(body).unwrap()[text].as_str().unwrap().parse::<i64>().unwrap(),
        Value::Secret(_) => panic!("a lease is no secret"),
    };
    assert!(number("ID", "a", 0) > 0 && number("ID", "a", 0) == number("ID", "a", 500) && number("ID", "a", 0) != number("ID", "b", 0));
    assert_eq!((number("TTL", "a", 0), number("TTL", "a", 599), number("TTL", "a", 700)), (615, 16, 15));
    // Whatever somebody says, no value is kept for ever or was gone before.
    assert_eq!(Lease::of(UnixTime::END, at(0)).1, at(315_360_000));
    assert_eq!(Lease::of(UnixTime::default(), at(0)).1, at(0));
}

#[test]
fn what_is_no_answer_of_etcd_is_none() {
    let garbage = [
        "",
        "{",
        "[]",
        "null",
        "\"\"",
        "<html>",
        "{\"kvs\":7}",
        "{\"kvs\":[7,{},{\"key\":\"!\"}]}",
        "{\"succeeded\":true,\"header\":{\"revision\":7}}",
    ];
    for body in garbage {
        for operation in [Operation::Read(PLACE), writing(Over::Any), writing(Over::Absent), Operation::List { user: [1; 16] }] {
            let (done, calls) = play(&etcd(false), operation.clone(), 200, body);
            let is_nothing = matches!(&done, Ok(Done::Found(None) | Done::Conflict(None)) | Err(Fault::Unavailable(_)));
            assert!(is_nothing || done == Ok(Done::Listed(Vec::new())), "{operation:?} {body}: {done:?}");
            assert!(calls <= usize::from(CALLS));
        }
    }
    for status in [100, 204, 301, 400, 404, 429, 500, 502, 503, 504, 999] {
        for body in ["", "no healthy upstream", "{\"message\":\"\u{1b}[31m é etcdserver: no leader\"}"] {
            let (done, calls) = play(&etcd(false), writing(Over::Any), status, body);
            let Err(Fault::Unavailable(why)) = done else { panic!("{status} {body}") };
            assert!(why.starts_with(&format!("etcd: it answers {status}")) && why.is_ascii() && !why.contains('\u{1b}'), "{why}");
            // Where a member is not there, others are asked.
            assert_eq!(
                calls,
                match status {
                    502 | 503 => 3,
                    504 => 2,
                    _ => 1,
                }
            );
        }
    }
    let long = format!("{{\"error\":\"{}\"}}", "x".repeat(5000));
    assert!(matches!(play(&etcd(false), writing(Over::Any), 500, &long).0, Err(Fault::Unavailable(why)) if why.len() < 250));
}

#[test]
fn another_member_is_asked_where_one_is_gone() {
    let gone = || Ok((503, &b"upstream connect error"[..]));
    let store = etcd(true);
    let (_, session) = call(store.begin(Operation::Read(PLACE), at(0)));
    let (next, session) = call(session.answered(gone(), at(0)));
    assert_eq!(path(&next), "/v3/auth/authenticate");
    let (next, session) = call(session.answered(Ok((200, br#"{"token":"t.1"}"#)), at(0)));
    assert_eq!(path(&next), "/v3/kv/range");
    let (next, session) = call(session.answered(gone(), at(0)));
    assert_eq!(path(&next), "/v3/kv/range");
    assert_eq!(done(session.answered(Ok((200, b"{}")), at(0))), Ok(Done::Found(None)));

    // A write whose answer was lost is there already: it is found to be that. What somebody else wrote is a conflict.
    for (bytes, is_own) in [(b"sealed", true), (b"other!", false)] {
        let (_, session) = call(etcd(false).begin(writing(Over::Absent), at(0)));
        let (first, session) = call(session.answered(Ok((200, b"{}")), at(0)));
        let (second, session) = call(session.answered(Err("timeout".to_owned()), at(0)));
        let (Some(Value::Text(first)), Some(Value::Text(second))) = (&first.body, &second.body) else { panic!("no bodies") };
        assert_eq!(first, second);
        let value = value(bytes, Lease::of(at(100), at(0)).1);
        let there = json!({"responses": [{"response_range": {"kvs": [{"key": "YQ==", "value": value, "mod_revision": "7"}]}}]});
        let came = done(session.answered(Ok((200, there.to_string().as_bytes())), at(0)));
        if is_own {
            assert_eq!(came, Ok(Done::Written(Version::new(7))));
        } else {
            assert!(matches!(came, Ok(Done::Conflict(Some(_)))), "{came:?}");
        }
    }
}

#[test]
fn a_value_that_is_none_of_ours_can_be_written_over() {
    // Three bytes, where the end alone has twelve.
    let foreign = r#"{"kvs":[{"key":"YQ==","value":"YWJj","mod_revision":"7"}]}"#;
    assert_eq!(play(&etcd(false), Operation::Read(PLACE), 200, foreign).0, Ok(Done::Found(None)));
    let store = etcd(false);
    let (_, session) = call(store.begin(writing(Over::Absent), at(0)));
    let (_, session) = call(session.answered(Ok((200, b"{}")), at(0)));
    let there = r#"{"responses":[{"response_range":{"kvs":[{"key":"YQ==","value":"YWJj","mod_revision":"7"}]}}]}"#;
    let (next, session) = call(session.answered(Ok((200, there.as_bytes())), at(0)));
    assert!(matches!(&next.body, Some(Value::Text(body)) if body.contains(r#""mod_revision":"7""#)));
    // It never ends: others write there all the time.
    let (mut step, mut calls) = (Step::Call(next, session), 2);
    while let Step::Call(_, session) = step {
        step = session.answered(Ok((200, there.as_bytes())), at(0));
        calls += 1;
    }
    assert!(matches!(done(step), Err(Fault::Unavailable(why)) if why.contains("too many calls")));
    assert_eq!(calls, CALLS);
}

#[test]
fn a_token_that_is_not_taken_is_renewed_once() {
    let store = etcd(true);
    let (first, session) = call(store.begin(Operation::Read(PLACE), at(0)));
    assert_eq!(path(&first), "/v3/auth/authenticate");
    let Some(Value::Secret(body)) = &first.body else { panic!("a password is a secret") };
    let body: serde_json::Value = serde_json::from_str(body.expose_secret()).unwrap();
    assert_eq!(body, json!({"name": "us\"er", "password": "hush\\wo\"rd"}));
    let refusal: &[u8] = br#"{"error":"etcdserver: invalid auth token","code":16}"#;
    let (next, session) = call(session.answered(Ok((200, br#"{"token":"t.1"}"#)), at(0)));
    assert!(matches!(&next.headers.last().unwrap().1, Value::Secret(token) if token.expose_secret() == "t.1"));
    let (next, session) = call(session.answered(Ok((401, refusal)), at(0)));
    assert_eq!(path(&next), "/v3/auth/authenticate");
    let (next, session) = call(session.answered(Ok((200, br#"{"token":"t.2"}"#)), at(0)));
    assert_eq!(path(&next), "/v3/kv/range");
    assert!(matches!(done(session.answered(Ok((401, refusal)), at(0))), Err(Fault::Unavailable(_))));
}

#[test]
fn a_token_that_another_session_has_renewed_is_taken() {
    let store = etcd(true);
    let (_, session) = call(store.begin(Operation::Read(PLACE), at(0)));
    let (_, one) = call(session.answered(Ok((200, br#"{"token":"t.1"}"#)), at(0)));
    let (_, other) = call(store.begin(Operation::Read(PLACE), at(0)));
    let refusal: &[u8] = br#"{"message":"etcdserver: revision of auth store is old"}"#;
    let (next, one) = call(one.answered(Ok((400, refusal)), at(0)));
    assert_eq!(path(&next), "/v3/auth/authenticate");
    let Step::Wait(other) = other.answered(Ok((400, refusal)), at(0)) else { panic!("both authenticate") };
    let (next, _) = call(one.answered(Ok((200, br#"{"token":"t.2"}"#)), at(0)));
    assert_eq!(path(&next), "/v3/kv/range");
    let (next, _) = call(other.resumed(at(0)));
    assert!(matches!(&next.headers.last().unwrap().1, Value::Secret(token) if token.expose_secret() == "t.2"));
}

#[test]
fn a_session_that_is_gone_is_not_waited_for() {
    let store = etcd(true);
    drop(store.begin(Operation::Read(PLACE), at(0)));
    let Step::Wait(session) = store.begin(Operation::Read(PLACE), at(0)) else { panic!("it does not wait") };
    let Step::Wait(session) = session.resumed(at(2)) else { panic!("it does not wait") };
    assert_eq!(path(&call(session.resumed(at(3))).0), "/v3/auth/authenticate");
}

#[test]
fn a_password_that_is_refused_is_not_tried_by_all() {
    let store = etcd(true);
    let refusal: &[u8] = br#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#;
    for answer in
        [Ok((400, refusal)), Ok((200, &b"{}"[..])), Ok((200, br#"{"token":"a\nb"}"#)), Ok((200, b"no")), Err("timeout".to_owned())]
    {
        let store = etcd(true);
        let (_, session) = call(store.begin(Operation::Read(PLACE), at(0)));
        let first = done(session.answered(answer, at(0)));
        assert!(matches!(first, Err(Fault::Unavailable(_))));
        assert_eq!(done(store.begin(writing(Over::Any), at(0))), first);
        assert_eq!(path(&call(store.begin(Operation::Read(PLACE), at(1))).0), "/v3/auth/authenticate");
    }
    let (_, session) = call(store.begin(Operation::Read(PLACE), at(0)));
    assert!(done(session.answered(Ok((400, refusal)), at(0))).is_err());
    store.set_password(SecretString::from("another"));
    assert_eq!(path(&call(store.begin(Operation::Read(PLACE), at(0))).0), "/v3/auth/authenticate");
}

#[test]
fn nothing_that_is_printed_has_a_secret() {
    let store = etcd(true);
    let (first, session) = call(store.begin(writing(Over::Any), at(0)));
    let (next, session) = call(session.answered(Ok((200, br#"{"token":"s3cret.1"}"#)), at(0)));
    let printed = format!("{store:?} {first:?} {next:?} {session:?}");
    assert!(!printed.contains("hush") && !printed.contains("s3cret"), "{printed}");
}

#[test]
fn what_is_too_long_is_not_sent() {
    let operation = Operation::Write { place: PLACE, bytes: vec![0; super::MAX_VALUE_BYTES + 1], until: at(100), over: Over::Any };
    assert!(matches!(done(etcd(false).begin(operation, at(0))), Err(Fault::Unavailable(_))));
}
