//! `envoy/gateway/` as Envoy Gateway writes it for its Envoys, started here with good and bad calls. What it writes is written down in
//! [`written`] as its source and golden files have it (1.10, `internal/xds/translator`: `wasm.go`, `testdata/out/xds-ir/wasm.*.yaml`), the
//! patches are applied as `jsonpatch.go` does. Envoy Gateway itself and Kubernetes do not run.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::Call;
use attache_mesh::mesh::{Mesh, send_1_0};
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::istio::{WASM, bad_calls, good_calls};
use crate::istio_chains::filter;
use crate::resources::{all_in, of_kind, text};
use crate::suite::Suite;

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// The part of a filter's name that says whose it is.
fn owner(policy: &Value) -> Result<String> {
    let metadata = &policy["metadata"];
    Ok(format!("envoyextensionpolicy/{}/{}/wasm/0", text(&metadata["namespace"])?, text(&metadata["name"])?))
}

/// Where Envoys fetch the module: Envoy Gateway serves it, whatever the policy names as its source.
struct Served {
    server: StandIn,
    sha256: String,
}

impl Served {
    async fn start() -> Result<Self> {
        let module = std::fs::read(place::module(false))?;
        let sha256 = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { server: StandIn::start(Answer::new("200 OK", "application/wasm", module)).await?, sha256 })
    }
}

/// The filter of a policy.
fn wasm(policy: &Value, sha256: &str) -> Result<Value> {
    let (one, owner) = (&policy["spec"]["wasm"][0], owner(policy)?);
    ensure!(one["failOpen"] == false, "a fault must never let a request through: {one}");
    let uri = format!("https://envoy-gateway.envoy-gateway-system.svc.cluster.local:18002/{sha256}.wasm");
    let retry = json!({"num_retries": 10, "retry_back_off": {"base_interval": "1s", "max_interval": "30s"}});
    Ok(json!({
        "name": format!("envoy.filters.http.wasm/{owner}"),
        "disabled": true,
        "typed_config": {"@type": WASM, "config": {
            "name": one["name"],
            "root_id": one["rootID"],
            "vm_config": {
                "vm_id": owner,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"remote": {
                    "http_uri": {"cluster": "wasm_cluster", "timeout": "10s", "uri": uri}, "sha256": sha256, "retry_policy": retry}},
                "environment_variables": {"host_env_keys": one["env"]["hostKeys"]},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": one["config"].to_string()},
        }},
    }))
}

/// The listener of gateway.yaml with the filter of `policy`. Routes stand in it, which Envoy Gateway sends apart (RDS).
fn written(policy: &Value, sha256: &str) -> Result<Value> {
    let gateway = of_kind("gateway/gateway.yaml", "Gateway")?;
    let client = &of_kind("gateway/gateway.yaml", "ClientTrafficPolicy")?["spec"];
    ensure!(client["connection"]["bufferLimit"] == "2Mi" && client["path"]["escapedSlashesAction"] == "RejectRequest", "{client}");
    let own = &gateway["spec"]["listeners"][0]["name"];
    let name = format!("{}/{}/{}", text(&gateway["metadata"]["namespace"])?, text(&gateway["metadata"]["name"])?, text(own)?);
    let enabled = json!({format!("envoy.filters.http.wasm/{}", owner(policy)?): {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}});
    let hosts = [of_kind("gateway/gateway.yaml", "HTTPRoute")?, of_kind("gateway/issuer.yaml", "HTTPRoute")?];
    let hosts = hosts.iter().map(|route| virtual_host(route, &name, &enabled)).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "per_connection_buffer_limit_bytes": 2 * 1024 * 1024,
        "max_connections_to_accept_per_socket_event": 1,
        "default_filter_chain": {"name": name, "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "http-80",
                "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
                "http_filters": [
                    wasm(policy, sha256)?,
                    filter("envoy.filters.http.router", "router.v3.Router", json!({"suppress_envoy_headers": true})),
                ],
                "merge_slashes": true,
                "normalize_path": true,
                "path_with_escaped_slashes_action": "REJECT_REQUEST",
                "server_header_transformation": "PASS_THROUGH",
                "use_remote_address": true,
                "route_config": {"name": name, "ignore_port_in_host_matching": true, "virtual_hosts": hosts},
            },
        }]},
    }))
}

/// What an HTTPRoute leads to. A policy on the gateway is switched on for all of it.
fn virtual_host(route: &Value, listener: &str, enabled: &Value) -> Result<Value> {
    let (metadata, host) = (&route["metadata"], text(&route["spec"]["hostnames"][0])?);
    let of = format!("httproute/{}/{}/rule", text(&metadata["namespace"])?, text(&metadata["name"])?);
    let mut routes = Vec::new();
    for (index, rule) in route["spec"]["rules"].as_array().context("no rules")?.iter().enumerate() {
        let condition = &rule["matches"][0];
        let mut one = json!({"name": format!("{of}/{index}/match/0/{}", host.replace('.', "_")), "route": {
            "cluster": format!("{of}/{index}"), "upgrade_configs": [{"upgrade_type": "websocket"}]}});
        one["match"] = match condition["path"]["value"].as_str() {
            Some(prefix) => json!({"path_separated_prefix": prefix}),
            None => json!({"prefix": "/"}),
        };
        if let Some(headers) = condition["headers"].as_array() {
            let exact = headers.iter().map(|header| json!({"name": header["name"], "string_match": {"exact": header["value"]}}));
            one["match"]["headers"] = exact.collect();
        }
        if let Some(timeout) = rule["timeouts"]["request"].as_str() {
            one["route"]["timeout"] = json!(timeout);
        }
        if rule["filters"][0]["urlRewrite"]["path"]["replacePrefixMatch"] == "/" {
            let prefix = text(&condition["path"]["value"])?;
            one["route"]["regex_rewrite"] = json!({"pattern": {"regex": format!("^{prefix}/*")}, "substitution": "/"});
        }
        routes.push(one);
    }
    let name = format!("{listener}/{}", host.replace('.', "_"));
    // Calls of the tests name the loopback address.
    let domains = if host == "expense.example.com" { json!([host, "127.0.0.1"]) } else { json!([host]) };
    Ok(json!({"name": name, "domains": domains, "routes": routes, "typed_per_filter_config": enabled}))
}

/// All elements of lists called `list` whose `name` is this, wherever they stand.
fn named<'v>(value: &'v mut Value, list: &str, name: &str, found: &mut Vec<&'v mut Value>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| named(one, list, name, found)),
        Value::Object(members) => {
            for (member, below) in members {
                match below.is_array() && member == list {
                    true => found.extend(below.as_array_mut().into_iter().flatten().filter(|one| one["name"] == name)),
                    false => named(below, list, name, found),
                }
            }
        }
        _ => {}
    }
}

/// Applies what an EnvoyPatchPolicy does to a listener, and answers with the clusters that it adds. Only what these files use is understood:
/// `add`, of a whole resource, or of a member below `..LIST[?(@.name=='NAME')].MEMBER…`, which must be there once.
fn patched(listener: &mut Value, policy: &Value) -> Result<Vec<Value>> {
    let mut clusters = Vec::new();
    for patch in policy["spec"]["jsonPatches"].as_array().context("no patches")? {
        let operation = &patch["operation"];
        ensure!(operation["op"] == "add", "{operation}");
        if patch["type"] == CLUSTER && operation["path"] == "" {
            ensure!(patch["name"] == operation["value"]["name"], "{patch}");
            clusters.push(operation["value"].clone());
            continue;
        }
        ensure!(patch["type"] == LISTENER && patch["name"] == listener["name"], "{} has no {patch}", listener["name"]);
        let path = text(&operation["jsonPath"])?.strip_prefix("..").context("no ..")?;
        let (list, rest) = path.split_once("[?(@.name=='").context("no name")?;
        let (name, rest) = rest.split_once("')]").context("no end of the name")?;
        let mut found = Vec::new();
        named(listener, list, name, &mut found);
        ensure!(found.len() == 1, "{} places for {path}", found.len());
        let mut place = found.pop().context("none")?;
        for member in rest.split('.').filter(|member| !member.is_empty()) {
            place = place.get_mut(member).with_context(|| format!("no {member} in {path}"))?;
        }
        let member = text(&operation["path"])?.trim_start_matches('/');
        ensure!(!member.contains('/'), "{member}");
        place[member] = operation["value"].clone();
    }
    Ok(clusters)
}

/// One of the two ways of `envoy/gateway/`.
#[derive(Clone, Copy)]
struct Way {
    file: &'static str,
    /// Whether the patches of the file are applied.
    is_patched: bool,
}

const PLAIN: Way = Way { file: "gateway/extensionpolicy.yaml", is_patched: false };
const HOLDING: Way = Way { file: "gateway/extensionpolicy-holding.yaml", is_patched: true };

fn cluster(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({"name": name, "connect_timeout": "10s", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}})
}

/// An Envoy of Envoy Gateway, for this mesh, in front of its agents or of a `stand_in`.
fn envoy_file(way: Way, mesh: &Mesh, served: &Served, stand_in: Option<u16>) -> Result<EnvoyFile> {
    let mut policy = of_kind(way.file, "EnvoyExtensionPolicy")?;
    let issuer = {
        let local = mesh.inbound_file()?.plugin()?;
        let config = &mut policy["spec"]["wasm"][0]["config"];
        for pointer in ["/issuers/0/issuer", "/issuers/0/jwks/remote/uri", "/agents/0/match/hosts"] {
            let place = config.pointer_mut(pointer).with_context(|| format!("no {pointer}"))?;
            *place = local.pointer(pointer).with_context(|| format!("no {pointer}"))?.clone();
        }
        text(&config["issuers"][0]["jwks"]["remote"]["cluster"])?.to_owned()
    };
    let mut listener = written(&policy, &served.sha256)?;
    if way.is_patched {
        let added = patched(&mut listener, &of_kind(way.file, "EnvoyPatchPolicy")?)?;
        ensure!(added.len() == 1 && added[0]["name"] == issuer.as_str(), "{added:?}");
    } else {
        ensure!(issuer == "httproute/agents/issuer/rule/0" || way.file == HOLDING.file, "{issuer}");
    }
    let clusters = [
        cluster("httproute/agents/expense/rule/0", stand_in.unwrap_or(mesh.agent_1_0.port)),
        cluster("httproute/agents/expense/rule/1", stand_in.unwrap_or(mesh.agent_0_3.port)),
        cluster(&issuer, mesh.authorization.port),
        cluster("wasm_cluster", served.server.port),
    ];
    let mut clusters = clusters.to_vec();
    if issuer != "httproute/agents/issuer/rule/0" {
        clusters.push(cluster("httproute/agents/issuer/rule/0", mesh.authorization.port));
    }
    Ok(EnvoyFile::from_value(json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    })))
}

async fn start(name: &str, way: Way, mesh: &Mesh, stand_in: Option<u16>) -> Result<Envoy> {
    let served = Served::start().await?;
    let file = envoy_file(way, mesh, &served, stand_in)?;
    Envoy::start(name, &file, Options::default().env("PARTNER_KEY", "canary-of-envoy-gateway")).await
}

async fn works(name: &'static str, way: Way, mesh: &'static Mesh) -> Result<()> {
    let envoy = start(&format!("{name}-good"), way, mesh, None).await?;
    good_calls(&envoy, way.is_patched, mesh).await?;
    // The route that makes the issuer's cluster leads nobody there.
    let reply = Call::get("/jwks").host("issuer.invalid").bearer(&mesh.token().await?).send(envoy.port()).await?;
    refusal::check(&reply, "unmatched", &Form::Status)?;
    let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let envoy = start(&format!("{name}-bad"), way, mesh, Some(agent.port)).await?;
    bad_calls(envoy.port(), &envoy, &agent, way.is_patched, mesh).await
}

pub fn add(suite: &mut Suite) {
    suite.add("envoy_gateway::without_patches_calls_are_served_and_refused", async |mesh| works("eg-plain", PLAIN, mesh).await);
    suite.add("envoy_gateway::with_patches_headers_are_held", async |mesh| works("eg-holding", HOLDING, mesh).await);
    suite.add("envoy_gateway::where_the_patches_are_not_applied_nothing_passes", async |mesh| {
        let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
        let envoy = start("eg-unpatched", Way { is_patched: false, ..HOLDING }, mesh, Some(agent.port)).await?;
        let reply = send_1_0("u").bearer(&mesh.token().await?).send(envoy.port()).await?;
        refusal::check(&reply, "headers_not_held", &Form::Rpc(Value::Null))?;
        ensure!(agent.heads() == 0, "{} requests reached the agent", agent.heads());
        Ok(())
    });
    suite.add("envoy_gateway::the_plugin_is_configured_as_in_inbound_yaml", async |_| {
        let want = EnvoyFile::load("inbound.yaml")?.plugin()?;
        for way in [PLAIN, HOLDING] {
            let mut plugin = of_kind(way.file, "EnvoyExtensionPolicy")?["spec"]["wasm"][0]["config"].clone();
            plugin["issuers"][0]["jwks"]["remote"]["cluster"] = json!("idp");
            let hold = plugin.as_object_mut().and_then(|plugin| plugin.remove("hold_headers"));
            ensure!(hold == (!way.is_patched).then_some(json!(false)), "{}: {hold:?}", way.file);
            ensure!(plugin == want, "{} has {plugin}, inbound.yaml {want}", way.file);
        }
        Ok(())
    });
    suite.add("envoy_gateway::the_bootstrap_has_the_labels_of_inbound_yaml", async |_| {
        let bootstrap = of_kind("gateway/gateway.yaml", "EnvoyProxy")?["spec"]["bootstrap"].clone();
        let merged: Value = serde_yaml_ng::from_str(text(&bootstrap["value"])?)?;
        let want = EnvoyFile::load("inbound.yaml")?.value()["stats_config"].clone();
        ensure!(bootstrap["type"] == "Merge" && merged == json!({"stats_config": want}), "{bootstrap}");
        Ok(())
    });
    suite.add("envoy_gateway::the_names_in_the_files_fit_each_other", async |_| {
        let gateway = all_in("gateway/gateway.yaml")?;
        let name = &of_kind("gateway/gateway.yaml", "Gateway")?["metadata"]["name"];
        for one in gateway.iter().chain(&all_in("gateway/issuer.yaml")?) {
            ensure!(one["metadata"]["namespace"] == "agents", "{one}");
            let (spec, kind) = (&one["spec"], text(&one["kind"])?);
            match kind {
                "HTTPRoute" => ensure!(&spec["parentRefs"][0]["name"] == name, "{one}"),
                "ClientTrafficPolicy" => ensure!(&spec["targetRefs"][0]["name"] == name, "{one}"),
                _ => {}
            }
        }
        for file in [PLAIN.file, HOLDING.file] {
            let policy = of_kind(file, "EnvoyExtensionPolicy")?;
            let target = json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}]);
            ensure!(policy["spec"]["targetRefs"] == target, "{file}: it must stand before every route: {policy}");
        }
        let issuer = all_in("gateway/issuer.yaml")?;
        let host = &issuer[0]["spec"]["endpoints"][0]["fqdn"]["hostname"];
        ensure!(&issuer[1]["spec"]["validation"]["hostname"] == host, "{issuer:?}");
        let patch = of_kind(HOLDING.file, "EnvoyPatchPolicy")?;
        let added = patch["spec"]["jsonPatches"].as_array().and_then(|all| all.last()).context("no patch")?["operation"]["value"].clone();
        let tls = &added["transport_socket"]["typed_config"];
        let names = &tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"][0]["matcher"]["exact"];
        ensure!(&tls["sni"] == host && names == host, "{added}");
        Ok(())
    });
}
