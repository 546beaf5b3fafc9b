//! The parties of a consent, without a filter between: authorization servers at which users sign in, and what they answer. What the
//! filter relies on is what these tests hold.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::authorization::{claims, header};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::person::{Browser, Page, Person, parameters};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::user_server::{
    BACKCHANNEL, CIBA_GRANT, DEVICE, DEVICE_GRANT, JWKS, Options, REVOCATION, TOKEN, Tokens, UserServer, form as form_of,
};
use attache_mesh::visitor::Visitor;
use attache_mesh::wait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::suite::Suite;

const VERIFIER: &str = "a-verifier-of-forty-three-letters-or-more-000";
const RESOURCE: &str = "https://hr.example";
const SCOPE: &str = "openid offline_access tasks.read";
const STATE: &str = "state & more";
const NONCE: &str = "nonce-of-this-flow";

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

fn refresh_token(tokens: &Tokens) -> Result<&str> {
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

/// The issuer's own access tokens of users, by a flow of their own; accounts that look alike are others.
async fn tokens_of_users(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("organization", &Options::default()).await?;
    for user in ["ann", "Ann", "ann ", "\u{430}nn", "bob", "user-17"] {
        let tokens = server.tokens(user, "https://orchestrator.example", "openid agent:execute").await?;
        let said = claims(&tokens.access)?;
        ensure!(said["sub"] == user && said["client_id"] == "orchestrator" && said["iss"] == server.issuer, "{said}");
        ensure!(claims(tokens.id.as_deref().context("no ID token")?)?["sub"] == user);
    }
    ensure!(server.tokens("nobody", "https://orchestrator.example", "openid").await.is_err());
    let service = [("grant_type", "client_credentials"), ("resource", "https://orchestrator.example"), ("scope", "agent:execute")];
    let told = server.post_as("service", TOKEN, &service).await?.json();
    let said = claims(told["access_token"].as_str().with_context(|| told.to_string())?)?;
    ensure!(said["sub"] == "service" && said["client_id"] == "service", "{said}");
    let keys = Call::get(JWKS).send(server.port).await?.json();
    ensure!(keys["keys"][0]["kid"] == header(told["access_token"].as_str().unwrap_or_default())?["kid"], "{keys}");

    // ID tokens may say something else than they would, for who must notice it.
    server.bend_id_token(&json!({"nonce": "another", "sub": "bob", "iat": null})).await?;
    let tokens = server.tokens("ann", "https://orchestrator.example", "openid").await?;
    let said = claims(tokens.id.as_deref().context("no ID token")?)?;
    ensure!(said["nonce"] == "another" && said["sub"] == "bob" && said.get("iat").is_none() && said["aud"] == "orchestrator", "{said}");
    Ok(())
}

/// What an issuer like Entra says: a subject is another for each client, `tid` and `oid` are the same.
async fn entra(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("entra", &Options::default().set("entra", "72f988bf-0000-4000-8000-000000000001")).await?;
    let mut seen: Vec<[Value; 3]> = Vec::new();
    for (user, client) in [("ann", "orchestrator"), ("ann", "other"), ("bob", "other")] {
        let asked = json!({"user": user, "client_id": client, "resource": "https://orchestrator.example", "scope": "openid"});
        let tokens = server.tokens_for(&asked).await?;
        let (access, id) = (claims(&tokens.access)?, claims(tokens.id.as_deref().context("no ID token")?)?);
        for name in ["tid", "oid", "sub"] {
            ensure!(access[name] == id[name] && id[name].is_string(), "{name}: {access} {id}");
        }
        seen.push(["tid", "oid", "sub"].map(|name| id[name].clone()));
    }
    let [ann, same, bob] = seen.as_slice() else { bail!("{seen:?}") };
    ensure!(ann[0] == same[0] && ann[1] == same[1] && ann[2] != same[2], "{seen:?}");
    ensure!(bob[0] == same[0] && bob[1] != same[1] && bob[2] != same[2], "{seen:?}");
    Ok(())
}

/// A server that is down for a while, and one that answers with errors.
async fn outages(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("failing-server", &Options::default()).await?;
    let tokens = server.tokens("ann", RESOURCE, "openid").await?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token(&tokens)?), ("resource", RESOURCE)];
    server.fail(TOKEN, 503, 1).await?;
    let reply = server.post_as("orchestrator", TOKEN, &form).await?;
    ensure!(reply.status == 503 && reply.json()["error"] == "temporarily_unavailable", "{} {}", reply.status, reply.text());
    server.pause();
    let port = server.port;
    let asked = tokio::spawn(async move { Call::get(JWKS).send(port).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(!asked.is_finished());
    server.resume();
    ensure!(asked.await??.status == 200);
    ensure!(server.post_as("orchestrator", TOKEN, &form).await?.status == 200);
    Ok(())
}

/// Many users of a server that asks nobody: by redirects alone, each with tokens of their own.
async fn many_users(_mesh: &'static Mesh) -> Result<()> {
    let callback = StandIn::start(Answer::new("200 OK", "text/html", "<h1>Back</h1>")).await?;
    let redirect = format!("http://consent.example.com:{}/callback", callback.port);
    let server = UserServer::start("quick-server", &Options::default().redirect(&redirect).quick()).await?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let asked = [("response_type", "code"), ("client_id", "attache"), ("redirect_uri", &redirect), ("scope", SCOPE), ("nonce", NONCE)];
    let more = [("prompt", "consent"), ("resource", RESOURCE), ("code_challenge", &challenge), ("code_challenge_method", "S256")];
    let link = server.authorization(&[&asked[..], &more].concat());
    for number in 0..100 {
        let user = format!("user-{number}");
        let mut visitor = Visitor::new(&user, &[("consent.example.com", callback.port)]);
        let back = visitor.open(&link).await?;
        ensure!(back.url.starts_with(&redirect) && back.reply.text() == "<h1>Back</h1>", "{back:?}");
        let back = parameters(&back.url);
        let form = [("grant_type", "authorization_code"), ("code", &back["code"]), ("redirect_uri", &redirect)];
        let reply = server.post(TOKEN, &[&form[..], &[("code_verifier", VERIFIER), ("resource", RESOURCE)]].concat()).await?;
        let tokens = Tokens::of(reply.json())?;
        let said = claims(&tokens.access)?;
        ensure!(said["sub"] == user && said["scope"] == "tasks.read" && tokens.refresh.is_some(), "{said}");
        ensure!(claims(tokens.id.as_deref().context("no ID token")?)?["sub"] == user);
    }
    // Without the parameter everybody is asked, as ever.
    let reply = Call::get(link.split_once(&server.port.to_string()).context("no port")?.1).send(server.port).await?;
    ensure!(reply.status == 303 && reply.header("location").is_some_and(|at| at.starts_with("/interaction/")), "{:?}", reply.headers);
    Ok(())
}

/// Clients that are known in other ways: by PKCE alone, and by a secret in the form.
async fn other_clients(_mesh: &'static Mesh) -> Result<()> {
    let redirect = "http://127.0.0.1:9/callback";
    let own = json!({"client_id": "own", "client_secret": "a secret: of/its+own", "redirect_uris": [redirect], "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code"], "response_types": ["code"]});
    let options = Options::default().redirect(redirect).set("client", own.to_string()).quick();
    let server = UserServer::start("client-server", &options).await?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let credentials =
        [("attache-public", ""), ("attache-post", "attache-post-secret"), ("own", "a secret: of/its+own"), ("own", "another")];
    for (client, secret) in credentials {
        let asked =
            [("response_type", "code"), ("client_id", client), ("redirect_uri", redirect), ("scope", "openid"), ("quick_user", "ann")];
        let link = server.authorization(&[&asked[..], &[("code_challenge", &challenge), ("code_challenge_method", "S256")]].concat());
        let reply = Call::get(link.trim_start_matches(&server.issuer)).send(server.port).await?;
        let back = parameters(reply.header("location").context("no location")?);
        let mut form =
            vec![("grant_type", "authorization_code"), ("code", &back["code"]), ("redirect_uri", redirect), ("code_verifier", VERIFIER)];
        form.push(("client_id", client));
        form.extend((!secret.is_empty()).then_some(("client_secret", secret)));
        let call = Call::new(Method::POST, TOKEN).header("content-type", "application/x-www-form-urlencoded").body(form_of(&form));
        let reply = call.send(server.port).await?;
        if secret == "another" {
            ensure!(reply.status == 401 && reply.json()["error"] == "invalid_client", "{} {}", reply.status, reply.text());
        } else {
            let tokens = Tokens::of(reply.json())?;
            ensure!(tokens.refresh.is_some() == (client != "own"), "{client}: {}", tokens.answer);
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("parties::a_code_flow_gives_tokens_of_who_signed_in", a_code_flow);
    suite.add("parties::refresh_tokens_rotate_and_reuse_ends_the_family", refresh_tokens_rotate);
    suite.add("parties::revoked_tokens_are_gone", revocation);
    suite.add("parties::denial_and_faults_of_requests_are_answered", denial);
    suite.add("parties::refresh_tokens_need_offline_access_and_tokens_a_resource", offline_access);
    suite.add("parties::the_device_flow_is_allowed_or_denied", device_flow);
    suite.add("parties::ciba_is_approved_or_denied", ciba);
    suite.add("parties::users_have_tokens_of_their_own", tokens_of_users);
    suite.add("parties::entra_names_users_for_each_client", entra);
    suite.add("parties::many_users_come_without_a_browser", many_users);
    suite.add("parties::clients_are_known_as_they_registered", other_clients);
    suite.add("parties::servers_are_down_for_a_while", outages);
}
