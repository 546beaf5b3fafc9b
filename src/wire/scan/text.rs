//! The inside of a JSON string, in pieces of any size: UTF-8 is checked, escapes are read, and what must not stand
//! there is refused (RFC 8259 section 7; RFC 3629 section 4). Keeps nothing but its place.

use super::Fault;
use super::lanes;

/// What the next bytes of a string are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Content as written. A character may be cut by the end of the chunk; the next piece then has its rest.
    Plain(&'a [u8]),
    /// A character that was escaped.
    Char(char),
    /// The closing quote.
    End,
    /// The chunk is used up.
    More,
}

/// A place inside a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Plain,
    /// Inside a character: so many bytes to come, the next one in this range.
    Utf8(u8, u8, u8),
    /// Behind a backslash.
    Escape,
    /// In the four digits of `\u`: the value so far, the digits to come, the high surrogate that goes before.
    Digits(u32, u8, Option<u32>),
    /// Behind a high surrogate: a backslash is due.
    LowEscape(u32),
    /// Behind a high surrogate and a backslash: a `u` is due.
    LowLetter(u32),
}

impl Text {
    /// Takes one piece off the front of `chunk`.
    #[inline]
    pub(super) fn read<'a>(&mut self, chunk: &mut &'a [u8]) -> Result<Piece<'a>, Fault> {
        if matches!(self, Self::Plain | Self::Utf8(..)) {
            let (plain, rest) = chunk.split_at_checked(self.plain(chunk)?).unwrap_or((chunk, &[]));
            *chunk = rest;
            if !plain.is_empty() {
                return Ok(Piece::Plain(plain));
            }
            match rest {
                [] => return Ok(Piece::More),
                [b'"', rest @ ..] => {
                    *chunk = rest;
                    return Ok(Piece::End);
                }
                [b'\\', rest @ ..] => {
                    *self = Self::Escape;
                    *chunk = rest;
                }
                _ => return Err(Fault::ControlCharacter),
            }
        }
        self.escape(chunk)
    }

    /// Reads on without a look at the content; whether the string has ended, or `chunk` is used up.
    pub(super) fn skip(&mut self, chunk: &mut &[u8]) -> Result<bool, Fault> {
        loop {
            if matches!(self, Self::Plain) {
                *chunk = content(chunk);
                if let [b'"', rest @ ..] = *chunk {
                    *chunk = rest;
                    return Ok(true);
                }
            }
            match self.read(chunk)? {
                Piece::End => return Ok(true),
                Piece::More => return Ok(false),
                Piece::Plain(_) | Piece::Char(_) => {}
            }
        }
    }

    /// Reads on behind a backslash.
    fn escape<'a>(&mut self, chunk: &mut &'a [u8]) -> Result<Piece<'a>, Fault> {
        while let [byte, rest @ ..] = *chunk {
            *chunk = rest;
            let char = match (*self, *byte) {
                (Self::Escape, b'u') => {
                    *self = Self::Digits(0, 4, None);
                    continue;
                }
                (Self::Escape, letter) => Some(escaped(letter).ok_or(Fault::Malformed)?),
                (Self::LowEscape(high), b'\\') => {
                    *self = Self::LowLetter(high);
                    continue;
                }
                (Self::LowLetter(high), b'u') => {
                    *self = Self::Digits(0, 4, Some(high));
                    continue;
                }
                (Self::Digits(value, left, high), digit) => {
                    let digit = char::from(digit).to_digit(16).ok_or(Fault::Malformed)?;
                    let value = (value << 4) | digit;
                    match (left, high, value) {
                        (2.., _, _) => {
                            *self = Self::Digits(value, left.saturating_sub(1), high);
                            continue;
                        }
                        (_, None, 0xd800..=0xdbff) => {
                            *self = Self::LowEscape(value);
                            continue;
                        }
                        (_, None, _) => char::from_u32(value),
                        (_, Some(high), 0xdc00..=0xdfff) => {
                            char::from_u32((((high & 0x3ff) << 10) | (value & 0x3ff)).saturating_add(0x1_0000))
                        }
                        (_, Some(_), _) => None,
                    }
                }
                (Self::LowEscape(_) | Self::LowLetter(_) | Self::Plain | Self::Utf8(..), _) => None,
            };
            *self = Self::Plain;
            return char.map(Piece::Char).ok_or(Fault::LoneSurrogate);
        }
        Ok(Piece::More)
    }

    /// How many bytes at the front of `chunk` are content as written.
    fn plain(&mut self, chunk: &[u8]) -> Result<usize, Fault> {
        let mut rest = chunk;
        loop {
            rest = match (*self, rest) {
                (Self::Utf8(left, low, high), [byte, after @ ..]) => {
                    if !(low..=high).contains(byte) {
                        return Err(Fault::NotUtf8);
                    }
                    *self = if left > 1 { Self::Utf8(left.saturating_sub(1), 0x80, 0xbf) } else { Self::Plain };
                    after
                }
                (Self::Plain, [0x80..=0xff, ..]) => match characters(rest) {
                    [first @ 0x80..=0xff, after @ ..] => {
                        *self = begin(*first)?;
                        after
                    }
                    after => after,
                },
                (Self::Plain, [b' '..=b'!' | b'#'..=b'[' | b']'..=0x7f, ..]) => rest.get(ascii(rest)..).unwrap_or_default(),
                _ => return Ok(chunk.len().saturating_sub(rest.len())),
            };
        }
    }
}

const fn escaped(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The place behind the first byte of a character of several.
const fn begin(first: u8) -> Result<Text, Fault> {
    Ok(match first {
        0xc2..=0xdf => Text::Utf8(1, 0x80, 0xbf),
        0xe0 => Text::Utf8(2, 0xa0, 0xbf),
        0xe1..=0xec | 0xee | 0xef => Text::Utf8(2, 0x80, 0xbf),
        0xed => Text::Utf8(2, 0x80, 0x9f),
        0xf0 => Text::Utf8(3, 0x90, 0xbf),
        0xf1..=0xf3 => Text::Utf8(3, 0x80, 0xbf),
        0xf4 => Text::Utf8(3, 0x80, 0x8f),
        _ => return Err(Fault::NotUtf8),
    })
}

/// What stands behind the whole, valid characters of several bytes each at the front of `rest`.
fn characters(mut rest: &[u8]) -> &[u8] {
    while let [0xc2..=0xdf, 0x80..=0xbf, after @ ..]
    | [0xe0, 0xa0..=0xbf, 0x80..=0xbf, after @ ..]
    | [0xe1..=0xec | 0xee | 0xef, 0x80..=0xbf, 0x80..=0xbf, after @ ..]
    | [0xed, 0x80..=0x9f, 0x80..=0xbf, after @ ..]
    | [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, after @ ..]
    | [0xf1..=0xf3, 0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, after @ ..]
    | [0xf4, 0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf, after @ ..] = rest
    {
        rest = after;
    }
    rest
}

/// What stands behind plain ASCII and escapes of one letter at the front. It may stop before their end.
#[inline]
fn content(mut rest: &[u8]) -> &[u8] {
    // Most strings are short and plain.
    if let Some((block, after)) = rest.split_first_chunk() {
        rest = match lanes::special(block) {
            0 => after,
            special => match behind(rest, special.trailing_zeros()) {
                escape @ [b'\\', ..] => escape,
                end => return end,
            },
        };
    }
    loop {
        rest = plain_blocks(rest);
        let Some((block, after)) = rest.split_first_chunk() else { break };
        match lanes::content(block) {
            64 => rest = after,
            count => return behind(rest, count),
        }
    }
    loop {
        rest = match rest.get(ascii(rest)..).unwrap_or_default() {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => after,
            end => return end,
        };
    }
}

/// What stands behind whole blocks of plain ASCII at the front: files are long strings without any escape. On its own,
/// so that the loop has the registers of the host for itself.
#[inline(never)]
fn plain_blocks(mut rest: &[u8]) -> &[u8] {
    while let Some((block, after)) = rest.split_first_chunk()
        && !lanes::has_special(block)
    {
        rest = after;
    }
    rest
}

fn behind(bytes: &[u8], count: u32) -> &[u8] {
    bytes.get(usize::try_from(count).unwrap_or(0)..).unwrap_or_default()
}

/// How many bytes at the front are ASCII that a string may hold as it is.
#[inline]
pub(super) fn ascii(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let length = |rest: &[u8], more: u32| bytes.len().saturating_sub(rest.len()).saturating_add(usize::try_from(more).unwrap_or(0));
    // Most strings are short.
    if let Some((block, after)) = rest.split_first_chunk() {
        match lanes::special(block) {
            0 => rest = after,
            special => return length(rest, special.trailing_zeros()),
        }
    }
    while let Some((block, after)) = rest.split_first_chunk() {
        match lanes::plain(block) {
            64 => rest = after,
            count => return length(rest, count),
        }
    }
    while let Some((block, after)) = rest.split_first_chunk() {
        match lanes::special(block) {
            0 => rest = after,
            special => return length(rest, special.trailing_zeros()),
        }
    }
    while let [b' '..=b'!' | b'#'..=b'[' | b']'..=0x7f, after @ ..] = rest {
        rest = after;
    }
    length(rest, 0)
}

#[cfg(test)]
mod tests {
    use super::{Fault, Piece, Text};

    /// The unescaped string, cut into chunks of `size`.
    fn read(written: &[u8], size: usize) -> Result<String, Fault> {
        let (mut text, mut bytes, mut ended) = (Text::Plain, Vec::new(), false);
        for mut chunk in written.chunks(size) {
            while !ended && !chunk.is_empty() {
                match text.read(&mut chunk)? {
                    Piece::Plain(plain) => bytes.extend_from_slice(plain),
                    Piece::Char(char) => bytes.extend_from_slice(char.to_string().as_bytes()),
                    Piece::End => ended = true,
                    Piece::More => assert!(chunk.is_empty()),
                }
            }
        }
        assert!(ended, "{written:?}");
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_string_is_the_same_in_any_chunks() {
        for (written, text) in [
            (r#"""#, ""),
            (r#"plain, and long enough for more than one block of the fast path: 0123456789abcdef0123456789abcdef""#, ""),
            (r#"\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#"\u0041\u00e9\u20AC\ud83d\ude00\uFFFF\u0000""#, "Aé€😀\u{ffff}\0"),
            ("é€😀\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\u{feff}\"", ""),
        ] {
            let text = if text.is_empty() { written.trim_end_matches('"') } else { text };
            for size in 1..=written.len() {
                assert_eq!(read(written.as_bytes(), size), Ok(text.to_owned()), "{written} by {size}");
            }
        }
    }

    #[test]
    fn what_is_no_string_is_refused_in_any_chunks() {
        let bytes: [(&[u8], Fault); 22] = [
            (b"a\nb\"", Fault::ControlCharacter),
            (b"a\0b\"", Fault::ControlCharacter),
            (b"\x1f\"", Fault::ControlCharacter),
            (b"\\x41\"", Fault::Malformed),
            (b"\\U0041\"", Fault::Malformed),
            (b"\\'\"", Fault::Malformed),
            (b"\\u00g0\"", Fault::Malformed),
            (b"\\u+041\"", Fault::Malformed),
            (b"\\u004\"", Fault::Malformed),
            (b"\\ud83d\"", Fault::LoneSurrogate),
            (b"\\ud83dx\"", Fault::LoneSurrogate),
            (b"\\ud83d\\n\"", Fault::LoneSurrogate),
            (b"\\ud83d\\ud83d\"", Fault::LoneSurrogate),
            (b"\\ude00\\ud83d\"", Fault::LoneSurrogate),
            (b"\\ud83d\\u0041\"", Fault::LoneSurrogate),
            (b"\xc0\xaf\"", Fault::NotUtf8),
            (b"\xe0\x80\xaf\"", Fault::NotUtf8),
            (b"\xed\xa0\x80\"", Fault::NotUtf8),
            (b"\xf4\x90\x80\x80\"", Fault::NotUtf8),
            (b"\xf8\x88\x80\x80\x80\"", Fault::NotUtf8),
            (b"\xe2\x82\"", Fault::NotUtf8),
            (b"\x80\"", Fault::NotUtf8),
        ];
        for (written, fault) in bytes {
            for size in 1..=written.len() {
                assert_eq!(read(written, size), Err(fault), "{written:?} by {size}");
            }
        }
    }
}
