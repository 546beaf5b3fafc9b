//! A filter whose connection calls as its users, both servers, and browsers.

mod board;
mod browser;
mod devices;
mod etcd;
mod work;

pub use browser::Browser;

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::supply::board::Board;
use attache::flow::supply::desk::{Desk, With};
use attache::flow::{Call, Context, Effect, Event, Exchange, Reply, Runtime, Step, Value as HeaderValue, Want};
use attache::identity::signature::Software;
use attache::wire::base64url;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use board::Memory;
use ed25519_dalek::{Signer as _, SigningKey};
use etcd::Etcd;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The error of a poll whose user has not decided.
pub const PENDING: &str = "authorization_pending";
/// Where browsers come back from the sign-in.
pub const SIGNED_IN: &str = "/consent/signed-in/corp";
/// Where they come back from where users agree.
pub const CALLBACK: &str = "/consent/callback/hr";

/// What seals grants and links.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Both servers.
struct Servers {
    key: SigningKey,
    /// What they do wrong.
    lie: &'static str,
    /// The forms that they got.
    asked: Vec<String>,
    /// The nonces of the requests to which browsers were sent, by user.
    nonces: BTreeMap<String, String>,
    /// How often tokens were given, by user.
    given: BTreeMap<String, u32>,
    /// What the user of every flow on another device has decided: the user's name for who agreed, or the error of a poll.
    decision: String,
    /// How many such flows began.
    flows: u32,
}

pub struct Land {
    runtime: Runtime,
    config: Value,
    desk: Desk<()>,
    board: Rc<Memory>,
    now: UnixTime,
    servers: RefCell<Servers>,
    etcd: RefCell<Etcd>,
    /// Nothing is fetched for calls.
    holds: bool,
    /// The lines of decisions.
    pub records: Vec<Value>,
}

/// What a request comes to.
#[derive(Debug)]
pub enum Answer {
    /// It is answered by the filter.
    Reply(Reply),
    /// It goes on, with these headers and this body.
    On(Vec<(String, String)>, String),
    /// It waits for this, where calls are held.
    Waits(Want),
}

impl Answer {
    pub fn is_reply(&self) -> bool {
        matches!(self, Self::Reply(_))
    }

    #[track_caller]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Reply(reply) => reply,
            Self::On(..) | Self::Waits(_) => panic!("it went on: {self:?}"),
        }
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.reply().body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    pub fn result(&self) -> Value {
        self.json()["result"].clone()
    }

    #[track_caller]
    pub fn task(&self) -> Value {
        let task = self.result()["task"].clone();
        assert!(task.is_object(), "{self:?}");
        task
    }

    #[track_caller]
    pub fn error(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("{self:?}"))
    }

    #[track_caller]
    pub fn bearer(&self) -> String {
        let Self::On(headers, _) = self else { panic!("it did not go on: {self:?}") };
        let line = headers.iter().rfind(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
        line.and_then(|line| line.strip_prefix("Bearer ")).unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    #[track_caller]
    pub fn body(&self) -> &str {
        match self {
            Self::On(_, body) => body,
            Self::Reply(_) | Self::Waits(_) => panic!("it did not go on: {self:?}"),
        }
    }
}

/// The link of a task that waits.
#[track_caller]
pub fn link(task: &Value) -> String {
    let parts = task["status"]["message"]["parts"].as_array().unwrap();
    parts.iter().find_map(|part| part["data"]["link"].as_str()).unwrap().to_owned()
}

/// The value of a parameter of a URL, decoded.
#[track_caller]
pub fn query(url: &str, name: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let found = form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// The value of a hidden field of a page.
#[track_caller]
pub fn field(page: &Answer, name: &str) -> String {
    let body = &page.reply().body;
    let start = format!("name=\"{name}\" value=\"");
    let rest = body.split(&start).nth(1).unwrap_or_else(|| panic!("no field {name} in {body}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Where an answer sends the browser: by a header, or by a link.
#[track_caller]
pub fn location(answer: &Answer) -> String {
    let reply = answer.reply();
    if let Some((_, location)) = reply.headers.iter().find(|(name, _)| *name == "location") {
        return location.clone();
    }
    let link = reply.body.split("class=\"go\" href=\"").nth(1).unwrap_or_else(|| panic!("{answer:?}"));
    link.split('"').next().unwrap().replace("&amp;", "&")
}

/// What `config` makes; workers share `board`.
fn runtime(config: &Value, seed: u128, board: &Rc<Memory>) -> Runtime {
    let config = Config::parse(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let mut secrets = Secrets::default();
    secrets.insert("key", Some(KEY.to_owned()));
    secrets.insert("client", Some("client-secret".to_owned()));
    Runtime::new(config, secrets).unwrap().seeded(seed).remembering_on(Rc::clone(board) as Rc<dyn Board>)
}

impl Land {
    /// With these members of `user_passthrough` besides.
    pub fn new(own: &Value) -> Self {
        Self::seeded(own, 42)
    }

    /// The same on a host with these random numbers.
    pub fn seeded(own: &Value, seed: u128) -> Self {
        Self::changed(own, seed, |_| {})
    }

    /// One where the callers whom `require` admits are operators.
    pub fn with_operators(require: &Value) -> Self {
        let mut land = Self::new(&json!({}));
        land.config["consent"]["operators"] = json!({"require": require});
        land.restart();
        land
    }

    /// One whose grants lie in an etcd.
    pub fn on_etcd() -> Self {
        let store = json!({"etcd": {"uri": "https://etcd.example:2379", "cluster": "etcd", "remember": "0s"}});
        Self::changed(&json!({}), 42, |config| config["consent"]["store"] = store)
    }

    /// The same where the server of `hr` says of itself where its endpoints are.
    pub fn discovering() -> Self {
        let discovery = json!({"uri": "https://hr.example/.well-known/openid-configuration", "cluster": "hr"});
        let client = json!({"client_id": "attache", "authentication": {"client_secret_basic": {"secret": "client"}}});
        let app = json!({"issuer": "https://hr.example", "discovery": discovery, "client": client, "scopes": ["openid", "tasks"]});
        Self::changed(&json!({}), 42, |config| config["oauth_apps"]["hr"] = app)
    }

    /// One with one server, at which users agree, too.
    pub fn with_one_server() -> Self {
        let client = json!({"token_endpoint": {"uri": "https://corp.example/token", "cluster": "corp"}, "client_id": "attache",
            "authentication": {"client_secret_basic": {"secret": "client"}}});
        Self::changed(&json!({"bind": "id_token"}), 42, |config| {
            let app = &mut config["oauth_apps"]["hr"];
            (app["issuer"], app["client"]) = (json!("https://corp.example"), client);
            app["authorization_endpoint"] = json!("https://corp.example/auth");
        })
    }

    /// Envoy starts again. What lies on the board stays, as with another worker.
    pub fn restart(&mut self) {
        self.runtime = runtime(&self.config, 43, &self.board);
        self.desk = Desk::default();
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        self.desk.open(b"{}", &with);
    }

    /// The same where the whole configuration is changed.
    pub fn changed(own: &Value, seed: u128, change: impl FnOnce(&mut Value)) -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let client = |name: &str| {
            json!({"token_endpoint": {"uri": format!("https://{name}.example/token"), "cluster": name}, "client_id": "attache",
                "authentication": {"client_secret_basic": {"secret": "client"}}})
        };
        let mut passthrough = json!({"app": "hr", "subject": {"issuers": ["corp"]}, "resource": ["https://hr.example.com"]});
        passthrough.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": base64url::encode(key.verifying_key().as_bytes())});
        let mut config = json!({
            "audit": {"subject": "plain"},
            "issuers": [{"name": "corp", "issuer": "https://corp.example", "audiences": ["https://o.example"], "algorithms": ["EdDSA"], "claims": {"user_marker": ["scp"]},
                "jwks": {"inline": {"keys": [jwk]}}}],
            "secrets": {"key": {"env": "KEY"}, "client": {"env": "CLIENT"}},
            "consent": {"public_url": "https://consent.example", "keys": [{"id": "k1", "secret": "key"}], "store": {"memory": {"grants": 64}},
                "sign_in": [{"issuer": "corp", "authorization_endpoint": "https://corp.example/auth", "client": client("corp")}]},
            "oauth_apps": {"hr": {"issuer": "https://hr.example", "require_iss": true, "authorization_endpoint": "https://hr.example/auth",
                "client": client("hr"), "scopes": ["openid", "tasks"],
                "revocation_endpoint": {"uri": "https://hr.example/revoke", "cluster": "hr"}}},
            "connections": [{"name": "hr", "match": {"hosts": ["hr.example.com"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
                "credential": {"user_passthrough": passthrough}}],
        });
        change(&mut config);
        let board = Rc::new(Memory::default());
        let runtime = runtime(&config, seed, &board);
        let servers = Servers {
            key,
            lie: "",
            asked: Vec::new(),
            nonces: BTreeMap::new(),
            given: BTreeMap::new(),
            decision: PENDING.to_owned(),
            flows: 0,
        };
        let (servers, etcd, now) = (RefCell::new(servers), RefCell::default(), UnixTime::from_secs(1_800_000_000));
        let mut land = Self { runtime, config, desk: Desk::default(), board, now, servers, etcd, holds: false, records: Vec::new() };
        let with = With { supply: land.runtime.supply(), board: &*land.board, now: land.now };
        land.desk.open(b"{}", &with);
        land
    }

    /// From now on a server does this wrong.
    pub fn lie(&self, about: &'static str) {
        self.servers.borrow_mut().lie = about;
    }

    pub fn tell_the_truth(&self) {
        self.lie("");
    }

    /// The etcd.
    pub fn etcd(&self) -> std::cell::RefMut<'_, Etcd> {
        self.etcd.borrow_mut()
    }

    /// In so many seconds.
    pub const fn in_seconds(&self, seconds: u64) -> UnixTime {
        self.now.plus(Duration::from_secs(seconds))
    }

    /// The users of all flows on other devices decide so: who it is that agrees, or the error of a poll.
    pub fn decide(&self, decision: &str) {
        self.servers.borrow_mut().decision = decision.to_owned();
    }

    /// Forms that the token endpoints got.
    pub fn asked(&self) -> Vec<String> {
        self.servers.borrow().asked.clone()
    }

    /// Time passes, in seconds.
    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn sign(&self, claims: &Value, kind: &str) -> String {
        let part = |value: &Value| base64url::encode(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "1", "typ": kind})), part(claims));
        let servers = self.servers.borrow();
        let mut signature = servers.key.sign(input.as_bytes()).to_bytes();
        if servers.lie == "signature" && kind == "JWT" {
            signature[0] ^= 1;
        }
        format!("{input}.{}", base64url::encode(&signature))
    }

    fn seconds(&self) -> u64 {
        self.now.since(UnixTime::default()).as_secs()
    }

    /// The token with which `client` calls for `user`.
    fn token(&self, user: &str, client: &str) -> String {
        let now = self.seconds();
        let mut claims = json!({"iss": "https://corp.example", "sub": user, "aud": "https://o.example", "client_id": client, "iat": now, "exp": now + 300});
        if user != "service" {
            claims["scp"] = json!("agent:execute");
        }
        if user.ends_with("@example.com") {
            claims["email"] = json!(user);
            claims["email_verified"] = json!(user != "bob@example.com");
        }
        self.sign(&claims, "at+jwt")
    }

    /// A message of `user`; `ids` are members of the message.
    pub fn send(&mut self, user: &str, ids: &Value) -> Answer {
        self.send_as(user, "orchestrator", ids)
    }

    pub fn send_as(&mut self, user: &str, client: &str, ids: &Value) -> Answer {
        let mut message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]});
        message.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
        self.ask_as(user, client, "SendMessage", &json!({"message": message}))
    }

    pub fn ask(&mut self, user: &str, method: &str, params: &Value) -> Answer {
        self.ask_as(user, "orchestrator", method, params)
    }

    fn ask_as(&mut self, user: &str, client: &str, method: &str, params: &Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let authorization = format!("Bearer {}", self.token(user, client));
        let headers = [
            (":method", "POST"),
            (":path", "/"),
            (":authority", "hr.example.com"),
            ("a2a-version", "1.0"),
            ("content-type", "application/json"),
            ("authorization", &authorization),
        ];
        self.request(&headers.map(|(name, value)| (name.to_owned(), value.to_owned())), &body)
    }

    /// A program of `user` asks the consent host.
    pub fn own(&mut self, user: &str, method: &str, path: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token(user, "orchestrator"));
        let headers = [(":method", method), (":path", path), (":authority", "consent.example"), ("authorization", &authorization)];
        self.request(&headers.map(|(name, value)| (name.to_owned(), value.to_owned())), "")
    }

    /// Where a server sends the browser back to, that was sent to `there`.
    pub fn back_from(&self, there: &str, path: &str, parameters: &[(&str, &str)]) -> String {
        let user = parameters.iter().find(|(name, _)| *name == "code").map_or("nobody", |(_, user)| user);
        self.servers.borrow_mut().nonces.insert(user.to_owned(), query(there, "nonce"));
        assert_eq!((query(there, "response_type"), query(there, "code_challenge_method")), ("code".to_owned(), "S256".to_owned()));
        let state = query(there, "state");
        let all = parameters.iter().copied().chain([("state", state.as_str())]);
        format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish())
    }

    /// What a server answers to a form.
    fn serve(&self, call: &Call) -> (u16, String) {
        let text = |value: &HeaderValue| match value {
            HeaderValue::Text(text) => text.clone(),
            HeaderValue::Secret(secret) => secret.expose_secret().to_owned(),
        };
        let form = call.body.as_ref().map(text).unwrap_or_default();
        if call.cluster == "etcd" {
            let path = call.headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| text(value)).unwrap();
            return self.etcd.borrow_mut().answer(&path, &form);
        }
        let field = |name: &str| form_urlencoded::parse(form.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
        self.servers.borrow_mut().asked.push(form.clone());
        let lie = self.servers.borrow().lie;
        let is_corp = call.cluster == "corp";
        if call.headers.iter().any(|(name, value)| name == ":path" && text(value) == "/.well-known/openid-configuration") {
            let issuer = if lie == "metadata" { "https://evil.example" } else { "https://hr.example" };
            let at = |path: &str| format!("https://hr.example{path}");
            let metadata = json!({"issuer": issuer, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
                "revocation_endpoint": at("/revoke"), "authorization_response_iss_parameter_supported": true});
            return (200, metadata.to_string());
        }
        let refresh = field("refresh_token");
        if lie == "down" {
            return (503, String::new());
        }
        let path = call.headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| text(value)).unwrap_or_default();
        match path.as_str() {
            "/revoke" => return (200, String::new()),
            "/device" | "/backchannel" => return self.begun(&path),
            _ => {}
        }
        if field("device_code").is_some() || field("auth_req_id").is_some() {
            return self.polled(field("auth_req_id").as_deref());
        }
        if lie == "refresh" && refresh.is_some() || lie == "code" && !is_corp {
            return (400, json!({"error": "invalid_grant"}).to_string());
        }
        if lie == "etcd" && refresh.is_some() {
            self.etcd.borrow_mut().is_away = true;
        }
        let user = match (&refresh, field("code")) {
            (Some(token), _) => token.split('-').nth(1).unwrap().replace('_', " "),
            (None, code) => code.unwrap(),
        };
        let mut servers = self.servers.borrow_mut();
        let nonce = servers.nonces.get(&user).cloned().unwrap_or_default();
        let count = servers.given.entry(user.clone()).or_default();
        if !is_corp {
            *count += 1;
        }
        let count = *count;
        drop(servers);
        let now = self.seconds();
        let claims = json!({"iss": "https://corp.example", "sub": user, "nonce": if lie == "nonce" { "other" } else { &nonce }, "iat": now,
            "aud": if lie == "aud" { "other" } else { "attache" }, "exp": if lie == "exp" { now - 600 } else { now + 300 }});
        let mut answer = json!({"access_token": format!("access-{}-{count}", user.replace(' ', "_")), "token_type": "Bearer", "expires_in": 300,
            "refresh_token": format!("refresh-{}-{count}", user.replace(' ', "_"))});
        if lie == "scope" {
            answer["scope"] = json!("more");
        }
        if is_corp {
            answer["id_token"] = json!(self.sign(&claims, "JWT"));
        }
        (200, answer.to_string())
    }

    /// One request from its first byte to its end.
    pub fn request(&mut self, headers: &[(String, String)], body: &str) -> Answer {
        let mut exchange = Exchange::default();
        let lines = headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        let mut event = Event::RequestHeaders { headers: Headers::new(lines), peer: None, end_of_stream: body.is_empty() };
        let (mut sent, mut body, mut has_come) = (headers.to_vec(), body.to_owned(), false);
        for _ in 0..64 {
            let context = Context { runtime: &self.runtime, verifier: &Software, now: self.now };
            let outcome = exchange.on(event, &context);
            for effect in outcome.effects {
                match effect {
                    Effect::Reply(reply) => return Answer::Reply(reply),
                    Effect::SetHeader(name, value) => {
                        let value = match value {
                            HeaderValue::Text(text) => text,
                            HeaderValue::Secret(secret) => secret.expose_secret().to_owned(),
                        };
                        sent.retain(|(own, _)| *own != name);
                        sent.push((name.into_owned(), value));
                    }
                    Effect::RemoveHeader(name) => sent.retain(|(own, _)| *own != name),
                    Effect::Audit(record) => self.records.push(serde_json::from_str(&record.line(self.now)).unwrap()),
                    Effect::ReplaceRequestBody(bytes) => body = String::from_utf8(bytes).unwrap(),
                    _ => {}
                }
            }
            event = match (outcome.step, outcome.interest.wait.until) {
                (Step::Continue, _) if has_come || body.is_empty() => return Answer::On(sent, body),
                (_, Some(want)) if self.holds => return Answer::Waits(want),
                (_, Some(want)) => {
                    self.settle(want);
                    Event::Settled
                }
                (Step::AskRoute(_), None) => Event::Route(Vec::new()),
                (Step::Continue | Step::Pause, None) if !has_come => {
                    has_come = true;
                    exchange.body_came(body.len(), true).event(body.clone().into_bytes())
                }
                (Step::Continue | Step::Pause, None) => {
                    let part = exchange.unread_body().expect("it waits for nothing");
                    let range = part.range.clone();
                    part.event(body.as_bytes()[range].to_vec())
                }
            };
        }
        panic!("it never ends");
    }
}
