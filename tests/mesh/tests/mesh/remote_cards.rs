//! Connections that go by the remote agent's card: real agents whose cards say what they speak, and cards that try to lead elsewhere.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{client, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::mint::Mint;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{peer, wait};
use serde_json::{Value, json};

use crate::credentials::{echo, token};
use crate::suite::Suite;

const RPC: fn() -> Form = || Form::Rpc(json!("call"));

/// A connection to the agent at `port` of this machine, called by what its card says.
fn connection(port: u16, credential: &Value) -> Value {
    json!({"name": "remote", "match": {"hosts": ["127.0.0.1"], "path_prefix": "/"}, "version": "auto", "credential": credential,
        "pin": {"clusters": ["remote", "cards"]},
        "card": {"remote": {"uri": format!("http://127.0.0.1:{port}"), "cluster": "remote", "refresh": "1s", "timeout": "2s"}}})
}

fn key() -> Value {
    json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}})
}

async fn start(mesh: &Mesh, name: &str, port: u16, connection: Value) -> Result<Envoy> {
    let secrets = json!({"key": {"env": "KEY"}, "client": {"env": "CLIENT"}});
    let mut file = outbound(mesh, &[connection], &secrets, &[])?;
    file.cluster("remote", port)?;
    Envoy::start(name, &file, Options::default().own().env("KEY", PARTNER_KEY).env("CLIENT", "carded-secret")).await
}

fn send(text: &str) -> Call {
    Call::post("/", &rpc(json!("call"), "SendMessage", message_1_0(text))).host("127.0.0.1")
}

fn send_0_3(text: &str) -> Call {
    Call::post("/", &rpc(json!("call"), "message/send", message_0_3(text))).host("127.0.0.1")
}

/// The partner's agent wants its key for everything, its card included, which says 1.0 over JSON-RPC and HTTP+JSON.
async fn gated(mesh: &Mesh) -> Result<()> {
    let envoy = start(mesh, "remote-gated", mesh.partner.port, connection(mesh.partner.port, &key())).await?;
    let reply = send("auto").bearer("mine").header("x-api-key", "mine").send(envoy.port()).await?;
    let seen = echo(&reply)?;
    ensure!(seen.header("a2a-version") == ["1.0"] && seen.header("x-api-key") == [PARTNER_KEY], "{:?}", seen.0);
    ensure!(seen.header("authorization").is_empty(), "{:?}", seen.0);
    envoy.logged(&["the card offers", "JSON-RPC 1.0, HTTP+JSON 1.0"]).await?;
    envoy.stat_reaches("attache_remote_card_fetches.connection=.=remote;.;outcome=.=ok", 1).await?;
    let reply = send_0_3("old").version("0.3").send(envoy.port()).await?;
    refusal::check(&reply, "version_not_supported", &RPC())?;
    ensure!(reply.text().contains("It offers JSON-RPC 1.0, HTTP+JSON 1.0."), "{}", reply.text());
    let call = Call::post("/v1/message:send", &message_0_3_http("old")).host("127.0.0.1");
    refusal::check(&call.send(envoy.port()).await?, "version_not_supported", &Form::Status)?;
    let card = Call::get("/.well-known/agent-card.json").host("127.0.0.1").send(envoy.port()).await?;
    ensure!(card.status == 200 && card.json()["name"] == "Partner agent", "{} {}", card.status, card.text());
    ensure!(!envoy.log().contains(PARTNER_KEY), "a secret in the log");
    Ok(())
}

/// An agent of 0.3, made with the SDK for JavaScript.
async fn older(mesh: &Mesh) -> Result<()> {
    let agent = peer::agent_0_3_js().await?;
    let envoy = start(mesh, "remote-older", agent.port, connection(agent.port, &json!({"none": {}}))).await?;
    let seen = echo(&send_0_3("auto").send(envoy.port()).await?)?;
    ensure!(seen.header("a2a-version") == ["0.3"], "{:?}", seen.0);
    refusal::check(&send("new").version("1.0").send(envoy.port()).await?, "version_not_supported", &RPC())
}

/// The card of the standing agent says the URL of the Envoy before it, which is another origin than where it was found.
async fn elsewhere(mesh: &Mesh) -> Result<()> {
    let port = mesh.agent_1_0.port;
    let envoy = start(mesh, "remote-elsewhere", port, connection(port, &key())).await?;
    let reply = send("away").send(envoy.port()).await?;
    refusal::check(&reply, "version_not_supported", &RPC())?;
    envoy.logged(&["the card names interfaces elsewhere, such as", "they are not considered"]).await?;
    Ok(())
}

/// Waits until the good card has been fetched: failures are followed by pauses.
async fn works(envoy: &Envoy) -> Result<()> {
    let answered = async || Ok((send("good").send(envoy.port()).await?.status == 200).then_some(()));
    wait::until("calls to work", Duration::from_secs(40), answered).await
}

fn card(url: &str, more: Value) -> Value {
    let mut card = json!({"name": "a", "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]});
    for (name, value) in more.as_object().into_iter().flatten() {
        card[name] = value.clone();
    }
    card
}

fn json_answer(card: &Value) -> Answer {
    Answer::new("200 OK", "application/json", card.to_string())
}

/// Cards that are none, one after the other, then a good one, then none again: the good one is kept.
async fn hostile(mesh: &Mesh) -> Result<()> {
    let lure = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
    let away = format!("http://127.0.0.1:{}/", lure.port);
    let place = StandIn::start(Answer::new("302 Found", "text/html", "").header("location", &away)).await?;
    let mut connection = connection(mesh.agent_1_0.port, &key());
    connection["card"]["remote"]["cluster"] = json!("cards");
    let secrets = json!({"key": {"env": "KEY"}});
    let file = outbound(mesh, &[connection], &secrets, &[("cards", place.port)])?;
    let envoy = Envoy::start("remote-hostile", &file, Options::default().env("KEY", PARTNER_KEY)).await?;
    refusal::check(&send("redirect").send(envoy.port()).await?, "card_unavailable", &RPC())?;
    envoy.logged(&["no card of \"remote\" could be fetched", "status 302: redirects are not followed"]).await?;
    for (answer, fact) in [
        (Answer::new("200 OK", "text/html", "<html>"), "the card is not JSON"),
        (Answer::new("200 OK", "application/json", vec![b' '; (1 << 20) + 1]), "more than 1048576"),
        (Answer::new("401 Unauthorized", "application/json", "{}"), "answered with status 401"),
        (Answer::new("200 OK", "application/json", r#"{"skills":[],"skills":[]}"#), "or repeats a member"),
    ] {
        let start = envoy.log().len();
        place.answer(answer);
        envoy.logged_after(start, &["no card of \"remote\" could be fetched", fact]).await?;
    }
    refusal::check(&send("still none").send(envoy.port()).await?, "card_unavailable", &RPC())?;
    place.answer(json_answer(&card(&format!("http://127.0.0.1:{}", mesh.agent_1_0.port), json!({}))));
    works(&envoy).await?;
    let start = envoy.log().len();
    place.answer(Answer::new("503 Service Unavailable", "text/plain", ""));
    envoy.logged_after(start, &["no card of \"remote\" could be fetched", "status 503"]).await?;
    ensure!(send("kept").send(envoy.port()).await?.status == 200, "the last good card is kept");
    ensure!(lure.heads() == 0, "something went where a card led");
    Ok(())
}

/// The card decides between an API key and a token, and the log says why.
async fn credential_by_card(mesh: &Mesh) -> Result<()> {
    let own = format!("http://127.0.0.1:{}", mesh.agent_1_0.port);
    let schemes = json!({"key": {"apiKeySecurityScheme": {"location": "header", "name": "X-API-Key"}},
        "oidc": {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://login.example.com/"}}});
    let asks = |scheme: &str| card(&own, json!({"securitySchemes": schemes, "securityRequirements": [{"schemes": {scheme: {}}}]}));
    let place = StandIn::start(json_answer(&asks("oidc"))).await?;
    let client = client(&mesh.authorization, "carded", &json!({"client_secret_post": {"secret": "client"}}));
    let tokens = json!({"client_credentials": {"client": client, "request": request()}});
    let mut connection = connection(mesh.agent_1_0.port, &json!({"auto": [{"credential": key()}, {"credential": tokens}]}));
    connection["card"]["remote"]["cluster"] = json!("cards");
    let secrets = json!({"key": {"env": "KEY"}, "client": {"env": "CLIENT"}});
    let file = outbound(mesh, &[connection], &secrets, &[("cards", place.port)])?;
    let envoy = Envoy::start("remote-credential", &file, Options::default().env("KEY", PARTNER_KEY).env("CLIENT", "carded-secret")).await?;
    let reply = send("token").bearer("mine").send(envoy.port()).await?;
    ensure!(token(&reply).context("a token")? != "mine" && echo(&reply)?.header("x-api-key").is_empty(), "{}", reply.text());
    envoy.logged(&["credential auto[1] (client_credentials): the card asks for", "oidc"]).await?;
    place.answer(json_answer(&asks("key")));
    envoy.logged(&["credential auto[0] (header): the card asks for", "key"]).await?;
    // Each worker reads the card for itself.
    let seen = wait::until("the key", Duration::from_secs(10), async || {
        let seen = echo(&send("key").bearer("mine").send(envoy.port()).await?)?;
        Ok((!seen.header("x-api-key").is_empty()).then_some(seen))
    })
    .await?;
    ensure!(seen.header("x-api-key") == [PARTNER_KEY] && seen.header("authorization").is_empty(), "{:?}", seen.0);
    place.answer(json_answer(&card(&own, json!({}))));
    envoy.logged(&["the card asks for nothing: no credential is that"]).await?;
    let reply = wait::until("no credential", Duration::from_secs(10), async || {
        let reply = send("none").send(envoy.port()).await?;
        Ok((reply.status != 200).then_some(reply))
    })
    .await?;
    refusal::check(&reply, "credential_unavailable", &RPC())
}

/// Only a card with a good signature counts. What is signed is canonical: sorted and without white space, as `Value` writes it.
async fn signed(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("agent-1")?;
    let plain = card(&format!("http://127.0.0.1:{}", mesh.agent_1_0.port), json!({}));
    let sign = |mint: &Mint, card: &Value| {
        let token = mint.sign_as(&json!({"alg": "ES256", "typ": "JOSE", "kid": "agent-1"}), card);
        let parts: Vec<&str> = token.split('.').collect();
        json!([{"protected": parts[0], "signature": parts[2]}])
    };
    let with = |signatures: Value| {
        let mut card = plain.clone();
        card["signatures"] = signatures;
        card
    };
    let good = with(sign(&mint, &plain));
    let mut changed = good.clone();
    changed["name"] = json!("b");
    let place = StandIn::start(json_answer(&plain)).await?;
    let mut connection = connection(mesh.agent_1_0.port, &key());
    connection["card"]["remote"]["cluster"] = json!("cards");
    connection["require_signed_card"] = json!({"jwks": {"inline": {"keys": [mint.jwk()]}}, "algorithms": ["ES256"]});
    let file = outbound(mesh, &[connection], &json!({"key": {"env": "KEY"}}), &[("cards", place.port)])?;
    let envoy = Envoy::start("remote-signed", &file, Options::default().env("KEY", PARTNER_KEY)).await?;
    refusal::check(&send("unsigned").send(envoy.port()).await?, "card_unavailable", &RPC())?;
    envoy.logged(&["no card of \"remote\" could be fetched", "the card is not signed"]).await?;
    let stranger = with(sign(&Mint::new("somebody else")?, &plain));
    for answer in [changed.clone(), stranger] {
        let start = envoy.log().len();
        place.answer(json_answer(&answer));
        envoy.logged_after(start, &["no card of \"remote\" could be fetched", "no signature of the card is good"]).await?;
    }
    refusal::check(&send("forged").send(envoy.port()).await?, "card_unavailable", &RPC())?;
    place.answer(json_answer(&good));
    works(&envoy).await?;
    let start = envoy.log().len();
    place.answer(json_answer(&changed));
    envoy.logged_after(start, &["no signature of the card is good"]).await?;
    ensure!(send("kept").send(envoy.port()).await?.status == 200, "the last good card is kept");
    Ok(())
}

/// The SDK for Python signs with either algorithm. Its agent speaks both versions at one place: a client that names none is called with
/// what its method belongs to.
async fn signed_by_the_sdk(mesh: &Mesh) -> Result<()> {
    let agent = peer::agent_signed().await?;
    let jwks = Call::get("/control/jwks").send(agent.port).await?.json();
    for algorithm in ["RS256", "ES256"] {
        let mut connection = connection(agent.port, &json!({"none": {}}));
        connection["require_signed_card"] = json!({"jwks": {"inline": jwks}, "algorithms": [algorithm]});
        let envoy = start(mesh, "remote-sdk-signed", agent.port, connection).await?;
        let seen = echo(&send("new").send(envoy.port()).await?).context(algorithm)?;
        ensure!(seen.header("a2a-version") == ["1.0"], "{algorithm}: {:?}", seen.0);
        let seen = echo(&send_0_3("old").send(envoy.port()).await?).context(algorithm)?;
        ensure!(seen.header("a2a-version") == ["0.3"], "{algorithm}: {:?}", seen.0);
        envoy.logged(&["the card offers", "JSON-RPC 1.0, HTTP+JSON 1.0, JSON-RPC 0.3"]).await?;
    }
    Ok(())
}

/// A card that decides about the credential, and cannot be read without one.
async fn gated_and_deciding(mesh: &Mesh) -> Result<()> {
    let mut connection = connection(mesh.partner.port, &json!({"auto": [{"credential": {"none": {}}}, {"credential": key()}]}));
    let closed = start(mesh, "remote-closed", mesh.partner.port, connection.clone()).await?;
    refusal::check(&send("closed").send(closed.port()).await?, "card_unavailable", &RPC())?;
    closed.logged(&["no card of \"remote\" could be fetched", "status 401"]).await?;
    connection["card"]["credential"] = key();
    let envoy = start(mesh, "remote-deciding", mesh.partner.port, connection).await?;
    let seen = echo(&send("open").send(envoy.port()).await?)?;
    ensure!(seen.header("x-api-key") == [PARTNER_KEY], "{:?}", seen.0);
    envoy.logged(&["credential auto[1] (header): the card asks for", "key"]).await?;
    Ok(())
}

/// A card says itself how long it is kept, and is asked for again by its validator.
async fn cached(mesh: &Mesh) -> Result<()> {
    let own = card(&format!("http://127.0.0.1:{}", mesh.agent_1_0.port), json!({}));
    let kept = |seconds: u32| json_answer(&own).header("cache-control", &format!("max-age={seconds}")).header("etag", "\"one\"");
    let (long, short) = (StandIn::start(kept(3600)).await?, StandIn::start(kept(1)).await?);
    let mut envoys = Vec::new();
    for (name, place) in [("remote-long", &long), ("remote-short", &short)] {
        let mut connection = connection(mesh.agent_1_0.port, &key());
        connection["card"]["remote"]["cluster"] = json!("cards");
        let file = outbound(mesh, &[connection], &json!({"key": {"env": "KEY"}}), &[("cards", place.port)])?;
        let envoy = Envoy::start(name, &file, Options::default().own().env("KEY", PARTNER_KEY)).await?;
        ensure!(send("first").send(envoy.port()).await?.status == 200, "{name}");
        envoys.push(envoy);
    }
    let [lasting, passing] = envoys.as_slice() else { anyhow::bail!("two Envoys") };
    // Whoever does not send the validator has no card in a 304.
    short.answer(Answer::new("304 Not Modified", "application/json", ""));
    let fetches = "attache_remote_card_fetches.connection=.=remote;.;outcome=.=";
    let before = passing.stat(&format!("{fetches}ok")).await?;
    let many = long.whole();
    passing.stat_reaches(&format!("{fetches}ok"), before + 2).await?;
    ensure!(passing.stat(&format!("{fetches}failed")).await? == 0 && !passing.log().contains("no card of"), "a 304 was not understood");
    ensure!(send("again").send(passing.port()).await?.status == 200, "the card is still the one");
    // Five seconds and more have passed, and `refresh` is one.
    ensure!(long.whole() == many, "a card that lasts an hour was fetched {} times more", long.whole() - many);
    ensure!(send("last").send(lasting.port()).await?.status == 200, "the card is still good");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("remote_cards::the_python_sdk_signs_and_each_client_is_called_with_what_it_speaks", signed_by_the_sdk);
    suite.add("remote_cards::a_gated_card_decides_about_the_credential", gated_and_deciding);
    suite.add("remote_cards::a_card_is_kept_as_long_as_it_says", cached);
    suite.add("remote_cards::only_a_signed_card_counts", signed);
    suite.add("remote_cards::a_gated_card_says_the_version", gated);
    suite.add("remote_cards::an_agent_of_0_3_is_called_with_0_3", older);
    suite.add("remote_cards::a_card_that_speaks_of_another_origin_offers_nothing", elsewhere);
    suite.add("remote_cards::what_is_no_card_leads_nowhere", hostile);
    suite.add("remote_cards::the_card_decides_between_credentials", credential_by_card);
}
