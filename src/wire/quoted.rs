//! Texts of callers and of the configuration as an operator reads them in a log: quoted, and cut where they are long.

use std::fmt::Write as _;

/// Most letters of one text.
const MAX_LETTERS: usize = 80;
/// Most texts of a list.
const MAX_TEXTS: usize = 4;

/// `text` in quotes, its end left out if it is long.
#[cold]
#[inline(never)]
#[must_use]
pub fn text(text: &str) -> String {
    match text.char_indices().nth(MAX_LETTERS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The first of `texts` in quotes, and how many there are if those are not all.
#[cold]
#[inline(never)]
#[must_use]
pub fn list(texts: &[String]) -> String {
    let mut line = String::from("[");
    for (index, one) in texts.iter().take(MAX_TEXTS).enumerate() {
        line.push_str(if index == 0 { "" } else { ", " });
        line.push_str(&text(one));
    }
    if texts.len() > MAX_TEXTS {
        let _ = write!(line, ", … {} in all", texts.len());
    }
    line.push(']');
    line
}

#[cfg(test)]
mod tests {
    use super::{list, text};

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(text("a\"b\n"), r#""a\"b\n""#);
        assert_eq!(text(&"é".repeat(80)), format!("\"{}\"", "é".repeat(80)));
        assert_eq!(text(&"é".repeat(81)), format!("\"{}\"…", "é".repeat(80)));
        let texts = |count: usize| (0..count).map(|index| index.to_string()).collect::<Vec<_>>();
        assert_eq!((list(&[]), list(&texts(1))), ("[]".to_owned(), r#"["0"]"#.to_owned()));
        assert_eq!(list(&texts(4)), r#"["0", "1", "2", "3"]"#);
        assert_eq!(list(&texts(5)), r#"["0", "1", "2", "3", … 5 in all]"#);
    }
}
