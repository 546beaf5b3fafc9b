//! Connections that obtain their credentials: every method against a real authorization server or the documented form of a
//! platform's endpoint, seen by the agent that echoes what it received.

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::{AuthorizationServer, claims, header};
use attache_mesh::canary;
use attache_mesh::connections::{IDENTITY_HEADER, PARTNER, azure, call, client, connection, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Echo, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};

use crate::suite::Suite;

/// What the remote agent saw.
pub fn echo(reply: &Reply) -> Result<Echo> {
    reply.echo().with_context(|| format!("no echo: {} {}", reply.status, reply.text()))
}

/// The one bearer token that it saw.
pub fn token(reply: &Reply) -> Result<String> {
    let echo = echo(reply)?;
    let [line] = &echo.header("authorization")[..] else { anyhow::bail!("not one Authorization: {:?}", echo.0) };
    let token = line.strip_prefix("Bearer ").with_context(|| format!("not Bearer: {line}"))?.to_owned();
    // The filter got it, and nobody else may see it.
    canary::keep(&token);
    Ok(token)
}

/// How many tokens the authorization server issued to client `id`.
pub async fn issued(authorization: &AuthorizationServer, id: &str) -> Result<u64> {
    let stats = Call::get("/control/stats").send(authorization.port).await?.json();
    Ok(stats["issued"][id].as_u64().unwrap_or(0))
}

/// The private key of client `id`, in PEM.
async fn private_key(authorization: &AuthorizationServer, id: &str) -> Result<String> {
    let keys = Call::get("/control/keys").send(authorization.port).await?.json();
    keys[id].as_str().map(str::to_owned).with_context(|| format!("no key of {id}"))
}

async fn by_client_credentials(mesh: &Mesh) -> Result<()> {
    let authorization = &mesh.authorization;
    let with = |id: &str, authentication: Value| {
        connection(id, &json!({"client_credentials": {"client": client(authorization, id, &authentication), "request": request()}}))
    };
    let key = |algorithm: &str| json!({"private_key_jwt": {"key": {"secret": algorithm}, "algorithm": algorithm.to_uppercase(), "key_id": format!("{algorithm}-1")}});
    let connections = [
        with("basic", json!({"client_secret_basic": {"secret": "basic"}})),
        with("cold", json!({"client_secret_post": {"secret": "post"}})),
        with("rs256", key("rs256")),
        with("es256", key("es256")),
    ];
    let secrets = json!({"basic": {"env": "BASIC"}, "post": {"env": "POST"}, "rs256": {"env": "RS256"}, "es256": {"env": "ES256"}});
    let options = Options::default()
        .own()
        .env("BASIC", "b:s%c r+et/&=")
        .env("POST", "cold-secret")
        .env("RS256", &private_key(authorization, "rs256").await?)
        .env("ES256", &private_key(authorization, "es256").await?);
    let envoy = Envoy::start("credentials", &outbound(mesh, &connections, &secrets, &[])?, options).await?;
    for id in ["basic", "cold", "rs256", "es256"] {
        let before = issued(authorization, id).await?;
        let first = token(&call(id).bearer("mine").send(envoy.port()).await?).with_context(|| id.to_owned())?;
        let claims = claims(&first)?;
        ensure!(claims["client_id"] == id && claims["aud"] == PARTNER && claims["scope"] == "agent:read agent:execute", "{claims}");
        let again = token(&call(id).send(envoy.port()).await?)?;
        ensure!(first == again && issued(authorization, id).await? == before + 1, "{id}: the token is asked for once");
    }
    envoy.stat_reaches("attache_credentials.connection=.=basic;.;method=.=client_credentials;.;from=.=cache", 1).await?;
    envoy.stat_reaches("attache_token_requests.connection=.=basic;.;method=.=client_credentials;.;outcome=.=ok", 1).await?;
    let log = envoy.log();
    for canary in ["b:s%c", "cold-secret", "PRIVATE KEY", "eyJ"] {
        ensure!(!log.contains(canary), "{canary} in the log");
    }
    Ok(())
}

async fn for_the_caller(mesh: &Mesh) -> Result<()> {
    let authorization = &mesh.authorization;
    let own = |id: &str| client(authorization, id, &json!({"client_secret_post": {"secret": id}}));
    let subject = json!({"issuers": ["corp"]});
    let connections = [
        connection("exchange", &json!({"token_exchange": {"client": own("exchanger"), "request": request(), "subject": subject}})),
        connection(
            "acting",
            &json!({"token_exchange": {"client": own("exchanger"), "request": request(), "subject": subject,
                "actor": {"token": {"client_credentials": {"client": own("caller"), "request": request()}}}}}),
        ),
        connection("behalf", &json!({"on_behalf_of": {"client": own("exchanger"), "request": request(), "subject": subject}})),
        connection("pass", &json!({"passthrough": {"subject": subject, "audiences": [PARTNER]}})),
    ];
    let secrets = json!({"exchanger": {"env": "EXCHANGER"}, "caller": {"env": "CALLER"}});
    let options = Options::default().env("EXCHANGER", "exchanger-secret").env("CALLER", "caller-secret");
    let envoy = Envoy::start("exchange", &outbound(mesh, &connections, &secrets, &[])?, options).await?;
    let scopes = "agent:read agent:execute";
    let callers =
        [authorization.token_of("caller", &mesh.audience, scopes).await?, authorization.token_of("basic2", &mesh.audience, scopes).await?];
    for name in ["exchange", "acting", "behalf"] {
        let (first, second) = tokio::try_join!(async { token(&call(name).bearer(&callers[0]).send(envoy.port()).await?) }, async {
            token(&call(name).bearer(&callers[1]).send(envoy.port()).await?)
        },)?;
        for (token, subject) in [(&first, "caller"), (&second, "basic2")] {
            let claims = claims(token)?;
            ensure!(claims["sub"] == subject && claims["aud"] == PARTNER && claims["client_id"] == "exchanger", "{name}: {claims}");
            let actor = claims["act"]["sub"].as_str();
            ensure!(actor == (name == "acting").then_some("caller"), "{name}: {claims}");
        }
        let again = token(&call(name).bearer(&callers[0]).send(envoy.port()).await?)?;
        ensure!(again == first, "{name}: the same caller has the same token");
        refused_for_callers(mesh, &envoy, name).await?;
    }
    let own = authorization.token_of("caller", PARTNER, scopes).await?;
    ensure!(token(&call("pass").bearer(&own).send(envoy.port()).await?)? == own, "the caller's own token goes on");
    refusal::check(&call("pass").bearer(&callers[0]).send(envoy.port()).await?, "token_audience_mismatch", &Form::Rpc(json!("pass")))?;
    refusal::check(&call("exchange").bearer(&own).send(envoy.port()).await?, "token_audience_mismatch", &Form::Rpc(json!("exchange")))?;
    Ok(())
}

/// Callers for whom there is no token.
async fn refused_for_callers(mesh: &Mesh, envoy: &Envoy, name: &str) -> Result<()> {
    let form = Form::Rpc(json!(name));
    let scopes = "agent:read";
    refusal::check(&call(name).send(envoy.port()).await?, "credentials_missing", &form)?;
    let forged = mesh.token().await?;
    let forged = format!("{}AAAA", forged.get(..forged.len().saturating_sub(4)).unwrap_or_default());
    refusal::check(&call(name).bearer(&forged).send(envoy.port()).await?, "token_signature_invalid", &form)?;
    let guest = mesh.authorization.token_of("guest", &mesh.audience, scopes).await?;
    refusal::check(&call(name).bearer(&guest).send(envoy.port()).await?, "consent_required", &form)?;
    let limited = mesh.authorization.token_of("limited", &mesh.audience, scopes).await?;
    refusal::check(&call(name).bearer(&limited).send(envoy.port()).await?, "subject_refused", &form)?;
    envoy.logged(&["no token for", name, "error interaction_required (AADSTS65001)"]).await?;
    Ok(())
}

async fn from_the_platform(mesh: &Mesh) -> Result<()> {
    let azure = azure().await?;
    let metadata = format!("http://127.0.0.1:{}/metadata/identity/oauth2/token", azure.port);
    let endpoint = json!({"uri": format!("http://127.0.0.1:{}/msi/token", azure.port), "cluster": "azure"});
    let machine = |identity: Value| json!({"managed_identity": {"virtual_machine": {"cluster": "azure", "uri": metadata, "resource": "api://partner", "identity": identity}}});
    let federated = client(&mesh.authorization, "federated", &json!({"client_assertion": {"secret": "federated"}}));
    let assertion = mesh.authorization.assertion().await?;
    ensure!(header(&assertion)?["kid"] == "federated-1", "of another key");
    let connections = [
        connection("project", &machine(json!(null))),
        connection("agent", &machine(json!({"client_id": "agent-1"}))),
        connection("unknown", &machine(json!({"client_id": "unknown"}))),
        connection(
            "app",
            &json!({"managed_identity": {"app_service": {"endpoint": endpoint, "identity_header": {"secret": "header"}, "resource": "api://partner"}}}),
        ),
        connection("workload", &json!({"managed_identity": {"workload": {"client": federated, "scopes": ["agent:read"]}}})),
    ];
    let secrets = json!({"header": {"env": "IDENTITY_HEADER"}, "federated": {"env": "FEDERATED"}});
    let options = Options::default().env("IDENTITY_HEADER", IDENTITY_HEADER).env("FEDERATED", &assertion);
    let envoy = Envoy::start("platform", &outbound(mesh, &connections, &secrets, &[("azure", azure.port)])?, options).await?;
    for (name, at, client) in [("project", "metadata", None), ("agent", "metadata", Some("agent-1")), ("app", "app_service", None)] {
        let claims = claims(&token(&call(name).send(envoy.port()).await?)?)?;
        ensure!(claims["at"] == at && claims["resource"] == "api://partner" && claims["client_id"].as_str() == client, "{name}: {claims}");
    }
    refusal::check(&call("unknown").send(envoy.port()).await?, "credential_refused", &Form::Rpc(json!("unknown")))?;
    // Without a resource the server's tokens are opaque.
    ensure!(!token(&call("workload").send(envoy.port()).await?)?.is_empty(), "workload");
    ensure!(!envoy.log().contains(IDENTITY_HEADER), "the header's value is in the log");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials::client_credentials_by_every_client_authentication", by_client_credentials);
    suite.add("credentials::tokens_for_the_caller_and_never_for_another", for_the_caller);
    suite.add("credentials::identities_of_the_platform", from_the_platform);
}
