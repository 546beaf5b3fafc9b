//! Many users whose tokens end at once: each is renewed once, whoever needs it, wherever they call.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options as EnvoyOptions};
use attache_mesh::etcd::{self, Etcd};
use attache_mesh::http::Reply;
use attache_mesh::mesh::Mesh;
use attache_mesh::sign_in::{Other, SignIn, link, message};
use attache_mesh::user_server::Options;
use attache_mesh::visitor::Visitor;
use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

const USERS: usize = 64;
/// Calls of each user at once.
const CALLS: usize = 3;
/// How many users sign in at a time.
const AT_A_TIME: usize = 8;
/// How long the first tokens are good, as the server says, in seconds.
const BRIEF: u64 = 2;

async fn call(envoy: &Envoy, token: &str) -> Result<Reply> {
    message("hello", &json!({})).bearer(token).send(envoy.port()).await
}

/// `user` agrees, without a browser; the token that they call with.
async fn agree(house: &SignIn, user: String) -> Result<(String, String)> {
    let own = house.token(&user).await?;
    let reply = call(&house.envoy, &own).await?;
    let link = link(&reply.json()["result"]["task"]).with_context(|| reply.text())?;
    let mut visitor = Visitor::new(&user, &[("consent.example.com", house.envoy.port())]);
    let page = visitor.open(&link).await?;
    let page = visitor.send_form(&page).await?;
    ensure!(page.reply.text().contains("Access is allowed"), "{user}: {} {}", page.url, page.reply.text());
    Ok((user, own))
}

/// All agree, and their tokens end. Then all call at once, some by way of each Envoy: what the server counts.
async fn storm(house: &SignIn, envoys: &[&Envoy]) -> Result<()> {
    // By what it says of them the first tokens end at once, those that follow do not.
    house.partner.bend_answer("authorization_code", &json!({"expires_in": BRIEF})).await?;
    let users = stream::iter(0..USERS).map(|number| agree(house, format!("user-{number}"))).buffer_unordered(AT_A_TIME);
    let users: Vec<(String, String)> = users.try_collect().await?;
    tokio::time::sleep(Duration::from_secs(BRIEF)).await;
    ensure!(house.partner.stats().await?["granted"]["refresh_token"].is_null(), "what nobody uses was renewed");

    let calls = users.iter().flat_map(|(user, own)| (0..CALLS).map(move |number| (user, own, number)));
    let replies = stream::iter(calls).map(async |(user, own, number)| {
        let envoy = envoys.get(number % envoys.len()).context("no Envoy")?;
        anyhow::Ok((user, call(envoy, own).await?))
    });
    let replies: Vec<(&String, Reply)> = replies.buffer_unordered(USERS * CALLS).try_collect().await?;
    let mut sent: BTreeMap<&String, String> = BTreeMap::new();
    for (user, reply) in &replies {
        ensure!(reply.status == 200, "{user}: {} {}\n{}", reply.status, reply.text(), house.envoy.log());
        let sent_now = token(reply)?;
        ensure!(claims(&sent_now)?["sub"] == user.as_str(), "{user} calls as somebody else");
        let first = sent.entry(user).or_insert_with(|| sent_now.clone());
        ensure!(*first == sent_now, "{user} has two tokens");
    }
    ensure!(sent.len() == USERS && replies.len() == USERS * CALLS);

    let stats: Value = house.partner.stats().await?;
    let count = USERS as u64;
    ensure!(stats["granted"] == json!({"authorization_code": count, "refresh_token": count}), "{}", stats["granted"]);
    ensure!(stats["reused"] == 0 && stats["refused"] == json!({}), "{stats}");
    for (user, _) in &users {
        ensure!(stats["granted_to"][user]["refresh_token"] == 1, "{user}: {}", stats["granted_to"][user]);
    }
    Ok(())
}

fn quick() -> (Options, Options) {
    (Options::default().quick(), Options::default().quick())
}

async fn over_workers(mesh: &'static Mesh) -> Result<()> {
    let (corp, partner) = quick();
    let envoy = EnvoyOptions::default().own().workers(2);
    let house = SignIn::start(mesh, "storm", Other { corp, partner, envoy, ..Other::default() }).await?;
    storm(&house, &[&house.envoy]).await
}

async fn over_envoys(mesh: &'static Mesh) -> Result<()> {
    let etcd = Etcd::start(etcd::Options::default()).await?;
    let (corp, partner) = quick();
    let house = SignIn::start(mesh, "storms", Other { corp, partner, etcd: etcd.ports(), ..Other::default() }).await?;
    let second = house.another("storms-second").await?;
    storm(&house, &[&house.envoy, &second]).await
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_storm::of_many_users_over_workers_is_one_renewal_each", over_workers);
    suite.add("user_passthrough_storm::of_many_users_over_envoys_is_one_renewal_each", over_envoys);
}
