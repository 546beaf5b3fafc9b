//! `make run`: the mesh in the foreground, the tour, a page that shows both, three commands to paste. With `ONCE=1` it ends after the
//! tour, without a page, with a failure status if any call came out otherwise than stated.

use std::process::ExitCode;

use anyhow::Result;
use attache_mesh::mesh::Mesh;
use attache_mesh::page::Page;
use attache_mesh::process;
use attache_mesh::tour::{self, Program, Tour};
use attache_mesh::{place, report};

fn main() -> ExitCode {
    process::run_program(run())
}

async fn run() -> Result<ExitCode> {
    let once = std::env::var("ONCE").is_ok_and(|value| !value.is_empty() && value != "0");
    // Ctrl-C is how a mesh that stays up is ended, so it is no failure there.
    process::end_on_signal(if once { 130 } else { 0 }).await?;
    let page = if once { None } else { Some(Page::open().await?) };
    if let Some(page) = &page {
        println!("The page of this mesh, which shows the tour as it passes and sends calls of yours: {}", page.url());
    }
    println!("Starting the mesh; logs are in {}", place::logs().display());
    // It stays until this program ends, which ends all that belongs to it.
    let mesh: &'static Mesh = Box::leak(Box::new(Mesh::start().await?));
    println!("\n{}", report::places(mesh));
    let Tour { rows, log } = match &page {
        None => tour::play_all(mesh).await?,
        Some(page) => {
            page.stand(Program::start(mesh).await?)?;
            Tour { rows: page.play_tour().await?, log: page.log() }
        }
    };
    println!("{}", report::table(&rows));
    println!("The records that the calls to the agent left, of each kind the first:\n{}", report::records(&log));
    let wrong: Vec<_> = rows.iter().filter(|row| !row.holds()).collect();
    for row in &wrong {
        println!("Not as stated: {} ({}): {:?}, stated {:?}", row.call, row.caller, row.seen, row.stated);
    }
    let Some(page) = page else {
        println!("{} of {} calls came out as stated.", rows.len() - wrong.len(), rows.len());
        return Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    println!("{}", report::commands(mesh).await?);
    println!("{}", page.agreeing().await?);
    println!("The mesh stays up until Ctrl-C. Its page: {}", page.url());
    std::future::pending().await
}
