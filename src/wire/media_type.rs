//! `Content-Type` as RFC 9110 section 8.3 has it: exactly one line with exactly one media type. Readers disagree about what
//! is anything else: some take the first of two, some the last, some neither; so do they about charsets.

use super::header::{Headers, is_token};
use thiserror::Error;

/// One media type, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type and subtype, in whatever case.
    essence: &'a str,
    /// What its `charset` says.
    pub charset: Charset,
    /// It has parameters other than `charset`.
    pub has_others: bool,
}

/// The charset that a media type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// None. JSON is UTF-8 then (RFC 8259 section 8.1).
    Unnamed,
    /// UTF-8, by its registered name, in any case, in quotes or without.
    Utf8,
    /// Another one, also one that some readers take for UTF-8 (`utf8`), and an extended value (`charset*`, RFC 8187).
    Other,
}

/// Why there is no single media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MediaTypeError {
    /// Several lines.
    #[error("there are several content-type lines")]
    Repeated,
    /// Several media types in one line.
    #[error("content-type is a list")]
    List,
    /// It names its charset more than once.
    #[error("content-type names more than one charset")]
    RepeatedCharset,
    /// It is no media type: also if it is empty.
    #[error("content-type is no media type")]
    Malformed,
}

impl<'a> MediaType<'a> {
    /// The media type of a message with `headers`; `None` if it names none.
    ///
    /// # Errors
    /// If there are several lines, or the one that there is holds something else than one media type.
    pub fn of(headers: &'a Headers) -> Result<Option<Self>, MediaTypeError> {
        let mut lines = headers.all("content-type");
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => Self::parse(line).map(Some),
            (Some(_), Some(_)) => Err(MediaTypeError::Repeated),
        }
    }

    /// The media type that `line` is: `type "/" subtype *( OWS ";" OWS [ parameter ] )` with blanks around it, as RFC 9110
    /// sections 5.6.6 and 8.3.1 have it. No blanks around `/` and `=`.
    ///
    /// # Errors
    /// If it is anything else, or names its charset twice.
    pub fn parse(line: &'a [u8]) -> Result<Self, MediaTypeError> {
        let text = std::str::from_utf8(line).map_err(|_| MediaTypeError::Malformed)?;
        let text = text.trim_matches(BLANKS);
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (essence, mut rest) = text.split_at_checked(end).ok_or(MediaTypeError::Malformed)?;
        let (kind, subtype) = essence.split_once('/').ok_or(MediaTypeError::Malformed)?;
        if !is_token(kind) || !is_token(subtype) {
            return Err(MediaTypeError::Malformed);
        }
        let mut found = Self { essence, charset: Charset::Unnamed, has_others: false };
        loop {
            rest = rest.trim_start_matches(BLANKS);
            if rest.is_empty() {
                return Ok(found);
            }
            if rest.starts_with(',') {
                return Err(MediaTypeError::List);
            }
            rest = rest.strip_prefix(';').ok_or(MediaTypeError::Malformed)?.trim_start_matches(BLANKS);
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let (name, value, behind) = parameter(rest)?;
            found.take(name, value)?;
            rest = behind;
        }
    }

    /// Whether it is `essence` (type and subtype in lower case), whatever its parameters.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// Whether its bytes are JSON: `application/json`, another type's `json`, or a type with the suffix `+json` (RFC 6839).
    #[must_use]
    pub fn is_json(&self) -> bool {
        let ends = |end: &str| {
            let start = self.essence.len().checked_sub(end.len());
            start.and_then(|start| self.essence.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        ends("/json") || ends("+json")
    }

    /// Whether a reader that goes by the charset reads UTF-8.
    #[must_use]
    pub const fn is_utf8(&self) -> bool {
        matches!(self.charset, Charset::Unnamed | Charset::Utf8)
    }

    fn take(&mut self, name: &str, value: Text<'_>) -> Result<(), MediaTypeError> {
        let (plain, is_extended) = name.split_once('*').map_or((name, false), |(plain, _)| (plain, true));
        if !plain.eq_ignore_ascii_case("charset") {
            self.has_others = true;
            return Ok(());
        }
        if self.charset != Charset::Unnamed {
            return Err(MediaTypeError::RepeatedCharset);
        }
        self.charset = if !is_extended && value.is("utf-8") { Charset::Utf8 } else { Charset::Other };
        Ok(())
    }
}

/// What may stand around a value (`OWS`).
const BLANKS: [char; 2] = [' ', '\t'];

/// The value of a parameter.
#[derive(Clone, Copy)]
enum Text<'a> {
    Token(&'a str),
    /// What stands between the quotes, with its `\`.
    Quoted(&'a str),
}

impl Text<'_> {
    /// Whether it stands for `text` (lower case), in any case.
    fn is(self, text: &str) -> bool {
        match self {
            Self::Token(token) => token.eq_ignore_ascii_case(text),
            // Nobody needs a `\` in front of a letter, and not every reader takes it away.
            Self::Quoted(quoted) => quoted.eq_ignore_ascii_case(text),
        }
    }
}

/// `name=value` at the beginning of `text`, and what follows it.
fn parameter(text: &str) -> Result<(&str, Text<'_>, &str), MediaTypeError> {
    let (name, rest) = text.split_once('=').ok_or(MediaTypeError::Malformed)?;
    if !is_token(name) {
        return Err(MediaTypeError::Malformed);
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
        let (value, behind) = rest.split_at_checked(end).ok_or(MediaTypeError::Malformed)?;
        return if is_token(value) { Ok((name, Text::Token(value), behind)) } else { Err(MediaTypeError::Malformed) };
    };
    let mut is_escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            // `quoted-pair` and `qdtext` hold no controls but the tab; what is not ASCII is obsolete (`obs-text`).
            0..=8 | 10..=31 | 127.. => return Err(MediaTypeError::Malformed),
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => {
                let (value, behind) = quoted.split_at_checked(at).ok_or(MediaTypeError::Malformed)?;
                return Ok((name, Text::Quoted(value), behind.strip_prefix('"').unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(MediaTypeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::{Charset, MediaType, MediaTypeError};
    use crate::wire::header::Headers;

    #[test]
    fn utf_8_has_one_name_in_every_spelling_that_the_grammar_has() {
        for (line, charset, has_others) in [
            ("application/json", Charset::Unnamed, false),
            (" \tAPPLICATION/JSON\t ", Charset::Unnamed, false),
            ("application/json;", Charset::Unnamed, false),
            ("application/json ; ;\t; charset=utf-8 ;", Charset::Utf8, false),
            ("application/json;charset=UTF-8", Charset::Utf8, false),
            ("application/json; CharSet=\"Utf-8\"", Charset::Utf8, false),
            ("application/json; profile=\"a;charset=utf-7,\\\"b\"; charset=utf-8", Charset::Utf8, true),
            ("application/json; charset=utf8", Charset::Other, false),
            ("application/json; charset=\"utf\\-8\"", Charset::Other, false),
            ("application/json; charset=\" utf-8\"", Charset::Other, false),
            ("application/json; charset=\"\"", Charset::Other, false),
            ("application/json; charset=utf-7", Charset::Other, false),
            ("application/json; charset=utf-7-imap", Charset::Other, false),
            ("application/json; charset*=utf-8''utf-8", Charset::Other, false),
            ("application/json; charset*0=utf-; charset-x=1", Charset::Other, true),
            ("application/json; charsets=utf-7", Charset::Unnamed, true),
        ] {
            let found = MediaType::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(found.is("application/json") && found.is_json(), "{line}");
            assert_eq!((found.charset, found.has_others), (charset, has_others), "{line}");
        }
    }

    #[test]
    fn what_is_no_single_media_type_is_none() {
        use MediaTypeError::{List, Malformed, RepeatedCharset};
        for (line, error) in [
            ("", Malformed),
            (" ", Malformed),
            ("json", Malformed),
            ("/json", Malformed),
            ("application/", Malformed),
            ("application/json/x", Malformed),
            ("application /json", Malformed),
            ("application/ json", Malformed),
            ("application/json charset=utf-8", Malformed),
            ("application/json; charset", Malformed),
            ("application/json; charset=", Malformed),
            ("application/json; charset =utf-8", Malformed),
            ("application/json; charset= utf-8", Malformed),
            ("application/json; =utf-8", Malformed),
            ("application/json; charset=\"utf-8", Malformed),
            ("application/json; charset=\"utf-8\\\"", Malformed),
            ("application/json; charset=\"utf-8\"7", Malformed),
            ("application/json; charset=utf-8\"", Malformed),
            ("application/json; charset='utf 8'", Malformed),
            ("application/json; charset=\"utf\u{1}-8\"", Malformed),
            ("application/json; charset=\"ütf-8\"", Malformed),
            ("application/jsön", Malformed),
            ("application/json\u{0}", Malformed),
            ("application/json\u{b}; charset=utf-8", Malformed),
            ("application/json, text/plain", List),
            ("application/json,", List),
            ("application/json; charset=utf-8, application/json; charset=utf-7", List),
            ("application/json; charset=utf-8; charset=utf-8", RepeatedCharset),
            ("application/json; charset=utf-8; Charset=utf-7", RepeatedCharset),
            ("application/json; charset*=utf-7''x; charset=utf-8", RepeatedCharset),
        ] {
            assert_eq!(MediaType::parse(line.as_bytes()), Err(error), "{line}");
        }
        assert_eq!(MediaType::parse(b"application/json; charset=utf-8\xff"), Err(Malformed));
    }

    #[test]
    fn a_message_has_one_line_or_none() {
        let of = |lines: &[&str]| {
            let headers = Headers::new(lines.iter().map(|line| ("content-type".to_owned(), line.as_bytes().to_vec())).collect());
            MediaType::of(&headers).map(|found| found.map(|found| (found.is("application/a2a+json"), found.is_json())))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["application/a2a+json"]), Ok(Some((true, true))));
        assert_eq!(of(&["text/event-stream"]), Ok(Some((false, false))));
        assert_eq!(of(&["application/json", "application/json"]), Err(MediaTypeError::Repeated));
    }

    /// Everything up to a few parts long: never a panic, and what counts as plain JSON in UTF-8 says nothing else.
    #[test]
    fn whatever_comes_is_read_or_refused() {
        let parts = ["a/json", ";", " ", ",", "charset=", "charset", "utf-8", "utf-7", "\"", "\\", "\u{7f}", "é"];
        let (mut plain, mut refused) = (0, 0);
        for number in 0..parts.len().pow(5) {
            let tail: String = (0..5u32).map(|place| parts[number / parts.len().pow(place) % parts.len()]).collect();
            let line = format!("a/json{tail}");
            match MediaType::parse(line.as_bytes()) {
                Ok(found) if found.is("a/json") && found.is_utf8() && !found.has_others => {
                    plain += 1;
                    let bare: String = line.chars().filter(|letter| !" ;\"".contains(*letter)).collect();
                    assert!(["a/json", "a/jsoncharset=utf-8"].contains(&bare.as_str()), "{line}");
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(plain > 30 && refused > 50_000, "{plain} plain, {refused} refused");
    }
}
