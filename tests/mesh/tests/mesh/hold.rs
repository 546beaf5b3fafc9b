//! Holding headers: the watchdog when Envoy will not do it, and the mode that does without.

use std::time::Duration;

use anyhow::{Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, get_task_1_0_http, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::raw::{self, chunked, head};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};

use crate::suite::Suite;

const OPTION: &str = "allow_on_headers_stop_iteration";

/// The inbound file without Envoy's option, as a plain Istio WasmPlugin leads to.
fn without_option(mesh: &Mesh, hold: bool) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    ensure!(file.wasm()?[OPTION] == true, "envoy/inbound.yaml must set {OPTION}");
    file.wasm()?.as_object_mut().map(|config| config.remove(OPTION));
    file.edit_plugin(|plugin| plugin["hold_headers"] = json!(hold))?;
    Ok(file)
}

async fn streaming(mesh: &Mesh, name: &str) -> Result<Envoy> {
    Envoy::start(name, &without_option(mesh, false)?, Options::default()).await
}

/// The refusal, or the cut connection that stands for it once the agent began to answer.
fn is_refused(outcome: &Result<Reply>, reason: &str) -> bool {
    match outcome {
        Ok(reply) => reply.reason().as_deref() == Some(reason),
        Err(_) => true,
    }
}

/// Bodies that must never reach an agent whole, and why.
fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let unknown = rpc(json!("u"), "DropTables", message_1_0("u")).to_string();
    let other = rpc(json!("u"), "message/send", message_1_0("u")).to_string();
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{},"method":"SendMessage"}"#.to_owned();
    let rows =
        [("operation_unknown", unknown), ("version_mismatch", other), ("request_malformed", twice), ("body_malformed", "{".to_owned())];
    rows.into_iter().map(|(reason, body)| (reason, body.into_bytes())).collect()
}

pub fn add(suite: &mut Suite) {
    suite.add("hold::without_envoys_option_the_answer_is_500_and_the_log_names_it", async |mesh| {
        let envoy = Envoy::start("not-held", &without_option(mesh, true)?, Options::default()).await?;
        let token = mesh.token().await?;
        let reply = send_1_0("held").bearer(&token).send(envoy.port()).await?;
        refusal::check(&reply, "headers_not_held", &Form::Rpc(Value::Null))?;
        envoy.logged(&["attache: ", OPTION]).await?;
        envoy.refusal_logged(0, "headers_not_held").await?;
        // Chunks, a body that never ends, HTTP/2 and a refusal on the way do not hang either.
        let open = head(
            &format!("POST {AGENT}"),
            &[
                ("host", b"expense.example.com"),
                ("a2a-version", b"1.0"),
                ("authorization", format!("Bearer {token}").as_bytes()),
                ("transfer-encoding", b"chunked"),
            ],
        );
        let reply = raw::http1(envoy.port(), &[open, b"1\r\n{\r\n".to_vec()]).await?;
        refusal::check(&reply, "headers_not_held", &Form::Rpc(Value::Null))?;
        let reply = raw::http2(envoy.port(), &send_1_0("held").bearer(&token), 1, &[("x-checksum", "1")]).await?;
        refusal::check(&reply, "headers_not_held", &Form::Rpc(Value::Null))?;
        let reply = send_1_0("held").send(envoy.port()).await?;
        ensure!(reply.reason().is_some(), "{} {}", reply.status, reply.text());
        // What needs no body is served.
        let reply = get_task_1_0_http("none").bearer(&token).send(envoy.port()).await?;
        ensure!(reply.status == 404 && reply.reason().is_none(), "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("hold::without_envoys_option_a_held_card_is_500_too", async |mesh| {
        let mut file = without_option(mesh, true)?;
        file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!("https://expense.example.com/agents/expense"))?;
        let envoy = Envoy::start("card-not-held", &file, Options::default()).await?;
        let card = Call::get(format!("{AGENT}/.well-known/agent-card.json")).host("expense.example.com").version("1.0");
        let reply = card.bearer(&mesh.token().await?).send(envoy.port()).await?;
        refusal::check(&reply, "headers_not_held", &Form::Status)?;
        envoy.logged(&["attache: ", OPTION]).await?;
        Ok(())
    });
    suite.add("hold::a_slow_client_is_not_taken_for_a_missing_option", async |mesh| {
        let token = mesh.token().await?;
        let authorization = format!("Bearer {token}");
        let long = "mallory".repeat(500);
        // Headers that the filter removes or sets must not upset its sums.
        let open = head(
            &format!("POST {AGENT}"),
            &[
                ("host", b"expense.example.com"),
                ("content-type", b"application/json"),
                ("a2a-version", b"1.0"),
                ("authorization", authorization.as_bytes()),
                ("x-attache-subject", long.as_bytes()),
                ("transfer-encoding", b"chunked"),
            ],
        );
        let body = rpc(json!("slow"), "SendMessage", message_1_0("slow")).to_string().into_bytes();
        let pieces = [vec![open], chunked(&body, body.len() / 2 + 1, &[])].concat();
        let reply = raw::http1_slowly(mesh.inbound.port(), &pieces, Duration::from_secs(3)).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        // The same for a refusal that waits for the id.
        let json: (&str, &[u8]) = ("content-type", b"application/json");
        let open = head(&format!("POST {AGENT}"), &[("host", b"expense.example.com"), json, ("transfer-encoding", b"chunked")]);
        let pieces = [vec![open], chunked(&body, body.len(), &[])].concat();
        let reply = raw::http1_slowly(mesh.inbound.port(), &pieces, Duration::from_secs(3)).await?;
        refusal::check(&reply, "credentials_missing", &Form::Rpc(json!("slow")))
    });
    suite.add("hold::without_holding_good_calls_pass_verified", async |mesh| {
        let envoy = streaming(mesh, "streaming").await?;
        let token = mesh.token().await?;
        for (call, version) in [(send_1_0("s"), "1.0"), (send_0_3("s"), "0.3"), (send_1_0_http("s"), "1.0")] {
            let call = call.header("x-attache-client", "mallory").bearer(&token);
            for reply in [call.send(envoy.port()).await?, raw::http2(envoy.port(), &call, 1, &[("x-checksum", "1")]).await?] {
                let echo = reply.echo().ok_or_else(|| anyhow::anyhow!("{} {}", reply.status, reply.text()))?;
                ensure!(echo.header("a2a-version") == [version] && echo.told("client") == ["caller"], "{:?}", echo.0);
                ensure!(echo.told("operation").iter().all(|operation| operation == "SendMessage"), "{:?}", echo.0);
            }
        }
        Ok(())
    });
    suite.add("hold::without_holding_a_card_of_the_agents_own_is_warned_of", async |mesh| {
        let mut file = without_option(mesh, false)?;
        file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!("https://expense.example.com/agents/expense"))?;
        let envoy = Envoy::start("streaming-cards", &file, Options::default()).await?;
        ensure!(envoy.log().contains("attache: agents[0].card.source: is upstream while hold_headers is off"), "no warning");
        ensure!(!mesh.inbound.log().contains("card.source: is upstream"), "a warning without need");
        Ok(())
    });
    suite.add("hold::without_holding_bad_credentials_and_versions_are_refused", async |mesh| {
        let envoy = streaming(mesh, "streaming-refused").await?;
        let token = mesh.token().await?;
        let reader = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        let calls = [
            (send_1_0("x"), "credentials_missing"),
            (send_1_0("x").bearer("a.b.c"), "token_malformed"),
            (send_1_0("x").bearer(&reader), "insufficient_scope"),
            (send_0_3("x").version("9.9").bearer(&token), "version_not_supported"),
            (Call::get("/nowhere"), "unmatched"),
        ];
        for (call, reason) in calls {
            let reply = call.send(envoy.port()).await?;
            // The id stands in a body that is not waited for here.
            let form = if reply.json().get("jsonrpc").is_some() { Form::Rpc(Value::Null) } else { Form::Status };
            refusal::check(&reply, reason, &form)?;
        }
        Ok(())
    });
    suite.add("hold::without_holding_a_bad_body_never_reaches_the_agent_whole", async |mesh| {
        let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
        let mut file = without_option(mesh, false)?;
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        let envoy = Envoy::start("streaming-bad", &file, Options::default()).await?;
        let token = mesh.token().await?;
        let base = send_1_0("base").bearer(&token);
        let before = base.send(envoy.port()).await?;
        ensure!(before.status == 200 && agent.whole() == 1, "a good call arrives whole: {}", before.status);
        let authorization = format!("Bearer {token}");
        let open = head(
            &format!("POST {AGENT}"),
            &[
                ("host", b"expense.example.com"),
                ("content-type", b"application/json"),
                ("a2a-version", b"1.0"),
                ("authorization", authorization.as_bytes()),
                ("transfer-encoding", b"chunked"),
            ],
        );
        for (reason, body) in bad_bodies() {
            let call = base.clone().body(body.clone());
            let mut pieces = vec![open.clone()];
            pieces.extend(chunked(&body, 5, &[]));
            let outcomes = [
                call.send(envoy.port()).await,
                raw::http1(envoy.port(), &pieces).await,
                raw::http2(envoy.port(), &call, 3, &[]).await,
                raw::http2(envoy.port(), &call, 3, &[("x-checksum", "1")]).await,
            ];
            for (index, outcome) in outcomes.iter().enumerate() {
                ensure!(is_refused(outcome, reason), "{reason}, way {index}: {outcome:?}");
            }
            ensure!(agent.whole() == 1, "{reason}: a bad request reached the agent whole");
        }
        ensure!(base.send(envoy.port()).await?.status == 200 && agent.whole() == 2, "the next good call works");
        Ok(())
    });
}
