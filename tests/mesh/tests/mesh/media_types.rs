//! Media types: bodies that come with none over HTTP/2, and answers in a charset that their readers may go by. (What real
//! servers make of requests is in `attack_readers.rs`.)

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use http::Method;
use serde_json::{Value, json};

use crate::suite::{Suite, works};

const CARD: &str = r#"{"name": "Expense", "description": "Files expenses", "version": "1", "capabilities": {}, "skills": [],
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "supportedInterfaces": [{"url": "http://10.0.0.5:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}"#;

pub fn add(suite: &mut Suite) {
    suite.add("media_types::only_a_body_needs_one", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        let cancel = Call::new(Method::POST, format!("{AGENT}/tasks/none:cancel")).version("1.0").bearer(&token);
        let bare = |reply: Reply| {
            ensure!(reply.reason().as_deref() != Some("media_type_refused"), "{} {}", reply.status, reply.text());
            // The agent says itself that there is no such task.
            ensure!(reply.status == 404, "{} {}", reply.status, reply.text());
            Ok(())
        };
        bare(cancel.send(port).await?)?;
        bare(raw::http2(port, &cancel, 1, &[]).await?)?;
        bare(raw::http2(port, &cancel, 1, &[("x-checksum", "1")]).await?)?;
        let with_body = cancel.body("{}");
        for reply in [with_body.send(port).await?, raw::http2(port, &with_body, 1, &[]).await?] {
            refusal::check(&reply, "media_type_refused", &Form::Status)?;
        }
        let named = with_body.header("content-type", "application/json");
        bare(named.send(port).await?)?;
        works(port, &token).await.map(drop)
    });
    suite.add("media_types::a_call_in_another_charset_is_refused_with_its_id_and_never_arrives", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        let body = rpc(json!("charset"), "SendMessage", message_1_0("charset"));
        for kinds in [&["application/json; charset=utf-7"][..], &["text/plain"], &[], &["application/json", "application/json"]] {
            let call = Call::new(Method::POST, format!("{AGENT}?mark=charset")).version("1.0").bearer(&token).body(body.to_string());
            let call = kinds.iter().fold(call, |call, kind| call.header("content-type", kind));
            for reply in [call.send(port).await?, raw::http2(port, &call, 7, &[]).await?] {
                refusal::check(&reply, "media_type_refused", &Form::Rpc(json!("charset"))).with_context(|| format!("{kinds:?}"))?;
            }
        }
        let seen = mesh.agent_1_0.saw("mark=charset").await? + mesh.agent_0_3.saw("mark=charset").await?;
        ensure!(seen == 0, "{seen} of them reached an agent");
        works(port, &token).await.map(drop)
    });
    suite.add("media_types::answers_that_are_read_are_utf_8", answers);
}

async fn answers(mesh: &'static Mesh) -> Result<()> {
    let agent = StandIn::start(Answer::new("200 OK", "application/json", CARD)).await?;
    let mut file = mesh.inbound_file()?;
    file.cluster("expense_v1_0", agent.port)?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["MEDIA_TAG"]});
    file.edit_plugin(|plugin| {
        plugin["secrets"] = json!({"tag": {"env": "MEDIA_TAG"}});
        plugin["agents"][0]["tasks"] = json!({"owned": {"keys": [{"id": "one", "secret": "tag"}]}});
        plugin["agents"][0]["public_url"] = json!("https://expense.example.com/agents/expense");
    })?;
    let envoy = Envoy::start("media-types", &file, Options::default().env("MEDIA_TAG", "0123456789abcdef0123456789abcdef")).await?;
    let token = mesh.token().await?;
    let card = Call::get(format!("{AGENT}/.well-known/agent-card.json")).version("1.0");
    let task = json!({"jsonrpc": "2.0", "id": "t", "result": {"task": {"id": "t1", "contextId": "c1",
        "status": {"state": "TASK_STATE_COMPLETED"}}}});
    let task = task.to_string();
    let with = |kinds: &[&str], body: &str| {
        let mut answer = Answer::new("200 OK", "application/json", body);
        answer.headers = kinds.iter().map(|kind| ("content-type".to_owned(), (*kind).to_owned())).collect();
        answer
    };
    for good in [&["application/json; charset=UTF-8"][..], &["application/json"], &[], &["text/plain"]] {
        agent.answer(with(good, CARD));
        let reply = card.send(envoy.port()).await?;
        ensure!(reply.status == 200 && reply.json()["name"] == "Expense", "{good:?}: {} {}", reply.status, reply.text());
        agent.answer(with(good, &task));
        let reply = send_1_0("t").bearer(&token).send(envoy.port()).await?;
        let id = reply.json()["result"]["task"]["id"].as_str().map(str::to_owned);
        ensure!(reply.status == 200 && id.is_some_and(|id| id.starts_with("t1~")), "{good:?}: {} {}", reply.status, reply.text());
    }
    for bad in
        [&["application/json; charset=utf-7"][..], &["application/json; charset=utf-16"], &["json"], &["application/json", "text/html"]]
    {
        agent.answer(with(bad, CARD));
        let reply = card.send(envoy.port()).await?;
        refusal::check(&reply, "card_unavailable", &Form::Status).with_context(|| format!("{bad:?}"))?;
        agent.answer(with(bad, &task));
        let reply = send_1_0("t").bearer(&token).send(envoy.port()).await?;
        refusal::check(&reply, "answer_unusable", &Form::Rpc(Value::Null)).with_context(|| format!("{bad:?}"))?;
        ensure!(!reply.text().contains("t1"), "{bad:?}: {}", reply.text());
    }
    Ok(())
}
