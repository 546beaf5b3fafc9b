//! Reads JSON with the place of each part.

use crate::tree::{Kind, Member, Node, Scalar};
use std::ops::Range;

/// Objects and lists within each other. `serde_json` has the same limit.
const MAX_DEPTH: usize = 128;

/// The tree of `text`; `None` if it is no JSON.
pub fn parse(text: &str) -> Option<Node> {
    // It judges the syntax: what follows only finds where the parts begin and end.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut reader = Reader { text, at: 0 };
    reader.value(0)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'{' => {
                let mut members = Vec::new();
                while self.goes_on(b'}')? {
                    let (name, span) = self.string()?;
                    self.peek()?;
                    self.at += 1;
                    members.push(Member { name, span, value: self.value(depth + 1)? });
                }
                Kind::Map(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                while self.goes_on(b']')? {
                    elements.push(self.value(depth + 1)?);
                }
                Kind::List(elements)
            }
            b'"' => Kind::Scalar(Scalar { text: self.string()?.0, plain: false }),
            _ => {
                let rest = self.text.get(start..)?;
                let length = rest.find(|letter: char| letter.is_ascii_whitespace() || ",]}".contains(letter)).unwrap_or(rest.len());
                self.at += length;
                Kind::Scalar(Scalar { text: rest.get(..length)?.to_owned(), plain: true })
            }
        };
        Some(Node { span: start..self.at, kind })
    }

    /// Steps over the bracket or the comma before a part, or over the bracket behind the last one.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == end {
            return Some(false);
        }
        if self.peek()? == end {
            self.at += 1;
            return Some(false);
        }
        Some(true)
    }

    fn string(&mut self) -> Option<(String, Range<usize>)> {
        self.peek()?;
        let start = self.at;
        self.at += 1;
        let bytes = self.text.as_bytes();
        while *bytes.get(self.at)? != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let text = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some((text, start..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_part_is_found_where_it_stands() {
        let text = "{ \"a\" : [1, {\"b\\\"c\": \"d e\"}, [], {}],\n \"f\":null }";
        let tree = parse(text).unwrap();
        assert_eq!(tree.json(), "{\"a\":[1,{\"b\\\"c\":\"d e\"},[],{}],\"f\":null}");
        let found = tree.reach("a[1]");
        assert_eq!(&text[found.node.span.clone()], "{\"b\\\"c\": \"d e\"}");
        assert_eq!(&text[tree.member("f").unwrap().span.clone()], "\"f\"");
        assert_eq!(&text[tree.get("f").unwrap().span.clone()], "null");
        assert!(parse("{\"a\": 1,}").is_none());
    }
}
