//! The corpora of URLs and bodies through Envoy: `tests/attacks/push-urls.json`, `tests/corpus/jsonrpc.json` and
//! `tests/corpus/grpc.json`, whose verdicts are those of the rooms that judge them alone. Behind Envoy is a stand-in that
//! answers whatever comes: what it answers was let through.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::raw;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::verdicts::Corpus;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::suite::Suite;

const PUSH_URLS: &str = include_str!("../../../attacks/push-urls.json");
const JSONRPC: &str = include_str!("../../../corpus/jsonrpc.json");
const GRPC: &str = include_str!("../../../corpus/grpc.json");

/// Requests that are on their way at once.
const LANES: usize = 4;
/// What the stand-in answers.
const TAKEN: &str = r#"{"taken":true}"#;

pub fn add(suite: &mut Suite) {
    suite.add("attacks::every_push_url_has_its_verdict", push_urls);
    suite.add("attacks::every_jsonrpc_body_has_its_verdict", jsonrpc);
    suite.add("attacks::every_grpc_body_has_its_verdict", grpc);
}

struct Place {
    envoy: Envoy,
    token: String,
    _agent: StandIn,
}

impl Place {
    /// An Envoy whose plugin is as `edit` makes that of `envoy/inbound.yaml`.
    async fn start(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut Value)) -> Result<Self> {
        let agent = StandIn::start(Answer::new("200 OK", "application/json", TAKEN)).await?;
        let mut file = mesh.inbound_file()?;
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        file.edit_plugin(edit)?;
        let manager = file.http_manager()?;
        let all = json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0", "timeout": "0s"}}]);
        manager["route_config"]["virtual_hosts"] = json!([{"name": "all", "domains": ["*"], "routes": all}]);
        let envoy = Envoy::start(name, &file, Options::default()).await?;
        Ok(Self { envoy, token: mesh.token().await?, _agent: agent })
    }

    /// Sends the calls, several at once, and gives `judge` each one's name with its answer.
    async fn play(&self, calls: Vec<(String, Call)>, over_http2: bool, mut judge: impl FnMut(usize, &str, &Reply)) -> Result<()> {
        let (port, calls) = (self.envoy.port(), Arc::new(calls));
        let mut tasks = JoinSet::new();
        for lane in 0..LANES {
            let (calls, token) = (Arc::clone(&calls), self.token.clone());
            tasks.spawn(async move {
                let mut replies = Vec::new();
                for (number, (name, call)) in calls.iter().enumerate().skip(lane).step_by(LANES) {
                    let call = call.clone().host("expense.example.com").bearer(&token);
                    let sent = if over_http2 { raw::http2(port, &call, 16_384, &[]).await } else { call.send(port).await };
                    replies.push((number, sent.with_context(|| name.clone())?));
                }
                anyhow::Ok(replies)
            });
        }
        while let Some(lane) = tasks.join_next().await {
            for (number, reply) in lane?? {
                judge(number, calls.get(number).map_or("", |(name, _)| name), &reply);
            }
        }
        Ok(())
    }
}

fn is_taken(reply: &Reply) -> bool {
    reply.text() == TAKEN
}

async fn push_urls(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("push-urls.json");
    let attacks: Value = serde_json::from_str(PUSH_URLS)?;
    let rules = attacks["rules"].as_object().context("rules")?.clone();
    let place = Place::start(mesh, "attack-push-urls", |plugin| {
        let like = plugin["agents"][0].clone();
        let agents = rules.iter().map(|(name, rule)| {
            let mut agent = like.clone();
            agent["name"] = json!(name);
            agent["match"]["path_prefix"] = json!(format!("/{name}"));
            agent["push_notifications"] = rule.clone();
            agent
        });
        plugin["agents"] = agents.collect();
    })
    .await?;
    let rows = attacks["rows"].as_array().context("rows")?;
    let mut calls = Vec::new();
    for row in rows {
        let (url, rule) = (row["url"].as_str().context("url")?, row["rule"].as_str().context("rule")?);
        let mut params = message_1_0("push");
        params["configuration"] = json!({"taskPushNotificationConfig": {"url": url}});
        let call = Call::post(format!("/{rule}"), &rpc(json!(1), "SendMessage", params)).version("1.0");
        calls.push((format!("{url:?} under {rule}"), call));
    }
    place
        .play(calls, false, |number, name, reply| {
            let expected = rows.get(number).map(|row| &row["verdict"]);
            let reason = reply.reason();
            match (expected == Some(&json!("ok")), reason.as_deref()) {
                (true, None) if is_taken(reply) => corpus.passed(),
                (false, Some("push_target_refused" | "push_not_offered")) => corpus.refused(),
                _ => corpus.wrong(format!("{name}: {} {reason:?}, not {expected:?}", reply.status)),
            }
        })
        .await?;
    corpus.end()
}

/// A case's body, as `tests/corpus/bodies.rs` reads it.
fn body(case: &Value) -> Result<Vec<u8>> {
    if let Some(text) = case["body"].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    if case["pieces"].is_array() {
        let pieces: Vec<(String, usize)> = serde_json::from_value(case["pieces"].clone())?;
        return Ok(pieces.iter().map(|(text, times)| text.repeat(*times)).collect::<String>().into_bytes());
    }
    let digits = case["hex"].as_str().context("hex")?;
    (0..digits.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits.get(at..at + 2).context("a pair")?, 16)?)).collect()
}

/// Lets every push target and every method that exists through, so that the body alone decides.
fn open(plugin: &mut Value) {
    plugin["agents"][0]["push_notifications"] = json!({"schemes": ["https", "http"], "hosts": ["*"], "private_addresses": true});
    plugin["agents"][0]["match"]["path_prefix"] = json!("/");
    // What the rooms alone are asked in `tests/corpus.rs`: without a rule nothing of a message is looked at.
    plugin["agents"][0]["limits"] = json!({
        "max_parts": 1_000_000, "modalities": ["text", "file", "data"], "max_history_length": i32::MAX, "output_modes": ["*/*"]
    });
    plugin["agents"][0]["skill_from"] = json!({"metadata_key": "skill"});
}

async fn jsonrpc(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("jsonrpc.json");
    let cases: Vec<Value> = serde_json::from_str(JSONRPC)?;
    let place = Place::start(mesh, "attack-jsonrpc", |plugin| {
        open(plugin);
        // No target of the corpus is allowed, however it is spelled.
        plugin["agents"][0]["push_notifications"] = json!({"hosts": ["hooks.none.example"]});
    })
    .await?;
    let mut calls = Vec::new();
    for case in &cases {
        let method = case["verdict"]["method"].as_str().unwrap_or("SendMessage");
        let version = if method.contains('/') { "0.3" } else { "1.0" };
        let call = Call::new(Method::POST, "/").header("content-type", "application/json").version(version).body(body(case)?);
        calls.push((case["name"].to_string(), call));
    }
    place
        .play(calls, false, |number, name, reply| {
            let refused = cases.get(number).is_some_and(|case| case["verdict"]["refused"].is_string());
            let reason = reply.reason();
            match (refused, reason.as_deref()) {
                (true, Some(_)) => corpus.refused(),
                // Several methods of the corpus do not exist, and some bodies are well formed and say too much.
                (
                    false,
                    Some(
                        "operation_unknown"
                        | "version_mismatch"
                        | "push_target_refused"
                        | "limit_exceeded"
                        | "content_refused"
                        | "tenant_refused",
                    ),
                ) => {
                    corpus.refused();
                }
                (false, None) if is_taken(reply) => corpus.passed(),
                _ => corpus.wrong(format!("{name}: {} {reason:?}", reply.status)),
            }
        })
        .await?;
    let (_, passed) = corpus.counts();
    corpus.end()?;
    ensure!(passed >= 60, "{passed} bodies were let through");
    Ok(())
}

/// Whether a refusal is not about the form of a message.
fn is_about_rules(message: &str) -> bool {
    !message.contains("cannot be read") && !message.contains("is ambiguous")
}

async fn grpc(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("grpc.json");
    let cases: Vec<Value> = serde_json::from_str(GRPC)?;
    let place = Place::start(mesh, "attack-grpc", |plugin| {
        open(plugin);
        plugin["agents"][0]["match"]["grpc"] = json!(true);
        for version in ["1.0", "0.3"] {
            plugin["agents"][0]["versions"][version]["bindings"] = json!(["jsonrpc", "http_json", "grpc"]);
        }
    })
    .await?;
    let mut calls = Vec::new();
    for case in &cases {
        let (package, method) = case["method"].as_str().and_then(|method| method.split_once('/')).context("method")?;
        let call = Call::new(Method::POST, format!("/{package}.A2AService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let body = body(case)?;
        let call = if body.is_empty() { call } else { call.body(body) };
        calls.push((case["name"].to_string(), call));
    }
    place
        .play(calls, true, |number, name, reply| {
            let refused = cases.get(number).is_some_and(|case| case["verdict"]["refused"].is_string());
            match (refused, reply.header("grpc-status")) {
                (true, Some("3")) => corpus.refused(),
                (false, None) if is_taken(reply) => corpus.passed(),
                // Well formed, and it asks for what no rule allows.
                (false, Some(_)) if reply.header("grpc-message").is_some_and(is_about_rules) => corpus.refused(),
                (_, status) => {
                    corpus.wrong(format!("{name}: {} {status:?} {:?}", reply.status, reply.header("grpc-message")));
                }
            }
        })
        .await?;
    corpus.end()
}
