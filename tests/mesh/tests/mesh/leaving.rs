//! Only A2A leaves with a credential: what reaches a remote agent, and with what, byte by byte; who may use a connection; and that
//! official clients get through.

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::peer::{self, Sdk};
use attache_mesh::raw::{self, chunked, head};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wiretap::{Heard, Wiretap};
use attache_mesh::{canary, place};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::credentials::echo;
use crate::grpc::{self, SERVICE_1_0};
use crate::suite::Suite;

/// A caller's own key, which must come out nowhere.
const DESK_KEY: &str = "canary-key-of-the-desk";

fn key() -> Value {
    json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}})
}

/// A connection `name` with an API key and these members.
fn keyed(name: &str, more: &Value) -> Value {
    let mut connection = connection(name, &key());
    for (member, value) in more.as_object().into_iter().flatten() {
        connection[member] = value.clone();
    }
    connection
}

fn file(mesh: &Mesh, connections: &[Value], remote: u16) -> Result<EnvoyFile> {
    let mut file = outbound(mesh, connections, &json!({"key": {"env": "PARTNER_KEY"}}), &[])?;
    file.cluster("remote", remote)?;
    let desk = Sha256::digest(DESK_KEY).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    file.edit_plugin(|plugin| {
        plugin["schemes"] = json!({"token": {"bearer": {"issuers": ["corp"]}},
            "desk": {"api_key": {"in": "header", "name": "x-desk", "keys": [{"id": "desk", "sha256": desk}]}},
            "query": {"api_key": {"in": "query", "name": "desk", "keys": [{"id": "desk", "sha256": desk}]}}});
    })?;
    Ok(file)
}

async fn start(name: &str, file: &EnvoyFile) -> Result<Envoy> {
    Envoy::start(name, file, Options::default().env("PARTNER_KEY", PARTNER_KEY)).await
}

fn to(name: &str, method: &str) -> Call {
    Call::post("/", &rpc(json!("l"), method, message_1_0("l"))).host(&format!("{name}.example.com"))
}

fn at(name: &str, method: Method, path: &str) -> Call {
    let call = Call::new(method.clone(), path).host(&format!("{name}.example.com"));
    if method == Method::POST { call.header("content-type", "application/json").body(message_1_0("l").to_string()) } else { call }
}

fn rpc_form() -> Form {
    Form::Rpc(json!("l"))
}

/// The one request that the remote agent heard; the next is counted anew.
fn only(tap: &Wiretap) -> Result<Heard> {
    let heard = tap.heard();
    let [one] = heard.as_slice() else { anyhow::bail!("not one request: {heard:?}") };
    tap.forget();
    Ok(one.clone())
}

fn nothing(tap: &Wiretap, what: &str) -> Result<()> {
    let heard = tap.heard();
    ensure!(heard.is_empty(), "{what} left: {heard:?}");
    Ok(())
}

/// What is not A2A is refused where it stands, in every binding, and the remote agent hears nothing of it.
async fn refused(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let envoy = start("leaving", &file(mesh, &[keyed("strict", &json!({}))], tap.port)?).await?;
    for (method, path) in [
        (Method::POST, "/admin/delete-everything"),
        (Method::POST, "/rpc"),
        (Method::DELETE, "/tasks/t"),
        (Method::GET, "/"),
        (Method::GET, "/.well-known/openid-configuration"),
        (Method::POST, "/.well-known/agent-card.json"),
    ] {
        let reply = at("strict", method.clone(), path).send(envoy.port()).await?;
        refusal::check(&reply, "operation_unknown", &Form::Status).with_context(|| format!("{method} {path}"))?;
        nothing(&tap, path)?;
    }
    for (method, reason) in
        [("DropTables", "operation_unknown"), ("sendMessage", "operation_unknown"), ("message/send", "version_mismatch")]
    {
        for reply in [to("strict", method).send(envoy.port()).await?, raw::http2(envoy.port(), &to("strict", method), 7, &[]).await?] {
            refusal::check(&reply, reason, &rpc_form()).context(method)?;
        }
        nothing(&tap, method)?;
    }
    let reply = at("strict", Method::POST, "/v1/message:send").send(envoy.port()).await?;
    refusal::check(&reply, "version_mismatch", &Form::Status)?;
    let drop = grpc::call(format!("{SERVICE_1_0}/DropTables")).host("strict.example.com");
    grpc::refused(&envoy, &drop, 12, "operation_unknown").await?;
    let old = grpc::call(format!("{}/GetTask", grpc::SERVICE_0_3)).host("strict.example.com");
    grpc::refused(&envoy, &old, 9, "version_mismatch").await?;
    let upgrade = head("GET /", &[("host", b"strict.example.com"), ("connection", b"upgrade"), ("upgrade", b"websocket")]);
    ensure!(raw::http1(envoy.port(), &[upgrade]).await?.status >= 400, "an upgrade was let through");
    for (body, reason) in [("a=b", "body_malformed"), (r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#, "request_malformed")] {
        let reply = to("strict", "GetTask").body(body).send(envoy.port()).await?;
        refusal::check(&reply, reason, &Form::Rpc(Value::Null))?;
    }
    nothing(&tap, "one of the others")?;
    for call in [to("strict", "SendMessage"), at("strict", Method::POST, "/message:send"), at("strict", Method::GET, "/tasks/t")] {
        ensure!(call.send(envoy.port()).await?.status == 200, "{}", call.path);
        let heard = only(&tap)?;
        ensure!(heard.header("x-api-key") == [PARTNER_KEY] && heard.header("a2a-version") == ["1.0"], "{heard:?}");
    }
    envoy.logged(&["attache: audit ", "\"connection\":\"strict\"", "\"operation\":\"SendMessage\"", "\"decision\":\"allow\""]).await?;
    envoy.logged(&["attache: audit ", "\"connection\":\"strict\"", "\"reason\":\"operation_unknown\""]).await?;
    Ok(())
}

/// What is not A2A leaves without any credential, ours or the client's, where that is wanted.
async fn passed(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let connections = [keyed("loose", &json!({"other": "pass"}))];
    let envoy = start("leaving-pass", &file(mesh, &connections, tap.port)?).await?;
    let own =
        |call: Call| call.bearer("canary-of-the-client").header("x-api-key", "mine").header("cookie", "a=b").header("x-desk", DESK_KEY);
    for call in [
        own(at("loose", Method::POST, "/admin/delete-everything")),
        own(at("loose", Method::GET, &format!("/reports?a=b&desk={DESK_KEY}"))),
        own(to("loose", "DropTables")),
    ] {
        ensure!(call.send(envoy.port()).await?.status == 200, "{}", call.path);
        let heard = only(&tap)?;
        for name in ["x-api-key", "authorization", "cookie", "x-desk"] {
            ensure!(heard.header(name).is_empty(), "{name} left with what is not A2A: {heard:?}");
        }
        ensure!(!heard.head.contains(PARTNER_KEY) && !heard.head.contains(DESK_KEY), "{heard:?}");
    }
    ensure!(own(to("loose", "SendMessage")).send(envoy.port()).await?.status == 200, "A2A");
    ensure!(only(&tap)?.header("x-api-key") == [PARTNER_KEY], "A2A leaves with the key");
    refusal::check(&to("loose", "message/send").send(envoy.port()).await?, "version_mismatch", &rpc_form())?;
    nothing(&tap, "another version")
}

/// Only the operations that a connection names leave.
async fn limited(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let connections = [keyed("reading", &json!({"operations": ["read"]})), keyed("sending", &json!({"operations": ["SendMessage"]}))];
    let envoy = start("leaving-limited", &file(mesh, &connections, tap.port)?).await?;
    for call in [to("reading", "GetTask"), at("reading", Method::GET, "/.well-known/agent-card.json"), to("sending", "SendMessage")] {
        ensure!(call.send(envoy.port()).await?.status == 200, "{}", call.path);
        ensure!(only(&tap)?.header("x-api-key") == [PARTNER_KEY], "{}", call.path);
    }
    for call in [to("reading", "SendMessage"), to("sending", "SendStreamingMessage")] {
        let reply = call.send(envoy.port()).await?;
        ensure!(reply.header("www-authenticate").is_none(), "no credential of the caller would help: {:?}", reply.headers);
        refused_403(&reply, &rpc_form())?;
    }
    for call in [at("reading", Method::POST, "/message:send"), at("sending", Method::GET, "/.well-known/agent-card.json")] {
        refused_403(&call.send(envoy.port()).await?, &Form::Status)?;
    }
    let create = grpc::call(format!("{SERVICE_1_0}/CreateTaskPushNotificationConfig")).host("reading.example.com");
    grpc::refused(&envoy, &create, 7, "access_denied").await?;
    nothing(&tap, "an operation that may not leave")
}

/// `access_denied`, without the challenge that callers get who could do better.
fn refused_403(reply: &Reply, form: &Form) -> Result<()> {
    ensure!(reply.status == 403 && reply.reason().as_deref() == Some("access_denied"), "{} {}", reply.status, reply.text());
    if let Form::Rpc(id) = form {
        ensure!(reply.json()["id"] == *id, "{}", reply.text());
    }
    Ok(())
}

/// Callers on this side are asked for what the connection wants, and none of it leaves.
async fn guarded(mesh: &Mesh) -> Result<()> {
    canary::keep(DESK_KEY);
    let tap = Wiretap::start().await?;
    let security = json!([{"token": ["agent:execute"]}, {"desk": []}, {"query": []}]);
    let connections = [keyed("guarded", &json!({"security": security})), keyed("loose", &json!({"security": security, "other": "pass"}))];
    let envoy = start("leaving-guarded", &file(mesh, &connections, tap.port)?).await?;
    let call = || to("guarded", "SendMessage");
    let good = mesh.token().await?;
    let reader = mesh.authorization.token(&mesh.audience, "agent:read").await?;
    let forged = format!("{}AAAA", good.get(..good.len().saturating_sub(4)).unwrap_or_default());
    for (call, reason) in [
        (call(), "credentials_missing"),
        (call().bearer(&forged), "token_signature_invalid"),
        (call().bearer(&reader), "insufficient_scope"),
        (call().header("x-desk", "unknown"), "api_key_unknown"),
        (call().bearer(&good).header("authorization", "Bearer other"), "credentials_repeated"),
    ] {
        let reply = call.send(envoy.port()).await?;
        refusal::check(&reply, reason, &rpc_form())?;
        ensure!(reply.header("www-authenticate").is_some_and(|line| line.contains("realm=\"guarded\"")), "{:?}", reply.headers);
    }
    refusal::check(&at("loose", Method::POST, "/admin").send(envoy.port()).await?, "credentials_missing", &Form::Status)?;
    nothing(&tap, "a call of somebody unknown")?;
    let in_query = Call { path: format!("/?desk={DESK_KEY}&a=b"), ..call() };
    for call in [call().bearer(&good), call().header("x-desk", DESK_KEY), in_query] {
        ensure!(call.send(envoy.port()).await?.status == 200, "a good caller");
        let heard = only(&tap)?;
        ensure!(heard.header("x-api-key") == [PARTNER_KEY] && heard.header("authorization").is_empty(), "{heard:?}");
        ensure!(!heard.head.contains(DESK_KEY) && !heard.head.contains("x-attache") && heard.header("x-desk").is_empty(), "{heard:?}");
    }
    ensure!(
        at("loose", Method::POST, "/admin").bearer(&good).send(envoy.port()).await?.status == 200,
        "what passes passes for good callers"
    );
    ensure!(only(&tap)?.header("x-api-key").is_empty(), "and without the key");
    envoy.logged(&["attache: audit ", "\"connection\":\"guarded\"", "\"client\":\"desk\"", "\"decision\":\"allow\""]).await?;
    envoy.logged(&["attache: audit ", "\"connection\":\"guarded\"", "\"client\":\"caller\"", "\"reason\":\"insufficient_scope\""]).await?;
    Ok(())
}

/// One token of the caller serves the connection's `security` and is exchanged for the remote agent's.
async fn guarded_and_exchanged(mesh: &Mesh) -> Result<()> {
    let client =
        attache_mesh::connections::client(&mesh.authorization, "exchanger", &json!({"client_secret_post": {"secret": "exchanger"}}));
    let exchange =
        json!({"token_exchange": {"client": client, "request": attache_mesh::connections::request(), "subject": {"issuers": ["corp"]}}});
    let mut guarded = connection("guarded", &exchange);
    guarded["security"] = json!([{"token": ["agent:execute"]}]);
    let mut file = outbound(mesh, &[guarded], &json!({"exchanger": {"env": "EXCHANGER"}}), &[])?;
    file.edit_plugin(|plugin| plugin["schemes"] = json!({"token": {"bearer": {"issuers": ["corp"]}}}))?;
    let envoy = Envoy::start("leaving-exchanged", &file, Options::default().env("EXCHANGER", "exchanger-secret")).await?;
    let good = mesh.token().await?;
    let seen = crate::credentials::token(&to("guarded", "SendMessage").bearer(&good).send(envoy.port()).await?)?;
    ensure!(seen != good && attache_mesh::authorization::claims(&seen)?["sub"] == "caller", "the token of the caller was exchanged");
    let reader = mesh.authorization.token(&mesh.audience, "agent:read").await?;
    refusal::check(&to("guarded", "SendMessage").bearer(&reader).send(envoy.port()).await?, "insufficient_scope", &rpc_form())
}

/// Bodies whose beginning may leave and whose end may not.
fn contradictions() -> Vec<(&'static str, String)> {
    let begin = r#"{"jsonrpc":"2.0","id":"l","method":"GetTask","params":{"id":"#;
    let filler = "x".repeat(200_000);
    vec![
        ("a second method", format!("{begin}\"{filler}\"}},\"method\":\"DropTables\"}}")),
        ("a re-cased method", format!("{begin}\"{filler}\"}},\"Method\":\"DropTables\"}}")),
        ("an escaped method", format!("{begin}\"{filler}\"}},\"m\\u0065thod\":\"DropTables\"}}")),
        ("a second document", format!("{begin}\"{filler}\"}}}}{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"DropTables\"}}")),
        ("no end", format!("{begin}\"{filler}\"")),
    ]
}

/// What contradicts the verdict after the head has gone is cut off before the remote agent has a whole request.
async fn contradicted(envoy: &Envoy, remote: &StandIn, host: &str) -> Result<()> {
    ensure!(remote.whole() == 0, "nothing has come yet");
    let open = head("POST /", &[("host", host.as_bytes()), ("content-type", b"application/json"), ("transfer-encoding", b"chunked")]);
    for (what, body) in contradictions() {
        let mut pieces = vec![open.clone()];
        pieces.extend(chunked(body.as_bytes(), 50_000, &[]));
        let call = Call::post("/", &Value::Null).body(body).host(host);
        let outcomes = [
            call.send(envoy.port()).await,
            raw::http1(envoy.port(), &pieces).await,
            raw::http2(envoy.port(), &call, 50_000, &[]).await,
            raw::http2(envoy.port(), &call, 50_000, &[("x-checksum", "1")]).await,
        ];
        for (index, outcome) in outcomes.iter().enumerate() {
            let refused =
                outcome.as_ref().map_or(true, |reply| matches!(reply.reason().as_deref(), Some("request_malformed" | "body_malformed")));
            ensure!(refused, "{what}, way {index}: {outcome:?}");
        }
        ensure!(remote.whole() == 0, "{what}: it arrived whole");
    }
    let long = format!(r#"{{"jsonrpc":"2.0","id":"l","method":"GetTask","params":{{"id":"{}"}}}}"#, "x".repeat(200_000));
    let reply = Call::post("/", &Value::Null).body(long).host(host).send(envoy.port()).await?;
    ensure!(reply.status == 200 && remote.whole() == 1, "a good call of that length arrives: {}", reply.status);
    Ok(())
}

async fn contradicted_in_the_listener(mesh: &Mesh) -> Result<()> {
    let remote = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let envoy = start("leaving-contradicted", &file(mesh, &[keyed("strict", &json!({}))], remote.port)?).await?;
    contradicted(&envoy, &remote, "strict.example.com").await
}

/// The same where the filter stands in the cluster that leads to the remote agent.
async fn in_the_cluster(mesh: &Mesh) -> Result<()> {
    let remote = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let mut file = EnvoyFile::load("outbound-cluster.yaml")?;
    file.cluster("partner", remote.port)?;
    file.cluster("idp", mesh.authorization.port)?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["PARTNER_KEY"]});
    file.edit_plugin(|plugin| {
        plugin["connections"][0]["credential"] = key();
        plugin["secrets"] = json!({"key": {"env": "PARTNER_KEY"}});
    })?;
    let envoy = start("leaving-cluster", &file).await?;
    let reply = to("partner", "DropTables").send(envoy.port()).await?;
    refusal::check(&reply, "operation_unknown", &rpc_form())?;
    let reply = at("partner", Method::POST, "/admin/delete-everything").send(envoy.port()).await?;
    refusal::check(&reply, "operation_unknown", &Form::Status)?;
    ensure!(remote.heads() == 0, "something left");
    contradicted(&envoy, &remote, "partner.example.com").await
}

/// Without held headers the head leaves first; the body follows only if it is A2A that may leave.
async fn without_holding(mesh: &Mesh) -> Result<()> {
    let remote = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let connections = [keyed("strict", &json!({"operations": ["read"]})), keyed("loose", &json!({"other": "pass"}))];
    let mut file = file(mesh, &connections, remote.port)?;
    file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
    file.edit_plugin(|plugin| plugin["hold_headers"] = json!(false))?;
    let envoy = start("leaving-streaming", &file).await?;
    envoy.logged(&["hold_headers: is off", "before its method is known"]).await?;
    for (host, method, reason) in [
        ("strict", "DropTables", "operation_unknown"),
        ("strict", "message/send", "version_mismatch"),
        ("strict", "SendMessage", "access_denied"),
        ("loose", "DropTables", "operation_unknown"),
    ] {
        for outcome in [to(host, method).send(envoy.port()).await, raw::http2(envoy.port(), &to(host, method), 9, &[]).await] {
            let refused = outcome.as_ref().map_or(true, |reply| reply.reason().as_deref() == Some(reason));
            ensure!(refused, "{host} {method}: {outcome:?}");
        }
        ensure!((remote.whole(), remote.body_bytes()) == (0, 0), "{host} {method}: some of it arrived");
    }
    let reply = at("loose", Method::POST, "/admin").send(envoy.port()).await?;
    ensure!(reply.status == 200 && remote.whole() == 1, "what is not A2A by its place passes: {}", reply.status);
    for call in [to("strict", "GetTask"), to("loose", "SendMessage")] {
        let before = remote.whole();
        ensure!(call.send(envoy.port()).await?.status == 200 && remote.whole() == before + 1, "a good call");
    }
    Ok(())
}

/// Official clients of both versions, over every binding that they have, through connections of their version.
async fn official_clients(mesh: &Mesh) -> Result<()> {
    for (version, sdk, bindings) in
        [("1.0", Sdk::Python1_0, &["jsonrpc", "http_json"][..]), ("0.3", Sdk::Python0_3, &["jsonrpc", "http_json"][..])]
    {
        let url_file = place::logs().join(format!("leaving-url-{version}"));
        std::fs::write(&url_file, "")?;
        let agent = if version == "1.0" { peer::agent_1_0(Some(&url_file)).await? } else { peer::agent_0_3(Some(&url_file)).await? };
        let mut own = keyed("own", &json!({"version": version}));
        own["match"]["hosts"] = json!(["127.0.0.1:*"]);
        let envoy = start("leaving-sdk", &file(mesh, &[own], agent.port)?).await?;
        let url = format!("http://127.0.0.1:{}", envoy.port());
        std::fs::write(&url_file, &url)?;
        for binding in bindings {
            let result = sdk.call(&url, None, "card,send,stream,get", binding).await?;
            ensure!(result["ok"] == true, "{version} {binding}: {result}");
            let headers = &result["results"]["send"]["echo"]["headers"];
            ensure!(headers["x-api-key"] == PARTNER_KEY && headers["a2a-version"] == version, "{version} {binding}: {result}");
        }
    }
    Ok(())
}

/// gRPC leaves by its path, with the key, and its messages are not touched.
async fn over_grpc(mesh: &Mesh) -> Result<()> {
    let mut own = keyed("own", &json!({"operations": ["execute"]}));
    own["match"]["hosts"] = json!(["127.0.0.1:*"]);
    let mut file = file(mesh, &[own], mesh.agent_1_0.grpc_port.context("the agent speaks no gRPC")?)?;
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("clusters")?;
    let remote = clusters.iter_mut().find(|cluster| cluster["name"] == "remote").context("remote")?;
    remote["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}});
    let envoy = start("leaving-grpc", &file).await?;
    let result = Sdk::Python1_0.call_grpc(envoy.port(), None, "send,stream", &[]).await?;
    ensure!(result["ok"] == true, "{result}");
    let headers = &result["results"]["send"]["echo"]["headers"];
    ensure!(headers["x-api-key"] == PARTNER_KEY, "{result}");
    let get = grpc::call(format!("{SERVICE_1_0}/GetTask"));
    grpc::refused(&envoy, &get, 7, "access_denied").await?;
    Ok(())
}

/// A remote agent that really answers, called by what a connection lets through.
async fn answered(mesh: &Mesh) -> Result<()> {
    let connections = [keyed("guarded", &json!({"security": [{"desk": []}], "operations": ["execute"], "pin": {"clusters": ["remote"]}}))];
    let envoy = start("leaving-answered", &file(mesh, &connections, mesh.agent_1_0.port)?).await?;
    let seen = echo(&to("guarded", "SendMessage").header("x-desk", DESK_KEY).send(envoy.port()).await?)?;
    ensure!(seen.header("x-api-key") == [PARTNER_KEY] && seen.text() == "l", "{:?}", seen.0);
    ensure!(!seen.names().iter().any(|name| name.starts_with("x-attache") || *name == "x-desk"), "{:?}", seen.names());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("leaving::official_clients_of_both_versions_get_through", official_clients);
    suite.add("leaving::what_is_not_a2a_is_refused_in_every_binding", refused);
    suite.add("leaving::what_is_not_a2a_passes_without_any_credential_if_so_configured", passed);
    suite.add("leaving::only_the_operations_that_are_named_leave", limited);
    suite.add("leaving::callers_are_asked_for_their_credential_and_it_does_not_leave", guarded);
    suite.add("leaving::one_token_serves_security_and_is_exchanged", guarded_and_exchanged);
    suite.add("leaving::what_contradicts_the_verdict_is_cut_off", contradicted_in_the_listener);
    suite.add("leaving::in_the_cluster_only_a2a_leaves", in_the_cluster);
    suite.add("leaving::without_holding_no_body_leaves_that_is_not_a2a", without_holding);
    suite.add("leaving::grpc_leaves_by_its_path", over_grpc);
    suite.add("leaving::a_call_that_may_leave_is_answered", answered);
}
