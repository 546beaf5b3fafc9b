//! The parties of a consent, without a filter between: authorization servers at which users sign in, and what they answer. What the
//! filter relies on is what these tests hold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::{claims, header};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::person::{Browser, Page, Person, parameters};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::user_server::{BACKCHANNEL, CIBA_GRANT, DEVICE, DEVICE_GRANT, Options, REVOCATION, TOKEN, Tokens, UserServer};
use attache_mesh::wait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::suite::Suite;

pub const VERIFIER: &str = "a-verifier-of-forty-three-letters-or-more-000";
pub const RESOURCE: &str = "https://hr.example";
pub const SCOPE: &str = "openid offline_access tasks.read";
const STATE: &str = "state & more";
pub const NONCE: &str = "nonce-of-this-flow";

/// A server, a browser, and where clients take their codes.
struct Parties {
    server: UserServer,
    browser: Browser,
    redirect: String,
    _callback: StandIn,
}

impl Parties {
    async fn start(name: &str, options: Options) -> Result<Self> {
        let callback = StandIn::start(Answer::new("200 OK", "text/html", "<!doctype html><title>Back</title><h1>Back</h1>")).await?;
        let redirect = format!("http://127.0.0.1:{}/callback", callback.port);
        let options = options.redirect(&redirect);
        let (server, browser) = tokio::try_join!(UserServer::start(name, &options), Browser::start(&[], &[]))?;
        Ok(Self { server, browser, redirect, _callback: callback })
    }

    /// Where client `attache` sends its user, with some parameters otherwise (an empty one is left away).
    fn link(&self, other: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", "attache"),
            ("redirect_uri", &self.redirect),
            ("scope", SCOPE),
            ("state", STATE),
            ("nonce", NONCE),
            ("prompt", "consent"),
            ("resource", RESOURCE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in other {
            parameters.retain(|(known, _)| known != name);
            parameters.extend((!value.is_empty()).then_some((*name, *value)));
        }
        self.server.authorization(&parameters)
    }

    /// A person who has come to the page that asks for consent.
    async fn asked(&self, person: &Person<'_>, account: &str) -> Result<Page> {
        let page = person.open(&self.link(&[])).await?;
        ensure!(page.heading() == "Sign in", "{page:?}");
        let page = person.sign_in(account).await?;
        ensure!(page.heading() == "Allow access" && page.text().contains(account), "{page:?}");
        page.ensure_clean()?;
        Ok(page)
    }

    /// What comes back to the client when `account` allows everything.
    async fn allowed(&self, account: &str) -> Result<String> {
        let person = self.browser.person(account);
        self.asked(&person, account).await?;
        let page = person.allow().await?;
        page.ensure_clean()?;
        ensure!(page.heading() == "Back" && page.url().starts_with(&self.redirect), "{page:?}");
        Ok(page.url().to_owned())
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Result<Reply> {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &self.redirect)];
        self.server.post(TOKEN, &[&form[..], &[("code_verifier", verifier), ("resource", RESOURCE)]].concat()).await
    }

    async fn tokens(&self, account: &str) -> Result<Tokens> {
        let back = parameters(&self.allowed(account).await?);
        let reply = self.exchange(&back["code"], VERIFIER).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        Tokens::of(reply.json())
    }

    async fn refresh(&self, token: &str) -> Result<Reply> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("resource", RESOURCE)];
        self.server.post(TOKEN, &form).await
    }
}

pub fn refresh_token(tokens: &Tokens) -> Result<&str> {
    tokens.refresh.as_deref().context("no refresh token")
}

/// A refusal as OAuth has them.
fn refused(reply: &Reply, error: &str) -> Result<()> {
    ensure!(reply.status == 400 && reply.json()["error"] == error, "not {error}: {} {}", reply.status, reply.text());
    Ok(())
}

async fn a_code_flow(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("partner-server", Options::default()).await?;
    let back = parameters(&parties.allowed("ann").await?);
    let names: Vec<&str> = back.keys().map(String::as_str).collect();
    ensure!(names == ["code", "iss", "state"], "{names:?}");
    ensure!(back["state"] == STATE && back["iss"] == parties.server.issuer, "{back:?}");

    // A wrong verifier does not use the code up; a code is good once.
    refused(&parties.exchange(&back["code"], &"x".repeat(43)).await?, "invalid_grant")?;
    let reply = parties.exchange(&back["code"], VERIFIER).await?;
    ensure!(reply.status == 200 && reply.header("cache-control") == Some("no-store"), "{} {}", reply.status, reply.text());
    let tokens = Tokens::of(reply.json())?;
    let members: Vec<&str> = tokens.answer.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    ensure!(members == ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"], "{members:?}");
    // The scope that is told is the access token's: those of OpenID Connect are not in it.
    ensure!(tokens.answer["scope"] == "tasks.read" && tokens.answer["token_type"] == "Bearer" && tokens.answer["expires_in"] == 600);

    ensure!(header(&tokens.access)?["typ"] == "at+jwt");
    let said = claims(&tokens.access)?;
    ensure!(said["sub"] == "ann" && said["aud"] == RESOURCE && said["client_id"] == "attache" && said["scope"] == "tasks.read", "{said}");
    let said = claims(tokens.id.as_deref().context("no ID token")?)?;
    ensure!(said["sub"] == "ann" && said["aud"] == "attache" && said["nonce"] == NONCE && said["iss"] == parties.server.issuer, "{said}");

    let again = parties.exchange(&back["code"], VERIFIER).await?;
    refused(&again, "invalid_grant")?;
    // Who uses a code twice loses what it gave.
    refused(&parties.refresh(refresh_token(&tokens)?).await?, "invalid_grant")
}

async fn refresh_tokens_rotate(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("rotating-server", Options::default().lifetime(1)).await?;
    let first = parties.tokens("ann").await?;
    let second = Tokens::of(parties.refresh(refresh_token(&first)?).await?.json())?;
    ensure!(second.refresh.is_some() && second.refresh != first.refresh && second.access != first.access);
    let said = claims(second.id.as_deref().context("no ID token")?)?;
    ensure!(said["sub"] == "ann" && said["nonce"] == NONCE, "{said}");
    let third = Tokens::of(parties.refresh(refresh_token(&second)?).await?.json())?;
    ensure!(parties.server.granted("ann", "refresh_token").await? == 2);

    // One that was used before ends the family.
    refused(&parties.refresh(refresh_token(&first)?).await?, "invalid_grant")?;
    ensure!(parties.server.stats().await?["reused"] == 1);
    refused(&parties.refresh(refresh_token(&third)?).await?, "invalid_grant")?;

    // bob's have nothing to do with it, until all of bob's grants are taken back.
    let bob = parties.tokens("bob").await?;
    let bob = Tokens::of(parties.refresh(refresh_token(&bob)?).await?.json())?;
    ensure!(claims(&bob.access)?["sub"] == "bob");
    parties.server.revoke_all("bob").await?;
    refused(&parties.refresh(refresh_token(&bob)?).await?, "invalid_grant")
}

async fn revocation(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("revoking-server", Options::default()).await?;
    let tokens = parties.tokens("ann").await?;
    // A JWT cannot be taken back; the refresh token can, and what is unknown is no error.
    refused(&parties.server.post(REVOCATION, &[("token", &tokens.access)]).await?, "unsupported_token_type")?;
    for token in [refresh_token(&tokens)?, "unknown"] {
        let reply = parties.server.post(REVOCATION, &[("token", token), ("token_type_hint", "refresh_token")]).await?;
        ensure!(reply.status == 200 && reply.body.is_empty(), "{} {}", reply.status, reply.text());
    }
    refused(&parties.refresh(refresh_token(&tokens)?).await?, "invalid_grant")?;
    ensure!(parties.server.stats().await?["revocation"] == 3);
    // The user has a session, but no grant: consent is asked for again, the password is not.
    let page = parties.browser.person("ann").open(&parties.link(&[])).await?;
    ensure!(page.heading() == "Allow access", "{page:?}");
    Ok(())
}

async fn denial(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("denied-server", Options::default()).await?;
    let ann = parties.browser.person("ann");
    parties.asked(&ann, "ann").await?;
    let back = parameters(ann.deny().await?.url());
    let names: Vec<&str> = back.keys().map(String::as_str).collect();
    ensure!(names == ["error", "error_description", "iss", "state"], "{names:?}");
    ensure!(back["error"] == "access_denied" && back["state"] == STATE && back["iss"] == parties.server.issuer, "{back:?}");

    parties.server.deny_with("temporarily_unavailable", "<b>later</b>").await?;
    ann.open(&parties.link(&[])).await?;
    let back = parameters(ann.deny().await?.url());
    ensure!(back["error"] == "temporarily_unavailable" && back["error_description"] == "<b>later</b>", "{back:?}");

    // Where the redirect URI is not one of the client's, nobody is sent there.
    for wrong in [format!("{}/", parties.redirect), format!("{}?x=y", parties.redirect), parties.redirect.to_uppercase()] {
        let page = ann.open(&parties.link(&[("redirect_uri", &wrong)])).await?;
        ensure!(page.status() == Some(400) && page.text().contains("invalid_redirect_uri"), "{page:?}");
    }
    // Other faults of a request go to the client.
    for (name, value, error) in [
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("resource", "https://unknown.example", "invalid_target"),
        ("prompt", "none", "consent_required"),
    ] {
        let page = ann.open(&parties.link(&[(name, value)])).await?;
        let back = parameters(page.url());
        ensure!(page.url().starts_with(&parties.redirect) && back["error"] == error, "{name}: {page:?}");
    }
    // So does what the server is told to answer with.
    parties.server.bend_response(&json!({"iss": null, "state": "another"})).await?;
    ann.open(&parties.link(&[])).await?;
    let back = parameters(ann.allow().await?.url());
    ensure!(back["state"] == "another" && !back.contains_key("iss") && back.contains_key("code"), "{back:?}");
    Ok(())
}

/// Refresh tokens come only where they are wanted: with `offline_access`, which counts only where consent is prompted for.
async fn offline_access(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("offline-server", Options::default().set("refresh", "offline")).await?;
    ensure!(parties.tokens("ann").await?.refresh.is_some());
    let ann = parties.browser.person("ann");
    // Everything is allowed already, and nobody is asked: ann has a session.
    let back = parameters(ann.open(&parties.link(&[("prompt", "")])).await?.url());
    let tokens = Tokens::of(parties.exchange(&back["code"], VERIFIER).await?.json())?;
    ensure!(tokens.refresh.is_none(), "{}", tokens.answer);
    // A token request that names no resource gets a token for the server's own userinfo endpoint: no JWT.
    let back = parameters(ann.open(&parties.link(&[])).await?.url());
    ensure!(back.is_empty(), "{back:?}");
    let back = parameters(ann.allow().await?.url());
    let form = [("grant_type", "authorization_code"), ("code", &back["code"]), ("redirect_uri", &parties.redirect)];
    let reply = parties.server.post(TOKEN, &[&form[..], &[("code_verifier", VERIFIER)]].concat()).await?;
    let tokens = Tokens::of(reply.json())?;
    ensure!(!tokens.access.contains('.') && tokens.refresh.is_some(), "{}", tokens.answer);
    // A refresh is the same: with the resource there is a JWT.
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token(&tokens)?)];
    let tokens = Tokens::of(parties.server.post(TOKEN, &form).await?.json())?;
    ensure!(!tokens.access.contains('.'), "{}", tokens.answer);
    let tokens = Tokens::of(parties.refresh(refresh_token(&tokens)?).await?.json())?;
    ensure!(claims(&tokens.access)?["aud"] == RESOURCE, "{}", tokens.answer);
    // Errors are a page for who likes that better.
    let call = Call::new(Method::POST, TOKEN).header("accept", "text/html, application/json").body("");
    let reply = call.header("content-type", "application/x-www-form-urlencoded").send(parties.server.port).await?;
    ensure!(reply.status == 400 && reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{}", reply.text());
    Ok(())
}

/// Polls until something else comes than that the user has not decided yet; how often the server found that too fast.
async fn polled(server: &UserServer, form: &[(&str, &str)]) -> Result<(Reply, u32)> {
    let mut slow = 0;
    let reply = wait::until("the user's decision to count", Duration::from_secs(60), async || {
        let reply = server.post(TOKEN, form).await?;
        match reply.json()["error"].as_str() {
            Some("authorization_pending") => Ok(None),
            Some("slow_down") => {
                slow += 1;
                Ok(None)
            }
            _ => Ok(Some(reply)),
        }
    })
    .await?;
    Ok((reply, slow))
}

async fn device_flow(_mesh: &'static Mesh) -> Result<()> {
    let parties = Parties::start("device-server", Options::default().set("interval", "5")).await?;
    let server = &parties.server;
    for (account, decision) in [("ann", "Allow"), ("bob", "Deny")] {
        let reply = server.post(DEVICE, &[("scope", SCOPE), ("resource", RESOURCE)]).await?;
        let told = reply.json();
        ensure!(reply.status == 200 && told["interval"] == 5 && told["expires_in"] == 600, "{} {told}", reply.status);
        let text = |name: &str| told[name].as_str().with_context(|| format!("no {name} in {told}"));
        let poll = [("grant_type", DEVICE_GRANT), ("device_code", text("device_code")?), ("resource", RESOURCE)];
        refused(&server.post(TOKEN, &poll).await?, "authorization_pending")?;
        refused(&server.post(TOKEN, &poll).await?, "slow_down")?;

        let person = parties.browser.person(account);
        ensure!(text("verification_uri_complete")?.starts_with(text("verification_uri")?));
        let page = person.open(text("verification_uri_complete")?).await?;
        ensure!(page.heading() == "Is this your device?" && page.text().contains(text("user_code")?), "{page:?}");
        person.press("Continue").await?;
        person.sign_in(account).await?;
        let page = person.press(decision).await?;
        let (reply, _) = polled(server, &poll).await?;
        if decision == "Allow" {
            ensure!(page.heading() == "Device connected", "{page:?}");
            let tokens = Tokens::of(reply.json())?;
            ensure!(claims(&tokens.access)?["sub"] == account && tokens.refresh.is_some(), "{}", tokens.answer);
            ensure!(claims(tokens.id.as_deref().context("no ID token")?)?["sub"] == account);
        } else {
            refused(&reply, "access_denied")?;
        }
    }
    Ok(())
}

async fn ciba(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("ciba-server", &Options::default()).await?;
    let ask = async |hint: &str, binding: &str| {
        let form = [("scope", SCOPE), ("resource", RESOURCE), ("login_hint", hint), ("binding_message", binding)];
        server.post(BACKCHANNEL, &form).await
    };
    for (hint, approves) in [("ann", true), ("ann@example.com", true), ("bob", false)] {
        let told = ask(hint, "HR agent A-17").await?.json();
        // There is no interval in it: RFC 8628 and CIBA say 5 seconds then.
        ensure!(told.get("interval").is_none() && told["expires_in"] == 600, "{told}");
        let id = told["auth_req_id"].as_str().with_context(|| told.to_string())?;
        let poll = [("grant_type", CIBA_GRANT), ("auth_req_id", id), ("resource", RESOURCE)];
        refused(&server.post(TOKEN, &poll).await?, "authorization_pending")?;
        let waiting = server.waiting().await?;
        let user = hint.trim_end_matches("@example.com");
        ensure!(waiting.len() == 1 && waiting[0]["user"] == user && waiting[0]["binding_message"] == "HR agent A-17", "{waiting:?}");
        if approves {
            server.approve(user).await?;
            let tokens = Tokens::of(server.post(TOKEN, &poll).await?.json())?;
            ensure!(claims(&tokens.access)?["sub"] == user && tokens.refresh.is_some(), "{}", tokens.answer);
            // The answer of a request is given once.
            refused(&server.post(TOKEN, &poll).await?, "invalid_grant")?;
        } else {
            server.deny(id).await?;
            refused(&server.post(TOKEN, &poll).await?, "access_denied")?;
        }
    }
    refused(&ask("nobody", "x").await?, "unknown_user_id")?;
    refused(&ask("ann", "<no>").await?, "invalid_binding_message")
}

pub fn add(suite: &mut Suite) {
    suite.add("parties::a_code_flow_gives_tokens_of_who_signed_in", a_code_flow);
    suite.add("parties::refresh_tokens_rotate_and_reuse_ends_the_family", refresh_tokens_rotate);
    suite.add("parties::revoked_tokens_are_gone", revocation);
    suite.add("parties::denial_and_faults_of_requests_are_answered", denial);
    suite.add("parties::refresh_tokens_need_offline_access_and_tokens_a_resource", offline_access);
    suite.add("parties::the_device_flow_is_allowed_or_denied", device_flow);
    suite.add("parties::ciba_is_approved_or_denied", ciba);
}
