//! Tenants of an agent: clients of the SDKs that follow its published card come through over each binding, and nobody else does.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::mint::Mint;
use attache_mesh::peer::Sdk;
use attache_mesh::port::Reserved;
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::at_hand::{add_agents, real_card};
use crate::grpc::{self, SERVICE_1_0};
use crate::suite::{House, Suite};

/// Hosts of the same agent: where a claim names the tenant, where it looks at none, and where its card is not known.
const CLAIM: &str = "claim.example.com";
const IGNORES: &str = "ignores.example.com";
const UNKNOWN: &str = "unknown.example.com";

/// An Envoy before an agent whose card names the tenant `acme` for each binding.
struct Place {
    envoy: Envoy,
    mint: Mint,
    audience: String,
    url: String,
    _port: Reserved,
}

impl Place {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Place> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let (mint, port) = (Mint::new("house-1")?, Reserved::new()?);
        let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
        let interface = |binding: &str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0", "tenant": "acme"});
        let mut card = real_card(mesh).await?;
        card["supportedInterfaces"] = ["JSONRPC", "HTTP+JSON", "GRPC"].map(interface).into();
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        House::trust(&mut file, &mint, &mesh.audience)?;
        grpc::offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
        file.edit_plugin(|plugin| {
            let agent = &mut plugin["agents"][0];
            agent["public_url"] = json!(url);
            agent["card"]["source"] = json!({"inline": card});
            agent["push_notifications"] = json!({"hosts": ["hooks.example.com"]});
        })?;
        let upstream = json!({"source": "upstream"});
        let others = [
            (CLAIM, json!({"tenant": {"claim": "tid"}})),
            (IGNORES, json!({"tenant": {"ignore": {}}, "card": upstream})),
            (UNKNOWN, json!({"card": upstream})),
        ];
        add_agents(&mut file, &others)?;
        let envoy = Envoy::start("tenants", &file, Options::default()).await?;
        Ok(Self { envoy, mint, audience: mesh.audience.clone(), url, _port: port })
    }

    /// A token whose `tid` is `tenant`, if there is one.
    fn token(&self, tenant: Option<&str>) -> String {
        let mut claims = House::claims_for("ann", &self.audience);
        if let Some(tenant) = tenant {
            claims["tid"] = json!(tenant);
        }
        self.mint.sign(&claims)
    }

    async fn send(&self, call: &Call, tid: Option<&str>) -> Result<Reply> {
        raw::http2(self.envoy.port(), &call.clone().bearer(&self.token(tid)), 1000, &[]).await
    }

    /// `call` passes, and the agent's SDK understands that it is about `tenant`.
    async fn passes(&self, call: &Call, tid: Option<&str>, tenant: &str) -> Result<()> {
        let reply = self.send(call, tid).await?;
        let echo = reply.echo().with_context(|| format!("{call:?}: {} {}", reply.status, reply.text()))?;
        ensure!(echo.0["tenant"] == tenant, "{call:?}: {}", echo.0);
        Ok(())
    }

    /// `call` is refused for `reason`.
    async fn refuses(&self, call: &Call, tid: Option<&str>, reason: &str) -> Result<()> {
        let body: Value = call.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        let form = if body.get("jsonrpc").is_some() { Form::Rpc(body["id"].clone()) } else { Form::Status };
        refusal::check(&self.send(call, tid).await?, reason, &form).with_context(|| format!("{call:?}"))
    }
}

/// A message over JSON-RPC with these members of `params` besides.
fn over_rpc(host: Option<&str>, more: &Value) -> Call {
    let mut params = message_1_0("tenant");
    merge(&mut params, more);
    at(host, Call::post(AGENT, &rpc(json!("t"), "SendMessage", params)).version("1.0"))
}

/// A message over HTTP+JSON at `route`.
fn over_http(host: Option<&str>, route: &str, more: &Value) -> Call {
    let mut body = message_1_0("tenant");
    merge(&mut body, more);
    at(host, Call::post(format!("{AGENT}{route}"), &body).version("1.0"))
}

fn at(host: Option<&str>, call: Call) -> Call {
    match host {
        Some(host) => call.host(host),
        None => call,
    }
}

fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// A gRPC call that gets a task, of a tenant.
fn over_grpc(tenant: &str) -> Call {
    let mut message = vec![0x0a, u8::try_from(tenant.len()).unwrap_or_default()];
    message.extend_from_slice(tenant.as_bytes());
    message.extend_from_slice(&[0x12, 1, b't']);
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap_or_default()];
    frame.extend_from_slice(&message);
    grpc::call(format!("{SERVICE_1_0}/GetTask")).body(frame)
}

/// Everything that a client of the SDKs does, at the published tenant.
async fn follows(mesh: &Mesh, sdk: Sdk, binding: &str) -> Result<()> {
    const OPS: &str = "send,stream,get,cancel,subscribe,push_set,push_get,push_list,push_delete,extended";
    let place = Place::standing(mesh).await?;
    let token = place.token(None);
    let result = match binding {
        "grpc" => sdk.call_grpc_in("acme", place.envoy.port(), &token, OPS).await?,
        binding => sdk.call(&place.url, Some(&token), OPS, binding).await?,
    };
    ensure!(result["ok"] == true, "{result}");
    for op in ["send", "stream"] {
        let echo = &result["results"][op]["echo"];
        ensure!(echo["tenant"] == "acme", "{op}: {echo}");
    }
    let path = result["results"]["send"]["echo"]["path"].as_str().unwrap_or_default();
    ensure!((binding == "http_json") == path.starts_with("/acme/"), "{path}");
    Ok(())
}

async fn published(mesh: &Mesh) -> Result<()> {
    let place = Place::standing(mesh).await?;
    for call in [over_rpc(None, &json!({"tenant": "acme"})), over_http(None, "/acme/message:send", &json!({"tenant": "acme"}))] {
        place.passes(&call, None, "acme").await?;
    }
    for call in [over_rpc(None, &json!({})), over_http(None, "/message:send", &json!({"tenant": ""}))] {
        place.passes(&call, None, "").await?;
    }
    // The claim counts for nothing here.
    let other = json!({"tenant": "bolt"});
    let get = |target: &str| Call::get(format!("{AGENT}{target}")).version("1.0");
    for call in [
        over_rpc(None, &other),
        over_http(None, "/bolt/message:send", &json!({})),
        over_http(None, "/message:send", &other),
        over_http(None, "/message:send?tenant=bolt", &json!({})),
        get("/bolt/tasks/t"),
        get("/tasks/t?tenant=bolt"),
        get("/tasks?tenant=ACME"),
        Call::new(Method::DELETE, format!("{AGENT}/bolt/tasks/t/pushNotificationConfigs/c")).version("1.0"),
        Call::post(format!("{AGENT}/tasks/t:cancel"), &other).version("1.0"),
    ] {
        place.refuses(&call, Some("bolt"), "tenant_refused").await?;
    }
    let mut old = message_0_3("tenant");
    old["tenant"] = json!("acme");
    let old = Call::post(AGENT, &rpc(json!("t"), "message/send", old)).version("0.3");
    place.refuses(&old, None, "tenant_refused").await?;
    grpc::refused(&place.envoy, &over_grpc("bolt").bearer(&place.token(None)), 3, "tenant_refused").await?;
    // The agent has no such task, which it says itself.
    let reply = grpc::send(&place.envoy, &over_grpc("acme").bearer(&place.token(None))).await?;
    ensure!(reply.header("grpc-status") == Some("5"), "{:?}", reply.headers);
    // Without a token nobody learns which tenants there are.
    let reply = over_rpc(None, &other).send(place.envoy.port()).await?;
    refusal::check(&reply, "credentials_missing", &Form::Rpc(json!("t")))
}

async fn two(mesh: &Mesh) -> Result<()> {
    let place = Place::standing(mesh).await?;
    for host in [None, Some(IGNORES)] {
        for call in [
            over_http(host, "/acme/message:send", &json!({"tenant": "bolt"})),
            over_http(host, "/acme/message:send?tenant=bolt", &json!({})),
            over_http(host, "/message:send?tenant=acme&tenant=bolt", &json!({})),
            over_rpc(
                host,
                &json!({"tenant": "acme", "configuration": {"taskPushNotificationConfig": {"url": "https://hooks.example.com/x", "tenant": "bolt"}}}),
            ),
        ] {
            place.refuses(&call, None, "request_malformed").await?;
        }
    }
    place.passes(&over_rpc(Some(IGNORES), &json!({"tenant": "anything"})), None, "anything").await?;
    place.passes(&over_http(Some(IGNORES), "/anything/message:send", &json!({})), None, "anything").await?;
    place.refuses(&over_rpc(Some(UNKNOWN), &json!({"tenant": "acme"})), None, "tenant_refused").await?;
    place.passes(&over_rpc(Some(UNKNOWN), &json!({})), None, "").await
}

async fn claimed(mesh: &Mesh) -> Result<()> {
    let (place, host) = (Place::standing(mesh).await?, Some(CLAIM));
    for tenant in ["bolt", "acme"] {
        for call in [over_rpc(host, &json!({"tenant": tenant})), over_http(host, &format!("/{tenant}/message:send"), &json!({}))] {
            place.passes(&call, Some(tenant), tenant).await?;
            for other in [None, Some("other")] {
                place.refuses(&call, other, "tenant_refused").await?;
            }
        }
    }
    let grpc = |tid: &str| at(host, over_grpc("bolt")).bearer(&place.token(Some(tid)));
    grpc::refused(&place.envoy, &grpc("acme"), 3, "tenant_refused").await?;
    let reply = grpc::send(&place.envoy, &grpc("bolt")).await?;
    ensure!(reply.header("grpc-status") == Some("5"), "{:?}", reply.headers);
    place.passes(&over_rpc(host, &json!({})), Some("bolt"), "").await
}

/// A tenant that comes behind a long message that has gone on.
async fn late(mesh: &Mesh) -> Result<()> {
    let place = Place::standing(mesh).await?;
    for (tenant, passes) in [("acme", true), ("bolt", false)] {
        let long = json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x".repeat(300_000)}]}}).to_string();
        let long = long.strip_suffix('}').context("no object")?;
        let body = format!(r#"{{"jsonrpc":"2.0","id":"t","method":"SendMessage","params":{long},"tenant":"{tenant}"}}}}"#);
        let call = Call::new(Method::POST, AGENT).header("content-type", "application/json").version("1.0").body(body);
        // Envoy resets what has gone on: then there is no answer.
        let reply = raw::http2(place.envoy.port(), &call.bearer(&place.token(None)), 16_000, &[]).await;
        let passed = reply.as_ref().is_ok_and(|reply| reply.echo().is_some());
        ensure!(passed == passes, "{tenant}: {reply:?}");
        ensure!(passes || reply.map_or(true, |reply| reply.reason().as_deref() == Some("tenant_refused")), "{tenant}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (sdk, binding) in [
        (Sdk::Python1_0, "jsonrpc"),
        (Sdk::Python1_0, "http_json"),
        (Sdk::Python1_0, "grpc"),
        (Sdk::Js1_0, "jsonrpc"),
        (Sdk::Js1_0, "http_json"),
    ] {
        let name = format!("tenants::{}_follows_the_card_over_{binding}", sdk.name());
        suite.add(name, async move |mesh| follows(mesh, sdk, binding).await);
    }
    suite.add("tenants::only_the_published_one_passes", async |mesh| published(mesh).await);
    suite.add("tenants::two_are_refused_whatever_the_agent_looks_at", async |mesh| two(mesh).await);
    suite.add("tenants::a_claim_names_the_tenant", async |mesh| claimed(mesh).await);
    suite.add("tenants::one_that_comes_late_is_cut_off", async |mesh| late(mesh).await);
}
