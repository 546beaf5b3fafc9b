//! Request headers by which Envoy (1.36 to 1.40) lets a request choose its route, cluster, host, retries or timeouts, or fail on
//! purpose. A client that may send them decides in the place of the operator: where a credential goes, how long and how often an
//! agent is called. Envoy itself drops some of them, but only with `use_remote_address` and only from addresses that it takes for
//! external ones, and not that of an ORIGINAL_DST cluster.

/// What begins so is Envoy's. Names that Envoy does not have today count too.
const PREFIX: &str = "x-envoy-";

/// The known ones, and what each does. Without [`PREFIX`].
const STEERING: [(&str, &str); 27] = [
    ("original-dst-host", "an ORIGINAL_DST cluster with use_http_header connects to the address in it"),
    ("retry-on", "when the router retries, whatever the route says"),
    ("retry-grpc-on", "the same by gRPC status"),
    ("max-retries", "how often the router retries"),
    ("retriable-status-codes", "by which statuses it does"),
    ("retriable-header-names", "by which response headers it does"),
    ("hedge-on-per-try-timeout", "a second attempt goes out while the first still runs"),
    ("is-timeout-retry", "marks an attempt as one of a hedge"),
    ("attempt-count", "tells servers, and route matches, that this is a retry"),
    ("upstream-rq-timeout-ms", "the timeout of the whole request, in place of the route's"),
    ("upstream-rq-per-try-timeout-ms", "the timeout of one attempt"),
    ("upstream-rq-timeout-alt-response", "answers 204 in place of 504"),
    ("upstream-stream-duration-ms", "the longest time of a stream"),
    ("expected-rq-timeout-ms", "the same as upstream-rq-timeout-ms where a route has respect_expected_rq_timeout"),
    ("upstream-alt-stat-name", "adds statistics under names of the client's choice, without bound"),
    ("fault-abort-request", "the fault filter answers with this status"),
    ("fault-abort-request-percentage", "how often it does"),
    ("fault-abort-grpc-request", "the same with a gRPC status"),
    ("fault-delay-request", "the fault filter waits as long"),
    ("fault-delay-request-percentage", "how often it does"),
    ("fault-throughput-response", "the fault filter slows the answer down"),
    ("fault-throughput-response-percentage", "how often it does"),
    ("force-trace", "each hop traces the request in full"),
    ("ip-tags", "routes can match what the IP tagging filter says"),
    ("original-url", "says that Envoy followed a redirect, and from where: with what stood in the query there"),
    ("original-method", "says with which method"),
    ("not-forwarded", "said between Envoys, never by clients"),
];

/// What Envoy, or a filter of Istio, writes itself before a filter of ours sees the request. Nothing in it decides where a request
/// goes, and access logs use it.
const REPORTED: [&str; 9] = [
    "external-address",
    "internal",
    "downstream-service-cluster",
    "downstream-service-node",
    "decorator-operation",
    "peer-metadata",
    "peer-metadata-id",
    // These tell another path and host; they go from every request, see `flow::head`.
    "original-path",
    "original-host",
];

const fn folded(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Whether the header `name` steers Envoy, also spelled with `_` for `-`, as a server or a filter behind may read it. What
/// begins like Envoy's own and is not known to be harmless does.
#[must_use]
pub fn is_steering(name: &str) -> bool {
    let mut given = name.bytes().map(folded);
    // Nearly all names are told apart by their beginning.
    if !PREFIX.bytes().all(|byte| given.next() == Some(byte)) {
        return false;
    }
    let rest = given;
    !REPORTED.iter().any(|own| rest.clone().eq(own.bytes()))
}

/// What the header `name` does, if that is known.
#[must_use]
pub fn effect(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix(PREFIX)?;
    STEERING.iter().find(|(own, _)| *own == rest).map(|(_, effect)| *effect)
}

/// The known headers, with what each does.
pub fn known() -> impl Iterator<Item = (String, &'static str)> {
    STEERING.into_iter().map(|(name, effect)| (format!("{PREFIX}{name}"), effect))
}

#[cfg(test)]
mod tests {
    use super::{is_steering, known};

    #[test]
    fn what_steers_envoy_is_told_from_what_it_reports() {
        for (name, _) in known() {
            assert!(is_steering(&name), "{name}");
            assert!(is_steering(&name.replace('-', "_")), "{name}");
        }
        for name in ["x-envoy-", "x_envoy_max-retries", "x-envoy-of-a-later-version", "x-envoy-internals"] {
            assert!(is_steering(name), "{name}");
        }
        for name in ["x-envoy-external-address", "x-envoy-internal", "x-envoy", "x-request-id", "grpc-timeout", "x-forwarded-for", ""] {
            assert!(!is_steering(name), "{name}");
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn the_list_is_documented() {
        let docs = include_str!("../../docs/configuration.md");
        for (name, effect) in known() {
            assert!(docs.contains(&format!("| `{name}` | {effect} |")), "{name}");
        }
    }
}
