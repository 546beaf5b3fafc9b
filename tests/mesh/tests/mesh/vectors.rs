//! The token vectors through Envoy's own `verify_signature`. `tests/vectors.rs` and `tests/abi.rs` send the same file
//! through the Rust that stands in where a proxy has no such function.

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{Mesh, send_1_0};
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};

use crate::suite::Suite;

const FILE: &str = include_str!("../../../vectors/tokens.json");

pub fn add(suite: &mut Suite) {
    suite.add("vectors::every_token_has_its_verdict_with_signatures_verified_by_envoy", every_token);
}

async fn every_token(mesh: &'static Mesh) -> Result<()> {
    let vectors: Value = serde_json::from_str(FILE)?;
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| {
        let name = plugin["issuers"][0]["name"].clone();
        plugin["issuers"] = json!([{
            "name": name, "issuer": vectors["issuer"], "audiences": [vectors["audience"]], "jwks": {"inline": vectors["keys"]},
            "algorithms": vectors["algorithms"],
        }]);
    })?;
    let envoy = Envoy::start("vectors", &file, Options::default()).await?;
    let mut good = 0;
    let mut bad = 0;
    // Line breaks and the like never get past an HTTP parser.
    for vector in vectors["tokens"].as_array().context("tokens")?.iter().filter(|vector| vector["sendable"] != json!(false)) {
        let (name, expect, token) = (&vector["name"], vector["expect"].as_str(), vector["token"].as_str());
        let (expect, token) = (expect.context("expect")?, token.context("token")?);
        let reply = send_1_0("vector").bearer(token).send(envoy.port()).await.with_context(|| name.to_string())?;
        if expect == "ok" {
            ensure!(reply.status == 200, "{name}: {} {}", reply.status, reply.text());
            good += 1;
        } else {
            refusal::check(&reply, expect, &Form::Rpc(json!("vector"))).with_context(|| name.to_string())?;
            bad += 1;
        }
    }
    ensure!(good >= 9 && bad >= 100, "{good} good and {bad} bad tokens were sent");
    // Without the function the module says so and goes on by itself.
    ensure!(!envoy.log().contains("has no verify_signature"), "signatures were not verified by Envoy");
    Ok(())
}
