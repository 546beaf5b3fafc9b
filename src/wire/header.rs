//! Request headers as bytes: read once, never trusted to be UTF-8, repeats kept (RFC 9110 section 5).

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Request headers in the order that the proxy gives them. Names are lower case; values are raw bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Takes the header list of one request.
    #[must_use]
    pub const fn new(list: Vec<(String, Vec<u8>)>) -> Self {
        Self(list)
    }

    /// Every value of header `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_slice())
    }

    /// The value of header `name` if it is there exactly once and is visible ASCII (RFC 9110 `field-value`
    /// without `obs-text`).
    #[must_use]
    pub fn single_ascii<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next().filter(|value| value.iter().all(|byte| matches!(byte, 0x20..=0x7e)))?;
        match values.next() {
            None => std::str::from_utf8(value).ok(),
            Some(_) => None,
        }
    }

    /// Whether header `name` (lower case) is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// The same without the header `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(given, _)| given != name);
    }

    /// Every name and value, repeats included.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Every name, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Bytes of all names and values together: what Envoy counts as the size of the headers.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.0.iter().fold(0, |sum: usize, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()))
    }
}

/// What may not stand in a header value that we write from a claim: controls, `%` (it introduces an escape)
/// and everything that is not ASCII.
const UNSAFE: &AsciiSet = &CONTROLS.add(b'%');

/// `text` as a header value: visible ASCII and spaces between, the rest percent-encoded as UTF-8 bytes. A claim can
/// therefore never end a header line or add one, and two claims never make one value: spaces at either end, which a reader
/// takes for padding (RFC 9110 section 5.5), are `%20`.
#[must_use]
pub fn safe_value(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let is_plain = inner.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'%');
    // Nearly all are plain.
    if is_plain && inner.len() == text.len() {
        return text.to_owned();
    }
    let before = text.len().saturating_sub(text.trim_start_matches(' ').len());
    let behind = text.len().saturating_sub(before).saturating_sub(inner.len());
    format!("{}{}{}", "%20".repeat(before), utf8_percent_encode(inner, UNSAFE), "%20".repeat(behind))
}

/// Whether `name` is a valid header name in lower case (RFC 9110 `token`), and no pseudo-header.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether `name` is a `token` (RFC 9110 section 5.6.2), in any case.
#[must_use]
pub fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{Headers, is_name, safe_value};

    #[test]
    fn a_repeated_or_odd_header_has_no_single_value() {
        let headers = Headers::new(vec![
            ("a".into(), b"1".to_vec()),
            ("b".into(), b"2".to_vec()),
            ("b".into(), b"3".to_vec()),
            ("c".into(), vec![0xff]),
        ]);
        assert_eq!(headers.single_ascii("a"), Some("1"));
        for name in ["b", "c", "d"] {
            assert_eq!(headers.single_ascii(name), None, "{name}");
        }
        assert_eq!(headers.all("b").count(), 2);
        assert_eq!(headers.byte_size(), 8);
    }

    #[test]
    fn claims_cannot_break_out_of_a_header() {
        assert_eq!(safe_value("ann@example.com"), "ann@example.com");
        assert_eq!(safe_value("a\r\nx: 1"), "a%0D%0Ax: 1");
        assert_eq!(safe_value("50%é"), "50%25%C3%A9");
    }

    #[test]
    fn two_texts_never_make_one_value() {
        let texts = [
            "ann",
            " ann",
            "ann ",
            "  ann",
            " ann ",
            "",
            " ",
            "  ",
            "%20ann",
            "%20",
            "a nn",
            "\tann",
            "ann\u{a0}",
            "é",
            "%C3%A9",
            "e\u{301}",
        ];
        for (index, text) in texts.iter().enumerate() {
            let value = safe_value(text);
            assert_eq!(value.trim_ascii(), value, "{text:?}");
            assert_eq!(percent_encoding::percent_decode_str(&value).decode_utf8().as_deref(), Ok(*text));
            assert!(texts.iter().take(index).all(|other| safe_value(other) != value), "{text:?}");
        }
        assert_eq!((safe_value(" a b "), safe_value("  ")), ("%20a b%20".to_owned(), "%20%20".to_owned()));
    }

    #[test]
    fn header_names_are_lower_case_tokens() {
        assert!(is_name("x-api-key"));
        for odd in ["", ":path", "X-Api-Key", "a b", "é"] {
            assert!(!is_name(odd), "{odd:?}");
        }
    }
}
