//! Key sets that cannot be had: every such request gets 503, the log says why, and all is well once the keys are there.

use std::time::Duration;

use anyhow::{Result, ensure};
use attache_mesh::authorization::AuthorizationServer;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::mesh::{Mesh, SCOPES, get_task_1_0_http, send_1_0};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wait;
use serde_json::{Value, json};

use crate::suite::{Suite, works};

/// After failures the filter pauses up to 16 s before it asks again.
const RECOVERY: Duration = Duration::from_secs(40);

fn html() -> Answer {
    Answer::new("200 OK", "text/html", "<!doctype html><title>Log in</title><p>Please log in.")
}

fn ten_megabytes() -> Answer {
    let key = json!({"kty": "oct", "k": "x".repeat(1000)});
    let keys: Vec<Value> = std::iter::repeat_n(key, 10_000).collect();
    Answer::new("200 OK", "application/json", json!({"keys": keys}).to_string())
}

fn redirect() -> Answer {
    Answer::new("302 Found", "text/plain", "elsewhere").header("location", "/elsewhere")
}

/// A name, what is answered, and what the log says of it.
type Fault = (&'static str, fn() -> Answer, &'static str);

const FAULTS: &[Fault] = &[
    ("html", html, "not a JWK Set"),
    ("ten_megabytes", ten_megabytes, "more than"),
    ("an_empty_body", || Answer::new("200 OK", "application/json", ""), "not a JWK Set"),
    ("an_empty_set", || Answer::new("200 OK", "application/json", "{\"keys\":[]}"), "no key in the set"),
    ("a_redirect", redirect, "status 302"),
    ("an_error", || Answer::new("500 Internal Server Error", "text/plain", "oops"), "status 500"),
    ("invalid_utf8", || Answer::new("200 OK", "application/json", b"{\"keys\":[{\"kid\":\"\xff\"}]}".to_vec()), "not a JWK Set"),
    ("only_unusable_keys", || Answer::new("200 OK", "application/json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},7]}"), "no key in the set"),
];

fn asking(mesh: &Mesh, port: u16, edit: impl FnOnce(&mut Value)) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    file.cluster("idp", port)?;
    file.edit_plugin(|plugin| {
        let remote = &mut plugin["issuers"][0]["jwks"]["remote"];
        remote["uri"] = json!(format!("http://127.0.0.1:{port}/jwks"));
        remote["refresh"] = json!("1s");
        remote["timeout"] = json!("1s");
        edit(remote);
    })?;
    Ok(file)
}

async fn unavailable(port: u16, token: &str) -> Result<()> {
    for (call, form) in [(send_1_0("k"), Form::Rpc(json!("k"))), (get_task_1_0_http("t"), Form::Status)] {
        refusal::check(&call.bearer(token).send(port).await?, "keys_unavailable", &form)?;
    }
    Ok(())
}

async fn recovers(port: u16, token: &str) -> Result<()> {
    wait::until("service to be back", RECOVERY, async || {
        let reply = send_1_0("back").bearer(token).send(port).await?;
        if reply.status == 200 {
            return Ok(Some(()));
        }
        refusal::check(&reply, "keys_unavailable", &Form::Rpc(json!("back")))?;
        Ok(None)
    })
    .await?;
    works(port, token).await?;
    Ok(())
}

async fn fault(mesh: &Mesh, name: &str, answer: Answer, why: &str) -> Result<()> {
    let token = mesh.token().await?;
    let stand_in = StandIn::start(answer.clone()).await?;
    let envoy = Envoy::start(&format!("jwks-{name}"), &asking(mesh, stand_in.port, |_| ())?, Options::default()).await?;
    unavailable(envoy.port(), &token).await?;
    envoy.logged(&["attache: ", "issuers[0].jwks.remote", "corp", why]).await?;
    refusal::check(&send_1_0("n").send(envoy.port()).await?, "credentials_missing", &Form::Rpc(json!("n")))?;
    let keys = mesh.authorization.jwks().await?;
    stand_in.answer(Answer::new("200 OK", "application/jwk-set+json", keys.to_string()));
    recovers(envoy.port(), &token).await?;
    // Keys that are there outlive the same fault.
    stand_in.answer(answer);
    let asked = stand_in.whole();
    wait::until("two more fetches", RECOVERY, async || {
        works(envoy.port(), &token).await?;
        Ok((stand_in.whole() >= asked + 2).then_some(()))
    })
    .await?;
    works(envoy.port(), &mesh.token().await?).await?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (name, answer, why) in FAULTS {
        suite.add(format!("jwks::{name}_is_503_until_there_are_keys"), async move |mesh| fault(mesh, name, answer(), why).await);
    }
    suite.add("jwks::an_endpoint_that_never_answers_is_503_and_no_hang", async |mesh| {
        // A socket that listens but accepts nobody.
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let file = asking(mesh, socket.local_addr()?.port(), |_| ())?;
        let envoy = Envoy::start("jwks-stall", &file, Options::default()).await?;
        unavailable(envoy.port(), &mesh.token().await?).await
    });
    suite.add("jwks::an_endpoint_that_is_down_is_503", async |mesh| {
        let stand_in = StandIn::start(html()).await?;
        let port = stand_in.port;
        drop(stand_in);
        let envoy = Envoy::start("jwks-down", &asking(mesh, port, |_| ())?, Options::default()).await?;
        unavailable(envoy.port(), &mesh.token().await?).await
    });
    suite.add("jwks::an_unknown_cluster_is_503_and_the_log_names_it", async |mesh| {
        let file = asking(mesh, mesh.authorization.port, |remote| remote["cluster"] = json!("nowhere"))?;
        let envoy = Envoy::start("jwks-nowhere", &file, Options::default()).await?;
        let token = mesh.token().await?;
        unavailable(envoy.port(), &token).await?;
        envoy.logged(&["attache: ", "nowhere"]).await?;
        unavailable(envoy.port(), &token).await
    });
    suite.add("jwks::requests_that_come_before_the_keys_wait_for_them", async |mesh| {
        let own = AuthorizationServer::start("authorization-slow").await?;
        let token = own.token(&mesh.audience, SCOPES).await?;
        let file = mesh.inbound_file_trusting(&own)?;
        let envoy = Envoy::start("jwks-early", &file, Options::default()).await?;
        let calls = (0..20).map(|number| {
            let (token, port) = (token.clone(), envoy.port());
            tokio::spawn(async move { send_1_0(&format!("early-{number}")).bearer(&token).send(port).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let reply = call.await??;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        }
        // One fetch by the worker and one by the main thread, which runs the filter too.
        let fetches = own.jwks_fetches().await?;
        ensure!(fetches <= 2, "20 requests led to {fetches} fetches");
        Ok(())
    });
    suite.add("jwks::keys_older_than_max_stale_are_not_used", async |mesh| {
        let own = AuthorizationServer::start("authorization-stale").await?;
        let mut file = mesh.inbound_file_trusting(&own)?;
        file.edit_plugin(|plugin| {
            let remote = &mut plugin["issuers"][0]["jwks"]["remote"];
            remote["refresh"] = json!("1s");
            remote["max_stale"] = json!("3s");
        })?;
        let envoy = Envoy::start("jwks-stale", &file, Options::default()).await?;
        let (known, fresh) = (own.token(&mesh.audience, SCOPES).await?, own.token(&mesh.audience, SCOPES).await?);
        works(envoy.port(), &known).await?;
        own.stop();
        for token in [&fresh, &known] {
            wait::until("the keys to be too old", Duration::from_secs(20), async || {
                let reply = send_1_0("stale").bearer(token).send(envoy.port()).await?;
                Ok((reply.reason().as_deref() == Some("keys_unavailable")).then_some(()))
            })
            .await?;
        }
        own.start_again().await?;
        recovers(envoy.port(), &known).await
    });
}
