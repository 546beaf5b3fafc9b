//! Calls that leave: the right credential, only that one, or no call at all.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Echo, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, PARTNER_KEY};
use attache_mesh::peer::{self, Sdk};
use attache_mesh::refusal::{self, Form};
use attache_mesh::{place, raw};
use serde_json::json;

use crate::suite::Suite;

fn to(mesh: &Mesh, text: &str) -> Call {
    Call::post("/", &rpc(json!(text), "SendMessage", message_1_0(text))).host(mesh.partner_host())
}

fn echo(reply: &Reply) -> Result<Echo> {
    reply.echo().with_context(|| format!("no echo: {} {}", reply.status, reply.text()))
}

fn only_our_key(reply: &Reply) -> Result<Echo> {
    let echo = echo(reply)?;
    ensure!(echo.header("x-api-key") == [PARTNER_KEY], "{:?}", echo.0);
    ensure!(echo.header("authorization").is_empty() && echo.header("cookie").is_empty(), "{:?}", echo.0);
    ensure!(echo.header("a2a-version") == ["1.0"], "{:?}", echo.0);
    Ok(echo)
}

/// An outbound Envoy without the secrets' values.
async fn without_secrets(mesh: &Mesh, name: &str, options: Options) -> Result<Envoy> {
    Envoy::start(name, &mesh.outbound_file()?, options).await
}

/// Whatever the host, Envoy's routes lead to the partner.
fn route_all_to_partner(file: &mut EnvoyFile) -> Result<()> {
    let routes = file.http_manager()?.get_mut("route_config").context("no route_config")?;
    routes["virtual_hosts"] = json!([{"name": "all", "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner"}}]}]);
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("outbound::the_api_key_is_attached_once", async |mesh| {
        let echo = only_our_key(&to(mesh, "key").send(mesh.outbound.port()).await?)?;
        ensure!(echo.agent() == "partner" && echo.text() == "key", "{:?}", echo.0);
        Ok(())
    });
    suite.add("outbound::the_clients_own_credentials_are_dropped", async |mesh| {
        let call = to(mesh, "own").bearer("mine").header("x-api-key", "mine").header("X-API-Key", "mine-too");
        let call = call.header("authorization", "Basic bWluZQ==").header("proxy-authorization", "Basic bWluZQ==");
        only_our_key(&call.send(mesh.outbound.port()).await?)?;
        let call = to(mesh, "own").bearer("mine").header("x-api-key", "mine").header("x-api-key", b"mine\xff");
        only_our_key(&raw::http2(mesh.outbound.port(), &call, 8, &[]).await?)?;
        Ok(())
    });
    suite.add("outbound::the_version_is_the_connections_and_said_once", async |mesh| {
        for call in [to(mesh, "v").version("0.3"), to(mesh, "v").version("1.0").version("0.3"), to(mesh, "v").version("junk")] {
            only_our_key(&call.send(mesh.outbound.port()).await?)?;
        }
        Ok(())
    });
    suite.add("outbound::identity_headers_do_not_leave", async |mesh| {
        let call =
            to(mesh, "id").header("x-attache", "subject=\"alice\"").header("x-attache-subject", "alice").header("x-attache-kind", "user");
        let echo = only_our_key(&call.send(mesh.outbound.port()).await?)?;
        ensure!(!echo.names().iter().any(|name| name.starts_with("x-attache")), "{:?}", echo.names());
        Ok(())
    });
    suite.add("outbound::agent_to_agent_is_verified_on_the_other_side", async |mesh| {
        let call = Call::post(AGENT, &rpc(json!("a2a"), "SendMessage", message_1_0("a2a")));
        let call = call.host(mesh.expense_host()).bearer("mine").header("x-attache-client", "mallory");
        let echo = echo(&call.send(mesh.outbound.port()).await?)?;
        ensure!(echo.agent() == "1.0" && echo.told("client") == ["caller"], "{:?}", echo.0);
        ensure!(echo.told("operation") == ["SendMessage"], "{:?}", echo.0);
        Ok(())
    });
    suite.add("outbound::a_response_of_the_partner_comes_back_unchanged", async |mesh| {
        let direct = Call::get("/.well-known/agent-card.json").header("x-api-key", PARTNER_KEY).send(mesh.partner.port).await?;
        let through = Call::get("/.well-known/agent-card.json").host(mesh.partner_host()).send(mesh.outbound.port()).await?;
        ensure!(direct.status == through.status && direct.body == through.body, "{} {}", through.status, through.text());
        Ok(())
    });
    suite.add("outbound::what_matches_nothing_is_refused", async |mesh| {
        for host in ["unknown.example.com", "partner.example.com.evil.example", "xpartner.example.com"] {
            let reply = to(mesh, "no").header("x-api-key", "mine").send(mesh.outbound.port()).await?;
            only_our_key(&reply)?;
            let call = Call::post("/", &rpc(json!("no"), "SendMessage", message_1_0("no"))).host(host);
            refusal::check(&call.send(mesh.outbound.port()).await?, "unmatched", &Form::Status)?;
        }
        Ok(())
    });
    suite.add("outbound::what_matches_nothing_passes_without_a_credential_if_so_configured", async |mesh| {
        let mut file = mesh.outbound_file()?;
        file.edit_plugin(|plugin| plugin["unmatched"] = json!("pass"))?;
        route_all_to_partner(&mut file)?;
        let envoy = Envoy::start("outbound-pass", &file, Options::default().env("PARTNER_KEY", PARTNER_KEY)).await?;
        let call = Call::post("/", &rpc(json!("p"), "SendMessage", message_1_0("p"))).host("unknown.example.com");
        let reply = call.send(envoy.port()).await?;
        ensure!(reply.status == 401 && reply.reason().is_none(), "the partner refuses: {} {}", reply.status, reply.text());
        // It is left alone: what the client brings is its own affair there.
        let call = call.header("x-api-key", PARTNER_KEY).version("1.0");
        ensure!(call.send(envoy.port()).await?.status == 200, "the client's own key passes");
        Ok(())
    });
    suite.add("outbound::without_the_secret_no_call_leaves", async |mesh| {
        for (name, options) in [("outbound-unset", Options::default()), ("outbound-empty", Options::default().env("PARTNER_KEY", ""))] {
            let envoy = without_secrets(mesh, name, options).await?;
            let mark = format!("/?mark={name}");
            let call = Call::post(&mark, &rpc(json!("s"), "SendMessage", message_1_0("s"))).host(mesh.partner_host());
            let reply = call.header("x-api-key", PARTNER_KEY).send(envoy.port()).await?;
            refusal::check(&reply, "credential_unavailable", &Form::Rpc(json!("s")))?;
            let get = Call::get("/tasks/t").host(mesh.partner_host()).send(envoy.port()).await?;
            refusal::check(&get, "credential_unavailable", &Form::Status)?;
            envoy.logged(&["attache: audit ", "\"connection\":\"partner\"", "\"reason\":\"credential_unavailable\""]).await?;
            ensure!(mesh.partner.saw(&mark).await? == 0, "the call left without a credential");
        }
        Ok(())
    });
    suite.add("outbound::an_official_client_reaches_the_partner", async |mesh| {
        let url_file = place::logs().join("partner-url");
        std::fs::write(&url_file, "")?;
        let partner = peer::partner(PARTNER_KEY, Some(&url_file)).await?;
        let mut file = mesh.outbound_file()?;
        file.cluster("partner", partner.port)?;
        // The client knows the outbound Envoy as the partner itself.
        file.edit_plugin(|plugin| {
            if let Some(list) = plugin["connections"].as_array_mut() {
                list.retain(|connection| connection["name"] == "partner");
            }
            plugin["connections"][0]["match"]["hosts"] = json!(["127.0.0.1"]);
        })?;
        route_all_to_partner(&mut file)?;
        let envoy = Envoy::start("outbound-sdk", &file, Options::default().env("PARTNER_KEY", PARTNER_KEY)).await?;
        let url = format!("http://127.0.0.1:{}", envoy.port());
        std::fs::write(&url_file, &url)?;
        for (sdk, binding) in [(Sdk::Python1_0, "jsonrpc"), (Sdk::Js1_0, "http_json")] {
            let result = sdk.call(&url, None, "card,send,stream,get", binding).await?;
            ensure!(result["ok"] == true, "{result}");
            let headers = &result["results"]["send"]["echo"]["headers"];
            ensure!(headers["x-api-key"] == PARTNER_KEY && headers["a2a-version"] == "1.0", "{result}");
        }
        Ok(())
    });
}
