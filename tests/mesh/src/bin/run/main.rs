//! `make run`: the mesh in the foreground, the tour, three commands to paste. With `ONCE=1` it ends after the tour, with
//! a failure status if any call came out otherwise than stated.

use std::process::ExitCode;

use anyhow::Result;
use attache_mesh::mesh::Mesh;
use attache_mesh::process;
use attache_mesh::tour::{self, Tour};
use attache_mesh::{place, report};

fn main() -> ExitCode {
    process::run_program(run())
}

async fn run() -> Result<ExitCode> {
    let once = std::env::var("ONCE").is_ok_and(|value| !value.is_empty() && value != "0");
    // Ctrl-C is how a mesh that stays up is ended, so it is no failure there.
    process::end_on_signal(if once { 130 } else { 0 }).await?;
    println!("Starting the mesh; logs are in {}", place::logs().display());
    let mesh = Mesh::start().await?;
    println!("\n{}", report::places(&mesh));
    let Tour { rows, log } = tour::play_all(&mesh).await?;
    println!("{}", report::table(&rows));
    println!("The records that the calls to the agent left, of each kind the first:\n{}", report::records(&log));
    let wrong: Vec<_> = rows.iter().filter(|row| !row.holds()).collect();
    for row in &wrong {
        println!("Not as stated: {} ({}): {:?}, stated {:?}", row.call, row.caller, row.seen, row.stated);
    }
    if once {
        println!("{} of {} calls came out as stated.", rows.len() - wrong.len(), rows.len());
        return Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("{}", report::commands(&mesh).await?);
    println!("The mesh stays up until Ctrl-C.");
    std::future::pending().await
}
