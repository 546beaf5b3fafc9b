//! The files of `envoy/istio/`: true to Istio's schemas and to `envoy/inbound.yaml`, and the filters that they lead to
//! at work in a real Envoy. What istiod and the sidecar's agent make of them is written down here, in [`generated`] and
//! [`inserted`]; no Kubernetes runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{peer, place, process};
use serde_json::{Value, json};

use crate::suite::Suite;

/// Names that Istio gives to what `envoy/inbound.yaml` calls otherwise: (there, here). docs/istio.md has the same table.
const CLUSTERS: &[(&str, &str)] = &[
    ("idp", "outbound|443||auth.example.com"),
    ("expense_v1_0", "expense-v1-0.agents.svc.cluster.local"),
    ("expense_v0_3", "expense-v0-3.agents.svc.cluster.local"),
];
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const HOLDS: &str = "allow_on_headers_stop_iteration";
pub const CHECK: Duration = Duration::from_secs(240);

/// All resources of a file in `envoy/istio/`.
pub fn resources(name: &str) -> Result<Vec<Value>> {
    let path = place::root().join("envoy/istio").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.split("\n---\n").map(|document| serde_yaml_ng::from_str(document).with_context(|| format!("in {}", path.display()))).collect()
}

/// The one resource of a file in `envoy/istio/`.
pub fn resource(name: &str) -> Result<Value> {
    let mut all = resources(name)?;
    ensure!(all.len() == 1, "{name} holds {} resources", all.len());
    all.pop().context("none")
}

/// What Istio's schemas find wrong in each of `list`.
pub async fn faults(list: &[Value]) -> Result<Vec<Vec<String>>> {
    let name = place::unique("validate-istio");
    let path = place::logs().join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(list)?)?;
    let mut command = peer::node("validate_istio.mjs");
    command.arg(&path);
    let _turn = process::turn_to_run().await;
    let check = process::spawn(&name, command)?;
    let status = check.exit(CHECK).await.with_context(|| check.tail())?;
    let found: Vec<Vec<String>> = serde_json::from_str(&check.out()).with_context(|| check.tail())?;
    ensure!(found.len() == list.len(), "{} results for {} resources", found.len(), list.len());
    ensure!(status.success() == found.iter().all(Vec::is_empty), "it ended with {status}: {found:?}");
    Ok(found)
}

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
fn inserted(filter: &Value) -> Result<Value> {
    let patches = filter["spec"]["configPatches"].as_array().context("no configPatches")?;
    ensure!(patches.len() == 1, "{} patches", patches.len());
    let patch = &patches[0];
    ensure!(patch["applyTo"] == "HTTP_FILTER" && patch["match"]["context"] == "SIDECAR_INBOUND", "{patch}");
    ensure!(patch["patch"]["operation"] == "INSERT_FIRST", "{patch}");
    Ok(patch["patch"]["value"].clone())
}

/// The extension configuration that istiod generates for a WasmPlugin, once the agent fetched the module.
fn generated(plugin: &Value) -> Result<Value> {
    let spec = &plugin["spec"];
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

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

/// The plugin configuration of a filter.
fn plugin_of(filter: &Value) -> Result<Value> {
    let text = text(&filter["typed_config"]["config"]["configuration"]["value"])?;
    serde_json::from_str(text).context("the plugin configuration is not JSON")
}

/// Points a filter's plugin configuration at this mesh; all else stays as the file says.
fn at_home(filter: &mut Value, mesh: &Mesh) -> Result<()> {
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
fn listener_with(filter: Value, mesh: &Mesh) -> Result<EnvoyFile> {
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
    let mut filter = inserted(&resource("envoyfilter.yaml")?)?;
    at_home(&mut filter, mesh)?;
    listener_with(filter, mesh)
}

/// The inbound listener as wasmplugin.yaml makes it: the filter's configuration is discovered (ECDS), here from a file.
fn from_wasm_plugin(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut extension = generated(&resource("wasmplugin.yaml")?)?;
    at_home(&mut extension, mesh)?;
    ensure!(extension["typed_config"]["config"].get(HOLDS).is_none(), "a WasmPlugin cannot set {HOLDS}");
    let name = extension["name"].clone();
    extension["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    let folder = place::logs().join(place::unique("istio-extension"));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("extension.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&json!({"resources": [extension]}))?)?;
    let source = json!({"path_config_source": {"path": path}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let discovered = json!({"name": name, "config_discovery": {"config_source": source, "type_urls": [WASM]}});
    let mut file = listener_with(discovered, mesh)?;
    file.value_mut()["node"] = json!({"id": "sidecar", "cluster": "expense.agents"});
    Ok(file)
}

/// One of the two ways into a sidecar.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    holds: bool,
    file: fn(&Mesh) -> Result<EnvoyFile>,
}

const WAYS: &[Way] =
    &[Way { name: "envoyfilter", holds: true, file: from_envoy_filter }, Way { name: "wasmplugin", holds: false, file: from_wasm_plugin }];

/// Good calls reach the version that they ask for, verified.
async fn serves(way: Way, mesh: &Mesh) -> Result<()> {
    let envoy = Envoy::start(&format!("istio-{}", way.name), &(way.file)(mesh)?, Options::default()).await?;
    let token = mesh.token().await?;
    let subject = claims(&token)?["sub"].as_str().unwrap_or_default().to_owned();
    let by_query = Call::post(format!("{AGENT}?a2a-version=1.0"), &rpc(json!("q"), "SendMessage", message_1_0("q")));
    let calls = [
        (send_1_0("i"), "1.0", way.holds),
        (by_query, "1.0", way.holds),
        (send_0_3("i"), "0.3", way.holds),
        (send_0_3("i").version("0.3"), "0.3", way.holds),
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
        (Call::get("/nowhere").bearer(&token), "unmatched"),
    ];
    for (call, reason) in calls {
        let reply = call.send(envoy.port()).await?;
        let id = reply.json().get("id").cloned();
        refusal::check(&reply, reason, &id.map_or(Form::Status, Form::Rpc))?;
        envoy.refusal_logged(0, reason).await?;
    }
    ensure!(agent.whole() == 0, "{} refused requests reached the agent whole", agent.whole());
    ensure!(!way.holds || agent.heads() == 0, "{} refused requests reached the agent", agent.heads());
    let good = send_1_0("good").bearer(&token).send(envoy.port()).await?;
    ensure!(good.status == 200 && agent.whole() == 1, "a good call arrives whole: {} {}", good.status, agent.whole());
    Ok(())
}

type Edit = fn(&mut Value);

/// What the schemas must refuse, by file and place.
const WRONG: &[(&str, &str, Edit)] = &[
    ("wasmplugin.yaml", "/spec/phase ", |it| it["spec"]["phase"] = json!("AUTHENTICATION")),
    ("wasmplugin.yaml", "/spec/failStrategy ", |it| it["spec"]["failStrategy"] = json!("FAIL_CLOSED")),
    ("wasmplugin.yaml", "/spec/sha256 ", |it| it["spec"]["sha256"] = json!("latest")),
    ("wasmplugin.yaml", "/spec ", |it| {
        it["spec"].as_object_mut().map(|spec| spec.remove("url"));
    }),
    ("wasmplugin.yaml", "/spec/plugin_config ", |it| it["spec"]["plugin_config"] = json!({})),
    ("wasmplugin.yaml", "/spec/match/0/ports/0/port ", |it| it["spec"]["match"][0]["ports"][0]["port"] = json!(1)),
    ("wasmplugin.yaml", "no schema ", |it| it["apiVersion"] = json!("extensions.istio.io/v1")),
    ("envoyfilter.yaml", "/spec/configPatches/0/applyTo ", |it| it["spec"]["configPatches"][0]["applyTo"] = json!("FILTER")),
    ("envoyfilter.yaml", "/spec/configPatches/0/patch/value ", |it| it["spec"]["configPatches"][0]["patch"]["value"] = json!("text")),
    ("envoyfilter.yaml", "/spec/configPatches/0/match/listener/port ", |it| {
        it["spec"]["configPatches"][0]["match"]["listener"]["port"] = json!(8080);
    }),
    ("envoyfilter.yaml", "/spec/selector ", |it| it["spec"]["selector"] = json!({})),
    ("routes.yaml", "/spec/http/0/match/0/headers/a2a-version/is ", |it| {
        it["spec"]["http"][0]["match"][0]["headers"]["a2a-version"] = json!({"exact": "1.0", "is": "1.0"});
    }),
];

pub fn add(suite: &mut Suite) {
    suite.add("istio::the_files_satisfy_istios_schemas", async |_| {
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(place::root().join("envoy/istio"))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name.ends_with(".yaml"));
        names.sort();
        ensure!(
            names == ["admission-policy.yaml", "authorization-server.yaml", "envoyfilter.yaml", "routes.yaml", "wasmplugin.yaml"],
            "{names:?}"
        );
        let mut all = Vec::new();
        for name in &names {
            all.extend(resources(name)?);
        }
        let found = faults(&all).await?;
        ensure!(found.iter().all(Vec::is_empty), "{found:?}");
        Ok(())
    });
    suite.add("istio::the_schemas_refuse_wrong_fields", async |_| {
        let mut broken = Vec::new();
        for (name, _, edit) in WRONG {
            let mut it = resource(name)?;
            edit(&mut it);
            broken.push(it);
        }
        let found = faults(&broken).await?;
        for ((name, place, _), found) in WRONG.iter().zip(&found) {
            ensure!(found.iter().any(|fault| fault.starts_with(place)), "{name}: no fault at {place:?} in {found:?}");
        }
        Ok(())
    });
    suite.add("istio::the_plugin_is_configured_as_in_inbound_yaml", async |_| {
        let want = EnvoyFile::load("inbound.yaml")?.plugin()?;
        let filter = renamed(plugin_of(&inserted(&resource("envoyfilter.yaml")?)?)?)?;
        ensure!(filter == want, "envoyfilter.yaml has {filter}, inbound.yaml {want}");
        let mut plugin = renamed(resource("wasmplugin.yaml")?["spec"]["pluginConfig"].clone())?;
        let hold = plugin.as_object_mut().and_then(|plugin| plugin.remove("hold_headers"));
        ensure!(hold == Some(json!(false)), "wasmplugin.yaml must not hold headers: {hold:?}");
        ensure!(plugin == want, "wasmplugin.yaml has {plugin}, inbound.yaml {want}");
        Ok(())
    });
    suite.add("istio::the_envoyfilter_inserts_the_filter_of_inbound_yaml", async |_| {
        let mut file = EnvoyFile::load("inbound.yaml")?;
        let mut want = file.http_manager()?["http_filters"][0].clone();
        let mut filter = inserted(&resource("envoyfilter.yaml")?)?;
        let code = &filter["typed_config"]["config"]["vm_config"]["code"];
        ensure!(code["local"]["filename"] == "/etc/attache/attache.wasm", "{code}");
        for filter in [&mut want, &mut filter] {
            filter["typed_config"]["config"]["vm_config"]["code"] = Value::Null;
            filter["typed_config"]["config"]["configuration"]["value"] = Value::Null;
        }
        ensure!(filter == want, "envoyfilter.yaml has {filter}, inbound.yaml {want}");
        Ok(())
    });
    suite.add("istio::both_forms_guard_the_same_port_of_the_same_pods", async |_| {
        let (plugin, filter) = (resource("wasmplugin.yaml")?, resource("envoyfilter.yaml")?);
        ensure!(plugin["metadata"] == filter["metadata"], "{} {}", plugin["metadata"], filter["metadata"]);
        let (plugin, filter) = (&plugin["spec"], &filter["spec"]);
        ensure!(plugin["selector"]["matchLabels"] == filter["workloadSelector"]["labels"], "{plugin} {filter}");
        let port = &filter["configPatches"][0]["match"]["listener"]["portNumber"];
        ensure!(plugin["match"] == json!([{"mode": "SERVER", "ports": [{"number": port}]}]), "{} for port {port}", plugin["match"]);
        ensure!(plugin["phase"] == "AUTHN" && plugin["failStrategy"] == "FAIL_RELOAD", "{plugin}");
        Ok(())
    });
    suite.add("istio::the_keys_cluster_is_the_one_that_authorization_server_yaml_makes", async |_| {
        let all = resources("authorization-server.yaml")?;
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
        for route in resource("routes.yaml")?["spec"]["http"].as_array().context("no http")? {
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
