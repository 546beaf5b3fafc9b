//! Attaché among Istio's own filters, in the order in which istiod puts them: a sidecar with RequestAuthentication, AuthorizationPolicy and
//! CORS, callers by their service accounts, and a gateway. What istiod writes is written down here as its source has it (1.31,
//! `pilot/pkg/networking/core`: `listener_builder.go`, `gateway.go`; the golden files of `pilot/pkg/security/authz/builder`). Istio's own
//! extensions, which a plain Envoy has not (`istio.metadata_exchange`, `istio.stats`, `istio.alpn`), are left out.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, send_1_0};
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::Authority;
use http::Method;
use serde_json::{Value, json};

use crate::istio::{at_home, discovered, generated, inserted, listener_with, node};
use crate::resources::{of_kind, text};
use crate::suite::Suite;

/// A filter of Envoy with its settings.
pub fn filter(name: &str, kind: &str, settings: Value) -> Value {
    let mut config = json!({"@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}")});
    if let (Some(config), Some(settings)) = (config.as_object_mut(), settings.as_object()) {
        config.extend(settings.clone());
    }
    json!({"name": name, "typed_config": config})
}

/// `first` and what istiod puts behind a plugin of the phase AUTHN: its policies, then what each chain has.
pub fn chain(first: Value, policies: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut chain = vec![first];
    chain.extend(policies);
    chain.push(filter("envoy.filters.http.grpc_stats", "grpc_stats.v3.FilterConfig", json!({"emit_filter_state": true})));
    chain.push(filter("envoy.filters.http.fault", "fault.v3.HTTPFault", json!({})));
    chain.push(filter("envoy.filters.http.cors", "cors.v3.Cors", json!({})));
    chain.push(filter("envoy.filters.http.router", "router.v3.Router", json!({})));
    chain
}

/// The settings of istiod's connection managers, with what it says of clients' certificates and addresses.
pub fn settle(manager: &mut Value, certificates: &str, use_remote_address: bool) {
    manager["normalize_path"] = json!(true);
    manager["merge_slashes"] = json!(false);
    manager["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
    manager["use_remote_address"] = json!(use_remote_address);
    manager["server_name"] = json!("istio-envoy");
    manager["stream_idle_timeout"] = json!("0s");
    manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
    manager["forward_client_cert_details"] = json!(certificates);
    manager["set_current_client_cert_details"] = json!({"subject": true, "dns": true, "uri": true});
}

/// Puts istiod's chain into the listener of `file`, behind the filter that stands there alone before the router.
fn in_chain(file: &mut EnvoyFile, policies: impl IntoIterator<Item = Value>) -> Result<()> {
    let manager = file.http_manager()?;
    let first = manager["http_filters"][0].clone();
    manager["http_filters"] = json!(chain(first, policies));
    Ok(())
}

/// A gateway's listener: istiod's chain and settings, and these routes.
pub fn gateway_listener(mut file: EnvoyFile, routes: Value) -> Result<EnvoyFile> {
    in_chain(&mut file, [])?;
    let manager = file.http_manager()?;
    settle(manager, "SANITIZE_SET", true);
    manager["route_config"] = json!({
        "name": "http.443", "ignore_port_in_host_matching": true, "validate_clusters": false,
        "virtual_hosts": [{"name": "expense.example.com:443", "domains": ["*"], "routes": routes}],
    });
    Ok(file)
}

/// The routes that istiod makes of an HTTPRoute, to the clusters of inbound.yaml.
pub fn gateway_routes(route: &Value) -> Result<Value> {
    let mut routes = Vec::new();
    for rule in route["spec"]["rules"].as_array().context("no rules")? {
        let (condition, path) = (&rule["matches"][0], &rule["filters"][0]["urlRewrite"]["path"]);
        ensure!(condition["path"]["type"] == "PathPrefix" && path["replacePrefixMatch"] == "/", "{rule}");
        let prefix = text(&condition["path"]["value"])?;
        let headers = condition["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let headers: Vec<Value> =
            headers.iter().map(|header| json!({"name": header["name"], "string_match": {"exact": header["value"]}})).collect();
        let cluster = text(&rule["backendRefs"][0]["name"])?.replace('-', "_");
        routes.push(json!({
            "match": {"path_separated_prefix": prefix, "headers": headers},
            "route": {
                "cluster": cluster, "timeout": rule["timeouts"]["request"],
                "regex_rewrite": {"pattern": {"regex": format!("^{prefix}(/?)(.*)")}, "substitution": r"/\2"},
            },
        }));
    }
    Ok(json!(routes))
}

/// What matches one value of a header in an AuthorizationPolicy: alone, or in a list with commas.
fn header(name: &str, value: &str) -> Value {
    if value == "*" {
        return json!({"header": {"name": name, "present_match": true}});
    }
    let regex = format!("^{value}$|^{value},.*|.*,{value},.*|.*,{value}$");
    json!({"header": {"name": name, "string_match": {"safe_regex": {"regex": regex}}}})
}

/// Each of a list of values as `make` says it, in a list of one kind.
fn each(list: &Value, kind: &str, member: &str, make: impl Fn(&str) -> Value) -> Option<Value> {
    let values: Vec<Value> = list.as_array()?.iter().filter_map(Value::as_str).map(make).collect();
    Some(json!({kind: {member: values}}))
}

/// The RBAC filter that istiod makes of an AuthorizationPolicy, as far as authorization.yaml goes, for a proxy whose port is `port`.
fn rbac(policy: &Value, port: u16) -> Result<Value> {
    let spec = &policy["spec"];
    ensure!(spec["action"] == "ALLOW", "{policy}");
    let mut policies = serde_json::Map::new();
    for (index, rule) in spec["rules"].as_array().context("no rules")?.iter().enumerate() {
        let mut permissions = Vec::new();
        for to in rule["to"].as_array().context("a rule without to")? {
            let operation = to["operation"].as_object().context("no operation")?;
            ensure!(operation.keys().all(|key| key == "ports" || key == "methods"), "{to}");
            let ports = operation.get("ports").map(|_| json!({"or_rules": {"rules": [{"destination_port": port}]}}));
            let method = |method: &str| json!({"header": {"name": ":method", "string_match": {"exact": method}}});
            let methods = operation.get("methods").and_then(|list| each(list, "or_rules", "rules", method));
            permissions.push(json!({"and_rules": {"rules": ports.into_iter().chain(methods).collect::<Vec<_>>()}}));
        }
        let mut ids = Vec::new();
        for when in rule["when"].as_array().into_iter().flatten() {
            let name = text(&when["key"])?.strip_prefix("request.headers[").and_then(|key| key.strip_suffix(']')).context("no header")?;
            ids.extend(each(&when["values"], "or_ids", "ids", |value| header(name, value)));
            ids.extend(each(&when["notValues"], "or_ids", "ids", |value| header(name, value)).map(|or| json!({"not_id": or})));
        }
        let principals = if ids.is_empty() { json!([{"any": true}]) } else { json!([{"and_ids": {"ids": ids}}]) };
        let name = format!("ns[agents]-policy[expense]-rule[{index}]");
        policies.insert(name, json!({"permissions": permissions, "principals": principals}));
    }
    Ok(filter("envoy.filters.http.rbac", "rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": policies}})))
}

/// The JWT filter that istiod makes of a RequestAuthentication; it fetches the keys itself and writes them into the configuration.
fn jwt_authn(authentication: &Value, keys: &Value) -> Result<Value> {
    let rule = &authentication["spec"]["jwtRules"][0];
    let provider = json!({
        "issuer": rule["issuer"], "audiences": rule["audiences"], "forward": rule["forwardOriginalToken"],
        "local_jwks": {"inline_string": keys.to_string()}, "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]},
    });
    let requirements = json!([{"provider_name": "origins-0"}, {"allow_missing": {}}]);
    let rules = json!([{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": requirements}}}]);
    let settings = json!({"providers": {"origins-0": provider}, "rules": rules, "bypass_cors_preflight": true});
    Ok(filter("envoy.filters.http.jwt_authn", "jwt_authn.v3.JwtAuthentication", settings))
}

/// The headers that authorization.yaml asks of the agent's configuration, from its own comment.
fn forwarded_headers() -> Result<Value> {
    let path = attache_mesh::place::root().join("envoy/istio/authorization.yaml");
    let file = std::fs::read_to_string(path)?;
    let line = file.lines().find_map(|line| line.strip_prefix("#   \"forward\": ")).context("authorization.yaml says no headers")?;
    Ok(serde_json::from_str(line)?)
}

/// A sidecar with envoyfilter-fetched.yaml and authorization.yaml, behind which only `caller` may cancel.
async fn guarded_sidecar(mesh: &Mesh) -> Result<Envoy> {
    let mut extension = inserted(&of_kind("istio/envoyfilter-fetched.yaml", "EnvoyFilter")?)?;
    at_home(&mut extension, mesh)?;
    let value = &mut extension["typed_config"]["config"]["configuration"]["value"];
    let mut plugin: Value = serde_json::from_str(text(value)?)?;
    plugin["agents"][0]["forward"] = forwarded_headers()?;
    plugin["agents"][0]["cors"] = json!("pass");
    *value = json!(plugin.to_string());
    let mut file = listener_with(discovered(extension)?, mesh)?;
    node(&mut file);
    let port = Reserved::new()?;
    file.listen_on(&port)?;
    let mut policy = of_kind("istio/authorization.yaml", "AuthorizationPolicy")?;
    let rules = policy["spec"]["rules"].as_array_mut().context("no rules")?;
    ensure!(rules[1]["when"][0]["values"] == json!(["desk"]), "{rules:?}");
    rules[1]["when"][0]["values"] = json!(["caller"]);
    // What docs/istio.md says of preflights.
    rules.push(json!({"to": [{"operation": {"ports": ["8080"], "methods": ["OPTIONS"]}}]}));
    let mut authentication = of_kind("istio/authorization.yaml", "RequestAuthentication")?;
    authentication["spec"]["jwtRules"][0]["issuer"] = json!(mesh.authorization.issuer);
    let keys = mesh.authorization.jwks().await?;
    in_chain(&mut file, [jwt_authn(&authentication, &keys)?, rbac(&policy, port.port())?])?;
    let manager = file.http_manager()?;
    settle(manager, "APPEND_FORWARD", false);
    let cors = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": "https://app.example.com"}], "allow_methods": "POST",
        "allow_headers": "authorization, content-type, a2a-version",
    });
    manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = json!({"envoy.filters.http.cors": cors});
    // A sidecar has one route, for whatever version: a preflight takes it, too.
    let mut any = manager["route_config"]["virtual_hosts"][0]["routes"][0].clone();
    any["match"].as_object_mut().map(|condition| condition.remove("headers"));
    manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().context("no routes")?.push(any);
    Envoy::start("istio-chain", &file, Options::default()).await
}

fn cancel(token: &str) -> Call {
    Call::post(AGENT, &rpc(json!("c"), "CancelTask", json!({"id": "none"}))).version("1.0").bearer(token)
}

/// Whether Istio's AuthorizationPolicy refused it, and not Attaché.
fn by_policy(reply: &Reply) -> bool {
    reply.status == 403 && reply.text() == "RBAC: access denied"
}

async fn policies(mesh: &'static Mesh) -> Result<()> {
    let envoy = guarded_sidecar(mesh).await?;
    let (caller, guest) = (mesh.token().await?, mesh.authorization.token_of("guest", &mesh.audience, SCOPES).await?);
    for token in [&caller, &guest] {
        let reply = send_1_0("p").bearer(token).send(envoy.port()).await?;
        let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
        ensure!(echo.header("x-operation") == ["SendMessage"], "{:?}", echo.header("x-operation"));
    }
    // The policy decides by what Attaché says: neither a header of the client nor a token that Istio would take helps.
    for (name, value) in
        [("x-client", "caller"), ("x-operation", "SendMessage"), ("x_client", "caller"), ("x-attache", "client=\"caller\"")]
    {
        let reply = cancel(&guest).header(name, value).send(envoy.port()).await?;
        ensure!(by_policy(&reply), "{name}: {} {}", reply.status, reply.text());
    }
    let reply = cancel(&caller).send(envoy.port()).await?;
    ensure!(reply.json()["error"]["code"] == -32001, "the agent itself says that there is no such task: {}", reply.text());
    // Attaché comes first: what it refuses, Istio's filters have not seen.
    let other = mesh.authorization.token("https://other.example.com", SCOPES).await?;
    let bad = [
        (send_1_0("p"), "credentials_missing"),
        (send_1_0("p").bearer("a.b.c"), "token_malformed"),
        (send_1_0("p").bearer(&other), "token_audience_mismatch"),
    ];
    for (call, reason) in bad {
        let reply = call.send(envoy.port()).await?;
        let id = reply.json().get("id").cloned();
        refusal::check(&reply, reason, &id.map_or(Form::Status, Form::Rpc))?;
    }
    ensure!(envoy.stat("rbac.denied").await? == 4, "{} were refused by the policy", envoy.stat("rbac.denied").await?);
    let denied = envoy.stat("jwt_authn.denied").await?;
    ensure!(denied == 0, "Istio's own filter refused {denied}");
    Ok(())
}

async fn preflights(mesh: &'static Mesh) -> Result<()> {
    let envoy = guarded_sidecar(mesh).await?;
    let preflight =
        |origin: &str| Call::new(Method::OPTIONS, AGENT).header("origin", origin).header("access-control-request-method", "POST");
    let reply = preflight("https://app.example.com").send(envoy.port()).await?;
    let allowed = reply.header("access-control-allow-origin");
    ensure!(reply.status == 200 && allowed == Some("https://app.example.com"), "{} {:?}", reply.status, reply.headers);
    let call = send_1_0("p").bearer(&mesh.token().await?).header("origin", "https://app.example.com");
    let reply = call.send(envoy.port()).await?;
    ensure!(reply.header("access-control-allow-origin") == Some("https://app.example.com"), "{:?}", reply.headers);
    let reply = preflight("https://evil.example.com").send(envoy.port()).await?;
    ensure!(reply.header("access-control-allow-origin").is_none(), "{:?}", reply.headers);
    // The level of the log, as docs/istio.md changes it while the proxy runs.
    let reply = Call::new(Method::POST, "/logging?wasm=debug").send(envoy.admin()).await?;
    ensure!(reply.status == 200 && reply.text().contains("wasm: debug"), "{} {}", reply.status, reply.text());
    Ok(())
}

/// Calls with certificates as Istio makes them: a URI and no subject.
async fn service_accounts(mesh: &'static Mesh) -> Result<()> {
    let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let authority = Authority::new("istiod")?;
    let mut extension = generated(&of_kind("istio/callers.yaml", "WasmPlugin")?)?;
    let value = &mut extension["typed_config"]["config"]["configuration"]["value"];
    let mut plugin: Value = serde_json::from_str(text(value)?)?;
    plugin["agents"][0]["match"]["hosts"] = json!(["127.0.0.1"]);
    *value = json!(plugin.to_string());
    let mut file = listener_with(discovered(extension)?, mesh)?;
    node(&mut file);
    for cluster in ["expense_v1_0", "expense_v0_3"] {
        file.cluster(cluster, agent.port)?;
    }
    in_chain(&mut file, [])?;
    settle(file.http_manager()?, "APPEND_FORWARD", false);
    authority.guard(&mut file, &authority.issue_as(&[], &["spiffe://cluster.local/ns/agents/sa/expense"], &["localhost"])?)?;
    // PeerAuthentication STRICT.
    file.listeners_mut()?[0]["filter_chains"][0]["transport_socket"]["typed_config"]["require_client_certificate"] = json!(true);
    let envoy = Envoy::start("istio-callers", &file, Options::default()).await?;
    for (uri, is_allowed) in [
        ("spiffe://cluster.local/ns/travel/sa/desk", true),
        ("spiffe://cluster.local/ns/audit/sa/any", true),
        ("spiffe://cluster.local/ns/travel/sa/desk2", false),
        ("spiffe://cluster.local/ns/travel/sa/desk/x", false),
        ("spiffe://cluster.local/ns/auditors/sa/any", false),
        ("spiffe://evil.local/ns/travel/sa/desk", false),
    ] {
        let client = authority.issue_as(&[], &[uri], &[])?;
        // A header that names somebody else changes nothing: the certificate of the connection counts.
        let told = "By=spiffe://cluster.local/ns/agents/sa/expense;URI=spiffe://cluster.local/ns/travel/sa/desk";
        let before = agent.whole();
        let call = send_1_0("s").header("x-forwarded-client-cert", told);
        let reply = authority.send(&call, envoy.port(), Some(&client)).await?;
        if is_allowed {
            ensure!(reply.status == 200 && agent.whole() == before + 1, "{uri}: {} {}", reply.status, reply.text());
            envoy.logged(&["attache: audit ", "\"decision\":\"allow\"", &format!("\"client\":\"{uri}\"")]).await?;
        } else {
            let is_refused = reply.status == 401 && reply.reason().as_deref() == Some("certificate_refused");
            ensure!(is_refused, "{uri}: {} {}", reply.status, reply.text());
            ensure!(agent.whole() == before, "{uri} reached the agent");
        }
    }
    let stranger = Authority::new("another")?.issue_as(&[], &["spiffe://cluster.local/ns/travel/sa/desk"], &[])?;
    for client in [None, Some(&stranger)] {
        let reply = authority.send(&send_1_0("s"), envoy.port(), client).await;
        ensure!(reply.is_err(), "without a certificate of the mesh no connection should stand: {:?}", reply.map(|reply| reply.status));
    }
    let plain = Call::post(AGENT, &rpc(json!("t"), "SendMessage", message_1_0("t"))).version("1.0").send(envoy.port()).await;
    ensure!(plain.is_err(), "nor in the clear");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("istio_chains::policies_behind_see_what_attache_verified", policies);
    suite.add("istio_chains::preflights_pass_to_istios_cors_filter", preflights);
    suite.add("istio_chains::service_accounts_are_callers", service_accounts);
}
