//! Tasks that wait for credentials (`AUTH_REQUIRED`), of agents on the SDKs of both versions: counted, recorded and published, while
//! clients read the same as without Envoy. Of agents behind this Envoy, and of a remote one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::{Agent, Sdk};
use attache_mesh::port::Reserved;
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::grpc;
use crate::suite::Suite;

/// What each client does: the first two answers say that the task waits for credentials.
const TRIES: &str =
    r#"[{"op": "send", "text": "auth, please"}, {"op": "stream", "text": "auth, please"}, {"op": "send", "text": "hello"}]"#;

/// Clients of both versions, and over which bindings they talk.
const TALKS: [(Sdk, &str); 6] = [
    (Sdk::Python1_0, "jsonrpc"),
    (Sdk::Python1_0, "http_json"),
    (Sdk::Python1_0, "grpc"),
    (Sdk::Python0_3, "jsonrpc"),
    (Sdk::Python0_3, "http_json"),
    (Sdk::Python0_3, "grpc"),
];

/// The states that a client read, of a line of [`TRIES`].
fn states(line: &Value) -> Result<Vec<Value>> {
    let tries = line["tries"].as_array().with_context(|| line.to_string())?;
    let state = |one: &Value| one["results"].as_object().and_then(|results| results.values().next()).map(|result| result["state"].clone());
    tries.iter().map(|one| state(one).with_context(|| one.to_string())).collect()
}

/// The records of answers in the log: binding and version.
fn records(envoy: &Envoy) -> Vec<Value> {
    let log = envoy.log();
    let lines = log.lines().filter_map(|line| line.split_once("attache: audit "));
    let lines = lines.filter_map(|(_, json)| serde_json::from_str::<Value>(json.trim_end()).ok());
    lines.filter(|record| record["task_state"] == "auth_required").collect()
}

async fn inbound(mesh: &Mesh) -> Result<()> {
    let port = Reserved::new()?;
    let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
    let access = place::logs().join(place::unique("access-task-states.log"));
    let mut file = mesh.inbound_file()?;
    file.listen_on(&port)?;
    grpc::offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
    file.edit_plugin(|plugin| {
        plugin["agents"][0]["public_url"] = json!(url);
        plugin["audit"] = json!({"auth_required": true});
    })?;
    file.http_manager()?["access_log"] = json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": access, "log_format": {"text_format_source": {"inline_string": "%FILTER_STATE(wasm.attache.task_state:PLAIN)%\n"}},
        },
    }]);
    let envoy = Envoy::start("task-states", &file, Options::default().own()).await?;
    let token = mesh.token().await?;
    for (sdk, binding) in TALKS {
        let agent: &Agent = if sdk.version() == "1.0" { &mesh.agent_1_0 } else { &mesh.agent_0_3 };
        let [through, direct] = if binding == "grpc" {
            let own = agent.grpc_port.context("the agent speaks no gRPC")?;
            [sdk.try_grpc(envoy.port(), &token, TRIES).await?, sdk.try_grpc(own, &token, TRIES).await?]
        } else {
            let own = format!("http://127.0.0.1:{}", agent.port);
            [sdk.try_all(&url, &token, binding, TRIES).await?, sdk.try_all(&own, &token, binding, TRIES).await?]
        };
        let (through, direct) = (states(&through)?, states(&direct)?);
        ensure!(through == ["auth-required", "auth-required", "completed"] && through == direct, "{binding}: {through:?}, {direct:?}");
        let version = sdk.version();
        let of = |operation: &str| {
            let fits = |record: &&Value| record["binding"] == binding && record["version"] == version && record["operation"] == operation;
            records(&envoy).iter().filter(fits).count()
        };
        let found = [of("SendMessage"), of("SendStreamingMessage")];
        ensure!(found == [1, 1], "{binding} {version}: {found:?} {:?}", records(&envoy));
    }
    let all = u64::try_from(TALKS.len())? * 2;
    let count = "attache_auth_required.agent=.=expense;.;total";
    envoy.stat_reaches(count, all).await?;
    ensure!(envoy.stat(count).await? == all && records(&envoy).len() == TALKS.len() * 2, "{:?}", records(&envoy));
    let decisions = envoy.stat("attache_decisions.").await?;
    envoy.stop();
    let published = wait::until("the access log", Duration::from_secs(10), async || {
        let text = std::fs::read_to_string(&access).unwrap_or_default();
        Ok((u64::try_from(text.lines().count())? >= decisions).then_some(text))
    })
    .await?;
    let published = published.lines().filter(|line| *line == "auth_required").count();
    ensure!(published == TALKS.len() * 2, "{published} in the access log");
    Ok(())
}

async fn of_a_remote_agent(mesh: &Mesh) -> Result<()> {
    let mut file = outbound(mesh, &[connection("asks", &json!({"none": {}}))], &json!({}), &[])?;
    file.edit_plugin(|plugin| plugin["audit"] = json!({"auth_required": true}))?;
    let envoy = Envoy::start("task-states-outbound", &file, Options::default().own()).await?;
    let send = |method: &str, text: &str| {
        Call::post("/", &rpc(json!("a"), method, message_1_0(text))).host("asks.example.com").header("accept-encoding", "identity")
    };
    for (method, text, says) in [("SendMessage", "auth", true), ("SendStreamingMessage", "auth", true), ("SendMessage", "hello", false)] {
        let reply = send(method, text).send(envoy.port()).await?;
        ensure!(reply.status == 200 && reply.text().contains("TASK_STATE_AUTH_REQUIRED") == says, "{}", reply.text());
    }
    envoy.stat_reaches("attache_auth_required.connection=.=asks;.;total", 2).await?;
    let records = records(&envoy);
    ensure!(records.len() == 2 && records.iter().all(|record| record["connection"] == "asks"), "{records:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("task_states::agents_that_ask_for_credentials_are_noticed", async |mesh| inbound(mesh).await);
    suite.add("task_states::remote_agents_that_ask_for_credentials_are_noticed", async |mesh| of_a_remote_agent(mesh).await);
}
