//! Cold calls: many at once, in two workers, before there is a token. All wait for one answer of the token endpoint; measured is how
//! long after it each is let go, by the filter's own records, and how long until its caller has the remote agent's answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, rpc};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wait;
use serde_json::{Value, json};

use crate::spread::Spread;
use crate::table::{self, Table};

/// Calls at once.
const CALLS: usize = 200;
const DAY: f64 = 86_400.0;

/// Milliseconds behind the endpoint's answer, in order.
struct Round {
    /// When the filter let each call go.
    released: Vec<f64>,
    /// When each caller had its answer.
    answered: Vec<f64>,
}

/// Measures `rounds` times. Each has a connection of its own, so that none finds a token.
pub async fn measure(rounds: usize, agent: u16) -> Result<Table> {
    let token = json!({"access_token": "cold.to.ken", "token_type": "Bearer", "expires_in": 3600});
    let endpoint = StandIn::start(Answer::new("200 OK", "application/json", token.to_string())).await?;
    let envoy =
        Envoy::start("bench-cold", &file(rounds, agent, endpoint.port)?, Options::default().workers(2).env("SECRET", "cold")).await?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        measured.push(one(&envoy, &endpoint, round).await?);
        ensure!(endpoint.whole() == u64::try_from(round)? + 1, "{} requests for {} tokens", endpoint.whole(), round + 1);
    }
    table(&measured)
}

/// Columns: what is measured, then first, median and last call, each with its spread.
fn table(rounds: &[Round]) -> Result<Table> {
    let mut table = table::head(["", "first", "min..max", "median", "min..max", "last", "min..max"]);
    let released: Vec<&[f64]> = rounds.iter().map(|round| round.released.as_slice()).collect();
    let answered: Vec<&[f64]> = rounds.iter().map(|round| round.answered.as_slice()).collect();
    for (title, rounds) in [("let go by the filter", released), ("answered by the agent", answered)] {
        let mut line = vec![title.to_owned()];
        for place in [0, CALLS / 2, CALLS - 1] {
            line.extend(Spread::of(rounds.iter().filter_map(|times| times.get(place).copied())).context("no cold calls")?.micros());
        }
        table.push(line);
    }
    Ok(table)
}

async fn one(envoy: &Envoy, endpoint: &StandIn, round: usize) -> Result<Round> {
    endpoint.open(false);
    let start = envoy.log().len();
    let call = Call::post("/", &rpc(json!(1), "SendMessage", json!({}))).host(&format!("cold{round}.example.com"));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (call, port) = (call.clone(), envoy.port());
            tokio::spawn(async move { anyhow::Ok((call.send(port).await?.status, now()?)) })
        })
        .collect();
    wait::until("all calls to wait", Duration::from_secs(30), async || {
        let waiting = envoy.stat("http.outbound.downstream_rq_active").await?;
        Ok((usize::try_from(waiting)? >= CALLS && endpoint.whole() > u64::try_from(round)?).then_some(()))
    })
    .await?;
    let opened = now()?;
    endpoint.open(true);
    let mut answered = Vec::new();
    for call in calls {
        let (status, at) = call.await??;
        ensure!(status == 200, "a cold call got {status}");
        answered.push(behind(at, opened));
    }
    let records = wait::until("the records", Duration::from_secs(10), async || {
        let times = decisions(envoy.log().get(start..).unwrap_or_default(), &format!("cold{round}"))?;
        Ok((times.len() == CALLS).then_some(times))
    })
    .await?;
    let mut released: Vec<f64> = records.into_iter().map(|at| behind(at, opened)).collect();
    released.sort_by(f64::total_cmp);
    answered.sort_by(f64::total_cmp);
    Ok(Round { released, answered })
}

/// The second of the day.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() % DAY)
}

/// From `start` to `at` in milliseconds, also over midnight.
fn behind(at: f64, start: f64) -> f64 {
    (at - start).rem_euclid(DAY) * 1e3
}

/// When calls of `connection` were let go, by the log: seconds of the day.
fn decisions(log: &str, connection: &str) -> Result<Vec<f64>> {
    let records = log.lines().filter_map(|line| line.split_once("attache: audit ")).filter_map(|(_, text)| {
        let record: Value = serde_json::from_str(text.trim()).ok()?;
        (record["connection"] == connection && record["decision"] == "allow").then_some(record)
    });
    records.map(|record| second_of_day(record["time"].as_str().unwrap_or_default()).context("a record without a time")).collect()
}

fn second_of_day(time: &str) -> Option<f64> {
    let (_, clock) = time.strip_suffix('Z')?.split_once('T')?;
    clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// `envoy/outbound.yaml` with a connection for each round.
fn file(rounds: usize, agent: u16, endpoint: u16) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("outbound.yaml")?;
    file.cluster("partner", agent)?;
    file.cluster("idp", endpoint)?;
    let connections: Vec<Value> = (0..rounds)
        .map(|round| {
            let client = json!({"token_endpoint": {"uri": "http://idp.example/token", "cluster": "idp", "timeout": "60s"},
                "client_id": format!("client{round}"), "authentication": {"client_secret_post": {"secret": "secret"}}});
            json!({"name": format!("cold{round}"), "match": {"hosts": [format!("cold{round}.example.com")], "path_prefix": "/"},
                "version": "1.0", "pin": "none", "credential": {"client_credentials": {"client": client}}})
        })
        .collect();
    file.edit_plugin(|plugin| *plugin = json!({"connections": connections, "secrets": {"secret": {"env": "SECRET"}}}))?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["SECRET"]});
    let manager = file.http_manager()?;
    manager["route_config"]["virtual_hosts"] =
        json!([{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner"}}]}]);
    if let Some(manager) = manager.as_object_mut() {
        manager.remove("access_log");
    }
    Ok(file)
}
