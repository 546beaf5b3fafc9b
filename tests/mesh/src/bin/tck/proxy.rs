//! The Envoy in front of the agent: `envoy/inbound.yaml`, with the agent's bindings, and an API key as what callers bring.

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::port::Reserved;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::kit::{Agent, HEADER, KEY, Kit, Run, USER};

/// The environment variable with the key of owned tasks.
const TASKS: &str = "TCK_TASKS_KEY";

/// A running one.
pub struct Proxy {
    pub url: String,
    _envoy: Envoy,
    _port: Reserved,
}

/// Starts it for a run.
pub async fn start(run: Run, kit: &Kit, agent: &Agent) -> Result<Proxy> {
    let port = Reserved::new()?;
    let url = format!("http://127.0.0.1:{}", port.port());
    let mut file = EnvoyFile::load("inbound.yaml")?;
    file.listen_on(&port)?;
    file.value_mut()["static_resources"]["clusters"] = clusters(agent);
    let manager = file.http_manager()?;
    manager["route_config"]["virtual_hosts"][0]["routes"] = routes(agent);
    if run == Run::Lent
        && let Some(filters) = manager["http_filters"].as_array_mut()
    {
        filters.insert(0, lending());
    }
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": [TASKS]});
    let configuration = plugin(kit, agent, &url)?;
    file.edit_plugin(|plugin| *plugin = configuration)?;
    let options = Options::default().env(TASKS, "the key of tasks that belong to whoever made them");
    let envoy = Envoy::start(&format!("tck-{run:?}").to_lowercase(), &file, options).await?;
    Ok(Proxy { url, _envoy: envoy, _port: port })
}

/// The filter's configuration.
fn plugin(kit: &Kit, agent: &Agent, url: &str) -> Result<Value> {
    let mut bindings: Vec<&str> = agent.bindings.iter().map(|(binding, _)| *binding).collect();
    let paths = agent.bindings.iter().filter(|(_, path)| !path.is_empty());
    let paths: serde_json::Map<String, Value> = paths.map(|(binding, path)| ((*binding).to_owned(), json!(path))).collect();
    // What belongs to callers is told by ids that messages of gRPC do not get.
    let owned = std::env::var("TCK_TASKS").is_ok_and(|tasks| tasks == "owned");
    let grpc = agent.grpc_port.is_some() && !owned;
    if grpc {
        bindings.push("grpc");
    }
    let mut version = json!({"bindings": bindings});
    if !paths.is_empty() {
        version["paths"] = json!(paths);
    }
    let mut own = json!({
        "name": "tck", "match": {"hosts": ["*"], "path_prefix": "/", "grpc": grpc},
        "public_url": url, "versions": {kit.version: version}, "card": {"access": "public"}, "security": [{"key": []}, {"name": []}],
        "push_notifications": push()?,
    });
    if owned {
        own["tasks"] = json!({"owned": {"keys": [{"id": "k1", "secret": "tasks"}]}});
    }
    Ok(json!({
        "schemes": {
            "key": {"api_key": {"in": "header", "name": HEADER, "keys": [{"id": USER, "sha256": digest(KEY)}]}},
            "name": {"basic": {"users": [{"id": USER, "sha256": digest(&format!("{USER}:{KEY}"))}]}},
        },
        "agents": [own],
        "secrets": {"tasks": {"env": TASKS}},
    }))
}

fn digest(secret: &str) -> String {
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rule for notifications. The TCK's receivers are on this machine: at a port that it takes when it starts (1.0), which no rule
/// can name before, or at 8888 (0.3).
fn push() -> Result<Value> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let (first, last) = range.trim().split_once(char::is_whitespace).context("no range of ports")?;
    let mut ports: Vec<u16> = (first.trim().parse()?..=last.trim().parse()?).collect();
    ports.extend([443, 8888]);
    Ok(json!({"schemes": ["http", "https"], "hosts": ["*"], "ports": ports, "private_addresses": true}))
}

fn clusters(agent: &Agent) -> Value {
    let one = |name: &str, port: u16| {
        json!({"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}})
    };
    let mut list = vec![one("agent", agent.port)];
    if let Some(port) = agent.grpc_port {
        let mut calls = one("agent_grpc", port);
        calls["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}});
        list.push(calls);
    }
    json!(list)
}

fn routes(agent: &Agent) -> Value {
    let mut list = vec![json!({"match": {"prefix": "/"}, "route": {"cluster": "agent", "timeout": "0s"}})];
    if agent.grpc_port.is_some() {
        list.insert(0, json!({"match": {"prefix": "/", "grpc": {}}, "route": {"cluster": "agent_grpc", "timeout": "0s"}}));
    }
    json!(list)
}

/// A filter before Attaché that adds the credential to requests that bring none.
fn lending() -> Value {
    json!({"name": "lending", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": [{"append": {
            "header": {"key": HEADER, "value": KEY}, "append_action": "ADD_IF_ABSENT"}}]}}})
}
