//! Plays golden cases: configuration, time and events go in, effects come out as JSON that a person can read.
//! The same cases run natively (`tests/golden.rs`) and on wasm32 (`on_wasm32.rs`).
//!
//! A case is `{name, config, now, events, effects}`. Events: `headers` (a list of name and value, the value a text,
//! `{"hex": …}`, `{"token": {header, claims}}` that is signed here, or `{"push": {…}}`, a token of push configurations) with `end`; a
//! second `headers` is another request; `body` (text, `{"hex": …}`, or JSON) with `end`;
//! secrets are texts, or `{"p256": …}`, a private key made of one byte;
//! `keys` (what the JWKS endpoint answered: `good`, or a status); `card` (what the card's did: the card, or a status);
//! `fetched` (what the endpoint answered that the request waits for: a status, `with` headers and `body`); `route` (what the proxy says
//! of the route that it is asked about); `response` (the agent's status) `with` headers; `response_body`; `withheld`; `later` (seconds
//! that pass). What the desk writes to the log stands before what becomes of the request.

use attache::config::Config;
use attache::credential::push_token::{self, Keys, Party, Purpose};
use attache::credential::secrets::Secrets;
use attache::flow::supply::board::Board;
use attache::flow::supply::desk::{Arrived, Desk, Errand, With};
use attache::flow::{
    Call, Context, Effect, Event, Exchange, Interest, Level, Outcome, Part, Read, Runtime, Step, Value as HeaderValue, Want,
};
use attache::identity::Peer;
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::hex;
use attache::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::Algorithm as _;
use jwt_compact::alg::{Ed25519, SigningKey, VerifyingKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

#[path = "keys.rs"]
#[allow(dead_code, reason = "others read more of it")]
mod keys;

type Key = <Ed25519 as jwt_compact::Algorithm>::SigningKey;

/// A signing key made of one byte; `kid` is that byte in decimal.
fn key(seed: u8) -> Key {
    <Key as SigningKey<Ed25519>>::from_slice(&[seed; 32]).unwrap()
}

/// The JWK Set of the test issuer: key 1.
pub fn jwks() -> Value {
    let x = URL_SAFE_NO_PAD.encode(VerifyingKey::<Ed25519>::as_bytes(&SigningKey::<Ed25519>::to_verifying_key(&key(1))));
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": x}]})
}

fn token(spec: &Value) -> String {
    let mut header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "1"});
    merge(&mut header, &spec["header"]);
    let mut claims = json!({"iss": "https://auth.example.com", "aud": "https://expense.example.com", "sub": "ann", "client_id": "cli",
        "scope": "agent:execute", "iat": 900, "exp": 2000});
    merge(&mut claims, &spec["claims"]);
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let seed = spec["key"].as_u64().map_or(1, |seed| u8::try_from(seed).unwrap());
    let signature = Ed25519.sign(&key(seed), input.as_bytes());
    format!("Bearer {input}.{}", URL_SAFE_NO_PAD.encode(jwt_compact::AlgorithmSignature::as_bytes(&signature)))
}

/// A token as the filter puts it into push configurations: `{scheme, key, connection, subject, task, expires, nonce}`.
fn push_token(spec: &Value) -> String {
    let text = |name: &str, usual: &'static str| spec[name].as_str().unwrap_or(usual).to_owned();
    let secret = SecretString::from(text("key", PUSH_KEY));
    let party = |subject| Party { origin: ("issuer", "https://auth.example.com"), tenant: None, subject: Some(subject), client: None };
    let purpose = Purpose {
        connection: &text("connection", "partner"),
        caller: spec["subject"].as_str().map(party),
        task: spec["task"].as_str(),
        expires: UnixTime::from_secs(spec["expires"].as_u64().unwrap_or(5000)),
    };
    let nonce = [u8::try_from(spec["nonce"].as_u64().unwrap_or(1)).unwrap(); 16];
    let keys = Keys::new(std::iter::once(("k1", &secret)));
    format!("{}{}", text("scheme", ""), push_token::mint(&keys, &purpose, &nonce).unwrap().expose_secret())
}

/// The key of tokens, in the configurations of cases.
const PUSH_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Members of `changes` replace those of `base`; `null` removes one.
fn merge(base: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => base.as_object_mut().unwrap().remove(name),
            value => base.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
}

/// The bytes of a header's value.
pub fn header_value(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(spec) if spec.contains_key("push") => push_token(&spec["push"]).into_bytes(),
        Value::Object(spec) if spec.contains_key("token") => token(&spec["token"]).into_bytes(),
        Value::Object(spec) => from_hex(spec["hex"].as_str().unwrap()),
        other => panic!("no header value: {other}"),
    }
}

/// The credentials that the requests of a case carry, as far as they are long enough to tell from other text.
#[allow(dead_code, reason = "cases on wasm32 have their records compared natively")]
pub fn credentials(case: &Value) -> Vec<String> {
    let lists = case["events"].as_array().unwrap().iter().filter_map(|event| event["headers"].as_array());
    let carriers = ["authorization", "x-api-key", "cookie", "x-a2a-notification-token"];
    let values = lists.flatten().filter(|pair| carriers.contains(&pair[0].as_str().unwrap())).map(|pair| header_value(&pair[1]));
    let texts = values.filter_map(|value| String::from_utf8(value).ok());
    let parts = texts.flat_map(|text| text.split([' ', ';', '=', '.']).map(str::to_owned).collect::<Vec<_>>());
    parts.filter(|part| part.len() >= 8).collect()
}

/// The headers of an answer.
fn with(event: &Map<String, Value>) -> Headers {
    let list = event.get("with").and_then(Value::as_array).into_iter().flatten();
    Headers::new(list.map(|pair| (pair[0].as_str().unwrap().to_owned(), header_value(&pair[1]))).collect())
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a part of a body.
pub fn body(value: &Value) -> Vec<u8> {
    match (value.as_str(), value.get("hex").and_then(Value::as_str)) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(hex)) => from_hex(hex),
        (None, None) => value.to_string().into_bytes(),
    }
}

/// The certificate of a connection: `{uri, dns, subject, digest}`, the digest in hexadecimal.
fn peer(spec: &Value) -> Box<Peer> {
    let text = |name: &str| spec[name].as_str().map(str::to_owned);
    Box::new(Peer { uri: text("uri"), dns: text("dns"), subject: text("subject"), digest: text("digest").as_deref().and_then(hex::decode) })
}

/// The configuration of `case`.
pub fn configuration(case: &Value, configs: &Value) -> Value {
    let mut config = configs[case["config"].as_str().unwrap_or("inbound")].clone();
    for (pointer, value) in case["with"].as_object().into_iter().flatten() {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(member.to_owned(), value.clone());
    }
    if let Some(inline) = config.pointer_mut("/issuers/0/jwks/inline") {
        *inline = jwks();
    }
    if let Some(inline) = config.pointer_mut("/published_keys/jwks/inline").filter(|inline| inline.is_string()) {
        *inline = json!({"keys": [keys::jwk(7, "n1"), keys::jwk(8, "n0")]});
    }
    config
}

/// The filter with the configuration of `case`.
fn runtime(case: &Value, configs: &Value) -> Runtime {
    let config = configuration(case, configs);
    let mut secrets = Secrets::default();
    for (name, value) in case["secrets"].as_object().into_iter().flatten() {
        let key = value["p256"].as_u64().map(|seed| keys::pem(u8::try_from(seed).unwrap()));
        secrets.insert(name, value.as_str().map(str::to_owned).or(key));
    }
    let json = config.to_string();
    let runtime = Runtime::new(Config::parse(json.as_bytes()).unwrap(), secrets).unwrap();
    let runtime = runtime.signing_with(Rc::new(keys::Es256Signer), json.as_bytes()).unwrap();
    if case["holds"] == true {
        runtime.supply().note_hold();
    }
    let memory = Rc::new(Memory::default());
    // What makes places there.
    Desk::<()>::default().open(&[], &With { supply: runtime.supply(), board: &*memory, now: UnixTime::default() });
    runtime.remembering_on(memory)
}

/// What is seen at any worker.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Board for Memory {
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.0.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
        let mut values = self.0.borrow_mut();
        let known = values.get(name).map(|(_, version)| *version);
        let is_free = version.is_none() || version == known;
        if is_free {
            values.insert(name.to_owned(), (value.unwrap_or_default().to_vec(), known.unwrap_or_default() + 1));
        }
        is_free
    }
}

/// No other worker.
struct Alone;

impl Board for Alone {
    fn read(&self, _: &str) -> (Option<Vec<u8>>, Option<u32>) {
        (None, None)
    }

    fn write_if(&self, _: &str, _: Option<&[u8]>, _: Option<u32>) -> bool {
        true
    }
}

/// A fetch that an event tells of, and its answer.
struct Fetch {
    /// `None`: what the request waits for.
    want: Option<Want>,
    status: u64,
    body: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl Fetch {
    /// Where an event says only a status or a body, that is the answer.
    fn of(event: &Map<String, Value>) -> Option<Self> {
        let plain = |want, answer: &Value, body: String| {
            let (status, body) = answer.as_u64().map_or((200, body), |status| (status, String::new()));
            Self { want, status, body, headers: Vec::new() }
        };
        if let Some(answer) = event.get("keys") {
            return Some(plain(Some(Want::Keys(0)), answer, jwks().to_string()));
        }
        if let Some(answer) = event.get("card") {
            return Some(plain(Some(Want::Card(0)), answer, answer.to_string()));
        }
        if let Some(answer) = event.get("introspection") {
            return Some(plain(None, answer, answer.to_string()));
        }
        let status = event.get("fetched")?.as_u64().unwrap();
        let body = event.get("body").map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned)).unwrap_or_default();
        let headers = with(event).pairs().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Some(Self { want: None, status, body, headers })
    }

    /// The call that the desk makes, and what it writes to the log.
    fn play(self, want: Want, desk: &mut Desk<()>, with: &With<'_>) -> (Option<Call>, Vec<Value>) {
        let (mut errands, mut sent) = (Vec::new(), None);
        desk.fetch(want, with, &mut errands);
        if let Some(place) = errands.iter().position(|errand| matches!(errand, Errand::Send(..)))
            && let Errand::Send(_, call) = errands.remove(place)
        {
            assert!(!format!("{call:?}").contains("opaque"), "no token in {call:?}");
            let mut again = Vec::new();
            desk.fetch(want, with, &mut again);
            assert!(again.is_empty(), "one fetch at a time: {again:?}");
            let mut headers = vec![(":status".to_owned(), self.status.to_string().into_bytes())];
            headers.extend(self.headers);
            let arrived = Arrived { headers: &Headers::new(headers), body: self.body.as_bytes(), size: self.body.len() };
            errands.extend(desk.answered(want, &arrived, with));
            sent = Some(call);
        }
        let log = errands.iter().filter_map(|errand| match errand {
            Errand::Log(level, text) => Some(logged(*level, text)),
            Errand::Send(..) | Errand::Count(_) | Errand::Record(..) => None,
        });
        (sent, log.collect())
    }
}

/// Plays one case: the effects and the step of each event. Records are told in short, or as they are if the case has
/// `record`.
pub fn play(case: &Value, configs: &Value) -> Value {
    let runtime = runtime(case, configs);
    let mut outcomes: Vec<Value> = match runtime.warnings() {
        none if none.is_empty() => Vec::new(),
        warnings => vec![json!(warnings)],
    };
    let mut now = UnixTime::from_secs(case["now"].as_u64().unwrap_or(1000));
    let mut exchange = Exchange::default();
    let mut desk: Desk<()> = Desk::default();
    let mut interest = Interest::default();
    // What the proxy holds of the body.
    let mut buffer: Vec<u8> = Vec::new();
    let mut paused = true;
    for event in case["events"].as_array().unwrap() {
        let event = event.as_object().unwrap();
        let wait = interest.wait;
        let end = event.get("end").and_then(Value::as_bool).unwrap_or(false);
        let happened = if let Some(list) = event.get("headers") {
            let pairs = list.as_array().unwrap().iter().map(|pair| (pair[0].as_str().unwrap().to_owned(), header_value(&pair[1])));
            exchange = Exchange::default();
            buffer.clear();
            Event::RequestHeaders { headers: Headers::new(pairs.collect()), peer: event.get("peer").map(peer), end_of_stream: end }
        } else if let Some(part) = event.get("body").filter(|_| !event.contains_key("fetched")) {
            if !paused {
                buffer.clear();
            }
            buffer.extend(body(part));
            let size = event.get("bytes").and_then(Value::as_u64).map_or(buffer.len(), |bytes| usize::try_from(bytes).unwrap());
            // `bytes`: the part is longer, by letters that say nothing.
            buffer.resize(size, b'x');
            let part = exchange.body_came(size, end);
            part.event(read(&buffer, &part))
        } else if let Some(fetch) = Fetch::of(event) {
            let want = fetch.want.or(wait.until).expect("the request waits for something");
            let with = With { supply: runtime.supply(), board: &Alone, now };
            desk.wait(0, wait, (), now);
            let (call, log) = fetch.play(want, &mut desk, &with);
            outcomes.extend(call.filter(|_| event.contains_key("fetched")).as_ref().map(asked));
            outcomes.extend(Some(log).filter(|log| !log.is_empty()).map(Value::Array));
            if desk.next(runtime.supply()).is_none() {
                continue;
            }
            desk.rest(runtime.supply());
            Event::Settled
        } else if let Some(route) = event.get("route") {
            Event::Route(route.as_str().unwrap().as_bytes().to_vec())
        } else if let Some(status) = event.get("response") {
            Event::ResponseHeaders { status: u16::try_from(status.as_u64().unwrap()).unwrap(), end_of_stream: end, headers: with(event) }
        } else if let Some(content) = event.get("response_body") {
            if interest.response == Read::Nothing {
                outcomes.push(json!(["continue"]));
                continue;
            }
            let mut content = body(content);
            let least = event.get("bytes").and_then(Value::as_u64).map_or(0, |bytes| usize::try_from(bytes).unwrap());
            content.resize(content.len().max(least), b' ');
            Event::ResponseBody { end, content }
        } else if event.contains_key("withheld") {
            Event::BodyWithheld
        } else {
            now = now.plus(std::time::Duration::from_secs(event["later"].as_u64().unwrap()));
            continue;
        };
        let context = Context { runtime: &runtime, verifier: &Software, now };
        let settled = matches!(happened, Event::Settled);
        let mut outcome = exchange.on(happened, &context);
        // What came while it waited is told of at once.
        while settled && outcome.step == Step::Pause {
            let Some(part) = exchange.unread_body() else { break };
            let next = exchange.on(part.event(read(&buffer, &part)), &context);
            outcome.effects.extend(next.effects);
            (outcome.step, outcome.interest) = (next.step, next.interest);
        }
        paused = outcome.step == Step::Pause;
        interest = outcome.interest;
        outcomes.push(readable(&outcome, case["record"] == true, now));
    }
    Value::Array(outcomes)
}

/// The bytes of `part`.
fn read(buffer: &[u8], part: &Part) -> Vec<u8> {
    // Where nothing is to be read, what was read before may be gone.
    if part.range.is_empty() { Vec::new() } else { buffer[part.range.clone()].to_vec() }
}

/// A call to an endpoint, with its secrets: they are those of the case.
fn asked(call: &Call) -> Value {
    let text = |value: &HeaderValue| match value {
        HeaderValue::Text(text) => text.clone(),
        HeaderValue::Secret(secret) => secret.expose_secret().to_owned(),
    };
    let header = |wanted: &str| call.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| text(value)).unwrap_or_default();
    let target = format!("{} {}://{}{}", header(":method"), header(":scheme"), header(":authority"), header(":path"));
    let others = call.headers.iter().filter(|(name, _)| !name.starts_with(':') && !["accept", "content-type"].contains(&name.as_ref()));
    let others: Map<String, Value> = others.map(|(name, value)| (name.to_string(), json!(text(value)))).collect();
    json!({"call": target, "cluster": call.cluster, "headers": others, "body": call.body.as_ref().map(text)})
}

fn readable(outcome: &Outcome, record: bool, now: UnixTime) -> Value {
    let tell = |one: &Effect| match one {
        // Nothing takes a line of it: none is made.
        Effect::Audit(audit) if record && audit.log.is_none() && !audit.state => json!("counted, without a record"),
        Effect::Audit(audit) => told(&audit.line(now), record),
        other => effect(other),
    };
    let mut lines: Vec<Value> = outcome.effects.iter().map(tell).collect();
    lines.push(match outcome.step {
        Step::Pause => json!("pause"),
        Step::Continue => json!("continue"),
        Step::AskRoute(question) => json!(format!("ask the route: {question:?}")),
    });
    Value::Array(lines)
}

/// Header and claims of a JWT that was signed here for a task.
fn signed(value: &str) -> Option<Value> {
    let part = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (prefix, token) = value.split_once(' ').unwrap_or(("", value));
    let mut parts = token.split('.');
    let (header, claims) = (part(parts.next()?)?, part(parts.next()?)?);
    claims.get("taskId")?;
    Some(json!({"prefix": prefix, "header": header, "claims": claims}))
}

fn logged(level: Level, text: &str) -> Value {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    json!(format!("{level}: {text}"))
}

/// A record: the whole line, or decision and reason.
fn told(line: &str, whole: bool) -> Value {
    let record: Value = serde_json::from_str(line).unwrap();
    if whole {
        return json!({"record": record});
    }
    let reason = record["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
    json!(format!("record {}{reason}", record["decision"].as_str().unwrap()))
}

fn effect(effect: &Effect) -> Value {
    match effect {
        Effect::SetHeader(name, HeaderValue::Text(value)) => json!(format!("set {name}: {value}")),
        Effect::SetHeader(name, HeaderValue::Secret(value)) if signed(value.expose_secret()).is_some() => {
            json!({ format!("set {name}"): signed(value.expose_secret()) })
        }
        Effect::SetHeader(name, HeaderValue::Secret(_)) => json!(format!("set {name}: [redacted]")),
        Effect::RemoveHeader(name) => json!(format!("remove {name}")),
        Effect::SetState(key, value) => json!(format!("state {key}={value}")),
        Effect::SetResponseHeader(name, value) => json!(format!("response {name}: {value}")),
        Effect::AddResponseHeader(name, value) => json!(format!("response add {name}: {value}")),
        Effect::RemoveResponseHeader(name) => json!(format!("response remove {name}")),
        Effect::ReplaceRequestBody(bytes) if bytes.first() == Some(&0) => json!({"message": hex_of(bytes)}),
        Effect::ReplaceRequestBody(bytes) => json!({"body": String::from_utf8_lossy(bytes)}),
        // A message of gRPC.
        Effect::ReplaceResponseBody(bytes) if bytes.first() == Some(&0) => json!({"hex": hex_of(bytes)}),
        Effect::ReplaceResponseBody(bytes) => serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes))),
        Effect::Answer(whole) => {
            let headers: Vec<String> = whole.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let body = serde_json::from_slice(&whole.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&whole.body)));
            json!({"answer": whole.status, "headers": headers, "body": body})
        }
        Effect::ReplyHeader(name, value) => json!(format!("reply {name}: {value}")),
        Effect::Audit(_) | Effect::Note(_) => panic!("told elsewhere, or to nobody"),
        Effect::Fetch(Want::Keys(issuer)) => json!(format!("fetch keys of issuer {issuer}")),
        Effect::Fetch(Want::Introspection(_)) => json!("ask about the token"),
        Effect::Fetch(Want::Card(agent)) => json!(format!("fetch the card of agent {agent}")),
        Effect::Fetch(Want::Secret(index)) => json!(format!("fetch secret {index}")),
        Effect::Fetch(Want::Token(_)) => json!("fetch a token"),
        Effect::Fetch(Want::RemoteCard(connection)) => json!(format!("fetch the card of connection {connection}")),
        Effect::Fetch(Want::Grant(_)) => json!("fetch a grant"),
        Effect::Fetch(Want::Server(_)) => json!("fetch metadata of an authorization server"),
        Effect::Fetch(Want::Job(_)) => json!("fetch for one request"),
        Effect::CountConsent { connection, outcome } => json!(format!("count {outcome} of {connection}")),
        Effect::CountLinks { connection, outcome, count } => json!(format!("count {count} links {outcome} of {connection}")),
        Effect::CountUse { connection, method, origin } => json!(format!("count {method} of {connection} from {origin}")),
        Effect::Log(level, text) => logged(*level, text),
        Effect::Reply(reply) => {
            let mut headers: Map<String, Value> = Map::new();
            for (name, value) in &reply.headers {
                match headers.get_mut(*name) {
                    None => drop(headers.insert((*name).to_owned(), json!(value))),
                    Some(Value::Array(list)) => list.push(json!(value)),
                    Some(first) => *first = json!([first, value]),
                }
            }
            if let Some(code) = reply.grpc_status {
                return json!({"grpc-status": code, "grpc-message": reply.body});
            }
            let body: Value = match serde_json::from_str(&reply.body) {
                Ok(body) => body,
                Err(_) if reply.body.is_empty() => Value::Null,
                Err(_) => json!(reply.body),
            };
            json!({"reply": reply.status, "headers": headers, "body": body})
        }
    }
}
