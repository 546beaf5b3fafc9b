//! The identity in a client's verified certificate: its URI (such as a SPIFFE ID), else its DNS name, else its subject.

use crate::config::Allowed;
use crate::wire::path;

/// Longest identity that is looked at, in bytes.
const MAX_BYTES: usize = 2048;

/// A verified certificate, as far as it matters. Texts are as the proxy gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The first URI among the subject's alternative names.
    pub uri: Option<String>,
    /// The first DNS name among them.
    pub dns: Option<String>,
    /// The subject (RFC 2253).
    pub subject: Option<String>,
    /// SHA-256 of the certificate (DER).
    pub digest: Option<[u8; 32]>,
}

/// Who a certificate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Identity<'p> {
    Uri(&'p str),
    Dns(&'p str),
    Subject(&'p str),
}

impl Identity<'_> {
    /// The identity as text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Dns(text) | Self::Subject(text) => text,
        }
    }
}

impl Peer {
    /// Who it belongs to. `None` if the certificate says it in a way that nobody should rely on: with characters that are not
    /// visible ASCII, or at great length. A worse name never stands in for an odd better one.
    #[must_use]
    pub fn identity(&self) -> Option<Identity<'_>> {
        let said = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let identity = match self {
            Self { uri: Some(uri), .. } if said(&self.uri) => Identity::Uri(uri),
            Self { dns: Some(dns), .. } if said(&self.dns) => Identity::Dns(dns),
            Self { subject: Some(subject), .. } if said(&self.subject) => Identity::Subject(subject),
            _ => return None,
        };
        let fits = |byte: u8| byte.is_ascii_graphic() || (byte == b' ' && matches!(identity, Identity::Subject(_)));
        (identity.as_str().len() <= MAX_BYTES && identity.as_str().bytes().all(fits)).then_some(identity)
    }

    /// The entry of `list` that admits it.
    #[must_use]
    pub fn admitted_by<'l>(&self, list: &'l [Allowed]) -> Option<&'l Allowed> {
        let identity = self.identity()?;
        list.iter().find(|allowed| match identity {
            Identity::Uri(uri) => allowed.uri.as_deref().is_some_and(|pattern| covers_uri(pattern, uri)),
            Identity::Dns(name) => allowed.dns.as_deref().is_some_and(|pattern| covers_name(pattern, name)),
            Identity::Subject(subject) => allowed.subject.as_deref() == Some(subject),
        })
    }
}

/// Whole, or with `/*` everything below that can be read in one way only.
fn covers_uri(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix("/*") {
        None => pattern == uri,
        Some(start) => {
            let rest = uri.strip_prefix(start).filter(|rest| rest.len() > 1 && rest.starts_with('/'));
            rest.is_some_and(|rest| !path::is_ambiguous(rest) && !rest.contains(['?', '%']))
        }
    }
}

/// Whole, or with `*.` every name below. A name that is a pattern itself is nobody's.
fn covers_name(pattern: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    if name.contains('*') {
        return false;
    }
    match pattern.strip_prefix("*.") {
        None => pattern == name,
        Some(end) => name.strip_suffix(end).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowed, Identity, Peer};

    fn peer(uri: &str, dns: &str, subject: &str) -> Peer {
        let some = |text: &str| (text != "-").then(|| text.to_owned());
        Peer { uri: some(uri), dns: some(dns), subject: some(subject), digest: None }
    }

    #[test]
    fn the_best_name_counts_and_no_worse_one_instead() {
        let both = peer("spiffe://corp/a", "a.example.com", "CN=a");
        assert_eq!(both.identity(), Some(Identity::Uri("spiffe://corp/a")));
        assert_eq!(peer("", "a.example.com", "CN=a").identity(), Some(Identity::Dns("a.example.com")));
        assert_eq!(peer("-", "-", "CN=a b,O=c").identity(), Some(Identity::Subject("CN=a b,O=c")));
        let long = "a".repeat(3000);
        for odd in [
            peer("-", "-", "-"),
            peer("", "", ""),
            peer("spiffe://corp/é", "a.example.com", "CN=a"),
            peer("a b", "a", "a"),
            peer(&long, "a", "a"),
        ] {
            assert_eq!(odd.identity(), None, "{odd:?}");
        }
    }

    #[test]
    fn identities_are_admitted_whole_or_below() {
        let uri = |text: &str| Allowed { uri: Some(text.to_owned()), ..Allowed::default() };
        let dns = |text: &str| Allowed { dns: Some(text.to_owned()), ..Allowed::default() };
        let subject = |text: &str| Allowed { subject: Some(text.to_owned()), ..Allowed::default() };
        let list =
            [uri("spiffe://corp/a"), uri("spiffe://corp/ns/*"), dns("a.example.com"), dns("*.agents.example.com"), subject("CN=a,O=b")];
        for good in [
            peer("spiffe://corp/a", "-", "-"),
            peer("spiffe://corp/ns/x", "-", "-"),
            peer("spiffe://corp/ns/x/sa/y", "-", "-"),
            peer("-", "A.example.com", "-"),
            peer("-", "x.y.agents.example.com", "-"),
            peer("-", "-", "CN=a,O=b"),
        ] {
            assert!(good.admitted_by(&list).is_some(), "{good:?}");
        }
        for bad in [
            peer("spiffe://corp/A", "a.example.com", "CN=a,O=b"),
            peer("spiffe://corp/a/", "-", "-"),
            peer("spiffe://corp/ab", "-", "-"),
            peer("spiffe://corp/ns", "-", "-"),
            peer("spiffe://corp/ns/", "-", "-"),
            peer("spiffe://corp/nsx", "-", "-"),
            peer("spiffe://corp/ns/../a", "-", "-"),
            peer("spiffe://corp/ns/%2e%2e/a", "-", "-"),
            peer("spiffe://corp/ns//a", "-", "-"),
            peer("spiffe://corp/ns/*?x", "-", "-"),
            peer("-", "agents.example.com", "-"),
            peer("-", ".agents.example.com", "-"),
            peer("-", "xagents.example.com", "-"),
            peer("-", "*.agents.example.com", "-"),
            peer("-", "spiffe://corp/a", "-"),
            peer("-", "CN=a,O=b", "-"),
            peer("-", "-", "CN=a,O=B"),
            peer("-", "-", "a.example.com"),
        ] {
            assert_eq!(bad.admitted_by(&list), None, "{bad:?}");
        }
    }
}
