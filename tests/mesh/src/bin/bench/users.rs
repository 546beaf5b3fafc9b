//! Calls that go as their users: what one costs beside a call of `passthrough`, with grants in memory and in etcd; what Envoy needs
//! for many users; and what becomes of a thousand grants that end in one moment.
//!
//! Users agree by the filter's own pages, over plain HTTP and without a browser. The partner's authorization server is a small one in
//! this program (`users_server.rs`): a real one takes longer for a code than the filter does.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::Envoy;
use attache_mesh::etcd::{Etcd, Options as EtcdOptions};
use attache_mesh::wait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::body;
use crate::cpu::{self, Clock};
use crate::kind::{SMALL, plain};
use crate::load::{self, Load, Sample, Visited};
use crate::noise::{self, Refused};
use crate::spread::Spread;
use crate::table::{self, Table};
use crate::users_flow::{self, Agreeing};
use crate::users_server::PartnerServer;
use crate::users_setup::{Caller, HR, PASS, Place, Way, start};

/// Users of the larger load of each row: fewer than a worker remembers.
const SOME: usize = 1000;
/// Users whose grants lie in memory, and more than a worker remembers.
const IN_MEMORY: usize = 10_000;
/// Users whose grants lie in etcd, unless `USERS` says it.
const IN_ETCD: usize = 100_000;
/// Grants that end at once.
const STORM: usize = 1000;
/// Calls of each of their users at that moment.
const EACH: usize = 2;
/// How long they last: until all have agreed and all calls are ready.
const UNTIL_STORM: Duration = Duration::from_secs(25);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// A load of the comparison.
struct Row {
    title: String,
    /// Which Envoy.
    at: usize,
    load: Arc<Load>,
    costs: Vec<f64>,
}

/// All that is measured of users.
pub struct Users {
    pub cost: Table,
    pub many: Table,
    pub storm: Table,
}

impl Users {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let part = |title: &str, table: &Table| format!("### {title}\n\n{}\n", table::markdown(table));
        let titles = [("A call as its user", &self.cost), ("Many users", &self.many), ("Grants that end at once", &self.storm)];
        titles.map(|(title, table)| part(title, table)).concat()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        [&self.cost, &self.many, &self.storm].map(table::text).join("\n")
    }
}

/// Measures all of it.
pub async fn measure(rounds: usize, seconds: f64, upstream: u16, refused: &mut Refused) -> Result<Users> {
    let count = std::env::var("USERS").ok().map(|text| text.parse()).transpose().context("USERS")?.unwrap_or(IN_ETCD);
    let begin = Instant::now();
    let callers = Caller::new(count.max(SOME))?;
    eprintln!("  {} tokens, {} s", callers.tokens.len(), begin.elapsed().as_secs());
    let server = PartnerServer::start(Duration::from_secs(6 * 3600)).await?;
    let etcd = Etcd::start(EtcdOptions { quota: Some(4 << 30), ..EtcdOptions::default() }).await?;
    let at = |way, workers| Place { way, workers, upstream, server: server.port };
    let memory = start("bench-users-memory", &at(Way::Memory, 1), &callers).await?;
    let shared = start("bench-users-etcd", &at(Way::Etcd(etcd.ports()), 1), &callers).await?;
    let bare = start("bench-users-bare", &at(Way::Bare, 1), &callers).await?;
    let storm = storm(&at(Way::Memory, 2), &callers).await?;
    let many = vec![
        many(&memory, &callers, IN_MEMORY.min(callers.tokens.len()), "memory", None, &begin).await?,
        many(&shared, &callers, count, "etcd", Some(&etcd), &begin).await?,
    ];
    let mut table =
        table::head(["users", "store", "before, MiB", "after they agreed, MiB", "after each called, MiB", "ms a consent", "store, MiB"]);
    table.extend(many);
    let cost = cost(rounds, seconds, [&bare, &memory, &shared], &callers, refused).await?;
    Ok(Users { cost, many: table, storm })
}

fn load(callers: &Caller, host: &str, users: std::ops::Range<usize>) -> Result<Arc<Load>> {
    let mut headers = HeaderMap::new();
    for (name, value) in plain("/").host(host).headers {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::from_bytes(&value)?);
    }
    let tokens: Arc<[HeaderValue]> = callers.tokens.get(users).context("too few tokens")?.to_vec().into();
    let (method, body) = (Method::POST, body::send_message(SMALL)?.into());
    Ok(Arc::new(Load { method, path: "/".into(), headers, body, tokens, answers: vec![StatusCode::OK], next: AtomicUsize::new(0) }))
}

/// Columns: load, CPU time, cost over the bare router, and that relative to `passthrough` with as many tokens.
async fn cost(rounds: usize, seconds: f64, envoys: [&Envoy; 3], callers: &Caller, refused: &mut Refused) -> Result<Table> {
    let row = |title: &str, at: usize, host: &str, users: std::ops::Range<usize>| {
        anyhow::Ok(Row { title: title.to_owned(), at, load: load(callers, host, users)?, costs: Vec::new() })
    };
    let all = IN_MEMORY.min(callers.tokens.len());
    let mut rows = vec![
        row("bare router", 0, PASS, 0..1)?,
        row("passthrough, 1 user", 1, PASS, 0..1)?,
        row("passthrough, 1 user, again", 1, PASS, 0..1)?,
        row("user_passthrough, memory, 1 user", 1, HR, 0..1)?,
        row("user_passthrough, etcd, 1 user", 2, HR, 0..1)?,
        row(&format!("passthrough, {SOME} users"), 1, PASS, 0..SOME)?,
        row(&format!("user_passthrough, memory, {SOME} users"), 1, HR, 0..SOME)?,
        row(&format!("user_passthrough, etcd, {SOME} users"), 2, HR, 0..SOME)?,
        row(&format!("passthrough, {all} users"), 1, PASS, 0..all)?,
        row(&format!("user_passthrough, memory, {all} users"), 1, HR, 0..all)?,
    ];
    cpu::separate(&envoys.map(|envoy| envoy.process().pid()))?;
    let clocks = envoys.iter().map(|envoy| Clock::of(envoy.process().pid())).collect::<Result<Vec<_>>>()?;
    for row in &rows {
        let envoy = envoys.get(row.at).context("no such Envoy")?;
        load::each_token_once(envoy.port(), &row.load).await.with_context(|| row.title.clone())?;
    }
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        let mut visited = Vec::new();
        for row in &rows {
            let (envoy, clock) = (envoys.get(row.at).context("no Envoy")?, clocks.get(row.at).context("no clock")?);
            visited.push(Visited { name: row.title.clone(), port: envoy.port(), load: &row.load, clock: *clock });
        }
        let samples = load::round(&visited, Duration::from_secs_f64(seconds)).await?;
        for (row, sample) in rows.iter_mut().zip(&samples) {
            row.costs.push(Sample::cost(sample));
        }
    }
    // Which row each is compared with.
    let by = [None, Some(1), Some(1), Some(1), Some(1), Some(5), Some(5), Some(5), Some(8), Some(8)];
    let of = |index: usize| rows.get(index).map(|row| row.costs.as_slice()).context("no such row");
    let relative = |row: usize, by: usize, less: bool| {
        let bare = of(0)?.iter().map(|bare| if less { *bare } else { 0.0 });
        let ratios = of(row)?.iter().zip(of(by)?).zip(bare).map(|((row, by), bare)| (row - bare) / (by - bare));
        Spread::of(ratios).context("no rounds")
    };
    let noise = relative(2, 1, false)?.off(1.0);
    let quiet = refused.allows("users", noise, noise::MOST);
    let mut table = table::head(["calls of", "CPU µs/call", "min..max", "cost µs", "call ÷ passthrough", "min..max", "cost ÷ passthrough"]);
    for (index, (row, by)) in rows.iter().zip(by).enumerate() {
        let [micros, extremes] = Spread::of(row.costs.iter().copied()).context("no rounds")?.micros();
        let added = Spread::of(row.costs.iter().zip(of(0)?).map(|(row, bare)| row - bare)).context("no rounds")?;
        let mut cells = vec![row.title.clone(), micros, extremes, format!("{:.1}", added.median)];
        cells.extend(match by.filter(|_| quiet) {
            Some(by) => {
                let [ratio, spread] = relative(index, by, false)?.ratio();
                let [cost, _] = relative(index, by, true)?.ratio();
                [ratio, spread, cost]
            }
            None => ["-".to_owned(), String::new(), "-".to_owned()],
        });
        table.push(cells);
    }
    Ok(table)
}

fn rss(envoy: &Envoy) -> Result<f64> {
    Ok(envoy.process().memory("VmRSS")? as f64 / MEBIBYTE)
}

/// `count` users agree, and then each calls.
async fn many(envoy: &Envoy, callers: &Caller, count: usize, store: &str, etcd: Option<&Etcd>, begin: &Instant) -> Result<Vec<String>> {
    let before = rss(envoy)?;
    let start = Instant::now();
    let agreeing = Agreeing { port: envoy.port(), tokens: callers.tokens.get(..count).context("too few tokens")? };
    users_flow::all(&agreeing).await.with_context(|| format!("{count} users who agree, {store}"))?;
    let each = start.elapsed().as_secs_f64() * 1e3 / count as f64;
    let agreed = rss(envoy)?;
    load::each_token_once(envoy.port(), &load(callers, HR, 0..count)?).await?;
    let called = rss(envoy)?;
    let lies = match etcd {
        Some(etcd) => format!("{:.0}", etcd.memory()? as f64 / MEBIBYTE),
        None => "in Envoy".to_owned(),
    };
    eprintln!("  {count} users in {store}, {} s", begin.elapsed().as_secs());
    let mib = |value: f64| format!("{value:.0}");
    Ok(vec![count.to_string(), store.to_owned(), mib(before), mib(agreed), mib(called), format!("{each:.1}"), lies])
}

/// Grants that all end at one moment, and calls of all their users then.
async fn storm(at: &Place, callers: &Caller) -> Result<Table> {
    let ends = Instant::now() + UNTIL_STORM;
    let server = PartnerServer::ending(ends).await?;
    let envoy = start("bench-users-storm", &Place { server: server.port, ..at.clone() }, callers).await?;
    let tokens = callers.tokens.get(..STORM).context("too few tokens")?;
    users_flow::all(&Agreeing { port: envoy.port(), tokens }).await?;
    ensure!(Instant::now() < ends, "{STORM} users took longer to agree than their tokens last");
    // From now on tokens last.
    server.lasts(Duration::from_secs(3600));
    wait::until("the end of all tokens", UNTIL_STORM * 2, async || Ok((Instant::now() > ends + Duration::from_secs(1)).then_some(())))
        .await?;
    let before = server.refreshed();
    let load = load(callers, HR, 0..STORM)?;
    let (begin, cpu) = (Instant::now(), envoy.process().cpu_time()?);
    let times = users_flow::together(envoy.port(), &load, STORM * EACH).await?;
    let (whole, cpu) = (begin.elapsed(), envoy.process().cpu_time()?.saturating_sub(cpu));
    let [renewals, tokens, again] = server.refreshed();
    let renewals = renewals - before[0];
    ensure!(renewals == STORM && tokens == STORM && again == 0, "{renewals} renewals with {tokens} refresh tokens, {again} sent twice");
    let millis = |at: usize| times.get(at).map_or_else(String::new, |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1e3));
    let mut table = table::head([
        "grants",
        "calls at once",
        "renewals",
        "refresh tokens sent twice",
        "median, ms",
        "99 of 100, ms",
        "all, ms",
        "CPU of Envoy, ms",
    ]);
    let last = times.len().saturating_sub(1);
    table.push(vec![
        STORM.to_string(),
        (STORM * EACH).to_string(),
        renewals.to_string(),
        again.to_string(),
        millis(last / 2),
        millis(last * 99 / 100),
        format!("{:.0}", whole.as_secs_f64() * 1e3),
        format!("{:.0}", cpu.as_secs_f64() * 1e3),
    ]);
    Ok(table)
}
