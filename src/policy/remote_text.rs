//! Answers of remote agents in which a task waits for credentials (A2A 1.0 section 7.6): what its status says is judged, and so is what
//! that said before, the task's history, and its metadata. An answer is there whole: one document, the data of one event, or one message.

use super::links::Judge;
use super::texts::{self, Field, Kind as FieldKind, MESSAGE_0_3, MESSAGE_1_0, Step as Path, Telling, field, list, metadata};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::protobuf;
use crate::wire::scan::{Asked, Fault, Keep, Kind, Limits, Plan, Scanner, Step};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

/// What bounds the memory of a scan.
const LIMITS: Limits = Limits { depth: 128, names: 16_384, text: 4096, values: 4 };

/// Where a task or an update stands.
const HOLDERS: [&str; 3] = ["", "task", "statusUpdate"];

/// What is looked for in JSON. Made once.
#[derive(Debug)]
pub struct Plans {
    jsonrpc: Places,
    http_json: Places,
}

#[derive(Debug)]
struct Places {
    plan: Rc<Plan>,
    asked: Vec<(Asked, What)>,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    State,
    /// A message.
    Message,
    /// Messages.
    History,
    Metadata,
}

impl Default for Plans {
    fn default() -> Self {
        Self { jsonrpc: Places::new(&["result"]), http_json: Places::new(&[]) }
    }
}

impl Places {
    fn new(root: &[&str]) -> Self {
        let (mut plan, mut asked) = (Plan::default(), Vec::new());
        let root: Vec<Step> = root.iter().map(|name| Step::proto_json(name)).collect();
        let inside = HOLDERS.iter().map(|name| (!name.is_empty()).then(|| Step::proto_json(name)).into_iter().collect());
        for holder in inside.chain([vec![Step::member(&["tasks"]), Step::Element]]) {
            let mut ask = |steps: &[Step], what| {
                let path = [root.as_slice(), holder.as_slice(), steps].concat();
                asked.push((if what == What::State { plan.ask(&path, Keep::Raw) } else { plan.ask_end(&path) }, what));
            };
            let status = || Step::member(&["status"]);
            ask(&[status(), Step::member(&["state"])], What::State);
            // The protobuf of 0.3 has the second name.
            ask(&[status(), Step::member(&["message", "update"])], What::Message);
            ask(&[Step::member(&["history"])], What::History);
            ask(&[Step::member(&["metadata"])], What::Metadata);
        }
        Self { plan: Rc::new(plan), asked }
    }
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Looked {
    /// A task in it waits for credentials.
    pub waits: bool,
    /// What goes on in its place, if that is something else.
    pub new: Option<Vec<u8>>,
}

/// Whether an answer to `operation` may hold a task.
#[must_use]
pub const fn may_hold(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::SendMessage
            | Operation::SendStreamingMessage
            | Operation::SubscribeToTask
            | Operation::GetTask
            | Operation::CancelTask
            | Operation::ListTasks
    )
}

impl Plans {
    /// Looks at `json`.
    ///
    /// # Errors
    /// If it cannot be read in one way.
    pub fn json(&self, binding: Binding, json: &[u8], judge: &mut Judge<'_>) -> Result<Looked, Fault> {
        let places = if binding == Binding::Jsonrpc { &self.jsonrpc } else { &self.http_json };
        let mut scanner = Scanner::new(LIMITS, Rc::clone(&places.plan));
        let (mut rest, mut open, mut waits) = (json, 0, false);
        let mut found: Vec<(Range<usize>, What)> = Vec::new();
        while let Some(seen) = scanner.next(&mut rest)? {
            let at = json.len().saturating_sub(rest.len());
            let what = places.asked.iter().find(|(asked, _)| *asked == seen.asked).map_or(What::Metadata, |(_, what)| *what);
            match (what, seen.kind) {
                (What::State, kind) => waits |= is_state(kind, seen.text.ok_or(Fault::TooLong)?),
                (_, Kind::Object | Kind::Array) if seen.end.is_none() => open = at.saturating_sub(1),
                (what, Kind::Object | Kind::Array) => found.push((open..at, what)),
                (what, Kind::String) => found.push((at.saturating_sub(seen.text.ok_or(Fault::TooLong)?.len())..at, what)),
                _ => {}
            }
        }
        scanner.end()?;
        if !waits {
            return Ok(Looked { waits, new: None });
        }
        // They stand one behind the other.
        let (mut out, mut copied) = (Vec::new(), 0);
        for (range, what) in found {
            let text = json.get(range.clone()).unwrap_or_default();
            if let Some(changed) = texts::json(text, &mut |path, text| if is_said(what, path) { judge.text(text) } else { None }) {
                out.extend_from_slice(json.get(copied..range.start).unwrap_or_default());
                out.extend_from_slice(&changed);
                copied = range.end;
            }
        }
        let new = (copied > 0).then(|| [out.as_slice(), json.get(copied..).unwrap_or_default()].concat());
        Ok(Looked { waits, new })
    }
}

/// Looks at a message of gRPC, without the bytes before it.
///
/// # Errors
/// If it cannot be read.
pub fn message((operation, version): (Operation, Version), message: &[u8], judge: &mut Judge<'_>) -> Result<Looked, protobuf::Fault> {
    let fields: &'static [Field] = match (operation, version) {
        (Operation::GetTask | Operation::CancelTask, Version::V0_3) => &TASK_0_3,
        (Operation::GetTask | Operation::CancelTask, Version::V1_0) => &TASK_1_0,
        (Operation::ListTasks, _) => &LIST_1_0,
        (_, Version::V0_3) => &ANSWER_0_3,
        (_, Version::V1_0) => &ANSWER_1_0,
    };
    let (mut waits, before) = (false, judge.clone());
    let mut is_changed = false;
    let mut visit = |_: &[Path<'_>], text: &str| {
        let new = judge.text(text);
        is_changed |= new.is_some();
        new
    };
    let new = texts::message(message, fields, &mut Telling { visit: &mut visit, number: &mut |state| waits |= state == AUTH_REQUIRED })?;
    if !waits {
        *judge = before;
    }
    Ok(Looked { waits, new: (waits && is_changed).then_some(new) })
}

/// The number of the state, in both versions.
const AUTH_REQUIRED: u64 = 8;

static STATUS_0_3: [Field; 2] = [field(1, "state", FieldKind::Number), field(2, "message", FieldKind::Message(&MESSAGE_0_3))];
static STATUS_1_0: [Field; 2] = [field(1, "state", FieldKind::Number), field(2, "message", FieldKind::Message(&MESSAGE_1_0))];
static TASK_0_3: [Field; 3] =
    [field(3, "status", FieldKind::Message(&STATUS_0_3)), list(5, "history", FieldKind::Message(&MESSAGE_0_3)), metadata(6)];
static TASK_1_0: [Field; 3] =
    [field(3, "status", FieldKind::Message(&STATUS_1_0)), list(5, "history", FieldKind::Message(&MESSAGE_1_0)), metadata(6)];
static UPDATE_0_3: [Field; 2] = [field(3, "status", FieldKind::Message(&STATUS_0_3)), metadata(5)];
static UPDATE_1_0: [Field; 2] = [field(3, "status", FieldKind::Message(&STATUS_1_0)), metadata(4)];
static ANSWER_0_3: [Field; 2] =
    [field(1, "task", FieldKind::Message(&TASK_0_3)), field(3, "statusUpdate", FieldKind::Message(&UPDATE_0_3))];
static ANSWER_1_0: [Field; 2] =
    [field(1, "task", FieldKind::Message(&TASK_1_0)), field(3, "statusUpdate", FieldKind::Message(&UPDATE_1_0))];
static LIST_1_0: [Field; 1] = [list(1, "tasks", FieldKind::Message(&TASK_1_0))];

/// Whether a state is that of a task that waits for credentials, however a reader may take it: by its name or its number.
fn is_state(kind: Kind, json: &str) -> bool {
    let text: Cow<'_, str> = match kind {
        Kind::String => serde_json::from_str::<String>(json).unwrap_or_default().into(),
        _ => json.into(),
    };
    // Other ways to write the number are those of nobody else's state.
    let is_number = || text.contains('8') && text.bytes().all(|byte| byte.is_ascii_digit() || b" .eE+-".contains(&byte));
    text.eq_ignore_ascii_case("TASK_STATE_AUTH_REQUIRED") || text.eq_ignore_ascii_case("auth-required") || is_number()
}

/// Whether what stands at `path` of this is for people and programs, and no id and no name of something.
fn is_said(what: What, path: &[Path<'_>]) -> bool {
    let member = match what {
        What::State => return false,
        What::Metadata => return true,
        What::Message => path.first(),
        What::History => path.get(1),
    };
    match member {
        Some(Path::Name(name)) => ["parts", "content", "metadata"].contains(&name.as_ref()),
        Some(Path::Place(_)) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::{Judge, Links};
    use super::{Looked, Plans, message};
    use crate::protocol::{Binding, Operation, Version};
    use crate::wire::protobuf::Writer;
    use crate::wire::scan::Fault;

    fn look(json: &str, strips: bool) -> Result<(Looked, Links), Fault> {
        let mut judge = Judge { strips, own: Some("consent.example.com"), links: Links::default() };
        let looked = Plans::default().json(Binding::HttpJson, json.as_bytes(), &mut judge)?;
        Ok((looked, judge.links))
    }

    fn stripped(json: &str) -> String {
        let (looked, _) = look(json, true).unwrap();
        String::from_utf8(looked.new.unwrap_or_else(|| json.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn links_go_wherever_they_stand_and_nothing_else_changes() {
        let url = "https://login.remote.example/a?b";
        for state in ["\"TASK_STATE_AUTH_REQUIRED\"", "\"auth-required\"", "\"auth\\u002drequired\"", "8", "8.0", "\"8\""] {
            let message = |url: &str| {
                format!(
                    r#"{{"messageId":"https://id","extensions":["https://ext/v1"],"parts":[{{"text":"Open {url} \"now\""}},{{"url":"{url}"}},{{"kind":"file","file":{{"uri":"{url}"}}}},{{"data":{{"link":"{url}","https://key":[{{"a":["{url}"]}}],"n":1.50}}}}],"metadata":{{"u":"{url}"}}}}"#
                )
            };
            let task = |url: &str| {
                format!(
                    r#"{{ "history":[{}], "status":{{"message":{},"state":{state}}},"metadata":{{"x":"{url}"}},"artifacts":[{{"parts":[{{"text":"https://artifact"}}]}}]}}"#,
                    message(url),
                    message(url)
                )
            };
            for wrap in ["X", r#"{"task":X}"#, r#"{"statusUpdate":X}"#, r#"{"status_update":X}"#, r#"{"tasks":[X],"totalSize":1}"#] {
                let (before, after) = (wrap.replace('X', &task(url)), wrap.replace('X', &task("[link removed]")));
                assert_eq!(stripped(&before), after);
                let (looked, links) = look(&before, true).unwrap();
                assert!(looked.waits && links.stripped == 13 && links.origins == ["https://login.remote.example"], "{links:?}");
                let (looked, links) = look(&before, false).unwrap();
                assert_eq!((looked.new, links.passed), (None, 13));
            }
            let escaped =
                format!(r#"{{"status":{{"state":{state},"update":{{"content":[{{"text":"https:\/\/a.example\/x\u0020."}}]}}}}}}"#);
            assert!(stripped(&escaped).contains(r#""text":"[link removed] .""#), "{}", stripped(&escaped));
            let ours =
                format!(r#"{{"status":{{"state":{state},"message":{{"parts":[{{"text":"https://consent.example.com/x https://b"}}]}}}}}}"#);
            let (looked, links) = look(&ours, false).unwrap();
            assert_eq!((links.imitated, links.passed), (1, 1));
            assert!(String::from_utf8(looked.new.unwrap()).unwrap().contains("\"[link removed] https://b\""));
        }
    }

    #[test]
    fn other_answers_stay_and_what_two_readers_could_read_in_two_ways_is_a_fault() {
        for json in [
            r#"{"status":{"state":"TASK_STATE_WORKING","message":{"parts":[{"text":"https://a"}]}}}"#,
            r#"{"message":{"parts":[{"text":"https://a"}]}}"#,
            r#"{"status":{"state":18}}"#,
            "[]",
            "{}",
        ] {
            let (looked, links) = look(json, true).unwrap();
            assert!(looked.new.is_none() && links.is_empty(), "{json}: {looked:?}");
        }
        for (json, fault) in [
            (r#"{"status":{"state":"working"},"status":{"state":"auth-required"}}"#, Fault::RepeatedName),
            (r#"{"Status":{"state":"auth-required"}}"#, Fault::CaseVariant),
            (r#"{"status":{"message":{},"update":{}}}"#, Fault::RepeatedName),
            ("<html>", Fault::Malformed),
            ("", Fault::Incomplete),
        ] {
            assert_eq!(look(json, true), Err(fault), "{json}");
        }
    }

    fn inside(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(number, bytes);
        writer.end()
    }

    fn task(state: u64, url: &str, version: Version) -> Vec<u8> {
        let value = inside(3, url.as_bytes());
        let entry = [inside(1, b"link"), inside(2, &value)].concat();
        let fields = inside(1, &entry);
        let data = match version {
            Version::V1_0 => inside(4, &inside(5, &fields)),
            Version::V0_3 => inside(3, &inside(1, &fields)),
        };
        let file = if version == Version::V1_0 { inside(3, url.as_bytes()) } else { inside(2, &inside(1, url.as_bytes())) };
        let text = inside(1, format!("Open {url} now").as_bytes());
        let message = [inside(1, b"https://id"), inside(5, &text), inside(5, &data), inside(5, &file), inside(7, b"https://ext")].concat();
        let mut status = Writer::default();
        status.varint(1, state);
        status.bytes(2, &message);
        [inside(1, b"t"), inside(3, &status.end()), inside(6, &fields)].concat()
    }

    #[test]
    fn messages_of_grpc_are_judged_in_each_version() {
        let look = |operation, version, bytes: &[u8], strips| {
            let mut judge = Judge { strips, own: None, links: Links::default() };
            let looked = message((operation, version), bytes, &mut judge).unwrap();
            (looked, judge.links)
        };
        use Operation::{GetTask, ListTasks, SendMessage, SendStreamingMessage};
        for version in [Version::V0_3, Version::V1_0] {
            for (operation, wraps) in [(GetTask, false), (SendMessage, true), (SendStreamingMessage, true), (ListTasks, true)] {
                if (operation, version) == (ListTasks, Version::V0_3) {
                    continue;
                }
                let wrap = |bytes: Vec<u8>| if wraps { inside(1, &bytes) } else { bytes };
                let url = "https://login.remote.example/a?b";
                let (looked, links) = look(operation, version, &wrap(task(8, url, version)), true);
                assert_eq!(looked.new.unwrap(), wrap(task(8, "[link removed]", version)), "{operation:?} {version:?}");
                assert_eq!((links.stripped, links.origins), (4, vec!["https://login.remote.example".to_owned()]));
                let (looked, links) = look(operation, version, &wrap(task(8, url, version)), false);
                assert!(looked.waits && looked.new.is_none() && links.passed == 4);
                let (looked, links) = look(operation, version, &wrap(task(2, url, version)), true);
                assert!(!looked.waits && looked.new.is_none() && links.is_empty());
            }
        }
        let mut judge = Judge { strips: true, own: None, links: Links::default() };
        assert!(message((GetTask, Version::V1_0), b"\x1a\x09", &mut judge).is_err());
        assert!(message((GetTask, Version::V1_0), b"\x18\x08", &mut judge).is_err());
    }
}
