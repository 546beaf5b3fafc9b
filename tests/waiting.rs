//! Requests that wait before their sender is known: what they cost, and that a stranger who makes many wait keeps nobody else from
//! being served. A small host plays the part of Envoy's root context: it fetches in turn, and tells those who wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::supply::seats::Clients;
use attache::flow::{Context, Effect, Event, Exchange, Outcome, Runtime, Step, Wait, Want};
use attache::identity::signature::Software;
use attache::wire::caching::Caching;
use attache::wire::header::Headers;
use attache::wire::network::Network;
use attache::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

const STRANGER: &str = "127.0.0.2:40000";
const CUSTOMER: &str = "127.0.0.3:40000";
/// Longer than an answer is believed: tokens have to be asked about again.
const LATER: Duration = Duration::from_secs(60);

/// Whose the request at hand is.
#[derive(Debug, Default)]
struct At(RefCell<String>);

impl Clients for At {
    fn network(&self) -> Option<Network> {
        Network::parse(&self.0.borrow())
    }
}

struct Host {
    runtime: Runtime,
    at: Rc<At>,
    now: UnixTime,
    /// Questions under way.
    asked: Vec<Want>,
    /// Most that were under way at a time.
    most: usize,
}

/// A request and what became of it.
struct Request {
    exchange: Exchange,
    wait: Wait,
    reason: Option<String>,
    /// The agent of its record.
    agent: Option<String>,
    passed: bool,
    body: Vec<u8>,
    read: usize,
    reply: String,
}

fn config(members: &Value) -> Value {
    let mut introspection = json!({
        "uri": "https://auth.example.com/introspect", "cluster": "idp", "audiences": ["https://expense.example.com"],
        "client": {"id": "attache", "secret": {"secret": "introspection"}},
    });
    for (name, value) in members.as_object().unwrap() {
        introspection[name] = value.clone();
    }
    json!({
        "schemes": {"opaque": {"introspection": introspection}},
        "agents": [{
            "name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/"},
            "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}}, "default_version": "1.0", "security": [{"opaque": []}],
        }],
        "secrets": {"introspection": {"env": "I"}},
    })
}

impl Host {
    fn new(members: &Value) -> Self {
        Self::with(&config(members))
    }

    fn with(config: &Value) -> Self {
        let mut secrets = Secrets::default();
        secrets.insert("introspection", Some("secret".to_owned()));
        let at = Rc::new(At::default());
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let runtime = Runtime::new(config, secrets).unwrap().telling_apart(Rc::clone(&at) as Rc<dyn Clients>);
        Self { runtime, at, now: UnixTime::from_secs(1000), asked: Vec::new(), most: 0 }
    }

    fn tell(&self, request: &mut Request, event: Event) {
        let context = Context { runtime: &self.runtime, verifier: &Software, now: self.now };
        let settled = matches!(event, Event::Settled);
        let Outcome { effects, mut step, interest } = request.exchange.on(event, &context);
        request.wait = interest.wait;
        request.note(&effects);
        while settled && step == Step::Pause {
            let Some(part) = request.exchange.unread_body() else { break };
            let chunk = request.body[part.range.clone()].to_vec();
            request.read += chunk.len();
            let outcome = request.exchange.on(part.event(chunk), &context);
            request.note(&outcome.effects);
            (step, request.wait) = (outcome.step, outcome.interest.wait);
        }
        request.passed |= step == Step::Continue;
    }

    /// A request from `client` with `token`, whose body follows unless it is empty.
    fn open(&self, client: &str, token: &str, body: &[u8]) -> Request {
        client.clone_into(&mut self.at.0.borrow_mut());
        let (method, path) = if body.is_empty() { ("GET", "/tasks/t") } else { ("POST", "/") };
        let headers = [
            (":method", method),
            (":path", path),
            (":authority", "expense.example.com"),
            ("authorization", token),
            ("content-type", "application/json"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let mut request = Request {
            exchange: Exchange::default(),
            wait: Wait::default(),
            reason: None,
            agent: None,
            passed: false,
            body: body.to_vec(),
            read: 0,
            reply: String::new(),
        };
        let headers = Event::RequestHeaders { headers: Headers::new(headers.to_vec()), peer: None, end_of_stream: body.is_empty() };
        self.tell(&mut request, headers);
        // In two parts.
        for size in [body.len() / 2, body.len()] {
            if request.reason.is_none() && !request.passed && !body.is_empty() {
                let part = request.exchange.body_came(size, size == body.len());
                let chunk = body[part.range.clone()].to_vec();
                request.read += chunk.len();
                self.tell(&mut request, part.event(chunk));
            }
        }
        request
    }

    fn is_displaced(&self, request: &Request) -> bool {
        request.wait.seat.is_some_and(|seat| self.runtime.supply().is_displaced(seat))
    }

    /// The root begins what is due, and tells those whose place is gone.
    fn tick(&mut self, waiting: &mut [&mut Request]) {
        for want in self.runtime.supply().due(self.now) {
            assert!(self.runtime.supply().begin(want, self.now).is_some());
            self.asked.push(want);
        }
        self.most = self.most.max(self.asked.len());
        for request in waiting.iter_mut() {
            let gone = |want| !self.runtime.supply().has_turn(want);
            if self.is_displaced(request) || request.wait.until.is_some_and(gone) {
                self.tell(request, Event::Settled);
            }
        }
    }

    /// The endpoint answers all that it is asked: `answer` by the token in the form.
    fn answer(&mut self, waiting: &mut [&mut Request], answer: impl Fn(&[u8; 32]) -> Result<(u16, String), String>) {
        for want in std::mem::take(&mut self.asked) {
            let Want::Introspection(key) = want else { panic!("{want:?}") };
            let answer = answer(&key);
            let answer = answer.as_ref().map(|(status, body)| (*status, body.as_bytes())).map_err(String::clone);
            let _ = self.runtime.supply().complete(want, answer, &Caching::default(), self.now);
            for request in waiting.iter_mut().filter(|request| request.wait.until == Some(want)) {
                self.tell(request, Event::Settled);
            }
        }
    }
}

impl Request {
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::SetState("attache.reason", reason) => self.reason = Some(reason.clone()),
                Effect::Audit(record) => {
                    let line: Value = serde_json::from_str(&record.line(UnixTime::from_secs(1000))).unwrap();
                    self.agent = line["agent"].as_str().map(str::to_owned);
                }
                Effect::Reply(reply) => reply.body.clone_into(&mut self.reply),
                _ => {}
            }
        }
    }

    fn outcome(&self) -> &str {
        match (&self.reason, self.passed) {
            (Some(reason), _) => reason,
            (None, true) => "ok",
            (None, false) => "waits",
        }
    }

    fn key(&self) -> [u8; 32] {
        match self.wait.until {
            Some(Want::Introspection(key)) => key,
            other => panic!("{other:?}"),
        }
    }
}

fn active() -> Result<(u16, String), String> {
    let claims = json!({"active": true, "aud": "https://expense.example.com", "client_id": "c", "sub": "s", "exp": 9000});
    Ok((200, claims.to_string()))
}

fn inactive() -> Result<(u16, String), String> {
    Ok((200, json!({"active": false}).to_string()))
}

/// What became of the good requests of a flood: each round `strangers` send tokens that they made up, then four customers theirs.
/// Half of the customers' tokens were good before.
fn flood(members: &Value, rounds: usize, strangers: usize, stranger: &str) -> Vec<String> {
    let mut host = Host::new(members);
    let known: Vec<String> = (0..rounds * 2).map(|number| format!("Bearer known-{number}")).collect();
    for token in &known {
        let mut first = host.open(CUSTOMER, token, b"");
        host.tick(&mut []);
        host.answer(&mut [&mut first], |_| active());
        assert_eq!(first.outcome(), "ok");
    }
    host.now = host.now.plus(LATER);
    let (mut bad, mut good, mut keys) = (Vec::<Request>::new(), Vec::<Request>::new(), BTreeSet::new());
    let mut serial = 0;
    for round in 0..rounds {
        // Who is answered comes again at once.
        bad.retain(|request| request.outcome() == "waits");
        while bad.len() < strangers {
            serial += 1;
            let request = host.open(stranger, &format!("Bearer made-up-{serial}"), b"");
            if request.outcome() != "waits" {
                break;
            }
            bad.push(request);
        }
        for number in 0..2 {
            for token in [known[round * 2 + number].clone(), format!("Bearer new-{round}-{number}")] {
                let request = host.open(CUSTOMER, &token, b"");
                if request.outcome() == "waits" {
                    keys.insert(request.key());
                }
                good.push(request);
            }
        }
        for step in 0..3 {
            let mut waiting: Vec<&mut Request> = bad.iter_mut().chain(good.iter_mut()).collect();
            host.tick(&mut waiting);
            // The first step comes before any answer.
            if step > 0 {
                host.answer(&mut waiting, |key| if keys.contains(key) { active() } else { inactive() });
            }
        }
    }
    assert!(host.most <= 256, "{} questions at a time", host.most);
    good.iter().map(|request| request.outcome().to_owned()).collect()
}

#[test]
fn made_up_tokens_of_one_client_keep_no_other_waiting() {
    for strangers in [100, 400, 800] {
        let outcomes = flood(&json!({}), 10, strangers, STRANGER);
        assert_eq!(outcomes.len(), 40);
        assert!(outcomes.iter().all(|outcome| outcome == "ok"), "{strangers} strangers: {outcomes:?}");
    }
}

#[test]
fn where_clients_are_not_told_apart_tokens_that_were_good_come_through() {
    let outcomes = flood(&json!({"fairness": "none"}), 10, 800, STRANGER);
    let (known, new): (Vec<_>, Vec<_>) = outcomes.iter().enumerate().partition(|(index, _)| index % 2 == 0);
    assert!(known.iter().all(|(_, outcome)| *outcome == "ok"), "{known:?}");
    assert!(new.iter().any(|(_, outcome)| *outcome == "overloaded"), "{new:?}");
}

#[test]
fn who_gives_up_its_place_hears_of_it() {
    let mut host = Host::new(&json!({"max_waiting": 4}));
    let mut many: Vec<Request> = (0..6).map(|number| host.open(STRANGER, &format!("Bearer many-{number}"), b"")).collect();
    let outcomes: Vec<&str> = many.iter().map(Request::outcome).collect();
    assert_eq!(outcomes, ["waits", "waits", "waits", "waits", "overloaded", "overloaded"]);
    let mut few: Vec<Request> = (0..3).map(|number| host.open(CUSTOMER, &format!("Bearer few-{number}"), b"")).collect();
    host.tick(&mut many.iter_mut().collect::<Vec<_>>());
    let outcomes: Vec<&str> = many.iter().chain(&few).map(Request::outcome).collect();
    let expected = ["waits", "waits", "overloaded", "overloaded", "overloaded", "overloaded", "waits", "waits", "overloaded"];
    assert_eq!(outcomes, expected);
    host.answer(&mut few.iter_mut().chain(&mut many).collect::<Vec<_>>(), |_| active());
    let passed = few.iter().chain(&many).filter(|request| request.outcome() == "ok").count();
    assert_eq!(passed, 4);
}

/// All schemes together.
#[test]
fn places_are_counted_in_all() {
    let mut config = config(&json!({}));
    config["max_waiting"] = json!(3);
    let host = Host::with(&config);
    let held: Vec<Request> = (0..4).map(|number| host.open(STRANGER, &format!("Bearer t-{number}"), b"")).collect();
    assert_eq!(held.iter().map(Request::outcome).collect::<Vec<_>>(), ["waits", "waits", "waits", "overloaded"]);
    drop(held);
    assert_eq!(host.open(STRANGER, "Bearer t", b"").outcome(), "waits", "those who leave make room");
}

#[test]
fn one_odd_answer_costs_one_token() {
    for odd in [Ok(429), Ok(502), Ok(503), Ok(504), Err("closed")] {
        let odd = || odd.map(|status| (status, String::new())).map_err(str::to_owned);
        let mut host = Host::new(&json!({}));
        let mut cursed = host.open(STRANGER, "Bearer cursed", b"");
        host.tick(&mut []);
        host.answer(&mut [&mut cursed], |_| odd());
        assert_eq!(cursed.outcome(), "introspection_unavailable");
        assert_eq!(host.open(STRANGER, "Bearer cursed", b"").outcome(), "introspection_unavailable", "not asked again at once");
        for number in 0..20 {
            let mut cursed = host.open(STRANGER, &format!("Bearer cursed-{number}"), b"");
            let mut good = host.open(STRANGER, &format!("Bearer good-{number}"), b"");
            let key = good.key();
            host.tick(&mut []);
            host.answer(&mut [&mut cursed, &mut good], |asked| if *asked == key { active() } else { odd() });
            assert_eq!((cursed.outcome(), good.outcome()), ("introspection_unavailable", "ok"));
        }
    }
}

#[test]
fn an_endpoint_that_fails_again_and_again_is_left_alone_but_not_for_those_it_knows() {
    let mut host = Host::new(&json!({}));
    let mut known = host.open(CUSTOMER, "Bearer known", b"");
    host.tick(&mut []);
    host.answer(&mut [&mut known], |_| active());
    host.now = host.now.plus(LATER);
    let mut lost: Vec<Request> = (0..200).map(|number| host.open(STRANGER, &format!("Bearer lost-{number}"), b"")).collect();
    host.tick(&mut []);
    host.answer(&mut lost.iter_mut().collect::<Vec<_>>(), |_| Err("closed".to_owned()));
    host.tick(&mut lost.iter_mut().collect::<Vec<_>>());
    // Also of those who had not been asked about yet.
    assert!(lost.iter().all(|request| request.outcome() == "introspection_unavailable"));
    assert_eq!(host.open(CUSTOMER, "Bearer new", b"").outcome(), "introspection_unavailable");
    let mut again = host.open(CUSTOMER, "Bearer known", b"");
    host.tick(&mut []);
    host.answer(&mut [&mut again], |_| active());
    assert_eq!(again.outcome(), "ok");
    host.now = host.now.plus(Duration::from_secs(1));
    assert_eq!(host.open(CUSTOMER, "Bearer new", b"").outcome(), "waits");
}

/// Tokens whose requests have gone are not asked about, and do not stay.
#[test]
fn nobody_asks_for_those_who_left() {
    let mut host = Host::new(&json!({}));
    for number in 0..5000 {
        drop(host.open(STRANGER, &format!("Bearer gone-{number}"), b""));
    }
    let mut stays = host.open(CUSTOMER, "Bearer stays", b"");
    for _ in 0..200 {
        host.tick(&mut []);
    }
    assert_eq!(host.asked.len(), 1);
    host.answer(&mut [&mut stays], |_| active());
    assert_eq!(stays.outcome(), "ok");
}

/// An answer that is not believed for a moment is good for all who waited for it, whenever their turn comes.
#[test]
fn an_answer_is_for_all_who_waited() {
    let mut host = Host::new(&json!({"cache": "0s"}));
    let mut first = host.open(CUSTOMER, "Bearer one", b"");
    let mut second = host.open(CUSTOMER, "Bearer one", b"");
    host.tick(&mut []);
    host.answer(&mut [&mut first], |_| active());
    host.now = host.now.plus(Duration::from_millis(20));
    host.tell(&mut second, Event::Settled);
    assert_eq!((first.outcome(), second.outcome()), ("ok", "ok"));
    assert_eq!(host.open(CUSTOMER, "Bearer one", b"").outcome(), "waits");
}

#[test]
fn a_body_is_read_when_its_sender_is_known_and_at_once() {
    let text = "x".repeat(300_000);
    let body = json!({"jsonrpc": "2.0", "id": "id-1", "method": "GetTask", "params": {"id": "t", "text": text}}).to_string();
    for (answer, outcome, most) in [(active(), "ok", body.len()), (inactive(), "token_inactive", 64 * 1024)] {
        let mut host = Host::new(&json!({}));
        let mut request = host.open(CUSTOMER, "Bearer one", body.as_bytes());
        assert_eq!((request.outcome(), request.read), ("waits", 0));
        host.tick(&mut []);
        host.answer(&mut [&mut request], |_| answer.clone());
        assert_eq!(request.outcome(), outcome);
        assert!(outcome == "ok" || request.reply.contains(r#""id":"id-1""#), "{}", request.reply);
        assert!(request.read > 0 && request.read <= most, "{} bytes read", request.read);
    }
}

/// Keys that have to be fetched are waited for in the places of their scheme.
#[test]
fn those_who_wait_for_keys_have_places_too() {
    let config = json!({
        "issuers": [{"name": "corp", "issuer": "https://auth.example.com", "audiences": ["https://expense.example.com"],
                     "jwks": {"remote": {"uri": "https://auth.example.com/jwks", "cluster": "idp"}}}],
        "schemes": {"oauth2": {"bearer": {"issuers": ["corp"], "max_waiting": 2}}},
        "agents": [{
            "name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/"},
            "versions": {"1.0": {"bindings": ["http_json"]}}, "default_version": "1.0", "security": [{"oauth2": []}],
        }],
    });
    let host = Host::with(&config);
    let parts = [json!({"alg": "ES256", "typ": "at+jwt", "kid": "1"}), json!({"iss": "https://auth.example.com"}), json!("signature")];
    let token = format!("Bearer {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join("."));
    let held: Vec<Request> = (0..3).map(|_| host.open(STRANGER, &token, b"")).collect();
    assert_eq!(held.iter().map(Request::outcome).collect::<Vec<_>>(), ["waits", "waits", "overloaded"]);
    assert_eq!(host.open(CUSTOMER, &token, b"").outcome(), "waits");
    assert!(host.is_displaced(&held[1]) && !host.is_displaced(&held[0]));
}

/// Who is refused because too many wait for an agent's card is on record as one who called that agent.
#[test]
fn the_record_of_a_request_without_a_place_names_the_agent_whose_card_is_waited_for() {
    let config = json!({
        "schemes": {"open": {"none": {}}},
        "agents": [{
            "name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/"}, "versions": "from_card",
            "public_url": "https://expense.example.com", "security": [{"open": []}],
            "card": {"source": {"remote": {"uri": "http://127.0.0.1:9000/.well-known/agent-card.json", "cluster": "expense"}}},
        }],
        "max_waiting": 2,
    });
    let mut host = Host::with(&config);
    let mut held: Vec<Request> = (0..3).map(|_| host.open(STRANGER, "", b"")).collect();
    assert_eq!(held.iter().map(Request::outcome).collect::<Vec<_>>(), ["waits", "waits", "overloaded"]);
    assert_eq!(held[2].agent.as_deref(), Some("expense"));
    // Another client's request takes the place of one.
    assert_eq!(host.open(CUSTOMER, "", b"").outcome(), "waits");
    let [_, displaced, _] = held.as_mut_slice() else { panic!() };
    host.tick(&mut [displaced]);
    assert_eq!((displaced.outcome(), displaced.agent.as_deref()), ("overloaded", Some("expense")));
}
