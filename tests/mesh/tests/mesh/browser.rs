//! A page in a real browser that calls an agent of another origin: what it may read, with Envoy's CORS filter before and behind.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::rpc;
use attache_mesh::layout::Layout;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer;
use serde_json::{Value, json};

use crate::suite::Suite;

const CORS: &str = "envoy.filters.http.cors";
const PACKAGE: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3";

/// Where Envoy's own filter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cors {
    None,
    Before,
    Behind,
}

async fn start(mesh: &Mesh, cors: Cors) -> Result<Layout> {
    let mut members = json!({"versions": {"1.0": {"bindings": ["jsonrpc"], "paths": {"jsonrpc": "/a2a/jsonrpc"}}}});
    if cors == Cors::Behind {
        members["cors"] = json!("pass");
    }
    let agent = peer::agent_sample().await?;
    if cors == Cors::Before {
        // What a filter makes of an answer while that comes passes no filter in front: the page could not read it.
        let uri = format!("http://127.0.0.1:{}/.well-known/agent-card.json", agent.port);
        members["card"] = json!({"source": {"remote": {"uri": uri, "cluster": "expense_v1_0"}}});
    }
    let name = format!("browser-{cors:?}").to_lowercase();
    Layout::edited(mesh, &name, agent, &[("sample", "/", members)], |file| {
        let manager = file.http_manager()?;
        let filters = manager["http_filters"].as_array_mut().context("no filters")?;
        let filter = json!({"name": CORS, "typed_config": {"@type": format!("{PACKAGE}.Cors")}});
        match cors {
            Cors::None => return Ok(()),
            Cors::Before => filters.insert(0, filter),
            Cors::Behind => filters.insert(filters.len() - 1, filter),
        }
        manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"][CORS] = json!({
            "@type": format!("{PACKAGE}.CorsPolicy"),
            "allow_origin_string_match": [{"safe_regex": {"regex": "http://127\\.0\\.0\\.1:[0-9]+"}}],
            "allow_methods": "GET, POST, DELETE", "allow_headers": "authorization, content-type, a2a-version",
        });
        Ok(())
    })
    .await
}

/// What a page reads of a call, of one without a token, and of the card.
async fn read(layout: &Layout, token: &str) -> Result<[Value; 3]> {
    let url = format!("{}/a2a/jsonrpc", layout.url);
    let message = json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}});
    let body = rpc(json!("1"), "SendMessage", message).to_string();
    let with = |token: Option<&str>| {
        let mut headers = json!({"content-type": "application/json", "a2a-version": "1.0"});
        if let Some(token) = token {
            headers["authorization"] = json!(format!("Bearer {token}"));
        }
        headers
    };
    let calls = json!([
        {"url": url, "method": "POST", "headers": with(Some(token)), "body": body},
        {"url": url, "method": "POST", "headers": with(None), "body": body},
        {"url": format!("{}/.well-known/agent-card.json", layout.url), "method": "GET", "headers": with(Some(token))},
    ]);
    let told = peer::browser(&calls).await?;
    let results = told["results"].as_array().cloned().unwrap_or_default();
    results.try_into().map_err(|results| anyhow::anyhow!("{results:?}"))
}

fn is_hidden(result: &Value) -> bool {
    result["error"].as_str().is_some_and(|error| error.contains("Failed to fetch"))
}

/// Envoy's filter before Attaché answers preflights, and the page reads refusals, too.
async fn before(mesh: &'static Mesh) -> Result<()> {
    let layout = start(mesh, Cors::Before).await?;
    let [sent, refused, card] = read(&layout, &mesh.token().await?).await?;
    ensure!(sent["status"] == 200 && sent["body"].to_string().contains("TASK_STATE_COMPLETED"), "{sent}");
    ensure!(refused["status"] == 401 && refused["body"].to_string().contains("credentials_missing"), "{refused}");
    ensure!(card["status"] == 200 && card["body"].to_string().contains("Expense agent"), "{card}");
    Ok(())
}

/// With `cors: pass` what stands behind answers preflights. Whatever Attaché refuses has not been there: the page cannot read it.
async fn behind(mesh: &'static Mesh) -> Result<()> {
    let layout = start(mesh, Cors::Behind).await?;
    let [sent, refused, card] = read(&layout, &mesh.token().await?).await?;
    ensure!(sent["status"] == 200 && sent["body"].to_string().contains("TASK_STATE_COMPLETED"), "{sent}");
    ensure!(is_hidden(&refused), "{refused}");
    ensure!(card["status"] == 200 && card["body"].to_string().contains("Expense agent"), "{card}");
    Ok(())
}

/// Without either, the browser lets the page read nothing: what the others show comes from the filter.
async fn without(mesh: &'static Mesh) -> Result<()> {
    let layout = start(mesh, Cors::None).await?;
    let results = read(&layout, &mesh.token().await?).await?;
    ensure!(results.iter().all(is_hidden), "{results:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("browser::a_page_reads_answers_and_refusals_with_cors_before", before);
    suite.add("browser::a_page_reads_answers_with_cors_behind", behind);
    suite.add("browser::a_page_reads_nothing_without_cors", without);
}
