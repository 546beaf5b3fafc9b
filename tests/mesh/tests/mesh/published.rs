//! What is published of skills to whom, what no rule keeps, and what the configuration may say of skills and cards.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, rpc};
use attache_mesh::live::Live;
use attache_mesh::mesh::{AGENT, Mesh, SCOPES};
use serde_json::{Value, json};

use crate::at_hand::{Stating, add_agents, card, real_card, remote, skills, with_skills};
use crate::projected::{PUBLIC, both, ensure_card, own_card};
use crate::suite::{Suite, works};

/// What each caller sees of the skills: of a card at hand, of one that the agent answers with, of an extended one.
async fn filtered(mesh: &Mesh) -> Result<()> {
    let own = with_skills(&real_card(mesh).await?, &[("approve", Value::Null), ("audit", Value::Null)]);
    let agent = Stating::start(&own).await?;
    let rules = json!([
        {"operations": ["execute"], "skills": ["approve"], "require": {"scopes": ["agent:admin"]}},
        {"operations": ["execute"], "skills": ["audit"], "require": {"clients": ["guest"], "issuers": ["corp"]}},
        {"operations": ["any"]},
    ]);
    let members = |access: &str, source: Value| json!({"access": rules, "skill_from": {"metadata_key": "skillId"}, "card": {"access": access, "filter_skills": true, "source": source}});
    let inline = json!({"inline": own});
    let mut file = mesh.inbound_file()?;
    file.cluster("expense_v1_0", agent.port)?;
    add_agents(
        &mut file,
        &[
            ("open.example.com", members("public", inline.clone())),
            ("inline.example.com", members("authenticated", inline)),
            ("asked.example.com", members("authenticated", json!("upstream"))),
        ],
    )?;
    let envoy = Envoy::start("at-hand-filtered", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    works(port, &token).await?;
    // Whoever shows a token at a card for everyone sees what everyone does: caches keep it for all.
    for call in [card("open.example.com"), card("open.example.com").bearer(&token)] {
        for reply in both(port, &call.version("1.0")).await? {
            ensure_card(&reply, "1.0")?;
            ensure!(skills(&reply.json()) == ["submit"], "{}", reply.text());
            ensure!(reply.header("cache-control") == Some("public, max-age=300"), "{:?}", reply.headers);
        }
    }
    let mut tags = Vec::new();
    for (client, scopes, seen) in [
        ("caller", SCOPES, &["submit"][..]),
        ("caller", "agent:execute agent:admin", &["submit", "approve"]),
        ("guest", SCOPES, &["submit", "audit"]),
        ("guest", "agent:execute agent:admin", &["submit", "approve", "audit"]),
    ] {
        let token = mesh.authorization.token_of(client, &mesh.audience, scopes).await?;
        for host in ["inline.example.com", "asked.example.com"] {
            for reply in both(port, &card(host).version("1.0").bearer(&token)).await? {
                ensure!(reply.status == 200 && skills(&reply.json()) == seen, "{host} {client} {scopes}: {}", reply.text());
                ensure!(reply.header("cache-control") == Some("private, max-age=300"), "{:?}", reply.headers);
                ensure!(reply.header("vary") == Some("a2a-version, authorization"), "{:?}", reply.headers);
                tags.push(reply.header("etag").context("no etag")?.to_owned());
            }
        }
        let call = Call::post(AGENT, &rpc(json!("e"), "GetExtendedAgentCard", json!({}))).version("1.0").host("asked.example.com");
        for reply in both(port, &call.bearer(&token)).await? {
            ensure!(skills(&reply.json()["result"]) == seen, "{client} {scopes}: {}", reply.text());
        }
    }
    tags.dedup();
    ensure!(tags.len() == 4, "one card for each caller: {tags:?}");
    Ok(())
}

/// What the agent's card promises for a skill and no rule keeps.
async fn promises(mesh: &Mesh) -> Result<()> {
    let promise = json!([{"schemes": {"bearer": {"list": ["agent:admin"]}}}]);
    let own = with_skills(&real_card(mesh).await?, &[("audit", promise)]);
    let agent = Stating::start(&own).await?;
    let mut file = mesh.inbound_file()?;
    file.cluster("expense_v1_0", agent.port)?;
    add_agents(
        &mut file,
        &[
            ("asked.example.com", json!({"card": {"access": "public"}})),
            (
                "kept.example.com",
                json!({"card":
        {"access": "public", "source": {"inline": own}}}),
            ),
        ],
    )?;
    let envoy = Envoy::start("at-hand-promises", &file, Options::default()).await?;
    works(envoy.port(), &mesh.token().await?).await?;
    for host in ["asked.example.com", "kept.example.com"] {
        for _ in 0..3 {
            let reply = card(host).version("1.0").send(envoy.port()).await?;
            ensure!(skills(&reply.json()) == ["submit", "audit"] && !reply.text().contains("agent:admin"), "{}", reply.text());
        }
        let line = envoy.logged(&["warning", "attache: ", host, "promises security for skills", "audit", "no rule enforces"]).await?;
        let again = envoy.log().lines().filter(|one| one.contains(host) && one.contains("promises")).count();
        ensure!(again == 1, "{again} times: {line}");
    }
    Ok(())
}

type Edit = fn(&mut Value);

/// What is done to the agent, and what the log must say.
const BAD: &[(&str, Edit)] = &[
    ("card.source.inline: must be an agent card", |agent| agent["card"]["source"] = json!({"inline": []})),
    ("card.source: ", |agent| {
        agent["card"]["source"] = json!({"inline": own_card()});
        agent.as_object_mut().map(|agent| agent.remove("public_url"));
    }),
    ("card.filter_skills: ", |agent| {
        agent["card"]["filter_skills"] = json!(true);
        agent.as_object_mut().map(|agent| agent.remove("public_url"));
    }),
    ("card.source.remote.cluster: ", |agent| agent["card"]["source"] = json!({"remote": {"uri": "http://a/", "cluster": ""}})),
    ("card.source.remote.refresh: ", |agent| {
        agent["card"]["source"] = remote("idp");
        agent["card"]["source"]["remote"]["refresh"] = json!("0.5s");
    }),
    ("card.source", |agent| agent["card"]["source"] = json!({"file": "card.json"})),
    ("card.source.inline: securityRequirements: admits everyone", |agent| {
        agent["card"]["source"] = json!({"inline": own_card()});
        agent["security"] = json!("from_card");
    }),
    ("security: from_card needs the card before the first request", |agent| agent["security"] = json!("from_card")),
    ("security: ", |agent| agent["security"] = json!("from_cards")),
    ("skill_from.path: must be a plain path", |agent| agent["skill_from"] = json!({"path": "/{skill}"})),
    ("skill_from.path: is the path of an operation", |agent| agent["skill_from"] = json!({"path": "/tasks/{skill}"})),
    ("skill_from.metadata_key: ", |agent| agent["skill_from"] = json!({"metadata_key": ""})),
    ("skill_from.extension: ", |agent| agent["skill_from"] = json!({"extension": "a, b"})),
    ("skill_from", |agent| agent["skill_from"] = json!({"header": "x-skill"})),
    ("access[0].skills: nothing says where requests name a skill: give skill_from", |agent| {
        agent["access"] = json!([{"operations": ["execute"], "skills": ["a"]}]);
    }),
    ("access[0].skills: only messages name skills", |agent| {
        agent["skill_from"] = json!({"metadata_key": "skillId"});
        agent["access"] = json!([{"operations": ["GetTask"], "skills": ["a"]}]);
    }),
];

async fn bad_configurations(mesh: &Mesh) -> Result<()> {
    let live = Live::start(mesh, "live-at-hand").await?;
    for (index, (place, edit)) in (1..).zip(BAD) {
        let start = live.envoy.log().len();
        live.change(|plugin| {
            plugin["agents"][0]["public_url"] = json!(PUBLIC);
            edit(&mut plugin["agents"][0]);
        })?;
        live.envoy.stat_reaches("listener_manager.lds.update_rejected", index).await.context(*place)?;
        let named = format!("attache: configuration refused: agents[0].{place}");
        let line = live.envoy.logged_after(start, &[&named]).await?;
        ensure!(!line.ends_with(place.trim_end()) || place.len() > 40, "no reason after the place: {line}");
    }
    works(live.envoy.port(), &mesh.token().await?).await?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("published::callers_see_the_skills_that_they_may_use", async |mesh| filtered(mesh).await);
    suite.add("published::promises_that_no_rule_keeps_are_left_out_with_one_warning", async |mesh| promises(mesh).await);
    suite.add("published::bad_configurations_are_refused_by_name", async |mesh| bad_configurations(mesh).await);
}
