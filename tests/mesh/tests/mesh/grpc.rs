//! gRPC: the official SDKs' clients and servers with the filter between them, and refusals as trailers-only answers.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{Agent, Sdk};
use attache_mesh::{raw, told};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::suite::{Suite, works};

pub const SERVICE_1_0: &str = "/lf.a2a.v1.A2AService";
pub const SERVICE_0_3: &str = "/a2a.v1.A2AService";

/// Makes a file offer gRPC: the agent takes it, and each service goes to its version's own port.
pub fn offer(file: &mut EnvoyFile, agent_1_0: &Agent, agent_0_3: &Agent) -> Result<()> {
    file.edit_plugin(|plugin| {
        let agent = &mut plugin["agents"][0];
        agent["match"]["grpc"] = json!(true);
        for version in ["1.0", "0.3"] {
            agent["versions"][version]["bindings"] = json!(["jsonrpc", "http_json", "grpc"]);
        }
    })?;
    let services = [("grpc_v1_0", SERVICE_1_0, agent_1_0), ("grpc_v0_3", SERVICE_0_3, agent_0_3)];
    for (cluster, _, agent) in services {
        let port = agent.grpc_port.context("the agent speaks no gRPC")?;
        let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
        clusters.push(json!({
            "name": cluster, "connect_timeout": "1s",
            "load_assignment": {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}},
        }));
    }
    let routes = &mut file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"];
    let routes = routes.as_array_mut().context("no routes")?;
    for (cluster, service, _) in services {
        let route = json!({"match": {"path_separated_prefix": service}, "route": {"cluster": cluster, "timeout": "0s"}});
        routes.insert(0, route);
    }
    Ok(())
}

/// `envoy/inbound.yaml` with that, in front of the standing agents.
pub async fn start(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut Value)) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
    file.edit_plugin(edit)?;
    Envoy::start(name, &file, Options::default()).await
}

/// The one that tests share.
async fn standing(mesh: &Mesh) -> Result<&'static Envoy> {
    static STANDING: OnceCell<Envoy> = OnceCell::const_new();
    STANDING.get_or_try_init(async || start(mesh, "grpc", |_| {}).await).await
}

/// A call with one empty message.
pub fn call(path: impl Into<String>) -> Call {
    Call::new(http::Method::POST, path).header("content-type", "application/grpc").header("te", "trailers").body(&[0u8; 5][..])
}

pub async fn send(envoy: &Envoy, call: &Call) -> Result<Reply> {
    raw::http2(envoy.port(), call, 100, &[]).await
}

/// `call` is answered with nothing but headers that say `status`, and Envoy's log says `reason`.
pub async fn refused(envoy: &Envoy, call: &Call, status: u8, reason: &str) -> Result<Reply> {
    let start = envoy.log().len();
    let reply = send(envoy, call).await?;
    let seen = || format!("for {reason} came {} {:?} {}", reply.status, reply.headers, reply.text());
    ensure!(reply.status == 200 && reply.body.is_empty(), "{}", seen());
    ensure!(reply.header("content-type") == Some("application/grpc"), "{}", seen());
    ensure!(reply.header("grpc-status") == Some(status.to_string().as_str()), "wanted {status}: {}", seen());
    ensure!(reply.header("grpc-message").is_some_and(|message| !message.is_empty()), "{}", seen());
    // What the filter gives as a header comes in the only headers that there are, which are the trailers.
    let details = reply.header("grpc-status-details-bin").and_then(|value| STANDARD_NO_PAD.decode(value).ok());
    ensure!(details.is_some_and(|details| details.starts_with(&[8, status])), "{}", seen());
    envoy.refusal_logged(start, reason).await?;
    Ok(reply)
}

/// What the agent sees of a caller who says that it is someone else.
async fn forged(mesh: &Mesh, sdk: Sdk) -> Result<()> {
    let (envoy, token) = (standing(mesh).await?, mesh.token().await?);
    let result =
        sdk.call_grpc(envoy.port(), Some(&token), "send,stream", &["x-attache:client=mallory", "x-attache-subject:mallory"]).await?;
    ensure!(result["ok"] == true, "{result}");
    for (op, operation) in [("send", "SendMessage"), ("stream", "SendStreamingMessage")] {
        let result = &result["results"][op];
        let echo = &result["echo"];
        ensure!(result["state"] == "completed" && echo["agent"] == sdk.version(), "{op}: {result}");
        let seen = &echo["headers"];
        ensure!(seen["a2a-version"] == sdk.version(), "{op}: {seen}");
        for (member, value) in [("agent", "expense"), ("operation", operation), ("client", "caller")] {
            ensure!(told::in_headers(seen, member) == [value], "{op}: {seen}");
        }
        ensure!(!seen.to_string().contains("mallory"), "{op}: {seen}");
        ensure!(echo["path"].as_str().is_some_and(|path| path.ends_with(operation)), "{op}: {echo}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for sdk in [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3] {
        suite.add(format!("grpc::{}_cannot_say_who_it_is", sdk.name()), async move |mesh| forged(mesh, sdk).await);
        suite.add(format!("grpc::{}_reads_refusals", sdk.name()), async move |mesh| {
            let envoy = standing(mesh).await?;
            let reader = mesh.authorization.token(&mesh.audience, "agent:read").await?;
            for (token, status) in [(None, 16), (Some("a.b.c"), 16), (Some(reader.as_str()), 7)] {
                for op in ["send", "stream"] {
                    let result = sdk.call_grpc(envoy.port(), token, op, &[]).await?;
                    let told = result["body"].as_str().is_some_and(|text| text.contains("token"));
                    ensure!(result["ok"] == false && result["status"] == status && told, "{op}: {result}");
                }
            }
            Ok(())
        });
    }
    suite.add("grpc::without_a_good_token", async |mesh| {
        let envoy = standing(mesh).await?;
        for service in [SERVICE_1_0, SERVICE_0_3] {
            for method in ["SendMessage", "SendStreamingMessage", "GetTask"] {
                let call = call(format!("{service}/{method}"));
                let reply = refused(envoy, &call, 16, "credentials_missing").await?;
                ensure!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")), "{:?}", reply.headers);
                refused(envoy, &call.bearer("junk"), 16, "token_malformed").await?;
            }
        }
        works(envoy.port(), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("grpc::unknown_methods_are_unimplemented", async |mesh| {
        let (envoy, token) = (standing(mesh).await?, mesh.token().await?);
        for path in [
            format!("{SERVICE_1_0}/TaskSubscription"),
            format!("{SERVICE_1_0}/Nothing"),
            format!("{SERVICE_1_0}/SendMessage/x"),
            format!("{SERVICE_0_3}/SubscribeToTask"),
            format!("{SERVICE_0_3}/ListTasks"),
        ] {
            refused(envoy, &call(path).bearer(&token), 12, "operation_unknown").await?;
        }
        Ok(())
    });
    suite.add("grpc::a_version_that_the_service_is_not_of", async |mesh| {
        let (envoy, token) = (standing(mesh).await?, mesh.token().await?);
        let new = call(format!("{SERVICE_1_0}/SendMessage")).bearer(&token);
        let old = call(format!("{SERVICE_0_3}/SendMessage")).bearer(&token);
        refused(envoy, &new.clone().version("0.3"), 9, "version_mismatch").await?;
        refused(envoy, &old.clone().version("1.0"), 9, "version_mismatch").await?;
        refused(envoy, &new.clone().version("1.0").version("0.3"), 9, "version_conflict").await?;
        refused(envoy, &new.clone().version("v1"), 9, "version_malformed").await?;
        refused(envoy, &old.version("0.2"), 9, "version_not_supported").await?;
        Ok(())
    });
    suite.add("grpc::a_version_that_is_not_offered_over_it", async |mesh| {
        let envoy = start(mesh, "grpc-1.0-only", |plugin| {
            plugin["agents"][0]["versions"]["0.3"]["bindings"] = json!(["jsonrpc"]);
        })
        .await?;
        let token = mesh.token().await?;
        refused(&envoy, &call(format!("{SERVICE_0_3}/SendMessage")).bearer(&token), 9, "version_not_supported").await?;
        let result = Sdk::Python1_0.call_grpc(envoy.port(), Some(&token), "send", &[]).await?;
        ensure!(result["ok"] == true, "{result}");
        Ok(())
    });
    suite.add("grpc::an_agent_that_offers_none", async |mesh| {
        let envoy = start(mesh, "no-grpc", |plugin| {
            for version in ["1.0", "0.3"] {
                plugin["agents"][0]["versions"][version]["bindings"] = json!(["jsonrpc"]);
            }
            plugin["agents"][0]["match"]["grpc"] = json!(false);
        })
        .await?;
        let result = Sdk::Python1_0.call_grpc(envoy.port(), Some(&mesh.token().await?), "send", &[]).await?;
        ensure!(result["ok"] == false && result["status"] == 12, "{result}");
        works(envoy.port(), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("grpc::a_scope_that_is_missing", async |mesh| {
        let envoy = standing(mesh).await?;
        let token = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        let reply = refused(envoy, &call(format!("{SERVICE_1_0}/SendMessage")).bearer(&token), 7, "insufficient_scope").await?;
        ensure!(reply.header("www-authenticate").is_some_and(|value| value.contains("agent:execute")), "{:?}", reply.headers);
        Ok(())
    });
    suite.add("grpc::what_is_not_grpc_is_not_refused_with_200", async |mesh| {
        let (envoy, token) = (standing(mesh).await?, mesh.token().await?);
        let path = format!("{SERVICE_1_0}/SendMessage");
        for kind in ["application/json", "application/grpc-web", "application/grpc; charset=utf-8", "text/plain"] {
            let post = Call::new(http::Method::POST, &path).header("content-type", kind).body("{}");
            for call in [post.clone(), post.bearer(&token)] {
                let reply = call.send(envoy.port()).await?;
                ensure!(reply.status >= 400 && reply.reason().is_some(), "{kind}: {} {}", reply.status, reply.text());
            }
        }
        let reply = Call::get(&path).bearer(&token).send(envoy.port()).await?;
        ensure!(reply.status >= 400 && reply.reason().is_some(), "{} {}", reply.status, reply.text());
        Ok(())
    });
}
