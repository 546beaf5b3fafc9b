//! Identities that clouds give: the documented form of their endpoints, seen by the agent that echoes what it received.

use anyhow::{Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::connections::{azure, call, connection, google, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};

use crate::credentials::{echo, token};
use crate::suite::Suite;

async fn of_google(mesh: &Mesh) -> Result<()> {
    let google = google().await?;
    let absent = Reserved::new()?;
    let own = |more: Value| {
        let mut own = json!({"cluster": "metadata"});
        for (name, value) in more.as_object().into_iter().flatten() {
            own[name] = value.clone();
        }
        json!({"managed_identity": {"google": own}})
    };
    let account = "agent@project.iam.gserviceaccount.com";
    let connections = [
        connection("access", &own(json!({}))),
        connection("scoped", &own(json!({"scopes": ["https://a.example/x", "https://a.example/y"], "service_account": account}))),
        connection("run", &own(json!({"audience": "https://run.example/?a=b&c"}))),
        connection("stated", &own(json!({"uri": format!("http://127.0.0.1:{}", google.port), "audience": "x"}))),
        connection("nobody", &own(json!({"service_account": "nobody@project.iam.gserviceaccount.com"}))),
        connection("slow", &own(json!({"service_account": "slow@project.iam.gserviceaccount.com", "timeout": "0.5s"}))),
        connection("absent", &own(json!({"cluster": "absent"}))),
    ];
    let clusters = [("metadata", google.port), ("absent", absent.port())];
    let envoy = Envoy::start("google", &outbound(mesh, &connections, &json!({}), &clusters)?, Options::default()).await?;
    let host = "metadata.google.internal";
    let access = claims(&token(&call("access").bearer("mine").send(envoy.port()).await?)?)?;
    ensure!(access == json!({"email": "1234-compute@developer.gserviceaccount.com", "host": host, "scopes": []}), "{access}");
    let scoped = claims(&token(&call("scoped").send(envoy.port()).await?)?)?;
    ensure!(scoped["email"] == account && scoped["scopes"] == json!(["https://a.example/x", "https://a.example/y"]), "{scoped}");
    for (name, audience, host) in
        [("run", "https://run.example/?a=b&c", host.to_owned()), ("stated", "x", format!("127.0.0.1:{}", google.port))]
    {
        let first = token(&call(name).send(envoy.port()).await?)?;
        let claims = claims(&first)?;
        ensure!(claims["aud"] == audience && claims["host"] == host.as_str() && claims["google"].is_object(), "{claims}");
        ensure!(token(&call(name).send(envoy.port()).await?)? == first, "{name}: it is kept until its exp");
    }
    let stats = Call::get("/control/stats").send(google.port).await?.json();
    ensure!(stats == json!({"token": 2, "identity": 2, "attribute": 0}), "each is fetched once: {stats}");
    for (name, reason, cause) in [
        ("nobody", "credential_refused", "status 404 and no OAuth error"),
        ("slow", "credential_unavailable", "status 504"),
        ("absent", "credential_unavailable", "status 503"),
    ] {
        refusal::check(&call(name).send(envoy.port()).await?, reason, &Form::Rpc(json!(name)))?;
        envoy.logged(&["no token for", name, cause]).await?;
    }
    ensure!(!envoy.log().contains("eyJ") && !envoy.log().contains("ya29"), "a token in the log");
    Ok(())
}

/// A metadata server gives a key only to who sends its header.
async fn a_secret_with_headers(mesh: &Mesh) -> Result<()> {
    let google = google().await?;
    let keyed = |name: &str| connection(name, &json!({"header": {"name": "x-api-key", "value": {"secret": name}}}));
    let source = |headers: Value| {
        let uri = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/key";
        json!({"http": {"remote": {"uri": uri, "cluster": "metadata", "refresh": "300s"}, "headers": headers}})
    };
    let secrets = json!({
        "stated": source(json!({"Metadata-Flavor": "Google"})),
        "kept": source(json!({"metadata-flavor": {"secret": "flavor"}})),
        "plain": source(json!({})),
        "flavor": {"env": "FLAVOR"},
    });
    let connections = ["stated", "kept", "plain"].map(keyed);
    let file = outbound(mesh, &connections, &secrets, &[("metadata", google.port)])?;
    let envoy = Envoy::start("secret-headers", &file, Options::default().env("FLAVOR", "Google")).await?;
    for name in ["stated", "kept"] {
        let keys = echo(&call(name).send(envoy.port()).await?)?.header("x-api-key");
        ensure!(keys == ["key-of-the-machine"], "{name}: {keys:?}");
    }
    refusal::check(&call("plain").send(envoy.port()).await?, "credential_unavailable", &Form::Rpc(json!("plain")))?;
    envoy.logged(&["secrets.plain.http", "status 403"]).await?;
    ensure!(!envoy.log().contains("key-of-the-machine"), "a secret in the log");
    Ok(())
}

/// Agent identities of Entra: what the blueprint gets for one is its assertion. Both are fetched once.
async fn agent_identities(mesh: &Mesh) -> Result<()> {
    let azure = azure().await?;
    let client = |id: &str, blueprint: Value| {
        json!({"token_endpoint": {"uri": format!("http://127.0.0.1:{}/tenant/oauth2/v2.0/token", azure.port), "cluster": "azure"}, "client_id": id,
            "authentication": {"agent_identity_blueprint": {"client_id": "blueprint", "authentication": blueprint}}})
    };
    let own = |id: &str, blueprint: Value| json!({"client_credentials": {"client": client(id, blueprint), "request": {"scopes": ["https://graph.microsoft.com/.default"]}}});
    let secret = |name: &str| json!({"client_secret_post": {"secret": name}});
    let metadata = format!("http://127.0.0.1:{}/metadata/identity/oauth2/token", azure.port);
    let federated =
        |resource: &str| json!({"managed_identity": {"virtual_machine": {"cluster": "azure", "uri": metadata, "resource": resource}}});
    let behalf = json!({"on_behalf_of": {"client": client("agent-1", secret("secret")), "request": {"scopes": ["api://mail/.default"]},
        "subject": {"issuers": ["corp"]}}});
    let connections = [
        connection("first", &own("agent-1", secret("secret"))),
        connection("second", &own("agent-2", federated("api://AzureADTokenExchange"))),
        connection("behalf", &behalf),
        connection("unknown", &own("agent-3", secret("secret"))),
        connection("wrong", &own("agent-1", secret("wrong"))),
        connection("astray", &own("agent-1", federated("api://elsewhere"))),
    ];
    let secrets = json!({"secret": {"env": "SECRET"}, "wrong": {"env": "WRONG"}});
    let options = Options::default().env("SECRET", "blueprint-secret").env("WRONG", "another-secret");
    let envoy = Envoy::start("agent-identities", &outbound(mesh, &connections, &secrets, &[("azure", azure.port)])?, options).await?;
    for (name, id) in [("first", "agent-1"), ("second", "agent-2")] {
        let got = token(&call(name).send(envoy.port()).await?)?;
        ensure!(claims(&got)? == json!({"appid": id, "scope": "https://graph.microsoft.com/.default"}), "{name}: {}", claims(&got)?);
        ensure!(token(&call(name).send(envoy.port()).await?)? == got, "{name}: it is kept");
    }
    for id in ["caller", "basic2"] {
        let of_caller = mesh.authorization.token_of(id, &mesh.audience, "agent:read").await?;
        let claims = claims(&token(&call("behalf").bearer(&of_caller).send(envoy.port()).await?)?)?;
        ensure!(claims == json!({"appid": "agent-1", "scope": "api://mail/.default", "sub": id}), "{claims}");
    }
    let stats = Call::get("/control/stats").send(azure.port).await?.json();
    let expected = json!({"metadata": 1, "app_service": 0, "blueprint": 3, "agent_identity": 4});
    ensure!(stats == expected, "one token of the blueprint for each connection, one of the agent identity for each caller: {stats}");
    for (name, cause) in [("unknown", "error invalid_request"), ("wrong", "(AADSTS7000215)"), ("astray", "(AADSTS7000215)")] {
        refusal::check(&call(name).send(envoy.port()).await?, "credential_refused", &Form::Rpc(json!(name)))?;
        envoy.logged(&["no token of the blueprint for", name, cause]).await?;
    }
    ensure!(!envoy.log().contains("e30.") && !envoy.log().contains("blueprint-secret"), "a secret in the log");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_clouds::identities_of_google", of_google);
    suite.add("credentials_clouds::agent_identities_of_entra", agent_identities);
    suite.add("credentials_clouds::a_secret_is_fetched_with_headers", a_secret_with_headers);
}
