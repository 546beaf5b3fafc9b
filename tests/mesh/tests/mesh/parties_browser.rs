//! The persons of the consent flow: what their browsers keep apart, trust, and find fault with.

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options as EnvoyOptions};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::mesh::Mesh;
use attache_mesh::person::Browser;
use attache_mesh::place;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::{Authority, Identity};
use attache_mesh::user_server::{BACKCHANNEL, CIBA_GRANT, Options, TOKEN, Tokens, UserServer};
use serde_json::{Value, json};

use crate::suite::Suite;

const LOGIN: &str = "login.corp.example";
const CONSENT: &str = "consent.example.com";

/// An Envoy that speaks TLS as the consent host would: a page, with a cookie for it alone; `/ping` goes to the server at `pinged`.
async fn consent_host(server: &Identity, pinged: u16) -> Result<Envoy> {
    let page = "<!doctype html><title>Consent</title><h1 style='color: red'>Consent</h1><a href='/next'>Next</a>";
    let leave = "<!doctype html><meta http-equiv='refresh' content='0;url=/after'><title>Leave</title><h1>Leave</h1>";
    let answer = |body: &str| json!({"status": 200, "body": {"inline_string": body}});
    let header = |name: &str, value: &str| json!({"header": {"key": name, "value": value}});
    let root = json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": [{
            "name": "consent", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {"tls_certificates": [server.in_files()?]}}},
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "consent",
                    "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
                    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                        {"match": {"path": "/strict"}, "direct_response": answer(page), "response_headers_to_add": [
                            header("content-type", "text/html"), header("content-security-policy", "default-src 'none'")]},
                        {"match": {"path": "/leave"}, "direct_response": answer(leave), "response_headers_to_add": [
                            header("content-type", "text/html")]},
                        {"match": {"path": "/ping"}, "route": {"cluster": "pinged"}},
                        {"match": {"prefix": "/"}, "direct_response": answer(page), "response_headers_to_add": [
                            header("content-type", "text/html"), header("referrer-policy", "no-referrer"),
                            header("set-cookie", "__Host-attache-1=secret; Path=/; Secure; HttpOnly; SameSite=Lax")]},
                    ]}]},
                }}],
            }],
        }], "clusters": [{"name": "pinged", "connect_timeout": "5s", "load_assignment": {"cluster_name": "pinged", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": pinged}}}}]}]}}]},
    });
    Envoy::start("consent-host", &EnvoyFile::from_value(root), EnvoyOptions::default()).await
}

fn named<'a>(cookies: &'a [Value], prefix: &str) -> Option<&'a Value> {
    cookies.iter().find(|cookie| cookie["name"].as_str().is_some_and(|name| name.starts_with(prefix)))
}

async fn hosts_over_tls(_mesh: &'static Mesh) -> Result<()> {
    let authority = Authority::new("mesh")?;
    let (login, consent) = (authority.issue(LOGIN, &[], &[LOGIN])?, authority.issue(CONSENT, &[], &[CONSENT])?);
    let origin = format!("https://{LOGIN}");
    let callback = format!("https://{CONSENT}/signed-in/corp");
    let options = Options::default().over_tls(&origin, &authority.user_server_file(&login)?).redirect(&callback);
    let (server, envoy) = tokio::try_join!(UserServer::start("organization-tls", &options), consent_host(&consent, 9))?;
    ensure!(server.tokens("ann", "https://orchestrator.example", "openid").await?.answer["token_type"] == "Bearer");
    let hosts = [(LOGIN, server.port), (CONSENT, envoy.port()), ("other.example.com", envoy.port())];
    let (both, one) = ([login.file()?, consent.file()?], [login.file()?]);
    let (browser, stranger) = tokio::try_join!(Browser::start(&hosts, &both), Browser::start(&hosts, &one))?;

    let ann = browser.person("ann");
    let page = ann.open(&format!("https://{CONSENT}/start?link=1")).await?;
    page.ensure_clean()?;
    ensure!(page.heading() == "Consent" && page.status() == Some(200) && page.header("referrer-policy") == Some("no-referrer"), "{page:?}");
    let cookies = ann.cookies().await?;
    let cookie = named(&cookies, "__Host-").context("no __Host- cookie")?;
    ensure!(
        cookie["secure"] == true && cookie["httpOnly"] == true && cookie["sameSite"] == "Lax" && cookie["domain"] == CONSENT,
        "{cookie}"
    );
    // The header counts, and it is kept from scripts.
    let page = ann.press("Next").await?;
    ensure!(page.hops()[0]["referer"].is_null(), "{page:?}");
    ensure!(ann.evaluate("document.cookie").await? == "");
    // A page that goes on by itself is not the end of a step.
    let page = ann.open(&format!("https://{CONSENT}/leave")).await?;
    ensure!(page.heading() == "Consent" && page.url().ends_with("/after") && page.hops().len() == 2, "{page:?}");
    let picture = place::logs().join(place::unique("consent.png"));
    ann.screenshot(&picture, 800, 600).await?;
    ensure!(std::fs::read(&picture)?.starts_with(b"\x89PNG"));

    // From there to the issuer, over TLS as well, and back with a code.
    let challenge = "mfXnxu8wy0E_vGTflPYBIK7lLXv02QPrLAaeAPNd3Mo";
    let parameters = [("response_type", "code"), ("client_id", "attache"), ("redirect_uri", &callback), ("scope", "openid")];
    let link = server.authorization(&[&parameters[..], &[("code_challenge", challenge), ("code_challenge_method", "S256")]].concat());
    ann.open(&link).await?.ensure_clean()?;
    ann.sign_in("ann").await?;
    let held = ann.press_until("Allow", &callback).await?;
    ensure!(held.contains("code=") && held.contains("iss=https%3A%2F%2Flogin.corp.example"), "{held}");
    let page = ann.open(&held).await?;
    ensure!(page.heading() == "Consent" && page.url() == held, "{page:?}");
    ensure!(named(&ann.cookies().await?, "_session_").is_some_and(|cookie| cookie["secure"] == true));

    // bob has none of it, and two tabs of one person have the same.
    let bob = browser.person("bob");
    let page = bob.open(&link).await?;
    ensure!(page.heading() == "Sign in" && named(&bob.cookies().await?, "__Host-").is_none(), "{page:?}");
    let page = ann.tab("second").open(&link).await?;
    ensure!(page.heading() == "Consent", "{page:?}");
    server.expire_sessions().await?;
    ensure!(ann.open(&link).await?.heading() == "Sign in");

    // Who does not trust a certificate does not go there, and a name that is not in it is a fault.
    let page = stranger.person("ann").attempt(&json!({"do": "open", "url": format!("https://{CONSENT}/")})).await?;
    ensure!(page.error().is_some_and(|error| error.contains("ERR_CERT_AUTHORITY_INVALID")), "{page:?}");
    let page = bob.open("https://other.example.com/").await?;
    ensure!(page.ensure_clean().is_err_and(|error| error.to_string().contains("certificate: other.example.com")), "{page:?}");
    // So is what a page's policy does not allow.
    let page = bob.open(&format!("https://{CONSENT}/strict")).await?;
    ensure!(page.0["violations"].to_string().contains("style-src"), "{page:?}");
    ensure!(page.ensure_clean().is_err());
    Ok(())
}

/// A client of CIBA is called when the user has decided, at the consent host, with the token that it gave.
async fn ciba_ping(_mesh: &'static Mesh) -> Result<()> {
    let (authority, pinged) = (Authority::new("mesh")?, StandIn::start(Answer::new("204 No Content", "text/plain", "")).await?);
    let envoy = consent_host(&authority.issue(CONSENT, &[], &[CONSENT])?, pinged.port).await?;
    let options = Options::default().set("ping", format!("https://{CONSENT}/ping"));
    let options = options.set("ping-port", envoy.port().to_string()).set("ping-ca", authority.file()?);
    let server = UserServer::start("pinging-server", &options).await?;
    let form = [("scope", "openid"), ("login_hint", "ann"), ("client_notification_token", "a-token-of-the-client-0001")];
    let told = server.post(BACKCHANNEL, &form).await?.json();
    let id = told["auth_req_id"].as_str().with_context(|| told.to_string())?;
    ensure!(pinged.whole() == 0);
    server.approve(id).await?;
    ensure!(pinged.whole() == 1);
    let tokens = Tokens::of(server.post(TOKEN, &[("grant_type", CIBA_GRANT), ("auth_req_id", id)]).await?.json())?;
    ensure!(claims(tokens.id.as_deref().context("no ID token")?)?["sub"] == "ann");
    Ok(())
}

/// Servers at one address, whose cookies browsers do not keep apart by port: sessions at both last.
async fn sessions_at_two_servers(_mesh: &'static Mesh) -> Result<()> {
    let redirect = "http://127.0.0.1:9/callback";
    let options = Options::default().redirect(redirect);
    let (corp, partner) = tokio::try_join!(UserServer::start("corp", &options), UserServer::start("partner", &options))?;
    let browser = Browser::start(&[], &[]).await?;
    let ann = browser.person("ann");
    let challenge = "mfXnxu8wy0E_vGTflPYBIK7lLXv02QPrLAaeAPNd3Mo";
    let parameters = [("response_type", "code"), ("client_id", "attache"), ("redirect_uri", redirect), ("scope", "openid")];
    let parameters = [&parameters[..], &[("code_challenge", challenge), ("code_challenge_method", "S256")]].concat();
    for (server, account) in [(&corp, "ann"), (&partner, "bob")] {
        ann.open(&server.authorization(&parameters)).await?;
        ann.sign_in(account).await?;
        ann.press_until("Allow", redirect).await?;
    }
    for (server, account) in [(&corp, "ann"), (&partner, "bob")] {
        let page = ann.open(&server.authorization(&[&parameters[..], &[("prompt", "consent")]].concat())).await?;
        ensure!(page.heading() == "Allow access" && page.text().contains(&format!("access as {account}:")), "{page:?}");
    }
    // Who must sign in again may do so as somebody else.
    ann.open(&corp.authorization(&[&parameters[..], &[("prompt", "login")]].concat())).await?;
    let page = ann.fill(&json!({"account": "bob", "password": "wrong"})).await?;
    ensure!(page.heading() == "Sign in", "{page:?}");
    let page = ann.press("Sign in").await?;
    ensure!(page.text().contains("no such account"), "{page:?}");
    let page = ann.sign_in("bob").await?;
    ensure!(page.heading() == "Allow access" && page.text().contains("access as bob:"), "{page:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("parties_browser::hosts_over_tls_keep_their_cookies", hosts_over_tls);
    suite.add("parties_browser::ciba_calls_its_client_at_the_consent_host", ciba_ping);
    suite.add("parties_browser::one_person_has_sessions_at_two_servers", sessions_at_two_servers);
}
