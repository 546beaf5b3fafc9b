//! `security: from_card`: what a real agent's own card declares is what callers have to bring, as long as it can be known.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, get_task_1_0_http, send_1_0};
use attache_mesh::peer;
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::StandIn;
use attache_mesh::wait;
use serde_json::{Value, json};

use crate::at_hand::{RECOVERY, Stating, add_agents, add_cluster, card, real_card, remote, with_skills};
use crate::cards::gate;
use crate::projected::{both, json_answer, unavailable};
use crate::suite::{Suite, works};

const ADMIN: &str = "agent:execute agent:admin";

/// A requirement of the scheme that the agents' cards call `bearer`, as 1.0 writes it.
fn bearer(scopes: &[&str]) -> Value {
    json!([{"schemes": {"bearer": {"list": scopes}}}])
}

/// The inbound file, whose configuration knows the scheme of the agents' cards.
fn knowing(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["schemes"]["bearer"] = json!({"bearer": {"issuers": ["corp"]}}))?;
    Ok(file)
}

/// The members of an agent whose card, fetched through `cluster`, is its policy.
fn from_card(cluster: &str) -> Value {
    json!({"security": "from_card", "card": {"access": "public", "source": remote(cluster)}})
}

/// A message for a skill, if one is named.
fn message(host: &str, skill: Option<&str>) -> Call {
    let mut params = message_1_0("f");
    if let Some(skill) = skill {
        params["message"]["metadata"] = json!({"skillId": skill});
    }
    Call::post(AGENT, &rpc(json!("f"), "SendMessage", params)).version("1.0").host(host)
}

fn form() -> Form {
    Form::Rpc(json!("f"))
}

fn passes(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 200 && reply.echo().is_some(), "{} {}", reply.status, reply.text());
    Ok(())
}

/// The cards of the SDKs' agents ask for a token and for no scope.
async fn real_agents(mesh: &Mesh) -> Result<()> {
    let js = peer::agent_0_3_js().await?;
    let mut file = knowing(mesh)?;
    for (host, port) in
        [("python-1.example.com", mesh.agent_1_0.port), ("python-0.example.com", mesh.agent_0_3.port), ("js.example.com", js.port)]
    {
        add_cluster(&mut file, host, port)?;
        add_agents(&mut file, &[(host, from_card(host))])?;
    }
    let envoy = Envoy::start("from-card", &file, Options::default()).await?;
    let port = envoy.port();
    let reader = mesh.authorization.token_of("limited", &mesh.audience, "agent:read").await?;
    let foreign = mesh.authorization.token("https://other.example.com", SCOPES).await?;
    for host in ["python-1.example.com", "python-0.example.com", "js.example.com"] {
        let send = message(host, None);
        for reply in both(port, &send).await? {
            refusal::check(&reply, "credentials_missing", &form()).context(host)?;
        }
        refusal::check(&send.clone().bearer(&foreign).send(port).await?, "token_audience_mismatch", &form())?;
        refusal::check(&send.clone().bearer("a.b.c").send(port).await?, "token_malformed", &form())?;
        for reply in both(port, &send.bearer(&reader)).await? {
            passes(&reply).context(host)?;
        }
        for (version, list, wanted) in [("1.0", "securityRequirements", bearer(&[])), ("0.3", "security", json!([{"bearer": []}]))] {
            let reply = card(host).version(version).send(port).await?;
            let stated = reply.json();
            let scheme = &stated["securitySchemes"]["bearer"];
            ensure!(scheme.to_string().to_lowercase().contains("\"bearer\""), "{host} {version}: {stated}");
            let same = stated[list] == wanted || stated[list] == json!([{"schemes": {"bearer": {}}}]);
            ensure!(same && !reply.text().contains("127.0.0.1"), "{host} {version}: {stated}");
        }
    }
    // Beside them, the agent with a policy of its own.
    works(port, &mesh.token().await?).await?;
    refusal::check(&send_1_0("r").bearer(&reader).send(port).await?, "insufficient_scope", &Form::Rpc(json!("r")))
}

/// The policy is the card's as it is now; one that admits everyone is none.
async fn follows(mesh: &Mesh) -> Result<()> {
    let own = real_card(mesh).await?;
    let asking = |all: &[&str], audit: Value| {
        let mut card = with_skills(&own, &[("audit", audit)]);
        card["securityRequirements"] = bearer(all);
        card
    };
    let first = asking(&["agent:execute"], bearer(&["agent:admin"]));
    let agent = Stating::start(&first).await?;
    let mut file = knowing(mesh)?;
    add_cluster(&mut file, "own", agent.port)?;
    let mut named = from_card("own");
    named["skill_from"] = json!({"metadata_key": "skillId"});
    add_agents(&mut file, &[("named.example.com", named), ("unnamed.example.com", from_card("own"))])?;
    let envoy = Envoy::start("from-card-follows", &file, Options::default()).await?;
    let port = envoy.port();
    let token = async |scopes: &str| mesh.authorization.token(&mesh.audience, scopes).await;
    let [reader, caller, admin] = [token("agent:read").await?, token(SCOPES).await?, token(ADMIN).await?];
    let named = |skill| message("named.example.com", skill);
    let lacks = |reply: &Reply, scopes: &str| {
        refusal::check(reply, "insufficient_scope", &form())?;
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        ensure!(challenge.contains(&format!(", scope=\"{scopes}\"")), "{challenge}");
        Ok(())
    };
    for (call, token, wanted) in [
        (named(Some("submit")), &reader, Some("agent:execute")),
        (named(Some("submit")), &caller, None),
        (named(Some("audit")), &caller, Some(ADMIN)),
        (named(Some("audit")), &admin, None),
        (named(None), &caller, Some(ADMIN)),
        (named(None), &admin, None),
        // Without skill_from every message may be for any skill, and the log says so.
        (message("unnamed.example.com", Some("submit")), &caller, Some(ADMIN)),
        (message("unnamed.example.com", Some("submit")), &admin, None),
    ] {
        let what = || format!("{:?} for {wanted:?}", call.body);
        for reply in both(port, &call.clone().bearer(token)).await? {
            wanted.map_or_else(|| passes(&reply), |scopes| lacks(&reply, scopes)).with_context(what)?;
        }
    }
    let parts = ["warning", "attache: ", "asks for more for some skills", "audit", "without skill_from"];
    envoy.logged(&[&parts[..], &["unnamed.example.com"]].concat()).await?;
    ensure!(
        !envoy.log().lines().any(|line| line.contains("without skill_from") && line.contains("\"named.example.com")),
        "{}",
        envoy.log()
    );
    // Reading tasks uses no skill.
    let get = get_task_1_0_http("no-such-task").host("unnamed.example.com").bearer(&caller).send(port).await?;
    ensure!(get.status == 404 && !get.text().contains("\"attache\""), "{} {}", get.status, get.text());
    // The agent asks for more: so does Attaché, of tokens that it knows already, too.
    agent.state(&asking(&["agent:execute", "agent:admin"], Value::Null))?;
    let submit = named(Some("submit"));
    wait::until("the new policy", RECOVERY, async || {
        let reply = submit.clone().bearer(&caller).send(port).await?;
        if reply.status == 200 {
            return Ok(None);
        }
        lacks(&reply, ADMIN).map(Some)
    })
    .await?;
    passes(&submit.clone().bearer(&admin).send(port).await?)?;
    // A card that admits everyone changes nothing.
    let mut open = own.clone();
    open["securityRequirements"] = json!([]);
    let start = envoy.log().len();
    agent.state(&open)?;
    envoy.logged_after(start, &["attache: ", ".card.source.remote: no card of ", "named.example.com", "admits everyone"]).await?;
    refusal::check(&submit.send(port).await?, "credentials_missing", &form())?;
    lacks(&submit.clone().bearer(&caller).send(port).await?, ADMIN)?;
    // And it can be repaired.
    agent.state(&first)?;
    wait::until("the first policy", RECOVERY, async || {
        let reply = submit.clone().bearer(&caller).send(port).await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await
}

/// Nobody is let in while there is no policy, whatever they bring; then all is well.
async fn nobody_until(port: u16, host: &str, token: &str) -> Result<()> {
    let calls = [(message(host, None), form()), (get_task_1_0_http("t").host(host), Form::Status), (card(host), Form::Status)];
    for (call, form) in calls {
        for call in [call.clone(), call.bearer(token)] {
            for reply in both(port, &call).await? {
                unavailable(&reply, &form).with_context(|| format!("{host}{}", call.path))?;
            }
        }
    }
    Ok(())
}

async fn recovers(port: u16, host: &str, token: &str) -> Result<()> {
    let send = message(host, None);
    wait::until("the policy to be there", RECOVERY, async || {
        let reply = send.clone().bearer(token).send(port).await?;
        if reply.status == 200 {
            return Ok(Some(()));
        }
        unavailable(&reply, &form()).map(|()| None)
    })
    .await?;
    refusal::check(&send.send(port).await?, "credentials_missing", &form())?;
    passes(&send.bearer(token).send(port).await?)
}

/// Agents that sleep when Envoy starts.
async fn asleep(mesh: &Mesh) -> Result<()> {
    let (gate, tell) = gate().await?;
    let never = Reserved::new()?;
    let mut file = knowing(mesh)?;
    add_cluster(&mut file, "sleeping", gate)?;
    add_cluster(&mut file, "never", never.port())?;
    add_agents(&mut file, &[("sleeping.example.com", from_card("sleeping")), ("never.example.com", from_card("never"))])?;
    let envoy = Envoy::start("from-card-asleep", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    for host in ["sleeping.example.com", "never.example.com"] {
        nobody_until(port, host, &token).await?;
        envoy.logged(&["attache: ", ".card.source.remote: no card of ", host, "could be fetched"]).await?;
    }
    works(port, &token).await?;
    tell.send_replace(mesh.agent_1_0.port);
    recovers(port, "sleeping.example.com", &token).await?;
    nobody_until(port, "never.example.com", &token).await
}

/// Cards that cannot be the policy.
async fn no_policy(mesh: &Mesh) -> Result<()> {
    let own = real_card(mesh).await?;
    let with = |requirements: Value, schemes: Value| {
        let mut card = own.clone();
        card["securityRequirements"] = requirements;
        card["securitySchemes"] = schemes;
        card
    };
    let schemes = own["securitySchemes"].clone();
    let real = Stating::start(&with(json!([]), schemes.clone())).await?;
    let key = json!({"bearer": {"apiKeySecurityScheme": {"location": "header", "name": "x-api-key"}}});
    let basic = json!({"bearer": {"httpAuthSecurityScheme": {"scheme": "Basic"}}});
    let other = json!({"other": schemes["bearer"]});
    let mut agents = Vec::new();
    for (host, requirements, schemes, why) in [
        ("empty.example.com", json!([{"schemes": {"bearer": {"list": []}}}, {}]), schemes.clone(), "admits everyone"),
        ("undescribed.example.com", bearer(&[]), json!({}), "there is no scheme called"),
        (
            "unknown.example.com",
            json!([{"schemes": {"other": {"list": []}}}]),
            other,
            "`schemes` of the configuration has no scheme of this name",
        ),
        ("key.example.com", bearer(&[]), key, "of the configuration is something else"),
        ("basic.example.com", bearer(&[]), basic, "is something else"),
    ] {
        agents.push((host, StandIn::start(json_answer(&with(requirements, schemes))).await?, why));
    }
    let mut file = knowing(mesh)?;
    add_cluster(&mut file, "open.example.com", real.port)?;
    add_agents(&mut file, &[("open.example.com", from_card("open.example.com"))])?;
    for (host, agent, _) in &agents {
        add_cluster(&mut file, host, agent.port)?;
        add_agents(&mut file, &[(host, from_card(host))])?;
    }
    let envoy = Envoy::start("from-card-none", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    let why = [("open.example.com", "securityRequirements: admits everyone")];
    for (host, why) in agents.iter().map(|(host, _, why)| (*host, *why)).chain(why) {
        nobody_until(port, host, &token).await?;
        envoy.logged(&["attache: ", ".card.source.remote: no card of ", host, why]).await.context(host)?;
    }
    for (_, agent, _) in &agents {
        agent.answer(json_answer(&own));
    }
    real.state(&own)?;
    for host in agents.iter().map(|(host, ..)| *host).chain(["open.example.com"]) {
        recovers(port, host, &token).await.context(host)?;
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("from_card::what_the_cards_of_real_agents_ask_for_is_enforced", async |mesh| real_agents(mesh).await);
    suite.add("from_card::the_policy_follows_the_card", async |mesh| follows(mesh).await);
    suite.add("from_card::nobody_is_let_in_while_the_agent_never_told_its_card", async |mesh| asleep(mesh).await);
    suite.add("from_card::a_card_that_is_no_policy_lets_nobody_in_and_the_log_says_why", async |mesh| no_policy(mesh).await);
}
