//! A filter whose connection calls as its users, both servers, and browsers.

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::supply::board::Board;
use attache::flow::supply::desk::{Arrived, Desk, Errand, With};
use attache::flow::{Call, Context, Effect, Event, Exchange, Reply, Runtime, Step, Value as HeaderValue, Want};
use attache::identity::signature::Software;
use attache::wire::base64url;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use ed25519_dalek::{Signer as _, SigningKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// Where browsers come back from the sign-in.
pub const SIGNED_IN: &str = "/consent/signed-in/corp";
/// Where they come back from where users agree.
pub const CALLBACK: &str = "/consent/callback/hr";

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
}

pub struct Land {
    runtime: Runtime,
    desk: Desk<()>,
    board: Rc<Memory>,
    now: UnixTime,
    servers: RefCell<Servers>,
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
}

impl Answer {
    pub fn is_reply(&self) -> bool {
        matches!(self, Self::Reply(_))
    }

    #[track_caller]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Reply(reply) => reply,
            Self::On(..) => panic!("it went on: {self:?}"),
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
            Self::Reply(_) => panic!("it did not go on: {self:?}"),
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

impl Land {
    /// With these members of `user_passthrough` besides.
    pub fn new(own: &Value) -> Self {
        Self::made(own, &json!({}), 42)
    }

    /// The same on a host with these random numbers.
    pub fn seeded(seed: u128) -> Self {
        Self::made(&json!({}), &json!({}), seed)
    }

    /// The same where the callers whom `require` admits are operators.
    pub fn with_operators(require: &Value) -> Self {
        Self::made(&json!({}), &json!({"operators": {"require": require}}), 42)
    }

    fn made(own: &Value, consent: &Value, seed: u128) -> Self {
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
        config["consent"].as_object_mut().unwrap().extend(consent.as_object().unwrap().clone());
        let config = Config::parse(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let mut secrets = Secrets::default();
        secrets.insert("key", Some("0123456789abcdef0123456789abcdef".to_owned()));
        secrets.insert("client", Some("client-secret".to_owned()));
        let board = Rc::new(Memory::default());
        let runtime = Runtime::new(config, secrets).unwrap().seeded(seed).remembering_on(Rc::clone(&board) as Rc<dyn Board>);
        let servers = Servers { key, lie: "", asked: Vec::new(), nonces: BTreeMap::new(), given: BTreeMap::new() };
        let now = UnixTime::from_secs(1_800_000_000);
        let mut land = Self { runtime, desk: Desk::default(), board, now, servers: RefCell::new(servers), records: Vec::new() };
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
        let field = |name: &str| form_urlencoded::parse(form.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
        self.servers.borrow_mut().asked.push(form.clone());
        let lie = self.servers.borrow().lie;
        let is_corp = call.cluster == "corp";
        let refresh = field("refresh_token");
        if lie == "down" {
            return (503, String::new());
        }
        if call.headers.iter().any(|(name, value)| name == ":path" && text(value) == "/revoke") {
            return (200, String::new());
        }
        if lie == "refresh" && refresh.is_some() || lie == "code" && !is_corp {
            return (400, json!({"error": "invalid_grant"}).to_string());
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

    /// Fetches `want`, with all that follows.
    fn settle(&mut self, want: Want) {
        let with = With { supply: self.runtime.supply(), board: &*self.board, now: self.now };
        let mut errands = Vec::new();
        self.desk.fetch(want, &with, &mut errands);
        let mut errands = VecDeque::from(errands);
        while let Some(errand) = errands.pop_front() {
            if let Errand::Send(want, call) = errand {
                let (status, body) = self.serve(&call);
                let headers = Headers::new(vec![(":status".to_owned(), status.to_string().into_bytes())]);
                let arrived = Arrived { headers: &headers, body: body.as_bytes(), size: body.len() };
                errands.extend(self.desk.answered(want, &arrived, &with));
            }
        }
    }
}

/// A browser.
#[derive(Clone, Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

impl Browser {
    /// From now on it sends this header, too, or in place of its own.
    pub fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn ask(&mut self, land: &mut Land, method: &str, path: &str, body: &str) -> Answer {
        let mut headers: Vec<(String, String)> =
            [(":method", method), (":path", path), (":authority", "consent.example")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        if !self.cookies.is_empty() {
            let list: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push(("cookie".to_owned(), list.join("; ")));
        }
        for (name, value) in &self.headers {
            headers.retain(|(own, _)| own != name);
            headers.push((name.clone(), value.clone()));
        }
        let answer = land.request(&headers, body);
        if let Answer::Reply(reply) = &answer {
            for (_, line) in reply.headers.iter().filter(|(name, _)| *name == "set-cookie") {
                let (pair, rest) = line.split_once(';').unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                match rest.contains("Max-Age=0") {
                    true => drop(self.cookies.remove(name)),
                    false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
                }
            }
        }
        answer
    }

    /// Opens a URL of the consent host, or a path of it.
    pub fn get(&mut self, land: &mut Land, url: &str) -> Answer {
        let path = url.strip_prefix("https://consent.example").unwrap_or(url);
        self.ask(land, "GET", path, "")
    }

    /// Sends a form.
    pub fn post(&mut self, land: &mut Land, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask(land, "POST", "/consent/start", &body)
    }

    /// Presses the button of a page.
    pub fn submit(&mut self, land: &mut Land, page: &Answer) -> Answer {
        let (link, csrf) = (field(page, "link"), field(page, "csrf"));
        self.post(land, &[("link", &link), ("csrf", &csrf)])
    }
}
