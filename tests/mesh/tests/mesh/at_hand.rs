//! Cards that are served without asking the agent: from the configuration, or fetched from it and kept.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::peer::Sdk;
use attache_mesh::port::Reserved;
use attache_mesh::process::{self, Process};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, wait};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::cards::gate;
use crate::projected::{PUBLIC, both, conversation, ensure_card, json_answer, own_card, unavailable};
use crate::suite::{Suite, works};

const WELL_KNOWN: &str = "/.well-known/agent-card.json";
const START: Duration = Duration::from_secs(240);
/// After failures the filter pauses up to 16 s before it asks again.
pub const RECOVERY: Duration = Duration::from_secs(40);

/// The card of the agent at `host`.
pub fn card(host: &str) -> Call {
    Call::get(format!("{AGENT}{WELL_KNOWN}")).host(host)
}

/// Where a fetched card is, asked for every second.
pub fn remote(cluster: &str) -> Value {
    json!({"remote": {"uri": format!("http://expense.internal{WELL_KNOWN}"), "cluster": cluster, "refresh": "1s", "timeout": "1s"}})
}

/// Adds the file's agent once more for each host, named by it, with these members.
pub fn add_agents(file: &mut EnvoyFile, changes: &[(&str, Value)]) -> Result<()> {
    file.edit_plugin(|plugin| {
        let Some(agents) = plugin["agents"].as_array_mut() else { return };
        let plain = agents[0].clone();
        for (host, members) in changes {
            let mut agent = plain.clone();
            agent["name"] = json!(host);
            agent["match"]["hosts"] = json!([host]);
            agent["public_url"] = json!(PUBLIC);
            for (member, value) in members.as_object().into_iter().flatten() {
                agent[member] = value.clone();
            }
            agents.push(agent);
        }
    })
}

/// Adds a cluster for an agent at `port`.
pub fn add_cluster(file: &mut EnvoyFile, name: &str, port: u16) -> Result<()> {
    file.copy_cluster("expense_v1_0", name)?;
    file.cluster(name, port)
}

/// The agent's own card, as JSON of 1.0.
pub async fn real_card(mesh: &Mesh) -> Result<Value> {
    Ok(Call::get(WELL_KNOWN).version("1.0").send(mesh.agent_1_0.port).await?.json())
}

/// The ids of a card's skills.
pub fn skills(card: &Value) -> Vec<&str> {
    card["skills"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(|skill| skill["id"].as_str()).collect()
}

/// `card` with these skills besides its own; requirements as 1.0 writes them, or null.
pub fn with_skills(card: &Value, more: &[(&str, Value)]) -> Value {
    let mut card = card.clone();
    if let Some(list) = card["skills"].as_array_mut() {
        for (id, requirements) in more {
            let mut skill = json!({"id": id, "name": id, "description": "One more.", "tags": ["more"]});
            if !requirements.is_null() {
                skill["securityRequirements"] = requirements.clone();
            }
            list.push(skill);
        }
    }
    card
}

/// A real agent whose card stands in a file, and can change while it runs.
pub struct Stating {
    file: PathBuf,
    process: Arc<Process>,
    pub port: u16,
}

impl Stating {
    pub async fn start(card: &Value) -> Result<Self> {
        let name = place::unique("agent-stating");
        let file = place::logs().join(format!("{name}.card"));
        std::fs::write(&file, card.to_string())?;
        let mut command = Command::new(place::tool("py-1.0/bin/python"));
        command.arg(place::peer("agent_stating.py")).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        let _turn = process::turn().await;
        let process = process::spawn(&name, {
            command.env("CARD_FILE", &file);
            command
        })?;
        let port = process.ready_port(START).await?;
        Ok(Self { file, process, port })
    }

    /// From now on the card is this.
    pub fn state(&self, card: &Value) -> Result<()> {
        let next = self.file.with_extension("next");
        std::fs::write(&next, card.to_string())?;
        Ok(std::fs::rename(&next, &self.file)?)
    }

    pub fn stop(&self) {
        self.process.stop();
    }
}

/// What caches are told of a card that is served without the agent, from the first answer on.
async fn caches(port: u16, host: &str, token: &str, control: &str, vary: &str) -> Result<()> {
    let mut tags = Vec::new();
    for version in ["1.0", "0.3"] {
        let call = card(host).version(version).bearer(token);
        let head = Call { method: Method::HEAD, ..call.clone() };
        let [first, second] = both(port, &call).await?;
        ensure_card(&first, version)?;
        ensure!(first.header("cache-control") == Some(control) && first.header("vary") == Some(vary), "{:?}", first.headers);
        let tag = first.header("etag").context("no etag")?.to_owned();
        ensure!(second.header("etag") == Some(&tag) && second.body == first.body, "{:?}", second.headers);
        let told = |reply: &Reply| ["etag", "cache-control", "vary"].map(|name| reply.header(name).map(str::to_owned));
        for reply in both(port, &head).await? {
            ensure!(reply.status == 200 && reply.body.is_empty() && told(&reply) == told(&first), "{} {:?}", reply.status, reply.headers);
            let length = reply.header("content-length");
            ensure!(length.is_none_or(|length| length == first.body.len().to_string()), "a GET has {}: {length:?}", first.body.len());
        }
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            for call in [&call, &head] {
                for reply in both(port, &call.clone().header("if-none-match", &known)).await? {
                    ensure!(reply.status == 304 && reply.body.is_empty(), "{known}: {} {}", reply.status, reply.text());
                    ensure!(told(&reply) == told(&first), "{:?}", reply.headers);
                }
            }
        }
        for reply in both(port, &call.clone().header("if-none-match", "\"x\"").header("range", "bytes=0-9")).await? {
            ensure_card(&reply, version)?;
        }
        tags.push(tag);
    }
    ensure!(tags[0] != tags[1], "{tags:?}");
    // On one connection: what follows an answer without a body is not taken for it.
    let lines = |method: &str, more: &str| {
        format!("{method} {AGENT}{WELL_KNOWN} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n{more}\r\n")
    };
    for (method, more, status) in [("HEAD", "", 200), ("GET", "if-none-match: *\r\n", 304)] {
        // No more than two: Envoy takes many answers at once that wait to be written for a flood.
        let both = lines(method, more) + &lines("GET", "connection: close\r\n");
        let text = conversation(port, both.as_bytes()).await?;
        let (first, second) = text.split_once("\r\n\r\n").context("no head")?;
        ensure!(first.starts_with(&format!("HTTP/1.1 {status} ")) && second.starts_with("HTTP/1.1 200 "), "{text}");
    }
    Ok(())
}

/// No agent runs at all, and its cards are there.
async fn without_an_agent(mesh: &Mesh) -> Result<()> {
    let (down, port) = (Reserved::new()?, Reserved::new()?);
    let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
    let own = Call::get(WELL_KNOWN).send(mesh.agent_0_3.port).await?.json();
    ensure!(own["protocolVersion"] == "0.3.0" && own["supportedInterfaces"].is_null(), "{own}");
    let new = real_card(mesh).await?;
    let inline = |card: &Value, access: &str| json!({"access": access, "source": {"inline": card}});
    let mut file = mesh.inbound_file()?;
    file.listen_on(&port)?;
    file.cluster("expense_v1_0", down.port())?;
    file.cluster("expense_v0_3", down.port())?;
    add_agents(
        &mut file,
        &[
            ("public.example.com", json!({"card": inline(&own, "public")})),
            ("authenticated.example.com", json!({"card": inline(&new, "authenticated")})),
        ],
    )?;
    file.edit_plugin(|plugin| {
        plugin["agents"][0]["card"] = inline(&new, "authenticated");
        plugin["agents"][0]["public_url"] = json!(url);
    })?;
    let envoy = Envoy::start("at-hand-inline", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    caches(port, "public.example.com", &token, "public, max-age=300", "a2a-version").await.context("public")?;
    caches(port, "authenticated.example.com", &token, "private, max-age=300", "a2a-version, authorization")
        .await
        .context("authenticated")?;
    for reply in both(port, &card("public.example.com")).await? {
        ensure_card(&reply, "both")?;
    }
    for reply in both(port, &card("authenticated.example.com")).await? {
        refusal::check(&reply, "credentials_missing", &Form::Status)?;
    }
    for sdk in [Sdk::Python1_0, Sdk::Js1_0, Sdk::Js0_3] {
        let result = sdk.call(&url, Some(&token), "card", "jsonrpc").await?;
        let stated = result["results"]["card"]["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(stated.len() >= 2 && stated.iter().all(|one| one["url"] == url), "{}: {result}", sdk.name());
    }
    // Everything else is the agent's, and that is Envoy's to say.
    let reply = send_1_0("x").bearer(&token).send(port).await?;
    ensure!(reply.status == 503 && reply.reason().is_none(), "{} {}", reply.status, reply.text());
    Ok(())
}

/// The card that `call` gets once it is as it should be; until then it gets one that `may_be`.
async fn becomes(port: u16, call: &Call, may_be: impl Fn(&Reply) -> Result<()>, is: impl Fn(&Value) -> bool) -> Result<Reply> {
    wait::until("the next card", RECOVERY, async || {
        let reply = call.send(port).await?;
        if reply.status == 200 && is(&reply.json()) {
            return Ok(Some(reply));
        }
        may_be(&reply).map(|()| None)
    })
    .await
}

/// An agent that stops and comes back as its next release.
async fn life(mesh: &Mesh) -> Result<()> {
    let (gate, tell) = gate().await?;
    let now = real_card(mesh).await?;
    let mut next = with_skills(&now, &[("audit", Value::Null)]);
    next["version"] = json!("2.0.0");
    let agent = Stating::start(&now).await?;
    tell.send_replace(agent.port);
    let mut file = mesh.inbound_file()?;
    add_cluster(&mut file, "own", gate)?;
    let mut brief = remote("own");
    brief["remote"]["max_stale"] = json!("3s");
    add_agents(
        &mut file,
        &[
            ("kept.example.com", json!({"card": {"access": "public", "source": remote("own")}})),
            ("brief.example.com", json!({"card": {"access": "public", "source": brief}})),
        ],
    )?;
    let envoy = Envoy::start("at-hand-remote", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    let (kept, brief) = (card("kept.example.com").version("1.0"), card("brief.example.com").version("1.0"));
    caches(port, "kept.example.com", &token, "public, max-age=300", "a2a-version").await?;
    let before = kept.send(port).await?;
    let tag = before.header("etag").context("no etag")?;
    ensure_card(&brief.send(port).await?, "1.0")?;
    let is_first = |reply: &Reply| {
        ensure_card(reply, "1.0")?;
        ensure!(reply.body == before.body, "{}", reply.text());
        Ok(())
    };
    // Down: it stays, except where that was too long ago.
    agent.stop();
    tell.send_replace(0);
    let start = envoy.log().len();
    let parts = ["attache: ", ".card.source.remote: no card of ", "could be fetched"];
    for host in ["kept.example.com", "brief.example.com"] {
        envoy.logged_after(start, &[&parts[..], &[host]].concat()).await?;
    }
    let gone = wait::until("the card to be too old", RECOVERY, async || {
        let reply = brief.send(port).await?;
        is_first(&kept.send(port).await?)?;
        Ok((reply.status != 200).then_some(reply))
    })
    .await?;
    unavailable(&gone, &Form::Status)?;
    for reply in both(port, &kept).await? {
        is_first(&reply)?;
    }
    // Back, with another card.
    let agent = Stating::start(&next).await?;
    tell.send_replace(agent.port);
    let is_next = |card: &Value| card["version"] == "2.0.0";
    let after = becomes(port, &kept, is_first, is_next).await?;
    becomes(port, &brief, |reply| unavailable(reply, &Form::Status), is_next).await?;
    ensure_card(&after, "1.0")?;
    ensure!(skills(&after.json()) == ["submit", "audit"] && after.header("etag") != Some(tag), "{}", after.text());
    let known = kept.clone().header("if-none-match", tag).send(port).await?;
    ensure!(known.status == 200 && known.body == after.body, "{} {}", known.status, known.text());
    // And while it runs.
    agent.state(&now)?;
    let may_be = |reply: &Reply| {
        ensure!(reply.body == after.body, "{}", reply.text());
        Ok(())
    };
    let back = becomes(port, &kept, may_be, |card| !is_next(card)).await?;
    ensure!(back.header("etag") == Some(tag), "{:?}", back.headers);
    works(port, &token).await?;
    Ok(())
}

/// What comes instead of a card is none, and the log says so.
async fn faults(mesh: &Mesh) -> Result<()> {
    let good = json_answer(&own_card());
    let padded = format!("{}{}", own_card(), " ".repeat(2_000_000));
    let mut agents = Vec::new();
    for (host, answer, why) in [
        ("html.example.com", Answer::new("200 OK", "text/html", "<p>http://127.0.0.1/"), "JSON"),
        ("error.example.com", Answer::new("500 Internal Server Error", "text/plain", "oops"), "status 500"),
        ("moved.example.com", Answer::new("302 Found", "text/plain", "").header("location", "/elsewhere"), "status 302"),
        ("long.example.com", Answer::new("200 OK", "application/json", padded), "more than"),
        ("list.example.com", Answer::new("200 OK", "application/json", "[]"), "object"),
    ] {
        agents.push((host, StandIn::start(answer).await?, why));
    }
    let mut file = mesh.inbound_file()?;
    for (host, agent, _) in &agents {
        add_cluster(&mut file, host, agent.port)?;
        add_agents(&mut file, &[(host, json!({"card": {"access": "public", "source": remote(host)}}))])?;
    }
    let envoy = Envoy::start("at-hand-faults", &file, Options::default()).await?;
    for (host, agent, why) in &agents {
        for reply in both(envoy.port(), &card(host)).await? {
            unavailable(&reply, &Form::Status).context(*host)?;
        }
        envoy.logged(&["attache: ", ".card.source.remote: no card of ", host, why]).await.context(*host)?;
        agent.answer(good.clone());
    }
    for (host, ..) in &agents {
        let reply = becomes(envoy.port(), &card(host), |reply| unavailable(reply, &Form::Status), |_| true).await?;
        ensure_card(&reply, "both").context(*host)?;
    }
    Ok(())
}

/// Many who ask at once cause one fetch by each thread.
async fn one_fetch(mesh: &Mesh) -> Result<()> {
    let agent = StandIn::start(json_answer(&own_card())).await?;
    agent.open(false);
    let mut source = remote("own");
    source["remote"]["refresh"] = json!("300s");
    source["remote"]["timeout"] = json!("30s");
    let mut file = mesh.inbound_file()?;
    add_cluster(&mut file, "own", agent.port)?;
    add_agents(&mut file, &[("kept.example.com", json!({"card": {"access": "public", "source": source}}))])?;
    let envoy = Envoy::start("at-hand-waiting", &file, Options::default()).await?;
    let port = envoy.port();
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(async move { card("kept.example.com").send(port).await })).collect();
    envoy.stat_reaches("http.inbound.downstream_rq_active", 10).await?;
    agent.open(true);
    for call in calls {
        ensure_card(&call.await??, "both")?;
    }
    for _ in 0..10 {
        ensure_card(&card("kept.example.com").send(port).await?, "both")?;
    }
    ensure!(agent.heads() <= 2, "{} fetches by one worker and the main thread", agent.heads());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("at_hand::a_card_in_the_configuration_is_there_while_no_agent_runs", async |mesh| without_an_agent(mesh).await);
    suite.add("at_hand::a_card_that_was_fetched_outlives_its_agent_and_follows_it", async |mesh| life(mesh).await);
    suite.add("at_hand::what_is_no_card_is_not_served_and_the_log_says_why", async |mesh| faults(mesh).await);
    suite.add("at_hand::many_who_ask_at_once_cause_one_fetch", async |mesh| one_fetch(mesh).await);
}
