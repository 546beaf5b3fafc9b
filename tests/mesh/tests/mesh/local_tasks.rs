//! Tasks that the filter answers for itself, as the official SDKs' clients read them: a server gives them what the filter renders, and
//! nothing else. Over gRPC its answers have the form in which Envoy sends a refusal: headers alone.

use std::convert::Infallible;

use anyhow::{Context, Result, ensure};
use attache::flow::Reply;
use attache::flow::event::reason::Reason;
use attache::flow::refusal::denial::{Consent, Denial};
use attache::flow::refusal::local_task::{LocalState, LocalTask};
use attache::ownership::{Bound, LocalId, Naming, Subject};
use attache::protocol::envelope::{self, Id};
use attache::protocol::{Binding, Operation, Version, grpc, http_json};
use attache::wire::time::UnixTime;
use attache_mesh::peer::Sdk;
use bytes::{Bytes, BytesMut};
use hmac::{Hmac, Mac};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::suite::Suite;

const LINK: &str = "https://consent.example.com/consent/start?link=AAECAwQF-_";
const TEXT: &str =
    "Before this agent answers, \"sign in\" and agree:\nhttps://consent.example.com/consent/start?link=AAECAwQF-_ (für dich)";
const EXPIRES: &str = "2030-01-02T03:04:05.000000Z";
const TIME: UnixTime = UnixTime::from_secs(1_893_553_445);
const CALLER: [u8; 32] = [7; 32];

/// What a task of ours can be, and how all clients report it. Its id says which of them it is.
const STATES: [(LocalState, &str); 5] = [
    (LocalState::AuthRequired, "auth-required"),
    (LocalState::InputRequired, "input-required"),
    (LocalState::Rejected, "rejected"),
    (LocalState::Failed, "failed"),
    (LocalState::Canceled, "canceled"),
];

fn mac(parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a key for this test").expect("any length is one");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn bound(subject: Subject) -> Bound<'static> {
    Bound { subject, caller: &CALLER, connection: "hr" }
}

/// An id of the task or context that is in this state.
fn id_of(subject: Subject, state: u8) -> String {
    LocalId::new(&bound(subject), &[state; 16], TIME, &mac).text()
}

/// What is asked, of the whole request.
struct Asked {
    binding: Binding,
    version: Version,
    operation: Operation,
    id: Id,
}

fn asked(method: &str, path: &str, body: &[u8]) -> Option<(Asked, String)> {
    if let Some((operation, version)) = grpc::route(path) {
        return Some((Asked { binding: Binding::Grpc, version, operation, id: Id::default() }, String::new()));
    }
    let route = path.get(4..).filter(|_| path.starts_with("/1.0") || path.starts_with("/0.3"))?;
    if matches!(route, "" | "/") {
        let envelope = envelope::parse(body).ok()?;
        let (operation, version) = Operation::from_method(&envelope.method)?;
        return Some((Asked { binding: Binding::Jsonrpc, version, operation, id: envelope.id }, String::new()));
    }
    let (operation, version) = http_json::route(method, route)?;
    Some((Asked { binding: Binding::HttpJson, version, operation, id: Id::default() }, route.to_owned()))
}

/// What the filter says: the task, or that it is none of the caller's.
fn answer(asked: &Asked, route: &str, body: &[u8], challenges: bool) -> Reply {
    let render = |denial: Denial| {
        let streams = matches!(asked.operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
        let denial = denial.for_version(asked.version).for_events(streams && asked.version == Version::V0_3).at("hr");
        denial.render(Some(asked.binding), &asked.id)
    };
    let named = match Naming::default().named((asked.binding, asked.operation, asked.version), route, body) {
        Ok(named) => named,
        Err(problem) => return render(Denial::new(Reason::RequestMalformed).advise(problem.to_string())),
    };
    let consent = Consent { link: LINK.to_owned(), expires_at: EXPIRES.to_owned(), ..Consent::default() };
    let begins = matches!(asked.operation, Operation::SendMessage | Operation::SendStreamingMessage);
    if challenges {
        return render(Denial::until_agreed(consent));
    }
    let own = named
        .task
        .as_deref()
        .and_then(LocalId::parse)
        .filter(|id| id.is_for(&bound(Subject::Task), &|parts, half| mac(parts).starts_with(half)));
    let index = match (own, begins) {
        (Some(_), _) if asked.operation == Operation::CancelTask => 4,
        (Some(id), _) => id.flow()[0],
        (None, true) => 0,
        (None, false) => return render(Denial::new(Reason::TaskNotFound)),
    };
    let (task, context) = (id_of(Subject::Task, index), id_of(Subject::Context, index));
    let state = STATES[usize::from(index)].0;
    let data = json!({"issued_by": "attache", "connection": "hr", "link": LINK, "expires_at": EXPIRES, "scopes": ["tasks.read"]});
    let data = data.as_object().cloned();
    let local = LocalTask { id: &task, context: &context, state, text: TEXT, data, time: TIME, consent: Some(consent) };
    local.answer(asked.operation, asked.binding, asked.version, &asked.id).unwrap_or_else(render)
}

/// The server, until it is dropped. Below `/1.0` and `/0.3` it is an agent of that version; its gRPC is at a port of its own.
struct Server {
    port: u16,
    grpc_port: u16,
    accepting: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    async fn start(challenges: bool) -> Result<Self> {
        let (http, over_grpc) = (TcpListener::bind(("127.0.0.1", 0)).await?, TcpListener::bind(("127.0.0.1", 0)).await?);
        let (port, grpc_port) = (http.local_addr()?.port(), over_grpc.local_addr()?.port());
        let http = tokio::spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                tokio::spawn(async move {
                    let service = service_fn(move |request| exchange(request, port, challenges));
                    // A client that leaves is no fault.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let over_grpc = tokio::spawn(async move {
            while let Ok((stream, _)) = over_grpc.accept().await {
                tokio::spawn(calls(stream, challenges));
            }
        });
        Ok(Self { port, grpc_port, accepting: [http, over_grpc] })
    }

    fn url(&self, sdk: Sdk) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, sdk.version())
    }
}

fn card(version: &str, port: u16) -> Value {
    let url = format!("http://127.0.0.1:{port}/{version}");
    let common = json!({"name": "HR", "description": "A partner's agent.", "version": "1", "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"], "capabilities": {"streaming": true, "pushNotifications": true}, "skills": []});
    let own = if version == "1.0" {
        let bindings = ["JSONRPC", "HTTP+JSON"];
        json!({"supportedInterfaces": bindings.map(|binding| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}))})
    } else {
        let others = ["JSONRPC", "HTTP+JSON"].map(|transport| json!({"url": url, "transport": transport}));
        json!({"protocolVersion": "0.3.0", "url": url, "preferredTransport": "JSONRPC", "additionalInterfaces": others})
    };
    let all = [common, own].into_iter().filter_map(|part| part.as_object().cloned()).flatten();
    Value::Object(all.collect())
}

async fn exchange(request: Request<Incoming>, port: u16, challenges: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path();
    if let Some(version) = path.strip_suffix("/.well-known/agent-card.json") {
        let card = card(version.trim_start_matches('/'), port).to_string();
        return Ok(Response::builder().header("content-type", "application/json").body(Full::from(card)).unwrap_or_default());
    }
    let reply = asked(head.method.as_str(), path, &body).map(|(asked, route)| answer(&asked, &route, &body, challenges));
    let response = match reply {
        Some(reply) => {
            let response = Response::builder().status(reply.status);
            let response = reply.headers.iter().fold(response, |response, (name, value)| response.header(*name, value));
            response.body(Full::from(reply.body))
        }
        None => Response::builder().status(404).body(Full::default()),
    };
    Ok(response.unwrap_or_default())
}

async fn calls(stream: TcpStream, challenges: bool) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, mut respond) = call?;
        tokio::spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let mut body = BytesMut::new();
            while let Some(data) = incoming.data().await {
                let data = data?;
                incoming.flow_control().release_capacity(data.len())?;
                body.extend_from_slice(&data);
            }
            let (asked, route) = asked("POST", head.uri.path(), &body).context("no method of A2A")?;
            let reply = answer(&asked, &route, &body, challenges);
            let mut response = Response::builder().header("content-type", "application/grpc");
            response = response.header("grpc-status", u16::from(reply.grpc_status.context("it is no answer of gRPC")?));
            response = response.header("grpc-message", escaped(&reply.body));
            response = reply.headers.iter().fold(response, |response, (name, value)| response.header(*name, value));
            respond.send_response(response.body(())?, true)?;
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// As Envoy writes `grpc-message`.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| if matches!(byte, b' '..=b'~') && byte != b'%' { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// What a client read of a task: that it is ours, in this state, and says all that there is to say.
fn is_told(read: &Value, index: u8, place: &str) -> Result<()> {
    let (state, task) = (STATES[usize::from(index)].1, id_of(Subject::Task, index));
    ensure!(read["state"] == state && read["task"] == task.as_str(), "{place}: {read}");
    let told = read["answer"].to_string();
    let link = json!(LINK).to_string();
    for wanted in [json!(TEXT).to_string(), link, json!(id_of(Subject::Context, index)).to_string(), "\"tasks.read\"".into()] {
        ensure!(told.contains(&wanted), "{place}: no {wanted} in {told}");
    }
    // A text, and something for programs.
    ensure!(told.matches(LINK).count() == 2, "{place}: {told}");
    Ok(())
}

async fn read(sdk: Sdk, binding: &str) -> Result<()> {
    let server = Server::start(false).await?;
    let ids: Vec<String> = (0..5).map(|index| id_of(Subject::Task, index)).collect();
    let stranger = LocalId::new(&Bound { caller: &[8; 32], ..bound(Subject::Task) }, &[0; 16], TIME, &mac).text();
    let mut tries = vec![json!({"op": "send"}), json!({"op": "stream"})];
    tries.extend(ids.iter().map(|id| json!({"op": "get", "task": id})));
    tries.extend(["cancel", "subscribe", "push_set", "push_get"].map(|op| json!({"op": op, "task": ids[0]})));
    tries.extend(["get", "cancel", "subscribe"].map(|op| json!({"op": op, "task": stranger})));
    let line = sdk.try_all(&server.url(sdk), "t", binding, &Value::from(tries.clone()).to_string()).await?;
    let outcomes = line["tries"].as_array().with_context(|| line.to_string())?;
    ensure!(outcomes.len() == tries.len(), "{line}");
    for (number, (attempt, outcome)) in tries.iter().zip(outcomes).enumerate() {
        let op = attempt["op"].as_str().unwrap_or_default();
        let place = format!("{op} {number} by {} over {binding}", sdk.name());
        let read = &outcome["results"][op];
        let index = if op == "cancel" { 4 } else { u8::try_from(number.saturating_sub(2)).unwrap_or(0) % 5 };
        match number {
            0..=8 => {
                ensure!(outcome["ok"] == true, "{place}: {outcome}");
                is_told(read, if matches!(op, "send" | "stream") || number == 8 { 0 } else { index }, &place)?;
                let events = if matches!(op, "stream" | "subscribe") { json!(["task"]) } else { Value::Null };
                ensure!(read["events"] == events, "{place}: {read}");
            }
            9 | 10 => fails(outcome, "PushNotificationNotSupported", -32003, 400, &place)?,
            _ => fails(outcome, "TaskNotFound", -32001, 404, &place)?,
        }
    }
    Ok(())
}

/// A client made its own error of an answer, or has none but says the code; over HTTP+JSON those of 0.3 know no more than the status.
fn fails(outcome: &Value, name: &str, code: i64, http: u16, place: &str) -> Result<()> {
    ensure!(outcome["ok"] == false, "{place}: {outcome}");
    let told = outcome["type"].as_str().is_some_and(|kind| kind.contains(name)) || outcome["code"] == code;
    let knows_only_status = place.contains("-0.3 over http_json") && outcome["status"] == http;
    ensure!(told || knows_only_status, "{place}: {outcome}");
    Ok(())
}

/// Over gRPC there is no message: the status has the link, until that is of no use.
async fn over_grpc(sdk: Sdk) -> Result<()> {
    let server = Server::start(false).await?;
    let ids: Vec<String> = (0..2).map(|index| id_of(Subject::Task, index)).collect();
    let tries = [
        json!({"op": "send"}),
        json!({"op": "stream"}),
        json!({"op": "get", "task": ids[0]}),
        json!({"op": "get", "task": ids[1]}),
        json!({"op": "push_set", "task": ids[0]}),
        json!({"op": "cancel", "task": "attache-x"}),
    ];
    let line = sdk.try_grpc(server.grpc_port, "t", &json!(tries).to_string()).await?;
    let outcomes = line["tries"].as_array().with_context(|| line.to_string())?;
    ensure!(outcomes.len() == tries.len(), "{line}");
    let not_offered = if sdk.version() == "0.3" { 12 } else { 9 };
    for (number, (outcome, status)) in outcomes.iter().zip([16, 16, 16, 5, not_offered, 5]).enumerate() {
        let place = format!("{} {} by {}", tries[number]["op"], number, sdk.name());
        ensure!(outcome["ok"] == false && outcome["status"] == status, "{place}: {outcome}");
        let has_link = outcome["body"].as_str().is_some_and(|message| message.contains(LINK));
        ensure!(has_link == (status == 16), "{place}: {outcome}");
    }
    Ok(())
}

/// `consent: challenge`: clients stop with the status, and the whole answer has the link wherever one may look for it.
async fn challenged(sdk: Sdk) -> Result<()> {
    let server = Server::start(true).await?;
    for binding in ["jsonrpc", "http_json"] {
        let tries = json!([{"op": "send"}, {"op": "stream"}]).to_string();
        let line = sdk.try_all(&server.url(sdk), "t", binding, &tries).await?;
        for outcome in line["tries"].as_array().with_context(|| line.to_string())? {
            let place = format!("{} over {binding}", sdk.name());
            ensure!(outcome["ok"] == false && outcome["status"] == 401, "{place}: {outcome}");
            let error = &outcome["body"]["error"];
            let details = if binding == "jsonrpc" { &error["data"] } else { &error["details"] };
            ensure!(details[0]["reason"] == "CONSENT_REQUIRED" && details[0]["metadata"]["link"] == LINK, "{place}: {outcome}");
            ensure!(details[1]["links"][0]["url"] == LINK, "{place}: {outcome}");
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for sdk in [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3] {
        for binding in ["jsonrpc", "http_json"] {
            suite.add(format!("local_tasks::{}_reads_them_over_{binding}", sdk.name()), async move |_| read(sdk, binding).await);
        }
        suite.add(format!("local_tasks::{}_is_told_the_link_over_grpc", sdk.name()), async move |_| over_grpc(sdk).await);
        suite.add(format!("local_tasks::{}_is_challenged_with_the_link", sdk.name()), async move |_| challenged(sdk).await);
    }
}
