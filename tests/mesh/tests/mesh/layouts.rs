//! Agents in the layouts that they have, found and called by real clients through their cards, with no rewrite of a route.

use anyhow::{Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};

use crate::suite::Suite;

/// One agent behind an Envoy that routes everything to it as it is.
struct Layout {
    envoy: Envoy,
    agent: Agent,
    url: String,
    _port: Reserved,
}

impl Layout {
    async fn start(mesh: &Mesh, name: &str, agent: Agent, members: &Value) -> Result<Self> {
        let port = Reserved::new()?;
        let url = format!("http://127.0.0.1:{}", port.port());
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        file.cluster("expense_v1_0", agent.port)?;
        let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0", "timeout": "0s"}}]);
        file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] = routes;
        file.edit_plugin(|plugin| {
            let mut own = json!({
                "name": "sample", "match": {"hosts": ["*"], "path_prefix": "/"}, "public_url": url,
                "security": [{"oauth2": ["agent:execute"]}],
            });
            for (name, value) in members.as_object().into_iter().flatten() {
                own[name] = value.clone();
            }
            plugin["agents"] = json!([own]);
        })?;
        let envoy = Envoy::start(name, &file, Options::default()).await?;
        Ok(Self { envoy, agent, url, _port: port })
    }
}

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
            let text = result["card"].to_string();
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
    suite.add("layouts::nothing_is_anywhere_else", nothing_is_anywhere_else);
}
