//! What users granted, over time: renewed once and with rotation, taken back on either side, and kept while a server is away.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options as EnvoyOptions};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{Other, SignIn, link};
use attache_mesh::user_server::{Options, TOKEN};
use attache_mesh::wait;
use http::Method;
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

/// How long the partner's access tokens live, in seconds.
const LIFETIME: u32 = 8;
const LIMIT: Duration = Duration::from_secs(60);

/// The moment after which `token` is good no more.
async fn expiry(token: &str) -> Result<()> {
    let until = claims(token)?["exp"].as_u64().context("no exp")?;
    wait::until("a token to expire", LIMIT, async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        Ok((now > until).then_some(()))
    })
    .await
}

/// Waits until calls of ann are refused, which have a token until then.
async fn refused(house: &SignIn) -> Result<()> {
    let reply = wait::until("a refusal", LIMIT, async || {
        let reply = house.send("ann", "away").await?;
        if reply.status != 200 {
            return Ok(Some(reply));
        }
        token(&reply)?;
        Ok(None)
    });
    refusal::check(&reply.await?, "credential_unavailable", &Form::Rpc(json!("away")))
}

async fn renewed(mesh: &'static Mesh) -> Result<()> {
    // Two workers, which know of each other by what lies in the store alone.
    let other =
        Other { partner: Options::default().lifetime(LIFETIME), envoy: EnvoyOptions::default().own().workers(2), ..Other::default() };
    let house = SignIn::start(mesh, "renewed", other).await?;
    let renewals = async || house.partner.granted("ann", "refresh_token").await;
    house.agree("ann", &house.link("ann").await?).await?;
    let first = token(&house.send("ann", "first").await?)?;

    // What is used is renewed ahead of its end, without anybody calling; what is not used is not.
    wait::until("a renewal", LIMIT, async || Ok((renewals().await? > 0).then_some(()))).await?;
    expiry(&first).await?;
    tokio::time::sleep(Duration::from_secs(u64::from(LIFETIME))).await;
    ensure!(renewals().await? == 1, "a token that nobody uses was renewed");

    // Calls after its end wait for one renewal, whichever worker has them.
    let send = || house.send("ann", "again");
    let replies = tokio::try_join!(send(), send(), send(), send(), send(), send(), send(), send())?;
    let count = renewals().await?;
    let replies = <[Reply; 8]>::from(replies);
    let second = token(&replies[0])?;
    for reply in &replies {
        ensure!(token(reply)? == second, "{}", house.envoy.log());
    }
    ensure!(second != first && count == 2, "{count} renewals");
    // The server rotates refresh tokens, and none was sent twice.
    let requests = house.partner.requests().await?;
    let sent: Vec<&str> = requests.iter().filter_map(|request| request["params"]["refresh_token"].as_str()).collect();
    ensure!(sent.len() >= 2 && sent.iter().collect::<BTreeSet<_>>().len() == sent.len(), "{} refresh tokens", sent.len());
    ensure!(house.partner.stats().await?["reused"] == 0, "a refresh token was sent twice");

    // The server fails: calls are told to wait. Nobody is asked to agree.
    house.partner.fail(TOKEN, 503, 5).await?;
    refused(&house).await?;
    wait::until("a new token", LIMIT, async || {
        let reply = house.send("ann", "away").await?;
        match reply.status {
            200 => Ok((token(&reply)? != second).then_some(())),
            _ => refusal::check(&reply, "credential_unavailable", &Form::Rpc(json!("away"))).map(|()| None),
        }
    })
    .await?;
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "she was asked again");

    // The same where it takes calls and answers none. Whether it renews for a call that was given up is its own affair: with rotation
    // that may cost her a consent.
    house.partner.pause();
    let away = refused(&house).await;
    house.partner.resume();
    away?;

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
    let house = SignIn::start(mesh, "given-up", Other::default()).await?;
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
    // What she did is in the record, with its connection.
    house
        .envoy
        .logged(&["attache: audit ", "\"connection\":\"hr\",\"operation\":\"RevokeGrant\",\"issuer\":\"corp\"", "\"decision\":\"allow\""])
        .await?;
    Ok(())
}

/// An operator looks after what others granted, and nobody else does.
async fn looked_after(mesh: &'static Mesh) -> Result<()> {
    let consent = json!({"operators": {"require": {"subjects": ["user-7"]}}});
    let house = SignIn::start(mesh, "operators", Other { consent, ..Other::default() }).await?;
    for user in ["ann", "bob"] {
        house.agree(user, &house.link(user).await?).await?;
    }
    let query = "?issuer=corp&user=ann";
    let reply = grants(&house, "user-7", Method::GET, query).await?;
    let body = reply.json();
    ensure!(body["user"] == json!({"issuer": "corp", "subject": "ann"}), "{} {}", reply.status, reply.text());
    let [grant] = body["grants"].as_array().map_or(&[][..], Vec::as_slice) else { anyhow::bail!("{body}") };
    let id = format!("/{}{query}", grant["id"].as_str().context("no id")?);
    // To bob the query is not there.
    let own = grants(&house, "bob", Method::GET, query).await?.json();
    ensure!(
        own.get("user").is_none() && own["grants"].as_array().is_some_and(|own| own.len() == 1 && own[0]["id"] != grant["id"]),
        "{own}"
    );
    ensure!(grants(&house, "bob", Method::DELETE, &id).await?.status == 404);
    ensure!(grants(&house, "user-7", Method::GET, "?issuer=corp").await?.reason().as_deref() == Some("params_malformed"));
    token(&house.send("ann", "hello").await?)?;

    let gone = grants(&house, "user-7", Method::DELETE, &id).await?;
    ensure!(gone.status == 204 && house.partner.stats().await?["revocation"] == 1, "{} {}", gone.status, gone.text());
    house.asked("ann").await?;
    token(&house.send("bob", "still").await?)?;
    let told =
        ["\"operation\":\"RevokeGrant\"", "\"about\":{\"issuer\":\"corp\",\"subject\":", "\"connection\":\"hr\"", "\"decision\":\"allow\""];
    house.envoy.logged(&told).await?;
    // Ann was asked by a task: its record has the status of the answer.
    house.envoy.logged(&["\"reason\":\"consent_required\"", "\"status\":200"]).await?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_grants::are_renewed_once_kept_while_a_server_is_away_and_asked_for_again_when_taken_back", renewed);
    suite.add("user_passthrough_grants::are_listed_and_given_up_by_their_users", given_up);
    suite.add("user_passthrough_grants::of_others_are_revoked_by_operators", looked_after);
}
