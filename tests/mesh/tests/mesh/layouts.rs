//! Agents in the layouts that they have, found and called by real clients through their cards, with no rewrite of a route.

use anyhow::{Result, ensure};
use attache_mesh::http::{Call, rpc};
use attache_mesh::layout::Layout;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Sdk};
use attache_mesh::refusal::{self, Form};
use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;

/// The layout of `a2a-python`'s sample.
async fn sample(mesh: &'static Mesh) -> Result<Layout> {
    let members = json!({"versions": {"1.0": {
        "bindings": ["jsonrpc", "http_json"], "paths": {"jsonrpc": "/a2a/jsonrpc", "http_json": "/a2a/rest"},
    }}});
    Layout::start(mesh, "layout-sample", peer::agent_sample().await?, &members).await
}

async fn the_sdks_sample_is_found_and_called(mesh: &'static Mesh) -> Result<()> {
    let layout = sample(mesh).await?;
    let token = mesh.token().await?;
    let ops = "card,send,stream,get,cancel,subscribe,extended";
    for sdk in [Sdk::Python1_0, Sdk::Js1_0] {
        for binding in ["jsonrpc", "http_json"] {
            let result = sdk.call(&layout.url, Some(&token), ops, binding).await?;
            ensure!(result["ok"] == true, "{sdk:?} over {binding}: {result}");
            let text = result["results"]["card"].to_string();
            for path in ["/a2a/jsonrpc", "/a2a/rest"] {
                ensure!(text.contains(&format!("{}{path}", layout.url)), "{sdk:?} over {binding}: no {path} in {text}");
            }
            ensure!(!text.contains(&format!(":{}", layout.agent.port)), "the agent's own port: {text}");
        }
    }
    // As the SDK's own client does it: nothing names a version when the card is fetched.
    let result = Sdk::Python1_0.call_card_first(&layout.url, Some(&token), "send,stream", "jsonrpc").await?;
    ensure!(result["ok"] == true, "{result}");
    Ok(())
}

/// The same with no word of what it speaks: its card says it.
async fn an_agent_says_what_it_speaks(mesh: &'static Mesh) -> Result<()> {
    let layout = Layout::sample_by_card(mesh).await?;
    let token = mesh.token().await?;
    for (sdk, binding) in [(Sdk::Python1_0, "jsonrpc"), (Sdk::Python1_0, "http_json"), (Sdk::Js1_0, "jsonrpc"), (Sdk::Js1_0, "http_json")] {
        let result = sdk.call(&layout.url, Some(&token), "card,send,stream,get,extended", binding).await?;
        ensure!(result["ok"] == true, "{sdk:?} over {binding}: {result}");
        let text = result["results"]["card"].to_string();
        ensure!(text.contains(&format!("{}/a2a/rest", layout.url)), "{sdk:?} over {binding}: {text}");
    }
    let message = json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}});
    let reply = Call::post("/message:send", &message).version("1.0").bearer(&token).send(layout.envoy.port()).await?;
    refusal::check(&reply, "operation_unknown", &Form::Status)
}

async fn what_stands_beside_passes(mesh: &'static Mesh) -> Result<()> {
    let members = json!({
        "versions": {"1.0": {"bindings": ["jsonrpc"], "paths": {"jsonrpc": "/a2a/jsonrpc"}}},
        "other_paths": [{"path": "/control/requests"}, {"prefix": "/ui", "methods": ["GET", "POST"]}], "cors": "pass",
    });
    let layout = Layout::start(mesh, "layout-beside", peer::agent_sample().await?, &members).await?;
    let port = layout.envoy.port();
    // The agent's own page, which knows no caller and sees no word of one.
    let call = Call::get("/control/requests").header("x-attache", "agent=\"me\"");
    let reply = call.send(port).await?;
    ensure!(reply.status == 200 && reply.json()["requests"].is_array(), "{} {}", reply.status, reply.text());
    for call in [
        Call::get("/ui/page").header("x-attache", "agent=\"me\"").header("x-page", "kept"),
        Call::new(Method::OPTIONS, "/a2a/jsonrpc").header("origin", "https://app.example").header("access-control-request-method", "POST"),
    ] {
        let reply = call.send(port).await?;
        ensure!(
            reply.reason().is_none() && matches!(reply.status, 404 | 405),
            "the agent has no such page: {} {}",
            reply.status,
            reply.text()
        );
    }
    let seen = Call::get("/control/requests").send(port).await?.json();
    let pages: Vec<&Value> = seen["requests"].as_array().into_iter().flatten().filter(|one| one["path"] == "/ui/page").collect();
    let [page] = pages.as_slice() else { anyhow::bail!("{seen}") };
    ensure!(page["headers"]["x-page"] == "kept" && page["headers"].get("x-attache").is_none(), "{page}");
    ensure!(seen.to_string().contains("OPTIONS"), "the preflight did not arrive: {seen}");
    for (method, path, reason) in [
        (Method::GET, "/control/requests/", "operation_unknown"),
        (Method::GET, "/control", "operation_unknown"),
        (Method::DELETE, "/ui/page", "operation_unknown"),
        (Method::GET, "/ui/tasks/t-1", "version_not_supported"),
        (Method::OPTIONS, "/ui/page", "method_refused"),
    ] {
        let reply = Call::new(method.clone(), path).send(port).await?;
        ensure!(reply.reason().as_deref() == Some(reason), "{method} {path}: {} {}", reply.status, reply.text());
    }
    Ok(())
}

async fn nothing_is_anywhere_else(mesh: &'static Mesh) -> Result<()> {
    let layout = sample(mesh).await?;
    let token = mesh.token().await?;
    let port = layout.envoy.port();
    let message = json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}});
    let call = rpc(json!("1"), "SendMessage", message.clone());
    for path in ["/", "/a2a/jsonrpc/", "/a2a", "/a2a/jsonrpc/x", "/A2A/jsonrpc", "/a2a/rest"] {
        let reply = Call::post(path, &call).version("1.0").bearer(&token).send(port).await?;
        refusal::check(&reply, "operation_unknown", &Form::Status)?;
    }
    for path in ["/message:send", "/a2a/jsonrpc/message:send", "/a2a/message:send", "/a2a/rest/v1/message:send"] {
        let reply = Call::post(path, &message).version("1.0").bearer(&token).send(port).await?;
        let reason = reply.reason().unwrap_or_default();
        ensure!(matches!(reason.as_str(), "operation_unknown" | "version_mismatch"), "{path}: {} {}", reply.status, reply.text());
    }
    for (path, body) in [("/a2a/jsonrpc", &call), ("/a2a/rest/message:send", &message)] {
        let reply = Call::post(path, body).version("1.0").bearer(&token).send(port).await?;
        ensure!(reply.status == 200 && reply.reason().is_none(), "{path}: {} {}", reply.status, reply.text());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("layouts::the_sdks_sample_is_found_and_called", the_sdks_sample_is_found_and_called);
    suite.add("layouts::an_agent_says_what_it_speaks", an_agent_says_what_it_speaks);
    suite.add("layouts::what_stands_beside_passes", what_stands_beside_passes);
    suite.add("layouts::nothing_is_anywhere_else", nothing_is_anywhere_else);
}
