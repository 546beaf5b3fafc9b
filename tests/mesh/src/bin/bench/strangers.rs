//! What requests cost that anybody can send: CPU time of Envoy for each, as a ratio to a good request of the same Envoy. Strangers
//! come in rounds with good requests, and each is refused as it should be.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::mint;
use attache_mesh::stand_in::{Answer, StandIn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::body;
use crate::cpu::{self, Clock};
use crate::kind::request;
use crate::load::{self, Load, Sample, Visited};
use crate::noise::{self, Refused};
use crate::rows::{Base, Names};
use crate::spread::Spread;
use crate::table::{self, Table};
use crate::tokens::{Issuer, made_up_key};

/// Agents of the larger configuration.
const AGENTS: usize = 200;
/// Bytes of the long path.
const PATH: usize = 50_000;
/// Bytes of the large body.
const LARGE: usize = 1_000_000;
/// Tokens that are made up before they are sent in turn.
const MADE_UP: usize = 20_000;
const ODD: &str = "https://odd.example.com";

/// What was measured of one kind of request.
struct Line {
    /// What it is.
    title: String,
    /// CPU time relative to a good request, by round.
    ratios: Vec<f64>,
    /// CPU time in microseconds, by round.
    costs: Vec<f64>,
}

/// One kind of request.
struct Kind {
    title: String,
    /// Which Envoy gets it.
    place: usize,
    load: Arc<Load>,
}

/// All that was measured.
pub struct Strangers {
    lines: Vec<Line>,
    /// The good request of the first Envoy relative to itself, by round: noise.
    again: Vec<f64>,
}

impl Strangers {
    /// Columns: kind of request, ratio, its spread, microseconds.
    pub fn table(&self, refused: &mut Refused) -> Result<Table> {
        let noise = Spread::of(self.again.iter().copied()).context("no rounds")?.off(1.0);
        let quiet = refused.allows("strangers", noise, noise::MOST);
        let mut table = table::head(["request", "ratio", "min..max", "CPU µs"]);
        for line in &self.lines {
            let mut cells = vec![line.title.clone()];
            cells.extend(match quiet {
                true => Spread::of(line.ratios.iter().copied()).context("no samples")?.ratio(),
                false => ["-".to_owned(), String::new()],
            });
            cells.extend(Spread::of(line.costs.iter().copied()).context("no samples")?.micros().into_iter().take(1));
            table.push(cells);
        }
        Ok(table)
    }
}

/// Measures all kinds in `rounds` rounds.
pub async fn measure(rounds: usize, seconds: f64, names: &Names, issuer: &Issuer, base: &Base) -> Result<Strangers> {
    let keys = StandIn::start(Answer::new("200 OK", "application/json", odd_keys().to_string())).await?;
    let asked = StandIn::start(Answer::new("200 OK", "application/json", r#"{"active":false}"#)).await?;
    let mut places = Vec::new();
    for agents in [1, AGENTS] {
        let file = file(base, agents, keys.port, asked.port)?;
        let envoy = Envoy::start(&format!("bench-strangers-{agents}"), &file, Options::default().workers(1)).await?;
        let clock = Clock::of(envoy.process().pid())?;
        places.push((envoy, clock));
    }
    cpu::separate(&places.iter().map(|(envoy, _)| envoy.process().pid()).collect::<Vec<_>>())?;
    let (good, bad) = (good(names, issuer, places.len())?, kinds(names, issuer)?);
    for kind in good.iter().chain(&bad) {
        let (envoy, _) = places.get(kind.place).context("no such Envoy")?;
        eprintln!("  checking: {}", kind.title);
        load::once(envoy.port(), &kind.load).await.with_context(|| kind.title.clone())?;
    }
    let mut again = Vec::new();
    let mut lines: Vec<Line> = bad.iter().map(|kind| Line { title: kind.title.clone(), ratios: Vec::new(), costs: Vec::new() }).collect();
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        let mut visited = Vec::new();
        for kind in good.iter().chain(&bad) {
            let (envoy, clock) = places.get(kind.place).context("no such Envoy")?;
            visited.push(Visited { name: kind.title.clone(), port: envoy.port(), load: &kind.load, clock: *clock });
        }
        let samples = load::round(&visited, Duration::from_secs_f64(seconds)).await?;
        let costs: Vec<f64> = samples.iter().map(Sample::cost).collect();
        let (good, bad_costs) = costs.split_at(good.len());
        if let [one, .., last] = good {
            again.push(last / one);
        }
        for ((line, kind), cost) in lines.iter_mut().zip(&bad).zip(bad_costs) {
            line.costs.push(*cost);
            line.ratios.push(cost / good.get(kind.place).context("no good request")?);
        }
    }
    Ok(Strangers { lines, again })
}

/// `agents` agents, an issuer with odd keys, a scheme that is asked about tokens, and an agent whose tasks are owned.
fn file(base: &Base, agents: usize, keys: u16, asked: u16) -> Result<EnvoyFile> {
    let mut file = base.file().clone();
    for (name, port) in [("odd_keys", keys), ("asked", asked)] {
        file.copy_cluster("idp", name)?;
        file.cluster(name, port)?;
    }
    file.edit_plugin(|plugin| {
        let audience = plugin["issuers"][0]["audiences"].clone();
        let remote = json!({"uri": format!("{ODD}/jwks"), "cluster": "odd_keys"});
        let odd = json!({"name": "odd", "issuer": ODD, "audiences": audience, "jwks": {"remote": remote}, "algorithms": ["PS256"]});
        if let Some(list) = plugin["issuers"].as_array_mut() {
            list.push(odd);
        }
        if let Some(list) = plugin["schemes"]["oauth2"]["bearer"]["issuers"].as_array_mut() {
            list.push(json!("odd"));
        }
        plugin["schemes"]["opaque"] = json!({"introspection": {
            "uri": "http://asked.internal/introspect", "cluster": "asked", "audiences": audience,
            "client": {"id": "attache", "secret": {"secret": "introspection"}},
        }});
        plugin["allow_inline_secrets"] = json!(true);
        plugin["secrets"]["introspection"] = json!({"inline": "introspection-secret"});
        plugin["secrets"]["tag"] = json!({"inline": "0123456789abcdef0123456789abcdef"});
        plugin["audit"] = json!({"level": "none"});
        let Some(list) = plugin["agents"].as_array_mut() else { return };
        let Some(plain) = list.first_mut() else { return };
        if let Some(security) = plain["security"].as_array_mut() {
            security.push(json!({"opaque": []}));
        }
        let plain = plain.clone();
        let mut owned = plain.clone();
        owned["name"] = json!("owned");
        owned["match"]["path_prefix"] = json!("/agents/owned");
        owned["tasks"] = json!({"owned": {"keys": [{"id": "k1", "secret": "tag"}]}});
        list.push(owned);
        for number in 2..agents {
            let mut other = plain.clone();
            other["name"] = json!(format!("agent-{number}"));
            other["match"]["path_prefix"] = json!(format!("/agents/other-{number}"));
            list.push(other);
        }
        for agent in list.iter_mut().filter_map(Value::as_object_mut) {
            agent.remove("public_url");
        }
    })?;
    Ok(file)
}

/// Keys without `alg`: one of 2048 bits and one of 8192.
fn odd_keys() -> Value {
    json!({"keys": [made_up_key("2048", 256), made_up_key("8192", 1024)]})
}

/// Tokens of the odd issuer, each with another signature.
fn odd_tokens(issuer: &Issuer, kid: &str, bytes: usize) -> Vec<String> {
    let mut claims = issuer.claims(0);
    claims["iss"] = json!(ODD);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(&json!({"alg": "PS256", "typ": "at+jwt", "kid": kid})), encode(&claims));
    let signature = |number: usize| {
        let mut signature = vec![0x55; bytes];
        signature.splice(bytes - 8.., (number as u64).to_be_bytes());
        URL_SAFE_NO_PAD.encode(signature)
    };
    (0..1000).map(|number| format!("{input}.{}", signature(number))).collect()
}

/// A good request for each Envoy, and one more for the first.
fn good(names: &Names, issuer: &Issuer, places: usize) -> Result<Vec<Kind>> {
    let load = Arc::new(Sent::new(names).bearer(&[issuer.token(0)])?.load(&[200])?);
    // And the first once more.
    let places = (0..places).chain([0]);
    Ok(places.map(|place| Kind { title: "a good request".to_owned(), place, load: Arc::clone(&load) }).collect())
}

fn kinds(names: &Names, issuer: &Issuer) -> Result<Vec<Kind>> {
    const REFUSED: [u16; 1] = [401];
    let sent = || Sent::new(names);
    let made_up: Vec<String> = (0..MADE_UP).map(|number| format!("made-up-{number}")).collect();
    let good = issuer.token(0);
    let broken: Vec<String> = (0..1000).map(|number| mint::broken_signature(&issuer.token(number))).collect::<Result<_>>()?;
    let forged: Vec<String> = (0..1000).map(|number| format!("{good}{number:04}")).collect();
    let long: String = format!("{}/", names.path) + &"a%7eb/".repeat(PATH / 6);
    let large = body::send_message(LARGE)?;
    let mut kinds = Vec::new();
    let mut add = |title: String, place: usize, load: Load| kinds.push(Kind { title, place, load: Arc::new(load) });
    add("no token".into(), 0, sent().load(&REFUSED)?);
    add("a token that is none".into(), 0, sent().bearer(&["a.b.c".to_owned()])?.load(&REFUSED)?);
    add("tokens with a wrong signature, RS256".into(), 0, sent().bearer(&broken)?.load(&REFUSED)?);
    add("tokens with a signature of a wrong length".into(), 0, sent().bearer(&forged)?.load(&REFUSED)?);
    for (kid, bytes) in [("2048", 256), ("8192", 1024)] {
        let tokens = odd_tokens(issuer, kid, bytes);
        add(format!("tokens with a wrong signature, PS256, key of {kid} bits without `alg`"), 0, sent().bearer(&tokens)?.load(&REFUSED)?);
    }
    add("made-up tokens that an endpoint is asked about".into(), 0, sent().bearer(&made_up)?.load(&REFUSED)?);
    let owned = || sent().to("/agents/owned").body(large.clone());
    add("1 MB for owned tasks, no token".into(), 0, owned().load(&REFUSED)?);
    add("1 MB for owned tasks, made-up tokens that an endpoint is asked about".into(), 0, owned().bearer(&made_up)?.load(&REFUSED)?);
    for (place, agents) in [1, AGENTS].into_iter().enumerate() {
        let load = Sent { method: Method::GET, body: Vec::new(), ..sent().to(&long) };
        add(format!("a path of {} KB, no token, agents: {agents}", PATH / 1000), place, load.load(&[400, 401, 404, 414])?);
    }
    add(format!("no token, agents: {AGENTS}"), 1, sent().load(&REFUSED)?);
    add(
        "a good token, a body that is no JSON".into(),
        0,
        sent().bearer(std::slice::from_ref(&good))?.body(b"{\"a\":".to_vec()).load(&[200, 400])?,
    );
    add("a good token, a method that does not exist".into(), 0, {
        sent().bearer(std::slice::from_ref(&good))?.body(br#"{"jsonrpc":"2.0","id":1,"method":"Nothing"}"#.to_vec()).load(&[200, 404])?
    });
    add("a good token, a compressed body".into(), 0, sent().bearer(&[good])?.header("content-encoding", "gzip").load(&[200, 415])?);
    Ok(kinds)
}

/// A load in the making.
struct Sent {
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    tokens: Vec<HeaderValue>,
}

impl Sent {
    fn new(names: &Names) -> Self {
        let body = body::send_message(437).unwrap_or_default();
        Self { method: Method::POST, path: names.path.clone(), headers: request(names).headers, body, tokens: Vec::new() }
    }

    fn to(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    fn body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn bearer(self, tokens: &[String]) -> Result<Self> {
        let tokens = tokens.iter().map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        Ok(Self { tokens: tokens.collect::<Result<_, _>>()?, ..self })
    }

    fn load(self, answers: &[u16]) -> Result<Load> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::from_bytes(&value)?);
        }
        let answers = answers.iter().map(|status| StatusCode::from_u16(*status)).collect::<Result<_, _>>()?;
        Ok(Load {
            method: self.method,
            path: self.path,
            headers,
            body: self.body.into(),
            tokens: self.tokens.into(),
            answers,
            next: AtomicUsize::new(0),
        })
    }
}
