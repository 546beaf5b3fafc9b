//! A credential goes to one place only: pinned routes, weighted clusters, internal redirects, mirrors, and the filter in the
//! cluster itself, where retries get a fresh token.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{call, connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::credentials::{echo, issued, token};
use crate::suite::Suite;

fn key() -> Value {
    json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}})
}

/// A connection with an API key and a pin.
fn pinned(name: &str, pin: &Value) -> Value {
    let mut connection = connection(name, &key());
    connection["pin"] = pin.clone();
    connection
}

fn secrets() -> Value {
    json!({"key": {"env": "PARTNER_KEY"}})
}

fn options() -> Options {
    Options::default().env("PARTNER_KEY", PARTNER_KEY)
}

fn routes(file: &mut EnvoyFile) -> Result<&mut Value> {
    Ok(&mut file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"])
}

/// What the partner saw of a request with this mark: its headers.
async fn at_partner(mesh: &Mesh, mark: &str) -> Result<Option<Value>> {
    let seen = mesh.partner.requests().await?;
    Ok(seen.into_iter().find(|request| request["path"].as_str().is_some_and(|path| path.contains(mark))))
}

async fn pins(mesh: &Mesh) -> Result<()> {
    let connections = [
        pinned("here", &json!({"clusters": ["other", "remote"]})),
        pinned("there", &json!({"clusters": ["other"]})),
        pinned("named", &json!({"route_metadata": {}})),
        pinned("misnamed", &json!({"route_metadata": {}})),
        pinned("weighted", &json!({"clusters": ["remote"]})),
    ];
    let mut file = outbound(mesh, &connections, &secrets(), &[("elsewhere", mesh.partner.port)])?;
    let host =
        |name: &str| json!({"prefix": "/", "headers": [{"name": ":authority", "string_match": {"exact": format!("{name}.example.com")}}]});
    let metadata = |name: &str| json!({"filter_metadata": {"attache": {"connection": name}}});
    let to = |cluster: &str| json!({"cluster": cluster, "timeout": "0s"});
    *routes(&mut file)? = json!([
        {"match": host("named"), "route": to("remote"), "metadata": metadata("named")},
        {"match": host("misnamed"), "route": to("remote"), "metadata": metadata("named")},
        {"match": host("weighted"), "route": {"weighted_clusters": {"clusters": [{"name": "remote", "weight": 50}, {"name": "elsewhere", "weight": 50}]}}},
        {"match": {"prefix": "/"}, "route": to("remote")},
    ]);
    let envoy = Envoy::start("pins", &file, options()).await?;
    for name in ["here", "named"] {
        ensure!(echo(&call(name).send(envoy.port()).await?)?.header("x-api-key") == [PARTNER_KEY], "{name}");
    }
    for name in ["there", "misnamed"] {
        let mark = format!("/?mark=pin-{name}");
        let call = Call::post(&mark, &rpc(json!(1), "SendMessage", message_1_0("pin"))).host(&format!("{name}.example.com"));
        let reply = call.send(envoy.port()).await?;
        ensure!(reply.reason().as_deref() == Some("connection_mismatch"), "{name}: {} {}", reply.status, reply.text());
        ensure!(mesh.agent_1_0.saw(&mark).await? == 0, "{name}: the call left");
        let get = Call::get("/tasks/1").host(&format!("{name}.example.com")).send(envoy.port()).await?;
        refusal::check(&get, "connection_mismatch", &Form::Status)?;
    }
    let (mut went, mut stopped) = (0, 0);
    for round in 0..60 {
        let mark = format!("/?mark=weighted-{round}-");
        let call = Call::post(&mark, &rpc(json!(1), "SendMessage", message_1_0("w"))).host("weighted.example.com");
        match call.send(envoy.port()).await?.status {
            200 => went += 1,
            500 => stopped += 1,
            other => anyhow::bail!("weighted: {other}"),
        }
        ensure!(at_partner(mesh, &mark).await?.is_none(), "it went to the cluster that is not pinned");
    }
    ensure!(went > 0 && stopped > 0, "{went} went, {stopped} stopped");
    Ok(())
}

/// Envoy follows a redirect of the agent itself: what the request carried does not go along.
async fn redirected(mesh: &Mesh) -> Result<()> {
    let away = Answer::new("302 Found", "text/plain", "").header("location", "http://elsewhere.example.com/?mark=redirected");
    let agent = StandIn::start(away).await?;
    let mut file = outbound(mesh, &[connection("moved", &key())], &secrets(), &[("elsewhere", mesh.partner.port)])?;
    file.cluster("remote", agent.port)?;
    file.edit_plugin(|plugin| plugin["unmatched"] = json!("pass"))?;
    let policy = json!({"max_internal_redirects": 1, "allow_cross_scheme_redirect": true, "redirect_response_codes": [302, 307]});
    *routes(&mut file)? = json!([
        {"match": {"prefix": "/", "headers": [{"name": ":authority", "string_match": {"exact": "elsewhere.example.com"}}]},
         "route": {"cluster": "elsewhere"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "remote", "internal_redirect_policy": policy}},
    ]);
    let envoy = Envoy::start("redirected", &file, options()).await?;
    let reply = Call::get("/tasks/1").host("moved.example.com").send(envoy.port()).await?;
    ensure!(reply.status == 401, "the other agent wants a key: {} {}", reply.status, reply.text());
    let seen = at_partner(mesh, "mark=redirected").await?.context("Envoy followed the redirect")?;
    ensure!(seen["headers"].get("x-api-key").is_none(), "the key went along: {seen}");
    Ok(())
}

/// `envoy/outbound-cluster.yaml` for this mesh, whose partner is at `port`.
fn in_cluster(mesh: &Mesh, port: u16, client: &str) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("outbound-cluster.yaml")?;
    file.cluster("partner", port)?;
    file.cluster("idp", mesh.authorization.port)?;
    file.edit_plugin(|plugin| {
        let own = &mut plugin["connections"][0]["credential"]["client_credentials"]["client"];
        own["token_endpoint"]["uri"] = json!(format!("{}/token", mesh.authorization.issuer));
        own["client_id"] = json!(client);
    })?;
    Ok(file)
}

fn to_partner(path: &str) -> Call {
    Call::post(path, &rpc(json!("c"), "SendMessage", message_1_0("c"))).host("partner.example.com").bearer("mine")
}

/// A mirror gets the request as the client sent it, without the credential.
async fn mirrored(mesh: &Mesh) -> Result<()> {
    let mut file = in_cluster(mesh, mesh.agent_1_0.port, "mirrored")?;
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("clusters")?;
    clusters.push(
        json!({"name": "mirror", "connect_timeout": "1s", "load_assignment": {"cluster_name": "mirror", "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": mesh.partner.port}}}}]}]}}),
    );
    routes(&mut file)?[0]["route"]["request_mirror_policies"] = json!([{"cluster": "mirror"}]);
    let envoy = Envoy::start("mirrored", &file, Options::default().env("CLIENT_SECRET", "mirrored-secret")).await?;
    let issued = token(&to_partner("/?mark=mirrored").send(envoy.port()).await?)?;
    let seen = wait::until("the mirror's copy", Duration::from_secs(10), async || at_partner(mesh, "mark=mirrored").await).await?;
    ensure!(seen["headers"]["authorization"] == "Bearer mine", "{seen}");
    ensure!(!seen.to_string().contains(&issued), "the mirror got the credential");
    let other = Call::get("/tasks/1").host("partner.example.com").send(envoy.port()).await?;
    ensure!(other.status != 503, "calls without a body pass, too: {}", other.status);
    Ok(())
}

/// A revoked token costs one retry, not the call: the next attempt passes the filter again and gets a fresh one.
async fn retried(mesh: &Mesh) -> Result<()> {
    let agent = StandIn::start(Answer::new("401 Unauthorized", "text/plain", "")).await?;
    let file = in_cluster(mesh, agent.port, "retried")?;
    let envoy = Envoy::start("retried", &file, Options::default().env("CLIENT_SECRET", "retried-secret")).await?;
    ensure!(to_partner("/").send(envoy.port()).await?.status == 401, "the agent's own answer");
    ensure!((agent.heads(), issued(&mesh.authorization, "retried").await?) == (2, 1), "two attempts with one young token");
    let start = place::now();
    wait::until("the token to be a little old", Duration::from_secs(20), async || Ok((place::now() >= start + 7).then_some(()))).await?;
    ensure!(to_partner("/").send(envoy.port()).await?.status == 401, "the agent's own answer");
    ensure!((agent.heads(), issued(&mesh.authorization, "retried").await?) == (4, 2), "the second attempt has a fresh token");
    Ok(())
}

/// In the cluster: a client that may have chosen the host gets no credential sent there. A filter that only says that it is in a
/// cluster attaches nothing. An internal redirect carries the credential as far as the next filter of ours, in the listener, and no
/// further.
async fn behind_the_router(mesh: &Mesh) -> Result<()> {
    let agent =
        StandIn::start(Answer::new("302 Found", "text/plain", "").header("location", "http://elsewhere.example.com/?mark=behind")).await?;
    let mut file = in_cluster(mesh, agent.port, "behind")?;
    let filter = {
        let mut filter = EnvoyFile::load("outbound-cluster.yaml")?.wasm()?.clone();
        filter["vm_config"]["vm_id"] = json!("attache-listener");
        filter["vm_config"].as_object_mut().map(|vm| vm.remove("environment_variables"));
        filter["configuration"]["value"] = json!(
            json!({"unmatched": "pass", "schemes": {"open": {"none": {}}}, "agents": [
            {"name": "own", "match": {"hosts": ["own.example.com"], "path_prefix": "/"}, "default_version": "1.0",
             "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]}]})
            .to_string()
        );
        json!({"name": "attache", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": filter}})
    };
    file.copy_cluster("idp", "elsewhere")?;
    file.cluster("elsewhere", mesh.partner.port)?;
    let manager = file.http_manager()?;
    manager["http_filters"].as_array_mut().context("filters")?.insert(0, filter);
    let policy = json!({"max_internal_redirects": 1, "allow_cross_scheme_redirect": true, "redirect_response_codes": [302]});
    manager["route_config"]["virtual_hosts"] = json!([
        {"name": "elsewhere", "domains": ["elsewhere.example.com"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "elsewhere"}}]},
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner", "internal_redirect_policy": policy}}]},
    ]);
    let options = || Options::default().env("CLIENT_SECRET", "behind-secret");
    let envoy = Envoy::start("behind", &file, options()).await?;
    let call = || Call::get("/tasks/1").host("partner.example.com").bearer("mine");
    let reply = call().send(envoy.port()).await?;
    ensure!(reply.status == 401, "the other agent wants a key: {} {}", reply.status, reply.text());
    let seen = at_partner(mesh, "mark=behind").await?.context("Envoy followed the redirect")?;
    ensure!(agent.heads() == 1 && issued(&mesh.authorization, "behind").await? == 1, "it went out with a credential");
    ensure!(seen["headers"].get("authorization").is_none(), "the credential went along: {seen}");
    let chosen = call().header("x-envoy-original-dst-host", "127.0.0.1:9").send(envoy.port()).await?;
    refusal::check(&chosen, "connection_mismatch", &Form::Status)?;
    ensure!(agent.heads() == 1, "it left");
    // The same configuration in a listener.
    let secrets = json!({"key": {"env": "PARTNER_KEY"}});
    let mut file = outbound(mesh, &[connection("astray", &key())], &secrets, &[])?;
    file.cluster("remote", agent.port)?;
    file.edit_plugin(|plugin| {
        plugin["placement"] = json!("cluster");
        plugin["connections"][0].as_object_mut().map(|connection| connection.remove("pin"));
    })?;
    let envoy = Envoy::start("astray", &file, self::options()).await?;
    let reply = Call::get("/tasks/1").host("astray.example.com").send(envoy.port()).await?;
    refusal::check(&reply, "connection_mismatch", &Form::Status)?;
    ensure!(agent.heads() == 1, "it left");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_places::a_pinned_credential_goes_nowhere_else", pins);
    suite.add("credentials_places::an_internal_redirect_carries_none_along", redirected);
    suite.add("credentials_places::in_the_cluster_mirrors_get_none", mirrored);
    suite.add("credentials_places::in_the_cluster_nothing_is_chosen_or_carried_on_by_others", behind_the_router);
    suite.add("credentials_places::in_the_cluster_a_retry_has_a_fresh_token", retried);
}
