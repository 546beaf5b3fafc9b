//! Agents of one issuer with an audience each, and issuers whose keys many workers and configurations share.

use std::time::Duration;

use anyhow::{Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::live::Live;
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::suite::{Suite, works};

const TRAVEL: &str = "travel.example.com";
const ISSUERS: usize = 30;

fn claims(issuer: &str, audience: &str) -> Value {
    let now = place::now();
    json!({"iss": issuer, "sub": "alice", "aud": audience, "iat": now, "exp": now + 600, "client_id": "c", "scope": SCOPES})
}

/// `expense` takes tokens for the mesh's audience, `travel` on another host those for its own.
fn two_agents(plugin: &mut Value, audience: &str) {
    let mut travel = plugin["agents"][0].clone();
    travel["name"] = json!("travel");
    travel["match"]["hosts"] = json!([TRAVEL]);
    travel["public_url"] = json!(format!("https://{TRAVEL}{AGENT}/"));
    travel["audiences"] = json!([format!("https://{TRAVEL}{AGENT}/")]);
    plugin["agents"][0]["audiences"] = json!([audience]);
    plugin["agents"] = json!([plugin["agents"][0], travel]);
    plugin["issuers"][0] = json!({"name": "corp"});
}

async fn each_agent_has_its_own(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("audiences")?;
    let stand_in = StandIn::start(Answer::new("200 OK", "application/json", json!({"keys": [mint.jwk()]}).to_string())).await?;
    let mut file = mesh.inbound_file()?;
    file.cluster("idp", stand_in.port)?;
    file.edit_plugin(|plugin| {
        two_agents(plugin, &mesh.audience);
        plugin["issuers"][0]["issuer"] = json!("https://audiences.example");
        plugin["issuers"][0]["jwks"] = json!({"remote": {"uri": format!("http://127.0.0.1:{}/jwks", stand_in.port), "cluster": "idp"}});
    })?;
    // One worker, so that what one agent took is remembered where the other judges.
    let envoy = Envoy::start("audiences", &file, Options::default().workers(1)).await?;
    let own = format!("https://{TRAVEL}{AGENT}/");
    let token = |audience: &str| mint.sign(&claims("https://audiences.example", audience));
    let [expense, travel] = [token(&mesh.audience), token(&own)];
    for _ in 0..2 {
        works(envoy.port(), &expense).await?;
        let reply = send_1_0("a").host(TRAVEL).bearer(&travel).send(envoy.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        for (host, token, wanted) in [(TRAVEL, &expense, own.as_str()), (mesh.expense_host(), &travel, mesh.audience.as_str())] {
            let reply = send_1_0("x").host(host).bearer(token).send(envoy.port()).await?;
            refusal::check(&reply, "token_audience_mismatch", &Form::Rpc(json!("x")))?;
            ensure!(reply.text().contains(&format!("ask for one for {wanted}.")), "{}", reply.text());
        }
    }
    // A client that is refused finds out what to ask for: the resource, to the last slash.
    let refused = send_1_0("x").host(TRAVEL).send(envoy.port()).await?;
    let metadata = format!("https://{TRAVEL}/.well-known/oauth-protected-resource{AGENT}/");
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    ensure!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    let path = metadata.trim_start_matches("https://").trim_start_matches(TRAVEL).to_owned();
    let document = Call::get(path).host(TRAVEL).send(envoy.port()).await?.json();
    ensure!(document["resource"] == json!(own), "{document}");
    Ok(())
}

async fn a_card_for_some(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("card-roles")?;
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["issuer"] = json!("https://roles.example");
        plugin["issuers"][0]["jwks"] = json!({"inline": {"keys": [mint.jwk()]}});
        plugin["agents"][0]["card"] = json!({"access": {"require": {"any_role": ["Foundry User", "Foundry Owner"]}}});
        plugin["agents"][0]["access"] =
            json!([{"operations": ["any"], "require": [{"any_role": ["Foundry User"]}, {"clients": ["robot"]}]}]);
    })?;
    let envoy = Envoy::start("card-roles", &file, Options::default()).await?;
    let token = |change: Value| {
        let mut claims = claims("https://roles.example", &mesh.audience);
        change.as_object().into_iter().flatten().for_each(|(name, value)| claims[name] = value.clone());
        mint.sign(&claims)
    };
    let card = || Call::get(format!("{AGENT}/.well-known/agent-card.json"));
    for (change, reads, sends) in [
        (json!({"roles": ["Foundry User"]}), true, true),
        (json!({"roles": ["Foundry Owner"]}), true, false),
        (json!({"client_id": "robot"}), false, true),
        (json!({}), false, false),
    ] {
        let token = token(change.clone());
        for version in ["1.0", "0.3"] {
            let reply = card().version(version).bearer(&token).send(envoy.port()).await?;
            ensure!((reply.status == 200) == reads, "card {version} for {change}: {} {}", reply.status, reply.text());
            if !reads {
                refusal::check(&reply, "access_denied", &Form::Status)?;
            }
        }
        let reply = send_1_0("s").bearer(&token).send(envoy.port()).await?;
        ensure!((reply.status == 200) == sends, "a message of {change}: {} {}", reply.status, reply.text());
    }
    refusal::check(&card().send(envoy.port()).await?, "credentials_missing", &Form::Status)
}

/// Each issuer's keys are fetched once, whoever of four workers and the main thread is first.
async fn one_fetch_for_each_issuer(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("thirty")?;
    let stand_in = StandIn::start(Answer::new("200 OK", "application/json", json!({"keys": [mint.jwk()]}).to_string())).await?;
    let name = |number: usize| format!("https://issuer-{number}.example");
    let mut file = mesh.inbound_file()?;
    file.cluster("idp", stand_in.port)?;
    file.edit_plugin(|plugin| {
        let remote =
            json!({"uri": format!("http://127.0.0.1:{}/jwks", stand_in.port), "cluster": "idp", "refresh": "300s", "timeout": "10s"});
        let issuer = |number| json!({"name": format!("i{number}"), "issuer": name(number), "jwks": {"remote": remote}});
        plugin["issuers"] = (0..ISSUERS).map(issuer).collect();
        let names: Vec<String> = (0..ISSUERS).map(|number| format!("i{number}")).collect();
        plugin["schemes"]["oauth2"] = json!({"bearer": {"issuers": names, "audiences": [mesh.audience]}});
    })?;
    let envoy = Envoy::start("thirty-issuers", &file, Options::default().workers(4)).await?;
    // Connections are spread over the workers, and each worker needs each issuer's keys for one of these.
    for number in 0..ISSUERS {
        let token = mint.sign(&claims(&name(number), &mesh.audience));
        for _ in 0..8 {
            works(envoy.port(), &token).await?;
        }
    }
    ensure!(stand_in.heads() == 30, "{} fetches of the keys of 30 issuers by 4 workers", stand_in.heads());
    Ok(())
}

/// A live update while the provider is down, when its keys are older than `refresh`: not one request is refused.
async fn keys_outlive_a_change(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("outlive")?;
    let keys = || Answer::new("200 OK", "application/json", json!({"keys": [mint.jwk()]}).to_string());
    let stand_in = StandIn::start(keys()).await?;
    let mut file = mesh.inbound_file()?;
    file.cluster("idp", stand_in.port)?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["issuer"] = json!("https://outlive.example");
        plugin["issuers"][0]["jwks"] =
            json!({"remote": {"uri": format!("http://127.0.0.1:{}/jwks", stand_in.port), "cluster": "idp", "refresh": "1s"}});
    })?;
    let live = Live::of(file, "keys-outlive").await?;
    let token = mint.sign(&claims("https://outlive.example", &mesh.audience));
    works(live.envoy.port(), &token).await?;
    stand_in.answer(Answer::new("503 Service Unavailable", "text/plain", "down"));
    live.envoy.logged(&["no keys of \"corp\" could be fetched: answered with status 503"]).await?;
    live.change(|plugin| plugin["agents"][0]["name"] = json!("renamed"))?;
    wait::until("the new configuration", Duration::from_secs(20), async || {
        let echo = works(live.envoy.port(), &token).await?.echo();
        Ok(echo.is_some_and(|echo| echo.told("agent") == ["renamed"]).then_some(()))
    })
    .await?;
    // Whatever worker has the connection.
    for _ in 0..20 {
        works(live.envoy.port(), &token).await?;
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("audiences::each_agent_of_one_issuer_has_its_own", each_agent_has_its_own);
    suite.add("audiences::a_card_is_for_callers_with_a_role", a_card_for_some);
    suite.add("audiences::thirty_issuers_cost_thirty_fetches", one_fetch_for_each_issuer);
    suite.add("audiences::keys_outlive_a_change_of_the_configuration", keys_outlive_a_change);
}
