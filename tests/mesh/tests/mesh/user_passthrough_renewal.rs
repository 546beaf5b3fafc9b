//! A partner whose agent verifies tokens and takes some back, and whose authorization server goes away: calls go on with what is good, and
//! nobody is asked again who has agreed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::http::{Call, Reply, message_1_0};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::Agent;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{HR, Other, SignIn, link};
use attache_mesh::user_server::Options;
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::credentials::{echo, token};
use crate::suite::Suite;

const LIMIT: Duration = Duration::from_secs(120);
/// A 401 to a token that is younger is passed on, in seconds.
const YOUNG: u64 = 60;

/// A call that succeeds: the token that the agent took from `user`.
async fn taken(house: &SignIn, user: &str, binding: &str) -> Result<String> {
    let reply = send(house, user, binding).await?;
    ensure!(reply.status == 200, "{user} over {binding}: {} {}\n{}", reply.status, reply.text(), house.envoy.log());
    let told = echo(&reply)?;
    ensure!(told.0["subject"] == user && told.0["client"] == "attache" && told.0["scope"] == "tasks.read", "{:?}", told.0);
    token(&reply)
}

async fn send(house: &SignIn, user: &str, binding: &str) -> Result<Reply> {
    match binding {
        "jsonrpc" => house.send(user, "hello").await,
        _ => {
            let call = Call::post("/message:send", &message_1_0("hello")).host("hr.example.com").version("1.0");
            call.bearer(&house.token(user).await?).send(house.envoy.port()).await
        }
    }
}

/// A 401 of the agent that is passed on: it is the agent's own, with its challenge.
fn passed_on(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 401 && reply.reason().is_none(), "{} {}", reply.status, reply.text());
    ensure!(reply.header("www-authenticate").is_some_and(|told| told.contains("taken back")), "{:?}", reply.headers);
    Ok(())
}

fn unavailable(reply: &Reply, binding: &str) -> Result<()> {
    let form = if binding == "jsonrpc" { Form::Rpc(json!("hello")) } else { Form::Status };
    refusal::check(reply, "credential_unavailable", &form)
}

async fn refused_tokens(mesh: &'static Mesh) -> Result<()> {
    let house = SignIn::start(mesh, "refused-tokens", Other { verifies: true, ..Other::default() }).await?;
    let agent: &Agent = house.agent.as_ref().context("no agent")?;
    let renewals = async |user: &str| house.partner.granted(user, "refresh_token").await;
    let mut tokens = Vec::new();
    for user in ["ann", "bob"] {
        ensure!(house.agree(user, &house.link(user).await?).await? == "Access is allowed");
        tokens.push(taken(&house, user, "jsonrpc").await?);
        ensure!(taken(&house, user, "http_json").await? == tokens[tokens.len() - 1], "one token over all bindings");
    }
    let since = claims(&tokens[1])?["iat"].as_u64().context("no iat")?;

    // A fresh token that is refused is passed on: another would be no better.
    agent.refuse("seen").await?;
    for _ in 0..3 {
        for user in ["ann", "bob"] {
            for binding in ["jsonrpc", "http_json"] {
                passed_on(&send(&house, user, binding).await?)?;
            }
        }
    }
    ensure!(renewals("ann").await? + renewals("bob").await? == 0, "a fresh token was renewed");
    house.envoy.logged(&["connection \"hr\"", "the agent answered 401 to the credential (user_passthrough)"]).await?;
    // Bob takes back what he granted, at the server. Nobody here knows.
    house.partner.revoke_all("bob").await?;

    // Once it is a minute old it is renewed: the call that is refused is told so, and the next has another.
    wait::until_known("tokens to be old", LIMIT, || Ok((place::now() > since + YOUNG).then_some(()))).await?;
    passed_on(&send(&house, "ann", "http_json").await?)?;
    let second = taken(&house, "ann", "jsonrpc").await?;
    ensure!(second != tokens[0] && taken(&house, "ann", "http_json").await? == second && renewals("ann").await? == 1);
    // The new one is young, whatever the agent says to it.
    agent.refuse("all").await?;
    for _ in 0..3 {
        passed_on(&send(&house, "ann", "jsonrpc").await?)?;
    }
    ensure!(renewals("ann").await? == 1, "a fresh token was renewed");
    agent.refuse("none").await?;
    ensure!(taken(&house, "ann", "jsonrpc").await? == second);

    // His cannot be renewed: he is asked again, and agrees to what is his alone.
    agent.refuse("seen").await?;
    passed_on(&send(&house, "bob", "jsonrpc").await?)?;
    let reply = send(&house, "bob", "jsonrpc").await?;
    let own = link(&reply.json()["result"]["task"]).with_context(|| reply.text())?;
    house.envoy.logged(&["no grant of a user", "invalid_grant", "has to agree anew"]).await?;
    ensure!(house.agree("bob", &own).await? == "Access is allowed");
    let anew = taken(&house, "bob", "http_json").await?;
    ensure!(!tokens.contains(&anew) && renewals("bob").await? == 0);
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "she was asked again");
    Ok(())
}

/// The server does not run, its port refuses: what is good goes on, what has expired waits. It comes back with what it had.
async fn server_away(mesh: &'static Mesh) -> Result<()> {
    const LIFETIME: u32 = 12;
    let partner = Options::default().lifetime(LIFETIME).lasting();
    let house = SignIn::start(mesh, "server-away", Other { partner, verifies: true, ..Other::default() }).await?;
    for user in ["ann", "bob"] {
        ensure!(house.agree(user, &house.link(user).await?).await? == "Access is allowed");
    }
    let hers = taken(&house, "ann", "jsonrpc").await?;
    let until = claims(&hers)?["exp"].as_u64().context("no exp")?;
    house.partner.stop();

    // With the token that there is calls go on until its last second, over both bindings.
    let (mut good, mut refused) = (0, 0);
    let reply = wait::until("a refusal", LIMIT, async || {
        for binding in ["jsonrpc", "http_json"] {
            let reply = send(&house, "ann", binding).await?;
            if reply.status == 200 {
                ensure!(token(&reply)? == hers, "another token");
                good += 1;
            } else {
                ensure!(place::now() + 1 >= until, "a good token was not used: {} {}", reply.status, reply.text());
                // The agent counts in whole seconds.
                if reply.status != 401 {
                    unavailable(&reply, binding)?;
                    refused += 1;
                }
            }
        }
        Ok((refused > 3).then_some(()))
    });
    reply.await?;
    ensure!(good > 2, "{good} calls went on");
    // Who has not called since it went gets no link either: what he granted stands.
    for binding in ["jsonrpc", "http_json"] {
        let reply = wait::until("his token to end", LIMIT, async || {
            let reply = send(&house, "bob", binding).await?;
            Ok((!matches!(reply.status, 200 | 401)).then_some(reply))
        });
        unavailable(&reply.await?, binding)?;
    }
    house.envoy.logged(&["no grant of a user", "the token endpoint"]).await?;

    house.partner.start_again().await?;
    for user in ["ann", "bob"] {
        let reply = wait::until("a token", LIMIT, async || {
            let reply = send(&house, user, "http_json").await?;
            Ok((reply.status == 200).then_some(reply))
        })
        .await?;
        let said = claims(&token(&reply)?)?;
        ensure!(said["sub"] == user && said["aud"] == HR && said["exp"].as_u64() > Some(until), "{said}");
    }
    let stats: Value = house.partner.stats().await?;
    ensure!(stats["granted"]["authorization_code"].is_null() && stats["reused"] == 0, "{stats}");
    ensure!(house.partner.granted("ann", "refresh_token").await? >= 1 && house.partner.granted("bob", "refresh_token").await? >= 1);
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_renewal::of_tokens_that_the_agent_refuses_once_a_minute", refused_tokens);
    suite.add("user_passthrough_renewal::goes_on_when_the_server_is_back", server_away);
}
