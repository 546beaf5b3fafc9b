//! Marks stay behind: the member that is one is cut out of the metadata in which it stands. Metadata is held until it ends, so
//! that what stands before the mark can still be changed; in event streams it may go over several lines.

use crate::wire::rewrite::Seen;
use crate::wire::scan::{End, Kind};

/// Where in an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unmarking {
    /// Where in what has not gone on the open metadata begins, if any is open.
    open: Option<usize>,
    /// Its first member was cut out.
    is_first: bool,
}

impl Unmarking {
    /// Metadata begins or ends, where `out` ends.
    pub(super) fn metadata(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) {
        match (seen.kind, seen.end) {
            (Kind::Object, None) => *self = Self { open: out.len().checked_sub(1), is_first: false },
            (Kind::Object, Some(End::Empty | End::Filled)) => {
                let behind = self.open.filter(|_| self.is_first).and_then(|open| out.get(open.saturating_add(1)..));
                if let Some(behind) = behind {
                    let at = out.len().saturating_sub(after_blanks(behind).len());
                    if out.get(at) == Some(&b',') {
                        out.remove(at);
                    }
                }
                *self = Self::default();
            }
            _ => {}
        }
    }

    /// A mark comes, behind its name in `out`: what stands in its place. What is no text is none.
    pub(super) fn mark(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) -> Option<String> {
        if seen.kind != Kind::String {
            return None;
        }
        // A line that is none for us may stand between.
        let Some((end, is_first)) = before_member(out) else { return Some("null".to_owned()) };
        out.truncate(end);
        self.is_first |= is_first;
        Some(String::new())
    }

    /// Takes off `out` what has to wait.
    pub(super) fn hold(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        let Some(open) = self.open else { return Vec::new() };
        self.open = Some(0);
        if open > out.len() { Vec::new() } else { out.split_off(open) }
    }
}

/// Where the member begins whose value would come next, with the comma before it; whether it is the first. Its name has no quote
/// or backslash in it, so that its quotes are the last two.
pub(super) fn before_member(text: &[u8]) -> Option<(usize, bool)> {
    let name = before_blanks(text).strip_suffix(b":")?;
    let name = before_blanks(name).strip_suffix(b"\"")?;
    let before = before_blanks(name.get(..name.iter().rposition(|byte| *byte == b'"')?)?);
    match before.split_last()? {
        (b',', rest) => Some((rest.len(), false)),
        (b'{', _) => Some((before.len(), true)),
        _ => None,
    }
}

/// The name of the field at the start of a line of data. Outside of strings nothing in JSON ends in it.
const FIELD: &[u8] = b"data:";

/// `text` without white space at its end, and the starts of lines among it.
fn before_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_end();
        match text.strip_suffix(FIELD) {
            Some(before) if matches!(before, [.., b'\r' | b'\n']) => text = before,
            _ => return text,
        }
    }
}

/// The same at its start, without lines of other fields.
fn after_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        match text {
            [] | [b',' | b'"' | b'}', ..] => return text,
            _ => {
                let line = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
                text = text.strip_prefix(FIELD).unwrap_or(text.get(line..).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::plans::Plans;
    use super::super::tag::Subject;
    use super::super::tag::tests::{shown, tagger};
    use crate::protocol::{Binding, Operation, Version};
    use std::rc::Rc;

    fn pass(text: &str, binding: Binding, operation: Operation, is_stream: bool, size: usize) -> String {
        let plans = Plans::new(Some("x-owner"));
        let mut answer = Answer::new(Rc::clone(plans.answer(binding, operation, Version::V1_0).unwrap()), tagger("ann"), None, is_stream);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            out.extend(answer.feed(chunk).unwrap());
        }
        answer.end().unwrap();
        String::from_utf8(out).unwrap().replace(&shown(&tagger("ann"), Subject::Task, "t"), "<t>")
    }

    /// A body with this metadata and id.
    type Form<'f> = &'f dyn Fn(&str, &str) -> String;

    #[test]
    fn marks_are_cut_out_wherever_they_stand() {
        for (metadata, expected) in [
            (r#"{"x-owner":"m"}"#, "{}"),
            (r#"{ "x-owner" : "m" }"#, "{ }"),
            (r#"{"x-owner":"m","a":1}"#, r#"{"a":1}"#),
            (r#"{"x-owner":"m" , "a":1}"#, r#"{  "a":1}"#),
            (r#"{"a":1,"x-owner":"m"}"#, r#"{"a":1}"#),
            (r#"{"a":[",{"] , "x\u002downer":"\"m,{", "b":{}}"#, r#"{"a":[",{"] , "b":{}}"#),
            (r#"{"a":{"x-owner":"m"},"X-Owner":"m"}"#, r#"{"a":{"x-owner":"m"},"X-Owner":"m"}"#),
            (r#"{"x-owner":7,"b":1}"#, r#"{"x-owner":7,"b":1}"#),
            ("null", "null"),
            ("{}", "{}"),
            (r#""x""#, r#""x""#),
        ] {
            let task = |metadata: &str, id: &str| {
                format!(
                    r#"{{"id":"{id}","metadata":{metadata},"status":{{"message":{{"metadata":{metadata}}}}},
                    "history":[{{"metadata":{metadata},"parts":[{{"metadata":{{"a":1}}}}]}},{{}}],"artifacts":[{{"metadata":{metadata}}}]}}"#
                )
            };
            let update =
                |metadata: &str, id: &str| format!(r#"{{"taskId":"{id}","artifact":{{"metadata":{metadata}}},"metadata":{metadata}}}"#);
            let message = |metadata: &str, id: &str| format!(r#"{{"taskId":"{id}","metadata":{metadata}}}"#);
            let all: [Form<'_>; 7] = [
                &task,
                &update,
                &message,
                &|metadata, id| format!(r#"{{"task":{}}}"#, task(metadata, id)),
                &|metadata, id| format!(r#"{{"message":{}}}"#, message(metadata, id)),
                &|metadata, id| format!(r#"{{"statusUpdate":{}}}"#, update(metadata, id)),
                &|metadata, id| format!(r#"{{"artifactUpdate":{}}}"#, update(metadata, id)),
            ];
            for form in all {
                let (text, expected) = (form(metadata, "t"), form(expected, "<t>"));
                let event = |text: &str| format!("data: {{\"result\":{}}}\n\n", text.replace('\n', " "));
                for size in [1, 2, 3, 7, 4096] {
                    assert_eq!(pass(&text, Binding::HttpJson, Operation::GetTask, false, size), expected, "by {size}");
                    let twice = format!("{}{}", event(&text), event(&text));
                    let out = pass(&twice, Binding::Jsonrpc, Operation::SubscribeToTask, true, size);
                    assert_eq!(out, format!("{}{}", event(&expected), event(&expected)), "by {size}");
                }
            }
        }
    }

    #[test]
    fn marks_are_cut_out_of_data_in_several_lines() {
        for (lines, expected) in [
            ("data: {\ndata:  \"x-owner\":\ndata:\"m\",\ndata:\"a\":1}\n\n", "data: {\ndata:\"a\":1}\n\n"),
            ("data: {\"a\":1,\r\ndata:  \"x-owner\":\"m\"\r\ndata: }\r\n\r\n", "data: {\"a\":1\r\ndata: }\r\n\r\n"),
            ("data: {\"x-owner\":\"m\"\n: beat\nid: 7\ndata: ,\"a\":1}\n\n", "data: {\n: beat\nid: 7\ndata: \"a\":1}\n\n"),
            // Nothing is known of what another line means: the mark goes, if not the name.
            ("data: {\n: beat\ndata:\"x-owner\":\"m\"}\n\n", "data: {\n: beat\ndata:\"x-owner\":null}\n\n"),
        ] {
            let (text, expected) = (format!("data: {{\"metadata\":\n{lines}"), format!("data: {{\"metadata\":\n{expected}"));
            let close = |text: &str| text.replacen("}\n\n", "}}\n\n", 1).replacen("}\r\n\r\n", "}}\r\n\r\n", 1);
            for size in [1, 2, 3, 7, 4096] {
                let out = pass(&close(&text), Binding::HttpJson, Operation::SubscribeToTask, true, size);
                assert_eq!(out, close(&expected), "by {size}");
            }
        }
    }

    #[test]
    fn without_marks_metadata_is_not_looked_at() {
        let plans = Plans::new(None);
        let mut answer =
            Answer::new(Rc::clone(plans.answer(Binding::HttpJson, Operation::GetTask, Version::V1_0).unwrap()), tagger("ann"), None, false);
        let text = br#"{"metadata":{"x-owner":"m"}"#;
        assert_eq!(answer.feed(text).unwrap(), text);
    }
}
