//! Updates under load, of the configuration and of the module, through LDS and through ECDS: no request is lost, no stream is cut, and
//! every answer is that of a configuration which counted between the request and the answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::envoy::Options;
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::event_stream::EventStream;
use attache_mesh::http::{Call, Reply, rpc};
use attache_mesh::live::{Live, Way};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, raw, wait};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::suite::{Suite, works};

/// Updates of one run. Each is waited for.
const UPDATES: u64 = 9;
/// Answers in a row, on connections of their own, after which an update counts on every worker.
const IN_A_ROW: usize = 20;
/// Pause between two events of the streams.
const EVENT: Duration = Duration::from_millis(50);

pub fn add(suite: &mut Suite) {
    suite.add("live_load::updates_of_listeners_lose_no_request_and_cut_no_stream", async |mesh| run(mesh, Way::Listeners).await);
    suite.add("live_load::updates_of_the_filter_lose_no_request_and_cut_no_stream", async |mesh| run(mesh, Way::Filter).await);
    suite.add("live_load::a_stream_ends_with_the_drain_time_of_listeners_and_never_with_the_filters", drained);
    suite.add("live_load::a_file_that_is_no_module_is_refused_and_the_old_one_serves_on", no_module);
    suite.add("live_load::before_the_first_good_filter_nothing_passes", nothing_passes);
}

/// What the callers share.
struct Course {
    port: u16,
    token: String,
    way: Way,
    /// The newest update that is in the file.
    published: AtomicU64,
    /// The newest update by which every new connection is answered.
    settled: AtomicU64,
    over: AtomicBool,
    /// Requests by kind of caller, all of them answered.
    answered: [AtomicU64; KINDS.len()],
    /// Connections that Envoy closed after an answer, or told to make no further streams.
    closed: AtomicU64,
}

/// The kinds of callers.
const KINDS: [&str; 4] = ["own connections", "kept HTTP/1.1", "kept HTTP/2", "slow bodies"];

impl Course {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn call(&self) -> Call {
        send_1_0("load").bearer(&self.token)
    }

    /// The update by which a request was answered that was sent when `floor` counted.
    fn judge(&self, kind: usize, floor: u64, reply: &Reply) -> Result<u64> {
        let number = number(reply).with_context(|| KINDS[kind])?;
        let newest = self.published.load(Ordering::SeqCst);
        ensure!((floor..=newest).contains(&number), "{}: answered by update {number}, not one of {floor} to {newest}", KINDS[kind]);
        self.answered[kind].fetch_add(1, Ordering::SeqCst);
        Ok(number)
    }

    fn floor(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }
}

/// The update by which a request was answered: the agent's name has it.
fn number(reply: &Reply) -> Result<u64> {
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let echo = reply.echo().with_context(|| format!("no echo in {}", reply.text()))?;
    ensure!(echo.told("client").len() == 1, "the agent saw {:?}", echo.0);
    let agents = echo.told("agent");
    let name = agents.first().context("no agent in x-attache")?;
    Ok(name.rsplit('-').next().unwrap_or_default().parse()?)
}

fn named(number: u64) -> Value {
    json!(format!("expense-{number}"))
}

/// Each request on a connection of its own.
async fn fresh(course: Arc<Course>) -> Result<()> {
    while !course.is_over() {
        let floor = course.floor();
        let reply = course.call().send(course.port).await?;
        course.judge(0, floor, &reply)?;
    }
    Ok(())
}

/// One request after the other on one connection, for as long as Envoy keeps it.
async fn kept(course: Arc<Course>) -> Result<()> {
    let call = course.call();
    let mut request = format!("POST {} HTTP/1.1\r\nhost: expense.example.com\r\n", call.path).into_bytes();
    for (name, value) in &call.headers {
        request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let body = call.body.unwrap_or_default();
    request.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
    request.extend_from_slice(&body);
    let mut connection = raw::Kept::new(course.port);
    let mut floor = course.floor();
    while !course.is_over() {
        // A connection keeps its listener's configuration, and the filter's changes under it.
        floor = if course.way == Way::Filter { course.floor() } else { floor };
        let reply = connection.ask(&request).await?;
        let closes = reply.header("connection") == Some("close");
        floor = course.judge(1, floor, &reply)?;
        if closes {
            course.closed.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// The same over HTTP/2.
async fn kept_http2(course: Arc<Course>) -> Result<()> {
    while !course.is_over() {
        let stream = TcpStream::connect(("127.0.0.1", course.port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let mut floor = course.floor();
        while !course.is_over() {
            floor = if course.way == Way::Filter { course.floor() } else { floor };
            // Envoy said that this connection takes no more; nothing was sent.
            if std::future::poll_fn(|context| sender.poll_ready(context)).await.is_err() {
                course.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            let reply = raw::http2_on(&mut sender, course.port, &course.call(), 64, &[]).await?;
            floor = course.judge(2, floor, &reply)?;
        }
        driver.abort();
    }
    Ok(())
}

/// Requests whose bodies take half a second: updates come between head and end.
async fn slow(course: Arc<Course>) -> Result<()> {
    while !course.is_over() {
        let call = course.call();
        let body = call.body.clone().unwrap_or_default();
        let mut headers: Vec<(&str, &[u8])> = vec![("host", b"expense.example.com"), ("transfer-encoding", b"chunked")];
        headers.extend(call.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let pieces = [vec![raw::head(&format!("POST {AGENT}"), &headers)], raw::chunked(&body, body.len().div_ceil(4), &[])].concat();
        let floor = course.floor();
        let reply = raw::http1_slowly(course.port, &pieces, Duration::from_millis(100)).await?;
        course.judge(3, floor, &reply)?;
    }
    Ok(())
}

/// A stream of events, read until the event `last` comes; how many came.
async fn follow(mut events: EventStream, last: Arc<AtomicU64>) -> Result<u64> {
    let mut before = None;
    let mut count = 0;
    loop {
        let event = events.next().await?.with_context(|| format!("the stream ended after {count} events"))?;
        let number = event["number"].as_u64().context("no number")?;
        ensure!(before.is_none_or(|before: u64| before + 1 == number), "event {number} came after {before:?}");
        (before, count) = (Some(number), count + 1);
        if number == last.load(Ordering::SeqCst) {
            return Ok(count);
        }
    }
}

/// The agent's end of the streams.
async fn tell(agent: Arc<StandIn>, course: Arc<Course>, last: Arc<AtomicU64>) -> Result<()> {
    let mut number = 0;
    loop {
        let ends = course.is_over();
        number += 1;
        if ends {
            last.store(number, Ordering::SeqCst);
        }
        agent.more(format!("data: {{\"number\": {number}}}\n\n").into_bytes());
        if ends {
            return Ok(());
        }
        tokio::time::sleep(EVENT).await;
    }
}

fn subscription(token: &str) -> Call {
    let call = Call::post(AGENT, &rpc(json!("s"), "tasks/resubscribe", json!({"id": "t"}))).version("0.3");
    call.header("accept", "text/event-stream").bearer(token)
}

/// The module of update `number`: three times another one, at last the first.
fn module_of(number: u64, relabelled: &Path) -> PathBuf {
    match number {
        3 | 4 => place::module(true),
        5 | 6 => relabelled.to_path_buf(),
        _ => place::module(false),
    }
}

/// Which build answers: only the test build looks at this header.
async fn is_test_build(port: u16) -> Result<bool> {
    Ok(Call::get("/").header("x-attache-test-verify", "none").send(port).await?.status == 403)
}

async fn settle(course: &Course, number: u64) -> Result<()> {
    let mut row = 0;
    wait::until(&format!("update {number} to count"), Duration::from_secs(120), async || {
        let reply = course.call().send(course.port).await?;
        row = if self::number(&reply)? == number { row + 1 } else { 0 };
        Ok((row >= IN_A_ROW).then_some(()))
    })
    .await?;
    course.settled.store(number, Ordering::SeqCst);
    Ok(())
}

fn inbound(mesh: &Mesh, agent: &StandIn) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    file.cluster("expense_v0_3", agent.port)?;
    file.edit_plugin(|plugin| plugin["agents"][0]["name"] = named(0))?;
    Ok(file)
}

async fn run(mesh: &'static Mesh, way: Way) -> Result<()> {
    let agent = Arc::new(StandIn::start(Answer::events()).await?);
    let live = Live::by(way, inbound(mesh, &agent)?, "live-load", Options::default().workers(2)).await?;
    let port = live.envoy.port();
    let token = mesh.token().await?;
    works(port, &token).await?;
    let zero = || AtomicU64::new(0);
    let answered = std::array::from_fn(|_| zero());
    let over = AtomicBool::new(false);
    let course = Arc::new(Course { port, token, way, published: zero(), settled: zero(), over, answered, closed: zero() });
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let mut streams = JoinSet::new();
    let mut callers = JoinSet::new();
    callers.spawn(fresh(course.clone()));
    callers.spawn(kept(course.clone()));
    callers.spawn(kept_http2(course.clone()));
    callers.spawn(slow(course.clone()));
    callers.spawn(tell(agent.clone(), course.clone(), last.clone()));
    let relabelled = place::relabelled()?;
    let drive = async {
        for number in 1..=UPDATES {
            for http2 in [false, true] {
                streams.spawn(follow(EventStream::open(port, &subscription(&course.token), http2).await?, last.clone()));
            }
            course.published.store(number, Ordering::SeqCst);
            live.change_file(|file| {
                file.module(&module_of(number, &relabelled))?;
                file.edit_plugin(|plugin| plugin["agents"][0]["name"] = named(number))
            })?;
            settle(&course, number).await?;
            let test_build = is_test_build(port).await?;
            ensure!(test_build == (module_of(number, &relabelled) == place::module(true)), "update {number}: another module answers");
        }
        anyhow::Ok(())
    };
    // A caller that ends before the course is over has failed.
    tokio::select! {
        driven = drive => driven?,
        early = callers.join_next() => match early {
            Some(ended) => { ended??; bail!("a caller ended early") }
            None => bail!("no callers"),
        },
    }
    course.over.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let mut events = 0;
    let count = streams.len();
    while let Some(ended) = streams.join_next().await {
        events += ended??;
    }
    ensure!(live.refused().await? == 0, "an update was refused");
    ensure!(live.envoy.stat("downstream_cx_destroy_local_active_rq").await? == 0, "Envoy closed a connection with a request on it");
    let answered: BTreeMap<_, _> = KINDS.into_iter().zip(course.answered.iter().map(|count| count.load(Ordering::SeqCst))).collect();
    ensure!(answered.values().all(|count| *count >= UPDATES), "{answered:?}");
    let closed = course.closed.load(Ordering::SeqCst);
    let in_place = live.envoy.stat("listener_manager.listener_in_place_updated").await?;
    match way {
        Way::Listeners => ensure!(in_place == UPDATES, "{in_place} of {UPDATES} updates were in place"),
        Way::Filter => ensure!(in_place == 0 && closed == 0, "{in_place} updates of listeners, {closed} connections closed"),
    }
    println!("{way:?}: {UPDATES} updates, answered: {answered:?}, {count} streams with {events} events, {closed} connections closed");
    Ok(())
}

/// A stream that is open when an update comes, until Envoy cuts it; or an error when it ends otherwise.
async fn drained(mesh: &'static Mesh) -> Result<()> {
    for way in [Way::Listeners, Way::Filter] {
        let agent = StandIn::start(Answer::events()).await?;
        let options = Options::default().argument("--drain-time-s").argument("2");
        let live = Live::by(way, inbound(mesh, &agent)?, "live-drain", options).await?;
        let port = live.envoy.port();
        let token = mesh.token().await?;
        let mut events = EventStream::open(port, &subscription(&token), true).await?;
        live.change(|plugin| plugin["agents"][0]["name"] = named(1))?;
        wait::until("the update to count", Duration::from_secs(60), async || {
            let reply = send_1_0("drain").bearer(&token).send(port).await?;
            Ok((number(&reply)? == 1).then_some(()))
        })
        .await?;
        if way == Way::Filter {
            // Twice the time in which the other way would have cut it.
            tokio::time::sleep(Duration::from_secs(4)).await;
            agent.more(b"data: {\"number\": 1}\n\n".to_vec());
            ensure!(events.next().await?.is_some_and(|event| event["number"] == 1), "the stream was cut");
            continue;
        }
        let begin = Instant::now();
        ensure!(!matches!(events.next().await, Ok(Some(_))), "an event came from an agent that sent none");
        // By the update's own clock: it came before this.
        let cut = begin.elapsed();
        ensure!(cut < Duration::from_secs(30), "the stream of a listener that is gone was cut after {cut:?}");
        ensure!(agent.endless() == 0 || gone(&agent).await, "the agent's stream goes on");
    }
    Ok(())
}

/// Whether the agent's last stream ends.
async fn gone(agent: &StandIn) -> bool {
    let ended = wait::until("the agent's side to end", Duration::from_secs(20), async || Ok((agent.endless() == 0).then_some(())));
    ended.await.is_ok()
}

async fn no_module(mesh: &'static Mesh) -> Result<()> {
    let bad = place::logs().join("no-module.wasm");
    std::fs::write(&bad, b"\0asm\x01\0\0\0 and no more")?;
    let token = mesh.token().await?;
    for way in [Way::Listeners, Way::Filter] {
        let live = Live::by(way, mesh.inbound_file()?, "live-no-module", Options::default()).await?;
        works(live.envoy.port(), &token).await?;
        for (count, path) in [bad.clone(), place::logs().join("nowhere.wasm")].into_iter().enumerate() {
            live.change_file(|file| file.module(&path))?;
            wait::until("the update to be refused", Duration::from_secs(60), async || {
                Ok((live.refused().await? > u64::try_from(count)?).then_some(()))
            })
            .await?;
            works(live.envoy.port(), &token).await?;
            let reply = send_1_0("x").send(live.envoy.port()).await?;
            ensure!(reply.reason().as_deref() == Some("credentials_missing"), "{way:?}: {} {}", reply.status, reply.text());
        }
    }
    Ok(())
}

async fn nothing_passes(mesh: &'static Mesh) -> Result<()> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["security"] = json!([]))?;
    // The listener waits for a filter; without one Envoy opens it after this time (15 s by default).
    let live = Live::by(Way::Filter, file, "live-nothing", Options::default()).await?;
    let token = mesh.token().await?;
    let reply = send_1_0("early").bearer(&token).send(live.envoy.port()).await?;
    ensure!(reply.status == 500, "{} {}", reply.status, reply.text());
    live.change(|plugin| plugin["agents"][0]["security"] = json!([{"oauth2": ["agent:execute"]}]))?;
    wait::until("the good filter", Duration::from_secs(60), async || {
        let reply = send_1_0("good").bearer(&token).send(live.envoy.port()).await?;
        ensure!([200, 500].contains(&reply.status), "{} {}", reply.status, reply.text());
        Ok((reply.status == 200).then_some(()))
    })
    .await
}
