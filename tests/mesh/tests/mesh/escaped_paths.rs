//! Prefixes with escaped slashes: Envoy's routes and the filter mean the same bytes, and the agent gets them unchanged.

use anyhow::{Result, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::wiretap::Wiretap;
use serde_json::json;

use crate::suite::Suite;

const PREFIX: &str = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123%3Aruntime%2Fx/invocations";

async fn byte_for_byte(mesh: &Mesh) -> Result<()> {
    let agent = Wiretap::start().await?;
    let mut core = connection("core", &json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}}));
    core["match"]["path_prefix"] = json!(PREFIX);
    let mut file = outbound(mesh, &[core], &json!({"key": {"env": "KEY"}}), &[])?;
    file.cluster("remote", agent.port)?;
    let manager = file.http_manager()?;
    manager["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
    ensure!(manager["normalize_path"] == true, "the documented file normalizes");
    // Envoy's router takes the bytes as they stand, too: a request that it read otherwise would find no route.
    manager["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"path_separated_prefix": PREFIX}, "route": {"cluster": "remote"}}]);
    let envoy = Envoy::start("escaped-paths", &file, Options::default().env("KEY", "key-123")).await?;
    let send = async |path: String| {
        let call = Call::post(path, &rpc(json!(1), "SendMessage", message_1_0("core"))).host("core.example.com");
        call.send(envoy.port()).await
    };
    for rest in ["", "/", "/?qualifier=DEFAULT"] {
        let reply = send(format!("{PREFIX}{rest}")).await?;
        ensure!(reply.status == 200, "{rest}: {} {}", reply.status, reply.text());
        let heard = agent.heard();
        let last = heard.last().map(|one| (one.line().to_owned(), one.header("x-api-key").join(",")));
        ensure!(last == Some((format!("POST {PREFIX}{rest} HTTP/1.1"), "key-123".to_owned())), "{rest}: {last:?}");
    }
    let before = agent.heard().len();
    for path in [
        format!("{}/", PREFIX.replace("%2F", "%2f")),
        format!("{}/", PREFIX.replace("%2F", "/")),
        format!("{}/", PREFIX.replace("%3A", "%3a")),
        format!("{}/", PREFIX.replace("%2F", "%252F")),
        format!("{PREFIX}/a%2Fb"),
        format!("{PREFIX}/%2e%2e/x"),
        format!("{PREFIX}%2F"),
        "/runtimes%2Fx".to_owned(),
    ] {
        let reply = send(path.clone()).await?;
        ensure!(matches!(reply.status, 400 | 404), "{path}: {} {}", reply.status, reply.text());
    }
    ensure!(agent.heard().len() == before, "nothing else left");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("escaped_paths::a_prefix_with_escapes_is_meant_byte_for_byte", byte_for_byte);
}
