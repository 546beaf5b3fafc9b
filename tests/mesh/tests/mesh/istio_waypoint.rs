//! A waypoint of Istio's ambient mode with `envoy/istio/waypoint.yaml`: its listeners as istiod writes them (1.31,
//! `listener_waypoint.go` and `xds/filters/filters.go`), and a plain Envoy in the place of ztunnel that opens the same tunnel to it (HTTP/2
//! CONNECT over mutual TLS). One service is there, so its chain stands without the matchers that pick it.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::mesh::{Mesh, send_1_0};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::{Authority, Identity, call_over};
use serde_json::{Value, json};

use crate::istio::{bad_calls, good_calls, listener_with, node, of_wasm_plugin};
use crate::istio_chains::{chain, filter, settle};
use crate::resources::{of_kind, text};
use crate::suite::Suite;

const DESK: &str = "spiffe://cluster.local/ns/travel/sa/desk";

/// What `connect_terminate` tells the inner streams of the tunnel.
fn connect_authority() -> Value {
    let told = [
        ("envoy.filters.listener.original_dst.local_ip", None, "%REQ(:AUTHORITY)%"),
        ("envoy.filters.listener.original_dst.remote_ip", None, "%DOWNSTREAM_REMOTE_ADDRESS%"),
        ("io.istio.peer_principal", Some("envoy.string"), "%DOWNSTREAM_PEER_URI_SAN%"),
        ("io.istio.local_principal", Some("envoy.string"), "%DOWNSTREAM_LOCAL_URI_SAN%"),
    ];
    let told = told.into_iter().map(|(key, factory, value)| {
        let format = json!({"text_format_source": {"inline_string": value}});
        let mut one = json!({"object_key": key, "format_string": format, "shared_with_upstream": "ONCE"});
        if let Some(factory) = factory {
            one["factory_key"] = json!(factory);
        }
        one
    });
    filter("connect_authority", "set_filter_state.v3.Config", json!({"on_request_headers": told.collect::<Vec<_>>()}))
}

/// The listener of the tunnels.
fn connect_terminate() -> Value {
    let connect = json!([{"upgrade_type": "CONNECT", "connect_config": {}}]);
    let route = json!({"match": {"connect_matcher": {}}, "route": {"upgrade_configs": connect, "cluster": "main_internal"}});
    json!({
        "name": "connect_terminate",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "connect_terminate",
                "http2_protocol_options": {"allow_connect": true, "max_concurrent_streams": 100},
                "upgrade_configs": [{"upgrade_type": "CONNECT"}],
                "stream_idle_timeout": "0s",
                "use_remote_address": false,
                "route_config": {"name": "default", "virtual_hosts": [{"name": "default", "domains": ["*"], "routes": [route]}]},
                "http_filters": [connect_authority(), filter("envoy.filters.http.router", "router.v3.Router", json!({}))],
            },
        }]}],
    })
}

/// An AuthorizationPolicy on the principal of the tunnel, as istiod writes it for waypoints (single-policy-ambient-out.yaml).
fn principals(allowed: &[&str]) -> Value {
    let id = |name: &&str| json!({"filter_state": {"key": "io.istio.peer_principal", "string_match": {"exact": name}}});
    let principals = json!([{"and_ids": {"ids": [{"or_ids": {"ids": allowed.iter().map(id).collect::<Vec<_>>()}}]}}]);
    let policies = json!({"ns[agents]-policy[expense]-rule[0]": {"permissions": [{"any": true}], "principals": principals}});
    filter("envoy.filters.http.rbac", "rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": policies}}))
}

/// The waypoint, in front of the agents of inbound.yaml or of a `stand_in`.
fn waypoint(mesh: &Mesh, authority: &Authority, stand_in: Option<u16>, edit: impl FnOnce(&mut Value)) -> Result<EnvoyFile> {
    let mut plugin = of_kind("istio/waypoint.yaml", "WasmPlugin")?;
    ensure!(plugin["spec"]["targetRefs"] == json!([{"group": "", "kind": "Service", "name": "expense"}]), "{plugin}");
    edit(&mut plugin["spec"]["pluginConfig"]);
    let mut file = listener_with(of_wasm_plugin(&plugin, mesh)?, mesh)?;
    node(&mut file);
    if let Some(port) = stand_in {
        file.cluster("expense_v1_0", port)?;
        file.cluster("expense_v0_3", port)?;
    }
    let manager = file.http_manager()?;
    let first = manager["http_filters"][0].clone();
    manager["http_filters"] = json!(chain(first, [principals(&[DESK])]));
    settle(manager, "SANITIZE", false);
    let listener = file.listeners_mut()?.first_mut().context("no listener")?;
    listener["name"] = json!("main_internal");
    listener.as_object_mut().context("no listener")?.remove("address");
    listener["internal_listener"] = json!({});
    listener["listener_filters"] = json!([
        {"name": "envoy.filters.listener.original_dst", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}},
        {"name": "envoy.filters.listener.http_inspector", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"}},
    ]);
    file.listeners_mut()?.insert(0, connect_terminate());
    let server = authority.issue_as(&[], &["spiffe://cluster.local/ns/agents/sa/waypoint"], &["localhost"])?;
    authority.guard(&mut file, &server)?;
    let outer = &mut file.listeners_mut()?[0]["filter_chains"][0]["transport_socket"]["typed_config"];
    outer["require_client_certificate"] = json!(true);
    outer["common_tls_context"]["alpn_protocols"] = json!(["h2"]);
    file.value_mut()["bootstrap_extensions"] = json!([{"name": "envoy.bootstrap.internal_listener", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}]);
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    clusters.push(json!({
        "name": "main_internal",
        "load_assignment": {"cluster_name": "main_internal", "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": {"envoy_internal_address": {"server_listener_name": "main_internal"}}}}]}]},
        "transport_socket": {"name": "envoy.transport_sockets.internal_upstream", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
            "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}},
    }));
    Ok(file)
}

/// What ztunnel does: each connection of a pod goes through a tunnel of its own to the waypoint, with the pod's certificate.
async fn ztunnel(waypoint: &Envoy, authority: &Authority, pod: &Identity) -> Result<Envoy> {
    let mut file = EnvoyFile::from_value(json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [{
                "name": "outbound",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "outbound", "cluster": "waypoint", "tunneling_config": {"hostname": "10.0.0.7:80"}}}]}],
            }],
            "clusters": [{
                "name": "waypoint",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}},
                "load_assignment": {"cluster_name": "waypoint", "endpoints": [{"lb_endpoints": [{"endpoint": {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": waypoint.port()}}}}]}]},
            }],
        },
    }));
    call_over(&mut file, "waypoint", authority, Some(pod))?;
    let common = &mut file.value_mut()["static_resources"]["clusters"][0]["transport_socket"]["typed_config"]["common_tls_context"];
    common["alpn_protocols"] = json!(["h2"]);
    Envoy::start("ztunnel", &file, Options::default()).await
}

async fn serves(mesh: &'static Mesh) -> Result<()> {
    let authority = Authority::new("istiod")?;
    let envoy = Envoy::start("waypoint", &waypoint(mesh, &authority, None, |_| {})?, Options::default()).await?;
    let desk = ztunnel(&envoy, &authority, &authority.issue_as(&[], &[DESK], &[])?).await?;
    good_calls(&desk, false, mesh).await?;
    // Istio's policies see the pod's identity, and they stand behind Attaché.
    let other = ztunnel(&envoy, &authority, &authority.issue_as(&[], &["spiffe://cluster.local/ns/travel/sa/other"], &[])?).await?;
    let reply = send_1_0("o").bearer(&mesh.token().await?).send(other.port()).await?;
    ensure!(reply.status == 403 && reply.text() == "RBAC: access denied", "{} {}", reply.status, reply.text());
    let reply = send_1_0("o").send(other.port()).await?;
    refusal::check(&reply, "credentials_missing", &Form::Rpc(Value::Null))
}

async fn guards(mesh: &'static Mesh) -> Result<()> {
    let authority = Authority::new("istiod")?;
    let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let envoy = Envoy::start("waypoint-guards", &waypoint(mesh, &authority, Some(agent.port), |_| {})?, Options::default()).await?;
    let desk = ztunnel(&envoy, &authority, &authority.issue_as(&[], &[DESK], &[])?).await?;
    bad_calls(desk.port(), &envoy, &agent, false, mesh).await
}

/// The certificate ends with the tunnel, so that a scheme that looks at the connection's refuses everybody, the pod with it, too.
async fn shows_no_certificate(mesh: &'static Mesh) -> Result<()> {
    let authority = Authority::new("istiod")?;
    let file = waypoint(mesh, &authority, None, |plugin| {
        plugin["schemes"]["mesh"] = json!({"mutual_tls": {"allow": [{"uri": DESK}]}});
        plugin["agents"][0]["security"] = json!([{"mesh": []}]);
    })?;
    let envoy = Envoy::start("waypoint-certificates", &file, Options::default()).await?;
    let desk = ztunnel(&envoy, &authority, &authority.issue_as(&[], &[DESK], &[])?).await?;
    let told = format!("By=spiffe://cluster.local/ns/agents/sa/waypoint;URI={DESK}");
    for call in [send_1_0("c"), send_1_0("c").header("x-forwarded-client-cert", told)] {
        let reply = call.send(desk.port()).await?;
        ensure!(reply.status == 401 && reply.reason().as_deref() == Some("credentials_missing"), "{} {}", reply.status, reply.text());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("istio_waypoint::good_calls_through_the_tunnel_are_served", serves);
    suite.add("istio_waypoint::bad_calls_through_the_tunnel_are_refused", guards);
    suite.add("istio_waypoint::plugins_see_no_certificate", shows_no_certificate);
    suite.add("istio_waypoint::who_comes_past_it_is_refused_by_istio", async |_| {
        let policy = of_kind("istio/waypoint.yaml", "AuthorizationPolicy")?;
        let gateway = of_kind("istio/waypoint.yaml", "Gateway")?;
        let own = format!("cluster.local/ns/agents/sa/{}", text(&gateway["metadata"]["name"])?);
        let rule = json!([{"from": [{"source": {"notPrincipals": [own]}}]}]);
        ensure!(policy["spec"]["action"] == "DENY" && policy["spec"]["rules"] == rule, "{policy}");
        ensure!(policy["spec"].get("targetRefs").is_none() && policy["spec"]["selector"]["matchLabels"]["app"] == "expense", "{policy}");
        Ok(())
    });
}
