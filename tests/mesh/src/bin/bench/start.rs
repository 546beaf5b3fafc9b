//! What a start takes: time until the first 200, CPU time until then and until it is quiet again, and memory with one worker and more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::port::Reserved;
use attache_mesh::wait;

use crate::cpu::Clock;
use crate::load::{self, Load};
use crate::rows::{Base, Row};
use crate::spread::Spread;
use crate::table::{self, Table};

/// How often the first answer is asked for.
const POLL: Duration = Duration::from_millis(2);
/// No start takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// A process that uses less of a look for itself is quiet.
const QUIET: Duration = Duration::from_millis(8);
const LOOK: Duration = Duration::from_millis(250);
/// Times that each connection of the load asks after the first answer, so that every worker has work.
const TIMES: usize = 10;
/// The most workers.
const MANY: u32 = 8;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Started {
    row: Row,
    workers: u32,
    /// Of the same: what two of them differ by is noise.
    copy: u32,
}

const fn started(row: Row, workers: u32, copy: u32) -> Started {
    Started { row, workers, copy }
}

const BARE: Started = started(Row::Bare, 1, 1);
const BARE_AGAIN: Started = started(Row::Bare, 1, 2);
const BARE_MANY: Started = started(Row::Bare, MANY, 1);
const ATTACHE: Started = started(Row::Attache, 1, 1);
const ATTACHE_MANY: Started = started(Row::Attache, MANY, 1);
/// In the order of each round.
const ALL: [Started; 8] =
    [BARE, ATTACHE, BARE_AGAIN, started(Row::Native, 1, 1), started(Row::Bare, 2, 1), started(Row::Attache, 2, 1), BARE_MANY, ATTACHE_MANY];

/// One start.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Milliseconds until the first 200.
    first: f64,
    /// Seconds of CPU time until then.
    cpu_first: f64,
    /// Until it is quiet again, after some requests.
    cpu_quiet: f64,
    /// MiB of memory, then.
    rss: f64,
}

/// All starts, in the order of the rounds.
#[derive(Default)]
pub struct Starts {
    measured: Vec<(Started, Measured)>,
}

/// Starts all of them in `rounds` rounds. `request` gets a 200 from each, as does `load`.
pub async fn measure(rounds: usize, base: &Base, request: &Call, load: &Arc<Load>) -> Result<Starts> {
    let mut starts = Starts::default();
    for round in 1..=rounds {
        for started in ALL {
            eprintln!("  start, round {round} of {rounds}: {}, workers: {}", started.row.title(), started.workers);
            let measured = one(started, base, request, load).await;
            starts.measured.push((started, measured.with_context(|| format!("start of {started:?}"))?));
        }
    }
    Ok(starts)
}

async fn one(started: Started, base: &Base, request: &Call, load: &Arc<Load>) -> Result<Measured> {
    let port = Reserved::new()?;
    let mut file = started.row.file(base)?;
    file.listen_on(&port)?;
    let begin = Instant::now();
    let first = async {
        loop {
            if request.clone().send(port.port()).await.is_ok_and(|reply| reply.status == 200) {
                return begin.elapsed();
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let options = Options::default().workers(started.workers);
    let name = format!("bench-start-{:?}-{}", started.row, started.workers).to_lowercase();
    let envoy = Envoy::start(&name, &file, options);
    // The first 200 may come before or after Envoy's own word that it is ready.
    let mut envoy = std::pin::pin!(envoy);
    let mut first = std::pin::pin!(tokio::time::timeout(LIMIT, first));
    let (envoy, first, cpu_first) = tokio::select! {
        first = &mut first => {
            let first = first.context("no 200")?;
            let envoy = envoy.await?;
            let cpu = Clock::of(envoy.process().pid())?.read()?;
            (envoy, first, cpu)
        }
        envoy = &mut envoy => {
            let envoy = envoy?;
            let first = first.await.context("no 200")?;
            let cpu = Clock::of(envoy.process().pid())?.read()?;
            (envoy, first, cpu)
        }
    };
    let clock = Clock::of(envoy.process().pid())?;
    for _ in 0..TIMES {
        load::once(envoy.port(), load).await?;
    }
    let mut before = clock.read()?;
    let cpu_quiet = wait::until("Envoy to be quiet", LIMIT, async || {
        tokio::time::sleep(LOOK).await;
        let now = clock.read()?;
        let used = now.saturating_sub(before);
        before = now;
        Ok((used < QUIET).then_some(now))
    })
    .await?;
    let rss = envoy.process().memory("VmRSS")? as f64 / MEBIBYTE;
    Ok(Measured { first: first.as_secs_f64() * 1e3, cpu_first: cpu_first.as_secs_f64(), cpu_quiet: cpu_quiet.as_secs_f64(), rss })
}

impl Starts {
    fn of(&self, started: Started, value: fn(&Measured) -> f64) -> impl Iterator<Item = f64> {
        self.measured.iter().filter(move |(found, _)| *found == started).map(move |(_, measured)| value(measured))
    }

    fn differ(&self, more: Started, less: Started, value: fn(&Measured) -> f64) -> impl Iterator<Item = f64> {
        self.of(more, value).zip(self.of(less, value)).map(|(more, less)| more - less)
    }

    /// Milliseconds that the first 200 comes later than from a bare router.
    pub fn first_over_bare(&self) -> Result<Spread> {
        Spread::of(self.differ(ATTACHE, BARE, |one| one.first)).context("no starts")
    }

    /// By how much two bare routers differ there.
    pub fn first_noise(&self) -> Result<f64> {
        Ok(Spread::of(self.differ(BARE_AGAIN, BARE, |one| one.first)).context("no starts")?.off(0.0))
    }

    /// MiB that one worker takes more than a bare router with one.
    pub fn rss_over_bare(&self) -> Result<Spread> {
        Spread::of(self.differ(ATTACHE, BARE, |one| one.rss)).context("no starts")
    }

    /// By how much two bare routers differ there.
    pub fn rss_noise(&self) -> Result<f64> {
        Ok(Spread::of(self.differ(BARE_AGAIN, BARE, |one| one.rss)).context("no starts")?.off(0.0))
    }

    /// MiB that each further worker takes more than one of a bare router.
    pub fn rss_each_further(&self) -> Result<Spread> {
        let many = self.differ(ATTACHE_MANY, BARE_MANY, |one| one.rss);
        let one = self.differ(ATTACHE, BARE, |one| one.rss);
        Spread::of(many.zip(one).map(|(many, one)| (many - one) / f64::from(MANY - 1))).context("no starts")
    }

    /// By how much that can differ without a reason.
    pub fn rss_further_noise(&self) -> Result<f64> {
        Ok(self.rss_noise()? / f64::from(MANY - 1))
    }

    /// A line for each that was started.
    pub fn table(&self) -> Result<Table> {
        let mut table = table::head([
            "configuration",
            "workers",
            "first 200, ms",
            "min..max",
            "CPU seconds until then",
            "until quiet",
            "RSS, MiB",
            "min..max",
        ]);
        for started in ALL {
            let spread = |value| Spread::of(self.of(started, value)).context("no starts");
            let (first, rss) = (spread(|one| one.first)?, spread(|one| one.rss)?);
            let again = if started.copy > 1 { ", again" } else { "" };
            table.push(vec![
                format!("{}{again}", started.row.title()),
                started.workers.to_string(),
                format!("{:.0}", first.median),
                first.extremes(0),
                format!("{:.2}", spread(|one| one.cpu_first)?.median),
                format!("{:.2}", spread(|one| one.cpu_quiet)?.median),
                format!("{:.1}", rss.median),
                rss.extremes(1),
            ]);
        }
        Ok(table)
    }
}
