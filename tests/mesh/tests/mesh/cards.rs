//! Agent cards: found below the agent's prefix, open or not as configured, in the version asked for.

use anyhow::{Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};

use crate::suite::{Suite, works};

fn card() -> Call {
    Call::get(format!("{AGENT}/.well-known/agent-card.json"))
}

fn is_1_0(card: &Value) -> bool {
    card["supportedInterfaces"].is_array()
}

async fn with_access(mesh: &Mesh, access: &str) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["card"] = json!({"access": access}))?;
    Envoy::start(&format!("card-{access}"), &file, Options::default()).await
}

pub fn add(suite: &mut Suite) {
    suite.add("cards::public_ones_need_no_token", async |mesh| {
        let envoy = with_access(mesh, "public").await?;
        let reply = card().send(envoy.port()).await?;
        ensure!(reply.status == 200 && !is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        let reply = card().version("1.0").send(envoy.port()).await?;
        ensure!(reply.status == 200 && is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        ensure!(reply.text().contains(&mesh.url()), "the card states the public URL: {}", reply.text());
        let reply = card().version("9.9").send(envoy.port()).await?;
        refusal::check(&reply, "version_not_supported", &Form::Status)
    });
    suite.add("cards::authenticated_ones_need_one", async |mesh| {
        let envoy = with_access(mesh, "authenticated").await?;
        let reply = card().send(envoy.port()).await?;
        refusal::check(&reply, "credentials_missing", &Form::Status)?;
        let reply = card().bearer("a.b.c").send(envoy.port()).await?;
        ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        let reply = card().bearer(&mesh.token().await?).version("1.0").send(envoy.port()).await?;
        ensure!(reply.status == 200 && is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("cards::a_get_with_a_body_is_still_a_get", async |mesh| {
        let token = mesh.token().await?;
        let port = mesh.inbound.port();
        let call = card().bearer(&token).version("1.0").body("{\"jsonrpc\":\"2.0\",\"method\":\"SendMessage\"}");
        for reply in [call.send(port).await?, raw::http2(port, &call, 1, &[]).await?] {
            ensure!(reply.status == 200 || reply.reason().is_some(), "{} {}", reply.status, reply.text());
        }
        works(port, &token).await?;
        Ok(())
    });
}
