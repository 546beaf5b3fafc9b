//! Outbound Envoys whose connections obtain their credentials in any way that is asked for.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::authorization::AuthorizationServer;
use crate::envoy_file::EnvoyFile;
use crate::http::{Call, message_1_0, rpc};
use crate::mesh::Mesh;
use crate::peer::{self, Agent};
use crate::{place, process};

/// The audience of the remote agent.
pub const PARTNER: &str = "https://partner.example.com";
/// What the identity endpoint of App Service wants to see.
pub const IDENTITY_HEADER: &str = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";

/// `envoy/outbound.yaml` with other connections. Whatever the host, routes lead to cluster `remote`: the echoing agent.
/// `clusters` are more of them, by name and port.
pub fn outbound(mesh: &Mesh, connections: &[Value], secrets: &Value, clusters: &[(&str, u16)]) -> Result<EnvoyFile> {
    let mut file = mesh.outbound_file()?;
    for (name, port) in [("remote", mesh.agent_1_0.port)].iter().chain(clusters) {
        file.copy_cluster("partner", name)?;
        file.cluster(name, *port)?;
    }
    let authorization = &mesh.authorization;
    file.edit_plugin(|plugin| {
        plugin["issuers"] = json!([{"name": "corp", "issuer": authorization.issuer, "audiences": [mesh.audience],
            "jwks": {"remote": {"uri": authorization.jwks_uri, "cluster": "idp"}}}]);
        plugin["connections"] = json!(connections);
        plugin["secrets"] = secrets.clone();
    })?;
    let wasm = file.wasm()?;
    let variables: Vec<&Value> =
        secrets.as_object().into_iter().flat_map(|map| map.values()).filter_map(|secret| secret.get("env")).collect();
    wasm["vm_config"]["environment_variables"] = json!({"host_env_keys": variables});
    file.http_manager()?["route_config"]["virtual_hosts"] =
        json!([{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "remote", "timeout": "0s"}}]}]);
    Ok(file)
}

/// A connection `name` to `<name>.example.com`.
pub fn connection(name: &str, credential: &Value) -> Value {
    json!({"name": name, "match": {"hosts": [format!("{name}.example.com")], "path_prefix": "/"}, "version": "1.0",
           "pin": {"clusters": ["remote"]}, "credential": credential})
}

/// A client of the authorization server.
pub fn client(authorization: &AuthorizationServer, id: &str, authentication: &Value) -> Value {
    json!({"token_endpoint": {"uri": format!("{}/token", authorization.issuer), "cluster": "idp"}, "client_id": id,
           "authentication": authentication})
}

/// What is asked for the remote agent.
pub fn request() -> Value {
    json!({"resource": [PARTNER], "scopes": ["agent:read", "agent:execute"]})
}

/// SendMessage to the remote agent of connection `name`.
pub fn call(name: &str) -> Call {
    Call::post("/", &rpc(json!(name), "SendMessage", message_1_0(name))).host(&format!("{name}.example.com"))
}

/// The endpoints from which Azure gives its machines tokens.
pub async fn azure() -> Result<Agent> {
    platform("azure").await
}

/// The metadata server of Google Cloud.
pub async fn google() -> Result<Agent> {
    platform("google").await
}

async fn platform(name: &str) -> Result<Agent> {
    let process = process::spawn(&place::unique(name), peer::node(&format!("{name}.mjs")))?;
    let port = process.ready_port(Duration::from_secs(240)).await?;
    Ok(Agent { process, port, grpc_port: None })
}
