//! `envoy/ratelimit.yaml` and `envoy/ratelimit-global.yaml`: Envoy's own limiters count by what Attaché found out.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::limiter::{Limiter, Mood};
use attache_mesh::mesh::{AGENT, Mesh, get_task_1_0_http, send_1_0, send_1_0_http};
use attache_mesh::mint::Mint;
use attache_mesh::place;
use serde_json::{Value, json};

use crate::suite::{House, Suite, works};

/// A file of `envoy/` that also trusts `mint` and has another agent below the first.
fn two_agents(mesh: &Mesh, name: &str, mint: &Mint) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file_named(name)?;
    House::trust(&mut file, mint, &mesh.audience)?;
    file.edit_plugin(|plugin| {
        let mut other = plugin["agents"][0].clone();
        other["name"] = json!("other");
        other["match"]["path_prefix"] = json!("/agents/expense/other");
        if let Some(agents) = plugin["agents"].as_array_mut() {
            agents.push(other);
        }
    })?;
    Ok(file)
}

/// The settings of a file's limiter, which stands behind Attaché.
fn limiter<'a>(file: &'a mut EnvoyFile, name: &str) -> Result<&'a mut Value> {
    let filters = file.http_manager()?["http_filters"].as_array_mut().context("no filters")?;
    let names: Vec<&str> = filters.iter().filter_map(|filter| filter["name"].as_str()).collect();
    ensure!(names.first() == Some(&"attache"), "Attaché says what the limiter counts by: {names:?}");
    let limiter = filters.iter_mut().find(|filter| filter["name"] == name);
    Ok(&mut limiter.context("no limiter")?["typed_config"])
}

/// The file's Envoy with limits that a test reaches: 3 cards, 2 messages and 5 requests in all. None is filled again while it runs.
struct Limited {
    envoy: Envoy,
    mint: Mint,
    audience: String,
}

impl Limited {
    async fn start(mesh: &Mesh) -> Result<Self> {
        let mint = Mint::new("house-1")?;
        let mut file = two_agents(mesh, "ratelimit.yaml", &mint)?;
        let descriptors = limiter(&mut file, "envoy.filters.http.local_ratelimit")?["descriptors"].as_array_mut();
        let descriptors = descriptors.context("no descriptors")?;
        ensure!(descriptors.len() == 3, "{descriptors:?}");
        for (descriptor, tokens) in descriptors.iter_mut().zip([3, 2, 5]) {
            descriptor["token_bucket"] = json!({"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "3600s"});
        }
        let envoy = Envoy::start("ratelimit", &file, Options::default()).await?;
        Ok(Self { envoy, mint, audience: mesh.audience.clone() })
    }

    fn token(&self, subject: &str) -> String {
        self.mint.sign(&House::claims_for(subject, &self.audience))
    }

    async fn send(&self, call: Call) -> Result<Reply> {
        call.send(self.envoy.port()).await
    }
}

/// `envoy/ratelimit-global.yaml` with a service that counts, by the limits of `envoy/ratelimit-service.yaml` made small: 3 cards,
/// 2 messages, and 9 requests of an agent in all. No window ends while a test runs.
struct Global {
    envoys: Vec<Envoy>,
    limiter: Limiter,
    mint: Mint,
    audience: String,
}

impl Global {
    async fn start(mesh: &Mesh, envoys: usize) -> Result<Self> {
        Self::start_with(mesh, envoys, |_| {}).await
    }

    async fn start_with(mesh: &Mesh, envoys: usize, edit: impl FnOnce(&mut Value)) -> Result<Self> {
        let service = Limiter::start(small_limits()?).await?;
        let mint = Mint::new("house-1")?;
        let mut file = two_agents(mesh, "ratelimit-global.yaml", &mint)?;
        file.cluster("ratelimit", service.port)?;
        let settings = limiter(&mut file, "envoy.filters.http.ratelimit")?;
        // A busy machine of a test is no service that is down.
        settings["timeout"] = json!("2s");
        edit(settings);
        let mut started = Vec::new();
        for number in 0..envoys {
            started.push(Envoy::start(&format!("ratelimit-global-{number}"), &file, Options::default()).await?);
        }
        Ok(Self { envoys: started, limiter: service, mint, audience: mesh.audience.clone() })
    }

    /// A token of a client; its subject is always the same.
    fn token(&self, client: &str) -> String {
        let mut claims = House::claims_for("alice", &self.audience);
        claims["client_id"] = json!(client);
        self.mint.sign(&claims)
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        call.send(self.envoys.first().context("no Envoy")?.port()).await
    }

    /// The service is not there: requests that Attaché lets through are refused, the others as ever.
    async fn refuses_uncounted(&self) -> Result<()> {
        for call in [card(AGENT), send_1_0("down").bearer(&self.token("one"))] {
            let reply = self.send(&call).await?;
            let body = reply.json();
            let seen = || format!("{} {:?} {}", reply.status, reply.headers, reply.text());
            ensure!(reply.status == 503, "{}", seen());
            ensure!(body["error"]["code"] == 503 && body["error"]["status"] == "UNAVAILABLE", "{}", seen());
        }
        let reply = self.send(&send_1_0("down")).await?;
        ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        Ok(())
    }
}

fn small_limits() -> Result<Value> {
    let path = place::root().join("envoy/ratelimit-service.yaml");
    let mut limits: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let small = |requests: u32| json!({"unit": "hour", "requests_per_unit": requests});
    let agent = &mut limits["descriptors"][0];
    for (place, requests) in [("", 9), ("/descriptors/0/descriptors/0", 3), ("/descriptors/1/descriptors/0/descriptors/0", 2)] {
        let limit = agent.pointer_mut(place).and_then(|entry| entry.get_mut("rate_limit"));
        *limit.with_context(|| format!("no limit at {place:?}"))? = small(requests);
    }
    Ok(limits)
}

fn card(prefix: &str) -> Call {
    Call::get(format!("{prefix}/.well-known/agent-card.json")).version("1.0")
}

fn limited(reply: &Reply) -> Result<()> {
    let seen = || format!("{} {:?} {}", reply.status, reply.headers, reply.text());
    ensure!(reply.status == 429, "{}", seen());
    ensure!(reply.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{}", seen());
    let body: Value = reply.json();
    ensure!(body["error"]["code"] == 429 && body["error"]["status"] == "RESOURCE_EXHAUSTED", "{}", seen());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("ratelimit::cards_are_limited_by_themselves", async |mesh| {
        let here = Limited::start(mesh).await?;
        for _ in 0..3 {
            let reply = here.send(card(AGENT)).await?;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        }
        limited(&here.send(card(AGENT)).await?)?;
        // Neither another version, nor a token, nor a forged name makes it another card.
        limited(&here.send(card(AGENT).header("x-agent", "mallory").header("x-operation", "GetTask")).await?)?;
        limited(&here.send(Call::get(format!("{AGENT}/.well-known/agent-card.json"))).await?)?;
        limited(&here.send(card(AGENT).bearer(&here.token("alice"))).await?)?;
        let other = here.send(card(&format!("{AGENT}/other"))).await?;
        ensure!(other.status != 429, "another agent's card: {} {}", other.status, other.text());
        works(here.envoy.port(), &here.token("alice")).await?;
        Ok(())
    });
    suite.add("ratelimit::a_caller_is_limited_in_every_binding_and_no_other_caller_is", async |mesh| {
        let here = Limited::start(mesh).await?;
        let (alice, bob) = (here.token("alice"), here.token("bob"));
        works(here.envoy.port(), &alice).await?;
        let reply = here.send(send_1_0_http("http").bearer(&alice)).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        limited(&here.send(send_1_0("more").bearer(&alice)).await?)?;
        limited(&here.send(send_1_0_http("more").bearer(&alice).header("x-subject", "bob")).await?)?;
        let reply = here.send(get_task_1_0_http("no-such-task").bearer(&alice)).await?;
        ensure!(reply.status == 404, "another operation: {} {}", reply.status, reply.text());
        works(here.envoy.port(), &bob).await?;
        Ok(())
    });
    suite.add("ratelimit::what_attache_refuses_is_not_counted_and_all_operations_together_are", async |mesh| {
        let here = Limited::start(mesh).await?;
        let alice = here.token("alice");
        for _ in 0..8 {
            let reply = here.send(send_1_0_http("no")).await?;
            ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        }
        for _ in 0..5 {
            let reply = here.send(get_task_1_0_http("no-such-task").bearer(&alice)).await?;
            ensure!(reply.status == 404, "{} {}", reply.status, reply.text());
        }
        limited(&here.send(get_task_1_0_http("no-such-task").bearer(&alice)).await?)?;
        limited(&here.send(send_1_0("all").bearer(&alice)).await?)?;
        works(here.envoy.port(), &here.token("bob")).await?;
        Ok(())
    });
    suite.add("ratelimit::many_envoys_have_one_count_of_cards", async |mesh| {
        let here = Global::start(mesh, 2).await?;
        let ports: Vec<u16> = here.envoys.iter().map(Envoy::port).collect();
        for port in ports.iter().cycle().take(3) {
            let reply = card(AGENT).send(*port).await?;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
            ensure!(reply.header("x-ratelimit-limit").is_some(), "{:?}", reply.headers);
        }
        let forged = card(AGENT).header("x-agent", "mallory").header("x-operation", "GetTask");
        for port in ports {
            let reply = card(AGENT).send(port).await?;
            limited(&reply)?;
            ensure!(reply.header("x-ratelimit-remaining") == Some("0"), "{:?}", reply.headers);
            limited(&forged.send(port).await?)?;
        }
        let other = here.send(&card(&format!("{AGENT}/other"))).await?;
        ensure!(other.status != 429, "another agent's card: {} {}", other.status, other.text());
        let reply = here.send(&get_task_1_0_http("no-such-task").bearer(&here.token("one"))).await?;
        ensure!(reply.status == 404 && reply.reason().is_none(), "another operation: {} {}", reply.status, reply.text());
        let asked = here.limiter.asked();
        let names = |descriptor: &[(String, String)]| descriptor.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>().join(" ");
        let seen: Vec<String> = asked.first().into_iter().flatten().map(|descriptor| names(descriptor)).collect();
        ensure!(seen == ["agent operation remote_address", "agent"], "{seen:?}");
        Ok(())
    });
    suite.add("ratelimit::many_envoys_have_one_count_of_an_operation_by_client", async |mesh| {
        let here = Global::start(mesh, 2).await?;
        let (one, two) = (here.token("one"), here.token("two"));
        for (envoy, call) in here.envoys.iter().zip([send_1_0("first"), send_1_0_http("second")]) {
            let reply = call.bearer(&one).send(envoy.port()).await?;
            ensure!(reply.status == 200 && reply.echo().is_some(), "{} {}", reply.status, reply.text());
        }
        for (envoy, call) in here.envoys.iter().zip([send_1_0_http("third"), send_1_0("fourth")]) {
            limited(&call.bearer(&one).header("x-client", "two").send(envoy.port()).await?)?;
        }
        let asked = here.limiter.asked().len();
        let reply = here.send(&send_1_0("nobody")).await?;
        ensure!(reply.status == 401 && here.limiter.asked().len() == asked, "what is refused is not asked about: {}", reply.text());
        let reply = here.send(&get_task_1_0_http("no-such-task").bearer(&one)).await?;
        ensure!(reply.status == 404, "another operation: {} {}", reply.status, reply.text());
        for envoy in &here.envoys {
            works(envoy.port(), &two).await?;
        }
        limited(&here.send(&send_1_0("fifth").bearer(&two)).await?)
    });
    suite.add("ratelimit::all_requests_of_an_agent_are_counted_too", async |mesh| {
        let here = Global::start(mesh, 1).await?;
        let nameless = here.mint.sign(&{
            let mut claims = House::claims_for("alice", &here.audience);
            claims.as_object_mut().map(|claims| claims.remove("client_id"));
            claims
        });
        for _ in 0..9 {
            let reply = here.send(&send_1_0("all").bearer(&nameless)).await?;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        }
        limited(&here.send(&send_1_0("all").bearer(&nameless)).await?)?;
        limited(&here.send(&get_task_1_0_http("no-such-task").bearer(&here.token("one"))).await?)?;
        limited(&here.send(&card(AGENT)).await?)
    });
    suite.add("ratelimit::without_an_answer_of_the_service_nothing_passes", async |mesh| {
        let mut here = Global::start(mesh, 1).await?;
        works(here.envoys.first().context("no Envoy")?.port(), &here.token("one")).await?;
        for mood in [Mood::Failing, Mood::Silent] {
            here.limiter.mood(mood);
            here.refuses_uncounted().await?;
        }
        here.limiter.mood(Mood::Counting);
        works(here.envoys.first().context("no Envoy")?.port(), &here.token("one")).await?;
        // Now it is gone for good.
        here.limiter = Limiter::start(json!({})).await?;
        here.refuses_uncounted().await
    });
    suite.add("ratelimit::without_an_answer_requests_pass_verified_if_so_configured", async |mesh| {
        let here = Global::start_with(mesh, 1, |settings| settings["failure_mode_deny"] = json!(false)).await?;
        here.limiter.mood(Mood::Failing);
        let port = here.envoys.first().context("no Envoy")?.port();
        for _ in 0..4 {
            works(port, &here.token("one")).await?;
        }
        let reply = here.send(&send_1_0("nobody")).await?;
        ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        Ok(())
    });
}
