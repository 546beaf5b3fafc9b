//! `envoy/ratelimit.yaml`: Envoy's own limiter counts by what Attaché found out.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{AGENT, Mesh, get_task_1_0_http, send_1_0, send_1_0_http};
use attache_mesh::mint::Mint;
use serde_json::{Value, json};

use crate::suite::{House, Suite, works};

/// The file's Envoy with limits that a test reaches: 3 cards, 2 messages and 5 requests in all. None is filled again while it runs.
struct Limited {
    envoy: Envoy,
    mint: Mint,
    audience: String,
}

impl Limited {
    async fn start(mesh: &Mesh) -> Result<Self> {
        let mut file = mesh.inbound_file_named("ratelimit.yaml")?;
        let mint = Mint::new("house-1")?;
        House::trust(&mut file, &mint, &mesh.audience)?;
        file.edit_plugin(|plugin| {
            let mut other = plugin["agents"][0].clone();
            other["name"] = json!("other");
            other["match"]["path_prefix"] = json!("/agents/expense/other");
            if let Some(agents) = plugin["agents"].as_array_mut() {
                agents.push(other);
            }
        })?;
        let filters = file.http_manager()?["http_filters"].as_array_mut().context("no filters")?;
        let names: Vec<&str> = filters.iter().filter_map(|filter| filter["name"].as_str()).collect();
        ensure!(names.first() == Some(&"attache"), "Attaché says what the limiter counts by: {names:?}");
        let limiter = filters.iter_mut().find(|filter| filter["name"] == "envoy.filters.http.local_ratelimit");
        let descriptors = limiter.context("no limiter")?["typed_config"]["descriptors"].as_array_mut().context("no descriptors")?;
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
        limited(&here.send(card(AGENT).header("x-attache-agent", "mallory").header("x-attache-operation", "GetTask")).await?)?;
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
        limited(&here.send(send_1_0_http("more").bearer(&alice).header("x-attache-subject", "bob")).await?)?;
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
}
