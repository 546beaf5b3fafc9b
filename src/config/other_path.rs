//! What stands beside an agent on its host, and is no A2A: probes, a user interface, documents. Requests for it pass unauthenticated.

use super::{ConfigError, Offers};
use crate::protocol::{grpc, http_json};
use crate::wire::path;
use serde::Deserialize;

/// What passes without a caller: `path` or `prefix`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct OtherPath {
    /// Exactly this path below the agent's prefix.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/[^?%]+$")))]
    path: Option<String>,
    /// This path and those below it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/[^?%]*[^?%/]$")))]
    prefix: Option<String>,
    /// The methods, in capital letters. CONNECT and TRACE never pass.
    #[serde(default = "readers")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z]*$"))))]
    methods: Vec<String>,
}

/// What becomes of CORS preflights (`OPTIONS` with `Origin` and `Access-Control-Request-Method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Cors {
    /// They are refused, as any other method that A2A does not use.
    #[default]
    Refuse,
    /// They pass: what stands behind answers them.
    Pass,
}

fn readers() -> Vec<String> {
    vec!["GET".to_owned(), "HEAD".to_owned()]
}

impl OtherPath {
    /// Whether `method` at `suffix`, which is what follows the agent's prefix, is for what stands there.
    #[must_use]
    pub fn has(&self, method: &str, suffix: &str) -> bool {
        let is_here = self.path.as_deref() == Some(suffix)
            || self.prefix.as_deref().is_some_and(|prefix| path::strip_segments(suffix, prefix).is_some());
        is_here && self.methods.iter().any(|own| own == method)
    }

    pub(super) fn check(&self, at: &str, offers: Offers<'_>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::new(format!("{at}{member}"), reason.to_owned()));
        let (member, path) = match (&self.path, &self.prefix) {
            (Some(path), None) => (".path", path),
            (None, Some(prefix)) => (".prefix", prefix),
            _ => return fail("", "give either path or prefix"),
        };
        let is_plain = !path::is_ambiguous(path) && !path.contains(['?', '%']) && path.len() > 1;
        if !is_plain || self.prefix.is_some() && path.ends_with('/') {
            return fail(member, "must be a plain path below path_prefix, such as /healthz, and a prefix has no slash at its end");
        }
        if offers.is_a2a(path) || grpc::is_service(path) || lower(path).starts_with("/.well-known") || self.covers(offers) {
            return fail(member, "is a path of A2A: what is there needs a caller");
        }
        if self.methods.is_empty() || !self.methods.iter().all(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return fail(".methods", "name at least one method, in capital letters");
        }
        if self.methods.iter().any(|method| matches!(method.as_str(), "CONNECT" | "TRACE")) {
            return fail(".methods", "CONNECT and TRACE never pass");
        }
        Ok(())
    }

    /// Whether a binding is below its prefix.
    fn covers(&self, offers: Offers<'_>) -> bool {
        let Some(prefix) = self.prefix.as_deref().map(lower) else { return false };
        offers.paths().any(|path| !path.is_empty() && path::strip_segments(&lower(path), &prefix).is_some())
    }
}

impl<'a> Offers<'a> {
    /// Where bindings are.
    fn paths(self) -> impl Iterator<Item = &'a str> {
        self.0.values().flat_map(|offer| [offer.paths.jsonrpc.as_str(), offer.paths.http_json.as_str()])
    }

    /// Whether a reader may take `suffix` for an endpoint or a route, also one that knows no case, no slash at the end, or undoes
    /// escapes.
    #[must_use]
    pub fn is_a2a(self, suffix: &str) -> bool {
        let suffix = lower(suffix);
        let below = |base: &str| path::strip_segments(&suffix, if base.is_empty() { "/" } else { base });
        let is_endpoint = |base: &str| if base.is_empty() { matches!(suffix.as_str(), "" | "/") } else { below(base).is_some() };
        let resembles = |base: &str| below(base).is_some_and(http_json::resembles_route);
        let bases = || self.paths().map(|path| lower(path.strip_suffix('/').unwrap_or(path)));
        is_endpoint("")
            || resembles("")
            || self.endpoints().any(|(_, path)| is_endpoint(&lower(path.strip_suffix('/').unwrap_or(path))))
            || bases().any(|base| resembles(&base))
    }
}

/// As a reader sees a path that knows no case. Letters are never escaped in a path that is unambiguous.
fn lower(path: &str) -> String {
    path.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::OtherPath;
    use crate::config::{Offer, Offers};
    use crate::protocol::Version;
    use crate::wire::json::UniqueMap;
    use crate::wire::sorted::SortedMap;
    use serde_json::{Value, json};

    fn other(spec: &Value) -> OtherPath {
        serde_json::from_value(spec.clone()).unwrap()
    }

    fn offers() -> SortedMap<Version, Offer> {
        let paths = json!({"jsonrpc": "/a2a/jsonrpc", "http_json": "/a2a/rest"});
        serde_json::from_value::<UniqueMap<_, _>>(json!({"1.0": {"bindings": ["jsonrpc", "http_json"], "paths": paths}})).unwrap().0
    }

    #[test]
    fn a_path_is_exact_and_a_prefix_covers_segments() {
        let (health, ui) = (other(&json!({"path": "/healthz"})), other(&json!({"prefix": "/ui", "methods": ["GET", "POST"]})));
        assert!(health.has("GET", "/healthz") && health.has("HEAD", "/healthz"));
        for (method, suffix) in [("POST", "/healthz"), ("GET", "/healthz/"), ("GET", "/HEALTHZ"), ("get", "/healthz"), ("GET", "")] {
            assert!(!health.has(method, suffix), "{method} {suffix}");
        }
        assert!(ui.has("GET", "/ui") && ui.has("POST", "/ui/a/b") && !ui.has("GET", "/uix") && !ui.has("HEAD", "/ui"));
    }

    #[test]
    fn what_is_a2a_is_never_beside_it() {
        let map = offers();
        let check = |spec: Value| other(&spec).check("agents[0].other_paths[0]", Offers(&map)).err().map(|error| error.to_string());
        for good in [json!({"path": "/healthz"}), json!({"prefix": "/ui"}), json!({"path": "/a2a/docs", "methods": ["GET"]})] {
            assert_eq!(check(good.clone()), None, "{good}");
        }
        for (spec, place) in [
            (json!({}), ": give either"),
            (json!({"path": "/a", "prefix": "/b"}), ": give either"),
            (json!({"path": "ui"}), ".path: must be a plain"),
            (json!({"prefix": "/"}), ".prefix: must be a plain"),
            (json!({"prefix": "/ui/"}), ".prefix: must be a plain"),
            (json!({"path": "/a/../b"}), ".path: must be a plain"),
            (json!({"path": "/%61"}), ".path: must be a plain"),
            (json!({"path": "/a2a/jsonrpc"}), ".path: is a path of A2A"),
            (json!({"prefix": "/a2a"}), ".prefix: is a path of A2A"),
            (json!({"path": "/a2a/rest/tasks"}), ".path: is a path of A2A"),
            (json!({"path": "/TASKS"}), ".path: is a path of A2A"),
            (json!({"path": "/a2a/jsonrpc/"}), ".path: is a path of A2A"),
            (json!({"path": "/A2A/JSONRPC"}), ".path: is a path of A2A"),
            (json!({"prefix": "/A2A"}), ".prefix: is a path of A2A"),
            (json!({"prefix": "/.Well-Known"}), ".prefix: is a path of A2A"),
            (json!({"prefix": "/tasks"}), ".prefix: is a path of A2A"),
            (json!({"path": "/.well-known/x"}), ".path: is a path of A2A"),
            (json!({"path": "/a2a.v1.A2AService/GetTask"}), ".path: is a path of A2A"),
            (json!({"path": "/x", "methods": []}), ".methods: name"),
            (json!({"path": "/x", "methods": ["get"]}), ".methods: name"),
            (json!({"path": "/x", "methods": ["TRACE"]}), ".methods: CONNECT"),
        ] {
            let error = check(spec.clone()).unwrap_or_default();
            assert!(error.contains(place), "{spec}: {error:?}");
        }
    }
}
