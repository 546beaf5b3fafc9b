//! Links of consent in the wrong hands: none of them lets anybody act for another, and nothing secret is in a log.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::canary;
use attache_mesh::mesh::Mesh;
use attache_mesh::person::parameters;
use attache_mesh::sign_in::{CONSENT, Other, SignIn, link};
use attache_mesh::wait;
use serde_json::json;

use crate::credentials::token;
use crate::suite::Suite;

/// Somebody else opens ann's link, and brings her answer to a browser of theirs.
async fn of_others(mesh: &'static Mesh) -> Result<()> {
    let house = SignIn::start(mesh, "links-of-others", Other::default()).await?;
    let asked = house.asked("ann").await?;
    let stolen = link(&asked)?;
    let bob = house.browser.person("bob");
    let page = house.sign_in(&bob, "bob", &stolen).await?;
    ensure!(page.0["violations"] == json!([]), "{page:?}");
    ensure!(page.heading() == "This link is for another account" && page.status() == Some(403), "{page:?}");
    ensure!(!page.text().split(|letter: char| !letter.is_alphanumeric()).any(|word| ["ann", "bob"].contains(&word)), "{page:?}");
    let again = bob.press("Sign in with another account").await?;
    ensure!(again.heading() == "Sign in" && again.url().starts_with(&house.corp.issuer), "{again:?}");
    ensure!(house.state("ann", &asked["id"]).await? == "TASK_STATE_AUTH_REQUIRED");
    ensure!(house.state("bob", &asked["id"]).await? == "task_not_found");
    house.asked("ann").await?;
    house.asked("bob").await?;

    // She goes on with the same link, in a browser that held no flow before. Her answer is worth nothing in other browsers.
    let ann = house.arrive("ann", &stolen).await?;
    let answer = ann.press_until("Allow", &format!("{CONSENT}/consent/callback/hr")).await?;
    parameters(&answer).values().for_each(|secret| canary::keep(secret));
    for (thief, heading) in [("bob", "This answer is not for your browser"), ("carol", "Your browser did not keep our cookie")] {
        let page = house.browser.person(thief).open(&answer).await?;
        ensure!(page.heading() == heading && page.status() == Some(400), "{thief}: {page:?}");
    }
    house.asked("ann").await?;
    ensure!(house.partner.granted("ann", "authorization_code").await? == 0, "a code of another browser was redeemed");
    let page = ann.open(&answer).await?;
    ensure!(page.heading() == "Access is allowed", "{page:?}");
    ensure!(!ann.cookies().await?.iter().any(|cookie| cookie["name"].as_str().is_some_and(|name| name.contains("attache"))));
    token(&house.send("ann", "now").await?)?;
    ensure!(house.state("ann", &asked["id"]).await? == "TASK_STATE_INPUT_REQUIRED");

    // Once is all.
    let page = ann.open(&answer).await?;
    ensure!(page.heading() == "Your browser did not keep our cookie", "{page:?}");
    let page = ann.open(&stolen).await?;
    ensure!(page.heading() == "This link was used already", "{page:?}");
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "one code");

    // What of a browser's requests a log has is their path, without what stood behind it.
    let log = wait::until("callbacks in the access log", Duration::from_secs(10), async || {
        let log = std::fs::read_to_string(&house.access_log)?;
        Ok((log.matches("/consent/callback/hr ").count() >= 4).then_some(log))
    })
    .await?;
    let consent: Vec<&str> = log.lines().filter(|line| line.starts_with("/consent")).collect();
    ensure!(consent.len() > 8 && !consent.iter().any(|line| line.contains('?')), "{consent:#?}");
    ensure!(canary::find(&log).is_none() && canary::find(&house.envoy.log()).is_none(), "{log}\n{}", house.envoy.log());
    Ok(())
}

/// Who says no is heard, and an answer in another server's name is not.
async fn denied(mesh: &'static Mesh) -> Result<()> {
    let house = SignIn::start(mesh, "denied", Other::default()).await?;
    let asked = house.asked("bob").await?;
    let own = link(&asked)?;
    let bob = house.arrive("bob", &own).await?;
    house.partner.bend_response(&json!({"iss": "https://evil.example"})).await?;
    let page = bob.allow().await?;
    ensure!(page.heading() == "This answer is not to be trusted" && page.status() == Some(400), "{page:?}");
    ensure!(house.partner.granted("bob", "authorization_code").await? == 0, "a code of nobody knows whom was redeemed");
    house.partner.bend_response(&json!({})).await?;
    ensure!(house.state("bob", &asked["id"]).await? == "TASK_STATE_AUTH_REQUIRED");
    bob.leave().await?;

    let page = house.arrive("bob", &own).await?.deny().await?;
    ensure!(page.0["violations"] == json!([]), "{page:?}");
    ensure!(page.heading() == "Access was not allowed" && page.status() == Some(403), "{page:?}");
    ensure!(page.text().contains("the user said no"), "{page:?}");
    ensure!(house.state("bob", &asked["id"]).await? == "TASK_STATE_REJECTED");
    ensure!(house.state("ann", &asked["id"]).await? == "task_not_found");
    // He may be asked anew, by a link of its own.
    let anew = house.asked("bob").await?;
    ensure!(anew["id"] != asked["id"] && link(&anew)? != own, "{anew}");
    bob.leave().await?;
    ensure!(house.agree("bob", &link(&anew)?).await? == "Access is allowed");
    token(&house.send("bob", "now").await?)?;
    Ok(())
}

/// Where the connection says so on purpose, a link is for whoever has it; and here it comes in a refusal.
async fn for_all(mesh: &'static Mesh) -> Result<()> {
    let other = Other { passthrough: json!({"bind": "link", "consent": "challenge"}), ..Other::default() };
    let house = SignIn::start(mesh, "links-for-all", other).await?;
    house.envoy.logged(&["connections[0].credential.user_passthrough.bind: is link"]).await?;
    let reply = house.send("ann", "challenge").await?;
    ensure!(reply.status == 401 && reply.reason().as_deref() == Some("consent_required"), "{} {}", reply.status, reply.text());
    let info = reply.error_info().context("no details")?;
    let link = info["metadata"]["link"].as_str().with_context(|| info.to_string())?;
    parameters(link).values().for_each(|secret| canary::keep(secret));
    let challenge = reply.header("www-authenticate").context("no challenge")?;
    ensure!(challenge.contains(&format!("error_uri=\"{link}\"")), "{challenge}");

    // Nobody signs in at the organization: the partner is all that asks.
    let bob = house.browser.person("bob");
    ensure!(bob.open(link).await?.heading() == "An agent asks for access");
    let page = bob.press(&format!("Continue to {}", house.partner.issuer.trim_start_matches("http://"))).await?;
    ensure!(page.heading() == "Sign in" && page.url().starts_with(&house.partner.issuer), "{page:?}");
    bob.sign_in("bob").await?;
    let page = bob.allow().await?;
    ensure!(page.heading() == "Access is allowed", "{page:?}");
    ensure!(claims(&token(&house.send("ann", "now").await?)?)?["sub"] == "bob");
    ensure!(house.send("bob", "and he").await?.reason().as_deref() == Some("consent_required"), "what he granted is for her calls");
    ensure!(canary::find(&house.envoy.log()).is_none(), "{}", house.envoy.log());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_links::are_of_no_use_to_others", of_others);
    suite.add("user_passthrough_links::lead_to_a_denial_that_the_task_tells", denied);
    suite.add("user_passthrough_links::are_for_all_where_a_connection_says_so", for_all);
}
