//! Key sets that cannot be had: every such request gets 503, the log says why, and all is well once the keys are there.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::AuthorizationServer;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::mesh::{Mesh, SCOPES, get_task_1_0_http, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wait;
use serde_json::{Value, json};
use tokio::task::LocalSet;

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

/// Always something, and never all of it in time.
fn slow_drip() -> Answer {
    Answer::new("200 OK", "application/json", json!({"keys": [], "more": "x".repeat(400)}).to_string()).dripping(Duration::from_millis(100))
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
    ("a_slow_drip", slow_drip, "no whole answer in time"),
    ("invalid_utf8", || Answer::new("200 OK", "application/json", b"{\"keys\":[{\"kid\":\"\xff\"}]}".to_vec()), "not a JWK Set"),
    (
        "only_unusable_keys",
        || Answer::new("200 OK", "application/json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},7]}"),
        "no key in the set",
    ),
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

/// One faulty endpoint with the issuer whose keys it should give.
struct Endpoint {
    stand_in: StandIn,
    mint: Mint,
    issuer: String,
    fault: &'static Fault,
}

impl Endpoint {
    async fn start(fault: &'static Fault) -> Result<Self> {
        let stand_in = StandIn::start((fault.1)()).await?;
        Ok(Self { stand_in, mint: Mint::new(fault.0)?, issuer: format!("https://{}.example", fault.0), fault })
    }

    fn token(&self, audience: &str) -> String {
        let now = place::now();
        let claims = json!({"iss": self.issuer, "sub": "alice", "aud": audience, "iat": now, "exp": now + 600,
            "client_id": "c", "jti": place::unique("jti"), "scope": SCOPES});
        self.mint.sign(&claims)
    }

    fn repair(&self) {
        let keys = json!({"keys": [self.mint.jwk()]});
        self.stand_in.answer(Answer::new("200 OK", "application/jwk-set+json", keys.to_string()));
    }

    /// While the fault lasts; then without it; then with it again, when the keys are known.
    async fn check(&self, envoy: &Envoy, audience: &str) -> Result<()> {
        let (name, fault, why) = self.fault;
        let token = self.token(audience);
        unavailable(envoy.port(), &token).await?;
        envoy.logged(&["attache: ", ".jwks.remote", name, why]).await?;
        self.repair();
        recovers(envoy.port(), &token).await?;
        self.stand_in.answer(fault());
        let asked = self.stand_in.whole();
        wait::until("two more fetches", RECOVERY, async || {
            works(envoy.port(), &token).await?;
            Ok((self.stand_in.whole() >= asked + 2).then_some(()))
        })
        .await?;
        works(envoy.port(), &self.token(audience)).await?;
        Ok(())
    }
}

/// An Envoy that trusts an issuer for each fault.
async fn all_faults(mesh: &Mesh) -> Result<()> {
    let mut endpoints = Vec::new();
    for fault in FAULTS {
        endpoints.push(Endpoint::start(fault).await?);
    }
    let mut file = mesh.inbound_file()?;
    for endpoint in &endpoints {
        file.copy_cluster("idp", endpoint.fault.0)?;
        file.cluster(endpoint.fault.0, endpoint.stand_in.port)?;
    }
    file.edit_plugin(|plugin| {
        plugin["issuers"] = endpoints
            .iter()
            .map(|endpoint| {
                json!({
                    "name": endpoint.fault.0, "issuer": endpoint.issuer, "audiences": [mesh.audience], "clock_skew": "0s",
                    "jwks": {"remote": {"uri": "http://127.0.0.1/jwks", "cluster": endpoint.fault.0, "refresh": "1s", "timeout": "1s"}},
                })
            })
            .collect();
        let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.fault.0).collect();
        plugin["schemes"] = json!({"oauth2": {"bearer": {"issuers": names}}});
    })?;
    let envoy = Envoy::start("jwks-faults", &file, Options::default()).await?;
    refusal::check(&send_1_0("n").send(envoy.port()).await?, "credentials_missing", &Form::Rpc(json!("n")))?;
    // All at once: the longer a fault lasts, the longer the filter pauses before it asks again.
    let (envoy, audience) = (Rc::new(envoy), mesh.audience.clone());
    let tasks = LocalSet::new();
    let checks: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| {
            let (envoy, audience) = (envoy.clone(), audience.clone());
            tasks.spawn_local(async move { endpoint.check(&envoy, &audience).await.context(endpoint.fault.0) })
        })
        .collect();
    tasks.await;
    let mut failed = Vec::new();
    for check in checks {
        if let Err(error) = check.await? {
            failed.push(format!("{error:#}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("jwks::every_fault_is_503_until_there_are_keys_and_then_harmless", async |mesh| all_faults(mesh).await);
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
    suite.add("jwks::one_fetch_serves_all_who_wait_even_if_the_first_goes_away", async |mesh| {
        let keys = mesh.authorization.jwks().await?;
        let stand_in = StandIn::start(Answer::new("200 OK", "application/json", keys.to_string())).await?;
        stand_in.open(false);
        let file = asking(mesh, stand_in.port, |remote| {
            remote["timeout"] = json!("30s");
            remote["refresh"] = json!("300s");
        })?;
        let envoy = Envoy::start("jwks-waiting", &file, Options::default()).await?;
        let token = mesh.token().await?;
        let call = |number: u32| {
            let (token, port) = (token.clone(), envoy.port());
            tokio::spawn(async move { send_1_0(&format!("queued-{number}")).bearer(&token).send(port).await })
        };
        let first = call(0);
        envoy.stat_reaches("http.inbound.downstream_rq_active", 1).await?;
        let others: Vec<_> = (1..10).map(call).collect();
        envoy.stat_reaches("http.inbound.downstream_rq_active", 10).await?;
        first.abort();
        wait::until("the first to be gone", Duration::from_secs(10), async || {
            Ok((envoy.stat("http.inbound.downstream_rq_active").await? == 9).then_some(()))
        })
        .await?;
        stand_in.open(true);
        for call in others {
            let reply = call.await??;
            ensure!(reply.status == 200 && reply.echo().is_some(), "{} {}", reply.status, reply.text());
        }
        ensure!(stand_in.heads() <= 2, "{} fetches by one worker and the main thread", stand_in.heads());
        Ok(())
    });
    suite.add("jwks::all_workers_share_one_fetch", async |mesh| {
        let keys = mesh.authorization.jwks().await?;
        let stand_in = StandIn::start(Answer::new("200 OK", "application/json", keys.to_string())).await?;
        stand_in.open(false);
        let file = asking(mesh, stand_in.port, |remote| {
            remote["timeout"] = json!("120s");
            remote["refresh"] = json!("300s");
        })?;
        let envoy = Envoy::start("jwks-shared", &file, Options::default().workers(4)).await?;
        let token = mesh.token().await?;
        let calls: Vec<_> = (0..40)
            .map(|number| {
                let (token, port) = (token.clone(), envoy.port());
                tokio::spawn(async move { send_1_0(&format!("shared-{number}")).bearer(&token).send(port).await })
            })
            .collect();
        envoy.stat_reaches("http.inbound.downstream_rq_active", 40).await?;
        stand_in.open(true);
        for call in calls {
            let reply = call.await??;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        }
        ensure!(stand_in.heads() == 1, "{} fetches by four workers and the main thread", stand_in.heads());
        Ok(())
    });
    suite.add("jwks::a_flood_of_unknown_keys_causes_few_fetches_and_a_new_key_is_found", async |mesh| {
        let (old, new) = (Mint::new("flood-old")?, Mint::new("flood-new")?);
        let set = |mint: &Mint| Answer::new("200 OK", "application/json", json!({"keys": [mint.jwk()]}).to_string());
        let stand_in = StandIn::start(set(&old)).await?;
        let mut file = asking(mesh, stand_in.port, |remote| remote["refresh"] = json!("300s"))?;
        file.edit_plugin(|plugin| plugin["issuers"][0]["issuer"] = json!("https://flood.example"))?;
        let envoy = Envoy::start("jwks-flood", &file, Options::default().workers(2)).await?;
        let token = |mint: &Mint, kid: &str| {
            let now = place::now();
            let claims = json!({"iss": "https://flood.example", "sub": "alice", "aud": mesh.audience, "iat": now, "exp": now + 600,
                "client_id": "c", "jti": place::unique("jti"), "scope": SCOPES});
            let mut header = mint.header();
            header["kid"] = json!(kid);
            mint.sign_as(&header, &claims)
        };
        works(envoy.port(), &token(&old, "flood-old")).await?;
        let tokens: Vec<String> = (0..1000).map(|number| token(&old, &format!("random-{number}"))).collect();
        let lanes: Vec<_> = tokens
            .chunks(125)
            .map(|lane| {
                let (lane, port) = (lane.to_vec(), envoy.port());
                tokio::spawn(async move {
                    for token in lane {
                        let reply = send_1_0("flood").bearer(&token).send(port).await?;
                        refusal::check(&reply, "token_key_unknown", &Form::Rpc(json!("flood")))?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for lane in lanes {
            lane.await??;
        }
        let fetches = stand_in.heads();
        ensure!(fetches <= 3, "1000 unknown keys led to {fetches} fetches, the first included");
        stand_in.answer(set(&new));
        wait::until("the new key to be found", RECOVERY, async || {
            let reply = send_1_0("new").bearer(&token(&new, "flood-new")).send(envoy.port()).await?;
            Ok((reply.status == 200).then_some(()))
        })
        .await
    });
    suite.add("jwks::keys_are_found_through_the_issuers_metadata", async |mesh| {
        let mut file = mesh.inbound_file()?;
        let uri = format!("{}/.well-known/openid-configuration", mesh.authorization.issuer);
        file.edit_plugin(|plugin| plugin["issuers"][0]["jwks"] = json!({"discovery": {"uri": uri, "cluster": "idp", "refresh": "1s"}}))?;
        let envoy = Envoy::start("jwks-discovery", &file, Options::default()).await?;
        works(envoy.port(), &mesh.token().await?).await?;
        // The same document, for another issuer.
        let stand_in = StandIn::start(Answer::new(
            "200 OK",
            "application/json",
            json!({"issuer": "https://elsewhere.example", "jwks_uri": mesh.authorization.jwks_uri}).to_string(),
        ))
        .await?;
        let mut file = mesh.inbound_file()?;
        file.cluster("idp", stand_in.port)?;
        file.edit_plugin(|plugin| plugin["issuers"][0]["jwks"] = json!({"discovery": {"uri": uri, "cluster": "idp"}}))?;
        let envoy = Envoy::start("jwks-metadata", &file, Options::default()).await?;
        unavailable(envoy.port(), &mesh.token().await?).await?;
        envoy.logged(&["attache: issuers[0].jwks.discovery", "issuer is another one"]).await?;
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
