//! What the card of a remote agent offers at its own origin: versions by binding. A card is no more than a description: what it says
//! of other origins is left out, so that it can lead neither calls nor credentials there. Source: A2A 1.0 sections 3.6 and 8.3.

use crate::card::Card;
use crate::config::HttpUri;
use crate::protocol::{Binding, Operation, Version, http_json};
use crate::wire::path;
use std::fmt::Write as _;

/// Most interfaces of a card that are looked at.
const MOST: usize = 64;
/// Most characters of a URL in a warning.
const MOST_OF_URL: usize = 200;

/// The interfaces of a remote agent that a connection can call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers(Vec<Interface>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    binding: Binding,
    version: Version,
    /// Without a slash at the end.
    path: String,
}

/// A call, as far as its version depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `:method`.
    pub method: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The connection's prefix.
    pub prefix: &'a str,
    /// The version that the client named, if it named one.
    pub version: Option<Version>,
}

/// Why a call cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOffered {
    /// The card does not offer its binding in its version.
    Version,
    /// Its route belongs to another version than the one that it names.
    Mismatch,
}

impl Offers {
    /// What `card`, which was found at `own`, offers there below `prefix`; and the URL of an interface that is not considered
    /// because it is elsewhere, if there is one.
    #[must_use]
    pub fn of(card: &Card, own: &HttpUri, prefix: &str) -> (Self, Option<String>) {
        let (mut offers, mut stranger) = (Self(Vec::new()), None);
        for stated in card.interfaces().into_iter().take(MOST) {
            let binding = match stated.binding {
                "JSONRPC" => Binding::Jsonrpc,
                "HTTP+JSON" => Binding::HttpJson,
                _ => continue,
            };
            let Some(version) = stated.version else { continue };
            let uri = HttpUri::try_from(stated.url.to_owned()).ok().filter(|uri| uri.has_origin_of(own));
            let path = uri.as_ref().map(|uri| path::split_query(uri.path()).0);
            match path.filter(|path| !path::is_ambiguous(path) && path::strip_segments(path, prefix).is_some()) {
                Some(path) => offers.0.push(Interface { binding, version, path: trimmed(path).to_owned() }),
                None => drop(stranger.get_or_insert_with(|| stated.url.chars().take(MOST_OF_URL).collect())),
            }
        }
        (offers, stranger)
    }

    /// The binding of a call, and its version: the newest that the card offers for it and that it can be in. A call that is none
    /// of A2A, such as one for the card, has no binding and gets the newest of all.
    pub fn choose(&self, asked: Asked<'_>) -> (Option<Binding>, Result<Version, NotOffered>) {
        let (binding, belongs) = self.classify(asked);
        (binding, self.version(asked, binding, belongs))
    }

    fn version(&self, asked: Asked<'_>, binding: Option<Binding>, belongs: Option<Version>) -> Result<Version, NotOffered> {
        if let (Some(named), Some(belongs)) = (asked.version, belongs)
            && named != belongs
        {
            return Err(NotOffered::Mismatch);
        }
        let wanted = asked.version.or(belongs);
        self.candidates(asked, binding).filter(|version| wanted.is_none_or(|wanted| *version == wanted)).max().ok_or(NotOffered::Version)
    }

    /// Whether a call over JSON-RPC could have either version, by all that is known of it.
    pub fn is_open(&self, asked: Asked<'_>) -> bool {
        let (binding, belongs) = self.classify(asked);
        let mut versions = self.candidates(asked, binding);
        let first = versions.next();
        let several = versions.any(|version| Some(version) != first);
        binding == Some(Binding::Jsonrpc) && asked.version.or(belongs).is_none() && several
    }

    /// The versions of the interfaces that a call may be for.
    fn candidates(&self, asked: Asked<'_>, binding: Option<Binding>) -> impl Iterator<Item = Version> {
        let fits = move |interface: &&Interface| binding.is_none_or(|binding| interface.binding == binding);
        let is_here = move |interface: &&Interface| match interface.binding {
            Binding::Jsonrpc => trimmed(asked.path) == interface.path,
            Binding::HttpJson | Binding::Grpc => below(asked.path, interface).is_some(),
        };
        // An Envoy may rewrite paths on the way: only if some interface is here do the others not count.
        let somewhere = self.0.iter().filter(fits).any(|interface| is_here(&interface));
        let candidates = self.0.iter().filter(fits).filter(move |interface| !somewhere || is_here(interface));
        candidates.map(|interface| interface.version)
    }

    /// The binding of a call, and the version whose route it is on.
    fn classify(&self, asked: Asked<'_>) -> (Option<Binding>, Option<Version>) {
        let is_endpoint = |interface: &Interface| interface.binding == Binding::Jsonrpc && trimmed(asked.path) == interface.path;
        if asked.method == "POST" && self.0.iter().any(is_endpoint) {
            return (Some(Binding::Jsonrpc), None);
        }
        let interfaces = self.0.iter().filter(|interface| interface.binding == Binding::HttpJson);
        let mut suffixes =
            interfaces.filter_map(|interface| below(asked.path, interface)).chain(path::strip_segments(asked.path, asked.prefix));
        match suffixes.find_map(|suffix| http_json::route(asked.method, suffix)) {
            // Agents of 0.3 have it beside JSON-RPC, too.
            Some((Operation::GetExtendedAgentCard, version)) => (None, Some(version)),
            Some((_, version)) => (Some(Binding::HttpJson), Some(version)),
            None => ((asked.method == "POST").then_some(Binding::Jsonrpc), None),
        }
    }

    /// Versions and bindings for people: `JSON-RPC 1.0, HTTP+JSON 0.3`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().map(|interface| (interface.binding, interface.version)).collect();
        pairs.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        pairs.dedup();
        let mut text = String::new();
        for (binding, version) in pairs {
            let _ = write!(text, "{}{binding} {version}", if text.is_empty() { "" } else { ", " });
        }
        text
    }

    /// The versions that would do, newest first, with commas.
    #[must_use]
    pub fn versions(&self) -> String {
        let has = |version: &Version| self.0.iter().any(|interface| interface.version == *version);
        let versions: Vec<&str> =
            [Version::V1_0, Version::V0_3].iter().filter(|version| has(version)).map(|version| version.as_str()).collect();
        versions.join(",")
    }
}

fn below<'a>(path: &'a str, interface: &Interface) -> Option<&'a str> {
    path::strip_segments(path, if interface.path.is_empty() { "/" } else { &interface.path })
}

fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Binding, Card, HttpUri, NotOffered, Offers, Version};
    use serde_json::{Value, json};

    const JSONRPC: Option<Binding> = Some(Binding::Jsonrpc);
    const HTTP_JSON: Option<Binding> = Some(Binding::HttpJson);

    fn interface(url: &str, binding: &str, version: &str) -> Value {
        json!({"url": url, "protocolBinding": binding, "protocolVersion": version})
    }

    fn offers(interfaces: &[Value], prefix: &str) -> (Offers, Option<String>) {
        let card = Card::from_value(json!({"supportedInterfaces": interfaces})).unwrap();
        Offers::of(&card, &HttpUri::try_from("https://a.example/card".to_owned()).unwrap(), prefix)
    }

    fn asked<'a>(call: &'a str, version: Option<Version>) -> Asked<'a> {
        let (method, path) = call.split_once(' ').unwrap();
        Asked { method, path, prefix: "/", version }
    }

    #[test]
    fn the_newest_version_in_the_calls_binding_is_chosen() {
        let (offers, stranger) = offers(
            &[
                interface("https://a.example/rpc", "JSONRPC", "0.3"),
                interface("https://a.example/rpc/", "JSONRPC", "1.0.1"),
                interface("https://a.example/rest", "HTTP+JSON", "0.3.0"),
                interface("https://a.example/rpc", "JSONRPC", "2.0"),
                interface("a.example:443", "GRPC", "1.0"),
            ],
            "/",
        );
        assert_eq!((stranger, offers.describe().as_str()), (None, "JSON-RPC 1.0, JSON-RPC 0.3, HTTP+JSON 0.3"));
        assert_eq!(offers.versions(), "1.0,0.3");
        let choose = |call: &str, version| offers.choose(asked(call, version));
        assert_eq!(choose("POST /rpc", None), (JSONRPC, Ok(Version::V1_0)));
        assert_eq!(choose("POST /rpc", Some(Version::V0_3)), (JSONRPC, Ok(Version::V0_3)));
        assert_eq!(choose("POST /elsewhere", None), (JSONRPC, Ok(Version::V1_0)));
        assert_eq!(choose("POST /rest/v1/message:send", None), (HTTP_JSON, Ok(Version::V0_3)));
        assert_eq!(choose("POST /rest/message:send", None), (HTTP_JSON, Err(NotOffered::Version)));
        assert_eq!(choose("POST /message:send", None), (HTTP_JSON, Err(NotOffered::Version)));
        assert_eq!(choose("POST /v1/message:send", None), (HTTP_JSON, Ok(Version::V0_3)));
        assert_eq!(choose("POST /v1/message:send", Some(Version::V1_0)), (HTTP_JSON, Err(NotOffered::Mismatch)));
        assert_eq!(choose("GET /.well-known/agent-card.json", None), (None, Ok(Version::V1_0)));
        assert_eq!(choose("GET /agent/authenticatedExtendedCard", None), (None, Ok(Version::V0_3)));
    }

    #[test]
    fn endpoints_of_two_versions_are_told_apart_by_their_paths() {
        let (offers, _) =
            offers(&[interface("https://a.example/old", "JSONRPC", "0.3"), interface("https://a.example", "JSONRPC", "1.0")], "/");
        let choose = |call: &str, version| offers.choose(asked(call, version));
        assert_eq!(choose("POST /old", None), (JSONRPC, Ok(Version::V0_3)));
        assert_eq!(choose("POST /old/", None), (JSONRPC, Ok(Version::V0_3)));
        assert_eq!(choose("POST /", None), (JSONRPC, Ok(Version::V1_0)));
        assert_eq!(choose("POST /old", Some(Version::V1_0)), (JSONRPC, Err(NotOffered::Version)));
    }

    #[test]
    fn what_is_elsewhere_is_not_offered() {
        for url in [
            "http://a.example/p",
            "https://b.example/p",
            "https://a.example:8443/p",
            "https://u@a.example/p",
            "https://a.example/other",
            "https://a.example/p/../other",
            "/p",
            "",
        ] {
            let (offers, stranger) = offers(&[interface(url, "JSONRPC", "1.0")], "/p");
            assert_eq!((stranger.as_deref(), offers.0.len()), (Some(url), 0), "{url}");
            assert_eq!(offers.choose(Asked { prefix: "/p", ..asked("POST /p", None) }), (JSONRPC, Err(NotOffered::Version)));
        }
        let (offers, stranger) = offers(&[interface("https://a.example/p/q?x", "HTTP+JSON", "1.0")], "/p");
        assert_eq!((stranger, offers.0.len()), (None, 1));
        assert_eq!(offers.choose(Asked { prefix: "/p", ..asked("GET /p/q/tasks", None) }), (HTTP_JSON, Ok(Version::V1_0)));
    }

    #[test]
    fn the_url_in_a_warning_is_short_and_interfaces_are_few() {
        let (_, stranger) = offers(&[interface(&format!("https://b.example/{}", "é".repeat(5000)), "JSONRPC", "1.0")], "/");
        assert_eq!(stranger.unwrap().chars().count(), 200);
        let many: Vec<Value> = (0..500).map(|number| interface(&format!("https://a.example/{number}"), "JSONRPC", "1.0")).collect();
        assert_eq!(offers(&many, "/").0.0.len(), 64);
    }
}
