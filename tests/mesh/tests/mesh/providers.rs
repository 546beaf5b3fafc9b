//! A token of each shape that identity providers issue, through an Envoy whose issuers are those of the documentation: users pass where
//! users may, services where services may, and what is no access token passes nowhere.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{Mesh, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::place::{now, root};
use attache_mesh::refusal::Form;
use serde_json::{Value, json};

use crate::suite::{Suite, refused};

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// The issuers of the documentation, by their presets, with the keys of `mint`.
fn issuers(mint: &Mint) -> Result<Vec<Value>> {
    let page = read("docs/identity-providers.md")?;
    let mut issuers = Vec::new();
    for block in page.split("```json\n").skip(1).filter_map(|block| block.split("```").next()) {
        let block: Value = serde_json::from_str(block)?;
        let Some(issuer) = block["issuers"].get(0) else { continue };
        let mut issuer = issuer.clone();
        let mut key = mint.jwk();
        issuer["name"] = issuer["preset"].clone();
        issuer["algorithms"] = json!(["ES256"]);
        match issuer["preset"].as_str() {
            Some("spiffe") => key["use"] = json!("jwt-svid"),
            // Its tokens have no sign, so the operator gives one.
            Some("zitadel") => issuer["claims"] = json!({"user_marker": ["is_human"]}),
            _ => {}
        }
        issuer["jwks"] = json!({"inline": {"keys": [key]}});
        issuers.push(issuer);
    }
    ensure!(issuers.len() == 11, "{} issuers in docs/identity-providers.md", issuers.len());
    Ok(issuers)
}

/// An Envoy whose agent is for callers of one kind.
async fn envoy(mesh: &Mesh, mint: &Mint, kind: &str) -> Result<Envoy> {
    let issuers = issuers(mint)?;
    let names: Vec<Value> = issuers.iter().map(|issuer| issuer["name"].clone()).collect();
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| {
        plugin["issuers"] = json!(issuers);
        plugin["schemes"] = json!({"oauth2": {"bearer": {"issuers": names}}});
        for agent in plugin["agents"].as_array_mut().into_iter().flatten() {
            agent["security"] = json!([{"oauth2": []}]);
            agent["access"] = json!([{"operations": ["any"], "require": {"kind": kind}}]);
        }
    })?;
    Envoy::start(&format!("providers-{kind}"), &file, Options::default()).await
}

async fn each_shape(mesh: &Mesh) -> Result<()> {
    let mint = Mint::new("providers-1")?;
    let envoys = [("user", envoy(mesh, &mint, "user").await?), ("service", envoy(mesh, &mint, "service").await?)];
    let shapes: Vec<Value> = serde_json::from_str(&read("tests/providers/shapes.json")?)?;
    let token = |shape: &Value| {
        let (mut header, mut claims) = (json!({"alg": "ES256", "kid": mint.kid}), shape["claims"].clone());
        if let Some(typ) = shape["header"].get("typ") {
            header["typ"] = typ.clone();
        }
        for member in ["iat", "nbf", "exp"].into_iter().filter(|member| shape["claims"].get(member).is_some()) {
            // Some issuers write fractions.
            claims[member] = if member == "exp" { json!(now() as f64 + 300.5) } else { json!(now()) };
        }
        mint.sign_as(&header, &claims)
    };
    let good = |kind: &str| shapes.iter().find(|shape| shape["kind"] == kind && shape["says"]["client"].is_string()).map(token);
    for shape in &shapes {
        let name = shape["name"].as_str().unwrap_or_default();
        for (kind, envoy) in &envoys {
            let call = send_1_0(name).bearer(&token(shape));
            if shape["kind"] == *kind {
                let reply = call.send(envoy.port()).await?;
                let echo = reply.echo().with_context(|| format!("{name}: {} {}", reply.status, reply.text()))?;
                ensure!(echo.told("kind") == [*kind] && echo.told("issuer") == [shape["preset"].as_str().unwrap_or_default()], "{name}");
                for member in ["subject", "client", "tenant"] {
                    let said: Vec<&str> = shape["says"][member].as_str().into_iter().collect();
                    ensure!(echo.told(member) == said, "{name}: {member} is {:?}, not {said:?}", echo.told(member));
                }
            } else {
                let reason = shape["reason"].as_str().unwrap_or("access_denied");
                let form = Form::Rpc(json!(name));
                refused(envoy, &call, reason, &form, &good(kind).context("a good token")?).await.with_context(|| name.to_owned())?;
            }
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("providers::a_token_of_each_shape_is_what_it_is", each_shape);
}
