//! Parameters of a form or a query: so many, so long, and each once (RFC 6749 section 3.1).

use crate::wire::header::Headers;
use crate::wire::media_type::MediaType;
use std::fmt;
use thiserror::Error;

/// The most bytes of a form or a query. Codes and states of some servers have thousands.
pub const MOST_BYTES: usize = 16_384;
/// The most parameters.
const MOST: usize = 32;

/// Parameters, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

/// Why there are none that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParametersError {
    /// More than [`MOST_BYTES`].
    #[error("more than 16384 bytes")]
    TooLong,
    /// More than 32.
    #[error("more than 32 parameters")]
    TooMany,
    /// One is there twice: readers disagree on which counts.
    #[error("a parameter is there twice")]
    Repeated,
}

impl Parameters {
    /// Those of a query, or of a body that [`is_form`].
    ///
    /// # Errors
    /// As [`ParametersError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParametersError> {
        if bytes.len() > MOST_BYTES {
            return Err(ParametersError::TooLong);
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if pairs.len() >= MOST {
                return Err(ParametersError::TooMany);
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(ParametersError::Repeated);
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The value of `name`. One without a value counts as not there (RFC 6749 section 3.1).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// How many: names and values are a caller's, and a value may be a code.
impl fmt::Debug for Parameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parameters").field("count", &self.pairs.len()).finish()
    }
}

/// Whether the body of a request is a form, by its one `content-type`.
#[must_use]
pub fn is_form(headers: &Headers) -> bool {
    matches!(MediaType::of(headers), Ok(Some(media)) if media.is("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use super::{Headers, Parameters, ParametersError, is_form};

    fn parse(text: &str) -> Result<Parameters, ParametersError> {
        Parameters::parse(text.as_bytes())
    }

    #[test]
    fn parameters_are_decoded_and_those_without_value_are_not_there() {
        let found = parse("code=a%2Bb+c&state=%C3%A9&empty=&bare&&=x&odd=%ff%zz").unwrap();
        assert_eq!(found.get("code"), Some("a+b c"));
        assert_eq!(found.get("state"), Some("é"));
        assert_eq!(found.get("odd"), Some("\u{fffd}%zz"));
        for absent in ["empty", "bare", "other", "Code"] {
            assert_eq!(found.get(absent), None, "{absent}");
        }
        assert_eq!(parse("").unwrap().get("code"), None);
    }

    #[test]
    fn nothing_is_there_twice() {
        for odd in ["code=a&code=a", "code=a&c%6fde=b", "code=&code=a", "x&y&x", "error=a&code=b&error=c"] {
            assert_eq!(parse(odd), Err(ParametersError::Repeated), "{odd}");
        }
        assert!(parse("code=a&Code=b").is_ok());
    }

    #[test]
    fn there_are_so_many_and_so_long() {
        let list = |count: usize| (0..count).map(|number| format!("p{number}=v")).collect::<Vec<_>>().join("&");
        assert!(parse(&list(32)).is_ok());
        assert_eq!(parse(&list(33)), Err(ParametersError::TooMany));
        assert!(parse(&format!("code={}", "a".repeat(16_379))).is_ok());
        assert_eq!(parse(&format!("code={}", "a".repeat(16_380))), Err(ParametersError::TooLong));
    }

    #[test]
    fn what_is_in_them_is_not_printed() {
        assert_eq!(format!("{:?}", parse("code=secret&other=x").unwrap()), "Parameters { count: 2 }");
    }

    #[test]
    fn a_form_says_that_it_is_one() {
        let says = |lines: &[&str]| {
            is_form(&Headers::new(lines.iter().map(|line| ("content-type".to_owned(), line.as_bytes().to_vec())).collect()))
        };
        assert!(says(&["application/x-www-form-urlencoded"]) && says(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]));
        for odd in [
            &[][..],
            &["text/plain"],
            &["application/json"],
            &["multipart/form-data; boundary=a"],
            &["application/x-www-form-urlencoded", "text/plain"],
        ] {
            assert!(!says(odd), "{odd:?}");
        }
    }
}
