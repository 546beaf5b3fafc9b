//! Configuration that changes while Envoy serves (listeners from a watched file): a bad one changes nothing, a good one is taken.

use std::time::Duration;

use anyhow::ensure;
use attache_mesh::live::Live;
use attache_mesh::mesh::send_1_0;
use attache_mesh::refusal::{self, Form};
use attache_mesh::wait;
use serde_json::json;

use crate::suite::{Suite, works};

pub fn add(suite: &mut Suite) {
    suite.add("live_update::a_bad_one_is_rejected_and_the_old_one_serves_on", async |mesh| {
        let token = mesh.token().await?;
        let live = Live::start(mesh, "live-bad").await?;
        works(live.envoy.port(), &token).await?;
        live.change(|plugin| plugin["agents"][0]["security"] = json!([]))?;
        live.envoy.stat_reaches("listener_manager.lds.update_rejected", 1).await?;
        live.envoy.logged(&["attache: configuration refused: agents[0].security: "]).await?;
        works(live.envoy.port(), &token).await?;
        refusal::check(&send_1_0("x").send(live.envoy.port()).await?, "credentials_missing", &Form::Rpc(json!("x")))?;
        // And it can be repaired.
        live.change(|plugin| plugin["agents"][0]["name"] = json!("renamed"))?;
        wait::until("the repaired configuration", Duration::from_secs(20), async || {
            let echo = works(live.envoy.port(), &token).await?.echo();
            Ok(echo.is_some_and(|echo| echo.told("agent") == ["renamed"]).then_some(()))
        })
        .await
    });
    suite.add("live_update::a_good_one_is_taken_without_losing_a_request", async |mesh| {
        let token = mesh.token().await?;
        let live = Live::start(mesh, "live-good").await?;
        works(live.envoy.port(), &token).await?;
        live.change(|plugin| plugin["agents"][0]["security"] = json!([{"oauth2": ["agent:admin"]}]))?;
        wait::until("the new configuration", Duration::from_secs(20), async || {
            let reply = send_1_0("x").bearer(&token).send(live.envoy.port()).await?;
            if reply.status == 200 {
                return Ok(None);
            }
            refusal::check(&reply, "insufficient_scope", &Form::Rpc(json!("x")))?;
            Ok(Some(()))
        })
        .await?;
        ensure!(live.envoy.stat("listener_manager.lds.update_rejected").await? == 0, "an update was rejected");
        let admin = mesh.authorization.token(&mesh.audience, "agent:read agent:admin").await?;
        works(live.envoy.port(), &admin).await?;
        Ok(())
    });
}
