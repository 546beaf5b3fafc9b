//! Keys over time: rotation and an outage of the authorization server, while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use attache_mesh::authorization::{AuthorizationServer, header};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{SCOPES, send_1_0};
use attache_mesh::wait;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::suite::{Suite, works};

/// How long the authorization server stays away.
const OUTAGE: Duration = Duration::from_secs(60);
/// The gap between two requests of a steady caller.
const PACE: Duration = Duration::from_millis(50);

/// A caller that sends one request after the other until it is told to stop.
struct Caller {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Caller {
    /// Starts it. The first request that gets anything but an answer of the agent ends it with an error.
    fn start(port: u16, token: String) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (halt, count) = (stop.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !halt.load(Ordering::SeqCst) {
                pace.tick().await;
                let reply = send_1_0("steady").bearer(&token).send(port).await?;
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                ensure!(reply.status == 200 && reply.echo().is_some(), "request {number}: {} {}", reply.status, reply.text());
            }
            Ok(())
        });
        Self { stop, sent, task }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Waits until it sent `more` requests from now on; errs when it has ended.
    async fn sends(&self, more: u64) -> Result<()> {
        let target = self.sent() + more;
        wait::until("a caller's requests", Duration::from_secs(120), async || {
            Ok((self.sent() >= target || self.task.is_finished()).then_some(()))
        })
        .await
    }

    async fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await??;
        Ok(self.sent.load(Ordering::SeqCst))
    }
}

async fn rotation(mesh: &attache_mesh::mesh::Mesh) -> Result<()> {
    let own = AuthorizationServer::start("authorization-rotating").await?;
    // Nothing but an unknown key leads to a fetch.
    let mut file = mesh.inbound_file_trusting(&own)?;
    file.edit_plugin(|plugin| plugin["issuers"][0]["jwks"]["remote"]["refresh"] = json!("300s"))?;
    let envoy = Envoy::start("rotation", &file, Options::default()).await?;
    let old = own.token(&mesh.audience, SCOPES).await?;
    works(envoy.port(), &old).await?;
    let steady = Caller::start(envoy.port(), old.clone());
    let fetched = own.jwks_fetches().await?;
    own.rotate().await?;
    let new = own.token(&mesh.audience, SCOPES).await?;
    ensure!(header(&old)?["kid"] != header(&new)?["kid"], "the key was not rotated");
    // Until the first fetch the new key cannot be known; anyone may name unknown keys, so that fetch may take seconds.
    wait::until("the keys to be fetched anew", Duration::from_secs(20), async || {
        let reply = send_1_0("new").bearer(&new).send(envoy.port()).await?;
        match reply.reason().as_deref() {
            None if reply.status == 200 => {}
            Some("token_key_unknown") => {}
            _ => bail!("{} {}", reply.status, reply.text()),
        }
        Ok((own.jwks_fetches().await? > fetched).then_some(()))
    })
    .await?;
    let fresh = Caller::start(envoy.port(), new);
    let newest = Caller::start(envoy.port(), own.token(&mesh.audience, SCOPES).await?);
    fresh.sends(50).await?;
    let sent = [steady.finish().await?, fresh.finish().await?, newest.finish().await?];
    ensure!(sent.iter().all(|count| *count >= 20), "{sent:?}");
    ensure!(own.jwks_fetches().await? <= fetched + 1, "one fetch is enough for one rotation");
    Ok(())
}

async fn outage(mesh: &attache_mesh::mesh::Mesh) -> Result<()> {
    let own = AuthorizationServer::start("authorization-absent").await?;
    let mut file = mesh.inbound_file_trusting(&own)?;
    file.edit_plugin(|plugin| {
        let remote = &mut plugin["issuers"][0]["jwks"]["remote"];
        remote["refresh"] = json!("2s");
        remote["max_stale"] = json!("3600s");
    })?;
    let envoy = Envoy::start("outage", &file, Options::default().workers(2)).await?;
    let known = own.token(&mesh.audience, SCOPES).await?;
    let mut unseen = Vec::new();
    for _ in 0..40 {
        unseen.push(own.token(&mesh.audience, SCOPES).await?);
    }
    works(envoy.port(), &known).await?;
    let steady = Caller::start(envoy.port(), known);
    own.stop();
    let start = Instant::now();
    // Tokens that no worker has seen need the keys themselves.
    for (index, token) in (0_u32..).zip(&unseen) {
        let due = start + OUTAGE * index / u32::try_from(unseen.len())?;
        tokio::time::sleep_until(due.into()).await;
        works(envoy.port(), token).await?;
    }
    tokio::time::sleep_until((start + OUTAGE).into()).await;
    ensure!(!steady.task.is_finished(), "a request was lost: {:?}", steady.finish().await);
    own.start_again().await?;
    wait::until("the keys to be fetched again", Duration::from_secs(40), async || Ok((own.jwks_fetches().await? > 0).then_some(())))
        .await?;
    works(envoy.port(), &own.token(&mesh.audience, SCOPES).await?).await?;
    steady.sends(10).await?;
    let sent = steady.finish().await?;
    ensure!(sent > 100, "only {sent} requests in {:?}", start.elapsed());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("keys::an_outage_of_a_minute_loses_no_request", async |mesh| outage(mesh).await);
    suite.add("keys::a_rotation_loses_no_request_after_the_first_fetch", async |mesh| rotation(mesh).await);
    suite.add("keys::a_flood_of_unknown_key_names_leads_to_few_fetches", async |mesh| {
        let own = AuthorizationServer::start("authorization-flooded").await?;
        let envoy = Envoy::start("flood", &mesh.inbound_file_trusting(&own)?, Options::default()).await?;
        let good = own.token(&mesh.audience, SCOPES).await?;
        works(envoy.port(), &good).await?;
        let start = Instant::now();
        let mint = attache_mesh::mint::Mint::new("stranger")?;
        let claims = attache_mesh::authorization::claims(&good)?;
        for number in 0..60 {
            let mut header = mint.header();
            header["kid"] = json!(format!("unknown-{number}"));
            let reply = send_1_0("f").bearer(&mint.sign_as(&header, &claims)).send(envoy.port()).await?;
            ensure!(reply.reason().as_deref() == Some("token_key_unknown"), "{} {}", reply.status, reply.text());
        }
        // Two at the start, then at most one in five seconds.
        let allowed = 2 + 1 + start.elapsed().as_secs() / 5;
        let fetches = own.jwks_fetches().await?;
        ensure!(fetches <= allowed, "{fetches} fetches in {:?}", start.elapsed());
        works(envoy.port(), &good).await?;
        Ok(())
    });
}
