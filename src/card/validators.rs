//! What caches may do with a card that was projected (A2A 1.0 section 8.6.1, RFC 9110 section 13, RFC 9111).

use crate::protocol::version;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Response headers of the source that say something about other bytes than those that are sent. Lower case.
pub const STALE: [&str; 14] = [
    "etag",
    "last-modified",
    "content-length",
    "content-encoding",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "accept-ranges",
    "cache-control",
    "expires",
    "age",
    "surrogate-control",
    // A card that caches keep belongs to nobody.
    "set-cookie",
];

/// Request headers about bytes that the source does not have; it must answer with the whole card, uncompressed.
pub const CONDITIONS: [&str; 7] =
    ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range", "accept-encoding"];

/// A strong validator of `bytes`, in quotes. 96 bits of SHA-256: enough that nobody, not even who writes the card, makes
/// two cards of one caller's cache collide by chance.
#[must_use]
pub fn etag(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash.get(..12).unwrap_or_default()))
}

/// Whether a client that sent these `If-None-Match` lines has what `etag` names (RFC 9110 section 13.1.2): one of the
/// entity tags, compared weakly, or `*`. Lines that are no list of tags match nothing.
#[must_use]
pub fn is_known<'a>(lines: impl Iterator<Item = &'a [u8]>, etag: &str) -> bool {
    let mut known = false;
    for line in lines {
        let mut rest = line.trim_ascii();
        if rest == b"*" {
            known = true;
            continue;
        }
        while !rest.is_empty() {
            let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
            // Commas may stand inside of tags.
            let Some(end) = tag.strip_prefix(b"\"").and_then(|tag| tag.iter().position(|byte| *byte == b'"')) else { return false };
            let (tag, after) = tag.split_at_checked(end.saturating_add(2)).unwrap_or((tag, &[]));
            known |= tag == etag.as_bytes();
            let after = after.trim_ascii_start();
            rest = match after.strip_prefix(b",") {
                Some(next) => next.trim_ascii_start(),
                None if after.is_empty() => after,
                None => return false,
            };
        }
    }
    known
}

/// Who may see the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone.
    Public,
    /// Callers who were let in; perhaps only one of them.
    Caller,
    /// One caller, for whom the extended card was made.
    Extended,
}

/// The `Cache-Control` of a card. An extended card is asked for anew each time.
#[must_use]
pub fn cache_control(audience: Audience, max_age_seconds: u32) -> String {
    match audience {
        Audience::Public => format!("public, max-age={max_age_seconds}"),
        Audience::Caller => format!("private, max-age={max_age_seconds}"),
        Audience::Extended => "private, no-cache".to_owned(),
    }
}

/// The `Vary` of a card: the version header if it chose the shape, and unless the card is public the headers that carry
/// credentials (lower case), `authorization` for one. `None` if nothing of the request matters.
#[must_use]
pub fn vary<'a>(negotiated: bool, audience: Audience, credential_headers: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = negotiated.then_some(version::HEADER).into_iter().collect();
    if audience != Audience::Public {
        names.extend(credential_headers);
    }
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{Audience, cache_control, etag, is_known, vary};

    #[test]
    fn a_tag_names_its_bytes() {
        assert_eq!(etag(b""), "\"47DEQpj8HBSa-_TI\"");
        assert_ne!(etag(b"{}"), etag(b"{ }"));
    }

    #[test]
    fn a_client_that_has_the_card_is_known() {
        let tag = etag(b"{}");
        let known = |lines: &[&str]| is_known(lines.iter().map(|line| line.as_bytes()), &tag);
        for lines in [vec![tag.as_str()], vec!["*"], vec![&format!("\"a,b\" , W/{tag}")], vec!["\"x\"", &format!(" {tag}, ")]] {
            assert!(known(&lines), "{lines:?}");
        }
        let bare = tag.trim_matches('"');
        for lines in [
            vec![],
            vec![""],
            vec![bare],
            vec!["\"x\""],
            vec![&tag[1..]],
            vec![&tag[..5]],
            vec![&format!("{tag}x")],
            vec!["W/"],
            vec!["\""],
        ] {
            assert!(!known(&lines), "{lines:?}");
        }
    }

    #[test]
    fn only_public_cards_are_for_shared_caches() {
        assert_eq!(cache_control(Audience::Public, 300), "public, max-age=300");
        assert_eq!(cache_control(Audience::Caller, 60), "private, max-age=60");
        assert_eq!(cache_control(Audience::Extended, 60), "private, no-cache");
        let vary = |negotiated, audience| vary(negotiated, audience, ["authorization", "x-api-key"].into_iter());
        assert_eq!(vary(true, Audience::Public).as_deref(), Some("a2a-version"));
        assert_eq!(vary(true, Audience::Caller).as_deref(), Some("a2a-version, authorization, x-api-key"));
        assert_eq!(vary(false, Audience::Extended).as_deref(), Some("authorization, x-api-key"));
        assert_eq!(vary(false, Audience::Public), None);
    }
}
