//! API keys: in a header, a parameter of the query, or a cookie (OpenAPI 3 `apiKey`, A2A `APIKeySecurityScheme`). Exactly one
//! at its place, or the request is refused: servers disagree on which of two counts.

use super::secret_digest;
use crate::config::{ApiKey, KeyPlace};
use crate::wire::header::Headers;
use std::borrow::Cow;
use thiserror::Error;

/// Why a request has no usable key at a place that holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// More than one.
    #[error("more than one key")]
    Repeated,
    /// Longer than any key.
    #[error("the key is too long")]
    TooLarge,
}

/// The SHA-256 of the key that a request presents; `None` if there is nothing at its place. An empty key is one, too.
///
/// # Errors
/// As [`KeyError`] says. A bad key is never taken for a missing one.
pub fn presented(scheme: &ApiKey, headers: &Headers, query: Option<&str>) -> Result<Option<[u8; 32]>, KeyError> {
    match scheme.place {
        KeyPlace::Header => one(headers.all(&scheme.name).map(Cow::Borrowed)),
        KeyPlace::Query => one(query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
            let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
            name.eq_ignore_ascii_case(&scheme.name).then(|| Cow::Owned(value.into_owned().into_bytes()))
        })),
        KeyPlace::Cookie => {
            one(cookies(headers).filter(|(name, _)| *name == scheme.name.as_bytes()).map(|(_, value)| Cow::Borrowed(value)))
        }
    }
}

fn one<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Result<Option<[u8; 32]>, KeyError> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => secret_digest::digest(&key).map(Some).ok_or(KeyError::TooLarge),
        (Some(_), Some(_)) => Err(KeyError::Repeated),
    }
}

/// Every cookie: name and value, as they came (RFC 6265 section 4.2.1).
pub fn cookies(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.all("cookie").flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(end)?;
        Some((name.trim_ascii_end(), value.get(1..)?.trim_ascii_start()))
    })
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, Headers, KeyError, KeyPlace, presented, secret_digest};

    fn read(place: KeyPlace, headers: &[(&str, &str)], query: Option<&str>) -> Result<Option<&'static str>, KeyError> {
        let scheme = ApiKey { place, name: "key".to_owned(), keys: Vec::new() };
        let list = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let found = presented(&scheme, &Headers::new(list), query)?;
        Ok(found.map(|digest| {
            ["", "a", "a b", "é", "a=b", "\"a\""]
                .into_iter()
                .find(|key| secret_digest::digest(key.as_bytes()) == Some(digest))
                .unwrap_or("?")
        }))
    }

    #[test]
    fn a_key_is_read_at_its_place_only() {
        assert_eq!(read(KeyPlace::Header, &[("key", "a"), ("cookie", "key=b")], Some("key=c")), Ok(Some("a")));
        assert_eq!(read(KeyPlace::Query, &[("key", "b"), ("cookie", "key=b")], Some("x=1&key=a&y")), Ok(Some("a")));
        assert_eq!(read(KeyPlace::Cookie, &[("key", "b"), ("cookie", "x=1; key=a; y")], Some("key=b")), Ok(Some("a")));
        for place in [KeyPlace::Header, KeyPlace::Query, KeyPlace::Cookie] {
            assert_eq!(read(place, &[("keys", "a"), ("cookie", "keys=a; Key=a")], Some("keys=a&xkey=a")), Ok(None));
            assert_eq!(read(place, &[], None), Ok(None));
        }
        for (query, key) in [("key=", ""), ("key", ""), ("%6bey=a%20b", "a b"), ("KEY=a+b", "a b"), ("key=%c3%a9", "é"), ("key=a=b", "a=b")]
        {
            assert_eq!(read(KeyPlace::Query, &[], Some(query)), Ok(Some(key)), "{query}");
        }
        for (cookie, key) in [("key=", ""), ("key=a=b", "a=b"), ("key=\"a\"", "\"a\""), (" key =a ", "a")] {
            assert_eq!(read(KeyPlace::Cookie, &[("cookie", cookie)], None), Ok(Some(key)), "{cookie}");
        }
    }

    #[test]
    fn two_keys_are_refused_even_when_they_are_the_same() {
        assert_eq!(read(KeyPlace::Header, &[("key", "a"), ("key", "a")], None), Err(KeyError::Repeated));
        assert_eq!(read(KeyPlace::Query, &[], Some("key=a&%6Bey=a")), Err(KeyError::Repeated));
        assert_eq!(read(KeyPlace::Cookie, &[("cookie", "key=a"), ("cookie", "key=a")], None), Err(KeyError::Repeated));
        assert_eq!(read(KeyPlace::Cookie, &[("cookie", "key=a; key=b")], None), Err(KeyError::Repeated));
        let long = "a".repeat(2000);
        assert_eq!(read(KeyPlace::Header, &[("key", &long)], None), Err(KeyError::TooLarge));
    }
}
