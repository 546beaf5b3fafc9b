//! Notifications that remote agents post to webhooks: who may, once, in time, about their own task.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_0_3, message_1_0, rpc};
use attache_mesh::live::Live;
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::mint::Mint;
use attache_mesh::peer::{self, Sdk};
use attache_mesh::push_token::{self, Purpose};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wiretap::Wiretap;
use attache_mesh::{place, wait};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::suite::Suite;

const HOST: &str = "hooks.example.com";
const KEY: &str = "a key of the mesh for push tokens";
const ISSUER: &str = "https://partner.example";

/// An Envoy file whose webhooks lead to `receiver`, and whose signed tokens `mint` signs.
fn file(mesh: &Mesh, receiver: u16, jwks: &StandIn) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    for cluster in ["expense_v1_0", "expense_v0_3"] {
        file.cluster(cluster, receiver)?;
    }
    file.cluster("idp", jwks.port)?;
    file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0"}}]);
    file.edit_plugin(|plugin| {
        let hook = |name: &str| json!({"name": name, "match": {"hosts": [HOST], "ports": "ignore", "path_prefix": format!("/{name}")}});
        let mut hooks = ["ours", "signed", "both"].map(hook);
        let token = json!({"keys": [{"id": "k1", "secret": "push"}], "connections": ["partner"]});
        hooks[0]["token"] = token.clone();
        hooks[1]["security"] = json!([{"partner_push": []}]);
        hooks[2]["token"] = token;
        hooks[2]["security"] = json!([{"partner_push": []}]);
        *plugin = json!({
            "issuers": [{"name": "partner", "issuer": ISSUER, "audiences": [format!("https://{HOST}")], "token_types": ["JWT"],
                         "jwks": {"remote": {"uri": format!("http://127.0.0.1:{}/jwks", jwks.port), "cluster": "idp"}}}],
            "schemes": {"partner_push": {"bearer": {"issuers": ["partner"]}}},
            "webhooks": hooks,
            "allow_inline_secrets": true,
            "secrets": {"push": {"inline": KEY}},
        });
    })?;
    Ok(file)
}

async fn keys(mint: &Mint) -> Result<StandIn> {
    StandIn::start(Answer::new("200 OK", "application/json", json!({"keys": [mint.jwk()]}).to_string())).await
}

fn task(id: &str) -> Value {
    json!({"statusUpdate": {"taskId": id, "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}})
}

fn post(hook: &str, body: &Value) -> Call {
    Call::post(format!("/{hook}"), body).host(HOST)
}

/// A token that the partner signs for one notification.
fn signed(mint: &Mint, change: &Value) -> String {
    let now = place::now();
    let mut claims = json!({"iss": ISSUER, "sub": "agent", "aud": format!("https://{HOST}"), "iat": now, "exp": now + 300});
    change.as_object().into_iter().flatten().for_each(|(name, value)| claims[name] = value.clone());
    mint.sign_as(&json!({"alg": "ES256", "typ": "JWT", "kid": mint.kid}), &claims)
}

fn ours(connection: &str, lasts: i64, nonce: u8, task: Option<&str>) -> Result<String> {
    let expires = u64::try_from(i64::try_from(place::now())? + lasts)?;
    push_token::mint("k1", KEY, &Purpose { connection, expires, nonce, task })
}

fn refused(reply: &Reply, reason: &str) -> Result<()> {
    refusal::check(reply, reason, &Form::Status)
}

async fn token_of_ours(mesh: &Mesh) -> Result<()> {
    let receiver = Wiretap::start().await?;
    let mint = Mint::new("webhooks")?;
    let jwks = keys(&mint).await?;
    let envoy = Envoy::start("webhooks-ours", &file(mesh, receiver.port, &jwks)?, Options::default().workers(4)).await?;
    let port = envoy.port();
    let token = ours("partner", 600, 1, None)?;
    for (name, value) in [("x-a2a-notification-token", token.clone()), ("authorization", format!("Bearer {token}"))] {
        let reply = post("ours", &task("t")).header(name, &value).header("x-attache", "webhook=\"forged\"").send(port).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    }
    for heard in receiver.heard() {
        ensure!(heard.header("x-attache") == [r#"webhook="ours", version="1.0", connection="partner""#], "{heard:?}");
        ensure!(heard.header("authorization").is_empty() && heard.header("x-a2a-notification-token").is_empty(), "{heard:?}");
        ensure!(serde_json::from_slice::<Value>(&heard.rest)? == task("t"), "{heard:?}");
    }
    ensure!(receiver.heard().len() == 2, "{:?}", receiver.heard());
    receiver.forget();
    let with = |token: &str, body: &Value| post("ours", body).header("x-a2a-notification-token", token);
    // Any worker knows with which task it came first.
    for _ in 0..8 {
        refused(&with(&token, &task("other")).send(port).await?, "notification_task_refused")?;
    }
    refused(&with(&ours("partner", 600, 2, Some("t"))?, &task("other")).send(port).await?, "notification_task_refused")?;
    for bad in [ours("elsewhere", 600, 3, None)?, ours("partner", -1, 4, None)?, format!("{token}x"), "opaque".to_owned()] {
        refused(&with(&bad, &task("t")).send(port).await?, "push_token_refused")?;
    }
    refused(&post("ours", &task("t")).send(port).await?, "push_token_refused")?;
    for odd in [json!({"hello": "world"}), json!([]), json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}})] {
        refused(&with(&token, &odd).send(port).await?, "notification_malformed")?;
    }
    let get = Call::get("/ours").host(HOST).header("x-a2a-notification-token", &token).send(port).await?;
    refused(&get, "method_refused")?;
    ensure!(get.header("allow") == Some("POST"), "{:?}", get.headers);
    ensure!(receiver.heard().is_empty(), "{:?}", receiver.heard());
    let log = envoy.log();
    ensure!(!log.contains(&token), "the token is in the log");
    ensure!(log.contains("webhooks[0].token: it has expired") && log.contains(r#""webhook":"ours""#), "{log}");
    envoy.stat_reaches("attache_decisions.webhook=.=ours;.;", 10).await?;
    Ok(())
}

async fn once_over_workers(mesh: &Mesh) -> Result<()> {
    let receiver = Wiretap::start().await?;
    let mint = Mint::new("webhooks-once")?;
    let jwks = keys(&mint).await?;
    let envoy = Envoy::start("webhooks-once", &file(mesh, receiver.port, &jwks)?, Options::default().workers(4)).await?;
    let port = envoy.port();
    let send = |token: &str, id: &str| post("signed", &task(id)).bearer(token);
    // Forty at once with one token, over all workers: one passes.
    let token = signed(&mint, &json!({"jti": "storm"}));
    let replies = try_join_all((0..40).map(|_| async { send(&token, "t").send(port).await })).await?;
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    ensure!(passed == 1 && receiver.heard().len() == 1, "{passed} passed, {} arrived", receiver.heard().len());
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        refused(reply, "token_replayed")?;
    }
    let first = receiver.heard().first().map(|heard| heard.header("x-attache").join("|")).unwrap_or_default();
    let who = r#"webhook="signed", version="1.0", kind="service", issuer="partner", subject="agent", scopes=()"#;
    ensure!(first == who, "{first}");
    // Two hundred of their own all pass.
    receiver.forget();
    let own: Vec<String> = (0..200).map(|number| signed(&mint, &json!({"jti": format!("n{number}"), "taskId": "t"}))).collect();
    for tokens in own.chunks(20) {
        for reply in try_join_all(tokens.iter().map(|token| async { send(token, "t").send(port).await })).await? {
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        }
    }
    ensure!(receiver.heard().len() == 200, "{}", receiver.heard().len());
    let now = place::now();
    for (change, id, reason) in [
        (json!({}), "t", "token_replayed"),
        (json!({"jti": "late", "exp": now - 400}), "t", "token_expired"),
        (json!({"jti": "long", "exp": now + 90000}), "t", "token_lifetime_too_long"),
        (json!({"jti": "foreign", "taskId": "other"}), "t", "notification_task_refused"),
        (json!({"jti": "audience", "aud": "https://elsewhere.example"}), "t", "token_audience_mismatch"),
        (json!({"jti": "issuer", "iss": "https://elsewhere.example"}), "t", "token_issuer_unknown"),
    ] {
        refused(&send(&signed(&mint, &change), id).send(port).await?, reason).with_context(|| change.to_string())?;
    }
    let stranger = Mint::new("webhooks-stranger")?;
    refused(&send(&signed(&stranger, &json!({"jti": "s"})), "t").send(port).await?, "token_key_unknown")?;
    // Where both are asked for, both must hold.
    let both = |jti: &str| post("both", &task("t")).bearer(&signed(&mint, &json!({"jti": jti})));
    refused(&both("b1").send(port).await?, "push_token_refused")?;
    let token = ours("partner", 600, 1, Some("t"))?;
    refused(&post("both", &task("t")).header("x-a2a-notification-token", &token).send(port).await?, "credentials_missing")?;
    let reply = both("b1").header("x-a2a-notification-token", &token).send(port).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    Ok(())
}

/// What was seen is known after a change of the configuration, too.
async fn a_change_forgets_nothing(mesh: &Mesh) -> Result<()> {
    let receiver = Wiretap::start().await?;
    let mint = Mint::new("webhooks-change")?;
    let jwks = keys(&mint).await?;
    let live = Live::of(file(mesh, receiver.port, &jwks)?, "webhooks-change").await?;
    let token = signed(&mint, &json!({"jti": "before"}));
    let send = || post("signed", &task("t")).bearer(&token);
    let reply = send().send(live.envoy.port()).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    live.change(|plugin| plugin["webhooks"][1]["name"] = json!("renamed"))?;
    wait::until("the new configuration", Duration::from_secs(20), async || {
        let new = post("signed", &task("t")).bearer(&signed(&mint, &json!({"jti": place::unique("after")})));
        let reply = new.send(live.envoy.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let told = receiver.heard().last().map(|heard| heard.header("x-attache").join("|")).unwrap_or_default();
        Ok(told.contains("webhook=\"renamed\"").then_some(()))
    })
    .await?;
    refused(&send().send(live.envoy.port()).await?, "token_replayed")
}

/// Bodies in parts, at the limit and over it; with and without held headers.
async fn bodies(mesh: &Mesh) -> Result<()> {
    let receiver = Wiretap::start().await?;
    let mint = Mint::new("webhooks-bodies")?;
    let jwks = keys(&mint).await?;
    for holds in [true, false] {
        receiver.forget();
        let mut file = file(mesh, receiver.port, &jwks)?;
        file.wasm()?["allow_on_headers_stop_iteration"] = json!(holds);
        file.edit_plugin(|plugin| {
            plugin["hold_headers"] = json!(holds);
            plugin["webhooks"][0]["max_body_bytes"] = json!(300_000);
        })?;
        let envoy = Envoy::start("webhooks-bodies", &file, Options::default()).await?;
        let token = ours("partner", 600, 1, Some("t"))?;
        let send = |body: &Value| post("ours", body).header("x-a2a-notification-token", &token);
        let long = |bytes: usize| {
            let mut body = task("t");
            body["statusUpdate"]["metadata"] = json!({"x": "x".repeat(bytes)});
            body
        };
        let reply = send(&long(250_000)).send(envoy.port()).await?;
        ensure!(reply.status == 200, "{holds}: {} {}", reply.status, reply.text());
        ensure!(receiver.heard().iter().any(|heard| heard.whole && heard.rest.len() > 250_000), "{holds}: the body is not whole");
        refused(&send(&long(300_000)).send(envoy.port()).await?, "body_too_large")?;
        let foreign = send(&task("other")).send(envoy.port()).await?;
        refused(&foreign, "notification_task_refused")?;
        let whole: BTreeSet<bool> = receiver.heard().iter().skip(1).map(|heard| heard.whole).collect();
        ensure!(!whole.contains(&true), "{holds}: {:?}", receiver.heard());
    }
    Ok(())
}

/// From the client that asks for notifications to the receiver that gets them: the filter's token goes out with the call and comes back
/// with what the servers of the SDKs post, whichever way they send it.
async fn round_trip(mesh: &Mesh) -> Result<()> {
    let receiver = Wiretap::start().await?;
    let mint = Mint::new("webhooks-round")?;
    let jwks = keys(&mint).await?;
    let mut file = file(mesh, receiver.port, &jwks)?;
    file.edit_plugin(|plugin| plugin["webhooks"][0]["token"]["connections"] = json!(["other", "own"]))?;
    let hooks = Envoy::start("webhooks-round", &file, Options::default()).await?;
    for (version, server, client) in
        [("1.0", Sdk::Python1_0, Sdk::Js1_0), ("1.0", Sdk::Js1_0, Sdk::Python1_0), ("0.3", Sdk::Python0_3, Sdk::Python0_3)]
    {
        let name = format!("{} to {}", client.name(), server.name());
        let agent = peer::agent_notifying(server, hooks.port()).await?;
        let mut own = connection("own", &json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}}));
        own["version"] = json!(version);
        own["push"] = json!({"url": format!("https://{HOST}/ours"), "keys": [{"id": "k1", "secret": "push"}]});
        if server == Sdk::Js1_0 {
            own["match"]["path_prefix"] = json!("/a2a/jsonrpc");
        }
        let mut out = outbound(mesh, &[own], &json!({"key": {"env": "PARTNER_KEY"}, "push": {"env": "PUSH_KEY"}}), &[])?;
        out.cluster("remote", agent.port)?;
        let out = Envoy::start("webhooks-out", &out, Options::default().env("PARTNER_KEY", PARTNER_KEY).env("PUSH_KEY", KEY)).await?;
        receiver.forget();
        let hook = json!({"url": format!("https://{HOST}/ours/{version}")});
        let (path, method, mut params) = match (server, version) {
            (Sdk::Js1_0, _) => ("/a2a/jsonrpc", "SendMessage", message_1_0("round")),
            (_, "1.0") => ("/", "SendMessage", message_1_0("round")),
            _ => ("/", "message/send", message_0_3("round")),
        };
        let member = if version == "1.0" { "taskPushNotificationConfig" } else { "pushNotificationConfig" };
        params["configuration"] = json!({member: hook});
        let call = Call::post(path, &rpc(json!(1), method, params)).host("own.example.com");
        let reply = call.send(out.port()).await.with_context(|| name.clone())?;
        let result = reply.json()["result"].clone();
        let task = result["task"]["id"].as_str().or(result["id"].as_str()).with_context(|| format!("{name}: {}", reply.text()))?;
        let heard = wait::until("its notification", Duration::from_secs(60), async || {
            Ok(receiver.heard().into_iter().find(|heard| heard.whole && String::from_utf8_lossy(&heard.rest).contains(task)))
        })
        .await
        .with_context(|| name.clone())?;
        let told = heard.header("x-attache").join("|");
        let wanted = format!(r#"webhook="ours", version="{version}", connection="own""#);
        ensure!(told == wanted, "{name}: {told}");
        ensure!(heard.line() == format!("POST /ours/{version} HTTP/1.1"), "{name}: {}", heard.line());
        ensure!(heard.header("authorization").is_empty() && heard.header("x-a2a-notification-token").is_empty(), "{name}: {heard:?}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("webhooks::a_token_of_ours_comes_back_with_its_task", token_of_ours);
    suite.add("webhooks::a_notification_makes_the_whole_way", round_trip);
    suite.add("webhooks::a_signed_token_is_good_once_over_all_workers", once_over_workers);
    suite.add("webhooks::a_change_of_the_configuration_forgets_nothing", a_change_forgets_nothing);
    suite.add("webhooks::bodies_go_on_whole_or_not_at_all", bodies);
}
