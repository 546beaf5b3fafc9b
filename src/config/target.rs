//! Which requests an agent or a connection stands for: hosts and a path prefix by whole segments.

use super::ConfigError;
use crate::protocol::grpc;
use crate::wire::path;
use serde::Deserialize;
use std::collections::BTreeSet;

/// One entry of `match.hosts`. The order of the variants is the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every name below `example.com`; holds `.example.com`.
    Below(String),
    /// `expense.example.com`: this host, on any port.
    Exact(String),
}

impl HostPattern {
    /// Whether `host` (lower case, no port) is meant.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Exact(name) => host == name,
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a host is a name in lower case without port, *.name, or *";
        let name = match text.strip_prefix('*') {
            Some("") => return Ok(Self::Any),
            Some(suffix) => suffix.strip_prefix('.').ok_or(WRONG)?,
            None => &text,
        };
        if path::host(name).as_deref() != Some(name) {
            return Err(WRONG);
        }
        Ok(if text.starts_with('*') { Self::Below(format!(".{name}")) } else { Self::Exact(text) })
    }
}

/// `match`: a request belongs here if its host is one of `hosts` and its path lies below `path_prefix`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// At least one.
    pub hosts: Vec<HostPattern>,
    /// `/` or whole segments such as `/agents/expense`.
    pub path_prefix: PathPrefix,
    /// Whether gRPC calls at these hosts are for this agent: their paths are fixed by the protocol.
    #[serde(default)]
    pub grpc: bool,
}

impl Match {
    /// How well this fits a request: length of the prefix first, then how exact the host is. A gRPC call at an
    /// agent that takes them fits better than any prefix. `None` if it does not fit.
    #[must_use]
    pub fn fit(&self, host: &str, request_path: &str) -> Option<(usize, &HostPattern)> {
        let length = if self.grpc && grpc::is_service(request_path) {
            usize::MAX
        } else {
            path::strip_segments(request_path, &self.path_prefix.0)?;
            self.path_prefix.0.len()
        };
        let host = self.hosts.iter().filter(|pattern| pattern.covers(host)).max()?;
        Some((length, host))
    }

    pub(super) fn check(&self, at: &str, places: &mut BTreeSet<(HostPattern, String)>) -> Result<(), ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::new(format!("{at}.hosts"), "name at least one host (\"*\" for every host)"));
        }
        for host in &self.hosts {
            if !places.insert((host.clone(), self.path_prefix.0.clone())) {
                return Err(ConfigError::new(at, "another agent or connection has the same host and path_prefix"));
            }
            if self.grpc && !places.insert((host.clone(), String::new())) {
                return Err(ConfigError::new(format!("{at}.grpc"), "another agent takes the gRPC calls of this host"));
            }
        }
        Ok(())
    }
}

/// A path prefix of whole segments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
        if path::is_ambiguous(&text) || text.contains('?') {
            return Err("must be a plain path");
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, Match};

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn hosts_match_exactly_below_or_always() {
        assert!(pattern("a.example").covers("a.example"));
        assert!(!pattern("a.example").covers("b.a.example"));
        assert!(pattern("*.example").covers("b.a.example"));
        assert!(!pattern("*.example").covers("example"));
        assert!(!pattern("*.example").covers(".example"));
        assert!(pattern("*").covers("anything"));
        for odd in ["", "A.example", "a:80", "*a", "*.", "a/b"] {
            assert!(HostPattern::try_from(odd.to_owned()).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_longer_prefix_then_the_more_exact_host_fits_better() {
        let parse = |json: &str| serde_json::from_str::<Match>(json).unwrap();
        let near = parse(r#"{"hosts":["*"],"path_prefix":"/a/b"}"#);
        let wide = parse(r#"{"hosts":["h"],"path_prefix":"/a"}"#);
        let any = parse(r#"{"hosts":["*"],"path_prefix":"/a"}"#);
        assert!(near.fit("h", "/a/b/c") > wide.fit("h", "/a/b/c"));
        assert!(wide.fit("h", "/a") > any.fit("h", "/a"));
        assert_eq!(near.fit("h", "/a/bc"), None);
    }
}
