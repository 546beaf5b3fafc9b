//! Reads YAML with the place of each part.

use crate::tree::{Kind, Member, Node, Scalar};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use std::ops::Range;

/// Most parts of a file, with what aliases repeat: a few lines of aliases can mean more than fits in memory.
const MAX_NODES: usize = 1_000_000;
/// Lists and objects within each other.
const MAX_DEPTH: usize = 200;

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub at: usize,
}

/// The documents of `text`.
///
/// # Errors
/// The first thing that is wrong with its syntax.
pub fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let mut reader = Reader { text, bytes, events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, last: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                documents.push(reader.node(first, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    /// Where each character begins.
    bytes: Vec<usize>,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    last: usize,
}

impl<'t> Reader<'t> {
    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.text.len())
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        // A plain scalar may end behind the blanks that follow it.
        let trimmed = self.text.get(start..end).map_or(end, |text| start + text.trim_end().len());
        start..trimmed
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.last = self.byte(span.end.index());
                Ok((event, span))
            }
            Some(Err(error)) => Err(Fault { message: error.info().to_owned(), at: self.byte(error.marker().index()) }),
            None => Err(self.fault("this ends too early")),
        }
    }

    fn fault(&self, message: &str) -> Fault {
        Fault { message: message.to_owned(), at: self.last }
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Result<Node, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(self.fault("this has too many parts, or too many within each other"));
        }
        let mut range = self.range(span);
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.suffix == "str" || tag.suffix.is_empty());
                let plain = style == ScalarStyle::Plain && !is_text;
                (Kind::Scalar(Scalar { text: text.into_owned(), plain }), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut elements = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break range.end = self.range(end).end.max(range.end),
                        next => elements.push(self.node(next, depth + 1)?),
                    }
                }
                (Kind::List(elements), anchor)
            }
            Event::MappingStart(anchor, _) => {
                let mut members = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, end) => break range.end = self.range(end).end.max(range.end),
                        next => self.node(next, depth + 1)?,
                    };
                    let value = self.next()?;
                    let value = self.node(value, depth + 1)?;
                    let Kind::Scalar(name) = key.kind else { return Err(self.fault("a name must be a text")) };
                    members.push(Member { name: name.text, span: key.span, value });
                }
                (Kind::Map(members), anchor)
            }
            Event::Alias(anchor) => {
                let mut node = self.anchors.get(&anchor).cloned().ok_or_else(|| self.fault("this alias has no anchor"))?;
                self.nodes += size(&node);
                if self.nodes > MAX_NODES {
                    return Err(self.fault("its aliases repeat too much"));
                }
                node.span = range;
                return Ok(node);
            }
            _ => return Err(self.fault("a value is missing")),
        };
        let node = Node { span: range, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}

fn size(node: &Node) -> usize {
    let elements: usize = node.elements().iter().map(size).sum();
    let members: usize = node.members().iter().map(|member| size(&member.value)).sum();
    1 + elements + members
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_part_is_found_where_it_stands() {
        let text = "# ä\na: &x {b: [1, \"é\"], 'c': d e}   # said\n\"f g\":\n- *x\n- >-\n  lo\n  ng\n---\nsecond: yes\n";
        let documents = parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        let [first, second] = documents.as_slice() else { panic!() };
        assert_eq!(first.json(), "{\"a\":{\"b\":[1,\"é\"],\"c\":\"d e\"},\"f g\":[{\"b\":[1,\"é\"],\"c\":\"d e\"},\"lo ng\"]}");
        assert_eq!(second.json(), "{\"second\":true}");
        assert_eq!(&text[first.reach("a.c").node.span.clone()], "d e");
        assert_eq!(&text[first.reach("a.b[1]").node.span.clone()], "\"é\"");
        assert_eq!(&text[first.member("f g").unwrap().span.clone()], "\"f g\"");
        assert_eq!(&text[first.reach("\"f g\"[0]").node.span.clone()], "*x");
    }

    #[test]
    fn faults_have_a_place_and_aliases_an_end() {
        let fault = parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(fault.at >= 5, "{fault:?}");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert_eq!(parse(&bomb).unwrap_err().message, "its aliases repeat too much");
    }
}
