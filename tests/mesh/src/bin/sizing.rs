//! `make sizing`: what real Envoys with the filter need, for `docs/sizing.md`: memory and CPU time after the start, by agents and workers,
//! and what live updates of the configuration and of the module add, while old listeners drain and after that.
//!
//! Figures are of one run: `VmRSS` of the process, its CPU clock, and what Envoy says of itself. Small differences are noise.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::Call;
use attache_mesh::live::{Live, Way};
use attache_mesh::mesh::{AGENT, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::{place, process, wait};
use serde_json::{Value, json};

/// Updates of the configuration in a row.
const UPDATES: u64 = 5;
/// The drain time of the Envoys, in seconds: longer than all updates take.
const DRAIN: u64 = 40;
/// No update takes longer.
const LIMIT: Duration = Duration::from_secs(240);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

fn main() -> ExitCode {
    process::run_program(run())
}

async fn run() -> Result<ExitCode> {
    process::end_on_signal(130).await?;
    let mint = Mint::new("sizing-1")?;
    println!("| agents | workers | CPU-seconds at start | RSS, MiB | of these WebAssembly memory, MiB |\n|---:|---:|---:|---:|---:|");
    for (agents, workers) in [(1, 1), (1, 2), (1, 8), (100, 1), (100, 2), (1000, 1), (1000, 2)] {
        let envoy = Envoy::start("sizing", &file(&mint, agents)?, Options::default().workers(workers)).await?;
        let at = Figures::of(&envoy).await?;
        println!("| {agents} | {workers} | {:.1} | {:.0} | {:.0} |", at.cpu, at.rss, at.linear);
        envoy.stop();
    }
    println!(
        "\n| agents | way | at start, MiB | after updates 1 to {UPDATES}, MiB | drained, MiB | ms until an update counts | \
         CPU-seconds of one | another module: ms | CPU-seconds | MiB | drained, MiB |\n|---:|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"
    );
    for agents in [1, 1000] {
        for way in [Way::Listeners, Way::Filter] {
            println!("{}", updates(&mint, agents, way).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a process needs.
struct Figures {
    /// Seconds since its start.
    cpu: f64,
    rss: f64,
    linear: f64,
}

impl Figures {
    /// When it has become quiet.
    async fn of(envoy: &Envoy) -> Result<Self> {
        let mut before = envoy.process().cpu_time()?;
        let cpu = wait::until("Envoy to be quiet", LIMIT, async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = envoy.process().cpu_time()?;
            let used = now.saturating_sub(before);
            before = now;
            Ok((used < Duration::from_millis(20)).then_some(now))
        })
        .await?;
        let process = envoy.process();
        Ok(Self {
            cpu: cpu.as_secs_f64(),
            rss: process.memory("VmRSS")? as f64 / MEBIBYTE,
            linear: process.linear_memory()? as f64 / MEBIBYTE,
        })
    }
}

/// The inbound file with keys in it, and `agents` agents of which the last is called.
fn file(mint: &Mint, agents: usize) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("inbound.yaml")?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["jwks"] = json!({"inline": {"keys": [mint.jwk()]}});
        let Some(list) = plugin["agents"].as_array_mut() else { return };
        let Some(agent) = list.first().cloned() else { return };
        let others = (1..agents).map(|number| {
            let mut other = agent.clone();
            other["name"] = json!(format!("agent-{number}"));
            other["match"]["path_prefix"] = json!(format!("/agents/other-{number}"));
            other["public_url"] = json!(format!("https://expense.example.com/agents/other-{number}"));
            other
        });
        list.splice(0..0, others);
    })?;
    Ok(file)
}

/// The last agent gets a name by which its records tell the update.
fn name(plugin: &mut Value, number: u64) {
    if let Some(agent) = plugin["agents"].as_array_mut().and_then(|list| list.last_mut()) {
        agent["name"] = json!(format!("expense-{number}"));
    }
}

/// Calls without a token until a record says that update `number` decided.
async fn counts(envoy: &Envoy, number: u64) -> Result<()> {
    let call: Call = send_1_0("sizing").host("expense.example.com");
    ensure!(call.path == AGENT, "another path");
    let start = envoy.log().len();
    let wanted = format!("\"agent\":\"expense-{number}\"");
    wait::until(&format!("update {number} to count"), LIMIT, async || {
        let reply = call.send(envoy.port()).await?;
        ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        Ok(envoy.log().get(start..).is_some_and(|log| log.contains(&wanted)).then_some(()))
    })
    .await
}

/// Until no old filter chain drains.
async fn drained(envoy: &Envoy) -> Result<Figures> {
    wait::until("old filter chains to go", Duration::from_secs(DRAIN) + LIMIT, async || {
        let draining = envoy.stat("listener_manager.total_filter_chains_draining").await?;
        Ok((draining == 0).then_some(()))
    })
    .await?;
    // The last streams of the old configuration are over; its VM goes with the next turn of each worker.
    Figures::of(envoy).await
}

async fn updates(mint: &Mint, agents: usize, way: Way) -> Result<String> {
    let options = Options::default().workers(2).argument("--drain-time-s").argument(&DRAIN.to_string());
    let live = Live::by(way, file(mint, agents)?, "sizing-live", options).await?;
    let envoy = &live.envoy;
    let start = Figures::of(envoy).await?;
    let mut after = Vec::new();
    let (mut took, mut cpu) = (Vec::new(), Vec::new());
    for number in 1..=UPDATES {
        let (begin, before) = (Instant::now(), envoy.process().cpu_time()?);
        live.change(|plugin| name(plugin, number))?;
        counts(envoy, number).await?;
        took.push(begin.elapsed().as_secs_f64() * 1e3);
        let now = Figures::of(envoy).await?;
        cpu.push(now.cpu - before.as_secs_f64());
        after.push(format!("{:.0}", now.rss));
    }
    let rest = drained(envoy).await?;
    let other = place::relabelled()?;
    let (begin, before) = (Instant::now(), envoy.process().cpu_time()?);
    live.change_file(|file| {
        file.module(&other)?;
        file.edit_plugin(|plugin| name(plugin, UPDATES + 1))
    })?;
    counts(envoy, UPDATES + 1).await?;
    let module_took = begin.elapsed().as_secs_f64() * 1e3;
    let upgraded = Figures::of(envoy).await?;
    let settled = drained(envoy).await?;
    ensure!(live.refused().await? == 0, "an update was refused");
    let title = match way {
        Way::Listeners => "LDS",
        Way::Filter => "ECDS",
    };
    Ok(format!(
        "| {agents} | {title} | {:.0} | {} | {:.0} | {:.0} | {:.2} | {module_took:.0} | {:.1} | {:.0} | {:.0} |",
        start.rss,
        after.join(", "),
        rest.rss,
        median(&mut took)?,
        median(&mut cpu)?,
        upgraded.cpu - before.as_secs_f64(),
        upgraded.rss,
        settled.rss
    ))
}

fn median(values: &mut [f64]) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no values")
}
