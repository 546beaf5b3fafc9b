//! Keeps the hosts behind the proxy out of what leaves it. Inner are the places where the source card says its interfaces
//! are, except the public one: a URL there is of no use outside. Hosts that no interface names cannot be known here.

use super::model::Card;
use crate::wire::path;
use crate::wire::sorted::SortedSet;
use serde_json::Value;

/// A host, in lower case, and its port where one is stated or the URL scheme implies it.
type Place = (String, Option<u16>);

/// The places not to be named.
#[derive(Debug)]
pub(super) struct InnerHosts {
    public: Option<Place>,
    public_url: String,
    inner: SortedSet<Place>,
    /// How texts name inner places without a URL around them.
    names: SortedSet<String>,
}

impl InnerHosts {
    /// The inner hosts of `card`, behind `public_url`.
    pub fn of(card: &Card, public_url: &str) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let public = place(&public_url);
        let inner: SortedSet<Place> =
            card.interfaces().iter().filter_map(|stated| place(stated.url)).filter(|inner| Some(inner) != public.as_ref()).collect();
        let mut names = SortedSet::new();
        for (host, port) in inner.iter().filter(|(host, _)| public.as_ref().is_none_or(|(public, _)| public != host)) {
            // A single word such as "agent" may be any word.
            match port {
                _ if host.contains(['.', '[']) => names.insert(host.clone()),
                Some(port) => names.insert(format!("{host}:{port}")),
                None => false,
            };
        }
        Self { public, public_url, inner, names }
    }

    /// Whether `url` (or `host:port`, as gRPC has it) is at an inner place.
    pub fn has(&self, url: &str) -> bool {
        place(url).is_some_and(|found| self.covers(&found))
    }

    fn covers(&self, found: &Place) -> bool {
        // On a host of its own every port is inner; on the public host only the one that is stated.
        let is_public = |host: &str| self.public.as_ref().is_some_and(|(public, _)| public == host);
        self.inner.contains(found) || self.inner.iter().any(|(host, _)| *host == found.0 && !is_public(host))
    }

    /// Takes inner hosts out of `value`. Strings that are URLs there go, with the member or element that they are;
    /// other texts get the public URL instead. False if `value` itself has to go.
    pub fn clean(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => {
                let is_url = text.contains("://") && !text.contains(char::is_whitespace);
                let stays = !(is_url && self.has(text));
                *text = self.rewritten(text);
                stays
            }
            Value::Array(elements) => {
                elements.retain_mut(|element| self.clean(element));
                true
            }
            Value::Object(members) => {
                members.retain(|name, value| self.rewritten(name) == *name && self.clean(value));
                true
            }
        }
    }

    fn rewritten(&self, text: &str) -> String {
        let mut text = self.without_urls(text);
        for name in &self.names {
            text = self.without_name(&text, name);
        }
        text
    }

    /// `text` with the public URL for each `scheme://authority` at an inner place.
    fn without_urls(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("://") {
            let lead = before.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
            let scheme = before.strip_prefix(lead).unwrap_or_default();
            let ends = |letter: char| !(letter.is_alphanumeric() || "-._~%:@[]".contains(letter));
            let authority = after.split(ends).next().unwrap_or_default().trim_end_matches(['.', ':']);
            if self.has(&format!("{scheme}://{authority}")) {
                out.push_str(lead);
                out.push_str(&self.public_url);
                rest = after.strip_prefix(authority).unwrap_or_default();
            } else {
                out.push_str(before);
                out.push_str("://");
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }

    /// `text` with the public host for each `name`, and the port behind it, that stands alone.
    fn without_name(&self, text: &str, name: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let public = self.public.as_ref().map_or("", |(host, _)| host.as_str());
        let mut out = String::new();
        let mut done = 0_usize;
        for (at, _) in lower.match_indices(name) {
            let behind = at.saturating_add(name.len());
            let after = text.get(behind..).unwrap_or_default();
            let joined = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
            let starts = text.get(..at).and_then(|before| before.chars().last()).is_none_or(|letter| !joined(letter) && letter != '.');
            let mut next = after.chars();
            let ends = match next.next() {
                Some('.') => next.next().is_none_or(|letter| !joined(letter)),
                Some(letter) => !joined(letter),
                None => true,
            };
            if at < done || !starts || !ends {
                continue;
            }
            let port = after.strip_prefix(':').map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count());
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str(public);
            done = behind.saturating_add(if port == 0 { 0 } else { port.saturating_add(1) });
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }
}

/// Where `url` points; `None` for a path.
fn place(url: &str) -> Option<Place> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // gRPC also writes `dns:///host:port`.
    let rest = if scheme.is_empty() { rest } else { rest.trim_start_matches('/') };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    if authority.is_empty() {
        return None;
    }
    let implied = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).or(implied);
    Some((path::host(authority).unwrap_or_else(|| authority.to_lowercase()), port))
}

#[cfg(test)]
mod tests {
    use super::{Card, InnerHosts};
    use serde_json::json;

    fn hosts(urls: &[&str], public: &str) -> InnerHosts {
        let interfaces: Vec<_> = urls.iter().map(|url| json!({ "url": url })).collect();
        InnerHosts::of(&Card::from_value(json!({ "supportedInterfaces": interfaces })).unwrap(), public)
    }

    #[test]
    fn urls_at_inner_hosts_are_known() {
        let hosts = hosts(&["http://Inner.example:9000/rpc", "dns:///grpc.local:1", "word:7", "/relative"], "https://out.example/a");
        for url in ["http://inner.example/", "https://INNER.example.:1/x", "grpc.local:2", "http://u:p@word/", "ws://grpc.local"] {
            assert!(hosts.has(url), "{url}");
        }
        for url in ["https://out.example/a", "http://inner.example.org/", "http://x.inner.example/", "/rpc", "https://docs.example"] {
            assert!(!hosts.has(url), "{url}");
        }
    }

    #[test]
    fn on_the_public_host_only_the_inner_port_is_inner() {
        let hosts = hosts(&["http://127.0.0.1:9000/"], "http://127.0.0.1:8080");
        assert!(hosts.has("http://127.0.0.1:9000/icon.png"));
        assert!(!hosts.has("http://127.0.0.1:8080/icon.png"));
        let mut text = json!("curl http://127.0.0.1:9000/x, not 127.0.0.1");
        assert!(hosts.clean(&mut text));
        assert_eq!(text, "curl http://127.0.0.1:8080/x, not 127.0.0.1");
        let same = self::hosts(&["https://out.example/a"], "https://out.example:443/b");
        assert!(!same.has("https://out.example/icon"));
    }

    #[test]
    fn values_lose_urls_and_texts_lose_names() {
        let hosts = hosts(&["http://inner.example:9000/rpc", "http://word:7"], "https://out.example/a/");
        let mut value = json!({
            "text": "At (http://inner.example:9000/rpc), Inner.Example:9000, inner.example. Not xinner.example, inner.example.org, word.",
            "link": "http://inner.example/docs",
            "list": ["http://word/", "word:7/x", "password:7", "word:70", {"deep": ["HTTP://INNER.EXAMPLE:9000"]}, 1, null],
            "http://inner.example/key": true,
            "kept": "https://docs.example/?from=x",
            "hidden": "https://docs.example/?from=http://inner.example:9000/",
        });
        assert!(hosts.clean(&mut value));
        assert_eq!(
            value,
            json!({
                "text": "At (https://out.example/a/rpc), out.example, out.example. Not xinner.example, inner.example.org, word.",
                "list": ["out.example/x", "password:7", "word:70", {"deep": []}, 1, null],
                "kept": "https://docs.example/?from=x",
                "hidden": "https://docs.example/?from=https://out.example/a/",
            })
        );
    }
}
