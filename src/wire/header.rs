//! Request headers as bytes: read once, never trusted to be UTF-8, repeats kept (RFC 9110 section 5).

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::fmt;

/// Headers in the order that the proxy gives them. Names are lower case; values are raw bytes. They stay in the one block in which
/// the proxy hands them out: how many, the lengths of each name and value, then the names and values, each ended by a zero byte
/// (proxy-wasm's form of a header map).
#[derive(Clone, Default)]
pub struct Headers {
    /// Empty where there are none; else what [`Headers::parse`] has seen to the end.
    block: Vec<u8>,
    lines: Vec<Line>,
    /// [`Mark::bit`] of each name: most questions are about headers that are not there.
    bits: u64,
}

/// Where a header is in the block.
#[derive(Clone, Copy)]
struct Line {
    mark: Mark,
    name: usize,
    /// Behind the name.
    name_end: usize,
    value_end: usize,
}

/// Tells most names apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark(u32);

impl Mark {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let at = |place: usize| name.get(place).copied().unwrap_or_default();
        let last = name.len().saturating_sub(1);
        let [length, ..] = name.len().to_le_bytes();
        Self(u32::from_le_bytes([length, at(0), at(last >> 1), at(last)]))
    }

    /// One of 64.
    #[inline]
    const fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9e37_79b1) >> 26)
    }
}

/// Bytes of a length in the block.
const LENGTH: usize = 4;

impl Headers {
    /// Takes a list.
    #[must_use]
    pub fn new(list: Vec<(String, Vec<u8>)>) -> Self {
        Self::of(list.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }

    fn of<'a>(list: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Self {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut block = u32::try_from(list.clone().count()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        for (name, value) in list.clone() {
            block.extend(length(name.as_bytes()));
            block.extend(length(value));
        }
        for part in list.flat_map(|(name, value)| [name.as_bytes(), value]) {
            block.extend_from_slice(part);
            block.push(0);
        }
        Self::parse(block).unwrap_or_default()
    }

    /// Takes the block that the proxy hands out. `None` if it is none, or a name in it is no text: then nothing of it counts.
    #[must_use]
    pub fn parse(block: Vec<u8>) -> Option<Self> {
        if block.is_empty() {
            return Some(Self::default());
        }
        let (count, mut lengths) = block.split_first_chunk::<LENGTH>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let mut at = count.checked_mul(2)?.checked_add(1)?.checked_mul(LENGTH)?;
        // Each has two lengths at least, so that a wrong count has no list made.
        if at > block.len() {
            return None;
        }
        let mut length = || {
            let (length, rest) = lengths.split_first_chunk::<LENGTH>()?;
            lengths = rest;
            usize::try_from(u32::from_le_bytes(*length)).ok()
        };
        let (mut lines, mut bits) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let name_end = at.checked_add(length()?)?;
            let value_end = name_end.checked_add(1)?.checked_add(length()?)?;
            let name = block.get(at..name_end).filter(|name| name.is_ascii() || str::from_utf8(name).is_ok())?;
            let mark = Mark::of(name);
            bits |= mark.bit();
            lines.push(Line { mark, name: at, name_end, value_end });
            at = value_end.checked_add(1)?;
        }
        (at == block.len()).then_some(Self { block, lines, bits })
    }

    fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| (self.name(line), self.value(line)))
    }

    fn name(&self, line: &Line) -> &[u8] {
        self.block.get(line.name..line.name_end).unwrap_or_default()
    }

    fn value(&self, line: &Line) -> &[u8] {
        self.block.get(line.name_end.saturating_add(1)..line.value_end).unwrap_or_default()
    }

    /// The lines of header `name`.
    #[inline]
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        let mark = Mark::of(name.as_bytes());
        let lines = if self.bits & mark.bit() == 0 { &[][..] } else { &self.lines };
        lines.iter().filter(move |line| line.mark == mark && self.name(line) == name.as_bytes())
    }

    /// Every value of header `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.lines(name).map(|line| self.value(line))
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

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether header `name` (lower case) is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.lines(name).next().is_some()
    }

    /// The same without the header `name`.
    pub fn remove(&mut self, name: &str) {
        *self = Self::of(self.pairs().filter(|(given, _)| *given != name));
    }

    /// Every name and value, repeats included.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.raw().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// Every name, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs().map(|(name, _)| name)
    }

    /// The names of which `may_be` is true, repeats included.
    pub fn names_if(&self, may_be: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = &str> {
        let names = self.lines.iter().map(|line| self.name(line)).filter(move |name| may_be(name));
        names.map(|name| str::from_utf8(name).unwrap_or_default())
    }

    /// Bytes of all names and values together: what Envoy counts as the size of the headers.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.raw().fold(0, |sum: usize, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()))
    }
}

/// Names only: a value may be a credential.
impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.raw().eq(other.raw())
    }
}

impl Eq for Headers {}

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
    fn a_block_is_read_as_it_came_or_not_at_all() {
        let mut block = vec![2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        block.extend(b"a\0x\0y\0empty\0\0");
        let headers = Headers::parse(block.clone()).unwrap();
        assert_eq!(headers.pairs().collect::<Vec<_>>(), [("a", &b"x\0y"[..]), ("empty", b"")]);
        assert_eq!(headers, Headers::new(vec![("a".into(), b"x\0y".to_vec()), ("empty".into(), Vec::new())]));
        assert_eq!(Headers::parse(Vec::new()), Some(Headers::default()));
        assert_eq!(Headers::parse(vec![0; 4]), Some(Headers::default()));
        assert_eq!(format!("{headers:?}"), r#"["a", "empty"]"#);
        let mut left = headers;
        left.remove("a");
        assert_eq!((left.names().collect::<Vec<_>>(), left.byte_size()), (vec!["empty"], 5));
        for cut in 1..block.len() {
            assert_eq!(Headers::parse(block[..cut].to_vec()), None, "{cut}");
        }
        for (place, byte) in [(0, 1), (0, 3), (3, 255), (4, 2), (7, 255), (8, 2), (19, 255), (20, 0xff)] {
            let mut odd = block.clone();
            odd[place] = byte;
            assert_eq!(Headers::parse(odd), None, "{place}");
        }
        assert_eq!(Headers::parse([block, vec![0]].concat()), None);
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
