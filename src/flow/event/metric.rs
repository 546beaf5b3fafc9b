//! What is counted and measured, and the names in Envoy's statistics. Labels stand in the names, in the form that
//! `stats_config.stats_tags` takes out again; every label has few values.

use crate::config::Config;
use crate::flow::event::call::Want;
use crate::flow::event::decision::Decision;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::protocol::{Binding, Operation, Version};
use std::cell::Cell;

/// What a counter of decisions counts: values of the configuration and of A2A, never of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// Where the request was going.
    pub target: Option<Target>,
    /// The version in force.
    pub version: Option<Version>,
    /// The binding.
    pub binding: Option<Binding>,
    /// The operation.
    pub operation: Option<Operation>,
    /// What was decided.
    pub decision: Decision,
    /// Why, if it was a refusal.
    pub reason: Option<Reason>,
}

impl Count {
    /// The same without what has many values, for when there are too many counters.
    #[must_use]
    pub const fn coarse(&self) -> Self {
        Self { target: None, version: None, binding: None, operation: None, decision: self.decision, reason: None }
    }

    /// The counter's name: `attache_decisions.agent.=.expense;.version.=.1_0;.binding.=.jsonrpc;…;.total`.
    #[must_use]
    pub fn counter(&self, config: &Config) -> String {
        format!(
            "attache_decisions.{}.version.=.{};.binding.=.{};.operation.=.{};.decision.=.{};.reason.=.{};.total",
            place(self.target, config),
            label(self.version.map_or("none", Version::as_str)),
            self.binding.map_or("none", Binding::name),
            self.operation.map_or("none", Operation::name),
            self.decision.name(),
            self.reason.map_or("none", Reason::code),
        )
    }
}

/// The name of the histogram of the times that such decisions took, in microseconds: by place and decision only.
#[must_use]
pub fn decision_time(target: Option<Target>, decision: Decision, config: &Config) -> String {
    format!("attache_decision.{}.decision.=.{};.microseconds", place(target, config), decision.name())
}

fn place(target: Option<Target>, config: &Config) -> String {
    let (kind, name) = match target {
        Some(Target::Agent(index)) => ("agent", config.agents.get(index).map(|agent| &agent.name)),
        Some(Target::Connection(index)) => ("connection", config.connections.get(index).map(|connection| &connection.name)),
        None => ("agent", None),
    };
    format!("{kind}.=.{};", label(name.map_or("none", String::as_str)))
}

/// The name of the counter of fetches like `want` that ended like this. `whose` it is: a label and its value.
#[must_use]
pub fn fetches(want: Want, whose: (&str, &str), succeeded: bool) -> String {
    let what = match want {
        Want::Keys(_) => "jwks",
        Want::Card(_) => "card",
        Want::Introspection(_) => "introspection",
        Want::Secret(_) => "secret",
        Want::Token(_) => "token",
        Want::RemoteCard(_) => "remote_card",
    };
    let outcome = if succeeded { "ok" } else { "failed" };
    format!("attache_{what}_fetches.{}.=.{};.outcome.=.{outcome};.total", whose.0, label(whose.1))
}

/// The name of the counter of credentials that were attached at a connection, by how it obtains them and where this one came from.
#[must_use]
pub fn credential_uses(connection: &str, method: &str, origin: &str) -> String {
    format!("attache_credentials.connection.=.{};.method.=.{method};.from.=.{origin};.total", label(connection))
}

/// The name of the counter of requests for tokens that ended like this.
#[must_use]
pub fn token_requests(connection: &str, method: &str, succeeded: bool) -> String {
    let outcome = if succeeded { "ok" } else { "failed" };
    format!("attache_token_requests.connection.=.{};.method.=.{method};.outcome.=.{outcome};.total", label(connection))
}

/// The name of the histogram of the times that they took, in milliseconds.
#[must_use]
pub fn token_request_time(connection: &str, method: &str) -> String {
    format!("attache_token_request_ms.connection.=.{};.method.=.{method};.time", label(connection))
}

/// The name of the gauge of the age of an issuer's keys, in seconds.
#[must_use]
pub fn keys_age(issuer: &str) -> String {
    format!("attache_jwks.issuer.=.{};.age_seconds", label(issuer))
}

/// Counts that are kept here and given to the host now and then, so that a request costs no host call for them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tokens that were known from an earlier request.
    pub remembered: Cell<u64>,
    /// Tokens that were not.
    pub examined: Cell<u64>,
    /// Bytes of bodies that were read.
    pub scanned: Cell<u64>,
}

impl Tally {
    /// Adds to one of them.
    pub fn add(count: &Cell<u64>, more: usize) {
        count.set(count.get().saturating_add(u64::try_from(more).unwrap_or(u64::MAX)));
    }

    /// What came since this was last asked, by counter.
    pub fn take(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("attache_tokens.cache.=.hit;.total", &self.remembered),
            ("attache_tokens.cache.=.miss;.total", &self.examined),
            ("attache_scan_bytes.total", &self.scanned),
        ]
        .map(|(name, count)| (name, count.take()))
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// `name` as the value of a label: what would end it is replaced.
fn label(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Binding, Count, Decision, Operation, Reason, Tally, Target, Version, decision_time, label};
    use crate::config::Config;
    use serde_json::json;

    #[test]
    fn labels_are_in_the_name_and_cannot_break_it() {
        let config = json!({"schemes": {"open": {"none": {}}}, "agents": [{"name": "a-1", "match": {"hosts": ["*"], "path_prefix": "/"},
            "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]}]});
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let count = Count {
            target: Some(Target::Agent(0)),
            version: Some(Version::V1_0),
            binding: Some(Binding::Jsonrpc),
            operation: Some(Operation::SendMessage),
            decision: Decision::Deny,
            reason: Some(Reason::TokenExpired),
        };
        assert_eq!(label("a;.b é"), "a__b__");
        assert_eq!(
            count.counter(&config),
            "attache_decisions.agent.=.a-1;.version.=.1_0;.binding.=.jsonrpc;.operation.=.SendMessage;.decision.=.deny;\
             .reason.=.token_expired;.total"
        );
        let time = decision_time(count.target, count.decision, &config);
        assert_eq!(time, "attache_decision.agent.=.a-1;.decision.=.deny;.microseconds");
        assert_eq!(
            count.coarse().counter(&config),
            "attache_decisions.agent.=.none;.version.=.none;.binding.=.none;.operation.=.none;.decision.=.deny;.reason.=.none;.total"
        );
    }

    #[test]
    fn a_tally_is_given_once() {
        let tally = Tally::default();
        Tally::add(&tally.scanned, 3);
        Tally::add(&tally.scanned, 4);
        assert_eq!(tally.take().collect::<Vec<_>>(), [("attache_scan_bytes.total", 7)]);
        assert_eq!(tally.take().count(), 0);
    }
}
