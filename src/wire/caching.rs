//! How long an answer is fresh by what its headers say, and how it is asked for again (RFC 9111).

use super::header::Headers;
use std::time::Duration;

/// Longest validator that is kept.
const MAX_ETAG: usize = 256;

/// What the headers of an answer say to who keeps it for itself: a private cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caching {
    /// How much longer it is fresh (`max-age` less `Age`; nothing, if it asks not to be kept). `None` if it does not say.
    pub lifetime: Option<Duration>,
    /// Its validator, with quotes: for `If-None-Match` (RFC 9110 section 13.1.2).
    pub etag: Option<String>,
}

impl Caching {
    /// Reads the headers of an answer. What cannot be understood makes an answer stale, not fresh.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let age = headers.single_ascii("age").and_then(|text| seconds(text.trim())).unwrap_or_default();
        let directives = headers.all("cache-control").flat_map(|line| line.split(|byte| *byte == b','));
        let fresh = directives.filter_map(freshness).min();
        let etag = headers.single_ascii("etag").filter(|tag| tag.len() <= MAX_ETAG && is_etag(tag)).map(str::to_owned);
        Self { lifetime: fresh.map(|fresh| Duration::from_secs(fresh.saturating_sub(age))), etag }
    }
}

/// The seconds of freshness that a directive grants, if it is about that.
fn freshness(directive: &[u8]) -> Option<u64> {
    let directive = String::from_utf8_lossy(directive.trim_ascii()).to_ascii_lowercase();
    match directive.split_once('=') {
        Some(("max-age", value)) => Some(seconds(value.trim_matches('"')).unwrap_or_default()),
        None if matches!(directive.as_str(), "no-cache" | "no-store") => Some(0),
        _ => None,
    }
}

/// `delta-seconds` (RFC 9111 section 1.2.2): more than can be counted is the most that can.
fn seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// RFC 9110 section 8.8.3.
fn is_etag(tag: &str) -> bool {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    opaque.is_some_and(|opaque| opaque.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e)))
}

#[cfg(test)]
mod tests {
    use super::{Caching, Duration, Headers};

    fn caching(headers: &[(&str, &str)]) -> Caching {
        Caching::of(&Headers::new(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()))
    }

    #[test]
    fn freshness_is_max_age_less_age() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("cache-control", "public")][..], None),
            (&[("cache-control", "public, max-age=3600")][..], Some(3600)),
            (&[("cache-control", "Max-Age=\"60\" , s-maxage=5")][..], Some(60)),
            (&[("cache-control", "max-age=60"), ("age", "45")][..], Some(15)),
            (&[("cache-control", "max-age=60"), ("age", "61")][..], Some(0)),
            (&[("cache-control", "max-age=60"), ("age", "x")][..], Some(60)),
            (&[("cache-control", "max-age=60"), ("cache-control", "max-age=30")][..], Some(30)),
            (&[("cache-control", "max-age=60, no-store")][..], Some(0)),
            (&[("cache-control", "no-cache")][..], Some(0)),
            (&[("cache-control", "no-cache=\"set-cookie\"")][..], None),
            (&[("cache-control", "max-age=-1")][..], Some(0)),
            (&[("cache-control", "max-age=")][..], Some(0)),
            (&[("cache-control", "max-age=99999999999999999999999")][..], Some(u64::MAX)),
            (&[("age", "5")][..], None),
        ] {
            assert_eq!(caching(headers).lifetime, expected.map(Duration::from_secs), "{headers:?}");
        }
    }

    #[test]
    fn only_an_entity_tag_is_kept() {
        let long = format!("\"{}\"", "x".repeat(300));
        for (tag, is_kept) in
            [("\"a\"", true), ("W/\"a b\"", false), ("W/\"a,b\"", true), ("a", false), ("\"", false), ("w/\"a\"", false), (&long, false)]
        {
            assert_eq!(caching(&[("etag", tag)]).etag.as_deref(), is_kept.then_some(tag), "{tag}");
        }
        assert_eq!(caching(&[("etag", "\"a\""), ("etag", "\"b\"")]).etag, None);
    }
}
