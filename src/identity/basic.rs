//! Names and passwords in `Authorization: Basic` (RFC 7617).

use super::secret_digest;
use crate::wire::header::Headers;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// Why a request has no usable name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BasicError {
    /// No `Authorization` header, or one of another scheme.
    #[error("no name and password")]
    Missing,
    /// More than one `Authorization` header, or several in one.
    #[error("more than one credential")]
    Repeated,
    /// `Basic` without a name and a password in base64.
    #[error("the Authorization header is not Basic with a name and a password")]
    Malformed,
}

/// The SHA-256 of `name:password`.
///
/// # Errors
/// As [`BasicError`] says. A bad credential is never taken for a missing one.
pub fn presented(headers: &Headers) -> Result<[u8; 32], BasicError> {
    let mut lines = headers.all("authorization");
    let line = lines.next().ok_or(BasicError::Missing)?;
    if lines.next().is_some() {
        return Err(BasicError::Repeated);
    }
    let (scheme, rest) = line.split_at_checked(5).unwrap_or((line, b""));
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(BasicError::Missing);
    }
    // Envoy makes one line of several; base64 has no comma.
    if rest.contains(&b',') {
        return Err(BasicError::Repeated);
    }
    // RFC 9110 section 11.4: one space or more.
    let mut text = rest.strip_prefix(b" ").ok_or(BasicError::Malformed)?;
    while let Some(behind) = text.strip_prefix(b" ") {
        text = behind;
    }
    if text.len() > secret_digest::MAX_BYTES.saturating_mul(2) {
        return Err(BasicError::Malformed);
    }
    let pair = STANDARD.decode(text).map_err(|_| BasicError::Malformed)?;
    // RFC 7617 section 2: the name ends at the first colon, and there are no control characters.
    if !pair.contains(&b':') || pair.iter().any(u8::is_ascii_control) {
        return Err(BasicError::Malformed);
    }
    secret_digest::digest(&pair).ok_or(BasicError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::{BasicError, Headers, presented, secret_digest};

    fn read(lines: &[&str]) -> Result<[u8; 32], BasicError> {
        presented(&Headers::new(lines.iter().map(|line| ("authorization".to_owned(), line.as_bytes().to_vec())).collect()))
    }

    #[test]
    fn one_pair_in_base64() {
        let pair = secret_digest::digest(b"Aladdin:open sesame").unwrap();
        for scheme in ["Basic", "basic", "BASIC"] {
            assert_eq!(read(&[&format!("{scheme} QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]), Ok(pair));
        }
        assert_eq!(read(&["Basic Og=="]), Ok(secret_digest::digest(b":").unwrap()));
        assert_eq!(read(&["Basic   Og=="]), Ok(secret_digest::digest(b":").unwrap()));
        assert_eq!(read(&[]), Err(BasicError::Missing));
        assert_eq!(read(&["Bearer a.b.c"]), Err(BasicError::Missing));
        assert_eq!(read(&["Basic Og==", "Basic Og=="]), Err(BasicError::Repeated));
        assert_eq!(read(&["Basic Og==,Basic Og=="]), Err(BasicError::Repeated));
        let long = format!("Basic {}", "QQ".repeat(10_000));
        for odd in [
            "Basic",
            "Basic ",
            "Basic  ",
            "Basic\tOg==",
            "BasicOg==",
            "Basic Og",
            "Basic Og== ",
            "Basic QQ==",
            "Basic OgA=",
            "Basic -_",
            &long,
        ] {
            assert_eq!(read(&[odd]), Err(BasicError::Malformed), "{odd:?}");
        }
    }
}
