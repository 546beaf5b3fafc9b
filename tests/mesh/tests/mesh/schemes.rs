//! Every way in which a caller can prove itself: API keys, passwords, client certificates, bound and opaque tokens; and what a
//! client that was refused can learn.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Echo, basic, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, get_task_1_0_http, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::{Authority, Identity};
use attache_mesh::told::ensure_told;
use attache_mesh::wait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::OnceCell;

use crate::suite::{House, Suite};

/// What must come out nowhere.
const KEY: &str = "canary-key-of-desk";
const PASSWORD: &str = "canary-password";
/// The audience for which the authorization server gives opaque tokens.
const OPAQUE: &str = "https://opaque.example.com";
const GATEWAY: &str = "spiffe://corp/gateway";
const DESK: &str = "spiffe://corp/ns/desk";

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn schemes(mesh: &Mesh) -> Value {
    let key = |place: &str, name: &str| json!({"api_key": {"in": place, "name": name, "keys": [{"id": "desk", "sha256": sha256(KEY)}]}});
    let allow = json!([{"uri": "spiffe://corp/ns/*"}, {"dns": "*.clients.example.com"}, {"subject": "CN=old"}]);
    let introspection = |cluster: &str| {
        json!({"introspection": {
            "uri": format!("{}/token/introspection", mesh.authorization.issuer), "cluster": cluster, "issuer": mesh.authorization.issuer,
            "client": {"id": "attache", "secret": {"secret": "introspection"}}, "audiences": [OPAQUE], "clock_skew": "0s", "cache": "60s",
        }})
    };
    json!({
        "header": key("header", "x-desk-key"), "query": key("query", "desk_key"), "cookie": key("cookie", "desk"),
        "basic": {"basic": {"users": [{"id": "ann", "sha256": sha256(&format!("ann:{PASSWORD}"))}]}},
        "opaque": introspection("idp"), "deaf": introspection("deaf"),
        "tls": {"mutual_tls": {"allow": allow}},
        "behind": {"mutual_tls": {"from": {"x_forwarded_client_cert": {"proxies": [GATEWAY]}}, "allow": allow}},
        "bound": {"bearer": {"issuers": ["house"], "certificate_bound": {}}},
        "nothing": {"none": {}},
    })
}

/// One agent per host, all of them the same server.
const AGENTS: [(&str, &str); 10] = [
    ("header", r#"[{"header": []}]"#),
    ("query", r#"[{"query": []}]"#),
    ("cookie", r#"[{"cookie": []}]"#),
    ("basic", r#"[{"basic": []}, {"oauth2": ["agent:execute"]}]"#),
    ("opaque", r#"[{"opaque": ["agent:execute"]}, {"oauth2": ["agent:execute"]}]"#),
    ("deaf", r#"[{"deaf": []}]"#),
    ("tls", r#"[{"tls": []}, {"oauth2": ["agent:execute"]}]"#),
    ("behind", r#"[{"behind": []}, {"header": []}]"#),
    ("bound", r#"[{"bound": []}]"#),
    ("open", r#"[{"nothing": []}]"#),
];

fn file(mesh: &Mesh, mint: &Mint, deaf: u16) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    House::trust(&mut file, mint, &mesh.audience)?;
    file.copy_cluster("idp", "deaf")?;
    file.cluster("deaf", deaf)?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["INTROSPECTION"]});
    file.edit_plugin(|plugin| {
        plugin["secrets"] = json!({"introspection": {"env": "INTROSPECTION"}});
        let all = schemes(mesh);
        for (name, scheme) in all.as_object().into_iter().flatten() {
            plugin["schemes"][name] = scheme.clone();
        }
        let plain = plugin["agents"][0].clone();
        for (name, security) in AGENTS {
            let mut agent = plain.clone();
            agent["name"] = json!(name);
            agent["match"]["hosts"] = json!([format!("{name}.example.com")]);
            agent["public_url"] = json!(format!("https://{name}.example.com{AGENT}"));
            agent["card"] = json!({"access": "authenticated"});
            agent["security"] = serde_json::from_str(security).unwrap_or_default();
            if let Some(agents) = plugin["agents"].as_array_mut() {
                agents.push(agent);
            }
        }
    })?;
    Ok(file)
}

/// An Envoy with agents of every scheme, in the clear, and one that speaks TLS.
struct Here {
    plain: Envoy,
    tls: Envoy,
    authority: Authority,
    mint: Mint,
    audience: String,
    /// Answers like no introspection endpoint.
    _deaf: StandIn,
}

impl Here {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Here> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let deaf = StandIn::start(Answer::new("500 Internal Server Error", "text/plain", "canary")).await?;
        let mint = Mint::new("schemes-1")?;
        let plain = file(mesh, &mint, deaf.port)?;
        let mut guarded = plain.clone();
        let authority = Authority::new("mesh")?;
        authority.guard(&mut guarded, &authority.issue("localhost", &[], &["localhost"])?)?;
        let manager = guarded.http_manager()?;
        // What a proxy in front says of its client comes through; whether it is believed is the filter's decision.
        manager["forward_client_cert_details"] = json!("ALWAYS_FORWARD_ONLY");
        let options = Options::default().own().env("INTROSPECTION", "attache-secret");
        let (plain, tls) =
            tokio::try_join!(Envoy::start("schemes", &plain, options.clone()), Envoy::start("schemes-tls", &guarded, options))?;
        Ok(Self { plain, tls, authority, mint, audience: mesh.audience.clone(), _deaf: deaf })
    }

    /// What the agent saw of `call`, which passes.
    async fn passes(&self, call: &Call) -> Result<Echo> {
        echo(&call.send(self.plain.port()).await?)
    }

    async fn passes_over_tls(&self, call: &Call, client: Option<&Identity>) -> Result<Echo> {
        echo(&self.authority.send(call, self.tls.port(), client).await?)
    }

    async fn refused_over_tls(&self, call: &Call, client: Option<&Identity>, reason: &str) -> Result<()> {
        refusal::check(&self.authority.send(call, self.tls.port(), client).await?, reason, &Form::Rpc(json!("s")))
    }
}

fn echo(reply: &attache_mesh::http::Reply) -> Result<Echo> {
    reply.echo().with_context(|| format!("no echo: {} {}", reply.status, reply.text()))
}

fn one(echo: &Echo, name: &str, value: &str) -> Result<()> {
    let seen = echo.header(name);
    ensure!(seen == [value], "{name} is {seen:?}, not {value:?}");
    Ok(())
}

/// A message to the agent at `host`, with `query`.
fn send(host: &str, query: &str) -> Call {
    let body = rpc(json!("s"), "SendMessage", attache_mesh::http::message_1_0("s"));
    Call::post(format!("{AGENT}{query}"), &body).version("1.0").host(&format!("{host}.example.com"))
}

/// Nothing that was sent in `secrets` stands in the logs (access logs among them).
fn is_silent(envoy: &Envoy, secrets: &[&str]) -> Result<()> {
    let log = envoy.log() + &envoy.process().out();
    match secrets.iter().find(|secret| log.contains(**secret)) {
        Some(secret) => anyhow::bail!("{secret} stands in the log of {}", envoy.process().name()),
        None => Ok(()),
    }
}

/// The key is good at its place, whatever stands beside it, and nobody sees it.
async fn keys(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    for call in [
        send("header", "").header("x-desk-key", KEY).header("x_desk_key", "canary"),
        send("query", &format!("?a=1&desk_key={KEY}&b=2")),
        send("query", &format!("?%64esk_key={KEY}")),
        send("cookie", "").header("cookie", format!("a=1; desk={KEY}; b=2")),
    ] {
        let seen = here.passes(&call).await?;
        ensure!(!seen.0.to_string().contains("canary"), "the agent saw {}", seen.0);
        ensure_told(&seen, "client", "desk")?;
        ensure_told(&seen, "kind", "service")?;
    }
    let seen = here.passes(&send("cookie", "").header("cookie", format!("a=1; desk={KEY}; b=2"))).await?;
    one(&seen, "cookie", "a=1; b=2")?;
    let seen = here.passes(&send("query", &format!("?a=1&desk_key={KEY}&b=2"))).await?;
    ensure!(seen.path() == "/?a=1&b=2", "{}", seen.path());
    for (call, reason) in [
        (send("header", ""), "credentials_missing"),
        (send("header", "").header("x-desk-key", "canary-key-of-des"), "api_key_unknown"),
        (send("header", "").header("x-desk-key", format!("{KEY}k")), "api_key_unknown"),
        (send("header", "").header("x-desk-key", b"canary\xff"), "api_key_unknown"),
        (send("header", "").header("x-desk-key", KEY).header("x-desk-key", KEY), "credentials_repeated"),
        (send("header", &format!("?desk_key={KEY}")), "credentials_missing"),
        (send("query", "?desk_key=canary"), "api_key_unknown"),
        (send("query", &format!("?desk_key={KEY}&desk_key={KEY}")), "credentials_repeated"),
        (send("cookie", "").header("cookie", "desk=canary"), "api_key_unknown"),
        (send("cookie", "").header("cookie", format!("desk={KEY}; desk={KEY}")), "credentials_repeated"),
    ] {
        let reply = call.send(here.plain.port()).await?;
        refusal::check(&reply, reason, &Form::Rpc(json!("s")))?;
        ensure!(!format!("{:?}{}", reply.headers, reply.text()).contains("canary"), "{}", reply.text());
        ensure!(reply.header("www-authenticate").is_some_and(|line| line.starts_with("ApiKey realm=")), "{:?}", reply.headers);
    }
    // At a place that nobody serves, the key in the path does not get into the access log either.
    let lost = Call::get(format!("/nowhere?desk_key={KEY}")).host("query.example.com").send(here.plain.port()).await?;
    refusal::check(&lost, "unmatched", &Form::Status)?;
    let is_logged = async || Ok(here.plain.process().out().contains("GET /nowhere").then_some(()));
    wait::until("the access log", Duration::from_secs(10), is_logged).await?;
    is_silent(&here.plain, &["canary"])
}

async fn passwords(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let seen = here.passes(&send("basic", "").header("authorization", basic("ann", PASSWORD))).await?;
    ensure_told(&seen, "subject", "ann")?;
    ensure_told(&seen, "kind", "user")?;
    ensure!(seen.header("authorization").is_empty(), "{}", seen.0);
    ensure_told(&here.passes(&send("basic", "").bearer(&mesh.token().await?)).await?, "client", "caller")?;
    for line in [basic("ann", "canary"), basic("bob", PASSWORD), "Basic canary!".to_owned(), "Basic".to_owned()] {
        let reply = send("basic", "").header("authorization", &line).send(here.plain.port()).await?;
        refusal::check(&reply, "password_wrong", &Form::Rpc(json!("s")))?;
        let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().filter_map(|line| line.to_str().ok()).collect();
        ensure!(challenges.iter().any(|line| line.starts_with("Basic realm=\"basic\"")), "{challenges:?}");
    }
    is_silent(&here.plain, &["canary", "Basic YW5u"])
}

async fn opaque_tokens(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let before = mesh.authorization.introspections().await?;
    let token = mesh.authorization.token(OPAQUE, SCOPES).await?;
    ensure!(!token.contains('.'), "the authorization server gives opaque tokens");
    let call = send("opaque", "").bearer(&token);
    // Many at once, and again: the endpoint is asked once.
    let first = futures(&call, here.plain.port(), 8).await?;
    for reply in &first {
        let seen = echo(reply)?;
        ensure_told(&seen, "client", "caller")?;
        ensure_told(&seen, "operation", "SendMessage")?;
    }
    here.passes(&call).await?;
    ensure!(mesh.authorization.introspections().await? == before + 1, "one question for one token");
    // A JWT is verified here.
    here.passes(&send("opaque", "").bearer(&mesh.token().await?)).await?;
    ensure!(mesh.authorization.introspections().await? == before + 1, "no question for a JWT");
    let check = async |token: &str, reason: &str| {
        let reply = send("opaque", "").bearer(token).send(here.plain.port()).await?;
        refusal::check(&reply, reason, &Form::Rpc(json!("s")))?;
        anyhow::Ok(reply)
    };
    check("never-issued", "token_inactive").await?;
    let asked = mesh.authorization.introspections().await?;
    check("never-issued", "token_inactive").await?;
    ensure!(mesh.authorization.introspections().await? == asked, "what was refused is remembered");
    let revoked = mesh.authorization.token(OPAQUE, SCOPES).await?;
    mesh.authorization.revoke("caller", &revoked).await?;
    check(&revoked, "token_inactive").await?;
    let reader = mesh.authorization.token(OPAQUE, "agent:read").await?;
    let reply = check(&reader, "insufficient_scope").await?;
    ensure!(reply.header("www-authenticate").is_some_and(|line| line.contains("scope=\"agent:execute\"")), "{:?}", reply.headers);
    let deaf = send("deaf", "").bearer(&token).send(here.plain.port()).await?;
    refusal::check(&deaf, "introspection_unavailable", &Form::Rpc(json!("s")))?;
    here.plain.logged(&["schemes.deaf.introspection", "status 500"]).await?;
    is_silent(&here.plain, &[&token, &revoked, &reader, "attache-secret", "canary"])
}

/// `count` copies of `call` at the same time.
async fn futures(call: &Call, port: u16, count: usize) -> Result<Vec<attache_mesh::http::Reply>> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move { call.send(port).await })
        })
        .collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await??);
    }
    Ok(replies)
}

async fn certificates(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let desk = here.authority.issue("desk", &[DESK], &["x.clients.example.com"])?;
    let named = here.authority.issue("named", &[], &["x.clients.example.com"])?;
    let old = here.authority.issue("old", &[], &[])?;
    for (client, identity) in [(&desk, DESK), (&named, "x.clients.example.com"), (&old, "CN=old")] {
        let seen = here.passes_over_tls(&send("tls", ""), Some(client)).await?;
        ensure_told(&seen, "client", identity)?;
    }
    let evil = here.authority.issue("old", &["spiffe://evil/ns/desk"], &["x.clients.example.com"])?;
    here.refused_over_tls(&send("tls", ""), Some(&evil), "certificate_refused").await?;
    here.refused_over_tls(&send("tls", ""), None, "credentials_missing").await?;
    // Over TLS without a certificate a token does, and one beside a certificate that is not known.
    let token = mesh.token().await?;
    for client in [None, Some(&evil)] {
        ensure_told(&here.passes_over_tls(&send("tls", "").bearer(&token), client).await?, "client", "caller")?;
    }
    // Of another authority: TLS itself ends the connection.
    let foreign = Authority::new("foreign")?.issue("old", &[DESK], &[])?;
    ensure!(
        here.authority.send(&send("tls", ""), here.tls.port(), Some(&foreign)).await.is_err(),
        "a foreign certificate is no certificate"
    );
    // In the clear nobody has a certificate.
    let spoofed = send("tls", "").header("x-forwarded-client-cert", format!("URI={DESK}"));
    refusal::check(&spoofed.send(here.plain.port()).await?, "credentials_missing", &Form::Rpc(json!("s")))
}

async fn forwarded_certificates(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let gateway = here.authority.issue("gateway", &[GATEWAY], &[])?;
    let mallory = here.authority.issue("mallory", &["spiffe://corp/ns/mallory"], &[])?;
    let told = format!("By=spiffe://corp/me;Hash={};Subject=\"CN=desk\";URI={DESK}", "ab".repeat(32));
    let call = send("behind", "").header("x-forwarded-client-cert", &told);
    ensure_told(&here.passes_over_tls(&call, Some(&gateway)).await?, "client", DESK)?;
    for (call, client, reason) in [
        (call.clone(), Some(&mallory), "certificate_refused"),
        (call.clone(), None, "certificate_refused"),
        (send("behind", ""), Some(&gateway), "credentials_missing"),
        (send("behind", "").header("x-forwarded-client-cert", format!("{told},{told}")), Some(&gateway), "certificate_refused"),
        (call.clone().header("x-forwarded-client-cert", &told), Some(&gateway), "certificate_refused"),
        (send("behind", "").header("x-forwarded-client-cert", "URI=spiffe://evil/a"), Some(&gateway), "certificate_refused"),
        (send("behind", "").header("x-forwarded-client-cert", DESK), Some(&gateway), "certificate_refused"),
    ] {
        here.refused_over_tls(&call, client, reason).await?;
    }
    Ok(())
}

async fn bound_tokens(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let (own, other) = (here.authority.issue("own", &[], &[])?, here.authority.issue("other", &[], &[])?);
    let mut claims = House::claims_for("alice", &here.audience);
    let plain = here.mint.sign(&claims);
    claims["cnf"] = json!({"x5t#S256": URL_SAFE_NO_PAD.encode(own.digest)});
    let bound = here.mint.sign(&claims);
    claims["cnf"] = json!({"jkt": URL_SAFE_NO_PAD.encode(own.digest)});
    let dpop = here.mint.sign(&claims);
    let call = |token: &str| send("bound", "").bearer(token);
    ensure_told(&here.passes_over_tls(&call(&bound), Some(&own)).await?, "subject", "alice")?;
    here.passes_over_tls(&call(&plain), Some(&other)).await?;
    here.refused_over_tls(&call(&bound), Some(&other), "token_not_bound").await?;
    here.refused_over_tls(&call(&bound), None, "token_not_bound").await?;
    here.refused_over_tls(&call(&dpop), Some(&own), "token_not_bound").await?;
    // A token that passed once is not good for everyone who copies it.
    here.refused_over_tls(&call(&bound), Some(&other), "token_not_bound").await?;
    let stolen = call(&bound).send(here.plain.port()).await?;
    refusal::check(&stolen, "token_not_bound", &Form::Rpc(json!("s")))
}

/// From a refusal to a token: the challenge names the metadata, that names the issuer, and its token is good.
async fn metadata(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let port = here.plain.port();
    let refused = get_task_1_0_http("t").host("opaque.example.com").send(port).await?;
    refusal::check(&refused, "credentials_missing", &Form::Status)?;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    let url = challenge.split_once("resource_metadata=\"").and_then(|(_, rest)| rest.split('"').next()).context("no resource_metadata")?;
    let path = url.strip_prefix("https://opaque.example.com").context("another host")?;
    let reply = Call::get(path).host("opaque.example.com").send(port).await?;
    ensure!(reply.status == 200 && reply.header("content-type") == Some("application/json"), "{} {:?}", reply.status, reply.headers);
    ensure!(reply.header("cache-control") == Some("public, max-age=300"), "{:?}", reply.headers);
    let document = reply.json();
    ensure!(document["resource"] == format!("https://opaque.example.com{AGENT}"), "{document}");
    ensure!(
        document["authorization_servers"] == json!([mesh.authorization.issuer, "https://house.example"])
            || document["authorization_servers"] == json!(["https://house.example", mesh.authorization.issuer]),
        "{document}"
    );
    ensure!(document["scopes_supported"] == json!(["agent:execute"]), "{document}");
    ensure!(document["bearer_methods_supported"] == json!(["header"]) && document["resource_name"] == "opaque", "{document}");
    let head = Call::new(http::Method::HEAD, path).host("opaque.example.com").send(port).await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{} {}", head.status, head.text());
    for other in ["header", "nobody"] {
        let none = Call::get(path).host(&format!("{other}.example.com")).send(port).await?;
        refusal::check(&none, "unmatched", &Form::Status)?;
    }
    Ok(())
}

/// What an agent's card says is what is asked for.
async fn cards(mesh: &Mesh) -> Result<()> {
    let here = Here::standing(mesh).await?;
    let card = Call::get(format!("{AGENT}/.well-known/agent-card.json")).version("1.0");
    let reply = card.clone().host("header.example.com").header("x-desk-key", KEY).send(here.plain.port()).await?;
    let stated = reply.json();
    let scheme = &stated["securitySchemes"]["header"]["apiKeySecurityScheme"];
    ensure!(*scheme == json!({"location": "header", "name": "x-desk-key"}), "{} {}", reply.status, reply.text());
    ensure!(
        reply.headers.get_all("vary").iter().any(|line| line.to_str().is_ok_and(|line| line.contains("x-desk-key"))),
        "{:?}",
        reply.headers
    );
    let reply = card.host("open.example.com").send(here.plain.port()).await?;
    ensure!(reply.status == 200 && reply.json()["securityRequirements"] == json!([{"schemes": {}}]), "{} {}", reply.status, reply.text());
    ensure_told(&here.passes(&send("open", "")).await?, "kind", "anonymous")
}

pub fn add(suite: &mut Suite) {
    suite.add("schemes::a_key_is_good_at_its_place_and_stops_there", async |mesh| keys(mesh).await);
    suite.add("schemes::names_and_passwords_are_good_beside_tokens", async |mesh| passwords(mesh).await);
    suite.add("schemes::opaque_tokens_are_asked_about_once", async |mesh| opaque_tokens(mesh).await);
    suite.add("schemes::certificates_by_uri_name_or_subject", async |mesh| certificates(mesh).await);
    suite.add("schemes::certificates_that_a_gateway_tells_of", async |mesh| forwarded_certificates(mesh).await);
    suite.add("schemes::bound_tokens_are_good_with_their_certificate_only", async |mesh| bound_tokens(mesh).await);
    suite.add("schemes::a_refused_client_finds_the_authorization_server", async |mesh| metadata(mesh).await);
    suite.add("schemes::cards_state_what_is_asked_for", async |mesh| cards(mesh).await);
    suite.add("schemes::a_good_call_works_beside_them", async |mesh| {
        let here = Here::standing(mesh).await?;
        let reply = send_1_0("beside").bearer(&mesh.token().await?).send(here.plain.port()).await?;
        ensure_told(&echo(&reply)?, "client", "caller")
    });
}
