//! The command `attache`: `explain` says of requests what Envoy with the filter does to them, the same answer where they are refused, and
//! the same headers at the agent where they go on. (`init` is with the page about getting started.)

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply, basic, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::place;
use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;

const TOKENS: &str = include_str!("../../../vectors/tokens.json");
/// A key, and `printf %s KEY | sha256sum`.
const KEY: &str = "0123456789abcdef0123456789abcdef";
const KEY_DIGEST: &str = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";
/// What the filter sets in requests that go on.
const OURS: [&str; 2] = ["x-attache", "a2a-version"];

pub fn add(suite: &mut Suite) {
    suite.add("command::each_request_is_decided_as_it_is_explained", each_request);
}

async fn each_request(mesh: &'static Mesh) -> Result<()> {
    let vectors: Value = serde_json::from_str(TOKENS)?;
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| change(plugin, &vectors))?;
    let folder = place::logs().join("explained");
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("config.json");
    std::fs::write(&config, file.plugin()?.to_string())?;
    let envoy = Envoy::start("explained", &file, Options::default()).await?;
    let (mut refused, mut passed) = (0, 0);
    for (name, call) in requests(&vectors)? {
        let reply = call.send(envoy.port()).await.with_context(|| name.clone())?;
        let (said, status) = explained(&call, envoy.port(), &config, &folder).with_context(|| name.clone())?;
        if said["answer"].is_null() {
            goes_on(&reply, &said).with_context(|| name.clone())?;
            ensure!(status == 0, "{name}: status {status}");
            passed += 1;
        } else {
            let answer = &said["answer"];
            ensure!(reply.status == answer["status"], "{name}: Envoy answers {} {}, explained is {said:#}", reply.status, reply.text());
            let body = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!(reply.text()));
            ensure!(body == answer["body"], "{name}: Envoy answers {body:#}, explained is {answer:#}");
            refused += 1;
        }
    }
    ensure!(refused >= 25 && passed >= 10, "{refused} refused, {passed} passed");
    Ok(())
}

/// The agent of the file with keys and rules.
fn change(plugin: &mut Value, vectors: &Value) {
    plugin["issuers"] = json!([{"name": "corp", "issuer": vectors["issuer"], "audiences": [vectors["audience"]],
        "algorithms": vectors["algorithms"], "jwks": {"inline": vectors["keys"]}}]);
    plugin["schemes"] = json!({
        "oauth2": {"bearer": {"issuers": ["corp"]}},
        "key": {"api_key": {"in": "header", "name": "x-api-key", "keys": [{"id": "desk", "sha256": KEY_DIGEST, "scopes": ["agent:read"]}]}},
    });
    let agent = &mut plugin["agents"][0];
    agent["security"] = json!([{"oauth2": ["agent:read"]}, {"key": []}]);
    agent["access"] = json!([
        {"operations": ["read"]},
        {"operations": ["CancelTask"], "require": {"roles": ["Approver"]}},
        {"operations": ["execute"], "require": {"scopes": ["agent:execute"]}},
    ]);
    agent["limits"] = json!({"max_body_bytes": 4096, "modalities": ["text"], "max_parts": 2});
}

/// Requests by name. Whatever is in them, one Envoy and one agent are enough.
fn requests(vectors: &Value) -> Result<Vec<(String, Call)>> {
    let token = |name: &str| {
        let found = vectors["tokens"].as_array().and_then(|tokens| tokens.iter().find(|vector| vector["name"] == name));
        found.and_then(|vector| vector["token"].as_str()).with_context(|| name.to_owned())
    };
    let good = token("ES256 good")?;
    let post = |method: &str, params: Value| Call::post(AGENT, &rpc(json!(7), method, params));
    let task = || json!({"id": "t-1"});
    let mut all: Vec<(String, Call)> = Vec::new();
    let mut add = |name: &str, call: Call| all.push((name.to_owned(), call));
    for name in ["RS256 good", "PS256 good", "ES256 good", "ES384 good", "EdDSA good"] {
        add(name, send_1_0("hello").bearer(token(name)?));
    }
    for name in ["RS256 signed by a stranger's key", "exp that has passed", "ES256 with a signature of zeros", "RS256 without a signature"]
    {
        add(name, send_1_0("hello").bearer(token(name)?));
    }
    add("no credential", send_1_0("hello"));
    add("no token", send_1_0("hello").bearer("hello"));
    add("a password", send_1_0("hello").header("authorization", basic("ann", "pw")));
    add("two tokens", send_1_0("hello").bearer(good).bearer(good));
    add("a key that may read", post("GetTask", task()).version("1.0").header("x-api-key", KEY));
    add("a key that may not write", send_1_0("hello").header("x-api-key", KEY));
    add("an unknown key", send_1_0("hello").header("x-api-key", "abcdefabcdefabcdefabcdefabcdefab"));
    add("0.3", send_0_3("hello").bearer(good));
    add("0.3, reading", post("tasks/get", task()).bearer(good));
    add("HTTP+JSON", send_1_0_http("hello").bearer(good));
    add("HTTP+JSON, a task", Call::get(format!("{AGENT}/tasks/t-1")).version("1.0").bearer(good));
    add("HTTP+JSON, tasks", Call::get(format!("{AGENT}/tasks?pageSize=3")).version("1.0").bearer(good));
    add("headers of ours", send_1_0("hello").bearer(good).header("x-attache", "agent=\"other\"").header("x-attache-subject", "root"));
    add("steering", send_1_0("hello").bearer(good).header("x-envoy-upstream-rq-timeout-ms", "1"));
    add("a role is missing", post("CancelTask", task()).version("1.0").bearer(good));
    add("a role is missing, HTTP+JSON", Call::new(Method::POST, format!("{AGENT}/tasks/t-1:cancel")).version("1.0").bearer(good));
    add("an unknown method", post("DropTables", json!({})).version("1.0").bearer(good));
    add("a method of the other version", post("message/send", message_0_3("hello")).version("1.0").bearer(good));
    add("a version that is not spoken", send_1_0("hello").version("9.9").bearer(good));
    add("an unknown version", post("SendMessage", message_1_0("hello")).version("9.9").bearer(good));
    add(
        "two versions",
        Call::post(format!("{AGENT}?a2a-version=0.3"), &rpc(json!(7), "SendMessage", message_1_0("a"))).version("1.0").bearer(good),
    );
    add("no JSON", Call::post(AGENT, &json!(1)).body("{\"jsonrpc\": \"2.0\", ").version("1.0").bearer(good));
    add(
        "a member twice",
        Call::post(AGENT, &json!(1)).body("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"GetTask\"}").version("1.0").bearer(good),
    );
    add("no params", Call::post(AGENT, &json!({"jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": 7})).version("1.0").bearer(good));
    add("a long body", send_1_0(&"x".repeat(5000)).bearer(good));
    add(
        "a file",
        post("SendMessage", json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"url": "https://a.example/f"}]}}))
            .version("1.0")
            .bearer(good),
    );
    add(
        "three parts",
        post(
            "SendMessage",
            json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}}),
        )
        .version("1.0")
        .bearer(good),
    );
    add("another content type", Call::new(Method::POST, AGENT).header("content-type", "text/plain").body("{}").version("1.0").bearer(good));
    add(
        "another charset",
        Call::new(Method::POST, AGENT).header("content-type", "application/json; charset=utf-7").body("{}").bearer(good),
    );
    add("a method that A2A does not use", Call::new(Method::PUT, AGENT).bearer(good));
    add("another path", Call::get("/elsewhere").bearer(good));
    add("a path beside", Call::get(format!("{AGENT}-2/tasks/t-1")).version("1.0").bearer(good));
    add("another host", send_1_0("hello").host("elsewhere.example.com").bearer(good));
    add("a long path", Call::get(format!("{AGENT}/tasks/{}", "t".repeat(9000))).version("1.0").bearer(good));
    add("an escape", Call::get(format!("{AGENT}/tasks/t%2541")).version("1.0").bearer(good));
    Ok(all)
}

/// What the command says of a call to this port.
fn explained(call: &Call, port: u16, config: &Path, folder: &Path) -> Result<(Value, u8)> {
    let mut headers = vec![json!([":method", call.method.as_str()]), json!([":scheme", "http"]), json!([":path", call.path])];
    let host = call.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    headers.push(json!([":authority", host.unwrap_or_else(|| format!("127.0.0.1:{port}"))]));
    headers
        .extend(call.headers.iter().filter(|(name, _)| name != "host").map(|(name, value)| json!([name, String::from_utf8_lossy(value)])));
    let body = call.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
    let request = folder.join("request.json");
    std::fs::write(&request, json!({"headers": headers, "body": body}).to_string())?;
    let [config, request] = [config, &request].map(|path| path.to_str());
    let (config, request) = (config.context("config")?, request.context("request")?);
    attache_cli::command::answer(&["explain", "--config", config, request]).map_err(|error| anyhow!(error))
}

/// The agent has got what was explained.
fn goes_on(reply: &Reply, said: &Value) -> Result<()> {
    ensure!(reply.reason().is_none() && reply.status < 500, "Envoy refuses it: {} {}", reply.status, reply.text());
    // An answer about a task that does not exist echoes nothing.
    let Some(echo) = reply.echo() else { return Ok(()) };
    let upstream = said["upstream"]["headers"].as_array().context("headers")?;
    for name in OURS {
        let expected: Vec<&str> = upstream.iter().filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str()).collect();
        ensure!(echo.header(name) == expected, "{name}: the agent got {:?}, explained is {expected:?}", echo.header(name));
    }
    let is_gone = |name: &str| echo.header(name).is_empty() && !upstream.iter().any(|pair| pair[0] == name);
    ensure!(is_gone("x-attache-subject") && is_gone("x-envoy-upstream-rq-timeout-ms"), "headers of clients: {}", echo.0);
    Ok(())
}
