//! Which requests an agent or a connection stands for: hosts and a path prefix by whole segments.

use super::{CardPlace, ConfigError};
use crate::protocol::Version;
use crate::wire::authority::{Authority, is_host_byte, is_port, port_start};
use crate::wire::path;
use crate::wire::sorted::SortedSet;
use serde::Deserialize;

/// A host as an entry of Envoy's `domains`: a name or an address, with a port if need be, `*.name`, `name.*`, `name:*`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^(\*|\*?[^*/@\s]+|[^*/@\s]+\*)$")))]
#[serde(try_from = "String")]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `expense.*`, `expense.example.com:*`: everything that starts so and is longer; holds what stands before the `*`.
    Prefix(String),
    /// `*.example.com`, `*-api.example.com`: everything that ends so and is longer; holds what stands behind the `*`.
    Suffix(String),
    /// `expense.example.com`, `expense.example.com:8080`, `[::1]`: this and nothing else.
    Exact(String),
}

impl HostPattern {
    /// Whether `host` (in lower case, with the port where ports count) is meant.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => host.len() > prefix.len() && host.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Exact(name) => host == name,
        }
    }

    /// The one host that is meant, on one port or any, without the port.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Exact(text) => text.get(..port_start(text).unwrap_or(text.len())),
            Self::Prefix(text) => text.strip_suffix(':'),
            Self::Any | Self::Suffix(_) => None,
        }
    }

    /// Whether only authorities with a port are meant.
    #[must_use]
    pub fn names_port(&self) -> bool {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => port_start(text).is_some(),
            Self::Any => false,
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a host is a name or an address with a port if need be, *.name, name.*, name:*, or *, as in Envoy's domains";
        let text = text.to_ascii_lowercase();
        if text == "*" {
            return Ok(Self::Any);
        }
        let part = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(&text);
        let port = port_start(part).and_then(|colon| part.get(colon.saturating_add(1)..));
        let host = part.get(..port_start(part).unwrap_or(part.len())).unwrap_or_default();
        if part.is_empty()
            || !part.bytes().all(is_host_byte)
            || port.is_some_and(|port| !(is_port(port) || port.is_empty() && text.ends_with('*')))
        {
            return Err(WRONG);
        }
        if host.ends_with('.') && !text.ends_with(".*") {
            return Err("a host has no dot at its end: requests that have one are refused");
        }
        if text.starts_with('*') {
            return Ok(Self::Suffix(part.to_owned()));
        }
        if text.ends_with('*') {
            return if host.is_empty() { Err(WRONG) } else { Ok(Self::Prefix(part.to_owned())) };
        }
        if Authority::parse(&text).is_some() { Ok(Self::Exact(text)) } else { Err(WRONG) }
    }
}

/// What the port of a request means for the choice among hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Ports {
    /// It belongs to the host, as in Envoy's `domains`: `a.example` is not `a.example:8080`.
    #[default]
    Exact,
    /// It is dropped, as with Envoy's `ignore_port_in_host_matching`.
    Ignore,
}

impl Ports {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ignore => "ignore",
        }
    }
}

/// Which requests are meant: by host first, then by the longest path prefix.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// What Envoy's `domains` have: `a.example.com`, `a.example.com:8080`, `*.example.com`, `*-api.example.com`, `a.*`,
    /// `a.example.com:*`, `*`; [more](configuration.md#match).
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub hosts: Vec<HostPattern>,
    /// What a request's port means: `exact` or `ignore`, as this Envoy's routes have it; the same everywhere;
    /// [more](configuration.md#match).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "what others say, else `exact`")))]
    pub ports: Option<Ports>,
    /// `/` or whole segments without a trailing slash: `/a` covers `/a/b`, not `/ab`. With `%2F` in it, [byte for
    /// byte](outbound.md#paths-with-escaped-slashes). The host decides first, then the longest prefix; [more](configuration.md#match).
    pub path_prefix: PathPrefix,
    /// Of agents only: whether gRPC calls at these hosts are for this agent (their paths are the protocol's); exactly if a version has
    /// the binding `grpc`. Two agents of one host may have it, with a version each.
    #[serde(default)]
    pub grpc: bool,
}

/// What all `match` of a configuration have been seen to say together.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: SortedSet<(HostPattern, String)>,
    /// Cards outside the prefixes of their agents.
    cards: SortedSet<(HostPattern, String, Option<String>)>,
    /// What ports mean, and where that was said first.
    ports: Option<(Ports, String)>,
}

impl Places {
    /// What ports mean in this configuration.
    pub fn ports(&self) -> Ports {
        self.ports.as_ref().map_or(Ports::default(), |(ports, _)| *ports)
    }
}

impl Match {
    /// The first look: what stands here, and that it does not contradict what stood before.
    /// `services`: the versions whose gRPC calls are for it.
    pub(super) fn check(&self, at: &str, services: &[Version], places: &mut Places) -> Result<(), ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::of(at, "hosts", "name at least one host (\"*\" for every host)"));
        }
        if let Some(ports) = self.ports {
            let (first, place) = places.ports.get_or_insert_with(|| (ports, format!("{at}.ports")));
            if *first != ports {
                let (said, here) = (first.as_str(), ports.as_str());
                let reason =
                    format!("is {here}, but {place} is {said}: the routes of one listener know one of them, so say the same everywhere");
                return Err(ConfigError::of(at, "ports", &reason));
            }
        }
        for host in &self.hosts {
            if !places.taken.insert((host.clone(), self.path_prefix.0.clone())) {
                return Err(ConfigError::new(at, "another agent or connection has the same host and path_prefix"));
            }
            for version in services {
                // No prefix is written like this.
                if !places.taken.insert((host.clone(), version.as_str().to_owned())) {
                    let reason = format!("another agent takes the gRPC calls of A2A {version} at this host");
                    return Err(ConfigError::of(at, "grpc", &reason));
                }
            }
        }
        Ok(())
    }

    /// The card at `place` of these hosts is this agent's alone.
    pub(super) fn check_card(&self, at: &str, place: &CardPlace, places: &mut Places) -> Result<(), ConfigError> {
        for host in &self.hosts {
            // One without a parameter answers for all parameters.
            let same = |(other, path, parameter): &(HostPattern, String, Option<String>)| {
                (other, path) == (host, &place.path) && (parameter.is_none() || place.parameter.is_none() || *parameter == place.parameter)
            };
            if places.cards.iter().any(same) {
                return Err(ConfigError::new(at, "another agent has its card at this path of the same host"));
            }
            let covers = |(other, prefix): &&(HostPattern, String)| {
                other == host && prefix.starts_with('/') && path::strip_segments(&place.path, prefix).is_some()
            };
            if let Some((_, prefix)) = places.taken.iter().find(covers) {
                let reason = format!("is below {prefix}, the path_prefix of another agent or connection of the same host");
                return Err(ConfigError::new(at, reason));
            }
            places.cards.insert((host.clone(), place.path.clone(), place.parameter.clone()));
        }
        Ok(())
    }

    /// The second look, when it is known what ports mean.
    pub(super) fn check_ports(&self, at: &str, ports: Ports) -> Result<(), ConfigError> {
        match self.hosts.iter().position(|host| ports == Ports::Ignore && host.names_port()) {
            Some(index) => {
                let reason = "names a port, but match.ports is ignore: nothing could match it. Leave the port out, or set ports: exact";
                Err(ConfigError::new(format!("{at}.hosts[{index}]"), reason))
            }
            None => Ok(()),
        }
    }
}

/// `/`, or a path of whole segments without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^/([^?]*[^/?])?$")))]
#[serde(try_from = "String")]
pub struct PathPrefix(String);

impl PathPrefix {
    /// The prefix as text, `/` or without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.starts_with('/') {
            return Err("must start with /");
        }
        if text.len() > 1 && text.ends_with('/') {
            return Err("must not end with /");
        }
        if !path::is_plain_but_for_escaped_slashes(&text) || text.contains('?') {
            return Err("must be a plain path");
        }
        Ok(Self(text))
    }
}

/// What becomes of requests that nothing matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// Answer 404. The default: what is not known is not passed.
    #[default]
    Refuse,
    /// They pass as they came: for listeners that carry other traffic too.
    Pass,
}

#[cfg(test)]
mod tests {
    use super::HostPattern;
    use crate::config::Config;
    use serde_json::{Value, json};

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn hosts_mean_what_envoys_domains_mean() {
        for (text, host, covers) in [
            ("a.example", "a.example", true),
            ("A.Example", "a.example", true),
            ("a.example", "b.a.example", false),
            ("a.example", "a.example:80", false),
            ("a.example:80", "a.example:80", true),
            ("*.example", "b.a.example", true),
            ("*.example", ".example", false),
            ("*.example", "a.example:80", false),
            ("*-api.example", "x-api.example", true),
            ("*.example:80", "a.example:80", true),
            ("a.*", "a.example", true),
            ("a.*", "a.", false),
            ("a-*", "a-b", true),
            ("a.example:*", "a.example:80", true),
            ("a.example:*", "a.example", false),
            ("[::1]", "[::1]", true),
            ("[::1]:*", "[::1]:80", true),
            ("*", "anything:1", true),
        ] {
            assert_eq!(pattern(text).covers(host), covers, "{text} {host}");
        }
        for odd in [
            "",
            "a:",
            "a:x",
            "a:x*",
            "*.",
            "a/b",
            "a*b",
            "*a*",
            "**",
            ":*",
            "a.example.",
            "a.example.:80",
            "*.example.",
            "[::1",
            "::1",
            "user@a",
        ] {
            assert!(HostPattern::try_from(odd.to_owned()).is_err(), "{odd}");
        }
        assert_eq!(pattern("a.example:80").host(), Some("a.example"));
        assert_eq!(pattern("[::1]:*").host(), Some("[::1]"));
        assert_eq!(pattern("a.*").host(), None);
        assert!(pattern("*:80").names_port() && pattern("a:*").names_port() && !pattern("[::1]").names_port());
    }

    fn answer(matches: [Value; 2]) -> String {
        let agents = matches.iter().enumerate().map(|(index, target)| {
            json!({"name": format!("a{index}"), "match": target, "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]})
        });
        let config = json!({"schemes": {"open": {"none": {}}}, "agents": agents.collect::<Vec<_>>()});
        Config::parse(config.to_string().as_bytes()).map_or_else(|error| error.to_string(), |config| format!("{:?}", config.ports()))
    }

    #[test]
    fn a_prefix_may_have_escaped_slashes_and_nothing_else_that_is_ambiguous() {
        let at = |prefix: &str| answer([json!({"hosts": ["a"], "path_prefix": prefix}), json!({"hosts": ["b"], "path_prefix": "/"})]);
        for good in ["/", "/a/b", "/arn%3Aaws%2Fx/invocations"] {
            assert_eq!(at(good), "Exact", "{good}");
        }
        for odd in ["/a/../b", "/a%2F..%2Fb", "/a%2F/b", "/a%5Cb", "/%61", "/a%", "/a%2Fb?c", "/a;b"] {
            assert!(at(odd).starts_with("agents[0].match.path_prefix: must be a plain path"), "{odd}: {}", at(odd));
        }
    }

    #[test]
    fn ports_mean_the_same_everywhere() {
        let one = |hosts: Value, ports: Value| json!({"hosts": hosts, "path_prefix": "/", "ports": ports});
        let none = |host: &str| json!({"hosts": [host], "path_prefix": "/"});
        for (first, second, expected) in [
            (none("a"), none("b"), "Exact"),
            (one(json!(["a"]), json!("ignore")), none("b"), "Ignore"),
            (none("a"), one(json!(["a:80", "b"]), json!("exact")), "Exact"),
            (none("a"), one(json!(["b"]), json!("some")), "agents[1].match.ports: unknown variant"),
            (
                one(json!(["a"]), json!("ignore")),
                one(json!(["b"]), json!("exact")),
                "agents[1].match.ports: is exact, but agents[0].match.ports is ignore",
            ),
            (one(json!(["a"]), json!("ignore")), none("b:80"), "agents[1].match.hosts[0]: names a port"),
            (one(json!(["a", "c:*"]), json!("ignore")), none("b"), "agents[0].match.hosts[1]: names a port"),
            (none("a"), none("A"), "agents[1].match: another agent or connection"),
        ] {
            let answer = answer([first, second]);
            assert!(answer.starts_with(expected), "{answer}");
        }
    }
}
