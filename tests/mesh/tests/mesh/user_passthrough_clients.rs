//! The official SDKs' clients as agents whose users have to agree first: they show the link, and go on in the task that has it.

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Sdk};
use attache_mesh::sign_in::{CONSENT, Other, SignIn};
use attache_mesh::{canary, person, place};
use serde_json::{Value, json};

use crate::suite::Suite;

/// The link in what a client shows of a task, as text and as data.
fn shown(result: &Value) -> Result<String> {
    ensure!(result["state"] == "auth-required", "{result}");
    let said = result["said"].as_array().with_context(|| format!("nothing said: {result}"))?;
    let data = said.iter().find_map(|part| part.get("data")).with_context(|| format!("no data: {result}"))?;
    ensure!(data["issued_by"] == "attache" && data["connection"] == "hr" && data["expires_at"].is_string(), "{data}");
    ensure!(data["scopes"] == json!(["openid", "tasks.read"]), "{data}");
    let link = data["link"].as_str().with_context(|| format!("no link: {data}"))?;
    ensure!(link.starts_with(&format!("{CONSENT}/consent/start?link=")), "{link}");
    ensure!(said.iter().any(|part| part["text"].as_str().is_some_and(|text| text.contains(link))), "{result}");
    person::parameters(link).values().for_each(|secret| canary::keep(secret));
    Ok(link.to_owned())
}

/// Bob's client, after ann agreed: it shows him a link of his own, and knows nothing of her task. He says no, and it says so.
async fn not_for_others(house: &SignIn, url: &str, hers: &[(Sdk, &str, String, String)]) -> Result<()> {
    let token = house.token("bob").await?;
    let mut own = Vec::new();
    for (sdk, binding, task, _) in hers {
        let place = format!("bob by {} over {binding}", sdk.name());
        let tries = json!([{"op": "send"}, {"op": "get", "task": task}, {"op": "cancel", "task": task}]).to_string();
        let line = sdk.try_all(url, &token, binding, &tries).await?;
        let sent = &line["tries"][0]["results"]["send"];
        let link = shown(sent).with_context(|| format!("{place}: {line}"))?;
        for number in [1, 2] {
            let told = &line["tries"][number];
            let is_known = told["type"].as_str().is_some_and(|kind| kind.contains("TaskNotFound"));
            ensure!(told["ok"] == false && (is_known || told["code"] == -32001 || told["status"] == 404), "{place}: {told}");
        }
        own.push((link, *sdk, *binding, sent["task"].as_str().with_context(|| line.to_string())?.to_owned()));
    }
    let (link, sdk, binding, task) = own.last().context("no task")?;
    let page = house.arrive("bob", link).await?.deny().await?;
    ensure!(page.heading() == "Access was not allowed", "{page:?}");
    let line = sdk.call_about(task, url, Some(&token), "get", binding).await?;
    ensure!(line["results"]["get"]["state"] == "rejected", "{line}");
    let (_, sdk, binding, task) = own.first().context("no task")?;
    let line = sdk.call_about(task, url, Some(&token), "cancel", binding).await?;
    ensure!(line["results"]["cancel"]["state"] == "canceled", "{line}");
    Ok(())
}

async fn show_the_link(mesh: &Mesh, sdks: [Sdk; 2]) -> Result<()> {
    let version = sdks[0].version();
    let url_file = place::logs().join(place::unique("url-of-hr"));
    std::fs::write(&url_file, "")?;
    let agent = if version == "1.0" { peer::agent_1_0(Some(&url_file)).await? } else { peer::agent_0_3(Some(&url_file)).await? };
    // The clients know Envoy as the partner itself.
    let own = json!({"version": version, "match": {"hosts": ["127.0.0.1"], "ports": "ignore", "path_prefix": "/"}});
    let name = if version == "1.0" { "clients" } else { "clients-old" };
    let house = SignIn::start(mesh, name, Other { connection: own, remote: Some(agent.port), ..Other::default() }).await?;
    let url = format!("http://127.0.0.1:{}", house.envoy.port());
    std::fs::write(&url_file, &url)?;
    let token = house.token("ann").await?;

    let (mut link, mut tasks) = (None, Vec::new());
    for sdk in sdks {
        for binding in ["jsonrpc", "http_json"] {
            let place = format!("{} over {binding}", sdk.name());
            let line = sdk.call(&url, Some(&token), "card,send,stream", binding).await?;
            ensure!(line["ok"] == true, "{place}: {line}");
            let results = &line["results"];
            ensure!(results["card"]["name"].is_string(), "{place}: {line}");
            link = Some(shown(&results["send"]).with_context(|| place.clone())?);
            ensure!(shown(&results["stream"]).with_context(|| place.clone())? != shown(&results["send"])?, "each question has a link");
            ensure!(results["stream"]["events"] == json!(["task"]), "{place}: {line}");
            let text = |name: &str| results["send"][name].as_str().map(str::to_owned).with_context(|| line.to_string());
            let task = text("task")?;
            let line = sdk.call_about(&task, &url, Some(&token), "get,subscribe", binding).await?;
            for op in ["get", "subscribe"] {
                ensure!(line["results"][op]["state"] == "auth-required" && line["results"][op]["task"] == *task, "{place}: {line}");
            }
            tasks.push((sdk, binding, task, text("context")?));
        }
    }
    // Only cards were asked for at the agent, and without her token.
    for request in agent.requests().await? {
        let path = request["path"].as_str().unwrap_or_default();
        ensure!(path.contains(".well-known") && request["headers"]["authorization"].is_null(), "{request}");
    }

    ensure!(house.agree("ann", &link.context("no link")?).await? == "Access is allowed");
    not_for_others(&house, &url, &tasks).await?;
    for (sdk, binding, task, context) in tasks {
        let place = format!("{} over {binding}", sdk.name());
        let line = sdk.call_within([&task, &context], &url, Some(&token), "continue,get", binding).await?;
        ensure!(line["ok"] == true, "{place}: {line}");
        let went = &line["results"]["continue"];
        ensure!(went["state"] == "completed" && went["task"] != *task && went["context"] != *context, "{place}: {line}");
        let sent = went["echo"]["headers"]["authorization"].as_str().and_then(|value| value.strip_prefix("Bearer "));
        let sent = sent.with_context(|| format!("{place}: no token: {line}"))?;
        canary::keep(sent);
        let said = claims(sent)?;
        ensure!(said["sub"] == "ann" && said["iss"] == house.partner.issuer.as_str(), "{place}: {said}");
    }
    Ok(())
}

/// Over gRPC the answer of a filter has no message: the status has the link. Once she has agreed the same calls go on, to an agent that
/// knows whose token it got; and another user's do not.
async fn over_grpc(mesh: &'static Mesh) -> Result<()> {
    let own = json!({"match": {"hosts": ["127.0.0.1"], "ports": "ignore", "path_prefix": "/"}});
    let other = Other { connection: own, verifies: true, by_grpc: true, ..Other::default() };
    let house = SignIn::start(mesh, "clients-grpc", other).await?;
    let token = house.token("ann").await?;
    let mut link = None;
    for sdk in [Sdk::Python1_0, Sdk::Js1_0] {
        for op in ["send", "stream"] {
            let line = sdk.call_grpc(house.envoy.port(), Some(&token), op, &[]).await?;
            ensure!(line["ok"] == false && line["status"] == 16, "{line}");
            let message = line["body"].as_str().with_context(|| line.to_string())?;
            let start = message.find(&format!("{CONSENT}/consent/start?link=")).with_context(|| line.to_string())?;
            let found = message[start..].split_whitespace().next().unwrap_or_default();
            person::parameters(found).values().for_each(|secret| canary::keep(secret));
            if sdk == Sdk::Python1_0 {
                let details = &line["details"];
                ensure!(details[0]["reason"] == "CONSENT_REQUIRED" && details[0]["metadata"]["link"] == found, "{line}");
                ensure!(details[1]["links"][0]["url"] == found, "{line}");
            }
            link = Some(found.to_owned());
        }
    }
    ensure!(house.agree("ann", &link.context("no link")?).await? == "Access is allowed");
    let bobs = house.token("bob").await?;
    for sdk in [Sdk::Python1_0, Sdk::Js1_0] {
        let line = sdk.call_grpc(house.envoy.port(), Some(&token), "send,stream", &[]).await?;
        ensure!(line["ok"] == true, "{line}");
        for op in ["send", "stream"] {
            let echo = &line["results"][op]["echo"];
            ensure!(echo["subject"] == "ann" && echo["client"] == "attache" && echo["scope"] == "tasks.read", "{line}");
        }
        let line = sdk.call_grpc(house.envoy.port(), Some(&bobs), "send", &[]).await?;
        ensure!(line["status"] == 16 && line["body"].as_str().is_some_and(|said| said.contains("/consent/start?link=")), "{line}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (version, sdks) in [("1.0", [Sdk::Python1_0, Sdk::Js1_0]), ("0.3", [Sdk::Python0_3, Sdk::Js0_3])] {
        let name = format!("user_passthrough_clients::of_{version}_show_the_link_and_go_on_in_its_task");
        suite.add(name, async move |mesh: &'static Mesh| show_the_link(mesh, sdks).await);
    }
    suite.add("user_passthrough_clients::over_grpc_are_told_the_link_by_the_status", over_grpc);
}
