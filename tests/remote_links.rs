//! Answers of remote agents in which a task waits for credentials, in whatever parts they come: what goes on of them does not depend on the
//! parts, and nothing gets lost where links stay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::{Context, Effect, Event, Exchange, Runtime, Step};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::protobuf::Writer;
use attache::wire::time::UnixTime;
use serde_json::{Value, json};

const URL: &str = "https://login.remote.example/a?b";
const OURS: &str = "https://consent.example/consent/start?link=L";

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// What goes on, with the status; nothing if it is refused.
    body: Option<Vec<u8>>,
    counted: Vec<(&'static str, u64)>,
}

fn runtime(links: &str) -> Runtime {
    let client =
        json!({"token_endpoint": {"uri": "https://hr.example/token", "cluster": "hr"}, "client_id": "a", "authentication": {"none": {}}});
    let connection = |name: &str, credential: Value| {
        json!({"name": name, "match": {"hosts": [format!("{name}.example.com")], "path_prefix": "/"}, "version": "1.0", "pin": "none",
            "remote_links": links, "credential": credential})
    };
    let config = json!({
        "issuers": [{"name": "corp", "issuer": "https://corp.example", "audiences": ["a"], "claims": {"user_marker": ["scp"]}, "jwks": {"remote": {"uri": "https://corp.example/jwks", "cluster": "corp"}}}],
        "secrets": {"key": {"env": "KEY"}},
        "consent": {"public_url": "https://consent.example", "keys": [{"id": "k", "secret": "key"}], "store": {"memory": {}}},
        "oauth_apps": {"hr": {"issuer": "https://hr.example", "authorization_endpoint": "https://hr.example/auth", "client": client}},
        "connections": [connection("open", json!({"none": {}})),
            connection("hr", json!({"user_passthrough": {"app": "hr", "subject": {"issuers": ["corp"]}, "bind": "link"}}))]
    });
    let mut secrets = Secrets::default();
    secrets.insert("key", Some("0123456789abcdef0123456789abcdef".to_owned()));
    Runtime::new(Config::parse(config.to_string().as_bytes()).unwrap(), secrets).unwrap()
}

fn headers(list: &[(&str, &str)]) -> Headers {
    Headers::new(list.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
}

/// What becomes of `body`, the answer to a call of this kind, that comes in parts of `size`.
fn play(runtime: &Runtime, kind: &str, body: &[u8], size: usize) -> Told {
    let context = Context { runtime, verifier: &Software, now: UnixTime::from_secs(1000) };
    let mut exchange = Exchange::default();
    let path = if kind == "application/grpc" { "/lf.a2a.v1.A2AService/SendStreamingMessage" } else { "/message:stream" };
    let asked = if kind == "application/grpc" { kind } else { "application/json" };
    let head = headers(&[(":method", "POST"), (":path", path), (":authority", "open.example.com"), ("content-type", asked)]);
    let outcome = exchange.on(Event::RequestHeaders { headers: head, peer: None, end_of_stream: false }, &context);
    assert_eq!(outcome.step, Step::Continue, "{outcome:?}");
    let mut told = Told { body: Some(Vec::new()), counted: Vec::new() };
    let answer = Event::ResponseHeaders { status: 200, end_of_stream: false, headers: headers(&[("content-type", kind)]) };
    let count = body.chunks(size).count();
    let parts = body.chunks(size).enumerate();
    let events = parts.map(|(place, part)| Event::ResponseBody { end: place + 1 == count, content: part.to_vec() });
    // What comes behind the end of a document or event has no part to go on in.
    let events = events.chain([Event::ResponseBody { end: true, content: Vec::new() }]);
    for event in std::iter::once(answer).chain(events) {
        let content = if let Event::ResponseBody { content, .. } = &event { content.clone() } else { Vec::new() };
        let mut part = Some(content);
        for effect in exchange.on(event, &context).effects {
            match effect {
                Effect::ReplaceResponseBody(bytes) => part = Some(bytes),
                Effect::Answer(whole) => {
                    told.body = Some(whole.body);
                    return told;
                }
                Effect::Reply(_) => {
                    told.body = None;
                    return told;
                }
                Effect::CountLinks { outcome, count, .. } => match told.counted.iter_mut().find(|(own, _)| *own == outcome) {
                    Some((_, own)) => *own += count,
                    None => told.counted.push((outcome, count)),
                },
                _ => {}
            }
        }
        told.body.as_mut().unwrap().extend(part.take().unwrap_or_default());
    }
    told
}

/// The same whatever the parts.
#[track_caller]
fn all(runtime: &Runtime, kind: &str, body: &[u8]) -> Told {
    let whole = play(runtime, kind, body, body.len());
    for size in 1..40 {
        assert_eq!(play(runtime, kind, body, size), whole, "{} by {size}", String::from_utf8_lossy(body));
    }
    whole
}

fn task(url: &str) -> Value {
    json!({"task": {"id": "t", "status": {"state": "TASK_STATE_AUTH_REQUIRED", "message": {"parts": [{"text": format!("Open {url} now")}, {"url": url}]}}}})
}

const WORKS: &str = r#"{"statusUpdate":{"status":{"state":"TASK_STATE_WORKING","message":{"parts":[{"text":"https://docs.example"}]}}}}"#;

#[test]
fn documents_are_the_same_in_any_parts() {
    let (strip, pass) = (runtime("strip"), runtime("pass"));
    let body = |url: &str| task(url).to_string().into_bytes();
    assert_eq!(all(&strip, "application/json", &body(URL)), Told { body: Some(body("[link removed]")), counted: vec![("stripped", 2)] });
    assert_eq!(all(&pass, "application/json", &body(URL)), Told { body: Some(body(URL)), counted: vec![("passed", 2)] });
    for own in [&strip, &pass] {
        assert_eq!(all(own, "application/json", &body(OURS)), Told { body: Some(body("[link removed]")), counted: vec![("imitated", 2)] });
        assert_eq!(all(own, "application/json", WORKS.as_bytes()), Told { body: Some(WORKS.into()), counted: vec![] });
    }
    for odd in ["<html>", r#"{"task":{},"task":{}}"#, r#"{"task":"#] {
        assert_eq!(all(&strip, "application/json", odd.as_bytes()).body, None, "{odd}");
        assert_eq!(all(&pass, "application/json", odd.as_bytes()), Told { body: Some(odd.into()), counted: vec![("unread", 1)] }, "{odd}");
    }
}

#[test]
fn events_are_the_same_in_any_parts_and_with_any_line_ends() {
    let (strip, pass) = (runtime("strip"), runtime("pass"));
    for end in ["\n", "\r\n", "\r"] {
        let event = |data: &str| format!("event: message{end}data: {data}{end}{end}");
        let around =
            |data: &str| [": beat\n\n".to_owned(), event(WORKS), event(data), "data:\n\n".to_owned(), event(WORKS)].concat().into_bytes();
        let (before, after) = (task(URL).to_string(), task("[link removed]").to_string());
        let told = all(&strip, "text/event-stream", &around(&before));
        let (body, text) = (told.body.unwrap(), |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(told.counted, [("stripped", 2)]);
        let lines = |text: String| text.replace("\r\n", "\n").replace('\r', "\n").replace("\n\n\n", "\n\n");
        assert_eq!(lines(text(&body)), lines(text(&around(&after))));
        assert_eq!(all(&pass, "text/event-stream", &around(&before)), Told { body: Some(around(&before)), counted: vec![("passed", 2)] });
        // The data in several lines, with others between.
        let split = before.replace("\"status\":", &format!("{end}: beat{end}data:\"status\"{end}data: :"));
        let told = all(&strip, "text/event-stream", &around(&split));
        let body = text(&told.body.unwrap());
        assert!(!body.contains("login.remote") && body.matches("[link removed]").count() == 2, "{body}");
        // The last has no end.
        let told = all(&pass, "text/event-stream", format!("data: {before}").as_bytes());
        assert_eq!(told.body, Some(format!("data: {before}").into_bytes()));
        for odd in ["data: beat\n\n", "data: {\n\n", "data: {}\ndata: {}\n\n"] {
            assert_eq!(all(&strip, "text/event-stream", odd.as_bytes()).body, None, "{odd}");
            let told = all(&pass, "text/event-stream", &[odd.as_bytes(), &around(&before)].concat());
            assert_eq!(told, Told { body: Some([odd.as_bytes(), &around(&before)].concat()), counted: vec![("unread", 1)] });
        }
    }
}

fn inside(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(number, bytes);
    writer.end()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat()
}

fn update(state: u64, url: &str) -> Vec<u8> {
    let message = [inside(5, &inside(1, format!("Open {url} now").as_bytes())), inside(5, &inside(3, url.as_bytes()))].concat();
    let mut status = Writer::default();
    status.varint(1, state);
    status.bytes(2, &message);
    framed(&inside(3, &inside(3, &status.end())))
}

#[test]
fn messages_of_grpc_are_the_same_in_any_parts() {
    let (strip, pass) = (runtime("strip"), runtime("pass"));
    let stream = |url: &str| [update(2, URL), update(8, url), framed(&[]), update(2, OURS)].concat();
    let grpc = "application/grpc";
    assert_eq!(all(&strip, grpc, &stream(URL)), Told { body: Some(stream("[link removed]")), counted: vec![("stripped", 2)] });
    assert_eq!(all(&pass, grpc, &stream(URL)), Told { body: Some(stream(URL)), counted: vec![("passed", 2)] });
    assert_eq!(all(&pass, grpc, &stream(OURS)), Told { body: Some(stream("[link removed]")), counted: vec![("imitated", 2)] });
    for odd in [&b"\x01\0\0\0\x01x"[..], b"\0\0\0\0\x02\x1a\x09", b"\0\xff\0\0\0x"] {
        let body = [&update(2, URL), odd].concat();
        assert_eq!(all(&strip, grpc, &body).body, None, "{odd:?}");
        assert_eq!(all(&pass, grpc, &body), Told { body: Some(body.clone()), counted: vec![("unread", 1)] }, "{odd:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_or_passes() {
    let (strip, pass) = (runtime("strip"), runtime("pass"));
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(6 * 1024 * 1024));
    for (kind, body) in [("application/json", long.clone()), ("text/event-stream", format!("data: {long}\n\n"))] {
        assert_eq!(play(&strip, kind, body.as_bytes(), 1 << 20).body, None, "{kind}");
        let told = play(&pass, kind, body.as_bytes(), 1 << 20);
        let whole = told.body.unwrap();
        assert!(whole == body.as_bytes() && told.counted == [("unread", 1)], "{kind} {} {:?}", whole.len(), told.counted);
    }
}
