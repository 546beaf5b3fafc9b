//! The files of `envoy/istio/`: true to `envoy/inbound.yaml`, and the filters that they lead to at work in a real Envoy. What istiod and the
//! sidecar's agent make of them is written down here, in [`generated`] and [`inserted`], and in [`crate::istio_chains`]; no Kubernetes runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};

use crate::istio_chains::{gateway_listener, gateway_routes};
use crate::resources::{all_in, of_kind, text};
use crate::suite::Suite;

/// Names that Istio gives to what `envoy/inbound.yaml` calls otherwise: (there, here). docs/istio.md has the same table.
const CLUSTERS: &[(&str, &str)] = &[
    ("idp", "outbound|443||auth.example.com"),
    ("expense_v1_0", "expense-v1-0.agents.svc.cluster.local"),
    ("expense_v0_3", "expense-v0-3.agents.svc.cluster.local"),
];
pub const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const HOLDS: &str = "allow_on_headers_stop_iteration";

/// `inbound.yaml`'s name of a cluster that Istio calls `name`.
fn there(name: &str) -> Result<&'static str> {
    let row = CLUSTERS.iter().find(|row| row.1 == name);
    row.map(|row| row.0).with_context(|| format!("CLUSTERS has no {name}"))
}

/// A plugin configuration with the names of clusters as `inbound.yaml` has them.
fn renamed(mut plugin: Value) -> Result<Value> {
    for issuer in plugin["issuers"].as_array_mut().context("no issuers")? {
        let cluster = &mut issuer["jwks"]["remote"]["cluster"];
        *cluster = json!(there(cluster.as_str().context("no cluster")?)?);
    }
    Ok(plugin)
}

/// The filter that an EnvoyFilter inserts.
pub fn inserted(filter: &Value) -> Result<Value> {
    let patches = filter["spec"]["configPatches"].as_array().context("no configPatches")?;
    let patch = &patches[0];
    let context = &patch["match"]["context"];
    ensure!(patch["applyTo"] == "HTTP_FILTER" && (context == "SIDECAR_INBOUND" || context == "GATEWAY"), "{patch}");
    ensure!(patch["patch"]["operation"] == "INSERT_FIRST", "{patch}");
    let value = &patch["patch"]["value"];
    // A discovered filter brings its configuration in a second patch, under the same name.
    let Some(second) = patches.get(1) else { return Ok(value.clone()) };
    ensure!(patches.len() == 2 && second["applyTo"] == "EXTENSION_CONFIG" && second["patch"]["operation"] == "ADD", "{second}");
    ensure!(&second["match"]["context"] == context, "{second}");
    ensure!(value["name"] == second["patch"]["value"]["name"] && value["config_discovery"]["type_urls"] == json!([WASM]), "{value}");
    Ok(second["patch"]["value"].clone())
}

/// The extension configuration that istiod generates for a WasmPlugin or a TrafficExtension, once the agent fetched the module.
pub fn generated(plugin: &Value) -> Result<Value> {
    let spec = if plugin["kind"] == "TrafficExtension" { &plugin["spec"]["wasm"] } else { &plugin["spec"] };
    let policy = match spec["failStrategy"].as_str() {
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        None | Some("FAIL_CLOSE") => "FAIL_CLOSED",
        other => bail!("failStrategy {other:?}: a fault must never let a request through"),
    };
    let mut values = BTreeMap::from([("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION".to_owned(), json!("1"))]);
    if let Some(policy) = spec["imagePullPolicy"].as_str() {
        values.insert("ISTIO_META_WASM_IMAGE_PULL_POLICY".to_owned(), json!(policy));
    }
    let mut host = Vec::new();
    for env in spec["vmConfig"]["env"].as_array().into_iter().flatten() {
        let name = env["name"].as_str().context("env without name")?;
        if env["valueFrom"] == "HOST" {
            host.push(name);
        } else {
            values.insert(name.to_owned(), env["value"].clone());
        }
    }
    let name = format!("{}.{}", text(&plugin["metadata"]["namespace"])?, text(&plugin["metadata"]["name"])?);
    Ok(json!({
        "name": name,
        "typed_config": {
            "@type": WASM,
            "config": {
                "name": name,
                "root_id": spec["pluginName"],
                "failure_policy": policy,
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": place::module(false)}},
                    "environment_variables": {"key_values": values, "host_env_keys": host},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": spec["pluginConfig"].to_string(),
                },
            },
        },
    }))
}

/// The plugin configuration of a filter.
pub fn plugin_of(filter: &Value) -> Result<Value> {
    let text = text(&filter["typed_config"]["config"]["configuration"]["value"])?;
    serde_json::from_str(text).context("the plugin configuration is not JSON")
}

/// Points a filter's plugin configuration at this mesh; all else stays as the file says.
pub fn at_home(filter: &mut Value, mesh: &Mesh) -> Result<()> {
    let local = mesh.inbound_file()?.plugin()?;
    let mut plugin = plugin_of(filter)?;
    for pointer in ["/issuers/0/issuer", "/issuers/0/jwks/remote/uri", "/agents/0/match/hosts"] {
        let place = plugin.pointer_mut(pointer).with_context(|| format!("no {pointer}"))?;
        *place = local.pointer(pointer).with_context(|| format!("no {pointer}"))?.clone();
    }
    filter["typed_config"]["config"]["configuration"]["value"] = json!(plugin.to_string());
    filter["typed_config"]["config"]["vm_config"]["code"] = json!({"local": {"filename": place::module(false)}});
    Ok(())
}

/// `envoy/inbound.yaml` for this mesh with `filter` in the place of its own, and the authorization server under the name
/// that Istio gives to its cluster.
pub fn listener_with(filter: Value, mesh: &Mesh) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    let filters = file.http_manager()?["http_filters"].as_array_mut().context("no http_filters")?;
    filters.retain(|filter| filter["typed_config"]["@type"] != WASM);
    ensure!(filters.len() == 1, "only the router should be left: {filters:?}");
    filters.insert(0, filter);
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let (old, new) = CLUSTERS[0];
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == old).with_context(|| format!("no cluster {old}"))?;
    cluster["name"] = json!(new);
    cluster["load_assignment"]["cluster_name"] = json!(new);
    Ok(file)
}

/// The inbound listener as envoyfilter.yaml makes it.
fn from_envoy_filter(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut filter = inserted(&of_kind("istio/envoyfilter.yaml", "EnvoyFilter")?)?;
    at_home(&mut filter, mesh)?;
    listener_with(filter, mesh)
}

/// A filter whose configuration is discovered (ECDS), here from a file.
pub fn discovered(mut extension: Value) -> Result<Value> {
    let name = extension["name"].clone();
    extension["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    let folder = place::logs().join(place::unique("istio-extension"));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("extension.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&json!({"resources": [extension]}))?)?;
    let source = json!({"path_config_source": {"path": path}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    Ok(json!({"name": name, "config_discovery": {"config_source": source, "type_urls": [WASM]}}))
}

/// What a proxy of Istio says of itself; whoever discovers anything must.
pub fn node(file: &mut EnvoyFile) {
    file.value_mut()["node"] = json!({"id": "sidecar", "cluster": "expense.agents"});
}

/// The filter that a WasmPlugin leads to.
pub fn of_wasm_plugin(plugin: &Value, mesh: &Mesh) -> Result<Value> {
    let mut extension = generated(plugin)?;
    at_home(&mut extension, mesh)?;
    ensure!(extension["typed_config"]["config"].get(HOLDS).is_none(), "a WasmPlugin cannot set {HOLDS}");
    discovered(extension)
}

/// The inbound listener as wasmplugin.yaml makes it.
fn from_wasm_plugin(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut file = listener_with(of_wasm_plugin(&of_kind("istio/wasmplugin.yaml", "WasmPlugin")?, mesh)?, mesh)?;
    node(&mut file);
    Ok(file)
}

/// A gateway's listener as gateway.yaml and gateway-envoyfilter.yaml make it.
fn from_gateway_envoy_filter(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut filter = inserted(&of_kind("istio/gateway-envoyfilter.yaml", "EnvoyFilter")?)?;
    at_home(&mut filter, mesh)?;
    gateway_listener(listener_with(filter, mesh)?, gateway_routes(&of_kind("istio/gateway.yaml", "HTTPRoute")?)?)
}

/// A gateway's listener as gateway.yaml and gateway-wasmplugin.yaml make it.
fn from_gateway_wasm_plugin(mesh: &Mesh) -> Result<EnvoyFile> {
    let filter = of_wasm_plugin(&of_kind("istio/gateway-wasmplugin.yaml", "WasmPlugin")?, mesh)?;
    let mut file = gateway_listener(listener_with(filter, mesh)?, gateway_routes(&of_kind("istio/gateway.yaml", "HTTPRoute")?)?)?;
    node(&mut file);
    Ok(file)
}

/// A way into a proxy.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    holds: bool,
    file: fn(&Mesh) -> Result<EnvoyFile>,
}

const WAYS: &[Way] = &[
    Way { name: "envoyfilter", holds: true, file: from_envoy_filter },
    Way { name: "wasmplugin", holds: false, file: from_wasm_plugin },
    Way { name: "gateway_envoyfilter", holds: true, file: from_gateway_envoy_filter },
    Way { name: "gateway_wasmplugin", holds: false, file: from_gateway_wasm_plugin },
];

/// Good calls reach the version that they ask for, verified.
async fn serves(way: Way, mesh: &Mesh) -> Result<()> {
    let envoy = Envoy::start(&format!("istio-{}", way.name), &(way.file)(mesh)?, Options::default()).await?;
    good_calls(&envoy, way.holds, mesh).await
}

/// Good calls reach the version that they ask for, verified; what the client says of itself does not.
pub async fn good_calls(envoy: &Envoy, holds: bool, mesh: &Mesh) -> Result<()> {
    let token = mesh.token().await?;
    let subject = claims(&token)?["sub"].as_str().unwrap_or_default().to_owned();
    let by_query = Call::post(format!("{AGENT}?a2a-version=1.0"), &rpc(json!("q"), "SendMessage", message_1_0("q")));
    let calls = [
        (send_1_0("i"), "1.0", holds),
        (by_query, "1.0", holds),
        (send_0_3("i"), "0.3", holds),
        (send_0_3("i").version("0.3"), "0.3", holds),
        (send_1_0_http("i"), "1.0", true),
    ];
    for (call, version, named) in calls {
        let call = call.header("x-attache", "operation=\"CancelTask\"").header("x-attache-client", "mallory");
        let reply = call.bearer(&token).send(envoy.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let echo = reply.echo().with_context(|| format!("no echo in {}", reply.text()))?;
        ensure!(echo.agent() == version, "{version} came to {}", echo.agent());
        let operation: &[&str] = if named { &["SendMessage"] } else { &[] };
        ensure!(echo.header("a2a-version") == [version], "{:?}", echo.header("a2a-version"));
        let wanted: [(&str, &[&str]); 6] = [
            ("agent", &["expense"]),
            ("version", &[version]),
            ("client", &["caller"]),
            ("kind", &["service"]),
            ("subject", &[&subject]),
            ("operation", operation),
        ];
        for (member, values) in wanted {
            ensure!(echo.told(member) == values, "{member} is {:?}, not {values:?}", echo.told(member));
        }
        let scopes = echo.told("scopes").join(" ");
        ensure!(scopes.split(' ').any(|scope| scope == "agent:execute"), "{scopes}");
        ensure!(echo.path().starts_with('/') && !echo.path().contains("agents"), "{}", echo.path());
    }
    Ok(())
}

/// Bad calls get the refusal and do not reach the agent whole; with holding, not at all.
async fn guards(way: Way, mesh: &Mesh) -> Result<()> {
    let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let mut file = (way.file)(mesh)?;
    file.cluster("expense_v1_0", agent.port)?;
    file.cluster("expense_v0_3", agent.port)?;
    let envoy = Envoy::start(&format!("istio-guards-{}", way.name), &file, Options::default()).await?;
    bad_calls(envoy.port(), &envoy, &agent, way.holds, mesh).await?;
    let reply = Call::get("/nowhere").bearer(&mesh.token().await?).send(envoy.port()).await?;
    refusal::check(&reply, "unmatched", &Form::Status)
}

/// Bad calls to `port`, which lead to an Envoy whose agents are `agent`, and one good one.
pub async fn bad_calls(port: u16, envoy: &Envoy, agent: &StandIn, holds: bool, mesh: &Mesh) -> Result<()> {
    let token = mesh.token().await?;
    let unknown = Call::post(AGENT, &rpc(json!("u"), "DropTables", message_1_0("u"))).version("1.0");
    let mismatch = Call::post(AGENT, &rpc(json!("m"), "message/send", message_0_3("m"))).version("1.0");
    let calls = [
        (send_1_0("x"), "credentials_missing"),
        (send_1_0_http("x"), "credentials_missing"),
        (send_1_0("x").bearer("a.b.c"), "token_malformed"),
        (send_0_3("x").version("9.9").bearer(&token), "version_not_supported"),
        (unknown.bearer(&token), "operation_unknown"),
        (mismatch.bearer(&token), "version_mismatch"),
    ];
    for (call, reason) in calls {
        let reply = call.send(port).await?;
        let id = reply.json().get("id").cloned();
        refusal::check(&reply, reason, &id.map_or(Form::Status, Form::Rpc))?;
        envoy.refusal_logged(0, reason).await?;
    }
    ensure!(agent.whole() == 0, "{} refused requests reached the agent whole", agent.whole());
    ensure!(!holds || agent.heads() == 0, "{} refused requests reached the agent", agent.heads());
    let good = send_1_0("good").bearer(&token).send(port).await?;
    ensure!(good.status == 200 && agent.whole() == 1, "a good call arrives whole: {} {}", good.status, agent.whole());
    Ok(())
}

/// The plugin configurations of all files that are for the agent of inbound.yaml.
fn configurations() -> Result<Vec<(&'static str, bool, Value)>> {
    let mut all = Vec::new();
    for name in ["istio/envoyfilter.yaml", "istio/envoyfilter-fetched.yaml", "istio/gateway-envoyfilter.yaml"] {
        all.push((name, true, plugin_of(&inserted(&of_kind(name, "EnvoyFilter")?)?)?));
    }
    for name in ["istio/wasmplugin.yaml", "istio/gateway-wasmplugin.yaml", "istio/waypoint.yaml", "istio/canary.yaml"] {
        let own = all_in(name)?.into_iter().filter(|one| one["kind"] == "WasmPlugin");
        all.extend(own.map(|plugin| (name, false, plugin["spec"]["pluginConfig"].clone())));
    }
    let name = "istio/trafficextension.yaml";
    all.push((name, false, of_kind(name, "TrafficExtension")?["spec"]["wasm"]["pluginConfig"].clone()));
    Ok(all)
}

pub fn add(suite: &mut Suite) {
    suite.add("istio::the_plugin_is_configured_as_in_inbound_yaml", async |_| {
        let want = EnvoyFile::load("inbound.yaml")?.plugin()?;
        let all = configurations()?;
        ensure!(all.len() == 9, "{} configurations", all.len());
        for (name, holds, plugin) in all {
            let mut plugin = renamed(plugin)?;
            let hold = plugin.as_object_mut().and_then(|plugin| plugin.remove("hold_headers"));
            ensure!(hold == (!holds).then_some(json!(false)), "{name} holds headers, or does not: {hold:?}");
            let hosts = plugin["agents"][0]["match"]["hosts"].as_array_mut().context("no hosts")?;
            // Calls inside the mesh name the service in several ways.
            hosts.retain(|host| name != "istio/waypoint.yaml" || host == "expense.example.com");
            ensure!(plugin == want, "{name} has {plugin}, inbound.yaml {want}");
        }
        Ok(())
    });
    suite.add("istio::the_envoyfilters_insert_the_filter_of_inbound_yaml", async |_| {
        let mut file = EnvoyFile::load("inbound.yaml")?;
        let mut want = file.http_manager()?["http_filters"][0].clone();
        want["typed_config"]["config"]["vm_config"]["code"] = Value::Null;
        want["typed_config"]["config"]["configuration"]["value"] = Value::Null;
        for name in ["istio/envoyfilter.yaml", "istio/envoyfilter-fetched.yaml", "istio/gateway-envoyfilter.yaml"] {
            let mut filter = inserted(&of_kind(name, "EnvoyFilter")?)?;
            let vm = &mut filter["typed_config"]["config"]["vm_config"];
            if name == "istio/envoyfilter-fetched.yaml" {
                let uri = text(&vm["code"]["remote"]["http_uri"]["uri"])?;
                ensure!(uri.starts_with("oci://") && text(&vm["code"]["remote"]["sha256"])?.len() == 64, "{vm}");
                filter["name"] = want["name"].clone();
            } else {
                ensure!(vm["code"]["local"]["filename"] == "/etc/attache/attache.wasm", "{vm}");
            }
            let vm = &mut filter["typed_config"]["config"]["vm_config"];
            vm["code"] = Value::Null;
            if name.contains("gateway") {
                vm["vm_id"] = want["typed_config"]["config"]["vm_config"]["vm_id"].clone();
            }
            filter["typed_config"]["config"]["configuration"]["value"] = Value::Null;
            ensure!(filter == want, "{name} has {filter}, inbound.yaml {want}");
        }
        Ok(())
    });
    suite.add("istio::a_trafficextension_leads_to_the_same_filter", async |_| {
        let plugin = of_kind("istio/wasmplugin.yaml", "WasmPlugin")?;
        let extension = of_kind("istio/trafficextension.yaml", "TrafficExtension")?;
        ensure!(generated(&plugin)? == generated(&extension)?, "{plugin} {extension}");
        for member in ["selector", "match", "phase"] {
            ensure!(plugin["spec"][member] == extension["spec"][member], "{member}");
        }
        Ok(())
    });
    suite.add("istio::both_forms_guard_the_same_port_of_the_same_pods", async |_| {
        let plugin = of_kind("istio/wasmplugin.yaml", "WasmPlugin")?;
        let filter = of_kind("istio/envoyfilter.yaml", "EnvoyFilter")?;
        ensure!(plugin["metadata"] == filter["metadata"], "{} {}", plugin["metadata"], filter["metadata"]);
        let (plugin, filter) = (&plugin["spec"], &filter["spec"]);
        ensure!(plugin["selector"]["matchLabels"] == filter["workloadSelector"]["labels"], "{plugin} {filter}");
        let port = &filter["configPatches"][0]["match"]["listener"]["portNumber"];
        ensure!(plugin["match"] == json!([{"mode": "SERVER", "ports": [{"number": port}]}]), "{} for port {port}", plugin["match"]);
        ensure!(plugin["phase"] == "AUTHN" && plugin["failStrategy"] == "FAIL_RELOAD", "{plugin}");
        Ok(())
    });
    suite.add("istio::the_keys_cluster_is_the_one_that_authorization_server_yaml_makes", async |_| {
        let all = all_in("istio/authorization-server.yaml")?;
        ensure!(all.len() == 2, "{all:?}");
        let (entry, rule) = (&all[0]["spec"], &all[1]["spec"]);
        let name = format!("outbound|{}||{}", entry["ports"][0]["number"], text(&entry["hosts"][0])?);
        ensure!(name == CLUSTERS[0].1, "{name}");
        ensure!(rule["host"] == entry["hosts"][0] && rule["trafficPolicy"]["tls"]["mode"] == "SIMPLE", "{rule}");
        Ok(())
    });
    suite.add("istio::the_routes_are_those_of_inbound_yaml", async |_| {
        let mut file = EnvoyFile::load("inbound.yaml")?;
        let manager = file.http_manager()?;
        let want = manager["route_config"]["virtual_hosts"][0]["routes"].clone();
        let mut got = Vec::new();
        for route in of_kind("istio/routes.yaml", "VirtualService")?["spec"]["http"].as_array().context("no http")? {
            let (condition, rewrite) = (&route["match"][0], &route["rewrite"]["uriRegexRewrite"]);
            let version = &condition["headers"]["a2a-version"];
            got.push(json!({
                "match": {
                    "path_separated_prefix": condition["uri"]["prefix"],
                    "headers": [{"name": "a2a-version", "string_match": version}],
                },
                "route": {
                    "cluster": there(text(&route["route"][0]["destination"]["host"])?)?,
                    "timeout": route["timeout"],
                    "regex_rewrite": {"pattern": {"regex": rewrite["match"]}, "substitution": rewrite["rewrite"]},
                },
            }));
        }
        ensure!(json!(got) == want, "routes.yaml leads to {got:?}, inbound.yaml has {want}");
        Ok(())
    });
    suite.add("istio::the_names_that_differ_are_documented", async |_| {
        let path = place::root().join("docs/istio.md");
        let text = std::fs::read_to_string(&path)?;
        for (there, here) in CLUSTERS {
            let here = here.replace('|', "\\|");
            let line = text.lines().find(|line| line.contains(&format!("`{there}`")) && line.contains(&format!("`{here}`")));
            ensure!(line.is_some(), "{there} and {here} are not on one line of {}", path.display());
        }
        Ok(())
    });
    for way in WAYS {
        suite.add(format!("istio::{}_serves_good_calls_verified", way.name), async |mesh| serves(*way, mesh).await);
        suite.add(format!("istio::{}_refuses_bad_calls_before_the_agent", way.name), async |mesh| guards(*way, mesh).await);
    }
}
