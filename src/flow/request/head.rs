//! The parts of a request's headers that both directions read, and the cleaning that both begin with.

use crate::config::{Config, IDENTITY_HEADER};
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Value};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::dropped;
use crate::protocol::version;
use crate::wire::authority::Authority;
use crate::wire::header::Headers;
use crate::wire::sorted::SortedSet;
use crate::wire::{path, steering};

/// The head of a request.
#[derive(Debug)]
pub struct Head<'a> {
    /// All headers.
    pub headers: &'a Headers,
    /// `:method`.
    pub method: &'a str,
    /// `:path` as it came, with the query.
    pub target: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// `:authority`.
    pub authority: Authority<'a>,
}

impl<'a> Head<'a> {
    /// Reads the head.
    ///
    /// # Errors
    /// If method, path or authority is missing, repeated or holds bytes that it cannot hold.
    pub fn read(headers: &'a Headers) -> Result<Self, Denial> {
        let pseudo = |name| {
            headers
                .single_ascii(name)
                .ok_or_else(|| Denial::new(Reason::RequestMalformed).advise("The request has no plain method, path and host."))
        };
        let (method, target, authority) = (pseudo(":method")?, pseudo(":path")?, pseudo(":authority")?);
        let authority = Authority::parse(authority)
            .ok_or_else(|| Denial::new(Reason::RequestMalformed).advise("The host is not a name or address with an optional port."))?;
        let (path, query) = path::split_query(target);
        Ok(Self { headers, method, target, path, query, authority })
    }

    /// The same with another query in its target, if there is one.
    #[must_use]
    pub fn with_target<'b>(&self, target: Option<&'b str>) -> Head<'b>
    where
        'a: 'b,
    {
        let target = target.unwrap_or(self.target);
        let (path, query) = path::split_query(target);
        Head { headers: self.headers, method: self.method, target, path, query, authority: self.authority.clone() }
    }

    /// The length that the client announced.
    ///
    /// # Errors
    /// If it is no number. (Envoy refuses that itself; another host might not.)
    pub fn content_length(&self) -> Result<Option<u64>, Denial> {
        if !self.headers.has("content-length") {
            return Ok(None);
        }
        let length = self.headers.single_ascii("content-length").and_then(|text| text.parse().ok());
        length.map(Some).ok_or_else(|| Denial::new(Reason::RequestMalformed).advise("content-length is not one number."))
    }

    /// Whether the client reads an event stream and no document. (The Python SDK of 0.3 says `*/*` beside.) Clients that name a version
    /// from 1.0 on read an error in a document, whatever they accept: agents say it there, and of one in an event some make less.
    #[must_use]
    pub fn reads_events_only(&self) -> bool {
        if self.headers.all(version::HEADER).any(|named| !named.starts_with(b"0.")) {
            return false;
        }
        let names = |line: &[u8], name: &str| line.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()));
        let mut events = false;
        for line in self.headers.all("accept") {
            if names(line, "application/json") {
                return false;
            }
            events |= names(line, "text/event-stream");
        }
        events
    }

    /// `target` of the same request at `rest` below `prefix`, without the version in its query.
    #[must_use]
    pub fn at(target: &str, prefix: &str, rest: &str) -> String {
        let plain = version::without_parameter(target);
        let (_, query) = path::split_query(plain.as_deref().unwrap_or(target));
        let base = if rest.is_empty() { prefix } else { prefix.strip_suffix('/').unwrap_or(prefix) };
        query.map_or_else(|| format!("{base}{rest}"), |query| format!("{base}{rest}?{query}"))
    }

    /// Makes the request name exactly one version: in the header, and no longer in the query of `target`, which goes on. A header
    /// that says just that stays.
    pub fn set_version(&self, target: &str, effects: &mut Vec<Effect>, chosen: version::Version) {
        let mut lines = self.headers.all(version::HEADER);
        if (lines.next(), lines.next()) == (Some(chosen.as_str().as_bytes()), None) {
            effects.extend(without_version(target));
        } else {
            self.drop_versions(effects);
            set_version(target, effects, chosen);
        }
    }

    /// Removes the version if there are several: setting a header replaces its first value only.
    pub fn drop_versions(&self, effects: &mut Vec<Effect>) {
        if self.headers.all(version::HEADER).count() > 1 {
            effects.push(Effect::RemoveHeader(version::HEADER.into()));
        }
    }
}

/// Makes a request with one version at most name this one: in the header, and no longer in the query of `target`, which goes on.
pub fn set_version(target: &str, effects: &mut Vec<Effect>, chosen: version::Version) {
    effects.push(Effect::SetHeader(version::HEADER.into(), Value::Text(chosen.as_str().to_owned())));
    effects.extend(without_version(target));
}

fn without_version(target: &str) -> Option<Effect> {
    version::without_parameter(target).map(|target| Effect::SetHeader(":path".into(), Value::Text(target)))
}

/// Headers by which servers and frameworks let a request say another method, path or host than it has: an agent that
/// obeys one does another thing than what was judged. Also those in which proxies tell what came to them, if a client
/// says them; Envoy sets its own later.
const OVERRIDES: [&str; 12] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-envoy-original-path",
    "x-envoy-original-host",
];

/// The names among `headers` that must not go on from a client: what only we may use (`x-attache`, `x-attache-*` and what
/// `forward.headers` names, for whichever agent) and what tells
/// another method or path, also where a server would read `_` as `-`.
#[must_use]
pub fn reserved(headers: &Headers, config: &Config) -> Vec<String> {
    let own = config.identity_headers();
    let is_reserved = |name: &&str| is_ours(name) || is_override(name) || is_identity(name, own);
    // The first letter rules nearly all names out.
    let may_be = |name: &[u8]| matches!(name.first(), Some(b'x' | b'a')) || !own.is_empty();
    let mut names: Vec<String> = headers.names_if(may_be).filter(is_reserved).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The names among `trailers` that must not go on: what only we may use, the version, and credentials, which no
/// trailer may carry (RFC 9110 section 6.5.1). A server that merges trailers into headers would believe them.
#[must_use]
pub fn misplaced(trailers: &Headers, config: &Config, credentials: &SortedSet<String>) -> Vec<String> {
    let mut names = reserved(trailers, config);
    let known = |name: &&str| {
        *name == version::HEADER || steering::is_steering(name) || dropped::is_credential(name) || credentials.contains(*name)
    };
    names.extend(trailers.names().filter(known).map(str::to_owned));
    names
}

const fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

fn is_override(name: &str) -> bool {
    // Nearly all names are told apart by their beginning.
    name.starts_with('x') && OVERRIDES.iter().any(|own| own.len() == name.len() && name.bytes().map(folded).eq(own.bytes()))
}

/// Whether agents get a header of this name from us alone.
fn is_identity(name: &str, own: &SortedSet<String>) -> bool {
    !own.is_empty() && if name.contains('_') { own.contains(&name.replace('_', "-")) } else { own.contains(name) }
}

fn is_ours(name: &str) -> bool {
    let mut given = name.bytes().map(folded);
    // Nearly all names are told apart by their beginning.
    IDENTITY_HEADER.bytes().all(|ours| given.next() == Some(ours)) && matches!(given.next(), None | Some(b'-'))
        || name.len() == version::HEADER.len() && name != version::HEADER && name.bytes().map(folded).eq(version::HEADER.bytes())
}

#[cfg(test)]
mod tests {
    use super::{OVERRIDES, is_identity, is_ours, is_override};
    use crate::config;

    #[test]
    fn other_methods_and_paths_are_nobodys() {
        for name in ["x-http-method-override", "x_http_method_override", "x-original_url", "x-envoy-original-path"] {
            assert!(is_override(name), "{name}");
        }
        for name in ["x-forwarded-for", "x-forwarded-host", "x-http-method-overrides", "content-type"] {
            assert!(!is_override(name), "{name}");
        }
    }

    #[test]
    fn no_single_header_has_a_name_that_goes_anyway() {
        assert!(OVERRIDES.iter().all(|name| config::is_taken(name)));
        let own = ["x-user".to_owned(), "remote-user".to_owned()].into();
        for (name, is) in [("x-user", true), ("x_user", true), ("remote_user", true), ("x-users", false), ("xuser", false), ("", false)] {
            assert_eq!(is_identity(name, &own), is, "{name}");
        }
    }

    #[test]
    fn every_spelling_of_our_headers_is_ours() {
        for name in ["x-attache", "x_attache", "x-attache-subject", "x_attache_subject", "x-attache_kind", "x-attache-", "a2a_version"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["x-attach", "x-attaches", "x-attaché-a", "a2a-version", "a2a-extensions", "authorization", ""] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
