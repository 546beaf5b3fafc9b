//! What the card of a remote agent offers at its own origin: versions by binding. A card is no more than a description: what it says
//! of other origins is left out, so that it can lead neither calls nor credentials there. Source: A2A 1.0 sections 3.6 and 8.3.

use crate::card::Card;
use crate::config::HttpUri;
use crate::protocol::{Binding, Version};
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
    /// The path without the query.
    pub path: &'a str,
    /// Its binding; `None` for cards, which belong to no binding.
    pub binding: Option<Binding>,
    /// The version whose route it is on.
    pub belongs: Option<Version>,
    /// The version that the client named, if it named one.
    pub named: Option<Version>,
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
            let (binding, url) = match stated.binding {
                "JSONRPC" => (Binding::Jsonrpc, stated.url.to_owned()),
                "HTTP+JSON" => (Binding::HttpJson, stated.url.to_owned()),
                // Its paths are fixed by the protocol, and its place may be written without a scheme.
                "GRPC" if prefix == "/" && stated.url.contains("://") => (Binding::Grpc, stated.url.to_owned()),
                "GRPC" if prefix == "/" => (Binding::Grpc, format!("{}://{}", own.scheme(), stated.url)),
                _ => continue,
            };
            let Some(version) = stated.version else { continue };
            let uri = HttpUri::try_from(url).ok().filter(|uri| uri.has_origin_of(own) && (binding != Binding::Grpc || uri.path() == "/"));
            let path = uri.as_ref().map(|uri| path::split_query(uri.path()).0);
            match path.filter(|path| !path::is_ambiguous_below(path, prefix) && path::strip_segments(path, prefix).is_some()) {
                Some(path) => offers.0.push(Interface { binding, version, path: trimmed(path).to_owned() }),
                None => drop(stranger.get_or_insert_with(|| stated.url.chars().take(MOST_OF_URL).collect())),
            }
        }
        (offers, stranger)
    }

    /// The version of a call: the newest that the card offers for it and that it can be in. One for the card gets the newest of all.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(&self, asked: Asked<'_>) -> Result<Version, NotOffered> {
        if let (Some(named), Some(belongs)) = (asked.named, asked.belongs)
            && named != belongs
        {
            return Err(NotOffered::Mismatch);
        }
        let wanted = asked.named.or(asked.belongs);
        self.candidates(asked).filter(|version| wanted.is_none_or(|wanted| *version == wanted)).max().ok_or(NotOffered::Version)
    }

    /// Whether a call over JSON-RPC could have either version, by all that is known of it.
    #[must_use]
    pub fn is_open(&self, asked: Asked<'_>) -> bool {
        let mut versions = self.candidates(asked);
        let first = versions.next();
        let several = versions.any(|version| Some(version) != first);
        asked.binding == Some(Binding::Jsonrpc) && asked.named.is_none() && several
    }

    /// The versions of the interfaces that a call may be for.
    fn candidates(&self, asked: Asked<'_>) -> impl Iterator<Item = Version> {
        let fits = move |interface: &&Interface| asked.binding.is_none_or(|binding| interface.binding == binding);
        let is_here = move |interface: &&Interface| match interface.binding {
            Binding::Jsonrpc => trimmed(asked.path) == interface.path,
            Binding::HttpJson => below(asked.path, interface).is_some(),
            // At every host it is everywhere, which tells nothing apart.
            Binding::Grpc => false,
        };
        // An Envoy may rewrite paths on the way: only if some interface is here do the others not count.
        let somewhere = self.0.iter().filter(fits).any(|interface| is_here(&interface));
        let candidates = self.0.iter().filter(fits).filter(move |interface| !somewhere || is_here(interface));
        candidates.map(|interface| interface.version)
    }

    /// Whether the card says that JSON-RPC is at `path`.
    #[must_use]
    pub fn has_endpoint(&self, path: &str) -> bool {
        self.0.iter().any(|interface| interface.binding == Binding::Jsonrpc && trimmed(path) == interface.path)
    }

    /// What follows in `path` the places where the card says that HTTP+JSON is.
    pub fn suffixes<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(|interface| interface.binding == Binding::HttpJson).filter_map(move |interface| below(path, interface))
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
    const GRPC: Option<Binding> = Some(Binding::Grpc);

    fn interface(url: &str, binding: &str, version: &str) -> Value {
        json!({"url": url, "protocolBinding": binding, "protocolVersion": version})
    }

    fn offers(interfaces: &[Value], prefix: &str) -> (Offers, Option<String>) {
        let card = Card::from_value(json!({"supportedInterfaces": interfaces})).unwrap();
        Offers::of(&card, &HttpUri::try_from("https://a.example/card".to_owned()).unwrap(), prefix)
    }

    #[test]
    fn the_newest_version_in_the_calls_binding_is_chosen() {
        use Version::{V0_3, V1_0};
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
        assert_eq!((stranger, offers.describe().as_str()), (None, "JSON-RPC 1.0, gRPC 1.0, JSON-RPC 0.3, HTTP+JSON 0.3"));
        assert_eq!(offers.versions(), "1.0,0.3");
        let choose = |path, binding, belongs, named| offers.choose(Asked { path, binding, belongs, named });
        assert_eq!(choose("/rpc", JSONRPC, None, None), Ok(V1_0));
        assert_eq!(choose("/rpc", JSONRPC, None, Some(V0_3)), Ok(V0_3));
        assert_eq!(choose("/", JSONRPC, None, None), Ok(V1_0));
        assert_eq!(choose("/rest/v1/message:send", HTTP_JSON, Some(V0_3), None), Ok(V0_3));
        assert_eq!(choose("/rest/message:send", HTTP_JSON, Some(V1_0), None), Err(NotOffered::Version));
        assert_eq!(choose("/v1/message:send", HTTP_JSON, Some(V0_3), None), Ok(V0_3));
        assert_eq!(choose("/v1/message:send", HTTP_JSON, Some(V0_3), Some(V1_0)), Err(NotOffered::Mismatch));
        assert_eq!(choose("/.well-known/agent-card.json", None, None, None), Ok(V1_0));
        assert_eq!(choose("/agent/authenticatedExtendedCard", None, Some(V0_3), None), Ok(V0_3));
        assert_eq!(choose("/lf.a2a.v1.A2AService/GetTask", GRPC, Some(V1_0), None), Ok(V1_0));
        assert_eq!(choose("/a2a.v1.A2AService/GetTask", GRPC, Some(V0_3), None), Err(NotOffered::Version));
        assert!(offers.has_endpoint("/rpc") && offers.has_endpoint("/rpc/") && !offers.has_endpoint("/") && !offers.has_endpoint("/rpc/a"));
        assert_eq!(offers.suffixes("/rest/tasks").collect::<Vec<_>>(), ["/tasks"]);
        assert_eq!(offers.suffixes("/restless").count(), 0);
    }

    #[test]
    fn endpoints_of_two_versions_are_told_apart_by_their_paths() {
        let (offers, _) =
            offers(&[interface("https://a.example/old", "JSONRPC", "0.3"), interface("https://a.example", "JSONRPC", "1.0")], "/");
        let choose = |path, named| offers.choose(Asked { path, binding: JSONRPC, belongs: None, named });
        assert_eq!(choose("/old", None), Ok(Version::V0_3));
        assert_eq!(choose("/old/", None), Ok(Version::V0_3));
        assert_eq!(choose("/", None), Ok(Version::V1_0));
        assert_eq!(choose("/old", Some(Version::V1_0)), Err(NotOffered::Version));
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
            let asked = Asked { path: "/p", binding: JSONRPC, belongs: None, named: None };
            assert_eq!(offers.choose(asked), Err(NotOffered::Version));
        }
        for url in ["b.example:443", "a.example:8443", "http://a.example:443", "https://a.example/p", "dns:///a.example:443", "u@a.example"]
        {
            let (offers, stranger) = offers(&[interface(url, "GRPC", "1.0")], "/");
            assert_eq!((stranger.as_deref(), offers.0.len()), (Some(url), 0), "{url}");
        }
        assert_eq!(offers(&[interface("a.example:443", "GRPC", "1.0")], "/p"), (Offers(Vec::new()), None));
        let (offers, stranger) = offers(&[interface("https://a.example/p/q?x", "HTTP+JSON", "1.0")], "/p");
        assert_eq!((stranger, offers.suffixes("/p/q/tasks").collect::<Vec<_>>()), (None, vec!["/tasks"]));
    }

    #[test]
    fn the_url_in_a_warning_is_short_and_interfaces_are_few() {
        let (_, stranger) = offers(&[interface(&format!("https://b.example/{}", "é".repeat(5000)), "JSONRPC", "1.0")], "/");
        assert_eq!(stranger.unwrap().chars().count(), 200);
        let many: Vec<Value> = (0..500).map(|number| interface(&format!("https://a.example/{number}"), "JSONRPC", "1.0")).collect();
        assert_eq!(offers(&many, "/").0.0.len(), 64);
    }
}
