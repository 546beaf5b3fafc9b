//! Requests that wait before their sender is known: what they cost Envoy, and that strangers who make many wait keep nobody
//! else from being served.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::AuthorizationServer;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES};
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::{JoinHandle, JoinSet};

use crate::suite::Suite;

const OPAQUE: &str = "https://opaque.example.com";
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What all who wait may cost the filter, in bytes: their heads, and rounding.
const HEADS: u64 = 8 << 20;

/// An inbound file whose agent takes tokens that an endpoint at this port is asked about.
fn file(mesh: &Mesh, uri: &str, port: u16, members: &Value) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    file.copy_cluster("idp", "asked")?;
    file.cluster("asked", port)?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["INTROSPECTION", "TAG"]});
    file.edit_plugin(|plugin| {
        plugin["secrets"] = json!({"introspection": {"env": "INTROSPECTION"}, "tag": {"env": "TAG"}});
        let mut introspection = json!({
            "uri": uri, "cluster": "asked", "timeout": "15s", "audiences": [OPAQUE], "cache": "0s",
            "client": {"id": "attache", "secret": {"secret": "introspection"}},
        });
        for (name, value) in members.as_object().into_iter().flatten() {
            introspection[name] = value.clone();
        }
        plugin["schemes"] = json!({"opaque": {"introspection": introspection}});
        plugin["agents"][0]["security"] = json!([{"opaque": []}]);
        if let Some(agent) = plugin["agents"][0].as_object_mut() {
            agent.remove("access");
        }
    })?;
    Ok(file)
}

async fn start(name: &str, file: &EnvoyFile) -> Result<Envoy> {
    let options = Options::default().own().workers(1).env("INTROSPECTION", "attache-secret").env("TAG", "0123456789abcdef0123456789abcdef");
    Envoy::start(name, file, options).await
}

/// An endpoint that answers when it is let.
async fn held() -> Result<StandIn> {
    let endpoint = StandIn::start(inactive()).await?;
    endpoint.open(false);
    Ok(endpoint)
}

fn inactive() -> Answer {
    Answer::new("200 OK", "application/json", r#"{"active":false}"#)
}

fn active() -> Answer {
    let claims = json!({"active": true, "aud": OPAQUE, "sub": "ann", "client_id": "cli", "exp": place::now() + 600});
    Answer::new("200 OK", "application/json", claims.to_string())
}

fn send(text: &str, token: &str) -> Call {
    Call::post(AGENT, &rpc(json!("w"), "SendMessage", message_1_0(text))).version("1.0").bearer(token)
}

/// Sends `call` from this address.
async fn from(address: Ipv4Addr, call: &Call, port: u16) -> Result<Reply> {
    call.send_over(port, async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        let stream = socket.connect(SocketAddr::from((HERE, port))).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
    .await
}

fn later(address: Ipv4Addr, call: Call, port: u16) -> JoinHandle<Result<Reply>> {
    tokio::spawn(async move { from(address, &call, port).await })
}

/// A hundred bodies of a megabyte wait for an answer about tokens that somebody made up.
async fn memory(mesh: &Mesh) -> Result<()> {
    const COUNT: u64 = 100;
    const SIZE: usize = 1_000_000;
    let endpoint = held().await?;
    let mut file = file(mesh, "http://asked.internal/introspect", endpoint.port, &json!({}))?;
    file.edit_plugin(|plugin| plugin["agents"][0]["tasks"] = json!({"owned": {"keys": [{"id": "k1", "secret": "tag"}]}}))?;
    let envoy = start("waiting-memory", &file).await?;
    let (port, process) = (envoy.port(), envoy.process());
    let text = "x".repeat(SIZE);
    let mut message = message_1_0("large");
    message["message"]["parts"][0]["text"] = json!(text);
    let body = rpc(json!("w"), "SendMessage", message).to_string();
    let call = |token: &str| send("", token).body(body.clone());
    endpoint.open(true);
    refusal::check(&call("made-up").send(port).await?, "token_inactive", &Form::Rpc(json!("w")))?;
    endpoint.open(false);
    let before = process.linear_memory()?;
    ensure!(before > 0, "no linear memory found in {}", process.name());
    let received = envoy.stat("downstream_cx_rx_bytes_total").await?;
    let flood: Vec<_> = (0..COUNT).map(|number| later(HERE, call(&format!("made-up-{number}")), port)).collect();
    envoy.stat_reaches("downstream_cx_rx_bytes_total", received + COUNT * u64::try_from(SIZE)?).await?;
    ensure!(endpoint.heads() > 0, "nothing waits");
    let waiting = process.linear_memory()?.saturating_sub(before);
    ensure!(waiting <= HEADS, "{COUNT} bodies of {SIZE} bytes that wait made linear memory grow by {waiting}");
    endpoint.open(true);
    for reply in flood {
        refusal::check(&reply.await??, "token_inactive", &Form::Rpc(json!("w")))?;
    }
    let after = process.linear_memory()?.saturating_sub(before);
    ensure!(after <= HEADS, "{COUNT} refused bodies of {SIZE} bytes made linear memory grow by {after}");
    // And a good one, which waits like the others, arrives whole.
    endpoint.open(false);
    endpoint.answer(active());
    let good = later(HERE, call("good"), port);
    envoy.stat_reaches("downstream_cx_rx_bytes_total", received + (COUNT + 1) * u64::try_from(SIZE)?).await?;
    endpoint.open(true);
    let reply = good.await??;
    let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
    ensure!(echo.text() == text, "the agent got {} bytes of text", echo.text().len());
    Ok(())
}

/// Four may wait. A client who has all places gives up some for another, and nobody hangs.
async fn places(mesh: &Mesh) -> Result<()> {
    let endpoint = held().await?;
    let file = file(mesh, "http://asked.internal/introspect", endpoint.port, &json!({"max_waiting": 4}))?;
    let envoy = start("waiting-places", &file).await?;
    let port = envoy.port();
    let many: Vec<_> = (0..4).map(|number| later(ELSEWHERE, send("many", &format!("many-{number}")), port)).collect();
    envoy.stat_reaches("cluster.asked.upstream_rq_active", 4).await?;
    let reply = from(ELSEWHERE, &send("one more", "one-more"), port).await?;
    refusal::check(&reply, "overloaded", &Form::Rpc(json!("w")))?;
    ensure!(reply.header("retry-after") == Some("1"), "{:?}", reply.headers);
    envoy.refusal_logged(0, "overloaded").await?;
    let few: Vec<_> = (0..2).map(|number| later(HERE, send("few", &format!("few-{number}")), port)).collect();
    envoy.stat_reaches("cluster.asked.upstream_rq_active", 6).await?;
    endpoint.open(true);
    for reply in few {
        refusal::check(&reply.await??, "token_inactive", &Form::Rpc(json!("w")))?;
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reply in many {
        *reasons.entry(reply.await??.reason().unwrap_or_default()).or_default() += 1;
    }
    ensure!(reasons == BTreeMap::from([("overloaded".to_owned(), 2), ("token_inactive".to_owned(), 2)]), "{reasons:?}");
    Ok(())
}

/// What comes of a flood of made-up tokens, and what of good ones meanwhile.
struct Flood {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Flood {
    /// So many connections from one address, each with the next token as soon as the last one is answered.
    fn start(connections: usize, port: u16) -> Self {
        let (stop, answers, mut tasks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), JoinSet::new());
        for connection in 0..connections {
            let (stop, answers) = (stop.clone(), answers.clone());
            tasks.spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let call = send("flood", &format!("made-up-{connection}-{number}"));
                    if from(ELSEWHERE, &call, port).await.is_ok() {
                        answers.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        Self { stop, answers, tasks }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await;
        self.answers.load(Ordering::SeqCst)
    }
}

/// Four hundred connections of one address send tokens that somebody made up. Tokens that were good before come through from the
/// same address, new ones from another.
async fn flood(mesh: &Mesh) -> Result<()> {
    const STRANGERS: usize = 400;
    const GOOD: usize = 40;
    let authorization = AuthorizationServer::start("flooded").await?;
    let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let uri = format!("{}/token/introspection", authorization.issuer);
    let mut file = file(mesh, &uri, authorization.port, &json!({}))?;
    file.cluster("expense_v1_0", agent.port)?;
    let envoy = start("waiting-flood", &file).await?;
    let port = envoy.port();
    let mut tokens = Vec::new();
    for _ in 0..GOOD * 2 {
        tokens.push(authorization.token(OPAQUE, SCOPES).await?);
    }
    let (known, new) = tokens.split_at(GOOD);
    for token in known {
        let reply = from(HERE, &send("first", token), port).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    }
    let flood = Flood::start(STRANGERS, port);
    envoy.stat_reaches("cluster.asked.upstream_rq_active", 100).await?;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for (known, new) in known.iter().zip(new) {
        let replies =
            [("known", ELSEWHERE, known), ("new", HERE, new)].map(|(what, address, token)| (what, later(address, send(what, token), port)));
        for (what, reply) in replies {
            let reply = reply.await??;
            *outcomes.entry(format!("{what}: {} {}", reply.status, reply.reason().unwrap_or_default())).or_default() += 1;
        }
    }
    let answers = flood.end().await;
    let expected = BTreeMap::from([("known: 200 ".to_owned(), GOOD), ("new: 200 ".to_owned(), GOOD)]);
    ensure!(outcomes == expected, "{outcomes:?}, with {answers} made-up tokens meanwhile");
    ensure!(answers > 100, "that was no flood: {answers}");
    Ok(())
}

/// The endpoint fails for one token, and for nobody else.
async fn odd(mesh: &Mesh) -> Result<()> {
    let endpoint = StandIn::start(active()).await?;
    let file = file(mesh, "http://asked.internal/introspect", endpoint.port, &json!({}))?;
    let envoy = start("waiting-odd", &file).await?;
    let port = envoy.port();
    for status in ["429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        endpoint.answer(Answer::new(status, "text/plain", "canary"));
        let number = status.split(' ').next().unwrap_or_default();
        let reply = send("odd", &format!("odd-{number}")).send(port).await?;
        refusal::check(&reply, "introspection_unavailable", &Form::Rpc(json!("w")))?;
        endpoint.answer(active());
        let reply = send("good", &format!("good-{number}")).send(port).await?;
        ensure!(reply.status == 200, "after one {status}: {} {}", reply.status, reply.text());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("waiting::bodies_of_strangers_are_not_kept_in_the_filter", memory);
    suite.add("waiting::who_has_all_places_gives_some_up", places);
    suite.add("waiting::a_flood_of_made_up_tokens_keeps_no_good_one_waiting", flood);
    suite.add("waiting::one_odd_answer_of_an_introspection_endpoint_costs_one_token", odd);
}
