//! The interleaved rounds: every load and every row that the parts want to see, one after the other, again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attache_mesh::envoy::Envoy;

use crate::check::{self, Checks};
use crate::cpu::{self, Clock};
use crate::kind::{Kind, Loads};
use crate::load::{self, Load, Visited};
use crate::outbound;
use crate::part::Part;
use crate::rows::{Base, Row};
use crate::samples::Samples;

/// A running row, and what it is to be sent.
struct Target {
    row: Row,
    envoy: Envoy,
    clock: Clock,
    loads: Vec<(Kind, Arc<Load>)>,
}

/// Starts all rows that `parts` want, checks that each does its work, and visits them in `rounds` rounds.
pub async fn measure(rounds: usize, seconds: f64, parts: &[Part], base: &Base, loads: &Loads, checks: &Checks<'_>) -> Result<Samples> {
    let begin = Instant::now();
    let mut targets = Vec::new();
    for row in Row::ALL {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.rows(parts).contains(&row)).collect();
        if !kinds.is_empty() {
            targets.push(start(row, &kinds, base, loads, checks).await?);
        }
    }
    eprintln!("{} Envoys run and do their work, {} s", targets.len(), begin.elapsed().as_secs());
    cpu::separate(&targets.iter().map(|target| target.envoy.process().pid()).collect::<Vec<_>>())?;
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for kind in Kind::ALL {
            let (mut rows, mut visited) = (Vec::new(), Vec::new());
            for target in &targets {
                let Some((_, load)) = target.loads.iter().find(|(found, _)| *found == kind) else { continue };
                let name = format!("{}, {}", target.row.title(), kind.title());
                visited.push(Visited { name, port: target.envoy.port(), load, clock: target.clock });
                rows.push(target.row);
            }
            for (row, sample) in rows.into_iter().zip(load::round(&visited, Duration::from_secs_f64(seconds)).await?) {
                samples.add((kind, row), sample);
            }
        }
        eprintln!("round {round} of {rounds}, {} s", begin.elapsed().as_secs());
    }
    for target in &targets {
        check::caches(target.row, &target.envoy).await?;
    }
    Ok(samples)
}

async fn start(row: Row, kinds: &[Kind], base: &Base, loads: &Loads, checks: &Checks<'_>) -> Result<Target> {
    let envoy = row.start(base).await?;
    if row.is_outbound() {
        outbound::check(row, &envoy, &loads.body(Kind::Outbound)?).await?;
    } else {
        checks.run(row, &envoy).await?;
    }
    let mut own = Vec::new();
    for kind in kinds {
        let load = loads.of(*kind)?;
        // New tokens must stay new.
        if *kind != Kind::FirstSight {
            load::each_token_once(envoy.port(), &load).await.with_context(|| format!("{}, {}", row.title(), kind.title()))?;
        }
        own.push((*kind, load));
    }
    Ok(Target { row, clock: Clock::of(envoy.process().pid())?, envoy, loads: own })
}
