//! What is counted and measured, and the names in Envoy's statistics. Labels stand in the names as `label=.=value;.;`, the form that
//! Istio's proxies take out of names for each of their `extraStatTags`, and other Envoys by `stats_config.stats_tags`. Every label has few
//! values.

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

    /// The counter's name: `attache_decisions.agent=.=expense;.;version=.=1.0;.;binding=.=jsonrpc;.;…;.;total`.
    #[must_use]
    pub fn counter(&self, config: &Config) -> String {
        let labels = [
            place(self.target, config),
            ("version", self.version.map_or("none", Version::as_str)),
            ("binding", self.binding.map_or("none", Binding::name)),
            ("operation", self.operation.map_or("none", Operation::name)),
            ("decision", self.decision.name()),
            ("reason", self.reason.map_or("none", Reason::code)),
        ];
        named("attache_decisions.", &labels, "total")
    }
}

/// The labels that names here have.
pub const LABELS: [&str; 15] = [
    "agent",
    "connection",
    "webhook",
    "issuer",
    "scheme",
    "secret",
    "version",
    "binding",
    "operation",
    "decision",
    "reason",
    "outcome",
    "method",
    "from",
    "cache",
];

/// The name of a statistic that begins with `metric`, has `labels`, and says by `unit` what its numbers are.
fn named(metric: &str, labels: &[(&str, &str)], unit: &str) -> String {
    let mut name = metric.to_owned();
    for (label, value) in labels {
        debug_assert!(LABELS.contains(label), "{label} is not among the labels");
        name.push_str(label);
        name.push_str("=.=");
        name.extend(value.chars().map(safe));
        name.push_str(";.;");
    }
    name.push_str(unit);
    name
}

/// The name of the histogram of the times that such decisions took, in microseconds: by place and decision only.
#[must_use]
pub fn decision_time(target: Option<Target>, decision: Decision, config: &Config) -> String {
    named("attache_decision_duration.", &[place(target, config), ("decision", decision.name())], "microseconds")
}

fn place(target: Option<Target>, config: &Config) -> (&'static str, &str) {
    let (kind, name) = match target {
        Some(Target::Agent(index)) => ("agent", config.agents.get(index).map(|agent| &agent.name)),
        Some(Target::Connection(index)) => ("connection", config.connections.get(index).map(|connection| &connection.name)),
        Some(Target::Webhook(index)) => ("webhook", config.webhooks.get(index).map(|webhook| &webhook.name)),
        None => ("agent", None),
    };
    (kind, name.map_or("none", String::as_str))
}

/// The name of the counter of answers whose tasks wait for credentials.
#[must_use]
pub fn auth_required(target: Option<Target>, config: &Config) -> String {
    named("attache_auth_required.", &[place(target, config)], "total")
}

/// The name of the counter of fetches like `want` that ended like this. `whose` it is: a label and its value.
#[must_use]
pub fn fetches(want: Want, whose: (&str, &str), succeeded: bool) -> String {
    let metric = match want {
        Want::Keys(_) => "attache_jwks_fetches.",
        Want::Card(_) => "attache_card_fetches.",
        Want::Introspection(_) => "attache_introspection_fetches.",
        Want::Secret(_) => "attache_secret_fetches.",
        Want::Token(_) => "attache_token_fetches.",
        Want::RemoteCard(_) => "attache_remote_card_fetches.",
        Want::Grant(_) => "attache_grant_calls.",
        Want::Job(_) | Want::Server(_) => "attache_consent_calls.",
    };
    named(metric, &[whose, outcome(succeeded)], "total")
}

const fn outcome(succeeded: bool) -> (&'static str, &'static str) {
    ("outcome", if succeeded { "ok" } else { "failed" })
}

/// The name of the counter of credentials that were attached at a connection, by how it obtains them and where this one came from.
#[must_use]
pub fn credential_uses(connection: &str, method: &str, origin: &str) -> String {
    named("attache_credentials.", &[("connection", connection), ("method", method), ("from", origin)], "total")
}

/// The name of the counter of answers of users who were asked to agree.
#[must_use]
pub fn consents(connection: &str, outcome: &str) -> String {
    named("attache_consents.", &[("connection", connection), ("outcome", outcome)], "total")
}

/// The name of the counter of links in answers of a remote agent whose tasks wait for credentials.
#[must_use]
pub fn remote_links(connection: &str, outcome: &str) -> String {
    named("attache_remote_links.", &[("connection", connection), ("outcome", outcome)], "total")
}

/// The name of the counter of requests for tokens that ended like this.
#[must_use]
pub fn token_requests(connection: &str, method: &str, succeeded: bool) -> String {
    named("attache_token_requests.", &[("connection", connection), ("method", method), outcome(succeeded)], "total")
}

/// The name of the histogram of the times that they took, in milliseconds.
#[must_use]
pub fn token_request_time(connection: &str, method: &str) -> String {
    named("attache_token_request_duration.", &[("connection", connection), ("method", method)], "milliseconds")
}

/// The version of the filter, as its Cargo.toml has it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name of the gauge that is 1 while this version runs.
pub const BUILD_INFO: &str = concat!("attache_build.version=.=", env!("CARGO_PKG_VERSION"), ";.;info");

/// The name of the gauge of the age of an issuer's keys, in seconds.
#[must_use]
pub fn keys_age(issuer: &str) -> String {
    named("attache_jwks_age.", &[("issuer", issuer)], "seconds")
}

/// The gauge of the requests that wait before their sender is known: the sum of what each worker says.
pub const WAITING: &str = "attache_waiting.requests";

/// The gauge of the places that there are for them, summed likewise.
pub const PLACES: &str = "attache_waiting.places";

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
            ("attache_tokens.cache=.=hit;.;total", &self.remembered),
            ("attache_tokens.cache=.=miss;.;total", &self.examined),
            ("attache_scan_bytes.total", &self.scanned),
        ]
        .map(|(name, count)| (name, count.take()))
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// `letter` in the value of a label: itself, unless it could end the value, or the whole name in the protocol of StatsD.
fn safe(letter: char) -> char {
    match letter {
        ';' | '=' | ':' | '|' | '#' | '@' => '_',
        '!'..='~' => letter,
        _ if letter.is_ascii() || letter.is_control() || letter.is_whitespace() => '_',
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        BUILD_INFO, Binding, Count, Decision, LABELS, Operation, Reason, Tally, Target, VERSION, Version, Want, auth_required,
        credential_uses, decision_time, fetches, keys_age, token_request_time, token_requests,
    };
    use crate::config::Config;
    use serde_json::json;

    /// What a proxy makes of `name` by Istio's expression for each label, `(label=\.=(.*?);\.;)`: the name without labels, and the labels.
    fn taken_apart(name: &str) -> (String, Vec<(&'static str, String)>) {
        let (mut rest, mut labels) = (name.to_owned(), Vec::new());
        for label in LABELS {
            // Each is looked for in the whole name.
            let Some((_, behind)) = name.split_once(&format!("{label}=.=")) else { continue };
            let (value, _) = behind.split_once(";.;").unwrap();
            rest = rest.replacen(&format!("{label}=.={value};.;"), "", 1);
            labels.push((label, value.to_owned()));
        }
        (rest, labels)
    }

    fn named(agent: &str) -> Config {
        let config = json!({"schemes": {"open": {"none": {}}}, "agents": [{"name": agent, "match": {"hosts": ["*"], "path_prefix": "/"},
            "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]}]});
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    const COUNT: Count = Count {
        target: Some(Target::Agent(0)),
        version: Some(Version::V1_0),
        binding: Some(Binding::Jsonrpc),
        operation: Some(Operation::SendMessage),
        decision: Decision::Deny,
        reason: Some(Reason::TokenExpired),
    };

    #[test]
    fn labels_are_in_the_name_with_their_true_values() {
        let config = named("a-1");
        assert_eq!(
            COUNT.counter(&config),
            "attache_decisions.agent=.=a-1;.;version=.=1.0;.;binding=.=jsonrpc;.;operation=.=SendMessage;.;decision=.=deny;.;\
             reason=.=token_expired;.;total"
        );
        let time = decision_time(COUNT.target, COUNT.decision, &config);
        assert_eq!(time, "attache_decision_duration.agent=.=a-1;.;decision=.=deny;.;microseconds");
        assert_eq!(taken_apart(&COUNT.coarse().counter(&config)).1[0], ("agent", "none".to_owned()));
        for (name, shown) in [
            (time, "attache_decision_duration.microseconds"),
            (COUNT.counter(&config), "attache_decisions.total"),
            (auth_required(COUNT.target, &config), "attache_auth_required.total"),
            (keys_age("i"), "attache_jwks_age.seconds"),
            (fetches(Want::Keys(0), ("issuer", "i"), true), "attache_jwks_fetches.total"),
            (credential_uses("c", "header", "secret"), "attache_credentials.total"),
            (token_requests("c", "client_credentials", false), "attache_token_requests.total"),
            (token_request_time("c", "client_credentials"), "attache_token_request_duration.milliseconds"),
        ] {
            assert_eq!(taken_apart(&name).0, shown, "{name}");
        }
    }

    #[test]
    fn the_version_is_a_label_that_is_written_as_any_other() {
        assert_eq!(BUILD_INFO, super::named("attache_build.", &[("version", VERSION)], "info"));
        assert_eq!(taken_apart(BUILD_INFO), ("attache_build.info".to_owned(), vec![("version", VERSION.to_owned())]));
    }

    #[test]
    fn no_name_of_the_configuration_breaks_the_labels() {
        for (name, shown) in [
            ("expense.eu/v1", "expense.eu/v1"),
            ("rechnungsprüfung", "rechnungsprüfung"),
            ("a;.;version=.=9;.;b", "a_._version_._9_._b"),
            ("version=.=", "version_._"),
            ("a;.", "a_."),
            ("..", ".."),
            ("a:1|c|#b@x y\n\u{85}\u{2028}", "a_1_c__b_x_y___"),
            ("reason", "reason"),
        ] {
            let config = named(name);
            let (rest, labels) = taken_apart(&COUNT.counter(&config));
            let values: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(
                (rest.as_str(), values),
                ("attache_decisions.total", vec![shown, "1.0", "jsonrpc", "SendMessage", "deny", "token_expired"])
            );
        }
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
