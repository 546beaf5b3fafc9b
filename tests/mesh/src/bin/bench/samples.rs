//! All samples of the interleaved rounds, and what they say of a row: its cost over the bare router, and that as a part of another's.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::kind::Kind;
use crate::load::Sample;
use crate::rows::Row;
use crate::spread::Spread;

/// A row under a load.
pub type Cell = (Kind, Row);

/// All samples, in the order of the rounds.
#[derive(Default)]
pub struct Samples {
    samples: Vec<(Cell, Sample)>,
}

impl Samples {
    /// Adds what one visit of a row saw.
    pub fn add(&mut self, cell: Cell, sample: Sample) {
        self.samples.push((cell, sample));
    }

    /// CPU time per request in microseconds, by round.
    pub fn per_request(&self, cell: Cell) -> Vec<f64> {
        self.samples.iter().filter(|(found, _)| *found == cell).map(|(_, sample)| sample.cost()).collect()
    }

    /// What a row adds to the bare router under the same load, by round.
    pub fn added(&self, (kind, row): Cell) -> Vec<f64> {
        let bare = self.per_request((kind, if row.is_outbound() { Row::OutboundBare } else { Row::Bare }));
        self.per_request((kind, row)).iter().zip(bare).map(|(row, bare)| row - bare).collect()
    }

    /// The median of what a row adds.
    pub fn cost(&self, cell: Cell) -> Result<Spread> {
        Spread::of(self.added(cell)).with_context(|| format!("no samples of {}, {}", cell.1.title(), cell.0.title()))
    }

    /// What `of` adds as a part of what `by` adds: round by round, since a round's noise is in both.
    pub fn relative(&self, of: Cell, by: Cell) -> Result<Spread> {
        let rounds = self.added(of).into_iter().zip(self.added(by)).map(|(of, by)| of / by);
        Spread::of(rounds).with_context(|| format!("no samples of {}, {}", of.1.title(), of.0.title()))
    }

    /// How far from 1 the part can be that a row is of itself: noise.
    pub fn noise(&self, kind: Kind, row: Row, again: Row) -> Result<f64> {
        Ok(self.relative((kind, again), (kind, row))?.off(1.0))
    }

    /// All of them, one batch a line: load, row, round and CPU time for each request in microseconds.
    pub fn csv(&self) -> String {
        let mut text = String::from("load,row,visit,cpu_us\n");
        for (visit, ((kind, row), sample)) in self.samples.iter().enumerate() {
            for cost in sample.costs() {
                let _ = writeln!(text, "{kind:?},{row:?},{visit},{cost:.1}");
            }
        }
        text
    }

    /// The smallest share of its time that Envoy was busy for in any sample.
    pub fn least_busy(&self) -> f64 {
        let busy = self.samples.iter().map(|(_, sample)| sample.batches.iter().sum::<Duration>().as_secs_f64() / sample.wall.as_secs_f64());
        busy.fold(f64::INFINITY, f64::min)
    }
}
