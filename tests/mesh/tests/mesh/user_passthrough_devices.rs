//! Users who agree on another device, at a real server: with a code that they enter in a browser there, or asked by the server (CIBA).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::canary;
use attache_mesh::envoy::Options as EnvoyOptions;
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::person::Person;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{HR, Other, SignIn};
use attache_mesh::user_server::{CIBA_GRANT, DEVICE_GRANT, Options, TOKEN};
use attache_mesh::wait;
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

const LIMIT: Duration = Duration::from_secs(60);
/// Between polls, in seconds: the server is strict about it.
const INTERVAL: &str = "1";

async fn house(mesh: &Mesh, name: &str, way: &'static str, server: Options) -> Result<SignIn> {
    let members = if way == "ciba" { json!({"login_hint": "sub", "binding_message": "Agent hr"}) } else { json!({}) };
    let envoy = EnvoyOptions::default().own().workers(2);
    SignIn::start(mesh, name, Other { elsewhere: Some((way, members)), corp: server, envoy, ..Other::default() }).await
}

/// The task that a message of `user` is answered with, over JSON-RPC or HTTP+JSON, and its data.
async fn asked(house: &SignIn, user: &str, over_http: bool) -> Result<(Value, Value)> {
    let reply = if over_http {
        let call = Call::post("/message:send", &message_1_0("hello")).host("hr.example.com").version("1.0");
        call.bearer(&house.token(user).await?).send(house.envoy.port()).await?
    } else {
        house.send(user, "hello").await?
    };
    let body = reply.json();
    let task = if over_http { body["task"].clone() } else { body["result"]["task"].clone() };
    ensure!(task["status"]["state"] == "TASK_STATE_AUTH_REQUIRED", "{} {}", reply.status, reply.text());
    let parts = &task["status"]["message"]["parts"];
    let data = parts[1]["data"].clone();
    let shown = data["user_code"].as_str().or(data["binding_message"].as_str()).with_context(|| task.to_string())?;
    ensure!(parts[0]["text"].as_str().is_some_and(|text| text.contains(shown)), "{task}");
    Ok((task, data))
}

/// The state of `task`, asked for over HTTP+JSON, once it is no more that its user is asked.
async fn ended(house: &SignIn, user: &str, task: &Value) -> Result<String> {
    let own = house.token(user).await?;
    let path = format!("/tasks/{}", task["id"].as_str().context("no id")?);
    wait::until("the user's decision", LIMIT, async || {
        let call = Call::get(&path).host("hr.example.com").version("1.0").bearer(&own);
        let reply = call.send(house.envoy.port()).await?;
        let state = reply.json()["status"]["state"].as_str().with_context(|| format!("{} {}", reply.status, reply.text()))?.to_owned();
        Ok((state != "TASK_STATE_AUTH_REQUIRED").then_some(state))
    })
    .await
}

/// `user` opens where a code is entered, finds it there, and signs in.
async fn arrive<'h>(house: &'h SignIn, user: &str, data: &Value) -> Result<Person<'h>> {
    let person = house.browser.person(user);
    let page = person.open(data["verification_uri_complete"].as_str().with_context(|| data.to_string())?).await?;
    ensure!(page.heading() == "Connect a device" || page.heading() == "Is this your device?", "{page:?}");
    let page = if page.heading() == "Connect a device" { person.press("Continue").await? } else { page };
    ensure!(page.heading() == "Is this your device?" && page.text().contains(data["user_code"].as_str().context("no code")?), "{page:?}");
    Ok(person)
}

async fn confirm(person: &Person<'_>, user: &str) -> Result<()> {
    let page = person.press("Continue").await?;
    ensure!(page.heading() == "Sign in", "{page:?}");
    let page = person.sign_in(user).await?;
    ensure!(page.heading() == "Allow access", "{page:?}");
    let page = person.allow().await?;
    ensure!(page.heading() == "Device connected", "{page:?}");
    person.leave().await
}

/// No secret of a flow is where anybody reads it.
async fn nothing_shown(house: &SignIn) -> Result<()> {
    let requests = house.corp.requests().await?;
    let params = requests.iter().map(|request| &request["params"]);
    let secrets: Vec<&str> = params.filter_map(|params| params["device_code"].as_str().or(params["auth_req_id"].as_str())).collect();
    ensure!(!secrets.is_empty(), "nobody polled");
    secrets.iter().for_each(|secret| canary::keep(secret));
    let log = std::fs::read_to_string(&house.access_log)? + &house.envoy.log();
    ensure!(canary::find(&log).is_none(), "{log}");
    Ok(())
}

/// Requests for tokens of this grant type that the server got.
async fn polls(house: &SignIn, grant: &str) -> Result<usize> {
    let requests = house.corp.requests().await?;
    Ok(requests.iter().filter(|request| request["endpoint"] == "token" && request["params"]["grant_type"] == grant).count())
}

async fn with_a_code(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "device-code", "device_code", Options::default().set("interval", INTERVAL)).await?;
    for (user, over_http) in [("ann", false), ("bob", true)] {
        let (task, data) = asked(&house, user, over_http).await?;
        ensure!(data["verification_uri"] == house.corp.uri("/device") && data["expires_at"].is_string(), "{data}");
        ensure!(asked(&house, user, !over_http).await?.0["id"] == task["id"], "a second flow");
        confirm(&arrive(&house, user, &data).await?, user).await?;
        ensure!(ended(&house, user, &task).await? == "TASK_STATE_INPUT_REQUIRED");
        let reply = house.send(user, "and now").await?;
        let said = claims(&token(&reply)?)?;
        ensure!(said["sub"] == user && said["aud"] == HR && said["scope"] == "tasks.read", "{said}");
        ensure!(house.corp.granted(user, DEVICE_GRANT).await? == 1);
    }
    house.envoy.stat_reaches("outcome=.=granted", 2).await?;
    nothing_shown(&house).await
}

/// However many ask at once, the server is asked by one worker, and no sooner than it allows.
async fn one_poll(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "one-poll", "device_code", Options::default().set("interval", "3")).await?;
    let own = house.token("ann").await?;
    let send = || Call::post("/message:send", &message_1_0("hello")).host("hr.example.com").version("1.0").bearer(&own);
    let begin = async || Ok::<_, anyhow::Error>(send().send(house.envoy.port()).await?.json()["task"]["id"].clone());
    let ids = tokio::try_join!(begin(), begin(), begin(), begin(), begin(), begin())?;
    let ids: [Value; 6] = ids.into();
    ensure!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?} {}", house.envoy.log());
    let get = Call::post("/", &rpc(json!("get"), "GetTask", json!({"id": ids[0]}))).host("hr.example.com").version("1.0").bearer(&own);
    let start = std::time::Instant::now();
    wait::until("three polls", LIMIT, async || {
        let get = || get.send(house.envoy.port());
        tokio::try_join!(get(), get(), get(), get())?;
        Ok((polls(&house, DEVICE_GRANT).await? >= 3).then_some(()))
    })
    .await?;
    ensure!(start.elapsed() > Duration::from_secs(6), "three polls in {:?}", start.elapsed());
    let refused = house.corp.stats().await?["refused"].clone();
    ensure!(refused[DEVICE_GRANT] == polls(&house, DEVICE_GRANT).await?, "{refused}");
    Ok(())
}

async fn of_others(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "code-of-others", "device_code", Options::default().set("interval", INTERVAL)).await?;
    // Bob enters ann's code.
    let (task, data) = asked(&house, "ann", false).await?;
    confirm(&arrive(&house, "bob", &data).await?, "bob").await?;
    ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_REJECTED");
    ensure!(house.state("bob", &task["id"]).await? == "task_not_found");
    house.envoy.logged(&["somebody else than the caller agreed"]).await?;
    house.envoy.stat_reaches("outcome=.=wrong_user", 1).await?;
    // Neither has a grant of it.
    asked(&house, "bob", false).await?;
    let (anew, data) = asked(&house, "ann", false).await?;
    ensure!(anew["id"] != task["id"]);
    // She says no.
    let page = arrive(&house, "ann", &data).await?.press("Deny").await?;
    ensure!(page.heading() != "Device connected", "{page:?}");
    ensure!(ended(&house, "ann", &anew).await? == "TASK_STATE_REJECTED");
    house.envoy.stat_reaches("outcome=.=denied", 1).await?;
    asked(&house, "ann", true).await?;
    nothing_shown(&house).await
}

async fn asked_by_the_server(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "ciba", "ciba", Options::default().set("interval", INTERVAL)).await?;
    for (user, over_http) in [("ann", false), ("bob", true)] {
        let (task, data) = asked(&house, user, over_http).await?;
        let waiting = house.corp.waiting().await?;
        let waiting: Vec<&Value> = waiting.iter().filter(|waiting| waiting["user"] == user).collect();
        ensure!(waiting.len() == 1 && waiting[0]["binding_message"] == data["binding_message"], "{waiting:?} {data}");
        house.corp.approve(user).await?;
        ensure!(ended(&house, user, &task).await? == "TASK_STATE_INPUT_REQUIRED");
        let said = claims(&token(&house.send(user, "and now").await?)?)?;
        ensure!(said["sub"] == user && said["aud"] == HR, "{said}");
        ensure!(house.corp.granted(user, CIBA_GRANT).await? == 1);
    }
    nothing_shown(&house).await
}

/// Polls would come once in a minute: it is the server that says when.
async fn told_by_the_server(mesh: &'static Mesh) -> Result<()> {
    let members = json!({"login_hint": "sub", "delivery": "ping"});
    let server = Options::default().set("interval", "60");
    let other = Other { elsewhere: Some(("ciba", members)), corp: server, envoy: EnvoyOptions::default().own(), ..Other::default() };
    let house = SignIn::start(mesh, "ciba-ping", other).await?;
    let (task, _) = asked(&house, "ann", false).await?;
    ensure!(house.state("ann", &task["id"]).await? == "TASK_STATE_AUTH_REQUIRED");
    ensure!(polls(&house, CIBA_GRANT).await? == 0, "a poll before its time");
    house.corp.approve("ann").await?;
    ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_INPUT_REQUIRED");
    ensure!(polls(&house, CIBA_GRANT).await? == 1);
    let said = claims(&token(&house.send("ann", "and now").await?)?)?;
    ensure!(said["sub"] == "ann" && said["aud"] == HR, "{said}");
    // Anybody may try.
    let guess = Call::post("/consent/ciba/hr", &json!({"auth_req_id": "x"})).host("consent.example.com").bearer("guessed");
    ensure!(guess.send(house.envoy.port()).await?.status == 401);
    nothing_shown(&house).await
}

async fn said_no(mesh: &'static Mesh) -> Result<()> {
    let house = house(mesh, "ciba-denied", "ciba", Options::default().set("interval", INTERVAL)).await?;
    let (task, _) = asked(&house, "ann", false).await?;
    house.corp.deny("ann").await?;
    ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_REJECTED");
    // The ID token of somebody else gives nothing.
    let (task, _) = asked(&house, "ann", true).await?;
    house.corp.bend_id_token(&json!({"sub": "bob"})).await?;
    house.corp.approve("ann").await?;
    ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_REJECTED");
    house.corp.bend_id_token(&json!({})).await?;
    // A server that fails for a while loses nothing.
    let (task, _) = asked(&house, "ann", false).await?;
    let get = Call::get(format!("/tasks/{}", task["id"].as_str().context("no id")?)).host("hr.example.com").version("1.0");
    let get = get.bearer(&house.token("ann").await?);
    house.corp.fail(TOKEN, 503, 1).await?;
    house.corp.approve("ann").await?;
    let failed = wait::until("a refusal", LIMIT, async || {
        let reply = get.send(house.envoy.port()).await?;
        Ok((reply.json()["status"]["state"] != "TASK_STATE_AUTH_REQUIRED").then_some(reply))
    });
    refusal::check(&failed.await?, "credential_unavailable", &Form::Status)?;
    ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_INPUT_REQUIRED");
    token(&house.send("ann", "at last").await?)?;
    nothing_shown(&house).await
}

async fn runs_out(mesh: &'static Mesh) -> Result<()> {
    for way in ["device_code", "ciba"] {
        let server = Options::default().set("interval", INTERVAL).set("pending", "3");
        let house = house(mesh, &format!("runs-out-{way}"), way, server).await?;
        let (task, data) = asked(&house, "ann", false).await?;
        ensure!(ended(&house, "ann", &task).await? == "TASK_STATE_FAILED");
        let (anew, other) = asked(&house, "ann", false).await?;
        ensure!(anew["id"] != task["id"] && data != other, "{anew}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_devices::show_a_code_with_which_users_agree_in_a_browser_elsewhere", with_a_code);
    suite.add("user_passthrough_devices::are_asked_for_by_one_worker_and_no_sooner_than_the_server_allows", one_poll);
    suite.add("user_passthrough_devices::give_nothing_where_somebody_else_agrees_or_the_user_says_no", of_others);
    suite.add("user_passthrough_devices::are_asked_by_the_server_with_the_message_that_the_task_shows", asked_by_the_server);
    suite.add("user_passthrough_devices::are_looked_at_when_the_server_pings", told_by_the_server);
    suite.add("user_passthrough_devices::that_say_no_or_speak_for_others_are_heard", said_no);
    suite.add("user_passthrough_devices::are_asked_for_a_bounded_time", runs_out);
}
