//! `make bench`: what Attaché costs in a real Envoy, beside the filters that Envoy has of its own.
//!
//! Counts the CPU time of the Envoy process per request, in rounds that visit every row. `ROUNDS` and `SECONDS` (of load
//! per row, load and round) change how long it takes. Then lets many cold calls wait for one token. Writes `docs/performance.md`.

mod body;
mod check;
mod cold;
mod cpu;
mod load;
mod report;
mod rows;
mod strangers;
mod tokens;

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attache_mesh::envoy::Envoy;
use attache_mesh::http::Call;
use attache_mesh::place;
use attache_mesh::process::{self, EndAll};
use http::header::{HeaderMap, HeaderValue};

use crate::check::Checks;
use crate::cpu::Clock;
use crate::load::Load;
use crate::report::{Kind, Report, Setup};
use crate::rows::{Base, Names, Row, TOKENS};
use crate::tokens::Issuer;

/// Load before each measured part.
const WARM_UP: Duration = Duration::from_millis(200);
/// Bytes of the bodies.
const SIZES: [usize; 2] = [437, 64 * 1024];

fn main() -> ExitCode {
    let _end = EndAll;
    // One thread sends and answers; Envoy has the other core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("{}\nall logs: {}", causes.join("\n"), place::logs().display());
            ExitCode::FAILURE
        }
    }
}

/// A running row.
struct Target {
    row: Row,
    envoy: Envoy,
    clock: Clock,
}

async fn run() -> Result<()> {
    process::end_on_signal(130).await?;
    let rounds: usize = setting("ROUNDS", 12, 1..=1000)?;
    let seconds: f64 = setting("SECONDS", 0.6, 0.05..=60.0)?;
    let started = Instant::now();

    let names = Names::load()?;
    println!("Making a key and {TOKENS} tokens");
    let issuer = Issuer::new(&names.issuer, &names.audience, &names.scope)?;
    let tokens: Vec<String> = (0..TOKENS).map(|number| issuer.token(number)).collect();
    let loads = loads(&names, &tokens)?;

    let upstream = load::upstream().await?;
    let base = Base::new(&names, issuer.jwks(), upstream)?;
    println!("Starting {} Envoys and checking that each does its work", Row::ALL.len());
    let checks = Checks { issuer: &issuer, request: request(&names), bodies: loads.iter().map(|(_, load)| load.body.to_vec()).collect() };
    let mut targets = Vec::new();
    for row in Row::ALL {
        let envoy = row.start(&base).await?;
        checks.run(row, &envoy).await?;
        for (kind, load) in loads.iter().filter(|(kind, _)| kind.measures(row)) {
            load::each_token_once(envoy.port(), load).await.with_context(|| format!("{}, {}", row.title(), kind.title()))?;
        }
        targets.push(Target { row, clock: Clock::of(envoy.process().pid())?, envoy });
    }
    let pids: Vec<i32> = targets.iter().map(|target| target.envoy.process().pid()).collect();
    let cores = std::thread::available_parallelism()?.get();
    let separate = cpu::separate(&pids)?;

    let mut report = Report::default();
    for round in 1..=rounds {
        for (kind, load) in &loads {
            for target in targets.iter().filter(|target| kind.measures(target.row)) {
                let measured = Duration::from_secs_f64(seconds);
                let sample = load::measure(target.envoy.port(), load, target.clock, WARM_UP, measured).await;
                let sample = sample.with_context(|| format!("{}, {}", target.row.title(), kind.title()))?;
                report.add(*kind, target.row, sample);
            }
        }
        println!("round {round} of {rounds} done, {} s", started.elapsed().as_secs());
    }
    for target in &targets {
        check::caches(target.row, &target.envoy).await?;
    }

    let first = targets.first().context("no rows")?;
    let envoy = version(&first.envoy).await?;
    drop(targets);
    println!("Bad requests");
    let strangers = strangers::measure(rounds, seconds / 2.0, &names, &issuer, &base).await?;
    println!("Cold calls");
    let cold = cold::measure(rounds, upstream).await?;
    let setup = Setup {
        rounds,
        seconds,
        warm_up: WARM_UP,
        cores,
        separate,
        token: tokens.first().map_or(0, String::len),
        module: std::fs::metadata(place::module(false))?.len(),
        envoy,
        cold,
        strangers,
    };
    let path = place::root().join("docs/performance.md");
    std::fs::create_dir_all(place::root().join("docs"))?;
    std::fs::write(&path, report.document(&setup)?)?;
    println!("\n{}", report.text(&setup)?);
    println!("Wrote docs/performance.md after {} s.", started.elapsed().as_secs());
    Ok(())
}

/// The number in an environment variable.
fn setting<T: FromStr + PartialOrd + std::fmt::Debug>(name: &str, usual: T, range: std::ops::RangeInclusive<T>) -> Result<T> {
    let Ok(text) = std::env::var(name) else { return Ok(usual) };
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => bail!("{name}={text}: want a number from {:?} to {:?}", range.start(), range.end()),
    }
}

/// Every load: both sizes, with one token and with many.
fn loads(names: &Names, tokens: &[String]) -> Result<Vec<(Kind, Arc<Load>)>> {
    let mut headers = HeaderMap::new();
    for (name, value) in request(names).headers {
        headers.insert(http::HeaderName::try_from(name)?, HeaderValue::from_bytes(&value)?);
    }
    let bearer = |token: &String| HeaderValue::try_from(format!("Bearer {token}"));
    let all: Vec<HeaderValue> = tokens.iter().map(bearer).collect::<Result<_, _>>()?;
    let one: Vec<HeaderValue> = all.first().cloned().into_iter().collect();
    let mut loads = Vec::new();
    for bytes in SIZES {
        let body = body::send_message(bytes)?;
        for values in [&one, &all] {
            let kind = Kind { bytes, tokens: values.len() };
            let load = Load {
                method: http::Method::POST,
                path: names.path.clone(),
                headers: headers.clone(),
                body: body.clone().into(),
                tokens: values.as_slice().into(),
                answers: vec![http::StatusCode::OK],
            };
            loads.push((kind, Arc::new(load)));
        }
    }
    Ok(loads)
}

/// The request of every load, without token and body.
fn request(names: &Names) -> Call {
    Call::new(http::Method::POST, &names.path)
        .host(&names.host)
        .header("user-agent", "attache-bench/1")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header("content-type", "application/json")
        .version("1.0")
}

/// Envoy's version, as it says.
async fn version(envoy: &Envoy) -> Result<String> {
    let info = Call::get("/server_info").send(envoy.admin()).await?.json();
    let version = info["version"].as_str().context("Envoy does not say its version")?;
    Ok(version.split('/').nth(1).unwrap_or(version).to_owned())
}
