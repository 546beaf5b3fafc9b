//! `tests/attacks/credentials.json` through Envoy: keys, passwords, certificates, bound and opaque tokens, and what pretends
//! to be one, with certificates of a real authority and an introspection endpoint that answers as each row says.

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::mint::Mint;
use attache_mesh::place;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::{Authority, Identity};
use attache_mesh::verdicts::Corpus;
use attache_mesh::wait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde_json::{Value, json};
use std::time::Duration;

use crate::suite::Suite;

const FILE: &str = include_str!("../../../attacks/credentials.json");
/// What the rows take the time to be.
const NOW: u64 = 1000;
/// The digest of a certificate in the rows, and as tokens name it.
const DIGEST: &str = "abababababababababababababababababababababababababababababababab";
const THUMBPRINT: &str = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s";

pub fn add(suite: &mut Suite) {
    suite.add("attacks::every_credential_has_its_verdict", every_row);
}

struct Here {
    envoy: Envoy,
    authority: Authority,
    mint: Mint,
    other: Mint,
    /// The introspection endpoint.
    issuer: StandIn,
    _agent: StandIn,
}

impl Here {
    async fn start(mesh: &Mesh, config: &Value) -> Result<Self> {
        let mint = Mint::new("1")?;
        let issuer = StandIn::start(Answer::new("500 Internal Server Error", "text/plain", "")).await?;
        let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| {
            *plugin = config.clone();
            plugin["issuers"][0]["jwks"] = json!({"inline": {"keys": [mint.jwk()]}});
            plugin["secrets"] = json!({"introspection": {"env": "ATTACKS_INTROSPECTION"}});
        })?;
        file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["ATTACKS_INTROSPECTION"]});
        file.copy_cluster("idp", "agent")?;
        file.cluster("agent", agent.port)?;
        file.cluster("idp", issuer.port)?;
        let manager = file.http_manager()?;
        manager["max_request_headers_kb"] = json!(1024);
        manager["forward_client_cert_details"] = json!("ALWAYS_FORWARD_ONLY");
        manager["route_config"]["virtual_hosts"] =
            json!([{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "agent"}}]}]);
        let authority = Authority::new("attacks")?;
        authority.guard(&mut file, &authority.issue("localhost", &[], &["localhost"])?)?;
        let envoy =
            Envoy::start("attack-credentials", &file, Options::default().own().env("ATTACKS_INTROSPECTION", "canary-of-introspection"))
                .await?;
        Ok(Self { envoy, authority, mint, other: Mint::new("2")?, issuer, _agent: agent })
    }

    /// The certificate of a row; `None` if no certificate can be like that.
    fn certificate(&self, peer: &Value) -> Option<Identity> {
        let texts = |name: &str| peer[name].as_str().into_iter().collect::<Vec<_>>();
        let name = match peer["subject"].as_str() {
            Some("CN=old,O=corp") => vec![("O", "corp"), ("CN", "old")],
            Some(other) => vec![("CN", other)],
            None => vec![("CN", "somebody")],
        };
        self.authority.issue_as(&name, &texts("uri"), &texts("dns")).ok()
    }

    /// The value of a header; `None` if no client can send it.
    fn value(&self, spec: &Value, number: usize, certificate: Option<&Identity>) -> Option<HeaderValue> {
        let text = match spec {
            Value::String(text) => text.replace("canary.opaque~token", &format!("canary.opaque~token{number}")).into_bytes(),
            _ if spec["token"].is_object() => {
                let mut claims = json!({"iss": "https://auth.example.com", "aud": "https://expense.example.com", "sub": "ann",
                    "client_id": "cli", "scope": "agent:execute", "iat": 900, "exp": 2000, "jti": number.to_string()});
                merge(&mut claims, &spec["token"]["claims"]);
                later(&mut claims);
                bind(&mut claims, certificate);
                let mut header = self.mint.header();
                merge(&mut header, &spec["token"]["header"]);
                // Key 2 is somebody else's.
                let signed = if spec["token"]["key"] == 2 { &self.other } else { &self.mint }.sign_as(&header, &claims);
                format!("Bearer {signed}").into_bytes()
            }
            _ => {
                let hex = spec["hex"].as_str()?;
                (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
            }
        };
        HeaderValue::from_bytes(&text).ok()
    }

    /// Sends a row; `None` if it cannot be sent.
    async fn send(&self, row: &Value, number: usize, certificate: Option<&Identity>) -> Result<Option<Reply>> {
        let query = row["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
        let mut call =
            Call::get(format!("/{}/tasks/t{query}", row["agent"].as_str().context("agent")?)).host("expense.example.com").version("1.0");
        for pair in row["headers"].as_array().context("headers")? {
            let name = pair[0].as_str().context("name")?.to_owned();
            let Some(value) = self.value(&pair[1], number, bound_to(row, certificate)) else { return Ok(None) };
            call.headers.push((name, value.as_bytes().to_vec()));
        }
        self.authority.send(&call, self.envoy.port(), certificate).await.map(Some)
    }

    /// The introspection endpoint answers as the row says.
    fn prepare(&self, answer: &Value, certificate: Option<&Identity>) {
        let status = match answer.as_u64() {
            None => "200 OK",
            Some(302) => "302 Found",
            Some(401) => "401 Unauthorized",
            Some(_) => "500 Internal Server Error",
        };
        let mut document = answer.clone();
        later(&mut document);
        bind(&mut document, certificate);
        let body = if answer.is_u64() { String::new() } else { document.to_string() };
        self.issuer.answer(Answer::new(status, "application/json", body));
    }
}

/// Where a row says its digest it is this certificate that tokens are bound to.
fn bound_to<'a>(row: &Value, certificate: Option<&'a Identity>) -> Option<&'a Identity> {
    certificate.filter(|_| row["peer"]["digest"] == DIGEST)
}

/// Binds a token of the rows to `certificate`.
fn bind(claims: &mut Value, certificate: Option<&Identity>) {
    if let Some(certificate) = certificate.filter(|_| claims["cnf"]["x5t#S256"] == THUMBPRINT) {
        claims["cnf"]["x5t#S256"] = json!(URL_SAFE_NO_PAD.encode(certificate.digest));
    }
}

/// Moves the times of a token from those of the rows to now.
fn later(claims: &mut Value) {
    for name in ["iat", "exp", "nbf"] {
        if let Some(time) = claims.get(name).and_then(Value::as_u64) {
            claims[name] = json!(time.saturating_add(place::now()).saturating_sub(NOW));
        }
    }
}

/// Members of `changes` replace those of `base`; `null` removes one.
fn merge(base: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(base.as_object_mut().and_then(|map| map.remove(name))),
            value => base[name] = value.clone(),
        }
    }
}

async fn every_row(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("credentials.json");
    let attacks: Value = serde_json::from_str(FILE)?;
    let here = Here::start(mesh, &attacks["config"]).await?;
    let mut unsent = Vec::new();
    for (number, row) in attacks["rows"].as_array().context("rows")?.iter().enumerate() {
        let place = format!("{} at {}", row["name"], row["agent"]);
        let expect = row["expect"].as_str().context("expect")?;
        let mut tries = 0;
        let certificate = row.get("peer").map(|peer| here.certificate(peer));
        if certificate.as_ref().is_some_and(Option::is_none) {
            unsent.push(place);
            continue;
        }
        let certificate = certificate.flatten();
        if let Some(answer) = row.get("introspection") {
            here.prepare(answer, bound_to(row, certificate.as_ref()));
        }
        // After an answer that is none the endpoint has a rest; until then nobody asks it.
        let reply = wait::until(&place, Duration::from_secs(10), async || {
            tries += 1;
            let reply = here.send(row, number + 1000 * tries, certificate.as_ref()).await.with_context(|| place.clone())?;
            let rests = row.get("introspection").is_some() && expect != "introspection_unavailable";
            let reason = reply.as_ref().and_then(Reply::reason);
            Ok((!rests || reason.as_deref() != Some("introspection_unavailable")).then_some(reply))
        })
        .await?;
        let Some(reply) = reply else {
            unsent.push(place);
            continue;
        };
        let reason = reply.reason().unwrap_or_else(|| if reply.status == 200 { "ok".to_owned() } else { reply.status.to_string() });
        if format!("{:?}{}", reply.headers, reply.text()).contains("canary") {
            corpus.wrong(format!("{place}: a secret comes back"));
        } else if reason != expect {
            corpus.wrong(format!("{place}: {expect} expected, got {reason}"));
        } else if expect == "ok" {
            corpus.passed();
        } else {
            corpus.refused();
        }
    }
    let (bad, good) = corpus.counts();
    corpus.end()?;
    ensure!(good >= 45 && bad >= 150 && unsent.len() <= 8, "{good} good and {bad} bad were sent, not {unsent:?}");
    let told = here.envoy.log() + &here.envoy.process().out();
    ensure!(!told.contains("canary-key") && !told.contains("canary-password") && !told.contains("canary-of"), "a secret is in the log");
    Ok(())
}
