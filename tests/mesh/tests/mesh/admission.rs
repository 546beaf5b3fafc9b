//! `envoy/istio/admission-policy.yaml`: its expressions, evaluated by an implementation of CEL on resources that ship, and on what somebody
//! could make of them. No Kubernetes runs. That the file satisfies Kubernetes' schemas is a test of `resources`.

use anyhow::{Context, Result, ensure};
use attache_mesh::{peer, place, process};
use serde_json::{Value, json};

use crate::resources::{CHECK, all_in, of_kind};
use crate::suite::Suite;

/// A change of a resource: a JSON pointer, the value there (`null` takes it away), and words of the message that refuses it.
type Change = (&'static str, Value, &'static str);

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What the policies refuse each of `list` with.
async fn denied(list: &[Value]) -> Result<Vec<Vec<String>>> {
    let name = place::unique("admission");
    let path = place::logs().join(format!("{name}.json"));
    std::fs::write(&path, json!({"policies": all_in("istio/admission-policy.yaml")?, "resources": list}).to_string())?;
    let mut command = peer::node("admission.mjs");
    command.arg(&path);
    let _turn = process::turn_to_run().await;
    let judge = process::spawn(&name, command)?;
    let status = judge.exit(CHECK).await.with_context(|| judge.tail())?;
    ensure!(status.success(), "it ended with {status}: {}", judge.tail());
    let said: Vec<Vec<String>> = serde_json::from_str(&judge.out()).with_context(|| judge.tail())?;
    ensure!(said.len() == list.len(), "{} results for {} resources", said.len(), list.len());
    Ok(said)
}

fn changed(resource: &Value, pointer: &str, value: &Value) -> Result<Value> {
    let mut resource = resource.clone();
    let (parent, member) = pointer.rsplit_once('/').context("no pointer")?;
    let parent = resource.pointer_mut(parent).and_then(Value::as_object_mut).with_context(|| pointer.to_owned())?;
    match value {
        Value::Null => drop(parent.remove(member)),
        value => drop(parent.insert(member.to_owned(), value.clone())),
    }
    Ok(resource)
}

/// The good resource passes, and each change is refused with its one message, or passes if that is empty.
async fn judged(good: &Value, changes: &[Change]) -> Result<()> {
    let mut list = vec![good.clone()];
    for (pointer, value, _) in changes {
        list.push(changed(good, pointer, value)?);
    }
    let said = denied(&list).await?;
    ensure!(said[0].is_empty(), "the good one: {:?}", said[0]);
    for ((pointer, value, words), said) in changes.iter().zip(&said[1..]) {
        match said.as_slice() {
            [] => ensure!(words.is_empty(), "{pointer} {value} is not refused with {words:?}"),
            [one] => ensure!(!words.is_empty() && one.contains(words), "{pointer} {value}: {one}"),
            several => ensure!(false, "{pointer} {value}: {several:?}"),
        }
    }
    Ok(())
}

async fn wasm_plugins() -> Result<()> {
    let example = of_kind("istio/wasmplugin.yaml", "WasmPlugin")?;
    let said = denied(std::slice::from_ref(&example)).await?;
    ensure!(said[0].len() == 1 && said[0][0].contains("spec.sha256 is missing"), "the example has no digest to name: {said:?}");
    let good = changed(&example, "/spec/sha256", &json!(DIGEST))?;
    let config = |members: Value| {
        let mut config = good["spec"]["pluginConfig"].clone();
        config.as_object_mut().expect("an object").extend(members.as_object().expect("members").clone());
        config
    };
    let connection = |pin: Value| json!({"connections": [{"name": "a", "pin": {"clusters": ["a"]}}, {"name": "b", "pin": pin}]});
    let at = "/spec/pluginConfig";
    judged(
        &good,
        &[
            ("/spec/failStrategy", json!("FAIL_OPEN"), "spec.failStrategy must be"),
            ("/spec/failStrategy", json!("FAIL_CLOSE"), ""),
            ("/spec/failStrategy", Value::Null, ""),
            ("/spec/sha256", Value::Null, "spec.sha256 is missing"),
            ("/spec/sha256", json!("latest"), "spec.sha256 is missing"),
            ("/spec/sha256", json!(""), "spec.sha256 is missing"),
            ("/spec/pluginConfig/hold_headers", json!(true), "hold_headers must be false"),
            ("/spec/pluginConfig/hold_headers", Value::Null, "hold_headers must be false"),
            (at, config(json!({"secrets": {"a": {"env": "A"}}})), ""),
            (at, config(json!({"secrets": {"a": {"env": "A"}, "b": {"inline": "x"}}})), "must not hold a secret itself"),
            (at, config(json!({"allow_inline_secrets": true})), "must not hold a secret itself"),
            (at, config(json!({"allow_inline_secrets": false})), ""),
            (at, config(connection(json!({"route_metadata": {}}))), ""),
            (at, config(connection(json!("none"))), "pin must not be none"),
            ("/metadata/name", json!("agents"), ""),
        ],
    )
    .await?;
    // By the digest in its address, without a configuration, and what is none of ours.
    let by_digest = changed(&example, "/spec/url", &json!(format!("oci://registry.example.com/attache@sha256:{DIGEST}")))?;
    let without = changed(&good, "/spec/pluginConfig", &Value::Null)?;
    let mut other = changed(&good, "/spec/failStrategy", &json!("FAIL_OPEN"))?;
    (other["metadata"]["name"], other["spec"]["url"], other["spec"]["pluginName"]) =
        (json!("waf"), json!("oci://registry.example.com/waf"), json!("waf"));
    let by_name_of_plugin = changed(&other, "/spec/pluginName", &json!("attache"))?;
    let said = denied(&[by_digest, without, other, by_name_of_plugin]).await?;
    let counts: Vec<usize> = said.iter().map(Vec::len).collect();
    ensure!(counts == [0, 2, 0, 1] && said[1][0].contains("pluginConfig is missing"), "{said:?}");
    Ok(())
}

async fn envoy_filters() -> Result<()> {
    let good = of_kind("istio/envoyfilter.yaml", "EnvoyFilter")?;
    let config = "/spec/configPatches/0/patch/value/typed_config/config";
    let text = good.pointer(&format!("{config}/configuration/value")).and_then(Value::as_str).context("no configuration")?;
    let with = |member: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text.replacen('{', &format!("{{{member},"), 1)});
    let remote = |sha256: Value| json!({"runtime": "envoy.wasm.runtime.v8", "code": {"remote": {"http_uri": {"uri": "https://a", "cluster": "a", "timeout": "5s"}, "sha256": sha256}}});
    let (failure, held, vm, own) = (
        "/spec/configPatches/0/patch/value/typed_config/config/failure_policy",
        "/spec/configPatches/0/patch/value/typed_config/config/allow_on_headers_stop_iteration",
        "/spec/configPatches/0/patch/value/typed_config/config/vm_config",
        "/spec/configPatches/0/patch/value/typed_config/config/configuration",
    );
    judged(
        &good,
        &[
            (failure, json!("FAIL_OPEN"), "failure_policy must be"),
            (failure, json!("FAIL_CLOSED"), ""),
            ("/spec/configPatches/0/patch/value/typed_config/config/fail_open", json!(true), "failure_policy must be"),
            (held, json!(false), "allow_on_headers_stop_iteration must be true"),
            (held, Value::Null, "allow_on_headers_stop_iteration must be true"),
            (vm, remote(json!(DIGEST)), ""),
            (vm, remote(json!("")), "vm_config.code must be"),
            (own, json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}), "must be a google.protobuf.StringValue"),
            (own, with("\"allow_inline_secrets\" : true"), "must not allow inline secrets"),
            (own, with("\"connections\": [{\"pin\":\"none\"}]"), "pin must not be none"),
            ("/spec/configPatches/0/patch/operation", json!("MERGE"), "patch.operation must insert"),
            ("/spec/configPatches/0/patch/value/name", json!("other"), ""),
        ],
    )
    .await?;
    // Headers are held by nobody, and the configuration says so.
    let loose = changed(&changed(&good, held, &Value::Null)?, own, &with("\"hold_headers\": false"))?;
    let mut other = changed(&good, failure, &json!("FAIL_OPEN"))?;
    let value = &mut other["spec"]["configPatches"][0]["patch"]["value"];
    (value["name"], value["typed_config"]["config"]["root_id"]) = (json!("waf"), json!("waf"));
    let lua = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "lua"}, "spec": {"configPatches": [
        {"applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE", "value": {"name": "lua", "typed_config": {"inline_code": "x"}}}},
        {"applyTo": "CLUSTER", "patch": {"operation": "REMOVE"}}]}});
    let said = denied(&[loose, other, lua]).await?;
    ensure!(said.iter().all(Vec::is_empty), "{said:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("admission::the_policy_for_wasm_plugins_refuses_what_fails_open_or_is_not_pinned", async |_| wasm_plugins().await);
    suite.add("admission::the_policy_for_envoy_filters_refuses_the_same", async |_| envoy_filters().await);
}
