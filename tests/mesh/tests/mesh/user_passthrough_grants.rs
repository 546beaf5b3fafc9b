//! What users granted, over time: renewed once and with rotation, taken back on either side, and kept while a server is away.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::Envoy;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{Other, SignIn, link};
use attache_mesh::user_server::Options;
use attache_mesh::wait;
use http::Method;
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

/// How long the partner's access tokens live, in seconds.
const LIFETIME: u32 = 8;
const LIMIT: Duration = Duration::from_secs(60);

async fn house(mesh: &Mesh, name: &str, lifetime: u32) -> Result<SignIn> {
    SignIn::start(mesh, name, Other { partner: Options::default().lifetime(lifetime), ..Other::default() }).await
}

/// The moment after which `token` is good no more.
async fn expiry(token: &str) -> Result<()> {
    let until = claims(token)?["exp"].as_u64().context("no exp")?;
    wait::until("a token to expire", LIMIT, async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        Ok((now > until).then_some(()))
    })
    .await
}

async fn renewed(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "renewed", LIFETIME).await?;
    let renewals = async || house.partner.granted("ann", "refresh_token").await;
    house.agree("ann", &house.link("ann").await?).await?;
    let first = token(&house.send("ann", "first").await?)?;

    // What is used is renewed ahead of its end, without anybody calling; what is not used is not.
    wait::until("a renewal", LIMIT, async || Ok((renewals().await? > 0).then_some(()))).await?;
    expiry(&first).await?;
    tokio::time::sleep(Duration::from_secs(u64::from(LIFETIME))).await;
    ensure!(renewals().await? == 1, "a token that nobody uses was renewed");

    // Two calls after its end wait for one renewal.
    let (one, other) = tokio::try_join!(house.send("ann", "one"), house.send("ann", "other"))?;
    let second = token(&one)?;
    ensure!(second == token(&other)? && second != first && renewals().await? == 2, "{} renewals", renewals().await?);
    // The server rotates refresh tokens, and none was sent twice.
    let requests = house.partner.requests().await?;
    let sent: Vec<&str> = requests.iter().filter_map(|request| request["params"]["refresh_token"].as_str()).collect();
    ensure!(sent.len() >= 2 && sent.iter().collect::<BTreeSet<_>>().len() == sent.len(), "{} refresh tokens", sent.len());
    ensure!(house.partner.stats().await?["reused"] == 0, "a refresh token was sent twice");

    // The server is away: who has a token goes on with it, others are told to wait. Nobody is asked to agree.
    house.partner.pause();
    let away = wait::until("a refusal", LIMIT, async || {
        let reply = house.send("ann", "away").await?;
        Ok(match reply.status {
            200 => {
                token(&reply)?;
                None
            }
            _ => Some(reply),
        })
    })
    .await;
    house.partner.resume();
    refusal::check(&away?, "credential_unavailable", &Form::Rpc(json!("away")))?;
    wait::until("a token", LIMIT, async || {
        let reply = house.send("ann", "back").await?;
        match reply.status {
            200 => Ok(Some(token(&reply)?)),
            _ => refusal::check(&reply, "credential_unavailable", &Form::Rpc(json!("back"))).map(|()| None),
        }
    })
    .await?;
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "she was asked again");

    // The server takes back what she granted: she is asked again.
    house.partner.revoke_all("ann").await?;
    let asked = wait::until("a question", LIMIT, async || {
        let reply = house.send("ann", "taken back").await?;
        let task = reply.json()["result"]["task"].take();
        Ok(link(&task).ok())
    });
    ensure!(house.agree("ann", &asked.await?).await? == "Access is allowed");
    token(&house.send("ann", "anew").await?)?;
    Ok(())
}

/// What `user` asks of their grants.
async fn grants(house: &SignIn, user: &str, method: Method, rest: &str) -> Result<Reply> {
    grants_at(&house.envoy, &house.token(user).await?, method, rest).await
}

/// The same at an Envoy, with a token.
pub async fn grants_at(envoy: &Envoy, token: &str, method: Method, rest: &str) -> Result<Reply> {
    let call = Call::new(method, format!("/consent/grants{rest}")).host("consent.example.com");
    call.bearer(token).send(envoy.port()).await
}

/// The grants of `user`.
async fn listed(house: &SignIn, user: &str) -> Result<Vec<Value>> {
    let reply = grants(house, user, Method::GET, "").await?;
    ensure!(reply.status == 200 && reply.header("cache-control") == Some("no-store"), "{} {}", reply.status, reply.text());
    reply.json()["grants"].as_array().cloned().with_context(|| reply.text())
}

async fn given_up(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "given-up", 600).await?;
    ensure!(listed(&house, "ann").await?.is_empty());
    for user in ["ann", "bob"] {
        house.agree(user, &house.link(user).await?).await?;
        token(&house.send(user, "hello").await?)?;
    }
    let own = listed(&house, "ann").await?;
    let [grant] = &own[..] else { anyhow::bail!("{own:?}") };
    ensure!(grant["connection"] == "hr" && grant["client"] == "orchestrator", "{grant}");
    ensure!(grant["scopes"] == json!(["openid", "tasks.read"]) && grant["agreed_at"].is_string(), "{grant}");
    ensure!(!grant.to_string().contains("eyJ"), "a token is shown");
    let id = format!("/{}", grant["id"].as_str().context("no id")?);

    // Nobody without a token of a user, and nobody but her.
    let bare = Call::get("/consent/grants").host("consent.example.com").send(house.envoy.port()).await?;
    ensure!(bare.status == 401 && bare.header("www-authenticate").is_some(), "{} {}", bare.status, bare.text());
    let other = grants(&house, "bob", Method::DELETE, &id).await?;
    ensure!(other.status == 404, "{} {}", other.status, other.text());
    ensure!(house.partner.stats().await?["revocation"] == 0 && listed(&house, "ann").await?.len() == 1);

    // She gives it up: here and at the partner's server.
    let gone = grants(&house, "ann", Method::DELETE, &id).await?;
    ensure!(gone.status == 204 && gone.body.is_empty(), "{} {}", gone.status, gone.text());
    ensure!(house.partner.stats().await?["revocation"] == 1, "the server does not know of it");
    ensure!(listed(&house, "ann").await?.is_empty() && listed(&house, "bob").await?.len() == 1);
    ensure!(grants(&house, "ann", Method::DELETE, &id).await?.status == 404);
    house.asked("ann").await?;
    token(&house.send("bob", "still").await?)?;
    // What she did is in the record, with its connection and without an operation of A2A.
    house.envoy.logged(&["attache: audit ", "\"connection\":\"hr\",\"issuer\":\"corp\"", "\"decision\":\"allow\""]).await?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_grants::are_renewed_once_kept_while_a_server_is_away_and_asked_for_again_when_taken_back", renewed);
    suite.add("user_passthrough_grants::are_listed_and_given_up_by_their_users", given_up);
}
