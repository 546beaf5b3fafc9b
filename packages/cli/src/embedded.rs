//! A text that stands in a scalar of a YAML file: where each of its bytes stands in the file.

use std::ops::Range;

/// The decoded text of a scalar, with the places of its bytes.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The text.
    pub text: String,
    /// Where each byte stands in the file, and where what stands for it there ends.
    places: Vec<(usize, usize)>,
}

impl Embedded {
    /// A text that is all of the file.
    pub fn whole(text: &str) -> Self {
        Self { text: text.to_owned(), places: (0..text.len()).map(|at| (at, at + 1)).collect() }
    }

    /// `text`, which `source` has at `span`: in quotes, plain, or as a block.
    pub fn find(text: &str, source: &str, span: &Range<usize>) -> Self {
        let mut walk = Walk::at(source, span.start);
        let mut places = Vec::with_capacity(text.len());
        for letter in text.chars() {
            let place = walk.place(letter);
            places.extend(std::iter::repeat_n((place, walk.at.max(place)), letter.len_utf8()));
        }
        Self { text: text.to_owned(), places }
    }

    /// Where byte `at` of the text stands in the file.
    pub fn place(&self, at: usize) -> usize {
        match (self.places.get(at), self.places.last()) {
            (Some((place, _)), _) => *place,
            (None, Some((_, end))) => *end,
            (None, None) => 0,
        }
    }

    /// Where a range of the text stands in the file.
    pub fn range(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.place(range.start);
        // The end of the last byte: the next one may stand in another line.
        let end = self.places.get(range.end.saturating_sub(1)).filter(|_| !range.is_empty()).map_or(start, |(_, end)| *end);
        start..end.max(start)
    }
}

/// Goes through the source beside the decoded text. YAML's styles differ in how they fold lines and escape; white space and escapes are
/// all that can differ from the text.
struct Walk<'s> {
    source: &'s str,
    at: usize,
    quote: Option<char>,
}

impl<'s> Walk<'s> {
    fn at(source: &'s str, start: usize) -> Self {
        let mut walk = Self { source, at: start, quote: None };
        match walk.peek() {
            Some(quote @ ('"' | '\'')) => {
                walk.quote = Some(quote);
                walk.at += 1;
            }
            // The text of a block begins in the next line.
            Some('|' | '>') => walk.at += walk.rest().find('\n').map_or(walk.rest().len(), |end| end + 1),
            _ => {}
        }
        walk
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over `letter` of the text and answers where it stands.
    fn place(&mut self, letter: char) -> usize {
        loop {
            let here = self.at;
            let Some(next) = self.peek() else { return here };
            if next == '\\' && self.quote == Some('"') {
                let Some(length) = self.escape() else { continue };
                self.at += length;
                return here;
            }
            if next == letter {
                self.at += next.len_utf8() + usize::from(next == '\'' && self.quote == Some('\''));
                return here;
            }
            if !next.is_whitespace() {
                // A folded line break stands for nothing more.
                if !letter.is_whitespace() {
                    self.at += next.len_utf8();
                }
                return here;
            }
            if letter.is_whitespace() {
                self.skip();
                return here;
            }
            self.skip();
        }
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The length of an escape; `None` if it was one of a line break, which is stepped over.
    fn escape(&mut self) -> Option<usize> {
        match self.rest().chars().nth(1) {
            Some('\n' | '\r') => {
                self.at += 1;
                self.skip();
                None
            }
            Some('x') => Some(4),
            Some('u') => Some(6),
            Some('U') => Some(10),
            Some(other) => Some(1 + other.len_utf8()),
            None => Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Embedded;
    use crate::yaml;

    #[test]
    fn letters_are_found_in_every_style() {
        for source in [
            "v: |\n  {\"a\": 1,\n\n    \"é\": [\"X\"]}\n",
            "v: |-\n  {\"a\": 1,\n     \"é\": [\"X\"]}",
            "v: >\n  {\"a\": 1,\n  \"é\": [\n  \"X\"]}\n",
            "v: '{\"a\": \"it''s\", \"é\": [\"X\"]}'\n",
            "v: '{\"a\": 1,\n\n   \"é\": [\"X\"]}'\n",
            "v: \"{\\\"a\\\": 1, \\\"\\u00e9\\\": \\\n    [\\\"X\\\"]}\"\n",
            "v: \"{\\\"a\\\": 1,\\n\\\"é\\\": [\\\"X\\\"]}\\n\"\n",
            "a: {v: '{\"é\": [\"X\"]}', b: 1}\n",
        ] {
            let documents = yaml::parse(source).unwrap();
            let node = documents[0].get("v").or_else(|| documents[0].at(&["a", "v"])).unwrap();
            let text = node.text().unwrap();
            let found = Embedded::find(text, source, &node.span);
            let place = found.place(text.find('X').unwrap());
            assert_eq!(source.get(place..=place), Some("X"), "{source}");
        }
    }
}
