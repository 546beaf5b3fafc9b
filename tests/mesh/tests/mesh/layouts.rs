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

/// The JavaScript SDK's sample, by its card.
async fn the_javascript_sample_is_found_and_called(mesh: &'static Mesh) -> Result<()> {
    let agent = peer::agent_sample_js().await?;
    let uri = format!("http://127.0.0.1:{}/.well-known/agent-card.json", agent.port);
    let card = json!({"source": {"remote": {"uri": uri, "cluster": "expense_v1_0"}}});
    let layout = Layout::start(mesh, "layout-sample-js", agent, &json!({"versions": "from_card", "card": card})).await?;
    let token = mesh.token().await?;
    for (sdk, binding) in [(Sdk::Python1_0, "jsonrpc"), (Sdk::Python1_0, "http_json"), (Sdk::Js1_0, "jsonrpc"), (Sdk::Js1_0, "http_json")] {
        let result = sdk.call(&layout.url, Some(&token), "card,send,stream,get", binding).await?;
        ensure!(result["ok"] == true && result["results"]["send"]["echo"]["agent"] == "sample", "{sdk:?} over {binding}: {result}");
        names_only(&layout, &result)?;
    }
    Ok(())
}

/// No URL of the card leads around the proxy.
fn names_only(layout: &Layout, result: &Value) -> Result<()> {
    let card = &result["results"]["card"];
    let interfaces = card["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = card.to_string();
    ensure!(!text.contains(&format!(":{}", layout.agent.port)), "the agent's own port: {text}");
    ensure!(interfaces.iter().all(|one| one["url"].as_str().is_some_and(|url| url.starts_with(&layout.url))), "{text}");
    Ok(())
}

/// Several agents in one server, as frameworks have them: each is found by its own card and called, and none answers for another.
async fn agents_of_one_server_are_told_apart(mesh: &'static Mesh) -> Result<()> {
    let both = json!({"versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}}});
    let jsonrpc =
        |path: &str, card: Value| json!({"versions": {"1.0": {"bindings": ["jsonrpc"], "paths": {"jsonrpc": path}}}, "card": card});
    let graph = |id: &str| jsonrpc("", json!({"at": format!("/.well-known/agent-card.json?assistant_id={id}")}));
    let mut net = both.clone();
    net["card"] = json!({"upstream_path": "/v1/card"});
    let agents = [
        ("alpha", "/a2a/alpha", both.clone()),
        ("beta", "/a2a/beta", both),
        ("adk", "/adk/app", jsonrpc("/", json!({}))),
        ("net", "/net/expense", net),
        ("a-1", "/graph/a-1", graph("a-1")),
        ("a-2", "/graph/a-2", graph("a-2")),
    ];
    let layout = Layout::several(mesh, "layout-several", peer::agent_layouts().await?, &agents).await?;
    let token = mesh.token().await?;
    for (name, prefix, _) in &agents {
        let below = format!("{}{prefix}", layout.url);
        let (base, card) = match *name {
            "a-1" | "a-2" => (&layout.url, format!("/.well-known/agent-card.json?assistant_id={name}")),
            _ => (&below, "/.well-known/agent-card.json".to_owned()),
        };
        for (sdk, binding) in [(Sdk::Python1_0, "jsonrpc"), (Sdk::Js1_0, "jsonrpc"), (Sdk::Python1_0, "http_json")] {
            if binding == "http_json" && !matches!(*name, "beta" | "net") {
                continue;
            }
            // A path is resolved against the base, as by a browser.
            let path = if sdk == Sdk::Js1_0 { card.trim_start_matches('/') } else { &card };
            let result = sdk.call_by_card(base, path, Some(&token), "card,send,stream,get", binding).await?;
            let told = &result["results"];
            ensure!(result["ok"] == true && told["card"]["name"] == **name, "{name}, {sdk:?} over {binding}: {result}");
            ensure!(told["send"]["echo"]["agent"] == **name, "{name}, {sdk:?} over {binding}: {result}");
            names_only(&layout, &result)?;
        }
    }
    for path in ["/.well-known/agent-card.json", "/.well-known/agent-card.json?assistant_id=a-3", "/graph/a-1/.well-known/agent-card.json"]
    {
        let reply = Call::get(path).bearer(&token).send(layout.envoy.port()).await?;
        let reason = if path.starts_with("/graph") { "operation_unknown" } else { "unmatched" };
        refusal::check(&reply, reason, &Form::Status)?;
    }
    Ok(())
}

/// Kagent's layout (a slash at the end of the endpoint, the card at the path of 0.2) and Vertex's (HTTP+JSON alone, the card at the
/// route for known callers, a parameter on streams).
async fn layouts_of_0_3_are_found_and_called(mesh: &'static Mesh) -> Result<()> {
    let kagent = json!({
        "versions": {"0.3": {"bindings": ["jsonrpc"], "paths": {"jsonrpc": "/"}}}, "card": {"upstream_path": "/.well-known/agent.json"},
    });
    let vertex = json!({"versions": {"0.3": {"bindings": ["http_json"]}}, "card": {"upstream_path": "/v1/card"}});
    let agents = [("kagent", "/api/a2a/ns/agent", kagent), ("vertex", "/a2a", vertex)];
    let layout = Layout::several(mesh, "layout-0.3", peer::agent_layouts_0_3().await?, &agents).await?;
    let token = mesh.token().await?;
    for (prefix, card, binding) in [
        ("/api/a2a/ns/agent", "/.well-known/agent.json", "jsonrpc"),
        ("/api/a2a/ns/agent", "/.well-known/agent-card.json", "jsonrpc"),
        ("/a2a", "/v1/card", "http_json"),
        ("/a2a", "/.well-known/agent-card.json", "http_json"),
    ] {
        let url = format!("{}{prefix}", layout.url);
        for sdk in [Sdk::Python0_3, Sdk::Js0_3] {
            let path = if sdk == Sdk::Js0_3 { card.trim_start_matches('/') } else { card };
            // Over HTTP+JSON the JavaScript client of 0.3 reads no stream of a Python agent, with or without Envoy.
            let ops = if (sdk, binding) == (Sdk::Js0_3, "http_json") { "card,send,get" } else { "card,send,stream,get" };
            let result = sdk.call_by_card(&url, path, Some(&token), ops, binding).await?;
            ensure!(result["ok"] == true, "{sdk:?}, {card} over {binding}: {result}");
            names_only(&layout, &result)?;
        }
    }
    let message = json!({"message": {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "hello"}]}});
    let call = Call::post("/a2a/v1/message:stream?alt=sse", &message).bearer(&token);
    let reply = call.send(layout.envoy.port()).await?;
    ensure!(reply.status == 200 && reply.text().contains("data:"), "{} {}", reply.status, reply.text());
    ensure!(layout.agent.saw("?alt=sse").await? == 1, "the parameter is gone");
    Ok(())
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
    suite.add("layouts::the_javascript_sample_is_found_and_called", the_javascript_sample_is_found_and_called);
    suite.add("layouts::agents_of_one_server_are_told_apart", agents_of_one_server_are_told_apart);
    suite.add("layouts::layouts_of_0_3_are_found_and_called", layouts_of_0_3_are_found_and_called);
    suite.add("layouts::what_stands_beside_passes", what_stands_beside_passes);
    suite.add("layouts::nothing_is_anywhere_else", nothing_is_anywhere_else);
}
