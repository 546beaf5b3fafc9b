//! `make dashboard`: draws the pictures of the dashboard that the docs show, into `docs/images/`, from some minutes of traffic in which
//! things go wrong.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use attache_mesh::authorization::AuthorizationServer;
use attache_mesh::mesh::Mesh;
use attache_mesh::observed::{Kind, Observed, REST};
use attache_mesh::{drawn, place, process};

/// How long each part of the story is.
const PART: Duration = Duration::from_secs(30);
const ALL: [Kind; 6] = [Kind::Good, Kind::Good, Kind::Wrong, Kind::Opaque, Kind::Leaving, Kind::Users];

fn main() -> ExitCode {
    process::run_program(run())
}

async fn traffic(observed: &Observed, length: Duration, kinds: &[Kind]) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < length {
        for kind in kinds {
            observed.send(*kind).await?;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

async fn run() -> Result<ExitCode> {
    process::end_on_signal(130).await?;
    println!("Starting the mesh; logs are in {}", place::logs().display());
    let mesh = Mesh::start().await?;
    let authorization = AuthorizationServer::start("observed").await?;
    let observed = Observed::start(&mesh, &authorization).await?;
    println!("Sending traffic for 3 minutes");
    traffic(&observed, PART * 2, &ALL).await?;
    // Somebody tries bad tokens.
    traffic(&observed, PART, &[Kind::Good, Kind::Wrong, Kind::Wrong, Kind::Wrong, Kind::Leaving]).await?;
    // The authorization server is away, and nothing answers questions about tokens for a while.
    authorization.stop();
    observed.introspection.open(false);
    let opaque = async { tokio::join!(observed.send(Kind::Opaque), observed.send(Kind::Opaque), observed.send(Kind::Opaque)) };
    let others = async {
        let sent = traffic(&observed, PART / 5, &[Kind::Good, Kind::Leaving]).await;
        observed.introspection.open(true);
        sent
    };
    let _ = tokio::join!(opaque, others);
    traffic(&observed, PART, &[Kind::Good, Kind::Wrong, Kind::Opaque]).await?;
    authorization.start_again().await?;
    traffic(&observed, PART, &ALL).await?;
    for image in drawn::dashboard(&observed.prometheus, &place::root().join("docs/images"), 180, 15).await? {
        println!("{}: {} KB", image.display(), std::fs::metadata(&image)?.len().div_ceil(1024));
    }
    Ok(ExitCode::SUCCESS)
}
