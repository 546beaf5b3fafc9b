//! The Kubernetes resources of `envoy/` and of the pages that explain them: true to the schemas of whoever owns them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::{peer, place, process};
use serde_json::{Value, json};

use crate::suite::Suite;

/// How long a program that checks may take.
pub const CHECK: Duration = Duration::from_secs(240);
/// The folders with resources, and the pages about them.
const FOLDERS: [&str; 2] = ["istio", "gateway"];
const PAGES: [&str; 2] = ["istio.md", "envoy-gateway.md"];

/// All resources of a text.
fn documents(text: &str) -> Result<Vec<Value>> {
    text.split("\n---\n").map(|document| Ok(serde_yaml_ng::from_str(document)?)).collect()
}

/// All resources of a file in `envoy/`.
pub fn all_in(name: &str) -> Result<Vec<Value>> {
    let path = place::root().join("envoy").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    documents(&text).with_context(|| format!("in {}", path.display()))
}

/// The first resource of a kind in a file in `envoy/`.
pub fn of_kind(name: &str, kind: &str) -> Result<Value> {
    all_in(name)?.into_iter().find(|one| one["kind"] == kind).with_context(|| format!("{name} has no {kind}"))
}

/// What a value says.
pub fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

/// The files with resources of a folder in `envoy/`.
fn files(folder: &str) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(place::root().join("envoy").join(folder))?;
    let mut names = entries.map(|entry| Ok(format!("{folder}/{}", entry?.file_name().to_string_lossy()))).collect::<Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".yaml"));
    names.sort();
    Ok(names)
}

/// What the schemas find wrong in each of `list`.
pub(crate) async fn faults(list: &[Value]) -> Result<Vec<Vec<String>>> {
    let name = place::unique("validate-resources");
    let path = place::logs().join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_vec_pretty(list)?)?;
    let mut command = peer::node("validate_resources.mjs");
    command.arg(&path);
    let _turn = process::turn_to_run().await;
    let check = process::spawn(&name, command)?;
    let status = check.exit(CHECK).await.with_context(|| check.tail())?;
    let found: Vec<Vec<String>> = serde_json::from_str(&check.out()).with_context(|| check.tail())?;
    ensure!(found.len() == list.len(), "{} results for {} resources", found.len(), list.len());
    ensure!(status.success() == found.iter().all(Vec::is_empty), "it ended with {status}: {found:?}");
    Ok(found)
}

type Edit = fn(&mut Value);

/// What the schemas must refuse, by file, kind and place.
const WRONG: &[(&str, &str, &str, Edit)] = &[
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec/phase ", |it| it["spec"]["phase"] = json!("AUTHENTICATION")),
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec/failStrategy ", |it| it["spec"]["failStrategy"] = json!("FAIL_CLOSED")),
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec/sha256 ", |it| it["spec"]["sha256"] = json!("latest")),
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec ", |it| {
        it["spec"].as_object_mut().map(|spec| spec.remove("url"));
    }),
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec/plugin_config ", |it| it["spec"]["plugin_config"] = json!({})),
    ("istio/wasmplugin.yaml", "WasmPlugin", "/spec/match/0/ports/0/port ", |it| it["spec"]["match"][0]["ports"][0]["port"] = json!(1)),
    ("istio/wasmplugin.yaml", "WasmPlugin", "no schema ", |it| it["apiVersion"] = json!("extensions.istio.io/v1")),
    ("istio/trafficextension.yaml", "TrafficExtension", "/spec/wasm/failOpen ", |it| it["spec"]["wasm"]["failOpen"] = json!(false)),
    ("istio/trafficextension.yaml", "TrafficExtension", "/spec ", |it| it["spec"]["targetRefs"] = json!([])),
    ("istio/trafficextension.yaml", "TrafficExtension", "/spec/phase ", |it| it["spec"]["phase"] = json!("UNSPECIFIED_PHASE")),
    ("istio/envoyfilter.yaml", "EnvoyFilter", "/spec/configPatches/0/applyTo ", |it| {
        it["spec"]["configPatches"][0]["applyTo"] = json!("FILTER");
    }),
    ("istio/envoyfilter.yaml", "EnvoyFilter", "/spec/configPatches/0/patch/value ", |it| {
        it["spec"]["configPatches"][0]["patch"]["value"] = json!("text");
    }),
    ("istio/envoyfilter.yaml", "EnvoyFilter", "/spec/configPatches/0/match/listener/port ", |it| {
        it["spec"]["configPatches"][0]["match"]["listener"]["port"] = json!(8080);
    }),
    ("istio/envoyfilter.yaml", "EnvoyFilter", "/spec/selector ", |it| it["spec"]["selector"] = json!({})),
    ("istio/routes.yaml", "VirtualService", "/spec/http/0/match/0/headers/a2a-version/is ", |it| {
        it["spec"]["http"][0]["match"][0]["headers"]["a2a-version"] = json!({"exact": "1.0", "is": "1.0"});
    }),
    ("istio/authorization.yaml", "AuthorizationPolicy", "/spec/action ", |it| it["spec"]["action"] = json!("REFUSE")),
    ("istio/authorization.yaml", "RequestAuthentication", "/spec/jwtRules/0/audience ", |it| {
        it["spec"]["jwtRules"][0]["audience"] = json!("a");
    }),
    ("istio/callers.yaml", "PeerAuthentication", "/spec/mtls/mode ", |it| it["spec"]["mtls"]["mode"] = json!("MUTUAL")),
    ("gateway/extensionpolicy.yaml", "EnvoyExtensionPolicy", "/spec/wasm/0/rootId ", |it| it["spec"]["wasm"][0]["rootId"] = json!("a")),
    ("gateway/extensionpolicy.yaml", "EnvoyExtensionPolicy", "/spec/wasm/0/code ", |it| {
        it["spec"]["wasm"][0]["code"]["type"] = json!("HTTP")
    }),
    ("gateway/extensionpolicy.yaml", "EnvoyExtensionPolicy", "/spec/wasm/0/code/sha256 ", |it| {
        it["spec"]["wasm"][0]["code"]["sha256"] = json!("0".repeat(64));
    }),
    ("gateway/extensionpolicy-holding.yaml", "EnvoyPatchPolicy", "/spec/jsonPatches/0/operation/op ", |it| {
        it["spec"]["jsonPatches"][0]["operation"]["op"] = json!("merge");
    }),
    ("gateway/gateway.yaml", "ClientTrafficPolicy", "/spec/connection/bufferLimit ", |it| {
        it["spec"]["connection"]["bufferLimit"] = json!("2 MiB");
    }),
    ("gateway/gateway.yaml", "HTTPRoute", "/spec/rules/0/matches/0/headers/0/exact ", |it| {
        it["spec"]["rules"][0]["matches"][0]["headers"][0]["exact"] = json!("1.0");
    }),
    ("gateway/issuer.yaml", "BackendTLSPolicy", "/spec/validation/sni ", |it| it["spec"]["validation"]["sni"] = json!("a")),
];

/// The YAML of the pages: whole resources, and what is to be put into one.
fn blocks(page: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(place::root().join("docs").join(page))?;
    Ok(text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect())
}

/// A part of a resource that a page shows: it is YAML, and annotations that hold JSON hold it.
fn fragment(block: &str) -> Result<()> {
    for part in documents(block)? {
        ensure!(part.is_object() || part.is_array(), "neither members nor a list: {block}");
        let annotations = [&part["metadata"]["annotations"], &part["annotations"], &part];
        for (name, value) in annotations.into_iter().filter_map(Value::as_object).flatten() {
            if name.starts_with("sidecar.istio.io/userVolume") {
                serde_json::from_str::<Vec<Value>>(text(value)?).with_context(|| format!("{name}: {value}"))?;
            }
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("resources::the_files_satisfy_the_schemas", async |_| {
        let (mut all, mut names) = (Vec::new(), Vec::new());
        for name in FOLDERS.iter().map(|folder| files(folder)).collect::<Result<Vec<_>>>()?.concat() {
            let own = all_in(&name)?;
            names.extend(own.iter().map(|one| format!("{name}: {} {}", one["kind"], one["metadata"]["name"])));
            all.extend(own);
        }
        ensure!(all.len() > 25, "only {} resources", all.len());
        let found = faults(&all).await?;
        let wrong: Vec<_> = names.iter().zip(&found).filter(|(_, found)| !found.is_empty()).collect();
        ensure!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    });
    suite.add("resources::the_schemas_refuse_wrong_fields", async |_| {
        let mut broken = Vec::new();
        for (name, kind, _, edit) in WRONG {
            let mut it = of_kind(name, kind)?;
            edit(&mut it);
            broken.push(it);
        }
        let found = faults(&broken).await?;
        for ((name, _, place, _), found) in WRONG.iter().zip(&found) {
            ensure!(found.iter().any(|fault| fault.starts_with(place)), "{name}: no fault at {place:?} in {found:?}");
        }
        Ok(())
    });
    suite.add("resources::the_pages_show_resources_that_satisfy_the_schemas", async |_| {
        let (mut whole, mut fragments) = (Vec::new(), 0);
        for page in PAGES {
            for block in blocks(page)? {
                if block.contains("apiVersion:") {
                    whole.extend(documents(&block).with_context(|| block.clone())?);
                } else {
                    fragment(&block).with_context(|| format!("{page}: {block}"))?;
                    fragments += 1;
                }
            }
        }
        ensure!(whole.len() + fragments > 5, "{} resources and {fragments} parts of one", whole.len());
        let found = faults(&whole).await?;
        ensure!(found.iter().all(Vec::is_empty), "{found:?}");
        Ok(())
    });
    suite.add("resources::every_file_is_named_in_its_page", async |_| {
        for (folder, page) in FOLDERS.iter().zip(PAGES) {
            let text = std::fs::read_to_string(place::root().join("docs").join(page))?;
            for name in files(folder)? {
                ensure!(text.contains(&format!("(../envoy/{name})")), "docs/{page} does not name {name}");
            }
        }
        Ok(())
    });
}
