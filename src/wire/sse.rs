//! An event stream (server-sent events, WHATWG HTML section 9.2) whose events carry JSON: each event's data is a document
//! that is rewritten while it passes. The data may stand in several lines, lines may end in CR, LF or both, and chunks
//! may end anywhere; comments and other fields go on unchanged, and nothing waits for the end of an event.

use super::rewrite::{Rewriter, Seen};
use super::scan::{Fault, Limits, Plan};
use std::rc::Rc;

/// The field whose value is JSON.
const FIELD: &[u8] = b"data";
/// A byte order mark, which readers skip at the start of a stream.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One stream on its way.
#[derive(Clone, Debug)]
pub struct Events {
    limits: Limits,
    plan: Rc<Plan>,
    place: Place,
    /// The data of the event that is arriving, once it has any.
    document: Option<Rewriter>,
    /// The last line ended in CR, so that an LF right behind belongs to it.
    after_cr: bool,
}

/// Where in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of the stream: so many bytes of the mark have come.
    Mark(usize),
    /// In a name that so far is the start of the field's: so many bytes.
    Name(usize),
    /// Behind the colon: one space there is not part of the value.
    Colon,
    /// In the field's value.
    Data,
    /// In any other line.
    Other,
}

impl Events {
    /// A stream of which nothing has come; `limits` and `plan` as for [`Rewriter::new`].
    #[must_use]
    pub const fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self { limits, plan, place: Place::Mark(0), document: None, after_cr: false }
    }

    /// Reads all of `chunk` and appends to `out` what goes on; see [`Rewriter::feed`].
    ///
    /// # Errors
    /// The first fault of an event's data (data that is no JSON is one), or what `replace` says.
    pub fn feed<E: From<Fault>>(
        &mut self,
        mut chunk: &[u8],
        out: &mut Vec<u8>,
        mut replace: impl FnMut(Seen<'_>, &mut Vec<u8>) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        while let [byte, rest @ ..] = chunk {
            if matches!(byte, b'\r' | b'\n') {
                if !(*byte == b'\n' && std::mem::take(&mut self.after_cr)) {
                    self.end_line(out, &mut replace)?;
                }
                self.after_cr = *byte == b'\r';
                out.push(*byte);
                chunk = rest;
                continue;
            }
            self.after_cr = false;
            match self.place {
                Place::Data => {
                    let end = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(chunk.len());
                    let (value, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
                    self.document().feed(value, out, &mut replace)?;
                    chunk = rest;
                    continue;
                }
                Place::Colon if *byte != b' ' => {
                    self.place = Place::Data;
                    continue;
                }
                Place::Colon => self.place = Place::Data,
                Place::Mark(count) if MARK.get(count) == Some(byte) => {
                    let count = count.saturating_add(1);
                    self.place = if count == MARK.len() { Place::Name(0) } else { Place::Mark(count) };
                }
                Place::Mark(0) => {
                    self.place = Place::Name(0);
                    continue;
                }
                Place::Name(count) if FIELD.get(count) == Some(byte) => self.place = Place::Name(count.saturating_add(1)),
                Place::Name(count) if count == FIELD.len() && *byte == b':' => self.place = Place::Colon,
                Place::Mark(_) | Place::Name(_) | Place::Other => self.place = Place::Other,
            }
            out.push(*byte);
            chunk = rest;
        }
        Ok(())
    }

    fn document(&mut self) -> &mut Rewriter {
        let Self { limits, plan, document, .. } = self;
        document.get_or_insert_with(|| Rewriter::new(*limits, Rc::clone(plan)))
    }

    /// Ends a line, and with an empty one the event.
    fn end_line<E: From<Fault>>(
        &mut self,
        out: &mut Vec<u8>,
        replace: &mut impl FnMut(Seen<'_>, &mut Vec<u8>) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        match self.place {
            Place::Data | Place::Colon => {
                // Readers join the lines with this; in the stream the line's own end stands for it.
                let mut joined = Vec::new();
                self.document().feed(b"\n", &mut joined, replace)?;
                joined.pop();
                out.append(&mut joined);
            }
            Place::Name(0) | Place::Mark(0) => {
                if let Some(mut document) = self.document.take() {
                    document.end()?;
                }
            }
            // A name without colon is a field with an empty value.
            Place::Name(_) | Place::Mark(_) | Place::Other => {}
        }
        self.place = Place::Name(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, Fault, Limits, Plan};
    use crate::wire::scan::{Keep, Kind, Step};
    use std::rc::Rc;

    fn rewrite(text: &[u8], sizes: &mut dyn Iterator<Item = usize>) -> Result<Vec<u8>, Fault> {
        let mut plan = Plan::default();
        plan.ask(&[Step::member(&["id"])], Keep::Raw);
        let mut events = Events::new(Limits::default(), Rc::new(plan));
        let (mut out, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            events.feed::<Fault>(chunk, &mut out, |seen, _| {
                Ok(seen.json.filter(|_| seen.kind == Kind::String).map(|json| format!("[{json}]")))
            })?;
            rest = behind;
        }
        Ok(out)
    }

    #[test]
    fn every_form_of_event_keeps_its_form() {
        for (text, expected) in [
            ("data: {\"id\":\"a\"}\n\n", "data: {\"id\":[\"a\"]}\n\n"),
            ("data:{\"id\":\"a\"}\r\n\r\ndata:  {\"id\":\"b\"}\r\n\r\n", "data:{\"id\":[\"a\"]}\r\n\r\ndata:  {\"id\":[\"b\"]}\r\n\r\n"),
            (
                "data: {\rdata: \"id\":\r: beat\rdata:\rdata\rdata:\"a\"}\r\r",
                "data: {\rdata: \"id\":\r: beat\rdata:\rdata\rdata:[\"a\"]}\r\r",
            ),
            (
                ": {\"id\":\"no\"}\n\nevent: error\nid: 7\ndata: {\"id\":\"a\"}\n\nretry: 5\n\n",
                ": {\"id\":\"no\"}\n\nevent: error\nid: 7\ndata: {\"id\":[\"a\"]}\n\nretry: 5\n\n",
            ),
            ("\u{feff}data: {\"id\":\"a\"}\n\n", "\u{feff}data: {\"id\":[\"a\"]}\n\n"),
            ("Data: no\ndatas: no\n data: no\n\n", "Data: no\ndatas: no\n data: no\n\n"),
            // What readers drop for want of an empty line may be read by some: it changes as well.
            ("data: {\"id\":\"a\"}", "data: {\"id\":[\"a\"]}"),
        ] {
            for size in 1..=text.len() {
                let out = rewrite(text.as_bytes(), &mut std::iter::repeat(size)).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected, "by {size}");
            }
        }
    }

    #[test]
    fn data_that_is_no_json_is_a_fault() {
        for (text, fault) in [
            ("data: beat\n\n", Fault::Malformed),
            ("data: {\"id\":\"a\ndata: b\"}\n\n", Fault::ControlCharacter),
            ("data: {\n\n", Fault::Incomplete),
            ("data: {}\ndata: {}\n\n", Fault::Trailing),
            ("data:\n\n", Fault::Incomplete),
        ] {
            for size in 1..=text.len() {
                assert_eq!(rewrite(text.as_bytes(), &mut std::iter::repeat(size)), Err(fault), "{text:?} by {size}");
            }
        }
    }
}
