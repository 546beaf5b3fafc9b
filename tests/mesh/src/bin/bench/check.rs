//! Before and after measuring: every row really does its work, and the caches are really used, or not.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use attache_mesh::envoy::Envoy;
use attache_mesh::http::Call;
use attache_mesh::{mint, place, wait};
use serde_json::{Value, json};

use crate::kind::{Kind, Loads};
use crate::load::CONNECTIONS;
use crate::rows::{Row, TOKENS};
use crate::tokens::Issuer;

/// Requests with the given bodies and with nothing but the token changed.
pub struct Checks<'a> {
    issuer: &'a Issuer,
    /// A request without token and body.
    request: Call,
    bodies: Vec<Vec<u8>>,
}

impl<'a> Checks<'a> {
    /// With a small body and large ones.
    pub fn new(issuer: &'a Issuer, request: Call, loads: &Loads) -> Result<Self> {
        let bodies = [Kind::Small, Kind::Large, Kind::OneString].map(|kind| loads.body(kind).map(|body| body.to_vec()));
        Ok(Self { issuer, request, bodies: bodies.into_iter().collect::<Result<_>>()? })
    }

    /// Good requests reach the upstream whole, bad ones get the refusal that the row owes.
    pub async fn run(&self, row: Row, envoy: &Envoy) -> Result<()> {
        let good = self.issuer.token(0);
        for body in &self.bodies {
            let reply = self.request.clone().bearer(&good).body(body.clone()).send(envoy.port()).await?;
            let received = reply.json()["result"]["received"].as_u64();
            if reply.status != 200 || received != Some(u64::try_from(body.len())?) {
                bail!("{}: a good request of {} bytes got {} {}", row.title(), body.len(), reply.status, reply.text());
            }
        }
        let body = self.bodies.first().cloned().unwrap_or_default();
        for (what, call, refusals, owed) in self.bad(&good, &body)? {
            let reply = call.send(envoy.port()).await?;
            let status = reply.status;
            // Over JSON-RPC a fault of the request is answered with 200.
            let fits = if owed(row) { refusals.contains(&status) || reply.reason().is_some() } else { status == 200 };
            if !fits {
                bail!("{}: {what} got {status}", row.title());
            }
        }
        Ok(())
    }

    /// (what, request, statuses of a refusal, which rows refuse it)
    fn bad(&self, good: &str, body: &[u8]) -> Result<Vec<Bad>> {
        let with = |token: &str, body: &[u8]| self.request.clone().bearer(token).body(body.to_vec());
        let changed = |name: &str, value: Value| {
            let mut claims = self.issuer.claims(0);
            claims[name] = value;
            with(&self.issuer.sign(&claims), body)
        };
        let not_a2a = br#"{"hello": "there"}"#;
        Ok(vec![
            ("no token", self.request.clone().body(body.to_vec()), &[401], Row::authenticates),
            ("a broken signature", with(&mint::broken_signature(good)?, body), &[401], Row::authenticates),
            ("an expired token", changed("exp", json!(place::now().saturating_sub(600))), &[401], Row::authenticates),
            ("another audience", changed("aud", json!("https://other.example.com")), &[401, 403], Row::authenticates),
            ("another issuer", changed("iss", json!("https://other.example.com")), &[401], Row::authenticates),
            ("no scope", changed("scope", json!("agent:read")), &[403], Row::authorizes),
            ("a body that is not A2A", with(good, not_a2a), &[400], Row::authorizes),
        ])
    }
}

type Bad = (&'static str, Call, &'static [u16], fn(Row) -> bool);

/// The cache of `jwt_authn` was hit by all requests but the first of each token, or by none, as the row says.
pub async fn caches(row: Row, envoy: &Envoy) -> Result<()> {
    let hits = envoy.stat("jwt_cache_hit").await?;
    let misses = envoy.stat("jwt_cache_miss").await?;
    // Connections ask at the same time, and the checks sent some tokens of their own.
    let first = u64::try_from(TOKENS + CONNECTIONS + 100)?;
    let fits = match row {
        Row::JwtCached | Row::Native | Row::NativeAgain => hits > 0 && misses <= first,
        Row::JwtDefaultCache => misses > first && hits * 100 <= misses,
        _ => hits == 0,
    };
    if row == Row::FirstSight {
        first_sight(envoy).await?;
    }
    if fits { Ok(()) } else { bail!("{}: {hits} cache hits and {misses} misses are not what the row says", row.title()) }
}

/// Attaché knew none of the tokens but those of the checks.
async fn first_sight(envoy: &Envoy) -> Result<()> {
    // It adds up what it counts.
    wait::until("Attaché's counters", Duration::from_secs(5), async || {
        let [known, new] =
            [envoy.stat("attache_tokens.cache=.=hit;.;total").await?, envoy.stat("attache_tokens.cache=.=miss;.;total").await?];
        Ok((new > 0 && known <= 20 + new / 100).then_some(()))
    })
    .await
    .context("new tokens were not new to Attaché")
}
