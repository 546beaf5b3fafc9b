//! Grants in a real etcd of three members, which Envoys share: through the loss of a member, of an Envoy, and of the majority.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::Options as EnvoyOptions;
use attache_mesh::etcd::{Etcd, Options, USER};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{Edit, Other, SignIn, link};
use attache_mesh::tls::{self, Authority};
use attache_mesh::wait;
use http::Method;
use serde_json::json;

use crate::credentials::token;
use crate::suite::Suite;
use crate::user_passthrough_grants::grants_at;

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than a worker believes what it read.
const FORGOTTEN: Duration = Duration::from_millis(1500);
/// What keys of grants begin with, and what is behind them (`attache/g/`, `attache/g0`), in base64.
const GRANTS: &str = "YXR0YWNoZS9nLw==";
const BEHIND_GRANTS: &str = "YXR0YWNoZS9nMA==";
/// How long etcd knows a token that nobody uses.
const TOKEN_TTL: Duration = Duration::from_secs(2);

async fn shared(mesh: &'static Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { members: 3, ..Options::default() }).await?;
    let house = SignIn::start(
        mesh,
        "shared",
        Other { etcd: etcd.ports(), discovers: true, envoy: EnvoyOptions::default().own(), ..Other::default() },
    )
    .await?;
    let second = house.another("shared-second").await?;

    // Who agreed at one has agreed at the other, with one token; also by a link that the other made.
    ensure!(house.agree("ann", &house.link("ann").await?).await? == "Access is allowed");
    let anns = token(&house.send("ann", "first").await?)?;
    ensure!(token(&house.send_by(&second, "ann", "second").await?)? == anns, "each Envoy has a token of its own");
    let reply = house.send_by(&second, "bob", "hello").await?;
    ensure!(house.agree("bob", &link(&reply.json()["result"]["task"])?).await? == "Access is allowed");
    let bobs = token(&house.send_by(&second, "bob", "second").await?)?;
    ensure!(bobs != anns && token(&house.send("bob", "first").await?)? == bobs);

    // What lies there tells nobody anything.
    let all = etcd.ask(0, "/v3/kv/range", &json!({"key": "AA==", "range_end": "AA=="})).await?.to_string();
    ensure!(all.contains("\"value\"") && attache_mesh::canary::find(&all).is_none(), "{all}");

    // A member is lost, and it is the one that leads. What was remembered is read again, time after time.
    let lost = etcd.leader().await?;
    etcd.kill(lost);
    wait::until("another leader", LIMIT, async || Ok(etcd.leader_but(lost).await.ok())).await?;
    for round in 0..3 {
        tokio::time::sleep(FORGOTTEN).await;
        for envoy in [&house.envoy, &second] {
            let reply = house.send_by(envoy, "ann", "one is lost").await?;
            ensure!(reply.status == 200, "round {round}: {} {}\n{}", reply.status, reply.text(), envoy.log());
            ensure!(token(&reply)? == anns);
        }
    }

    // An Envoy starts again: nobody is asked.
    second.stop();
    drop(second);
    let second = house.another("shared-again").await?;
    for (user, own) in [("ann", &anns), ("bob", &bobs)] {
        let reply = house.send_by(&second, user, "again").await?;
        ensure!(token(&reply).with_context(|| format!("{}\n{}", reply.text(), second.log()))? == *own);
    }
    ensure!(house.partner.stats().await?["granted"]["authorization_code"] == 2, "somebody was asked again");

    // The majority is lost: a refusal, for those who have agreed and for those who have not. Nobody is asked, nobody gets a token.
    let next = (lost + 1) % 3;
    etcd.kill(next);
    for envoy in [&house.envoy, &second] {
        let reply = wait::until("a refusal", LIMIT, async || {
            let reply = house.send_by(envoy, "ann", "lost").await?;
            Ok((reply.status != 200).then_some(reply))
        });
        refusal::check(&reply.await?, "credential_unavailable", &Form::Rpc(json!("lost")))?;
    }
    let reply = house.send("user-1", "lost").await?;
    refusal::check(&reply, "credential_unavailable", &Form::Rpc(json!("lost")))?;

    // It is back, with all that it had.
    tokio::try_join!(etcd.revive(lost), etcd.revive(next))?;
    for envoy in [&house.envoy, &second] {
        let reply = wait::until("a token", LIMIT, async || {
            let reply = house.send_by(envoy, "ann", "back").await?;
            Ok((reply.status == 200).then_some(reply))
        });
        ensure!(token(&reply.await?)? == anns);
    }

    // A member that takes calls and answers none is as good as lost, for as long as its calls may take.
    let silent = etcd.leader().await?;
    etcd.pause(silent);
    let found = async {
        wait::until("another leader", LIMIT, async || Ok(etcd.leader_but(silent).await.ok())).await?;
        for round in 0..3 {
            tokio::time::sleep(FORGOTTEN).await;
            let reply = house.send("ann", "one is silent").await?;
            ensure!(reply.status == 200, "round {round}: {} {}\n{}", reply.status, reply.text(), house.envoy.log());
            ensure!(token(&reply)? == anns);
        }
        Ok(())
    };
    let found = found.await;
    etcd.go_on(silent);
    found?;

    // What is given up at one is given up at the other, once that has forgotten what it read.
    let own = house.token("bob").await?;
    let listed = grants_at(&second, &own, Method::GET, "").await?.json();
    let id = listed["grants"][0]["id"].as_str().with_context(|| listed.to_string())?;
    ensure!(grants_at(&second, &own, Method::DELETE, &format!("/{id}")).await?.status == 204);
    wait::until("a question", LIMIT, async || {
        let reply = house.send("bob", "given up").await?;
        Ok(link(&reply.json()["result"]["task"]).ok())
    })
    .await?;
    ensure!(token(&house.send("ann", "the last").await?)? == anns);
    Ok(())
}

/// An etcd that takes nothing more gives what it has. Nobody agrees in vain: no code is redeemed whose tokens could not be kept.
async fn full(mesh: &'static Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { quota: Some(1 << 20), ..Options::default() }).await?;
    let house = SignIn::start(mesh, "full", Other { etcd: etcd.ports(), ..Other::default() }).await?;
    ensure!(house.agree("ann", &house.link("ann").await?).await? == "Access is allowed");
    let anns = token(&house.send("ann", "before").await?)?;
    let own = house.link("bob").await?;
    let bob = house.arrive("bob", &own).await?;
    let large = "A".repeat(100_000);
    for number in 0_u8.. {
        let key = format!("ZmlsbC0{}", char::from(b'A' + number));
        if let Err(error) = etcd.ask(0, "/v3/kv/put", &json!({"key": key, "value": large})).await {
            ensure!(error.to_string().contains("database space exceeded"), "{error}");
            break;
        }
        ensure!(number < 25, "it takes more than it may");
    }

    let page = bob.allow().await?;
    ensure!(page.heading() == "This does not work right now" && page.status() == Some(503), "{page:?}");
    ensure!(house.partner.granted("bob", "authorization_code").await? == 0, "a code was redeemed in vain");
    house.envoy.logged(&["consent.store: is full"]).await?;
    tokio::time::sleep(FORGOTTEN).await;
    ensure!(token(&house.send("ann", "full").await?)? == anns);
    house.asked("bob").await?;
    Ok(())
}

/// An Envoy that is cut off from etcd while it renews a grant has the only tokens that are good. Others wait for them.
async fn cut_off(mesh: &'static Mesh) -> Result<()> {
    let etcd = Etcd::start(Options { members: 3, ..Options::default() }).await?;
    let app = |plugin: &mut serde_json::Value| plugin["oauth_apps"]["hr"]["client"]["token_endpoint"]["timeout"] = json!("20s");
    let edit: Edit = Box::new(move |file, _, _| file.edit_plugin(app));
    let house = SignIn::start(mesh, "cut-off", Other { etcd: etcd.ports(), edit: Some(edit), ..Other::default() }).await?;
    // It is cut off where it asks a member that pauses, and the two others go on.
    let member = (etcd.leader().await? + 1) % 3;
    let other = (member + 1) % 3;
    let alone = house.another_at("cut-off-alone", etcd.ports()[member]).await?;
    house.partner.bend_answer("authorization_code", &json!({"expires_in": 2})).await?;
    ensure!(house.agree("ann", &house.link("ann").await?).await? == "Access is allowed");
    tokio::time::sleep(Duration::from_secs(2)).await;

    let lies = async || {
        let all = etcd.ask(other, "/v3/kv/range", &json!({"key": GRANTS, "range_end": BEHIND_GRANTS})).await?;
        let revision = all["kvs"][0]["mod_revision"].as_str().map(str::to_owned);
        revision.with_context(|| format!("no grant: {all}"))
    };
    let before = lies().await?;
    house.partner.pause();
    let renewing = house.send_by(&alone, "ann", "renewing");
    let cutting = async {
        wait::until("a lease", LIMIT, async || Ok((lies().await? != before).then_some(()))).await?;
        etcd.pause(member);
        house.partner.resume();
        anyhow::Ok(())
    };
    let (reply, cut) = tokio::join!(renewing, cutting);
    house.partner.resume();
    cut?;
    let hers = token(&reply?)?;
    alone.logged(&["new tokens of a user stay in this worker"]).await?;
    ensure!(token(&house.send_by(&alone, "ann", "and again").await?)? == hers, "the new token is good at once");

    // The other has an expired token, and leaves the old refresh token alone.
    let waiting = house.send("ann", "elsewhere");
    let mending = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        etcd.go_on(member);
    };
    let (reply, ()) = tokio::join!(waiting, mending);
    let reply = reply?;
    ensure!(token(&reply).with_context(|| format!("{}\n{}", reply.text(), house.envoy.log()))? == hers);
    let stats = house.partner.stats().await?;
    ensure!(stats["granted"] == json!({"authorization_code": 1, "refresh_token": 1}) && stats["reused"] == 0, "{stats}");
    Ok(())
}

/// etcd takes calls over TLS alone, by users that it knows: Envoy's cluster says how.
async fn guarded(mesh: &'static Mesh) -> Result<()> {
    let authority = Arc::new(Authority::new("etcd's authority")?);
    let etcd = Etcd::start(Options { users: true, tls: Some(authority.clone()), token_ttl: Some(TOKEN_TTL), ..Options::default() }).await?;
    let own = json!({"etcd": {"uri": "https://localhost:2379", "cluster": "etcd", "remember": "1s", "user": USER, "password": {"secret": "etcd"}}});
    let edit: Edit = Box::new(move |file, _, _| {
        tls::call_over(file, "etcd", &authority, None)?;
        file.edit_plugin(|plugin| {
            plugin["consent"]["store"] = own;
            plugin["secrets"]["etcd"] = json!({"env": "ETCD_PASSWORD"});
        })?;
        let variables = &mut file.wasm()?["vm_config"]["environment_variables"]["host_env_keys"];
        variables.as_array_mut().context("no variables")?.push(json!("ETCD_PASSWORD"));
        Ok(())
    });
    let envoy = EnvoyOptions::default().env("ETCD_PASSWORD", etcd.password()?);
    let house = SignIn::start(mesh, "guarded", Other { etcd: etcd.ports(), edit: Some(edit), envoy, ..Other::default() }).await?;
    ensure!(house.agree("ann", &house.link("ann").await?).await? == "Access is allowed");
    let anns = token(&house.send("ann", "first").await?)?;
    // What lies there is read anew, also when the token of etcd has run out that nobody used.
    tokio::time::sleep(TOKEN_TTL * 3).await;
    ensure!(token(&house.send("ann", "again").await?)? == anns);
    let own = house.token("ann").await?;
    let listed = grants_at(&house.envoy, &own, Method::GET, "").await?.json();
    let id = listed["grants"][0]["id"].as_str().with_context(|| listed.to_string())?;
    ensure!(grants_at(&house.envoy, &own, Method::DELETE, &format!("/{id}")).await?.status == 204);
    house.asked("ann").await?;
    ensure!(!house.envoy.log().contains("no grant of a user"), "{}", house.envoy.log());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_etcd::who_is_cut_off_while_it_renews_keeps_the_tokens_for_all", cut_off);
    suite.add("user_passthrough_etcd::over_tls_by_a_user_of_etcd", guarded);
    suite.add("user_passthrough_etcd::a_full_etcd_keeps_what_it_has_and_nobody_agrees_in_vain", full);
    suite.add("user_passthrough_etcd::grants_are_shared_by_envoys_and_outlive_them_and_a_member", shared);
}
