//! The bearer token of a request (RFC 6750 section 2.1): exactly one, in the `Authorization` header only. A request that
//! has another in its query (section 2.3) has two, and none counts.

use crate::wire::header::Headers;
use thiserror::Error;

/// Longest accepted token. Real ones have 1-4 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a request has no usable bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BearerError {
    /// No `Authorization` header, or one of another scheme.
    #[error("no bearer token")]
    Missing,
    /// More than one `Authorization` header, several credentials in one, or another in the query.
    #[error("more than one credential")]
    Repeated,
    /// `Bearer` without a token, or with characters that no token has.
    #[error("the Authorization header is not Bearer and one token")]
    Malformed,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is too long")]
    TooLarge,
}

/// The token of the request. The scheme is compared without regard to case (RFC 9110 section 11.1).
///
/// # Errors
/// As [`BearerError`] says. A bad credential is never taken for a missing one.
pub fn token(headers: &Headers) -> Result<&str, BearerError> {
    token_unless_known(headers, |_| false)
}

/// The same where `is_known` tells a token that was accepted before, letter by letter: its letters are not looked at again.
///
/// # Errors
/// As [`token`].
pub fn token_unless_known(headers: &Headers, is_known: impl FnOnce(&str) -> bool) -> Result<&str, BearerError> {
    let mut lines = headers.all("authorization");
    let line = lines.next().ok_or(BearerError::Missing)?;
    if lines.next().is_some() {
        return Err(BearerError::Repeated);
    }
    if line.len() > MAX_TOKEN_BYTES.saturating_add("Bearer ".len()) {
        return Err(BearerError::TooLarge);
    }
    let line = std::str::from_utf8(line).map_err(|_| BearerError::Malformed)?;
    let (scheme, rest) = line.split_once(' ').unwrap_or((line, ""));
    // RFC 9110 section 11.4: one space or more.
    let rest = rest.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        let looks_like_bearer = scheme.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("bearer"));
        return Err(if looks_like_bearer || scheme.is_empty() { BearerError::Malformed } else { BearerError::Missing });
    }
    // RFC 6750 `b64token`; a compact JWS uses `-` `_` `.` of it.
    let fits = |byte| matches!(byte, b'-'..=b'9' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'~' | b'+' | b'=');
    if rest.is_empty() || !(is_known(rest) || rest.bytes().all(fits)) {
        return Err(if rest.contains(',') { BearerError::Repeated } else { BearerError::Malformed });
    }
    if has_query_token(headers) {
        return Err(BearerError::Repeated);
    }
    Ok(rest)
}

/// Whether the query has a parameter `access_token`, however it is escaped.
fn has_query_token(headers: &Headers) -> bool {
    let queries = headers.all(":path").filter_map(|path| path.splitn(2, |byte| *byte == b'?').nth(1));
    queries.into_iter().any(|query| form_urlencoded::parse(query).any(|(name, _)| name == "access_token"))
}

#[cfg(test)]
mod tests {
    use super::{BearerError, Headers, token};

    fn read(lines: &[&[u8]]) -> Result<String, BearerError> {
        let headers = Headers::new(lines.iter().map(|line| ("authorization".to_owned(), line.to_vec())).collect());
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn one_token_in_any_case_of_the_scheme() {
        for line in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer  a.b.c", "Bearer     a.b.c"] {
            assert_eq!(read(&[line.as_bytes()]).as_deref(), Ok("a.b.c"));
        }
    }

    #[test]
    fn a_token_in_the_query_is_one_too_many() {
        let read = |path: &str| {
            let headers = [(":path".to_owned(), path.as_bytes().to_vec()), ("authorization".to_owned(), b"Bearer a.b.c".to_vec())];
            token(&Headers::new(headers.to_vec())).map(str::to_owned)
        };
        for path in ["/a?access_token=x", "/a?b=c&access%5Ftoken", "/a??x&%61ccess_token="] {
            assert_eq!(read(path), Err(BearerError::Repeated), "{path}");
        }
        for path in ["/a", "/access_token", "/a?x=access_token", "/a?ACCESS_TOKEN=x", "/a?"] {
            assert!(read(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_bad_credential_is_not_a_missing_one() {
        assert_eq!(read(&[]), Err(BearerError::Missing));
        assert_eq!(read(&[b"Basic YTpi"]), Err(BearerError::Missing));
        assert_eq!(read(&[b"Bearer a", b"Bearer a"]), Err(BearerError::Repeated));
        assert_eq!(read(&[b"Bearer a, Bearer b"]), Err(BearerError::Repeated));
        for odd in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer   ",
            b"Bearer \ta",
            b"Bearer\ta",
            b"Bearera.b.c",
            b"Bearer a b",
            b"Bearer a\xff",
            b"\xff",
            b" Bearer a",
            b"",
        ] {
            assert_eq!(read(&[odd]), Err(BearerError::Malformed), "{odd:?}");
        }
        let long = format!("Bearer {}", "a".repeat(100_000));
        assert_eq!(read(&[long.as_bytes()]), Err(BearerError::TooLarge));
    }
}
