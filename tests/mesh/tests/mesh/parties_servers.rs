//! The servers of a consent as clients meet them, without a browser: what tokens say of users, and how else servers may answer.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::authorization::{claims, header};
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::person::parameters;
use attache_mesh::place;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::user_server::{JWKS, Options, TOKEN, Tokens, UserServer, form as form_of};
use attache_mesh::visitor::Visitor;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::signature::{SignatureEncoding, Signer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::parties::{NONCE, RESOURCE, SCOPE, VERIFIER, refresh_token};
use crate::suite::Suite;

/// The issuer's own access tokens of users, by a flow of their own; accounts that look alike are others.
async fn tokens_of_users(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("organization", &Options::default()).await?;
    for user in ["ann", "Ann", "ann ", "\u{430}nn", "bob", "user-17"] {
        let tokens = server.tokens(user, "https://orchestrator.example", "openid agent:execute").await?;
        let said = claims(&tokens.access)?;
        ensure!(said["sub"] == user && said["client_id"] == "orchestrator" && said["iss"] == server.issuer, "{said}");
        ensure!(said["auth_time"].is_u64(), "{said}");
        ensure!(claims(tokens.id.as_deref().context("no ID token")?)?["sub"] == user);
    }
    ensure!(server.tokens("nobody", "https://orchestrator.example", "openid").await.is_err());
    let service = [("grant_type", "client_credentials"), ("resource", "https://orchestrator.example"), ("scope", "agent:execute")];
    let told = server.post_as("service", TOKEN, &service).await?.json();
    let said = claims(told["access_token"].as_str().with_context(|| told.to_string())?)?;
    ensure!(said["sub"] == "service" && said["client_id"] == "service" && said.get("auth_time").is_none(), "{said}");
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

/// Servers differ in what a refresh is answered with: the same token again, or none, or less of what else there was.
async fn other_refreshes(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("lasting-server", &Options::default().set("rotate", "no")).await?;
    let tokens = server.tokens("ann", RESOURCE, "openid tasks.read").await?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token(&tokens)?), ("resource", RESOURCE)];
    let again = Tokens::of(server.post_as("orchestrator", TOKEN, &form).await?.json())?;
    ensure!(again.refresh == tokens.refresh && again.access != tokens.access, "{}", again.answer);
    server.bend_answer("refresh_token", &json!({"refresh_token": null, "expires_in": null, "scope": "less"})).await?;
    let less = Tokens::of(server.post_as("orchestrator", TOKEN, &form).await?.json())?;
    ensure!(less.refresh.is_none() && less.answer.get("expires_in").is_none() && less.answer["scope"] == "less", "{}", less.answer);
    ensure!(server.tokens("ann", RESOURCE, "openid tasks.read").await?.answer["scope"] == "tasks.read");
    Ok(())
}

/// A client that signs its assertions.
async fn signing_client(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("assertion-server", &Options::default()).await?;
    let key = RsaPrivateKey::from_pkcs8_pem(&server.client_key().await?)?;
    let assertion = |audience: &str| {
        let header = json!({"alg": "RS256", "kid": "attache-signed-1"});
        let claims = json!({"iss": "attache-signed", "sub": "attache-signed", "aud": audience, "jti": place::unique("assertion"),
            "iat": place::now(), "exp": place::now() + 60});
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = SigningKey::<Sha256>::new(key.clone()).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    };
    for (audience, status) in [(server.issuer.clone(), 400), ("https://another.example".to_owned(), 401)] {
        let fields = [("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), ("grant_type", "refresh_token")];
        let form = form_of(&[&fields[..], &[("client_assertion", &assertion(&audience)), ("refresh_token", "unknown")]].concat());
        let call = Call::new(Method::POST, TOKEN).header("content-type", "application/x-www-form-urlencoded").body(form);
        let reply = call.send(server.port).await?;
        let error = if status == 400 { "invalid_grant" } else { "invalid_client" };
        ensure!(reply.status == status && reply.json()["error"] == error, "{audience}: {} {}", reply.status, reply.text());
    }
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
    suite.add("parties_servers::users_have_tokens_of_their_own", tokens_of_users);
    suite.add("parties_servers::entra_names_users_for_each_client", entra);
    suite.add("parties_servers::many_users_come_without_a_browser", many_users);
    suite.add("parties_servers::refreshes_are_answered_in_other_ways", other_refreshes);
    suite.add("parties_servers::a_client_signs_its_assertions", signing_client);
    suite.add("parties_servers::clients_are_known_as_they_registered", other_clients);
    suite.add("parties_servers::servers_are_down_for_a_while", outages);
}
