//! The tour of `make run` comes out as stated.

use anyhow::ensure;
use attache_mesh::{matrix, report, tour};

use crate::suite::Suite;

pub fn add(suite: &mut Suite) {
    suite.add("tour::every_call_comes_out_as_stated", async |mesh| {
        let tour::Tour { rows, log } = tour::play_all(mesh).await?;
        matrix::note_tour(rows.iter().filter(|row| row.holds()).count(), rows.len());
        ensure!(rows.len() >= 35 && rows.iter().all(tour::Row::holds), "\n{}", report::table(&rows));
        let records = report::records(&log);
        for part in
            ["\"decision\":\"allow\"", "\"client\":\"guest\"", "\"reason\":\"token_expired\"", "\"client\":\"desk\"", "\"kind\":\"user\""]
        {
            ensure!(records.contains(part), "no {part} in {records}");
        }
        let commands = report::commands(mesh).await?;
        ensure!(commands.matches("curl -s").count() == 3, "{commands}");
        Ok(())
    });
}
