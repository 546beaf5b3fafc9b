//! Headers that mean something already: to servers, to proxies, to browsers, or in HTTP itself. No single header of a caller may have
//! such a name, also where `_` is read as `-`.

use super::IDENTITY_HEADER;

/// Headers that have a meaning already: to servers, to proxies, or in HTTP itself.
const TAKEN: [&str; 50] = [
    "age",
    "authentication-info",
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "cdn-loop",
    "connection",
    "cookie",
    "cookie2",
    "date",
    "digest",
    "dpop",
    "early-data",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "last-event-id",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "server",
    "set-cookie",
    "signature",
    "signature-input",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "x-client-trace-id",
    "x-real-ip",
    "x-request-id",
];
/// What begins so has.
const TAKEN_BEGIN: [&str; 17] = [
    "a2a-",
    "accept",
    "access-control-",
    "content-",
    "grpc-",
    "if-",
    "proxy-",
    "sec-",
    "www-",
    "x-a2a-",
    "x-b3-",
    "x-envoy-",
    "x-http-",
    "x-istio-",
    "x-method-",
    "x-original-",
    "x-rewrite-",
];
/// Of what begins with `x-forwarded-`, these say who is signed in. The rest says where a request came from.
const FORWARDED: [&str; 4] = ["user", "email", "groups", "preferred-username"];

/// Whether a header of this name means something to others, also where they read `_` as `-`.
#[must_use]
pub fn is_taken(name: &str) -> bool {
    let name = folded(name);
    TAKEN.contains(&name.as_str())
        || TAKEN_BEGIN.iter().any(|start| name.starts_with(start))
        || is_ours(&name)
        || name.strip_prefix("x-forwarded-").is_some_and(|rest| !FORWARDED.contains(&rest))
}

/// Whether a name is [`IDENTITY_HEADER`] or begins with it and `-`.
pub(super) fn is_ours(name: &str) -> bool {
    folded(name).strip_prefix(IDENTITY_HEADER).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// `name` with `-` for `_`, as CGI and its heirs read headers.
pub(super) fn folded(name: &str) -> String {
    name.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::{is_ours, is_taken};

    #[test]
    fn names_with_a_meaning_are_taken() {
        let taken = "authorization proxy-authorization cookie set-cookie host content-type content_length content-encoding connection keep-alive te trailer transfer-encoding upgrade proxy-connection http2-settings a2a-version a2a_version a2a-extensions x-a2a-extensions x-attache x_attache x-attache-user x-envoy-max-retries x_envoy_internal x-forwarded-for x-forwarded-proto x-forwarded-client-cert x-request-id traceparent grpc-timeout accept accept-encoding if-none-match range via x-http-method-override x-original-url origin expect";
        for name in taken.split(' ') {
            assert!(is_taken(name), "{name}");
        }
        for name in "x-user remote-user x-forwarded-user x_forwarded_groups x-attaches x-a2a user x-request-ids hosts x-jwt-sub".split(' ')
        {
            assert!(!is_taken(name), "{name}");
        }
        assert!(is_ours("x-attache") && is_ours("x_attache_a") && !is_ours("x-attached"));
    }
}
