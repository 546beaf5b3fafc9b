//! `make tck TCK=DIR`: a checkout of the official TCK (`a2aproject/a2a-tck`) plays its tests against one agent three times:
//! directly, through the filter with the TCK's own credential, and through the filter where Envoy lends the credential to calls
//! that bring none. A test that passes directly must pass one of the other two.

mod compare;
mod kit;
mod proxy;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use attache_mesh::place;
use attache_mesh::process;

use crate::kit::{Kit, Run};

fn main() -> ExitCode {
    process::run_program(run())
}

async fn run() -> Result<ExitCode> {
    process::end_on_signal(130).await?;
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name the folder with the TCK: make tck TCK=folder")?;
    let kit = Kit::find(folder.as_ref(), arguments.collect())?;
    println!("TCK for A2A {}; logs are in {}", kit.version, place::logs().display());
    let agent = kit.agent().await?;
    let mut runs = vec![kit.play(Run::Direct, &agent.url).await?];
    for run in [Run::Own, Run::Lent] {
        let proxy = proxy::start(run, &kit, &agent).await?;
        runs.push(kit.play(run, &proxy.url).await?);
    }
    let [direct, own, lent] = runs.as_slice() else { bail!("not three runs") };
    let report = compare::report(direct, own, lent);
    println!("{}", report.text);
    Ok(if report.lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
