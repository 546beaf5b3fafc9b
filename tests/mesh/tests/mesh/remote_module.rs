//! Envoys that take the module from an HTTP server, by `envoy/remote-module.yaml`: with its checksum they serve, with another they refuse.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::place;
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::suite::Suite;

/// The example, with a server that has the module, and this checksum in it.
async fn example(mesh: &Mesh, sha256: &str) -> Result<(EnvoyFile, StandIn)> {
    let text = std::fs::read_to_string(place::root().join("envoy/remote-module.yaml"))?;
    let written: Value = serde_yaml_ng::from_str(&text.replace("MODULE_SHA256", sha256))?;
    let server = StandIn::start(Answer::new("200 OK", "application/wasm", std::fs::read(place::module(false))?)).await?;
    // All but where the module comes from is as in every test.
    let mut file = EnvoyFile::load("remote-module.yaml")?;
    file.wasm()?["vm_config"]["code"] = EnvoyFile::from_value(written).wasm()?["vm_config"]["code"].clone();
    let remote = &mut file.wasm()?["vm_config"]["code"]["remote"];
    ensure!(remote["sha256"] == sha256 && remote["http_uri"]["cluster"] == "modules", "{remote}");
    // To see the end of it soon.
    remote["retry_policy"] = json!({"num_retries": 2, "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.2s"}});
    file.cluster("modules", server.port)?;
    // The name of a host is not resolved in these tests.
    file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?.iter_mut().for_each(|cluster| {
        cluster["type"] = json!("STATIC");
    });
    file.cluster("agent", mesh.agent_1_0.port)?;
    file.cluster("idp", mesh.authorization.port)?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["issuer"] = json!(mesh.authorization.issuer);
        plugin["issuers"][0]["jwks"]["remote"]["uri"] = json!(mesh.authorization.jwks_uri);
    })?;
    Ok((file, server))
}

fn call() -> Call {
    Call::post("/", &rpc(json!(1), "SendMessage", message_1_0("hello"))).host("expense.example.com").version("1.0")
}

async fn serves_with_its_checksum(mesh: &Mesh) -> Result<()> {
    let digest: String = Sha256::digest(std::fs::read(place::module(false))?).iter().map(|byte| format!("{byte:02x}")).collect();
    let (file, server) = example(mesh, &digest).await?;
    let envoy = Envoy::start("remote-module", &file, Options::default().own()).await?;
    let refused = call().send(envoy.port()).await?;
    ensure!(refused.status == 401 && refused.reason().as_deref() == Some("credentials_missing"), "{}: {}", refused.status, refused.text());
    let answer = call().bearer(&mesh.token().await?).send(envoy.port()).await?;
    ensure!(answer.is_success() && answer.echo().is_some(), "{}: {}", answer.status, answer.text());
    ensure!(server.heads() >= 1, "nobody asked for the module");
    ensure!(envoy.stat("wasm.remote_load_fetch_successes").await? == 1, "Envoy fetched it more than once, or not at all");
    Ok(())
}

/// The module is a good one, but not the one that the configuration names.
async fn refuses_all_with_another_checksum(mesh: &Mesh) -> Result<()> {
    let (file, server) = example(mesh, &"0".repeat(64)).await?;
    let envoy = Envoy::start("remote-module-wrong", &file, Options::default().own()).await?;
    envoy.stat_reaches("wasm.remote_load_fetch_failures", 1).await?;
    let token = mesh.token().await?;
    let card = Call::get("/.well-known/agent-card.json?mark=remote-wrong").host("expense.example.com");
    for call in [call(), call().bearer(&token), card] {
        let reply = call.send(envoy.port()).await?;
        ensure!(reply.status == 503 && reply.echo().is_none(), "{}: {}", reply.status, reply.text());
    }
    ensure!(server.heads() >= 2, "Envoy did not try again");
    envoy.logged(&["Plugin configured to fail closed failed to load"]).await?;
    ensure!(mesh.agent_1_0.saw("remote-wrong").await? == 0, "the agent was asked");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("remote_module::serves_with_its_checksum", serves_with_its_checksum);
    suite.add("remote_module::refuses_all_with_another_checksum", refuses_all_with_another_checksum);
}
