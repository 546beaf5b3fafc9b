//! The official SDKs as callers: each in both languages and versions, over each binding that it speaks.

use anyhow::{Result, ensure};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::Sdk;
use serde_json::Value;

use crate::suite::Suite;

/// What each client does. What is missing fails between SDK and agent without any proxy, as `peers/README.md` says.
const TALKS: &[(Sdk, &str, &str)] = &[
    (Sdk::Python1_0, "jsonrpc", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Python1_0, "http_json", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Python0_3, "jsonrpc", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Python0_3, "http_json", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Js1_0, "jsonrpc", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Js1_0, "http_json", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Js0_3, "jsonrpc", "card,send,stream,get,cancel,subscribe"),
    (Sdk::Js0_3, "http_json", "card,send,get,cancel"),
];

fn operation(op: &str) -> &'static [&'static str] {
    match op {
        "stream" => &["SendStreamingMessage"],
        // The task that is read was made by a send.
        _ => &["SendMessage"],
    }
}

fn check(sdk: Sdk, op: &str, result: &Value, url: &str) -> Result<()> {
    if op == "card" {
        let interfaces = result["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        let urls: Vec<&str> = interfaces.iter().filter_map(|interface| interface["url"].as_str()).collect();
        ensure!(!urls.is_empty() && urls.iter().all(|one| one.trim_end_matches('/') == url), "{result}");
        return Ok(());
    }
    let state = result["state"].as_str().unwrap_or_default();
    if ["cancel", "subscribe"].contains(&op) {
        ensure!(!state.is_empty(), "{op}: {result}");
        return Ok(());
    }
    ensure!(state == "completed", "{op}: {result}");
    let echo = &result["echo"];
    ensure!(echo["agent"] == sdk.version(), "{op} reached {}", echo["agent"]);
    let headers = &echo["headers"];
    ensure!(headers["a2a-version"] == sdk.version(), "{op}: {headers}");
    ensure!(headers["x-attache-client"] == "caller" && headers["x-attache-agent"] == "expense", "{op}: {headers}");
    let seen = headers["x-attache-operation"].as_str().unwrap_or_default();
    ensure!(operation(op).contains(&seen), "{op} was taken for {seen}");
    if op == "stream" {
        ensure!(result["events"].as_array().is_some_and(|events| events.len() >= 3), "{result}");
    }
    Ok(())
}

async fn talk(mesh: &Mesh, sdk: Sdk, binding: &str, ops: &str) -> Result<()> {
    let url = mesh.url();
    let result = sdk.call(&url, Some(&mesh.token().await?), ops, binding).await?;
    ensure!(result["ok"] == true, "{result}");
    for op in ops.split(',') {
        check(sdk, op, &result["results"][op], &url)?;
    }
    Ok(())
}

/// A refusal as an SDK's user meets it.
async fn refused(mesh: &Mesh, sdk: Sdk, binding: &str, scopes: Option<&str>, status: u16, reason: &str) -> Result<()> {
    let token = match scopes {
        Some(scopes) => Some(mesh.authorization.token(&mesh.audience, scopes).await?),
        None => None,
    };
    let result = sdk.call(&mesh.url(), token.as_deref(), "send", binding).await?;
    ensure!(result["ok"] == false && result["status"] == status, "{reason}: {result}");
    ensure!(result["body"].to_string().contains(&format!("\"{reason}\"")), "{reason}: {result}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (sdk, binding, ops) in TALKS {
        suite.add(format!("sdk::{}_over_{binding}", sdk.name()), async move |mesh| talk(mesh, *sdk, binding, ops).await);
    }
    let missing = (None, 401, "credentials_missing");
    let reader = (Some("agent:read"), 403, "insufficient_scope");
    for (sdk, binding, (scopes, status, reason)) in [
        (Sdk::Python1_0, "jsonrpc", reader),
        (Sdk::Python0_3, "http_json", missing),
        (Sdk::Js1_0, "http_json", reader),
        (Sdk::Js0_3, "jsonrpc", missing),
    ] {
        let name = format!("sdk::{}_over_{binding}_reads_{reason}", sdk.name());
        suite.add(name, async move |mesh| refused(mesh, sdk, binding, scopes, status, reason).await);
    }
}
