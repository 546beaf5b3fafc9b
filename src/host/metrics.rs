//! Counters in Envoy's statistics, defined when they are first needed. Their number is bounded by the configuration:
//! agents times versions times bindings, and connections times their methods and outcomes.

use crate::flow::Count;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Metric ids by what they count.
#[derive(Default)]
pub struct Counters(RefCell<BTreeMap<Count, u32>>, RefCell<BTreeMap<String, u32>>);

impl Counters {
    /// Counts one credential that was attached.
    pub fn add_use(&self, connection: &str, method: &str, origin: &str) {
        let connection = plain(connection);
        let name = format!("attache_credentials.connection.=.{connection};.method.=.{method};.from.=.{origin};.total");
        if let Some(id) = self.id(MetricType::Counter, name) {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }

    /// Counts one request for a token, which took so many milliseconds.
    pub fn add_token_request(&self, connection: &str, method: &str, outcome: &str, millis: u64) {
        let connection = plain(connection);
        let labels = format!("connection.=.{connection};.method.=.{method};");
        if let Some(id) = self.id(MetricType::Counter, format!("attache_token_requests.{labels}.outcome.=.{outcome};.total")) {
            let _ = hostcalls::increment_metric(id, 1);
        }
        if let Some(id) = self.id(MetricType::Histogram, format!("attache_token_request_ms.{labels}.time")) {
            let _ = hostcalls::record_metric(id, millis);
        }
    }

    fn id(&self, kind: MetricType, name: String) -> Option<u32> {
        let known = self.1.borrow().get(&name).copied();
        known.or_else(|| {
            let id = hostcalls::define_metric(kind, &name).ok()?;
            self.1.borrow_mut().insert(name, id);
            Some(id)
        })
    }

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

/// A name as a label's value.
fn plain(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}
