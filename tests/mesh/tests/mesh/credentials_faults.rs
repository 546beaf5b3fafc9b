//! Token endpoints, secrets and agents that fail: what a caller gets, what the log says, and how soon calls work again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::AuthorizationServer;
use attache_mesh::connections::{call, client, connection, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::credentials::{echo, issued, token};
use crate::suite::Suite;

const SECRET: &str = "s3cret-of-the-client";

/// A connection whose token endpoint is cluster `broken`.
fn broken(name: &str) -> Value {
    let client = json!({"token_endpoint": {"uri": "http://broken.example/token", "cluster": "broken", "timeout": "1s"}, "client_id": name,
        "authentication": {"client_secret_post": {"secret": "secret"}}});
    connection(name, &json!({"client_credentials": {"client": client}}))
}

fn json_answer(status: &'static str, body: &Value) -> Answer {
    Answer::new(status, "application/json", body.to_string())
}

fn good() -> Value {
    json!({"access_token": "good.to.ken", "token_type": "bearer", "expires_in": "3600"})
}

fn changed(name: &str, value: Value) -> Value {
    let mut answer = good();
    answer[name] = value;
    answer
}

async fn bad_answers(mesh: &Mesh) -> Result<()> {
    let unavailable = "credential_unavailable";
    let error = |code: &str| json!({"error": code, "error_description": format!("{SECRET} is wrong")});
    let cases = [
        (Answer::new("302 Found", "text/html", "").header("location", "http://127.0.0.1/login"), unavailable, "redirects are not followed"),
        (Answer::new("200 OK", "text/html", "<html>sign in</html>"), unavailable, "not a JSON object"),
        (Answer::new("200 OK", "application/json", "{\"access_token\":"), unavailable, "not a JSON object"),
        (Answer::new("200 OK", "application/json", vec![b' '; 1 << 20]), unavailable, "more than 65536"),
        (json_answer("200 OK", &json!({"token_type": "Bearer"})), unavailable, "without an access_token"),
        (json_answer("200 OK", &changed("access_token", json!("a\r\nx-injected: 1"))), unavailable, "no header can carry"),
        (json_answer("200 OK", &changed("token_type", json!("DPoP"))), unavailable, "not of type Bearer"),
        (json_answer("200 OK", &changed("expires_in", json!(-1))), unavailable, "not in the future"),
        (json_answer("500 Internal Server Error", &error("server_error")), unavailable, "status 500"),
        (json_answer("429 Too Many Requests", &error("slow_down")), unavailable, "status 429"),
        (json_answer("401 Unauthorized", &error("invalid_client")), "credential_refused", "error invalid_client"),
        (json_answer("400 Bad Request", &error("invalid_scope")), "credential_refused", "error invalid_scope"),
        (json_answer("400 Bad Request", &error("interaction_required")), "credential_refused", "error interaction_required"),
    ];
    let endpoint = StandIn::start(json_answer("200 OK", &good())).await?;
    // Each has a name of its own: what failed once is not asked again at once.
    let names: Vec<String> = (0..=cases.len()).map(|index| format!("case{index}")).collect();
    let connections: Vec<Value> = names.iter().map(|name| broken(name)).collect();
    let file = outbound(mesh, &connections, &json!({"secret": {"env": "SECRET"}}), &[("broken", endpoint.port)])?;
    let envoy = Envoy::start("bad-answers", &file, Options::default().env("SECRET", SECRET)).await?;
    for ((answer, reason, cause), name) in cases.into_iter().zip(&names) {
        endpoint.answer(answer);
        let mark = format!("/?mark={name}");
        let call = Call::post(&mark, &attache_mesh::http::rpc(json!(name), "SendMessage", json!({}))).host(&format!("{name}.example.com"));
        let reply = call.bearer("mine").send(envoy.port()).await?;
        refusal::check(&reply, reason, &Form::Rpc(json!(name))).with_context(|| cause.to_owned())?;
        envoy.logged(&["no token for", name, cause]).await?;
        ensure!(mesh.agent_1_0.saw(&mark).await? == 0, "{cause}: the call left without a credential");
    }
    endpoint.answer(json_answer("200 OK", &good()));
    let name = names.last().context("one more")?;
    ensure!(token(&call(name).send(envoy.port()).await?)? == "good.to.ken", "Envoy is well");
    ensure!(!envoy.log().contains(SECRET), "a secret in the log");
    Ok(())
}

async fn stalled(mesh: &Mesh) -> Result<()> {
    let endpoint = StandIn::start(json_answer("200 OK", &good())).await?;
    endpoint.open(false);
    let mut connection = broken("stalled");
    // All must be there before the endpoint is given up.
    connection["credential"]["client_credentials"]["client"]["token_endpoint"]["timeout"] = json!("10s");
    let file = outbound(mesh, &[connection], &json!({"secret": {"env": "SECRET"}}), &[("broken", endpoint.port)])?;
    let envoy = Envoy::start("stalled", &file, Options::default().env("SECRET", SECRET)).await?;
    let port = envoy.port();
    let calls: Vec<_> = (0..1020).map(|_| tokio::spawn(async move { call("stalled").send(port).await })).collect();
    for reply in calls {
        refusal::check(&reply.await??, "credential_unavailable", &Form::Rpc(json!("stalled")))?;
    }
    envoy.logged(&["1000 requests wait for its credential already"]).await?;
    envoy.logged(&["no token for", "stalled", "status 504"]).await?;
    ensure!(endpoint.whole() == 1, "one request for all: {}", endpoint.whole());
    endpoint.open(true);
    wait::until("calls to work again", Duration::from_secs(10), async || {
        let reply = call("stalled").send(port).await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await
}

/// Many callers at once, in two workers, before there is a token: one asks for all.
async fn parallel(mesh: &Mesh) -> Result<()> {
    let endpoint = StandIn::start(json_answer("200 OK", &good())).await?;
    endpoint.open(false);
    let mut connection = broken("parallel");
    connection["credential"]["client_credentials"]["client"]["token_endpoint"]["timeout"] = json!("60s");
    let file = outbound(mesh, &[connection], &json!({"secret": {"env": "SECRET"}}), &[("broken", endpoint.port)])?;
    let envoy = Envoy::start("parallel", &file, Options::default().workers(2).env("SECRET", SECRET)).await?;
    let port = envoy.port();
    let calls: Vec<_> = (0..200).map(|_| tokio::spawn(async move { call("parallel").send(port).await })).collect();
    wait::until("all calls to wait", Duration::from_secs(30), async || {
        let waiting = envoy.stat("http.outbound.downstream_rq_active").await?;
        Ok((waiting >= 200).then_some(()))
    })
    .await?;
    endpoint.open(true);
    for reply in calls {
        ensure!(token(&reply.await??)? == "good.to.ken", "one of many");
    }
    ensure!(endpoint.whole() == 1, "{} requests for one token", endpoint.whole());
    let workers = envoy.stat("attache_credentials.connection=.=parallel;.;method=.=client_credentials;.;from=.=fetch").await?;
    ensure!(workers == 200, "{workers} waited");
    Ok(())
}

/// Callers at once while the authorization server is away.
const CALLERS: usize = 8;

/// A call under load: when it was sent and when its answer came, counted from the start; and the answer.
struct Called {
    sent: Duration,
    ended: Duration,
    reply: Reply,
}

/// Calls again and again until told to stop.
async fn calling(port: u16, started: Instant, stop: Arc<AtomicBool>) -> Result<Vec<Called>> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let sent = started.elapsed();
        let reply = call("outage").send(port).await?;
        calls.push(Called { sent, ended: started.elapsed(), reply });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(calls)
}

/// The authorization server is away for a minute under load, and tokens live for half of one. The calls that may fail are those that
/// come after the token in hand has expired and before the first attempt to fetch another after the server is back.
async fn outage(mesh: &Mesh) -> Result<()> {
    let authorization = AuthorizationServer::start("outage").await?;
    let agent = StandIn::start(json_answer("200 OK", &json!({}))).await?;
    let credential = json!({"client_credentials": {"client": client(&authorization, "half", &json!({"client_secret_post": {"secret": "secret"}})),
        "request": request()}});
    let mut file = outbound(mesh, &[connection("outage", &credential)], &json!({"secret": {"env": "SECRET"}}), &[])?;
    file.cluster("idp", authorization.port)?;
    file.cluster("remote", agent.port)?;
    let envoy = Envoy::start("outage", &file, Options::default().workers(2).env("SECRET", "half-secret")).await?;
    let started = Instant::now();
    ensure!(call("outage").send(envoy.port()).await?.status == 200, "the first call");
    let fetched = started.elapsed();
    authorization.stop();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(calling(envoy.port(), started, stop.clone()))).collect();
    tokio::time::sleep_until((started + Duration::from_secs(60)).into()).await;
    authorization.start_again().await?;
    let back = started.elapsed();
    tokio::time::sleep(Duration::from_secs(15)).await;
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    for caller in callers {
        calls.extend(caller.await??);
    }
    // The token lives 30 s, counted from its request, in the server's whole seconds. Then fetching pauses for 4 s at most; slow
    // machines need a moment.
    let (expiry, recovered) = (Duration::from_secs(29), back + Duration::from_secs(7));
    for Called { sent, ended, reply } in calls.iter().filter(|call| call.reply.status != 200) {
        refusal::check(reply, "credential_unavailable", &Form::Rpc(json!("outage")))?;
        ensure!(*ended > expiry && *sent < recovered, "a call of {sent:?} failed at {ended:?}; the server was back at {back:?}");
    }
    // That there was load at each time, and that it did fail where nothing else was possible.
    let count = |from: Duration, to: Duration, good: bool| {
        calls.iter().filter(|call| call.sent >= from && call.ended < to && (call.reply.status == 200) == good).count()
    };
    let (gone, end) = (fetched + Duration::from_secs(31), Duration::MAX);
    let seen = [count(fetched, expiry, true), count(gone, back, false), count(gone, back, true), count(recovered, end, true)];
    ensure!(seen[0] > 1000 && seen[1] > 1000 && seen[2] == 0 && seen[3] > 200, "{seen:?} of {}", calls.len());
    Ok(())
}

/// The agent no longer takes a token: it is given up once it is a little old, and the next call has another.
async fn revoked(mesh: &Mesh) -> Result<()> {
    let agent = StandIn::start(json_answer("401 Unauthorized", &json!({}))).await?;
    let credential = json!({"client_credentials": {"client": client(&mesh.authorization, "brief2", &json!({"client_secret_post": {"secret": "secret"}})),
        "request": request()}});
    let mut file = outbound(mesh, &[connection("revoked", &credential)], &json!({"secret": {"env": "SECRET"}}), &[])?;
    file.cluster("remote", agent.port)?;
    let envoy = Envoy::start("revoked", &file, Options::default().env("SECRET", "brief2-secret")).await?;
    for _ in 0..3 {
        ensure!(call("revoked").send(envoy.port()).await?.status == 401, "the agent's own answer");
    }
    ensure!(issued(&mesh.authorization, "brief2").await? == 1, "a young token is kept");
    envoy.logged(&["connection \"revoked\"", "the agent answered 401", "issued for the audience"]).await?;
    let start = place::now();
    wait::until("another token", Duration::from_secs(20), async || {
        ensure!(call("revoked").send(envoy.port()).await?.status == 401, "the agent's own answer");
        Ok((issued(&mesh.authorization, "brief2").await? == 2).then_some(()))
    })
    .await?;
    ensure!(place::now() >= start + 3, "it was given up too early");
    Ok(())
}

/// A secret that is fetched changes without a restart, and stays while its source is away.
async fn rotated(mesh: &Mesh) -> Result<()> {
    let source = StandIn::start(Answer::new("200 OK", "text/plain", "key-1\n")).await?;
    let credential = json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}});
    let secrets =
        json!({"key": {"http": {"remote": {"uri": "http://secrets/key", "cluster": "secrets", "refresh": "1s", "max_stale": "1s"}}}});
    let file = outbound(mesh, &[connection("rotated", &credential)], &secrets, &[("secrets", source.port)])?;
    let envoy = Envoy::start("rotated", &file, Options::default()).await?;
    let key = async || anyhow::Ok(echo(&call("rotated").send(envoy.port()).await?)?.header("x-api-key"));
    ensure!(key().await? == ["key-1"], "the first call waits for it");
    source.answer(Answer::new("200 OK", "text/plain", "key-2"));
    wait::until("the new key", Duration::from_secs(10), async || Ok((key().await? == ["key-2"]).then_some(()))).await?;
    for answer in [Answer::new("503 Service Unavailable", "text/plain", ""), Answer::new("200 OK", "text/plain", "")] {
        let start = envoy.log().len();
        source.answer(answer);
        envoy.logged_after(start, &["secrets.key.http", "the last value is kept"]).await?;
        ensure!(key().await? == ["key-2"], "the last value is kept");
    }
    ensure!(!envoy.log().contains("key-"), "a secret in the log");
    Ok(())
}

pub fn add_slow(suite: &mut Suite) {
    suite.add("credentials_faults::an_authorization_server_away_for_a_minute", outage);
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_faults::what_is_no_token_goes_nowhere", bad_answers);
    suite.add("credentials_faults::one_worker_asks_for_all", parallel);
    suite.add("credentials_faults::a_stalled_endpoint_bounds_queue_and_wait", stalled);
    suite.add("credentials_faults::a_token_that_the_agent_refuses_is_given_up", revoked);
    suite.add("credentials_faults::a_secret_changes_without_a_restart", rotated);
}
