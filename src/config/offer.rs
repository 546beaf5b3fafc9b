//! What an agent offers of one version of A2A, and where: each binding at a path below the agent's prefix.

use super::ConfigError;
use crate::protocol::{Binding, Operation, Version, http_json};
use crate::wire::path;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// What an agent offers of one version of A2A.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// How the version is spoken: `jsonrpc`, `http_json`, `grpc`.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::config::form::BindingName>", length(min = 1)))]
    pub bindings: Vec<Binding>,
    /// Where the agent has a binding, below `path_prefix`. Requests are matched there and nowhere else, and cards name `public_url` with
    /// the path. Plain paths: no query, no escape.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the prefix")))]
    pub paths: BindingPaths,
}

/// Where bindings are, below the agent's prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct BindingPaths {
    /// The endpoint of JSON-RPC.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the prefix")))]
    pub jsonrpc: String,
    /// What routes of HTTP+JSON begin with.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the prefix")))]
    pub http_json: String,
}

/// The offers of one agent.
#[derive(Clone, Copy, Debug)]
pub struct Offers<'a>(pub(super) &'a SortedMap<Version, Offer>);

impl Offer {
    fn has(&self, binding: Binding) -> bool {
        self.bindings.contains(&binding)
    }

    /// The path of `binding`. What gRPC has is the protocol's own.
    #[must_use]
    pub fn path(&self, binding: Binding) -> &str {
        match binding {
            Binding::Jsonrpc => &self.paths.jsonrpc,
            Binding::HttpJson => &self.paths.http_json,
            Binding::Grpc => "",
        }
    }
}

impl<'a> Offers<'a> {
    pub(super) fn endpoints(self) -> impl Iterator<Item = (Version, &'a str)> {
        self.0.iter().filter(|(_, offer)| offer.has(Binding::Jsonrpc)).map(|(version, offer)| (*version, offer.paths.jsonrpc.as_str()))
    }

    /// Whether JSON-RPC is spoken at `suffix`, which is what follows the agent's prefix. Where it is not offered, the prefix stands
    /// for it.
    #[must_use]
    pub fn is_jsonrpc(self, suffix: &str) -> bool {
        let mut endpoints = self.endpoints().peekable();
        match endpoints.peek() {
            None => is_same("", suffix),
            Some(_) => endpoints.any(|(_, path)| is_same(path, suffix)),
        }
    }

    /// Whether JSON-RPC of `version` is spoken at `suffix`.
    #[must_use]
    pub fn is_jsonrpc_of(self, version: Version, suffix: &str) -> bool {
        self.endpoints().any(|(own, path)| own == version && is_same(path, suffix))
    }

    /// The version of an endpoint that only one has, while another has its own.
    #[must_use]
    pub fn version_at(self, suffix: &str) -> Option<Version> {
        let mut here = self.endpoints().filter(|(_, path)| is_same(path, suffix));
        let (version, _) = here.next()?;
        let is_only = here.next().is_none() && self.endpoints().any(|(other, _)| other != version);
        is_only.then_some(version)
    }

    /// The route of HTTP+JSON at `suffix`: the operation, the version whose route it is, and what follows the path of the binding. A
    /// version that does not offer the binding has its routes at the prefix, so that a refusal can say what it is.
    #[must_use]
    pub fn route<'p>(self, method: &str, suffix: &'p str) -> Option<(Operation, Version, &'p str)> {
        let base = |version: Version| {
            let offer = self.0.get(&version).filter(|offer| offer.has(Binding::HttpJson));
            (offer.is_none(), version, offer.map_or("", |offer| base(&offer.paths.http_json)))
        };
        let mut bases = [Version::V1_0, Version::V0_3].map(base);
        bases.sort_by_key(|(is_absent, ..)| *is_absent);
        bases.into_iter().find_map(|(_, version, base)| {
            let rest = path::strip_segments(suffix, if base.is_empty() { "/" } else { base })?;
            let (operation, belongs) = http_json::route(method, rest)?;
            // To an agent of both this is the list of a tenant called `v1`.
            let is_of_tenant = (operation, belongs) == (Operation::ListTasks, Version::V0_3) && self.shares_base(Version::V1_0, base);
            (belongs == version && !is_of_tenant).then_some((operation, version, rest))
        })
    }

    /// Whether `version` has its routes of HTTP+JSON at `own`, too.
    fn shares_base(self, version: Version, own: &str) -> bool {
        self.0.get(&version).is_some_and(|offer| offer.has(Binding::HttpJson) && base(&offer.paths.http_json) == own)
    }

    pub(super) fn check(self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: String, reason: String| Err(ConfigError::of(at, &member, &reason));
        if self.0.is_empty() {
            return fail("versions".to_owned(), "name at least one version".to_owned());
        }
        for (version, offer) in self.0 {
            if offer.bindings.is_empty() {
                return fail(format!("versions.\"{version}\".bindings"), "name at least one binding".to_owned());
            }
            for (binding, name) in [(Binding::Jsonrpc, "jsonrpc"), (Binding::HttpJson, "http_json")] {
                let path = offer.path(binding);
                let member = || format!("versions.\"{version}\".paths.{name}");
                if path.is_empty() {
                    continue;
                }
                if !offer.has(binding) {
                    return fail(member(), format!("{version} is not offered over {binding}"));
                }
                if path::is_ambiguous(path) || path.contains(['?', '%']) || path.contains("/.well-known/") {
                    return fail(member(), "must be a plain path below path_prefix, such as /a2a/rest".to_owned());
                }
            }
            if let Some(other) = self.taken(offer) {
                return fail(format!("versions.\"{version}\".paths.jsonrpc"), format!("is a route of HTTP+JSON of {other}"));
            }
            if let Some((other, route)) = self.crossed(*version, offer) {
                let reason = format!("{route:?} below it is also a route of {other}: the two cannot be told apart");
                return fail(format!("versions.\"{version}\".paths.http_json"), reason);
            }
        }
        Ok(())
    }

    /// The version of which the endpoint of `offer` is a route.
    fn taken(self, offer: &Offer) -> Option<Version> {
        let endpoint = base(&offer.paths.jsonrpc);
        let others = self.0.iter().filter(|(_, other)| offer.has(Binding::Jsonrpc) && other.has(Binding::HttpJson));
        let resembles = |other: &Offer| below(endpoint, &other.paths.http_json).is_some_and(http_json::resembles_route);
        others.filter(|(_, other)| resembles(other)).map(|(version, _)| *version).next()
    }

    /// A route of `offer` that is one of another version, too.
    fn crossed(self, version: Version, offer: &Offer) -> Option<(Version, &'static str)> {
        let own = base(&offer.paths.http_json);
        let others = self.0.iter().filter(|(other, _)| offer.has(Binding::HttpJson) && **other != version);
        others.filter(|(_, other)| other.has(Binding::HttpJson)).find_map(|(other, theirs)| {
            let inside = below(own, &theirs.paths.http_json)?;
            let routes = ROUTES.iter().filter(|(of, ..)| *of == version);
            let is_theirs = |method: &str, route: &str| {
                http_json::route(method, &format!("{inside}{route}")).is_some_and(|(_, belongs)| belongs == *other)
            };
            routes.filter(|(_, method, route)| is_theirs(method, route)).map(|(_, _, route)| (*other, *route)).next()
        })
    }
}

/// One route of each form.
const ROUTES: [(Version, &str, &str); 8] = [
    (Version::V1_0, "POST", "/message:send"),
    (Version::V1_0, "GET", "/tasks"),
    (Version::V1_0, "GET", "/tasks/t"),
    (Version::V1_0, "GET", "/extendedAgentCard"),
    (Version::V1_0, "POST", "/tenant/message:send"),
    (Version::V0_3, "POST", "/v1/message:send"),
    (Version::V0_3, "GET", "/v1/tasks/t"),
    (Version::V0_3, "GET", "/v1/card"),
];

/// A path without a slash at its end.
fn base(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// What of `path` is below `prefix`; nothing, if it is the same.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let prefix = base(prefix);
    path::strip_segments(path, if prefix.is_empty() { "/" } else { prefix }).filter(|rest| !rest.is_empty())
}

/// Whether `suffix` is the endpoint at `path`. At the prefix itself a slash makes no difference.
fn is_same(path: &str, suffix: &str) -> bool {
    path == suffix || matches!((path, suffix), ("" | "/", "" | "/"))
}

#[cfg(test)]
mod tests {
    use super::{Offer, Offers, Operation, SortedMap, Version};
    use crate::wire::json::UniqueMap;
    use serde_json::{Value, json};

    fn offers(versions: &Value) -> SortedMap<Version, Offer> {
        serde_json::from_value::<UniqueMap<_, _>>(versions.clone()).unwrap().0
    }

    fn sample() -> Value {
        json!({
            "1.0": {"bindings": ["jsonrpc", "http_json"], "paths": {"jsonrpc": "/a2a/jsonrpc", "http_json": "/a2a/rest"}},
            "0.3": {"bindings": ["jsonrpc"], "paths": {"jsonrpc": "/old/"}},
        })
    }

    #[test]
    fn bindings_are_where_they_are_said_to_be_and_nowhere_else() {
        let map = offers(&sample());
        let offers = Offers(&map);
        for (suffix, version) in [("/a2a/jsonrpc", Some(Version::V1_0)), ("/old/", Some(Version::V0_3))] {
            assert!(offers.is_jsonrpc(suffix));
            assert_eq!(offers.version_at(suffix), version);
        }
        for suffix in ["", "/", "/a2a/jsonrpc/", "/old", "/a2a", "/a2a/jsonrpc/x", "/A2A/jsonrpc"] {
            assert!(!offers.is_jsonrpc(suffix), "{suffix}");
        }
        let route = |method: &str, suffix| offers.route(method, suffix);
        assert_eq!(route("POST", "/a2a/rest/message:send"), Some((Operation::SendMessage, Version::V1_0, "/message:send")));
        assert_eq!(route("GET", "/a2a/rest/acme/tasks/t"), Some((Operation::GetTask, Version::V1_0, "/acme/tasks/t")));
        for suffix in ["/message:send", "/a2a/message:send", "/a2a/restmessage:send", "/a2a/rest/rest/x/message:send"] {
            assert_eq!(route("POST", suffix), None, "{suffix}");
        }
        // What is not offered is named all the same.
        assert_eq!(route("POST", "/v1/message:send"), Some((Operation::SendMessage, Version::V0_3, "/v1/message:send")));
    }

    #[test]
    fn without_paths_all_is_at_the_prefix() {
        let map = offers(&json!({"1.0": {"bindings": ["jsonrpc", "http_json"]}, "0.3": {"bindings": ["jsonrpc", "http_json"]}}));
        let offers = Offers(&map);
        assert!(offers.is_jsonrpc("") && offers.is_jsonrpc("/") && offers.version_at("").is_none());
        assert_eq!(offers.route("POST", "/message:send").map(|found| found.1), Some(Version::V1_0));
        assert_eq!(offers.route("POST", "/v1/message:send").map(|found| found.1), Some(Version::V0_3));
    }

    #[test]
    fn the_list_of_0_3_is_no_list_of_a_tenant() {
        let both = ["jsonrpc", "http_json"];
        let list = |versions: &Value, suffix: &str| {
            Offers(&offers(versions)).route("GET", suffix).map(|(operation, version, _)| (operation, version))
        };
        let old = Some((Operation::ListTasks, Version::V0_3));
        for (versions, suffix, expected) in [
            (json!({"0.3": {"bindings": both}}), "/v1/tasks", old),
            (json!({"0.3": {"bindings": both}, "1.0": {"bindings": ["jsonrpc"]}}), "/v1/tasks", old),
            (json!({"0.3": {"bindings": both}, "1.0": {"bindings": both}}), "/v1/tasks", None),
            (json!({"0.3": {"bindings": both}, "1.0": {"bindings": both, "paths": {"http_json": "/"}}}), "/v1/tasks", None),
            (json!({"0.3": {"bindings": both}, "1.0": {"bindings": both, "paths": {"http_json": "/new"}}}), "/v1/tasks", old),
            (json!({"0.3": {"bindings": both}, "1.0": {"bindings": both, "paths": {"http_json": "/new"}}}), "/new/v1/tasks", None),
            (json!({"1.0": {"bindings": both}}), "/v1/tasks", None),
        ] {
            assert_eq!(list(&versions, suffix), expected, "{suffix} of {versions}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_an_error() {
        let check = |versions: &Value| Offers(&offers(versions)).check("agents[0]").err().map(|error| error.to_string());
        assert_eq!(check(&sample()), None);
        let both = ["jsonrpc", "http_json"];
        let with = |bindings: &[&str], paths: Value| json!({"1.0": {"bindings": bindings, "paths": paths}});
        for (versions, expected) in [
            (json!({}), "agents[0].versions: name at least one version"),
            (json!({"1.0": {"bindings": []}}), "agents[0].versions.\"1.0\".bindings: name at least one binding"),
            (
                with(&["jsonrpc"], json!({"http_json": "/x"})),
                "agents[0].versions.\"1.0\".paths.http_json: 1.0 is not offered over HTTP+JSON",
            ),
            (with(&both, json!({"jsonrpc": "/tasks"})), "agents[0].versions.\"1.0\".paths.jsonrpc: is a route of HTTP+JSON of 1.0"),
            (
                with(&both, json!({"jsonrpc": "/x/message:send"})),
                "agents[0].versions.\"1.0\".paths.jsonrpc: is a route of HTTP+JSON of 1.0",
            ),
            (
                json!({"1.0": {"bindings": ["http_json"], "paths": {"http_json": "/v1"}}, "0.3": {"bindings": ["http_json"]}}),
                "agents[0].versions.\"1.0\".paths.http_json: \"/message:send\" below it is also a route of 0.3: the two cannot be told apart",
            ),
        ] {
            assert_eq!(check(&versions).as_deref(), Some(expected), "{versions}");
        }
        for path in ["rest", "/a//b", "/a/../b", "/a?b", "/a%2Fb", "/a b", "/a;b", "/.well-known/a"] {
            let error = check(&with(&both, json!({"http_json": path}))).unwrap_or_default();
            assert!(error.contains("must be a plain path"), "{path}: {error}");
        }
        assert_eq!(check(&json!({"1.0": {"bindings": both, "paths": {"http_json": "/v1"}}})), None);
    }
}
