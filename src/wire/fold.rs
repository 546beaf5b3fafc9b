//! What the most tolerant reader could take a path or a segment for: escapes undone as often as there are some, also in
//! UTF-8 that is longer than it must be, one case, no controls, blanks and invisible characters, one width.
//! Only for refusing; nothing folded is sent on.

use std::borrow::Cow;

/// Escapes in escapes are undone this many times. Whoever nests deeper is refused by [`fold`].
const MAX_ROUNDS: usize = 4;

/// `text` as the most tolerant reader sees it. `None` if escapes are nested too deep to tell. Time grows with the length only.
#[must_use]
pub fn fold(text: &str) -> Option<String> {
    let mut bytes = Cow::Borrowed(text.as_bytes());
    let mut rounds = 0_usize;
    while let Some(undone) = undo_escapes(&bytes) {
        if rounds == MAX_ROUNDS {
            return None;
        }
        rounds = rounds.saturating_add(1);
        bytes = Cow::Owned(undone);
    }
    let plain = characters(&bytes).filter(|letter| !is_unseen(*letter)).map(narrow);
    Some(plain.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
}

/// Whether `letter` is not seen, or is one that readers strip from the ends of a text: controls, blanks, line ends,
/// zero-width and directional marks.
#[must_use]
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || letter.is_whitespace()
        || matches!(letter, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// `letter` in ASCII if it is the wide or small form of an ASCII character.
const fn narrow(letter: char) -> char {
    match letter {
        // The full-width forms are in the order of ASCII, this far above it.
        '\u{ff01}'..='\u{ff5e}' => match char::from_u32((letter as u32).wrapping_sub(0xfee0)) {
            Some(narrow) => narrow,
            None => letter,
        },
        '\u{a789}' | '\u{fe13}' | '\u{fe55}' | '\u{2236}' | '\u{2d0}' | '\u{5c3}' => ':',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{2024}' | '\u{fe52}' => '.',
        other => other,
    }
}

/// `bytes` with each escape undone (`%41`, and `%u0041` as some servers have it), or `None` if there is none.
fn undo_escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut found = false;
    while let Some((&first, after)) = rest.split_first() {
        let wide = || after.strip_prefix(b"u").or_else(|| after.strip_prefix(b"U")).and_then(|digits| number(digits.get(..4)?));
        let code = (first == b'%').then(|| number(after.get(..2)?)).flatten();
        if let Some(code) = code {
            found = true;
            out.push(u8::try_from(code).unwrap_or(b'?'));
            rest = after.get(2..).unwrap_or_default();
        } else if let Some(code) = (first == b'%').then(wide).flatten() {
            found = true;
            let mut buffer = [0; 4];
            out.extend_from_slice(char::from_u32(code).unwrap_or('\u{fffd}').encode_utf8(&mut buffer).as_bytes());
            rest = after.get(5..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    found.then_some(out)
}

fn number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(text, 16).ok()
}

/// The characters of `bytes` as UTF-8, overlong forms included. Bytes that belong to none are left out, as readers do
/// that ignore errors.
fn characters(bytes: &[u8]) -> impl Iterator<Item = char> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let (&first, after) = rest.split_first()?;
            let (length, bits) = match first {
                0..=0x7f => (0, first),
                0xc0..=0xdf => (1, first & 0x1f),
                0xe0..=0xef => (2, first & 0x0f),
                0xf0..=0xf7 => (3, first & 0x07),
                _ => {
                    rest = after;
                    continue;
                }
            };
            let tail = after.get(..length).filter(|tail| tail.iter().all(|byte| byte & 0xc0 == 0x80));
            let code =
                tail.and_then(|tail| char::from_u32(tail.iter().fold(u32::from(bits), |code, byte| code << 6 | u32::from(byte & 0x3f))));
            rest = if code.is_some() { after.get(length..).unwrap_or_default() } else { after };
            if code.is_some() {
                return code;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn every_disguise_of_a_path_folds_to_it() {
        for disguise in [
            "/agents/expense",
            "/AGENTS/Expense",
            "/agents/expense%0A",
            "/agents/expense%20%00%7F",
            "/agents%252Fexpense",
            "/agents/%25%36%35xpense",
            "/agents%C0%AFexpense",
            "/agents%E0%80%AFexpense",
            "/agents/%C1%A5xpense",
            "/agents/e%FFxpense",
            "/agents/expense%C2%85%C2%A0",
            "/agents/expense%E2%80%8B%EF%BB%BF",
            "/agents/%u0065xpense",
            "/agents/%EF%BD%85xpense",
            "/agent%C5%BF/expense",
        ] {
            assert_eq!(fold(disguise).as_deref(), Some("/agents/expense"), "{disguise}");
        }
        assert_eq!(fold("/agents/expenses").as_deref(), Some("/agents/expenses"));
        assert_eq!(fold("/100%25").as_deref(), Some("/100%"));
    }

    #[test]
    fn escapes_that_are_nested_too_deep_are_not_told() {
        assert_eq!(fold("/%25252541").as_deref(), Some("/a"));
        assert_eq!(fold("/%2525252525252541"), None);
        assert_eq!(fold("/%C0%25C0"), Some("/".to_owned()));
    }
}
