//! The desk without a proxy: several workers that share a board, requests that wait, and those that leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::supply::board::Board;
use attache::flow::supply::desk::{Arrived, Desk, Errand, NEXT, News, TICK, With};
use attache::flow::supply::sought::Sought;
use attache::flow::supply::store::{Supply, Verifying};
use attache::flow::{Call, Value as HeaderValue, Wait, Want};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use secrecy::ExposeSecret;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

const KEYS: Want = Want::Keys(0);
const JWKS: &[u8] = br#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// A proxy's shared data.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Board for Memory {
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.0.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
        let mut values = self.0.borrow_mut();
        let known = values.get(name).map(|(_, version)| *version);
        let is_free = version.is_none() || version == known;
        if is_free {
            values.insert(name.to_owned(), (value.unwrap_or_default().to_vec(), known.unwrap_or_default() + 1));
        }
        is_free
    }
}

/// An answer that a test gives.
fn arrives(supply: &Supply, desk: &mut Desk<()>, want: Want, board: &Memory, now: UnixTime, status: &str, body: &str) -> Vec<Errand> {
    let headers = Headers::new(vec![(":status".to_owned(), status.as_bytes().to_vec())]);
    let arrived = Arrived { headers: &headers, body: body.as_bytes(), size: body.len() };
    desk.answered(want, &arrived, &With { supply, board, now })
}

struct Worker {
    supply: Supply,
    desk: Desk<()>,
    now: UnixTime,
}

impl Worker {
    fn new(board: &Memory) -> Self {
        Self::with_audience(board, "a")
    }

    /// With a configuration whose issuer has this audience, and the same keys whatever that is.
    fn with_audience(board: &Memory, audience: &str) -> Self {
        let config = json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example.com", "audiences": [audience],
                         "jwks": {"remote": {"uri": "https://auth.example.com/jwks", "cluster": "idp"}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "x", "match": {"hosts": ["x.example"], "path_prefix": "/"},
                        "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "default_version": "1.0", "security": [{"oauth2": []}]}],
        })
        .to_string();
        let supply = Supply::new(Rc::new(Config::parse(config.as_bytes()).unwrap()), Secrets::default()).unwrap();
        let mut worker = Self { supply, desk: Desk::default(), now: UnixTime::from_secs(1000) };
        worker.with(board, |desk, with| desk.open(config.as_bytes(), with));
        worker
    }

    fn with<T>(&mut self, board: &Memory, act: impl FnOnce(&mut Desk<()>, &With<'_>) -> T) -> T {
        let with = With { supply: &self.supply, board, now: self.now };
        act(&mut self.desk, &with)
    }

    /// How many calls a tick makes.
    fn tick(&mut self, board: &Memory) -> usize {
        let errands = self.with(board, Desk::tick);
        errands.iter().filter(|errand| matches!(errand, Errand::Send(want, _) if *want == KEYS)).count()
    }

    fn wait(&mut self, ids: impl Iterator<Item = u32>) {
        for id in ids {
            self.desk.wait(id, Wait { until: Some(KEYS), ..Wait::default() }, (), self.now);
            self.desk.ask(KEYS);
        }
    }

    /// The keys come, or a status.
    fn answer(&mut self, board: &Memory, status: &str) -> Vec<Errand> {
        let headers = Headers::new(vec![(":status".to_owned(), status.as_bytes().to_vec())]);
        let body = if status == "200" { JWKS } else { b"" };
        self.with(board, |desk, with| desk.answered(KEYS, &Arrived { headers: &headers, body, size: body.len() }, with))
    }

    /// Who is woken in one callback, and waits for nothing more.
    fn woken(&mut self) -> Vec<u32> {
        let mut woken = Vec::new();
        while let Some((id, news, ())) = self.desk.next(&self.supply) {
            assert_eq!(news, News::Settled(KEYS));
            self.desk.go_on(id, Wait::default());
            woken.push(id);
        }
        woken
    }
}

#[test]
fn the_first_to_ask_may_leave() {
    let board = Memory::default();
    let mut worker = Worker::new(&board);
    worker.wait(1..5);
    worker.desk.leave(1);
    assert_eq!((worker.tick(&board), worker.tick(&board)), (1, 0), "one call for all");
    worker.desk.leave(2);
    worker.answer(&board, "200");
    worker.desk.leave(3);
    assert_eq!(worker.woken(), [4]);
    assert_eq!(worker.desk.rest(&worker.supply), None);
}

#[test]
fn many_are_woken_over_several_callbacks() {
    let board = Memory::default();
    let mut worker = Worker::new(&board);
    worker.wait(0..100);
    worker.tick(&board);
    worker.answer(&board, "200");
    let mut all = Vec::new();
    for count in [32, 32, 32, 4] {
        let woken = worker.woken();
        assert_eq!(woken.len(), count);
        all.extend(woken);
        assert_eq!(worker.desk.rest(&worker.supply), (all.len() < 100).then_some(NEXT));
    }
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[test]
fn who_waits_for_what_is_not_fetched_is_found() {
    let board = Memory::default();
    let mut worker = Worker::new(&board);
    worker.tick(&board);
    worker.answer(&board, "503");
    worker.desk.look(worker.now);
    // The call that a request asked for came to nothing, and so did the news of that.
    worker.desk.wait(7, Wait { until: Some(KEYS), ..Wait::default() }, (), worker.now);
    assert_eq!((worker.tick(&board), worker.woken()), (0, vec![]));
    worker.now = worker.now.plus(TICK);
    worker.tick(&board);
    assert_eq!(worker.woken(), [7], "it is not fetched again so soon: that is the end of waiting");
}

#[test]
fn a_call_that_cannot_be_made_ends_the_wait() {
    let board = Memory::default();
    let mut worker = Worker::new(&board);
    worker.wait(1..2);
    assert_eq!(worker.tick(&board), 1);
    // Envoy may not have it yet: that is said if it is still so the next time, and once.
    for (round, is_said) in [false, true, false].into_iter().enumerate() {
        let errands = worker.with(&board, |desk, with| desk.unreachable(KEYS, with));
        let said = errands.iter().any(|errand| matches!(errand, Errand::Log(_, text) if text.contains("no usable cluster \"idp\"")));
        assert_eq!(said, is_said, "{round}: {errands:?}");
        if round == 0 {
            assert_eq!(worker.woken(), [1]);
        }
        worker.now = worker.now.plus(Duration::from_secs(300));
        assert_eq!(worker.tick(&board), 1, "{round}");
    }
    // Once it has been there, that it is gone is news.
    worker.answer(&board, "200");
    for is_said in [false, true] {
        worker.now = worker.now.plus(Duration::from_secs(3600));
        assert_eq!(worker.tick(&board), 1);
        let errands = worker.with(&board, |desk, with| desk.unreachable(KEYS, with));
        assert_eq!(errands.iter().any(|errand| matches!(errand, Errand::Log(..))), is_said, "{errands:?}");
    }
}

#[test]
fn one_worker_warns_for_all() {
    let board = Memory::default();
    let mut worker = Worker::new(&board);
    let mut warns = |board: &Memory, config: &[u8]| worker.with(board, |desk, with| desk.open(config, with));
    assert!(warns(&board, b"a configuration") && !warns(&board, b"a configuration"));
    assert!(warns(&board, b"another"), "of another it has nothing said");
    assert!(warns(&Memory::default(), b"a configuration"), "nor to another proxy");
}

#[test]
fn one_worker_fetches_for_all() {
    let board = Memory::default();
    let mut workers: Vec<Worker> = (0..4).map(|_| Worker::new(&board)).collect();
    for worker in &mut workers {
        worker.wait(1..3);
    }
    let calls: Vec<usize> = workers.iter_mut().map(|worker| worker.tick(&board)).collect();
    assert_eq!(calls, [1, 0, 0, 0]);
    let follower = &mut workers[1];
    assert!(follower.desk.rest(&follower.supply).is_some_and(|next| next < Duration::from_millis(50)), "it looks again soon");
    workers[0].answer(&board, "200");
    for worker in &mut workers {
        assert_eq!((worker.tick(&board), worker.woken()), (0, vec![1, 2]));
    }
    // One that ends takes its notes along.
    let mut last = workers.pop().unwrap();
    last.with(&board, Desk::close);
    assert!(board.0.borrow().values().all(|(value, _)| value.is_empty()));
}

#[test]
fn a_changed_configuration_keeps_the_keys_of_issuers_that_did_not_change() {
    let board = Memory::default();
    let mut before = Worker::new(&board);
    before.tick(&board);
    before.answer(&board, "200");
    // Long after, and the provider is down: what is there is older than `refresh`, which is 300 s, not than `max_stale`.
    let later = before.now.plus(Duration::from_secs(1000));
    before.now = later;
    assert_eq!(before.tick(&board), 1);
    before.answer(&board, "503");
    let mut after = Worker::with_audience(&board, "b");
    after.now = later;
    after.wait(1..3);
    before.with(&board, Desk::close);
    assert_eq!((after.tick(&board), after.woken()), (0, vec![1, 2]), "nobody waits for the provider");
    let age = |worker: &Worker| worker.supply.ages(worker.now).into_iter().map(|(_, age)| age).collect::<Vec<_>>();
    assert_eq!(age(&after), [1000]);
    // It asks for newer ones by itself, and stays as it is when there are none.
    after.now = later.plus(Duration::from_secs(1));
    assert_eq!(after.tick(&board), 1);
    after.answer(&board, "503");
    assert_eq!(age(&after), [1001]);
    // The one that is left takes the note along.
    after.with(&board, Desk::close);
    assert!(board.0.borrow().values().all(|(value, _)| value.is_empty()));
}

/// An agent identity of Entra: its token is made of another one, the blueprint's, which lives for a shorter time here.
#[test]
fn what_a_token_is_made_of_is_fetched_before_it() {
    let board = Memory::default();
    let config = json!({
        "connections": [{"name": "x", "match": {"hosts": ["x.example"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
            "credential": {"client_credentials": {"client": {"token_endpoint": {"uri": "https://idp.example/token", "cluster": "idp"}, "client_id": "agent",
                "authentication": {"agent_identity_blueprint": {"client_id": "blueprint", "authentication": {"none": {}}}}}}}}],
    });
    let supply = Supply::new(Rc::new(Config::parse(config.to_string().as_bytes()).unwrap()), Secrets::default()).unwrap();
    let mut desk: Desk<()> = Desk::default();
    let (mut waited, start) = (Vec::new(), UnixTime::from_secs(1000));
    let obtain = |waited: &[Want], now| supply.obtain(0, None, waited, &Verifying { verifier: &Software, now });
    let calls = |desk: &mut Desk<()>, now| -> Vec<(Want, String)> {
        let errands = desk.tick(&With { supply: &supply, board: &board, now });
        let sent = errands.into_iter().filter_map(|errand| match errand {
            Errand::Send(want, call) => Some((want, call)),
            _ => None,
        });
        let form =
            |call: Call| if let Some(HeaderValue::Secret(form)) = call.body { form.expose_secret().to_owned() } else { String::new() };
        sent.map(|(want, call)| (want, form(call))).collect()
    };
    let token = |value: &str, seconds: u64| json!({"access_token": value, "token_type": "Bearer", "expires_in": seconds}).to_string();
    for (value, seconds, sent) in [("b-1", 20, "client_id=blueprint"), ("a-1", 100, "client_assertion=b-1")] {
        let Sought::Wait(want) = obtain(&waited, start) else { panic!("it waits for {value}") };
        desk.ask(want);
        let calls = calls(&mut desk, start);
        assert!(matches!(calls.as_slice(), [(one, form)] if *one == want && form.contains(sent)), "{calls:?}");
        arrives(&supply, &mut desk, want, &board, start, "200", &token(value, seconds));
        waited.push(want);
    }
    let (blueprint, agent) = (waited[0], waited[1]);
    let is_here =
        |now, value: &str| matches!(obtain(&[], now), Sought::Here(own) if own.headers[0].1.expose_secret() == format!("Bearer {value}"));
    assert!(is_here(start, "a-1"));
    let later = start.plus(Duration::from_secs(50));
    assert!(is_here(later, "a-1") && calls(&mut desk, later).is_empty(), "the blueprint's has run out, and is of no use now");
    // In the last fifth of its life the token is fetched anew, and before it what it is made of.
    let late = start.plus(Duration::from_secs(85));
    assert!(is_here(late, "a-1"));
    let sent = calls(&mut desk, late);
    assert!(matches!(sent.as_slice(), [(one, form)] if *one == blueprint && form.contains("fmi_path=agent")), "{sent:?}");
    arrives(&supply, &mut desk, blueprint, &board, late, "200", &token("b-2", 600));
    let sent = calls(&mut desk, late);
    assert!(matches!(sent.as_slice(), [(one, form)] if *one == agent && form.contains("client_assertion=b-2")), "{sent:?}");
    // It is refused while the blueprint's is young: that stays. Later another one is asked for.
    let refused = json!({"error": "invalid_client"}).to_string();
    arrives(&supply, &mut desk, agent, &board, late, "401", &refused);
    let again = late.plus(Duration::from_secs(1));
    let sent = calls(&mut desk, again);
    assert!(matches!(sent.as_slice(), [(one, form)] if *one == agent && form.contains("client_assertion=b-2")), "{sent:?}");
    let old = late.plus(Duration::from_secs(6));
    arrives(&supply, &mut desk, agent, &board, old, "401", &refused);
    let sent = calls(&mut desk, old.plus(Duration::from_secs(2)));
    assert!(matches!(sent.as_slice(), [(one, _)] if *one == blueprint), "{sent:?}");
}
