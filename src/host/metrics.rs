//! Counters in Envoy's statistics, defined when they are first needed. Their number is bounded by the configuration:
//! agents times versions times bindings.

use crate::flow::Count;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Metric ids by what they count.
#[derive(Default)]
pub struct Counters(RefCell<BTreeMap<Count, u32>>);

impl Counters {
    /// Counts one.
    pub fn add(&self, count: Count) {
        let known = self.0.borrow().get(&count).copied();
        let id = known.or_else(|| {
            let id = hostcalls::define_metric(MetricType::Counter, &count.metric()).ok()?;
            self.0.borrow_mut().insert(count, id);
            Some(id)
        });
        if let Some(id) = id {
            // Statistics that cannot be written are no reason to stop.
            let _ = hostcalls::increment_metric(id, 1);
        }
    }
}
