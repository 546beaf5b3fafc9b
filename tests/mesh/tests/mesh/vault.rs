//! The vault in a real etcd: the sessions of the store, whose calls go to its members over HTTP. Which Envoys share grants is tested with
//! the filter; here it is what etcd does with what it is asked.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use attache::config::GrantStore;
use attache::flow::supply::vault::etcd::Etcd as Store;
use attache::flow::supply::vault::operation::{Done, Fault, Found, Id, Operation, Over, Place, Session, Step, Store as _, Version};
use attache::flow::{Call, Value};
use attache::wire::time::UnixTime;
use attache_mesh::etcd::{Etcd, Options, PREFIX, USER};
use attache_mesh::http;
use attache_mesh::mesh::Mesh;
use attache_mesh::tls::Authority;
use attache_mesh::wait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::suite::Suite;

/// How long anything may take that happens by itself.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a token is good that nobody uses.
const TOKEN_TTL: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);

/// One worker with its store, whose calls go to one member after the other, as Envoy sends them.
struct Worker {
    store: Store,
    ports: Vec<u16>,
    /// Of its certificate, if etcd is asked over TLS.
    authority: Option<Arc<Authority>>,
    calls: RefCell<Vec<String>>,
    /// The clock is so far ahead.
    ahead: Cell<Duration>,
}

impl Worker {
    fn new(etcd: &Etcd, user: Option<&str>) -> Result<Self> {
        let mut settings = json!({"uri": "http://etcd.example:2379", "cluster": "etcd", "timeout": "2s", "prefix": PREFIX});
        if let Some(password) = user {
            settings["user"] = json!(USER);
            settings["password"] = json!({"secret": "etcd_password"});
            return Ok(Self::of(etcd, settings)?.with(password));
        }
        Self::of(etcd, settings)
    }

    fn of(etcd: &Etcd, settings: serde_json::Value) -> Result<Self> {
        let GrantStore::Etcd(config) = serde_json::from_value(json!({"etcd": settings}))? else { bail!("no etcd") };
        Ok(Self { store: Store::new(config), ports: etcd.ports(), authority: None, calls: RefCell::default(), ahead: Cell::default() })
    }

    fn with(self, password: &str) -> Self {
        self.store.set_password(SecretString::from(password));
        self
    }

    fn now(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime::new(since).plus(self.ahead.get())
    }

    /// The answer to a call, or why there is none, as the host has it.
    async fn send(&self, call: &Call) -> Result<(u16, Vec<u8>), String> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Secret(secret) => secret.expose_secret().to_owned(),
        };
        let header = |name: &str| call.headers.iter().find(|(own, _)| own == name).map(|(_, value)| text(value)).unwrap_or_default();
        let method = http::Call::new(header(":method").parse().map_err(|_| "no method")?, header(":path"));
        let mut request = call
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .fold(method, |so_far, (name, value)| so_far.header(name, text(value)));
        if let Some(body) = &call.body {
            request = request.body(text(body));
        }
        let count = self.calls.borrow().len();
        self.calls.borrow_mut().push(header(":path"));
        let port = self.ports[count % self.ports.len()];
        let sent = async {
            match &self.authority {
                Some(authority) => authority.send(&request, port, None).await,
                None => request.send(port).await,
            }
        };
        let reply = tokio::time::timeout(call.timeout, sent).await;
        let reply = reply.map_err(|_| "no answer in time")?.map_err(|error| format!("{error:#}"))?;
        if reply.body.len() > call.most { Err("too long".to_owned()) } else { Ok((reply.status, reply.body.to_vec())) }
    }

    async fn play(&self, mut step: Step) -> Result<Result<Done, Fault>> {
        loop {
            step = match step {
                Step::Done(done) => return Ok(done),
                Step::Call(call, session) => self.answer(&call, session).await,
                Step::Wait(_) => bail!("nobody else is at work"),
            };
        }
    }

    async fn answer(&self, call: &Call, session: Box<dyn Session>) -> Step {
        let answer = self.send(call).await;
        session.answered(answer.as_ref().map(|(status, body)| (*status, body.as_slice())).map_err(Clone::clone), self.now())
    }

    async fn ask(&self, operation: Operation) -> Result<Result<Done, Fault>> {
        self.play(self.store.begin(operation, self.now())).await
    }

    fn writing(&self, place: Place, bytes: &[u8], over: Over) -> Operation {
        Operation::Write { place, bytes: bytes.to_vec(), until: self.now().plus(HOUR), over }
    }

    async fn write(&self, place: Place, bytes: &[u8], over: Over) -> Result<Result<Done, Fault>> {
        self.ask(self.writing(place, bytes, over)).await
    }

    async fn written(&self, place: Place, bytes: &[u8], over: Over) -> Result<Version> {
        match self.write(place, bytes, over).await? {
            Ok(Done::Written(version)) => Ok(version),
            other => bail!("not written: {other:?}"),
        }
    }

    async fn read(&self, place: Place) -> Result<Option<Found>> {
        match self.ask(Operation::Read(place)).await? {
            Ok(Done::Found(found)) => Ok(found),
            other => bail!("not read: {other:?}"),
        }
    }

    /// How often `path` was called since this was asked last.
    fn called(&self, path: &str) -> usize {
        self.calls.borrow_mut().drain(..).filter(|own| own == path).count()
    }
}

const fn grant(user: u8, grant: u8) -> Place {
    Place::Grant { user: [user; 16], grant: [grant; 16] }
}

const fn flow(id: u8) -> Place {
    Place::Flow { id: [id; 16] }
}

fn is(found: Option<&Found>, bytes: &[u8], version: Version) -> bool {
    found.is_some_and(|found| found.bytes == bytes && found.version == version)
}

/// The key of a place, as the API takes it.
fn key(place: Place) -> String {
    let name = |id: Id| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id);
    STANDARD.encode(match place {
        Place::Grant { user, grant } => format!("{PREFIX}g/{}/{}", name(user), name(grant)),
        Place::Flow { id } => format!("{PREFIX}f/{}", name(id)),
    })
}

async fn share(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { members: 3, ..Options::default() }).await?;
    let (one, other) = (Worker::new(&etcd, None)?, Worker::new(&etcd, None)?);
    let place = grant(1, 1);
    ensure!(one.read(place).await?.is_none());
    // Bytes of every kind, and as many as may be.
    let bytes: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let first = one.written(place, &bytes, Over::Absent).await?;
    ensure!(is(other.read(place).await?.as_ref(), &bytes, first), "another worker reads what one wrote");
    ensure!(other.read(grant(1, 2)).await?.is_none() && other.read(grant(2, 1)).await?.is_none() && other.read(flow(1)).await?.is_none());
    let taken = other.write(place, b"2", Over::Absent).await?;
    ensure!(matches!(&taken, Ok(Done::Conflict(found)) if is(found.as_ref(), &bytes, first)), "{taken:?}");
    let second = other.written(place, b"2", Over::Version(first)).await?;
    ensure!(first != second);
    let lost = one.write(place, b"3", Over::Version(first)).await?;
    ensure!(matches!(&lost, Ok(Done::Conflict(found)) if is(found.as_ref(), b"2", second)), "{lost:?}");
    let third = one.written(place, b"", Over::Any).await?;
    ensure!(is(other.read(place).await?.as_ref(), b"", third));
    ensure!(one.write(grant(9, 9), b"4", Over::Version(third)).await? == Ok(Done::Conflict(None)));
    // A lease is asked for once, whoever writes how often.
    ensure!(one.called("/v3/lease/grant") == 1 && other.called("/v3/lease/grant") == 1);
    let leases = etcd.ask(0, "/v3/lease/leases", &json!({})).await?;
    ensure!(leases["leases"].as_array().is_some_and(|leases| leases.len() == 1), "{leases}");

    // Of two that write at once one succeeds.
    let (won, lost) = tokio::join!(one.write(flow(7), b"one", Over::Absent), other.write(flow(7), b"other", Over::Absent));
    ensure!([&won?, &lost?].into_iter().filter(|done| matches!(done, Ok(Done::Written(_)))).count() == 1);

    let remove = |version| Operation::Remove { place, version };
    let wrong = other.ask(remove(Some(second))).await?;
    ensure!(matches!(&wrong, Ok(Done::Conflict(found)) if is(found.as_ref(), b"", third)), "{wrong:?}");
    ensure!(other.ask(remove(Some(third))).await? == Ok(Done::Removed) && one.read(place).await?.is_none());
    ensure!(other.ask(remove(Some(third))).await? == Ok(Done::Removed) && other.ask(remove(None)).await? == Ok(Done::Removed));
    ensure!(one.written(place, b"5", Over::Absent).await? != third, "no version comes twice");
    ensure!(other.ask(remove(None)).await? == Ok(Done::Removed) && one.read(place).await?.is_none());
    Ok(())
}

async fn list(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options::default()).await?;
    let worker = Worker::new(&etcd, None)?;
    for which in 0..40 {
        worker.written(grant(1, which), &[which], Over::Absent).await?;
    }
    // Keys right before and right behind those of the user.
    for (user, which) in [(0, 255), (2, 0)] {
        worker.written(grant(user, which), b"other", Over::Absent).await?;
    }
    worker.called("");
    let listed = match worker.ask(Operation::List { user: [1; 16] }).await? {
        Ok(Done::Listed(listed)) => listed,
        other => bail!("{other:?}"),
    };
    let mut names: Vec<u8> = listed.iter().map(|(which, _)| which[0]).collect();
    names.sort_unstable();
    ensure!(names == (0..40).collect::<Vec<u8>>(), "{names:?}");
    ensure!(listed.iter().all(|(which, found)| found.bytes == [which[0]]));
    ensure!(worker.called("/v3/kv/range") == 3, "16 at a time");
    // What is listed can be removed by its version.
    let (which, found) = &listed[0];
    let gone = Operation::Remove { place: Place::Grant { user: [1; 16], grant: *which }, version: Some(found.version) };
    ensure!(worker.ask(gone).await? == Ok(Done::Removed));
    ensure!(worker.ask(Operation::List { user: [3; 16] }).await? == Ok(Done::Listed(Vec::new())));
    Ok(())
}

async fn expire(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options::default()).await?;
    let worker = Worker::new(&etcd, None)?;
    let seconds = worker.now().since(UnixTime::default()).as_secs();
    // A clock at which the ten minutes of a lease end in ten seconds.
    worker.ahead.set(Duration::from_secs((1190 - seconds % 600) % 600));
    let until = worker.now().plus(Duration::from_millis(900));
    let writing = |id, until| Operation::Write { place: flow(id), bytes: b"1".to_vec(), until, over: Over::Absent };
    for id in [1, 2] {
        ensure!(matches!(worker.ask(writing(id, until)).await?, Ok(Done::Written(_))));
    }
    wait::until("the value to end", LIMIT, async || Ok(worker.read(flow(1)).await?.is_none().then_some(()))).await?;
    // It is still there: etcd removes it a moment later. Until then it can be written over as if it were not.
    let range = json!({"key": key(flow(1)), "keys_only": true});
    ensure!(etcd.ask(0, "/v3/kv/range", &range).await?["count"] == "1", "etcd had removed it before the filter could forget it");
    worker.called("");
    let later = worker.now().plus(HOUR);
    ensure!(matches!(worker.ask(writing(2, later)).await?, Ok(Done::Written(_))));
    ensure!(worker.called("/v3/kv/txn") == 2);
    ensure!(matches!(worker.ask(writing(2, later)).await?, Ok(Done::Conflict(Some(_)))));
    wait::until("etcd to remove it", LIMIT, async || {
        let found = etcd.ask(0, "/v3/kv/range", &range).await?;
        Ok(found["count"].is_null().then_some(()))
    })
    .await?;
    ensure!(worker.read(flow(2)).await?.is_some());

    // A lease that the worker knows is gone: it asks for it anew.
    let place = grant(1, 1);
    worker.ahead.set(Duration::ZERO);
    worker.written(place, b"1", Over::Absent).await?;
    let leases = etcd.ask(0, "/v3/lease/leases", &json!({})).await?;
    for lease in leases["leases"].as_array().context("no leases")? {
        etcd.ask(0, "/v3/lease/revoke", &json!({"ID": lease["ID"]})).await?;
    }
    ensure!(worker.read(place).await?.is_none());
    worker.called("");
    worker.written(place, b"2", Over::Absent).await?;
    ensure!(worker.called("/v3/lease/grant") == 1);
    Ok(())
}

async fn lost_answers(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options::default()).await?;
    let worker = Worker::new(&etcd, None)?;
    let place = grant(1, 1);
    let before = worker.written(place, b"old", Over::Absent).await?;
    // It is written, and nobody hears of it.
    let writing = || worker.writing(place, b"new", Over::Version(before));
    let Step::Call(call, session) = worker.store.begin(writing(), worker.now()) else { bail!("no call") };
    ensure!(worker.send(&call).await.is_ok_and(|(status, _)| status == 200));
    let lost = session.answered(Err("it was reset".to_owned()), worker.now());
    // Another member is asked, and what is found there is its own.
    let done = worker.play(lost).await?;
    ensure!(matches!(done, Ok(Done::Written(_))), "{done:?}");
    let again = worker.ask(writing()).await?;
    ensure!(matches!(&again, Ok(Done::Conflict(Some(found))) if found.bytes == b"new"), "whoever repeats it sees its own: {again:?}");
    Ok(())
}

async fn users(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { members: 3, users: true, token_ttl: Some(TOKEN_TTL), ..Options::default() }).await?;
    let worker = Worker::new(&etcd, Some(etcd.password()?))?;
    let place = grant(1, 1);
    let version = worker.written(place, b"1", Over::Absent).await?;
    ensure!(is(worker.read(place).await?.as_ref(), b"1", version));
    ensure!(worker.called("/v3/auth/authenticate") == 1, "one token for all sessions");

    // While one session asks for a token the others wait.
    let fresh = Worker::new(&etcd, Some(etcd.password()?))?;
    let Step::Call(call, session) = fresh.store.begin(Operation::Read(place), fresh.now()) else { bail!("no call") };
    let Step::Wait(waiting) = fresh.store.begin(Operation::Read(place), fresh.now()) else { bail!("it does not wait") };
    let Step::Wait(waiting) = waiting.resumed(fresh.now()) else { bail!("it does not wait") };
    let step = fresh.answer(&call, session).await;
    for step in [step, waiting.resumed(fresh.now())] {
        ensure!(matches!(fresh.play(step).await?, Ok(Done::Found(Some(_)))));
    }
    ensure!(fresh.called("/v3/auth/authenticate") == 1);

    // A token that nobody uses for a while ends. Each use keeps it, so that this can only be waited for.
    let calls = wait::until("the token to end", LIMIT, async || {
        tokio::time::sleep(TOKEN_TTL * 2).await;
        worker.called("");
        ensure!(is(worker.read(place).await?.as_ref(), b"1", version), "it is read all the same");
        let calls = worker.calls.borrow().clone();
        Ok((calls.len() > 1).then_some(calls))
    })
    .await?;
    ensure!(calls == ["/v3/kv/range", "/v3/auth/authenticate", "/v3/kv/range"], "{calls:?}");
    worker.written(place, b"2", Over::Version(version)).await?;

    // What an operator has to mend says so.
    let settings = json!({"uri": "http://etcd.example", "cluster": "etcd", "prefix": PREFIX});
    let known = |prefix: &str| json!({"uri": "http://etcd.example", "cluster": "etcd", "user": USER, "password": {"secret": "p"}, "prefix": prefix});
    for (stranger, expected) in [
        (Worker::of(&etcd, settings)?, "etcd has authentication on: give user and password"),
        (Worker::of(&etcd, known(PREFIX))?.with("wrong"), "correct user and password"),
        (Worker::of(&etcd, known(PREFIX))?, "the secret with its user's password has no value"),
        (Worker::of(&etcd, known("other/"))?.with(etcd.password()?), "give the user of etcd a role with readwrite"),
    ] {
        for operation in [Operation::Read(place), stranger.writing(place, b"3", Over::Any)] {
            let done = stranger.ask(operation).await?;
            ensure!(matches!(&done, Err(Fault::Unavailable(why)) if why.contains(expected)), "{done:?}, not {expected}");
        }
    }
    let open = Etcd::start(Options::default()).await?;
    let done = Worker::of(&open, known(PREFIX))?.with("any").ask(Operation::Read(place)).await?;
    ensure!(matches!(&done, Err(Fault::Unavailable(why)) if why.contains("leave out user and password")), "{done:?}");
    Ok(())
}

async fn tls(_: &Mesh) -> Result<()> {
    let authority = Arc::new(Authority::new("etcd's authority")?);
    let etcd = Etcd::start(Options { users: true, tls: Some(authority.clone()), ..Options::default() }).await?;
    let mut worker = Worker::new(&etcd, Some(etcd.password()?))?;
    worker.authority = Some(authority);
    let version = worker.written(grant(1, 1), b"1", Over::Absent).await?;
    ensure!(is(worker.read(grant(1, 1)).await?.as_ref(), b"1", version));
    // Without TLS nothing is said, and nothing sent that counts.
    worker.authority = None;
    let done = worker.ask(Operation::Read(grant(1, 1))).await?;
    ensure!(matches!(done, Err(Fault::Unavailable(_))), "{done:?}");
    Ok(())
}

async fn members_fail(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { members: 3, ..Options::default() }).await?;
    let mut worker = Worker::new(&etcd, None)?;
    let place = grant(1, 1);
    let first = worker.written(place, b"1", Over::Absent).await?;
    let leader = etcd.leader().await?;
    etcd.kill(leader);
    // Envoy stops asking a member that refuses connections.
    worker.ports.remove(leader);
    let second = wait::until("the others to go on", LIMIT, async || match worker.write(place, b"2", Over::Version(first)).await? {
        Ok(Done::Written(version)) => Ok(Some(version)),
        // Its answer came too late: it may have been written all the same.
        Ok(Done::Conflict(Some(found))) if found.bytes == b"2" => Ok(Some(found.version)),
        Ok(other) => bail!("{other:?}"),
        Err(_) => Ok(None),
    })
    .await?;
    ensure!(is(worker.read(place).await?.as_ref(), b"2", second));
    // One of three answers nobody: neither reads nor writes.
    let other = (leader + 1) % 3;
    etcd.pause(other);
    let last = (leader + 2) % 3;
    worker.ports = vec![etcd.ports()[last]];
    for operation in [Operation::Read(place), worker.writing(place, b"3", Over::Any), Operation::List { user: [1; 16] }] {
        let done = worker.ask(operation).await?;
        ensure!(matches!(done, Err(Fault::Unavailable(_))), "{done:?}");
    }
    etcd.go_on(other);
    etcd.revive(leader).await?;
    worker.ports = etcd.ports();
    let found = wait::until("all to be as before", LIMIT, async || match worker.ask(Operation::Read(place)).await? {
        Ok(Done::Found(found)) => Ok(Some(found)),
        _ => Ok(None),
    })
    .await?;
    // The write that was not answered may have been done since, or not; nothing else can be there.
    ensure!(found.as_ref().is_some_and(|found| found.bytes == b"2" || found.bytes == b"3"), "{found:?}");
    Ok(())
}

async fn full(_: &Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { quota: Some(1 << 20), ..Options::default() }).await?;
    let worker = Worker::new(&etcd, None)?;
    let mut kept = 0_u8;
    while let Ok(Done::Written(_)) = worker.write(grant(1, kept), &[kept; 60_000], Over::Absent).await? {
        kept += 1;
        ensure!(kept < 100, "it takes more than it may");
    }
    ensure!(kept > 1);
    for operation in [worker.writing(grant(2, 1), b"1", Over::Any), worker.writing(grant(1, 0), b"1", Over::Any)] {
        ensure!(worker.ask(operation).await? == Err(Fault::Full));
    }
    // What is there can be read, and removed.
    ensure!(worker.read(grant(1, 0)).await?.is_some_and(|found| found.bytes == [0; 60_000]));
    for which in 0..kept {
        ensure!(worker.ask(Operation::Remove { place: grant(1, which), version: None }).await? == Ok(Done::Removed));
    }
    // As an operator makes room: etcd drops what was, gives it back, and takes the alarm off.
    let revision = etcd.ask(0, "/v3/kv/range", &json!({"key": key(flow(1))})).await?["header"]["revision"].clone();
    etcd.ask(0, "/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await?;
    etcd.ask(0, "/v3/maintenance/defragment", &json!({})).await?;
    let alarms = etcd.ask(0, "/v3/maintenance/alarm", &json!({"action": "GET"})).await?;
    for alarm in alarms["alarms"].as_array().context("no alarm")? {
        let off = json!({"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": alarm["alarm"]});
        etcd.ask(0, "/v3/maintenance/alarm", &off).await?;
    }
    worker.written(grant(2, 1), b"1", Over::Absent).await?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("vault::workers_share_what_lies_in_etcd", share);
    suite.add("vault::a_users_grants_are_listed", list);
    suite.add("vault::what_ends_is_gone_and_etcd_removes_it", expire);
    suite.add("vault::a_write_whose_answer_was_lost_can_be_repeated", lost_answers);
    suite.add("vault::a_user_of_etcd_authenticates_again", users);
    suite.add("vault::etcd_is_asked_over_tls", tls);
    suite.add("vault::a_member_that_dies_is_not_missed_and_a_minority_says_nothing", members_fail);
    suite.add("vault::a_full_etcd_takes_nothing_and_gives_all", full);
}
