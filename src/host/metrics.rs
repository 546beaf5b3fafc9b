//! Metrics in Envoy's statistics, defined when they are first needed. Their names and the bounds of their labels are
//! `flow::metric`'s; on top of that, a VM defines no more than [`MOST`] counters of decisions.

use crate::flow::metric::Count;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Most counters of decisions; what comes then is counted by the decision alone.
const MOST: usize = 4096;

/// Metric ids by what they measure. Statistics that cannot be written are no reason to stop.
#[derive(Default)]
pub struct Metrics {
    /// Counter and histogram.
    decisions: RefCell<BTreeMap<Count, (u32, u32)>>,
    /// By name, with the last value of gauges.
    others: RefCell<BTreeMap<String, (u32, u64)>>,
}

impl Metrics {
    /// Counts a decision that took so many microseconds.
    pub fn decided(&self, count: Count, microseconds: u64) {
        let count = match &*self.decisions.borrow() {
            known if known.len() < MOST || known.contains_key(&count) => count,
            _ => count.coarse(),
        };
        let known = self.decisions.borrow().get(&count).copied();
        let ids = known.or_else(|| {
            let counter = hostcalls::define_metric(MetricType::Counter, &count.counter()).ok()?;
            let histogram = self.id(MetricType::Histogram, &count.histogram())?;
            self.decisions.borrow_mut().insert(count, (counter, histogram));
            Some((counter, histogram))
        });
        if let Some((counter, histogram)) = ids {
            let _ = hostcalls::increment_metric(counter, 1);
            let _ = hostcalls::record_metric(histogram, microseconds);
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

    fn id(&self, kind: MetricType, name: &str) -> Option<u32> {
        if let Some((id, _)) = self.others.borrow().get(name) {
            return Some(*id);
        }
        let id = hostcalls::define_metric(kind, name).ok()?;
        self.others.borrow_mut().insert(name.to_owned(), (id, u64::MAX));
        Some(id)
    }
}
