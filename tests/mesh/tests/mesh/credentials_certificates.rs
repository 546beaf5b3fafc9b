//! Clients that the authorization server knows by the certificate of their connection (RFC 8705): Envoy's, to the token endpoint.

use anyhow::{Result, ensure};
use attache_mesh::authorization::{claims, over_tls};
use attache_mesh::connections::{PARTNER, call, connection, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::tls::{Authority, Identity, call_over};
use serde_json::json;

use crate::credentials::token;
use crate::suite::Suite;

async fn by_certificates(mesh: &Mesh) -> Result<()> {
    let (authority, stranger) = (Authority::new("ca")?, Authority::new("another ca")?);
    let server = authority.issue("authorization server", &[], &["localhost"])?;
    let uri = "spiffe://corp/travel";
    let own = authority.issue("travel", &[uri], &[])?;
    let another = authority.issue("another", &["spiffe://corp/another"], &[])?;
    let (registered, unregistered) = (Identity::self_signed("travel")?, Identity::self_signed("travel")?);
    let (_process, port) = over_tls(&authority.server_file(&server, &registered)?).await?;
    // The connection, the client's id, how it authenticates, and its certificate.
    let cases = [
        ("own", "certified", "tls_client_auth", Some(&own)),
        ("registered", "self_signed", "self_signed_tls_client_auth", Some(&registered)),
        ("nothing", "certified", "tls_client_auth", None),
        ("another", "certified", "tls_client_auth", Some(&another)),
        ("foreign", "certified", "tls_client_auth", Some(&stranger.issue("travel", &[uri], &[])?)),
        ("unregistered", "self_signed", "self_signed_tls_client_auth", Some(&unregistered)),
        ("verified", "self_signed", "self_signed_tls_client_auth", Some(&own)),
    ];
    let endpoint = |cluster: &str| json!({"uri": format!("https://127.0.0.1:{port}/token"), "cluster": format!("to-{cluster}")});
    let connections = cases.map(|(name, id, method, _)| {
        let client = json!({"token_endpoint": endpoint(name), "client_id": id, "authentication": { method: {} }});
        connection(name, &json!({"client_credentials": {"client": client, "request": request()}}))
    });
    let names = cases.map(|(name, ..)| format!("to-{name}"));
    let clusters: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), port)).collect();
    let mut file = outbound(mesh, &connections, &json!({}), &clusters)?;
    for (cluster, (.., certificate)) in names.iter().zip(cases) {
        call_over(&mut file, cluster, &authority, certificate)?;
    }
    let envoy = Envoy::start("certificates", &file, Options::default()).await?;
    for (name, id) in [("own", "certified"), ("registered", "self_signed")] {
        let claims = claims(&token(&call(name).send(envoy.port()).await?)?)?;
        ensure!(claims["client_id"] == id && claims["aud"] == PARTNER, "{name}: {claims}");
    }
    for name in ["nothing", "another", "foreign", "unregistered", "verified"] {
        refusal::check(&call(name).send(envoy.port()).await?, "credential_refused", &Form::Rpc(json!(name)))?;
        envoy.logged(&["no token for", name, "status 401, error invalid_client"]).await?;
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("credentials_certificates::a_client_is_known_by_the_certificate_of_its_connection", by_certificates);
}
