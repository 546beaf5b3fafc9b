//! A call that leaves with a static key: Attaché beside Envoy's `credential_injector`. All rows are `envoy/outbound.yaml`.

use anyhow::{Context, Result, bail};
use attache_mesh::envoy::Envoy;
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::Call;
use serde_json::json;

use crate::kind::plain;
use crate::rows::Row;

/// Where the call goes.
pub const PATH: &str = "/";
/// What the remote agent wants to see.
pub const HEADER: &str = "x-api-key";
/// In it.
pub const KEY: &str = "key-of-the-bench-0123456789";
const HOST: &str = "partner.example.com";

/// The call as the client makes it, without body and key.
pub fn request() -> Call {
    plain(PATH).host(HOST)
}

/// `envoy/outbound.yaml` with the connection to one partner, or with another filter, or none.
pub fn file(row: Row, upstream: u16) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("outbound.yaml")?;
    file.cluster("partner", upstream)?;
    file.edit_plugin(|plugin| {
        let partner = plugin["connections"][0].clone();
        *plugin = json!({"connections": [partner], "secrets": {"partner_key": {"inline": KEY}}, "allow_inline_secrets": true,
            "audit": {"level": "none"}});
    })?;
    if let Some(settings) = file.wasm()?["vm_config"].as_object_mut() {
        settings.remove("environment_variables");
    }
    if row == Row::OutboundAttache {
        return Ok(file);
    }
    let injector = json!({"name": "envoy.filters.http.credential_injector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": true,
        "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "credential": {"name": "partner_key"}, "header": HEADER}}}});
    let filters = file.http_manager()?["http_filters"].as_array_mut().context("outbound.yaml: no http_filters")?;
    let router = filters.pop().context("outbound.yaml: no router")?;
    *filters = if row == Row::OutboundBare { vec![router] } else { vec![injector, router] };
    file.value_mut()["static_resources"]["secrets"] =
        json!([{"name": "partner_key", "generic_secret": {"secret": {"inline_string": KEY}}}]);
    Ok(file)
}

/// The call reaches the upstream whole, with the key if the row attaches it, and only then.
pub async fn check(row: Row, envoy: &Envoy, body: &[u8]) -> Result<()> {
    let reply = request().body(body.to_vec()).send(envoy.port()).await?;
    let result = reply.json()["result"].clone();
    let owed = row != Row::OutboundBare;
    if reply.status != 200 || result["received"] != body.len() || result["key"] != owed {
        bail!("{}: a call got {} {}", row.title(), reply.status, reply.text());
    }
    Ok(())
}
