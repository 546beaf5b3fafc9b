//! Metrics in Envoy's statistics, defined when they are first needed. Their names and the bounds of their labels are
//! `flow::metric`'s. What each request counts is kept here and handed over on the next tick: see [`Metrics::flush`].

use crate::config::Config;
use crate::flow::event::decision::Decision;
use crate::flow::event::ledger::Ledger;
use crate::flow::event::metric::{Count, decision_time};
use crate::flow::event::target::Target;
use crate::wire::sorted::SortedMap;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::{Cell, RefCell};

/// Metric ids by what they measure. Statistics that cannot be written are no reason to stop.
#[derive(Default)]
pub struct Metrics {
    ledger: RefCell<Ledger>,
    counters: RefCell<SortedMap<Count, u32>>,
    histograms: RefCell<SortedMap<(Option<Target>, Decision), u32>>,
    /// What is to be added to other counters, by name.
    added: RefCell<SortedMap<String, u64>>,
    /// By name, with the last value of gauges.
    others: RefCell<SortedMap<String, (u32, u64)>>,
    /// No tick comes any more: nothing is kept.
    ended: Cell<bool>,
}

impl Metrics {
    /// Counts a decision that took so many microseconds.
    pub fn decided(&self, count: Count, microseconds: u64, config: Option<&Config>) {
        let is_full = self.ledger.borrow_mut().decided(count, microseconds);
        if let Some(config) = config.filter(|_| is_full || self.ended.get()) {
            self.flush(config);
        }
    }

    /// Adds one to the counter `name`, with the next tick.
    pub fn count(&self, name: String) {
        let mut added = self.added.borrow_mut();
        match added.get_mut(&name) {
            Some(more) => *more = more.saturating_add(1),
            None => drop(added.insert(name, 1)),
        }
        drop(added);
        if self.ended.get() {
            self.flush_added();
        }
    }

    /// Hands over all that is kept.
    pub fn flush(&self, config: &Config) {
        let mut ledger = self.ledger.borrow_mut();
        for (count, more) in ledger.take_counts() {
            let known = self.counters.borrow().get(&count).copied();
            let id = known.or_else(|| {
                let id = hostcalls::define_metric(MetricType::Counter, &count.counter(config)).ok()?;
                self.counters.borrow_mut().insert(count, id);
                Some(id)
            });
            if let (Some(id), Ok(more)) = (id, i64::try_from(more)) {
                let _ = hostcalls::increment_metric(id, more);
            }
        }
        for time in ledger.take_times() {
            let known = self.histograms.borrow().get(&(time.target, time.decision)).copied();
            let id = known.or_else(|| {
                let name = decision_time(time.target, time.decision, config);
                let id = hostcalls::define_metric(MetricType::Histogram, &name).ok()?;
                self.histograms.borrow_mut().insert((time.target, time.decision), id);
                Some(id)
            });
            if let Some(id) = id {
                let _ = hostcalls::record_metric(id, time.microseconds);
            }
        }
        drop(ledger);
        self.flush_added();
    }

    /// Hands over all that is kept, and keeps nothing from now on.
    pub fn end(&self, config: &Config) {
        self.flush(config);
        self.ended.set(true);
    }

    fn flush_added(&self) {
        for (name, more) in std::mem::take(&mut *self.added.borrow_mut()) {
            self.add(&name, more);
        }
    }

    /// Adds to the counter `name`.
    pub fn add(&self, name: &str, more: u64) {
        if let (Some(id), Ok(more)) = (self.id(MetricType::Counter, name), i64::try_from(more)) {
            let _ = hostcalls::increment_metric(id, more);
        }
    }

    /// Takes a measurement into the histogram `name`.
    pub fn record(&self, name: &str, value: u64) {
        if let Some(id) = self.id(MetricType::Histogram, name) {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    /// Sets the gauge `name`, if it has changed.
    pub fn set(&self, name: &str, value: u64) {
        let Some(id) = self.id(MetricType::Gauge, name) else { return };
        // No gauge begins with this value.
        let last = self.others.borrow_mut().insert(name.to_owned(), (id, value)).map_or(u64::MAX, |(_, last)| last);
        if last != value {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    /// Makes `value` this worker's part of the gauge `name`, which is the sum of all workers' parts.
    pub fn contribute(&self, name: &str, value: usize) {
        let Some(id) = self.id(MetricType::Gauge, name) else { return };
        let value = value as u64;
        let last = self.others.borrow_mut().insert(name.to_owned(), (id, value)).map_or(u64::MAX, |(_, last)| last);
        // It has no part of it yet.
        let last = if last == u64::MAX { 0 } else { last };
        if last != value {
            let _ = hostcalls::increment_metric(id, value.wrapping_sub(last).cast_signed());
        }
    }

    fn id(&self, kind: MetricType, name: &str) -> Option<u32> {
        if let Some((id, _)) = self.others.borrow().get(name) {
            return Some(*id);
        }
        let id = hostcalls::define_metric(kind, name).ok()?;
        self.others.borrow_mut().insert(name.to_owned(), (id, u64::MAX));
        Some(id)
    }
}
