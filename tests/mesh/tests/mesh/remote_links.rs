//! Links that remote agents show whose tasks wait for credentials, and credentials that clients put into messages: agents and clients on
//! the SDKs of both versions, over each binding.

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{Other, SignIn, message};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wiretap::Wiretap;
use attache_mesh::{canary, place};
use serde_json::{Value, json};

use crate::grpc::{self, SERVICE_1_0};
use crate::suite::Suite;

/// Where an agent sends its user. No record and no log has more of it than scheme and host.
const LINK: &str = "https://login.remote.example/authorize?state=canary-of-a-link-of-a-remote-agent";
const ORIGIN: &str = "https://login.remote.example";
const REMOVED: &str = "[link removed]";

/// A connection to the agent at `port` for whatever host, with these members.
fn file(mesh: &Mesh, port: u16, version: &str, more: &Value) -> Result<EnvoyFile> {
    let mut own = connection("partner", &json!({"none": {}}));
    own["match"]["hosts"] = json!(["127.0.0.1:*", "partner.example.com"]);
    own["version"] = json!(version);
    for (name, value) in more.as_object().into_iter().flatten() {
        own[name] = value.clone();
    }
    let mut file = outbound(mesh, &[own], &json!({}), &[])?;
    file.cluster("remote", port)?;
    Ok(file)
}

/// The records of answers in the log.
fn records(envoy: &Envoy) -> Vec<Value> {
    let log = envoy.log();
    let lines = log.lines().filter_map(|line| line.split_once("attache: audit "));
    let lines = lines.filter_map(|(_, json)| serde_json::from_str::<Value>(json.trim_end()).ok());
    lines.filter(|record| record["task_state"] == "auth_required").collect()
}

/// What a client on the SDK reads of the status of a task that waits, sent and streamed.
async fn tried(sdk: Sdk, envoy: &Envoy, binding: &str) -> Result<Vec<Value>> {
    let text = format!("auth {LINK}");
    let tries = json!([{"op": "send", "text": text}, {"op": "stream", "text": text}]).to_string();
    let url = format!("http://127.0.0.1:{}", envoy.port());
    let line = match binding {
        "grpc" => sdk.try_grpc(envoy.port(), "none", &tries).await?,
        _ => sdk.try_all(&url, "none", binding, &tries).await?,
    };
    let results = line["tries"].as_array().with_context(|| line.to_string())?;
    let result = |one: &Value| one["results"].as_object().and_then(|all| all.values().next()).cloned();
    results.iter().map(|one| result(one).with_context(|| line.to_string())).collect()
}

/// Clients and agents on the official SDKs: each reads the task, without the link where links are removed, and with it otherwise.
async fn clients(mesh: &Mesh) -> Result<()> {
    canary::keep("canary-of-a-link-of-a-remote-agent");
    for (sdk, version) in [(Sdk::Python1_0, "1.0"), (Sdk::Python0_3, "0.3")] {
        let url_file = place::logs().join(place::unique("remote-links-url"));
        std::fs::write(&url_file, "")?;
        let agent: Agent =
            if version == "1.0" { peer::agent_1_0(Some(&url_file)).await? } else { peer::agent_0_3(Some(&url_file)).await? };
        for (links, outcome, shown) in [("strip", "stripped", REMOVED), ("pass", "passed", LINK)] {
            let more = json!({"remote_links": links});
            let mut calls = file(mesh, agent.grpc_port.context("the agent speaks no gRPC")?, version, &more)?;
            let clusters = calls.value_mut()["static_resources"]["clusters"].as_array_mut().context("clusters")?;
            let remote = clusters.iter_mut().find(|cluster| cluster["name"] == "remote").context("remote")?;
            remote["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}});
            for (mut file, bindings) in [(file(mesh, agent.port, version, &more)?, &["jsonrpc", "http_json"][..]), (calls, &["grpc"])] {
                // Where links stay, they are counted with the tasks that wait.
                file.edit_plugin(|plugin| plugin["audit"] = json!({"auth_required": links == "pass"}))?;
                let envoy = Envoy::start("remote-links", &file, Options::default().own()).await?;
                std::fs::write(&url_file, format!("http://127.0.0.1:{}", envoy.port()))?;
                for binding in bindings {
                    for result in tried(sdk, &envoy, binding).await? {
                        let seen = || format!("{} {binding} {links}: {result}", sdk.name());
                        ensure!(result["state"] == "auth-required", "{}", seen());
                        let said = json!([{"text": format!("Open {shown} first.")}, {"data": {"link": shown}}]);
                        ensure!(result["said"] == said, "{}", seen());
                    }
                }
                let count = bindings.len() * 2;
                let least = u64::try_from(count * 2)?;
                let stat = format!("attache_remote_links.connection=.=partner;.;outcome=.={outcome};.;total");
                envoy.stat_reaches(&stat, least).await?;
                let records = records(&envoy);
                ensure!(records.len() == count, "{records:?}");
                for record in &records {
                    let told = &record["links"];
                    ensure!(told["origins"] == json!([ORIGIN]) && told[outcome].as_u64() >= Some(2), "{record}");
                }
            }
        }
    }
    Ok(())
}

/// Answers that cannot be read are refused where links are removed, and pass otherwise.
async fn unreadable(mesh: &Mesh) -> Result<()> {
    let remote = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let strip =
        Envoy::start("remote-links-strip", &file(mesh, remote.port, "1.0", &json!({"remote_links": "strip"}))?, Options::default()).await?;
    let pass = Envoy::start("remote-links-pass", &file(mesh, remote.port, "1.0", &json!({}))?, Options::default()).await?;
    let call = Call::post("/", &rpc(json!("a"), "SendMessage", message_1_0("hello"))).host("partner.example.com");
    let rest = Call::post("/message:send", &message_1_0("hello")).host("partner.example.com");
    let twice = r#"{"jsonrpc":"2.0","id":"a","result":{"status":{"state":"working"},"status":{"state":"auth-required"}}}"#;
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(5 * 1024 * 1024));
    for (what, answer) in [
        ("encoded", Answer::new("200 OK", "application/json", "{}").header("content-encoding", "br")),
        ("no JSON", Answer::new("200 OK", "application/json", "<html>")),
        ("two readings", Answer::new("200 OK", "application/json", twice)),
        ("too long", Answer::new("200 OK", "application/json", long)),
    ] {
        remote.answer(answer);
        refusal::check(&call.send(strip.port()).await?, "answer_unusable", &Form::Rpc(Value::Null)).with_context(|| what)?;
        refusal::check(&rest.send(strip.port()).await?, "answer_unusable", &Form::Status).with_context(|| what)?;
        ensure!(call.send(pass.port()).await?.status == 200, "{what}");
    }
    strip.refusal_logged(0, "answer_unusable").await?;
    // What the agent says when it fails is its own.
    remote.answer(Answer::new("503 Service Unavailable", "text/html", "<html>"));
    let reply = call.send(strip.port()).await?;
    ensure!(reply.status == 503 && reply.text() == "<html>", "{} {}", reply.status, reply.text());
    // A document that comes in parts, to a client that took compressed answers.
    let body = rpc(json!("a"), "x", json!({}));
    let mut answer = json!({"jsonrpc": "2.0", "id": body["id"], "result": {"task": {"id": "t", "status": {"state": "TASK_STATE_AUTH_REQUIRED",
        "message": {"messageId": "m", "parts": [{"text": format!("Open {LINK}, then go on.")}]}}}}});
    remote.answer(Answer::new("200 OK", "application/json", answer.to_string()));
    let reply = call.clone().header("accept-encoding", "gzip, br").send(strip.port()).await?;
    answer["result"]["task"]["status"]["message"]["parts"][0]["text"] = json!(format!("Open {REMOVED}, then go on."));
    ensure!(reply.status == 200 && reply.json() == answer, "{}", reply.text());
    Ok(())
}

/// A link that looks like one of the filter's is removed although links stay, and others stay.
async fn imitated(mesh: &'static Mesh) -> Result<()> {
    let house = SignIn::start(mesh, "imitated", Other { envoy: Options::default().own(), ..Other::default() }).await?;
    house.agree("ann", &house.link("ann").await?).await?;
    let ours = "https://consent.example.com/consent/start?link=imitated";
    for (link, shown) in [(ours, REMOVED), (LINK, LINK)] {
        let reply = house.send("ann", &format!("auth {link}")).await?;
        let parts = reply.json()["result"]["task"]["status"]["message"]["parts"].take();
        ensure!(parts[0]["text"] == format!("Open {shown} first.") && parts[1]["data"]["link"] == shown, "{}", reply.text());
    }
    house.envoy.stat_reaches("attache_remote_links.connection=.=hr;.;outcome=.=imitated;.;total", 2).await?;
    house.envoy.stat_reaches("attache_remote_links.connection=.=hr;.;outcome=.=passed;.;total", 2).await?;
    house.envoy.logged(&["its agent shows a link that looks like one of ours"]).await?;
    let records = records(&house.envoy);
    ensure!(records.len() == 2 && records[0]["links"]["origins"] == json!(["https://consent.example.com"]), "{records:?}");
    // Calls that go as their users are read as a whole anyway.
    let key = "canary-password-of-a-user-in-a-message";
    canary::keep(key);
    let said =
        message("hello", &json!({"metadata": {"password": key}})).bearer(&house.token("ann").await?).send(house.envoy.port()).await?;
    ensure!(said.reason().as_deref() == Some("credential_in_message"), "{}", said.text());
    Ok(())
}

/// Messages with a credential do not leave, over each binding, and no other message is kept.
async fn credentials(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let envoy = Envoy::start(
        "credentials-in-messages",
        &file(mesh, tap.port, "1.0", &json!({"credentials_in_messages": "refuse"}))?,
        Options::default(),
    )
    .await?;
    let key = "canary-access-token-in-a-message";
    canary::keep(key);
    let with = |part: Value| {
        let mut params = message_1_0("hello");
        params["message"]["parts"].as_array_mut().into_iter().for_each(|parts| parts.push(part.clone()));
        params
    };
    let bad = with(json!({"data": {"login": {"access_token": key}}}));
    for method in ["SendMessage", "SendStreamingMessage"] {
        let call = Call::post("/", &rpc(json!("a"), method, bad.clone())).host("partner.example.com");
        let reply = call.send(envoy.port()).await?;
        refusal::check(&reply, "credential_in_message", &Form::Rpc(json!("a")))?;
        ensure!(reply.text().contains("message.parts[1].data.login.access_token"), "{}", reply.text());
    }
    let rest = |params: &Value| Call::post("/message:send", params).host("partner.example.com");
    refusal::check(&rest(&bad).send(envoy.port()).await?, "credential_in_message", &Form::Status)?;
    // One part of the message, with a text.
    let text = format!("use Bearer {key}-0123456789");
    let part = [&[0x0a, u8::try_from(text.len())?], text.as_bytes()].concat();
    let message = [&[0x2a, u8::try_from(part.len())?], part.as_slice()].concat();
    let request = [&[0x12, u8::try_from(message.len())?], message.as_slice()].concat();
    let frame = [&[0, 0, 0, 0, u8::try_from(request.len())?], request.as_slice()].concat();
    let call = grpc::call(format!("{SERVICE_1_0}/SendMessage")).host("partner.example.com").body(frame);
    grpc::refused(&envoy, &call, 3, "credential_in_message").await?;
    ensure!(tap.heard().is_empty(), "some of it left: {:?}", tap.heard());
    envoy.refusal_logged(0, "credential_in_message").await?;

    // Any other goes on as it came.
    for call in [
        Call::post("/", &rpc(json!("b"), "SendMessage", with(json!({"data": {"password": "******"}})))),
        Call::post("/message:send", &with(json!({"text": "what is a bearer token?"}))),
    ] {
        let sent = tap.heard().len();
        let reply = call.host("partner.example.com").send(envoy.port()).await?;
        let heard = tap.heard();
        ensure!(reply.status == 200 && heard.len() == sent + 1, "{} {}", reply.status, reply.text());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("remote_links::clients_on_the_sdks_read_answers_with_and_without_links", clients);
    suite.add("remote_links::what_cannot_be_read_is_refused_where_links_are_removed", unreadable);
    suite.add("remote_links::a_link_that_looks_like_ours_is_removed", imitated);
    suite.add("remote_links::a_message_with_a_credential_does_not_leave", credentials);
}
