//! `tests/attacks/tokens.json` through Envoy, and Project Wycheproof's vectors through Envoy's own cryptography: as far as
//! the host verifies (RSA PKCS#1 and ECDSA), by a test build that hands on what a header holds.

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use attache_mesh::verdicts::Corpus;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;
use wycheproof::{TestResult, ecdsa, rsa_pkcs1_verify};

use crate::suite::Suite;

const FILE: &str = include_str!("../../../attacks/tokens.json");

pub fn add(suite: &mut Suite) {
    suite.add("attacks::every_token_has_its_verdict", every_row);
    suite.add("attacks::wycheproof_holds_for_what_envoy_verifies", wycheproof);
}

async fn every_row(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("tokens.json");
    let attacks: Value = serde_json::from_str(FILE)?;
    let secret = attacks["secret"].as_str().context("secret")?;
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| {
        let names: Vec<&Value> = attacks["issuers"].as_array().into_iter().flatten().map(|issuer| &issuer["name"]).collect();
        plugin["schemes"] = json!({"oauth2": {"bearer": {"issuers": names}}});
        plugin["issuers"] = attacks["issuers"].clone();
        plugin["secrets"] = json!({"hmac": {"env": "ATTACKS_SECRET"}});
        plugin["agents"][0]["security"] = json!([{"oauth2": []}]);
    })?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["ATTACKS_SECRET"]});
    let envoy = Envoy::start("attacks", &file, Options::default().env("ATTACKS_SECRET", secret)).await?;
    for row in attacks["rows"].as_array().context("rows")?.iter().filter(|row| row["sendable"] != json!(false)) {
        let (name, expect) = (row["name"].as_str().context("name")?, row["expect"].as_str().context("expect")?);
        let mut call = send_1_0("attack");
        call.path = format!("{AGENT}{}", row["query"].as_str().unwrap_or_default());
        for header in row["headers"].as_array().context("headers")? {
            call = call.header(header[0].as_str().context("name")?, header[1].as_str().context("value")?);
        }
        let reply = call.send(envoy.port()).await.with_context(|| name.to_owned())?;
        if expect == "ok" {
            match reply.status {
                200 => corpus.passed(),
                status => corpus.wrong(format!("{name}: {status} {}", reply.text())),
            }
        } else {
            match refusal::check(&reply, expect, &Form::Rpc(json!("attack"))) {
                Ok(()) => corpus.refused(),
                Err(error) => corpus.wrong(format!("{name}: {error:#}")),
            }
        }
        ensure!(!format!("{:?}{}", reply.headers, reply.text()).contains(secret), "{name}: the secret comes back");
    }
    let (bad, good) = corpus.counts();
    corpus.end()?;
    ensure!(good >= 30 && bad >= 240, "{good} good and {bad} bad requests were sent");
    ensure!(!envoy.log().contains(secret), "the secret is in the log");
    ensure!(!envoy.log().contains("has no verify_signature"), "signatures were not verified by Envoy");
    Ok(())
}

/// One signature to be verified.
struct Vector {
    name: String,
    line: String,
    holds: bool,
}

impl Vector {
    fn new(algorithm: &str, number: usize, jwk: &Value, message: &[u8], signature: &[u8], expected: TestResult) -> Option<Self> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [jwk]}).to_string();
        let line = format!("{algorithm}.{}.{}.{}", encode(keys.as_bytes()), encode(message), encode(signature));
        let holds = match expected {
            TestResult::Valid => true,
            TestResult::Invalid => false,
            TestResult::Acceptable => return None,
        };
        Some(Self { name: format!("{algorithm} {number}"), line, holds })
    }
}

fn vectors() -> Result<Vec<Vector>> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut all = Vec::new();
    for (set, curve, length, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256", 32, "ES256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384", 48, "ES384"),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, "P-521", 66, "ES512"),
    ] {
        for group in ecdsa::TestSet::load(set).map_err(|error| anyhow::anyhow!("{error}"))?.test_groups {
            let (x, y) = group.key.key.get(1..).context("a point")?.split_at_checked(length).context("a point")?;
            let jwk = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)});
            all.extend(group.tests.iter().filter_map(|test| Vector::new(algorithm, test.tc_id, &jwk, &test.msg, &test.sig, test.result)));
        }
    }
    for (set, algorithm) in [
        (rsa_pkcs1_verify::TestName::Rsa2048Sha256, "RS256"),
        (rsa_pkcs1_verify::TestName::Rsa3072Sha384, "RS384"),
        (rsa_pkcs1_verify::TestName::Rsa4096Sha512, "RS512"),
        (rsa_pkcs1_verify::TestName::Rsa8192Sha256, "RS256"),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(set).map_err(|error| anyhow::anyhow!("{error}"))?.test_groups {
            let number = |bytes: &[u8]| encode(&bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
            let jwk = json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)});
            all.extend(group.tests.iter().filter_map(|test| Vector::new(algorithm, test.tc_id, &jwk, &test.msg, &test.sig, test.result)));
        }
    }
    Ok(all)
}

async fn wycheproof(mesh: &'static Mesh) -> Result<()> {
    let mut corpus = Corpus::new("wycheproof");
    let mut file = mesh.inbound_file()?;
    file.module(&place::module(true))?;
    let envoy = Envoy::start("wycheproof", &file, Options::default()).await?;
    let vectors = Arc::new(vectors()?);
    let good = vectors.iter().filter(|vector| vector.holds).count();
    ensure!(good >= 400 && vectors.len() - good >= 1000, "{good} good of {}", vectors.len());
    let port = envoy.port();
    let mut tasks = JoinSet::new();
    const LANES: usize = 4;
    for lane in 0..LANES {
        let vectors = vectors.clone();
        tasks.spawn(async move {
            let mut wrong = Vec::new();
            for vector in vectors.iter().skip(lane).step_by(LANES) {
                let reply = Call::get("/").header("x-attache-test-verify", &vector.line).send(port).await?;
                let expected = if vector.holds { 200 } else { 403 };
                if reply.status != expected {
                    wrong.push(format!("{}: {}, not {expected}", vector.name, reply.status));
                }
            }
            Ok::<_, anyhow::Error>(wrong)
        });
    }
    while let Some(lane) = tasks.join_next().await {
        lane??.into_iter().for_each(|what| corpus.wrong(what));
    }
    let came_out = |holds| vectors.iter().filter(|vector| vector.holds == holds).count();
    if corpus.is_clean() {
        (0..came_out(true)).for_each(|_| corpus.passed());
        (0..came_out(false)).for_each(|_| corpus.refused());
    }
    corpus.end()?;
    ensure!(!envoy.log().contains("has no verify_signature"), "signatures were not verified by Envoy");
    Ok(())
}
