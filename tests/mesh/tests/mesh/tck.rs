//! What the official TCK holds of an agent, held here where a filter could break it: `tests/tck.md` has the whole list.

use anyhow::{Context, Result, ensure};
use attache_mesh::event_stream::EventStream;
use attache_mesh::http::{Call, Reply, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::Agent;
use serde_json::{Value, json};

use crate::grpc;
use crate::suite::Suite;

/// The same request to the agent itself, and to it through the filter.
async fn both(mesh: &Mesh, agent: &Agent, call: &Call) -> Result<[Reply; 2]> {
    let mut direct = call.clone();
    direct.path = direct.path.replacen(AGENT, "", 1);
    if !direct.path.starts_with('/') {
        direct.path.insert(0, '/');
    }
    let through = call.clone().bearer(&mesh.token().await?).send(mesh.inbound.port()).await?;
    Ok([direct.send(agent.port).await?, through])
}

/// Requests that are none, and the code that each has: those of `tests/mandatory/jsonrpc` in the TCK for 0.3.
fn broken(method: &str, params: &Value) -> Vec<(String, i64)> {
    let with = |mut request: Value, id: Option<Value>| {
        if let Some(id) = id {
            request["id"] = id;
        }
        request.to_string()
    };
    let ids = || [None, Some(json!("3"))];
    let mut list = vec![
        (format!("{{\"jsonrpc\": \"2.0\", \"method\": \"{method}\", \"params\": {{\"foo\": \"bar\"}}"), -32700),
        (with(json!({"jsonrpc": "2.0", "method": method, "params": {}}), Some(json!({"bad": "type"}))), -32600),
    ];
    for id in ids() {
        list.extend([
            (with(json!({"jsonrpc": "aaa", "method": method, "params": params}), id.clone()), -32600),
            (with(json!({"jsonrpc": "2.0", "params": params}), id.clone()), -32600),
            (with(json!({"jsonrpc": "2.0", "method": "message/ssend", "params": {}}), id.clone()), -32601),
            (with(json!({"jsonrpc": "2.0", "method": method, "params": {"": "not_a_dict"}}), id.clone()), -32602),
        ]);
    }
    list
}

/// `send` of either version over JSON-RPC.
fn send(method: &str, version: &str, params: Value) -> Call {
    Call::post(AGENT, &rpc(json!("1"), method, params)).version(version)
}

/// Two subscriptions of one task tell the same in the same order; one that is left does not end the other.
async fn two_subscriptions(mesh: &Mesh) -> Result<()> {
    let (port, token) = (mesh.inbound.port(), mesh.token().await?);
    let ask = |method: &str, params: Value| send(method, "1.0", params).bearer(&token);
    let mut params = message_1_0("wait");
    params["configuration"] = json!({"returnImmediately": true});
    let started = ask("SendMessage", params).send(port).await?.json();
    let task = started["result"]["task"]["id"].as_str().with_context(|| format!("no task in {started}"))?;
    let subscription = ask("SubscribeToTask", json!({"id": task})).header("accept", "text/event-stream");
    let mut left = EventStream::open(port, &subscription, false).await?;
    let mut streams = [EventStream::open(port, &subscription, false).await?, EventStream::open(port, &subscription, true).await?];
    for stream in streams.iter_mut().chain([&mut left]) {
        let first = stream.next().await?.context("the stream ended")?;
        ensure!(first["result"]["task"]["id"] == task, "the first event is no task: {first}");
    }
    drop(left);
    // From now on both hear all that there is.
    let canceled = ask("CancelTask", json!({"id": task})).send(port).await?;
    ensure!(canceled.json().get("result").is_some(), "{}", canceled.text());
    let mut told = [Vec::new(), Vec::new()];
    for (stream, told) in streams.iter_mut().zip(&mut told) {
        while let Some(event) = stream.next().await? {
            told.push(event["result"].to_string());
        }
    }
    let [one, other] = &told;
    ensure!(one.last().is_some_and(|last| last.contains("TASK_STATE_CANCELED")), "the last word was {:?}", one.last());
    // Who came later missed reports of a task that works, and nothing else.
    let shorter = one.len().min(other.len());
    ensure!(shorter > 0 && one[one.len() - shorter..] == other[other.len() - shorter..], "{one:?}\nand {other:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("tck::what_is_no_request_has_the_code_that_the_tck_wants", async |mesh| {
        for (method, version, params) in [("message/send", "0.3", message_0_3("x")), ("SendMessage", "1.0", message_1_0("x"))] {
            for (body, code) in broken(method, &params) {
                let call = Call::new(http::Method::POST, AGENT).header("content-type", "application/json").body(body.clone());
                let reply = call.version(version).bearer(&mesh.token().await?).send(mesh.inbound.port()).await?;
                let answer = reply.json();
                ensure!(reply.status == 200 && answer["error"]["code"] == code, "{version} {body}: {} {answer}", reply.status);
                ensure!(answer["jsonrpc"] == "2.0" && answer["error"]["message"].is_string(), "{body}: {answer}");
            }
        }
        Ok(())
    });
    suite.add("tck::fields_that_nobody_knows_and_extensions_pass", async |mesh| {
        for (agent, version, method, mut params) in [
            (&mesh.agent_0_3, "0.3", "message/send", message_0_3("unknown")),
            (&mesh.agent_1_0, "1.0", "SendMessage", message_1_0("unknown")),
        ] {
            params["message"]["tckUnknownField"] = json!("should-be-ignored");
            params["tckExtraParam"] = json!(42);
            let uris = "https://example.com/ext/v1,https://example.com/ext/v2";
            let mut calls = vec![send(method, version, params.clone())];
            if version == "1.0" {
                calls.push(Call::post(format!("{AGENT}/message:send"), &params).version(version));
            }
            for call in calls {
                for reply in both(mesh, agent, &call.header("a2a-extensions", uris)).await? {
                    let echo = reply.echo().with_context(|| format!("{version}: {} {}", reply.status, reply.text()))?;
                    ensure!(echo.header("a2a-extensions") == [uris], "{version}: {:?}", echo.0);
                }
            }
        }
        Ok(())
    });
    suite.add("tck::errors_of_the_agent_come_as_it_makes_them", async |mesh| {
        for (agent, call, code) in [
            (&mesh.agent_1_0, send("GetTask", "1.0", json!({"id": "tck-nonexistent"})), json!(-32001)),
            (&mesh.agent_1_0, send("CancelTask", "1.0", json!({"id": "tck-nonexistent"})), json!(-32001)),
            (&mesh.agent_1_0, send("SubscribeToTask", "1.0", json!({"id": "tck-nonexistent"})), json!(-32001)),
            (&mesh.agent_1_0, send("SendMessage", "1.0", json!({})), json!(-32602)),
            (&mesh.agent_1_0, Call::get(format!("{AGENT}/tasks/tck-nonexistent")).version("1.0"), json!(404)),
            (&mesh.agent_1_0, Call::post(format!("{AGENT}/message:send"), &json!({})).version("1.0"), json!(400)),
            (&mesh.agent_0_3, send("tasks/get", "0.3", json!({"id": "tck-nonexistent"})), json!(-32001)),
            (&mesh.agent_0_3, send("message/send", "0.3", json!({"message": {"parts": "invalid"}})), json!(-32602)),
        ] {
            let [direct, through] = both(mesh, agent, &call).await?;
            let error = |reply: &Reply| reply.json()["error"].clone();
            ensure!(error(&direct)["code"] == code, "directly: {} {}", direct.status, direct.text());
            ensure!(direct.status == through.status && error(&direct) == error(&through), "{} {}", through.status, through.text());
            ensure!(direct.header("content-type") == through.header("content-type"), "{:?}", through.headers);
        }
        Ok(())
    });
    suite.add("tck::a_version_of_the_future_is_refused_before_who_asks_for_it", async |mesh| {
        let codes = |reply: &Reply| reply.json()["error"]["code"].clone();
        let (rpc, rest) = (send("SendMessage", "99.0", message_1_0("x")), Call::post(format!("{AGENT}/message:send"), &message_1_0("x")));
        let calls = [(rpc, 200, -32009), (rest.version("99.0"), 400, 400)];
        for (call, status, code) in calls {
            for call in [call.clone(), call.bearer(&mesh.token().await?)] {
                let reply = call.send(mesh.inbound.port()).await?;
                ensure!(reply.status == status && codes(&reply) == code, "{} {}", reply.status, reply.text());
                let info = reply.error_info().context("no ErrorInfo")?;
                ensure!(info["reason"] == "VERSION_NOT_SUPPORTED" && info["domain"] == "a2a-protocol.org", "{info}");
            }
        }
        let envoy = grpc::start(mesh, "tck-versions", |_| {}).await?;
        let call = grpc::call(format!("{}/SendMessage", grpc::SERVICE_1_0)).version("99.0");
        grpc::refused(&envoy, &call, 9, "version_not_supported").await?;
        Ok(())
    });
    suite.add("tck::two_subscriptions_tell_the_same_and_leaving_one_ends_only_that", async |mesh| two_subscriptions(mesh).await);
}
