//! Identity assertions (ID-JAG): a real identity provider gives them, and a real authorization server that trusts it takes them.

use anyhow::{Result, ensure};
use attache_mesh::authorization::{claims, trusting};
use attache_mesh::connections::{PARTNER, call, client, connection, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};

use crate::credentials::token;
use crate::suite::Suite;

async fn of_callers(mesh: &Mesh) -> Result<()> {
    let provider = &mesh.authorization;
    let (_process, port) = trusting(&provider.issuer).await?;
    let issuer = format!("http://127.0.0.1:{port}");
    let none =
        json!({"access_token": "a.b.c", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer"});
    let other = StandIn::start(Answer::new("200 OK", "application/json", none.to_string())).await?;
    let at = |cluster: &str, port: u16, id: &str| {
        json!({"token_endpoint": {"uri": format!("http://127.0.0.1:{port}/token"), "cluster": cluster}, "client_id": id,
            "authentication": {"client_secret_post": {"secret": id}}})
    };
    let asserted = |exchange: Value, audience: &str, own: Value| {
        let mut request = request();
        request["audience"] = json!([audience]);
        json!({"identity_assertion": {
            "exchange": {"client": exchange, "request": request, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"},
            "client": own, "subject": {"issuers": ["corp"]}}})
    };
    let provides = client(provider, "exchanger", &json!({"client_secret_post": {"secret": "exchanger"}}));
    let takes = at("partner-auth", port, "exchanger");
    let connections = [
        connection("asserted", &asserted(provides.clone(), &issuer, takes.clone())),
        connection("untold", &asserted(provides.clone(), "https://elsewhere.example", takes.clone())),
        connection("mistaken", &asserted(at("other", other.port, "exchanger"), &issuer, takes)),
        // The ID-JAG is for another client than the one that shows it.
        connection("confused", &asserted(provides, &issuer, at("partner-auth", port, "basic2"))),
    ];
    let secrets = json!({"exchanger": {"env": "EXCHANGER"}, "basic2": {"env": "BASIC2"}});
    let options = Options::default().env("EXCHANGER", "exchanger-secret").env("BASIC2", "basic2-secret");
    let file = outbound(mesh, &connections, &secrets, &[("partner-auth", port), ("other", other.port)])?;
    let envoy = Envoy::start("asserted", &file, options).await?;
    let scopes = "agent:read agent:execute";
    let of = async |id: &str| provider.token_of(id, &mesh.audience, "agent:read").await;
    for id in ["caller", "basic2"] {
        let own = of(id).await?;
        let first = token(&call("asserted").bearer(&own).send(envoy.port()).await?)?;
        let claims = claims(&first)?;
        ensure!(
            claims["iss"] == issuer.as_str() && claims["sub"] == id && claims["aud"] == PARTNER && claims["scope"] == scopes,
            "{claims}"
        );
        ensure!(token(&call("asserted").bearer(&own).send(envoy.port()).await?)? == first, "the same caller has the same token");
    }
    let stats = Call::get("/control/stats").send(port).await?.json();
    ensure!(stats["issued"] == json!({"exchanger": 2}), "one for each caller: {stats}");
    for (name, id, reason, cause) in [
        ("asserted", "guest", "consent_required", "no ID-JAG for \"asserted\""),
        ("asserted", "limited", "subject_refused", "error invalid_grant"),
        ("asserted", "stranger", "credential_refused", "no token for \"asserted\""),
        ("untold", "caller", "credential_refused", "error invalid_target"),
        ("mistaken", "caller", "credential_unavailable", "an issued_token_type that is not that of an ID-JAG"),
        ("confused", "caller", "credential_refused", "no token for \"confused\""),
    ] {
        let reply = call(name).bearer(&of(id).await?).send(envoy.port()).await?;
        refusal::check(&reply, reason, &Form::Rpc(json!(name)))?;
        envoy.logged(&[cause]).await?;
    }
    refusal::check(&call("asserted").send(envoy.port()).await?, "credentials_missing", &Form::Rpc(json!("asserted")))?;
    ensure!(!envoy.log().contains("eyJ") && !envoy.log().contains("a.b.c"), "a token in the log");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_asserted::an_id_jag_of_one_server_is_taken_by_another", of_callers);
}
