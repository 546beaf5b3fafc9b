//! Absolute `http` and `https` URIs, split into what a request needs (RFC 9110 section 4.2).

use crate::wire::authority::port_start;
use crate::wire::path;
use serde::Deserialize;
use std::fmt;

/// An absolute `http` or `https` URI without user information and fragment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r#"^https?://[!-"$-.0->A-~][!-"$-~]*$"#)))]
#[serde(try_from = "String")]
pub struct HttpUri {
    tls: bool,
    authority: String,
    path: String,
    /// It was written without a path.
    bare: bool,
}

impl HttpUri {
    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Host and port, as `:authority`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query, as `:path`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether `other` has the same scheme, host and port (RFC 6454 section 5).
    #[must_use]
    pub fn has_origin_of(&self, other: &Self) -> bool {
        self.tls == other.tls && self.has_authority_of(other)
    }

    /// Whether `other` has the same host and port, by whatever scheme: the port of the scheme where none is stated, or none stated
    /// for either.
    #[must_use]
    pub fn has_authority_of(&self, other: &Self) -> bool {
        let (own, port) = self.place();
        let (theirs, other_port) = other.place();
        let default = |tls: bool| if tls { 443 } else { 80 };
        own == theirs && (port == other_port || port.unwrap_or(default(self.tls)) == other_port.unwrap_or(default(other.tls)))
    }

    /// The host as [`path::host`] has it, and the port that is stated.
    fn place(&self) -> (Option<String>, Option<u16>) {
        let port = port_start(&self.authority).and_then(|at| self.authority.get(at..)?.strip_prefix(':')?.parse().ok());
        (path::host(&self.authority), port)
    }

    /// It as it was written: with a slash after the host only if one stood there. An identifier (RFC 9728 section 3.3) is compared
    /// byte for byte.
    #[must_use]
    pub fn identifier(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, if self.bare { "" } else { &self.path })
    }

    /// The same place with another path.
    #[must_use]
    pub fn at(&self, path: String) -> Self {
        Self { tls: self.tls, authority: self.authority.clone(), path, bare: false }
    }
}

impl PartialEq for HttpUri {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.has_origin_of(other)
    }
}

impl Eq for HttpUri {}

impl fmt::Display for HttpUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

impl TryFrom<String> for HttpUri {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err("must start with https:// or http://"),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains('#') {
            return Err("must be visible ASCII without a fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if path::host(authority).is_none() {
            return Err("must name a host, without user information");
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { tls, authority: authority.to_owned(), path: format!("{slash}{target}"), bare: target.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::HttpUri;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let uri = |text: &str| HttpUri::try_from(text.to_owned()).unwrap();
        let own = uri("https://a.example/card");
        for same in ["https://a.example", "https://A.example.:443/x?y", "https://a.example:0443/"] {
            assert!(uri(same).has_origin_of(&own), "{same}");
        }
        for other in [
            "http://a.example",
            "http://a.example:443",
            "https://a.example:8443",
            "https://b.a.example",
            "https://[::1]",
            "https://a.example.evil",
        ] {
            assert!(!uri(other).has_origin_of(&own), "{other}");
        }
        assert!(!uri("http://[::1]:80").has_origin_of(&uri("http://[::2]")) && uri("http://[::1]:80").has_origin_of(&uri("http://[::1]")));
    }

    #[test]
    fn equal_uris_are_one_however_they_are_written() {
        let uri = |text: &str| HttpUri::try_from(text.to_owned()).unwrap();
        let own = uri("https://a.example/v2.0?x");
        for same in ["https://A.Example/v2.0?x", "https://a.example:443/v2.0?x", "https://a.example.:0443/v2.0?x"] {
            assert_eq!(uri(same), own, "{same}");
        }
        assert_eq!(uri("https://a.example"), uri("https://a.example/"));
        for other in [
            "http://a.example/v2.0?x",
            "https://a.example/V2.0?x",
            "https://a.example/v2.0/?x",
            "https://a.example/v2.0",
            "https://a.example:80/v2.0?x",
            "https://b.example/v2.0?x",
        ] {
            assert_ne!(uri(other), own, "{other}");
        }
    }

    #[test]
    fn an_authority_is_one_under_either_scheme() {
        let is_same = |one: &str, other: &str| {
            let uri = |text: &str| HttpUri::try_from(text.to_owned()).unwrap();
            let (one, other) = (uri(one), uri(other));
            assert_eq!(one.has_authority_of(&other), other.has_authority_of(&one));
            one.has_authority_of(&other)
        };
        for (one, other) in [
            ("http://a.example", "https://A.example/x"),
            ("https://a.example", "https://a.example:443"),
            ("http://a.example:443", "https://a.example"),
            ("http://a.example:8443", "https://a.example:8443"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("http://a.example", "http://b.example"),
            ("http://a.example:80", "https://a.example"),
            ("https://a.example:8443", "https://a.example"),
            ("http://[::1]", "http://[::2]"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_uri_gives_authority_and_path() {
        let parts =
            |text: &str| HttpUri::try_from(text.to_owned()).map(|uri| (uri.scheme(), uri.authority().to_owned(), uri.path().to_owned()));
        assert_eq!(parts("https://a.example:8443/jwks?x=1"), Ok(("https", "a.example:8443".into(), "/jwks?x=1".into())));
        assert_eq!(parts("http://a.example"), Ok(("http", "a.example".into(), "/".into())));
        assert_eq!(parts("http://a.example?x"), Ok(("http", "a.example".into(), "/?x".into())));
        for odd in ["", "a.example/jwks", "ftp://a/", "https://", "https://u@a/", "https://a/#f", "https://a/b c"] {
            assert!(parts(odd).is_err(), "{odd:?}");
        }
    }
}
