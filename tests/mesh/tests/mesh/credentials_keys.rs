//! API keys in the query and in a cookie: what the remote agent sees, and where they do not go.

use anyhow::{Context, Result, ensure};
use attache_mesh::canary;
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};

use crate::credentials::echo;
use crate::suite::Suite;

const KEY: &str = "k/7f+3a&c=";
const ESCAPED: &str = "k%2F7f%2B3a%26c%3D";

fn key(kind: &str, name: &str) -> Value {
    json!({ kind: {"name": name, "value": {"secret": "key"}} })
}

fn secrets() -> Value {
    json!({"key": {"env": "KEY"}, "spaced": {"env": "SPACED"}})
}

fn options() -> Options {
    canary::keep(KEY);
    Options::default().env("KEY", KEY).env("SPACED", "a b")
}

fn at(connection: &str, path: &str) -> Call {
    Call::post(path, &rpc(json!(connection), "SendMessage", message_1_0(connection))).host(&format!("{connection}.example.com"))
}

async fn in_their_places(mesh: &Mesh) -> Result<()> {
    let mut elsewhere = connection("elsewhere", &key("query", "other-key"));
    elsewhere["pin"] = json!({"clusters": ["another"]});
    let mut spaced = connection("spaced", &key("cookie", "session"));
    spaced["credential"]["cookie"]["value"]["secret"] = json!("spaced");
    let connections = [connection("query", &key("query", "api-key")), connection("cookie", &key("cookie", "session")), elsewhere, spaced];
    let envoy = Envoy::start("keys", &outbound(mesh, &connections, &secrets(), &[])?, options()).await?;
    for (path, seen) in [
        ("/", format!("/?api-key={ESCAPED}")),
        ("/?a=%2f+b&API_KEY=mine&%61pi-key=mine", format!("/?a=%2f+b&api-key={ESCAPED}")),
        ("/?A2A-Version=1.0&a=b&other-key=mine", format!("/?a=b&api-key={ESCAPED}")),
    ] {
        let echo = echo(&at("query", path).header("cookie", "session=mine").send(envoy.port()).await?)?;
        ensure!(echo.path() == seen && echo.header("cookie").is_empty(), "{path}: {}", echo.path());
    }
    let reply = at("cookie", "/?a=b").header("cookie", "a=b; session=mine").header("cookie", "c=d").send(envoy.port()).await?;
    let echo = echo(&reply)?;
    ensure!(echo.header("cookie") == [format!("session={KEY}")] && echo.path() == "/?a=b", "{:?}", echo.0);
    let reply = at("elsewhere", "/?mark=elsewhere").send(envoy.port()).await?;
    ensure!(reply.reason().as_deref() == Some("connection_mismatch"), "{} {}", reply.status, reply.text());
    ensure!(mesh.agent_1_0.saw("mark=elsewhere").await? == 0, "it left");
    refusal::check(&at("spaced", "/").send(envoy.port()).await?, "credential_unavailable", &Form::Rpc(json!("spaced")))?;
    envoy.logged(&["spaced", "holds a character that no cookie may carry"]).await?;
    envoy.logged(&["connections[0].credential.query", "is part of the URL"]).await?;
    let log = envoy.log();
    ensure!(!log.contains(KEY) && !log.contains(ESCAPED), "a key in the log");
    Ok(())
}

/// Envoy follows a redirect, and tells the next agent from which URL: without the key.
async fn not_by_a_redirect(mesh: &Mesh) -> Result<()> {
    let moved = Answer::new("302 Found", "text/plain", "").header("location", "http://elsewhere.example.com/tasks/1?mark=key-redirected");
    let agent = StandIn::start(moved).await?;
    let mut file = outbound(mesh, &[connection("moved", &key("query", "api-key"))], &secrets(), &[("elsewhere", mesh.partner.port)])?;
    file.cluster("remote", agent.port)?;
    file.edit_plugin(|plugin| plugin["unmatched"] = json!("pass"))?;
    let policy = json!({"max_internal_redirects": 1, "allow_cross_scheme_redirect": true, "redirect_response_codes": [302]});
    file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] = json!([
        {"match": {"prefix": "/", "headers": [{"name": ":authority", "string_match": {"exact": "elsewhere.example.com"}}]},
         "route": {"cluster": "elsewhere"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "remote", "internal_redirect_policy": policy}},
    ]);
    let envoy = Envoy::start("keys-redirected", &file, options()).await?;
    let reply = Call::get("/tasks/1").host("moved.example.com").send(envoy.port()).await?;
    ensure!(reply.status == 401, "the other agent wants a key of its own: {} {}", reply.status, reply.text());
    let seen = mesh.partner.requests().await?;
    let seen = seen.into_iter().find(|one| one["path"].as_str().is_some_and(|path| path.contains("mark=key-redirected")));
    let seen = seen.context("Envoy followed the redirect")?.to_string();
    ensure!(!seen.contains(ESCAPED) && !seen.contains("api-key"), "the key went along: {seen}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_keys::in_the_query_and_in_a_cookie", in_their_places);
    suite.add("credentials_keys::a_redirect_tells_nobody_the_key", not_by_a_redirect);
}
