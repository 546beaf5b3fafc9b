//! `make bench`: what Attaché costs in a real Envoy, beside the filters that Envoy has of its own.
//!
//! Counts the CPU time of the Envoy process per request, in rounds that visit every row, and what a start takes. `BENCH` names the
//! parts to run (see [`part`]), `PLOTS=1` draws how costs grow. `ROUNDS` and `SECONDS` (of load per row, load and round) change how
//! long it takes. Writes its sections of `docs/performance.md`, unless the machine is not quiet.

mod body;
mod check;
mod cold;
mod cost;
mod cpu;
mod document;
mod floor;
mod growth;
mod kind;
mod load;
mod noise;
mod outbound;
mod part;
mod plot;
mod reach;
mod rounds;
mod rows;
mod samples;
mod spread;
mod start;
mod strangers;
mod table;
mod tokens;
mod users;
mod users_flow;
mod users_server;
mod users_setup;

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use attache_mesh::envoy::Envoy;
use attache_mesh::http::Call;
use attache_mesh::place;
use attache_mesh::process::{self, EndAll};

use crate::document::Setup;
use crate::growth::Growth;
use crate::kind::{Kind, Loads, request};
use crate::noise::Refused;
use crate::part::Part;
use crate::rows::{Base, Names, Row};
use crate::start::Starts;
use crate::tokens::Issuer;

/// Rounds of starts: each takes long, and fewer could not show that the machine is quiet.
const STARTS: usize = 6;

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

async fn run() -> Result<()> {
    process::end_on_signal(130).await?;
    let rounds: usize = setting("ROUNDS", 12, 1..=1000)?;
    let seconds: f64 = setting("SECONDS", 0.6, 0.05..=60.0)?;
    let parts = Part::asked()?;
    let has = |part| parts.contains(&part);
    let begin = Instant::now();
    eprintln!("Parts: {}", parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", "));

    let names = Names::load()?;
    let issuer = Issuer::new(&names.issuer, &names.audience, &names.scope)?;
    let loads = Loads::new(&names, &issuer, has(Part::Reach) || has(Part::Growth))?;
    let upstream = load::upstream().await?;
    let base = Base::new(&names, issuer.jwks(), upstream)?;
    let setup = Setup {
        rounds,
        seconds,
        cores: std::thread::available_parallelism()?.get(),
        envoy: version(&base).await?,
        module: std::fs::metadata(place::module(false))?.len(),
    };
    let (mut refused, mut sections) = (Refused::default(), Vec::new());
    println!("{}", setup.line());
    let mut add = |part: Part, title: &str, table: &table::Table, text: String| {
        println!("\n{title}:\n{}", table::text(table));
        sections.push((part, text));
    };

    // First: later Envoys are bound to a core, and so is this program.
    let mut starts = Starts::default();
    if has(Part::Start) {
        let request = request(&names).bearer(&issuer.token(0)).body(loads.body(Kind::Small)?);
        starts = start::measure(rounds.min(STARTS), &base, &request, &loads.of(Kind::Small)?).await?;
        let table = starts.table()?;
        add(Part::Start, "Starts", &table, table::markdown(&table));
    }
    if has(Part::Cost) || has(Part::Modules) || has(Part::Reach) {
        let checks = check::Checks::new(&issuer, request(&names), &loads)?;
        let samples = rounds::measure(rounds, seconds, &parts, &base, &loads, &checks).await?;
        std::fs::write(place::logs().join("samples.csv"), samples.csv())?;
        eprintln!("Envoy was busy for at least {:.0} % of every measured time.", samples.least_busy() * 100.0);
        if has(Part::Reach) {
            let table = reach::table(&samples, &starts, &mut refused)?;
            add(Part::Reach, "Goals", &table, table::markdown(&table));
        }
        if has(Part::Cost) {
            let mut text = String::new();
            let tables = cost::tables(&samples, Part::Cost, &mut refused)?;
            for (title, table) in &tables {
                text += &format!("### {title}\n\n{}\n", table::markdown(table));
                println!("\n{title}:\n{}", table::text(table));
            }
            sections.push((Part::Cost, text));
        }
        if has(Part::Modules) {
            for (title, table) in &cost::tables(&samples, Part::Modules, &mut refused)? {
                println!("\nBuilds of the module, {title}:\n{}", table::text(table));
            }
        }
    }
    if has(Part::Strangers) {
        eprintln!("Bad requests");
        let table = strangers::measure(rounds, seconds / 2.0, &names, &issuer, &base).await?.table(&mut refused)?;
        println!("\nWhat a bad request costs, relative to a good one:\n{}", table::text(&table));
        sections.push((Part::Strangers, table::markdown(&table)));
    }
    if has(Part::Cold) {
        eprintln!("Cold calls");
        let table = cold::measure(rounds, upstream).await?;
        println!("\nCold calls, milliseconds behind the token endpoint's answer:\n{}", table::text(&table));
        sections.push((Part::Cold, table::markdown(&table)));
    }
    if has(Part::Users) {
        eprintln!("Users");
        let users = users::measure(rounds, seconds, upstream, &mut refused).await?;
        println!("\nCalls as their users:\n{}", users.text());
        sections.push((Part::Users, users.markdown()));
    }
    let mut growth = None;
    if has(Part::Growth) {
        eprintln!("Growth");
        let measured = growth::measure(rounds, seconds, &base, &loads).await?;
        if let Some(table) = measured.table(&mut refused)? {
            println!("\nHow a request's cost grows:\n{}", table::text(&table));
            sections.push((Part::Growth, format!("{}\n{}", table::markdown(&table), Growth::images())));
        }
        growth = Some(measured);
    }
    eprintln!("Measured for {} s.", begin.elapsed().as_secs());
    if !refused.is_empty() {
        bail!(refused.advice());
    }
    if rounds < spread::FEWEST {
        eprintln!("Fewer than {} rounds: nothing was written to docs/.", spread::FEWEST);
        return Ok(());
    }
    if let Some(growth) = growth {
        growth.draw()?;
    }
    if !sections.is_empty() {
        document::write(&sections, &setup)?;
        eprintln!("Wrote docs/performance.md.");
    }
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

/// Envoy's version, as one says.
async fn version(base: &Base) -> Result<String> {
    let envoy: Envoy = Row::Bare.start(base).await?;
    let info = Call::get("/server_info").send(envoy.admin()).await?.json();
    let version = info["version"].as_str().context("Envoy does not say its version")?;
    Ok(version.split('/').nth(1).unwrap_or(version).to_owned())
}
