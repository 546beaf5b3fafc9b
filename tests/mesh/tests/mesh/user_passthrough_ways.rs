//! Ways to a grant besides the usual one: where the partner's server is the caller's own, where a registration is wrong, and where time
//! runs out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache::credential::link::Link;
use attache::credential::seal::KeyRing;
use attache::credential::user::User;
use attache::ownership::{Bound, LocalId, Subject};
use attache::wire::time::UnixTime;
use attache_mesh::authorization::claims;
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::person::{Page, Person, parameters};
use attache_mesh::sign_in::{CONSENT, HR, KEY, Other, SignIn, link};
use attache_mesh::user_server::{AUTHORIZATION, Options, TOKEN, UserServer};
use attache_mesh::{canary, place, wait};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

const LIMIT: Duration = Duration::from_secs(60);

/// Besides `hr`: at `intranet` users agree at the organization's own server; the registrations of `payroll` and `wages` are wrong.
fn other_ways(file: &mut EnvoyFile, corp: &UserServer, partner: &UserServer) -> Result<()> {
    let app = |at: &UserServer, cluster: &str, secret: &str| {
        json!({"issuer": at.issuer, "require_iss": true, "authorization_endpoint": at.uri(AUTHORIZATION), "scopes": ["openid", "tasks.read"],
            "client": {"token_endpoint": {"uri": at.uri(TOKEN), "cluster": cluster}, "client_id": "attache",
                "authentication": {"client_secret_basic": {"secret": secret}}}})
    };
    let connection = |name: &str, own: Value| {
        let mut passthrough = json!({"subject": {"issuers": ["corp"]}, "resource": [HR]});
        own.as_object().into_iter().flatten().for_each(|(name, value)| passthrough[name] = value.clone());
        json!({"name": name, "match": {"hosts": [format!("{name}.example.com")], "path_prefix": "/"}, "version": "1.0",
            "pin": {"clusters": ["remote"]}, "credential": {"user_passthrough": passthrough}})
    };
    file.edit_plugin(|plugin| {
        plugin["oauth_apps"]["own"] = app(corp, "corp", "attache");
        if let Some(connections) = plugin["connections"].as_array_mut() {
            connections.push(connection("intranet", json!({"app": "own", "bind": "id_token"})));
            connections.push(connection("payroll", json!({"oauth": app(partner, "hr-server", "attache")})));
            connections.push(connection("wages", json!({"oauth": app(partner, "hr-server", "consent")})));
        }
    })
}

/// What `user` is answered who sends a message through a connection.
async fn send(house: &SignIn, connection: &str, user: &str) -> Result<Reply> {
    let call = Call::post("/", &rpc(json!(user), "SendMessage", message_1_0(user))).host(&format!("{connection}.example.com"));
    call.version("1.0").bearer(&house.token(user).await?).send(house.envoy.port()).await
}

/// The task that waits for `user`.
async fn asked(house: &SignIn, connection: &str, user: &str) -> Result<Value> {
    let reply = send(house, connection, user).await?;
    let task = reply.json()["result"]["task"].take();
    link(&task).with_context(|| reply.text())?;
    Ok(task)
}

async fn state(house: &SignIn, connection: &str, user: &str, id: &Value) -> Result<String> {
    let call = Call::post("/", &rpc(json!("get"), "GetTask", json!({"id": id}))).host(&format!("{connection}.example.com"));
    let reply = call.version("1.0").bearer(&house.token(user).await?).send(house.envoy.port()).await?;
    let state = reply.json()["result"]["status"]["state"].as_str().map(str::to_owned);
    state.or_else(|| reply.reason()).with_context(|| reply.text())
}

fn host(server: &UserServer) -> &str {
    server.issuer.trim_start_matches("http://")
}

/// `user` allows all that the server asks for at which it just arrived.
async fn allow(person: &Person<'_>, user: &str) -> Result<Page> {
    person.sign_in(user).await?;
    let page = person.allow().await?;
    for hop in page.hops() {
        let parameters = parameters(hop["url"].as_str().unwrap_or_default());
        ["code", "state"].iter().filter_map(|name| parameters.get(*name)).for_each(|secret| canary::keep(secret));
    }
    Ok(page)
}

/// The organization's server is the partner's, too: its ID token says who agreed.
async fn by_id_token(house: &SignIn) -> Result<()> {
    let task = asked(house, "intranet", "ann").await?;
    let own = link(&task)?;
    let bob = house.browser.person("bob");
    let page = bob.open(&own).await?;
    page.ensure_clean()?;
    ensure!(page.heading() == "An agent asks for access" && page.text().contains("intranet"), "{page:?}");
    let page = bob.press(&format!("Continue to {}", host(&house.corp))).await?;
    ensure!(page.heading() == "Sign in" && page.url().starts_with(&house.corp.issuer), "{page:?}");
    let page = allow(&bob, "bob").await?;
    ensure!(page.0["violations"] == json!([]), "{page:?}");
    ensure!(page.heading() == "This link is for another account" && page.status() == Some(403), "{page:?}");
    ensure!(!page.text().split(|letter: char| !letter.is_alphanumeric()).any(|word| ["ann", "bob"].contains(&word)), "{page:?}");
    house.envoy.logged(&["consent for connection \"intranet\"", "somebody else than the caller signed in"]).await?;
    // Nobody has anything, and the link still is ann's: she signs in where he was.
    ensure!(state(house, "intranet", "ann", &task["id"]).await? == "TASK_STATE_AUTH_REQUIRED");
    asked(house, "intranet", "ann").await?;
    asked(house, "intranet", "bob").await?;
    let page = bob.press("Sign in with another account").await?;
    ensure!(page.heading() == "Sign in" && page.url().starts_with(&house.corp.issuer), "{page:?}");
    let page = allow(&bob, "ann").await?;
    page.ensure_clean()?;
    ensure!(page.heading() == "Access is allowed", "{page:?}");
    bob.leave().await?;

    let reply = send(house, "intranet", "ann").await?;
    let said = claims(&token(&reply)?)?;
    ensure!(said["sub"] == "ann" && said["iss"] == house.corp.issuer.as_str() && said["aud"] == HR, "{said}");
    ensure!(said["client_id"] == "attache", "{said}");
    ensure!(state(house, "intranet", "ann", &task["id"]).await? == "TASK_STATE_INPUT_REQUIRED");
    // What she agreed to there is for that connection and for her.
    asked(house, "hr", "ann").await?;
    asked(house, "intranet", "bob").await?;
    Ok(())
}

/// What the table of the documentation calls wrong: nobody gets anything, and whoever looks sees why.
async fn wrong_registrations(house: &SignIn) -> Result<()> {
    let tokens = async || house.partner.granted("bob", "authorization_code").await;
    let task = asked(house, "payroll", "bob").await?;
    let bob = house.browser.person("bob-at-work");
    let page = house.sign_in(&bob, "bob", &link(&task)?).await?;
    ensure!(page.url().starts_with(&house.partner.issuer) && page.status() == Some(400), "{page:?}");
    ensure!(page.text().contains("redirect_uri"), "{page:?}");
    ensure!(state(house, "payroll", "bob", &task["id"]).await? == "TASK_STATE_AUTH_REQUIRED");
    bob.leave().await?;

    let task = asked(house, "wages", "bob").await?;
    let page = house.sign_in(&bob, "bob", &link(&task)?).await?;
    ensure!(page.heading() == "Sign in" && page.url().starts_with(&house.partner.issuer), "{page:?}");
    let page = allow(&bob, "bob").await?;
    ensure!(page.0["violations"] == json!([]), "{page:?}");
    ensure!(page.heading() == "This did not work" && page.text().contains("does not accept the credential of this service"), "{page:?}");
    house.envoy.logged(&["consent: no tokens for a code", "invalid_client"]).await?;
    ensure!(tokens().await? == 0, "somebody has tokens");
    asked(house, "wages", "bob").await?;
    bob.leave().await
}

/// A link to `hr` for ann and the id of its task, as the filter makes them, that ends in `rest` seconds, or has ended.
fn link_that_ends(house: &SignIn, rest: i64) -> Result<(String, String)> {
    let secret = SecretString::from(KEY);
    let ring = KeyRing::new(std::iter::once(("k1", &secret))).context("no key")?;
    let user = User { issuer: house.corp.issuer.clone(), tenant: None, subject: "ann".to_owned(), client: Some("orchestrator".to_owned()) };
    let issued = UnixTime::from_secs(place::now().saturating_add_signed(rest - 600));
    let flow = [u8::try_from(rest.unsigned_abs())?; 16];
    let caller = user.key("hr", "hr").to_bytes();
    let bound = Bound { subject: Subject::Task, caller: &caller, connection: "hr" };
    let task = LocalId::new(&bound, &flow, issued, &|parts| ring.mac(parts)).text();
    let identity = vec![("iss".to_owned(), house.corp.issuer.clone()), ("sub".to_owned(), "ann".to_owned())];
    let link = Link { flow, connection: "hr".to_owned(), issuer: "corp".to_owned(), user, identity, issued };
    let sealed = link.seal(&ring, [7; 24]);
    canary::keep(&sealed);
    Ok((format!("{CONSENT}/consent/start?link={sealed}"), task))
}

/// Ten minutes are over: before the link is opened, and while its user thinks about it.
async fn too_late(house: &SignIn) -> Result<()> {
    const REST: i64 = 30;
    let ends = place::now() + REST.unsigned_abs();
    let (late, task) = link_that_ends(house, REST)?;
    let ann = house.arrive("ann", &late).await?;
    ensure!(house.state("ann", &json!(task)).await? == "TASK_STATE_AUTH_REQUIRED");

    let (over, ended) = link_that_ends(house, -5)?;
    let page = ann.tab("other").open(&over).await?;
    ensure!(page.heading() == "This link has run out" && page.status() == Some(410), "{page:?}");
    ensure!(house.state("ann", &json!(ended)).await? == "TASK_STATE_FAILED");
    ensure!(house.state("bob", &json!(ended)).await? == "task_not_found");

    wait::until_known("the link to end", LIMIT, || Ok((place::now() > ends).then_some(()))).await?;
    let page = ann.allow().await?;
    ensure!(page.heading() == "This link has run out" && page.status() == Some(410), "{page:?}");
    ensure!(page.text().contains("Send your message again") || page.text().contains("again"), "{page:?}");
    ensure!(house.partner.granted("ann", "authorization_code").await? == 0, "a code was redeemed too late");
    ensure!(house.state("ann", &json!(task)).await? == "TASK_STATE_FAILED");
    // By a new link she agrees.
    let anew = house.asked("ann").await?;
    ensure!(anew["id"] != *task, "{anew}");
    ann.leave().await?;
    replayed(house, &link(&anew)?).await
}

/// An answer of hers comes again, with all that her browser had then.
async fn replayed(house: &SignIn, own: &str) -> Result<()> {
    let ann = house.arrive("ann", own).await?;
    let answer = ann.press_until("Allow", &format!("{CONSENT}/consent/callback/hr")).await?;
    parameters(&answer).values().for_each(|secret| canary::keep(secret));
    let had = ann.cookies().await?;
    let page = ann.open(&answer).await?;
    ensure!(page.heading() == "Access is allowed", "{page:?}");
    let hers = token(&house.send("ann", "first").await?)?;

    let ours = had.iter().filter(|cookie| cookie["name"].as_str().is_some_and(|name| name.starts_with("__Host-attache")));
    let again: Vec<Value> = ours
        .map(|cookie| {
            json!({"name": cookie["name"], "value": cookie["value"], "url": CONSENT, "path": "/", "secure": true, "httpOnly": true,
                "sameSite": "Lax"})
        })
        .collect();
    ensure!(again.len() == 1, "{had:?}");
    for thief in ["ann", "carol"] {
        let thief = house.browser.person(thief);
        thief.plant(&json!(again)).await?;
        let page = thief.open(&answer).await?;
        ensure!(page.heading() == "This link was used already", "{page:?}");
        thief.leave().await?;
    }
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "one code");
    ensure!(token(&house.send("ann", "second").await?)? == hers, "what she has is as it was");
    Ok(())
}

async fn ways(mesh: &'static Mesh) -> Result<()> {
    let corp = Options::default().redirect(&format!("{CONSENT}/consent/callback/own"));
    let partner = Options::default().redirect(&format!("{CONSENT}/consent/callback/wages"));
    let house = SignIn::start(mesh, "ways", Other { corp, partner, edit: Some(Box::new(other_ways)), ..Other::default() }).await?;
    let (late, others) = tokio::join!(too_late(&house), async {
        by_id_token(&house).await.context("by the ID token")?;
        wrong_registrations(&house).await.context("with a wrong registration")
    });
    others?;
    late?;
    ensure!(canary::find(&house.envoy.log()).is_none(), "{}", house.envoy.log());
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_ways::by_the_id_token_with_a_wrong_registration_and_too_late", ways);
}
