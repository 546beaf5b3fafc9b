//! Configurations that are wrong: at start Envoy ends, later it keeps the old one; its log names the place and the reason.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::live::Live;
use attache_mesh::place;
use serde_json::{Value, json};

use crate::suite::{Suite, works};

type Edit = fn(&mut Value);

/// What is done to `envoy/inbound.yaml`, and the path that the log must name.
const BAD: &[(&str, &str, Edit)] = &[
    ("unknown_key", "colour: ", |plugin| plugin["colour"] = json!("red")),
    ("unknown_key_of_an_agent", "agents[0].match.path_prefx: ", |plugin| plugin["agents"][0]["match"]["path_prefx"] = json!("/x")),
    ("wrong_unit", "issuers[0].clock_skew: a duration is seconds with an s, such as 5s or 0.25s", |plugin| {
        plugin["issuers"][0]["clock_skew"] = json!("5m")
    }),
    ("no_unit", "issuers[0].jwks.remote.refresh: ", |plugin| plugin["issuers"][0]["jwks"]["remote"]["refresh"] = json!("300")),
    ("number_for_duration", "issuers[0].clock_skew: ", |plugin| plugin["issuers"][0]["clock_skew"] = json!(30)),
    ("empty_audiences", "issuers[0].audiences: ", |plugin| plugin["issuers"][0]["audiences"] = json!([])),
    ("no_audiences", "issuers[0].audiences: name at least one audience", |plugin| {
        plugin["issuers"][0].as_object_mut().map(|issuer| issuer.remove("audiences"));
    }),
    ("algorithm_none", "issuers[0].algorithms[0]: ", |plugin| plugin["issuers"][0]["algorithms"] = json!(["none"])),
    ("unknown_issuer", "schemes.oauth2.bearer.issuers[0]: ", |plugin| {
        plugin["schemes"] = json!({"oauth2": {"bearer": {"issuers": ["crop"]}}});
    }),
    ("unknown_scheme", "agents[0].security[0].nobody: ", |plugin| plugin["agents"][0]["security"] = json!([{"nobody": []}])),
    ("open_agent", "agents[0].security: ", |plugin| plugin["agents"][0]["security"] = json!([])),
    ("open_requirement", "agents[0].security[0]: ", |plugin| plugin["agents"][0]["security"] = json!([{}])),
    ("prefix_without_slash", "agents[0].match.path_prefix: ", |plugin| plugin["agents"][0]["match"]["path_prefix"] = json!("agents")),
    ("unknown_version", "agents[0].versions", |plugin| plugin["agents"][0]["versions"] = json!({"2.0": {"bindings": ["jsonrpc"]}})),
    ("default_version_not_offered", "agents[0].default_version: ", |plugin| {
        plugin["agents"][0]["versions"] = json!({"1.0": {"bindings": ["jsonrpc"]}});
        plugin["agents"][0]["default_version"] = json!("0.3");
    }),
    ("inline_keys_that_are_none", "issuers[0].jwks.inline", |plugin| plugin["issuers"][0]["jwks"] = json!({"inline": {"keys": "none"}})),
    ("two_sources_of_keys", "issuers[0].jwks", |plugin| plugin["issuers"][0]["jwks"]["inline"] = json!({"keys": []})),
    ("odd_unmatched", "unmatched: ", |plugin| plugin["unmatched"] = json!("ignore")),
    ("unknown_secret", "connections[0].credential.header.value.secret: ", |plugin| {
        plugin["connections"] = json!([{"name": "p", "match": {"hosts": ["p.example"], "path_prefix": "/"}, "version": "1.0",
            "pin": "none", "credential": {"header": {"name": "x-api-key", "value": {"secret": "kee"}}}}]);
    }),
    ("agent_and_connection_at_one_place", "connections[0].match: ", |plugin| {
        let place = plugin["agents"][0]["match"].clone();
        plugin["connections"] = json!([{"name": "p", "match": place, "version": "1.0", "pin": "none", "credential": {"none": {}}}]);
    }),
];

async fn refused(name: &str, file: &EnvoyFile, place: &str) -> Result<()> {
    let (code, log) = Envoy::refuse(&format!("bad-{name}"), file, Options::default()).await?;
    ensure!(code.is_some_and(|code| code != 0), "Envoy ended with {code:?}");
    let line = log.lines().find(|line| line.contains("attache: configuration refused: "));
    let reason = line.and_then(|line| line.split("configuration refused: ").nth(1)).unwrap_or_default();
    ensure!(reason.contains(place), "the log should name {place:?}, it says {reason:?}");
    let said = log.matches("configuration refused: ").count();
    ensure!(said == 1, "said {said} times: {log}");
    ensure!(reason.len() > place.len() + 5, "no reason after the place: {reason:?}");
    Ok(())
}

/// These also stop a starting Envoy; for the rest one that serves is enough.
const AT_START: &[&str] = &["unknown_key", "wrong_unit", "empty_audiences", "unknown_issuer", "unknown_secret"];

pub fn add(suite: &mut Suite) {
    for (name, place, edit) in BAD.iter().filter(|(name, ..)| AT_START.contains(name)) {
        suite.add(format!("configuration::{name}_stops_a_starting_envoy"), async move |mesh| {
            let mut file = mesh.inbound_file()?;
            file.edit_plugin(edit)?;
            refused(name, &file, place).await
        });
    }
    suite.add("configuration::every_bad_one_is_rejected_by_a_serving_envoy", async |mesh| {
        let token = mesh.token().await?;
        let live = Live::start(mesh, "live-config").await?;
        for (index, (name, place, edit)) in (1..).zip(BAD) {
            let start = live.envoy.log().len();
            live.change(edit)?;
            live.envoy.stat_reaches("listener_manager.lds.update_rejected", index).await.context(*name)?;
            let line = live.envoy.logged_after(start, &["attache: configuration refused: ", place]).await.context(*name)?;
            ensure!(!line.ends_with(place.trim_end()), "{name}: no reason after the place: {line}");
        }
        works(live.envoy.port(), &token).await?;
        Ok(())
    });
    suite.add("configuration::text_that_is_not_json_is_refused", async |mesh| {
        let mut file = mesh.inbound_file()?;
        file.wasm()?["configuration"]["value"] = json!("agents: []");
        refused("not-json", &file, "this must be JSON, and looks like YAML").await
    });
    suite.add("configuration::what_cannot_be_right_is_warned_of_at_start", async |mesh| {
        let mut file = mesh.inbound_file()?;
        file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["LISTED"], "key_values": {"GIVEN": "x"}});
        file.edit_plugin(|plugin| {
            plugin["agents"][0]["access"] = json!([{"operations": ["any"]}, {"operations": ["read"]}]);
            plugin["secrets"] = json!({"spare": {"env": "LISTED"}});
            let mut absent = plugin["issuers"][0].clone();
            (absent["name"], absent["issuer"]) = (json!("absent"), json!("https://absent.example.com"));
            absent["jwks"] = json!({"remote": {"uri": "https://absent.example.com/jwks", "cluster": "absent"}});
            plugin["issuers"].as_array_mut().into_iter().for_each(|issuers| issuers.push(absent.clone()));
        })?;
        let envoy = Envoy::start("warned", &file, Options::default()).await?;
        for parts in [
            &["agents[0].access[1]: no request reaches this rule: access[0] decides before it"][..],
            &["issuers[1]: no scheme takes tokens of \"absent\""],
            &["secrets.spare: nothing uses it"],
            &["secrets.spare.env: the environment variable is not set: either", "host_env_keys", "passed to this filter are [\"GIVEN\"]"],
            &["absent", "Envoy has no usable cluster \"absent\""],
        ] {
            envoy.logged(parts).await?;
        }
        // Envoy makes three VMs of it before it serves: main thread twice, and the worker.
        let said = envoy.log().matches("no request reaches this rule").count();
        ensure!(said == 1, "said {said} times: {}", envoy.log());
        Ok(())
    });
    suite.add("configuration::a_wrong_one_stops_a_starting_envoy_also_with_fail_open", async |mesh| {
        let mut file = mesh.inbound_file()?;
        file.wasm()?["failure_policy"] = json!("FAIL_OPEN");
        file.edit_plugin(|plugin| plugin["colour"] = json!("red"))?;
        refused("fail-open", &file, "colour: unknown field").await
    });
    suite.add("configuration::a_module_that_is_none_is_told_by_envoy", async |mesh| {
        let mut file = mesh.inbound_file()?;
        let other = place::logs().join(place::unique("no-module.wasm"));
        std::fs::write(&other, b"\0asm\x01\0\0\0")?;
        file.wasm()?["vm_config"]["code"]["local"]["filename"] = json!(other);
        let (code, log) = Envoy::refuse("no-module", &file, Options::default()).await?;
        ensure!(code.is_some_and(|code| code != 0) && !log.contains("attache: "), "{code:?}: {log}");
        ensure!(log.contains("Wasm VM failed Failed to load Wasm code") && log.contains("Unable to create Wasm plugin"), "{log}");
        Ok(())
    });
    suite.add("configuration::a_struct_is_refused_with_advice", async |mesh| {
        let mut file = mesh.inbound_file()?;
        let plugin = file.plugin()?;
        file.wasm()?["configuration"] = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": plugin});
        refused("struct", &file, "StringValue").await
    });
    suite.add("configuration::none_at_all_is_refused", async |mesh| {
        let mut file = mesh.inbound_file()?;
        file.wasm()?.as_object_mut().map(|config| config.remove("configuration"));
        refused("none", &file, "is empty").await
    });
}
