//! A VM that traps: its requests get 503, a new one serves within seconds, and nothing unverified ever gets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, send_1_0};
use attache_mesh::{place, raw, wait};
use serde_json::json;

use crate::suite::{Suite, works};

const TRAP: &str = "x-attache-test-trap";

/// A call without a token that leaves a mark at the agent, should it ever get there.
fn unverified(number: u32) -> Call {
    let body = rpc(json!(number), "SendMessage", message_1_0("unverified"));
    Call::post(format!("{AGENT}?mark=unverified-{number}"), &body).version("1.0")
}

/// Sends unverified calls without pause until told to stop; returns the statuses.
async fn press(port: u16, stop: Arc<AtomicBool>) -> Result<Vec<u16>> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        seen.push(unverified(u32::try_from(seen.len())?).send(port).await?.status);
    }
    Ok(seen)
}

pub fn add(suite: &mut Suite) {
    suite.add("reload::a_trap_costs_its_request_and_never_lets_an_unverified_one_through", async |mesh| {
        let token = mesh.token().await?;
        let mut file = mesh.inbound_file()?;
        ensure!(file.wasm()?["failure_policy"] == "FAIL_RELOAD", "envoy/inbound.yaml must say FAIL_RELOAD");
        file.module(&place::module(true))?;
        let envoy = Envoy::start("trap", &file, Options::default()).await?;
        works(envoy.port(), &token).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let pressing = tokio::spawn(press(envoy.port(), stop.clone()));
        for round in 0..3 {
            let reply = send_1_0("trap").bearer(&token).header(TRAP, "1").send(envoy.port()).await?;
            ensure!(reply.status == 503 && reply.reason().is_none(), "round {round}: {} {}", reply.status, reply.text());
            wait::until("service after a trap", Duration::from_secs(20), async || {
                let reply = send_1_0("back").bearer(&token).send(envoy.port()).await?;
                ensure!([200, 503].contains(&reply.status), "{} {}", reply.status, reply.text());
                Ok((reply.status == 200).then_some(()))
            })
            .await?;
            works(envoy.port(), &token).await?;
        }
        stop.store(true, Ordering::SeqCst);
        let statuses = pressing.await??;
        let odd: Vec<&u16> = statuses.iter().filter(|status| ![401, 503].contains(*status)).collect();
        ensure!(odd.is_empty(), "unverified requests got {odd:?}");
        ensure!(statuses.contains(&401) && statuses.len() > 20, "{} unverified requests", statuses.len());
        let reached = mesh.agent_1_0.saw("mark=unverified-").await? + mesh.agent_0_3.saw("mark=unverified-").await?;
        ensure!(reached == 0, "{reached} unverified requests reached an agent");
        let reloads = envoy.stat("vm_reload_success").await?;
        ensure!(reloads >= 3, "{reloads} reloads");
        Ok(())
    });
    suite.add("reload::who_waits_in_a_vm_that_traps_is_answered_or_cut_but_never_served", async |mesh| {
        let token = mesh.token().await?;
        let mut file = mesh.inbound_file()?;
        file.module(&place::module(true))?;
        let envoy = Envoy::start("trap-waiting", &file, Options::default()).await?;
        works(envoy.port(), &token).await?;
        let body = rpc(json!("w"), "SendMessage", message_1_0("w")).to_string().into_bytes();
        let open = raw::head(
            &format!("POST {AGENT}?mark=waits-in-trap"),
            &[
                ("host", b"expense.example.com"),
                ("content-type", b"application/json"),
                ("a2a-version", b"1.0"),
                ("transfer-encoding", b"chunked"),
            ],
        );
        // Without a token, so that nothing may ever come of it.
        let pieces = [vec![open], raw::chunked(&body, body.len(), &[])].concat();
        let port = envoy.port();
        let waiting = tokio::spawn(async move { raw::http1_slowly(port, &pieces, Duration::from_secs(2)).await });
        envoy.stat_reaches("http.inbound.downstream_rq_active", 1).await?;
        send_1_0("trap").bearer(&token).header(TRAP, "1").send(port).await?;
        if let Ok(reply) = waiting.await? {
            ensure!([401, 503].contains(&reply.status), "{} {}", reply.status, reply.text());
        }
        ensure!(mesh.agent_1_0.saw("waits-in-trap").await? == 0, "an unverified request reached the agent");
        wait::until("service after a trap", Duration::from_secs(20), async || {
            let reply = send_1_0("back").bearer(&token).send(port).await?;
            Ok((reply.status == 200).then_some(()))
        })
        .await
    });
    suite.add("reload::the_released_filter_has_no_trap", async |mesh| {
        let reply = send_1_0("no-trap").bearer(&mesh.token().await?).header(TRAP, "1").send(mesh.inbound.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        Ok(())
    });
}
