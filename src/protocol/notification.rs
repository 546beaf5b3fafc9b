//! Notifications about tasks, as agents post them to webhooks: what they are about, whichever version they speak (A2A 1.0 sections
//! 3.1.7 and 4.3.3: one `StreamResponse`; 0.3 section 9.5: the object itself, with its `kind`).

use crate::protocol::Version;
use crate::wire::scan::{Asked, Document, Fault, Keep, Kind, Limits, Plan, Step, Value};
use std::rc::Rc;
use thiserror::Error;

/// Longest id of a task, in bytes.
pub const MAX_TASK_BYTES: usize = 1024;

/// The members of a notification of 1.0, each with the member of its object that names the task.
const EVENTS: [(&str, &str); 4] = [("task", "id"), ("message", "taskId"), ("statusUpdate", "taskId"), ("artifactUpdate", "taskId")];

/// The kinds of notifications of 0.3, each with the member that names the task.
const KINDS: [(&str, &str); 4] = [("task", "id"), ("message", "taskId"), ("status-update", "taskId"), ("artifact-update", "taskId")];

/// What is asked of the bodies of notifications. Made once.
#[derive(Debug)]
pub struct Notifications {
    plan: Rc<Plan>,
    root: Asked,
    kind: Asked,
    id: Asked,
    task_id: Asked,
    events: [Event; 4],
}

#[derive(Clone, Copy, Debug)]
struct Event {
    object: Asked,
    task: Asked,
}

impl Default for Notifications {
    fn default() -> Self {
        let mut plan = Plan::default();
        let mut ask = |path: &[&str], keep| plan.ask(&path.iter().map(|name| Step::proto_json(name)).collect::<Vec<_>>(), keep);
        let root = ask(&[], Keep::Kind);
        let (kind, id, task_id) = (ask(&["kind"], Keep::Text), ask(&["id"], Keep::Text), ask(&["taskId"], Keep::Text));
        let events = EVENTS.map(|(name, task)| Event { object: ask(&[name], Keep::Kind), task: ask(&[name, task], Keep::Text) });
        Self { plan: Rc::new(plan), root, kind, id, task_id, events }
    }
}

/// Why a body is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotificationError {
    /// It is no JSON document that all readers read alike.
    #[error("the body cannot be read: {0}")]
    Unreadable(#[from] Fault),
    /// It is no object.
    #[error("a notification is an object")]
    NoObject,
    /// It is neither one of 1.0 nor one of 0.3.
    #[error("a notification has one of task, message, statusUpdate and artifactUpdate (A2A 1.0), or a kind (0.3)")]
    Shape,
    /// It is both, or several.
    #[error("a notification is about one thing")]
    Several,
    /// Its task has no id, or one that is no text.
    #[error("the notification names no task, or by something that is no text of at most 1024 bytes")]
    Task,
}

/// What a notification says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Of which version it is.
    pub version: Version,
    /// The task that it is about. Only a message may have none.
    pub task: Option<Box<str>>,
}

/// A body that arrives.
#[derive(Debug)]
pub struct Posted {
    document: Document,
    asked: Rc<Notifications>,
}

impl Posted {
    /// A body of which nothing has come.
    #[must_use]
    pub fn new(asked: &Rc<Notifications>) -> Self {
        Self { document: asked.document(), asked: Rc::clone(asked) }
    }

    /// Reads all of `chunk`.
    ///
    /// # Errors
    /// The first fault.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), NotificationError> {
        Ok(self.document.feed(chunk)?)
    }

    /// What it is. Nothing more comes.
    ///
    /// # Errors
    /// If it is no notification, or could be read as two.
    pub fn end(&mut self) -> Result<Notification, NotificationError> {
        self.document.end()?;
        self.asked.read(&self.document)
    }
}

impl Notifications {
    /// A body of which nothing has come.
    #[must_use]
    pub fn document(&self) -> Document {
        let limits = Limits { text: MAX_TASK_BYTES, values: 2, ..Limits::default() };
        Document::new(limits, Rc::clone(&self.plan))
    }

    /// What `document`, which has come whole, is.
    ///
    /// # Errors
    /// If it is no notification, or could be read as two.
    pub fn read(&self, document: &Document) -> Result<Notification, NotificationError> {
        let found = |asked: Asked| document.findings(asked).values.first();
        let is_object = |value: Option<&Value>| value.is_some_and(|value| value.kind == Kind::Object);
        if !is_object(found(self.root)) {
            return Err(NotificationError::NoObject);
        }
        let is_there = |asked: Asked| found(asked).is_some_and(|value| value.kind != Kind::Null);
        let mut events = self.events.iter().zip(EVENTS).filter(|(event, _)| is_there(event.object));
        let kind = found(self.kind).filter(|value| value.kind != Kind::Null);
        let (version, name, task) = match (events.next(), events.next(), kind) {
            (Some(_), Some(_), _) | (Some(_), None, Some(_)) => return Err(NotificationError::Several),
            (None, _, None) => return Err(NotificationError::Shape),
            (Some((event, (name, _))), None, None) => match is_object(found(event.object)) {
                true => (Version::V1_0, name, event.task),
                false => return Err(NotificationError::Shape),
            },
            (None, _, Some(kind)) => {
                let known = kind.text.as_deref().filter(|_| kind.kind == Kind::String);
                let (name, task) = KINDS.into_iter().find(|(name, _)| known == Some(name)).ok_or(NotificationError::Shape)?;
                (Version::V0_3, name, if task == "id" { self.id } else { self.task_id })
            }
        };
        let task = match found(task) {
            Some(Value { kind: Kind::String, text: Some(text) }) if !text.is_empty() => Some((**text).into()),
            None | Some(Value { kind: Kind::Null, .. }) if name == "message" => None,
            Some(Value { kind: Kind::String, text: Some(_) }) if name == "message" => None,
            _ => return Err(NotificationError::Task),
        };
        Ok(Notification { version, task })
    }
}

#[cfg(test)]
mod tests {
    use super::{Notification, NotificationError, Notifications, Posted};
    use crate::protocol::Version;
    use crate::wire::scan::Fault;
    use std::rc::Rc;

    /// What `body` is, in chunks of every size.
    fn read(body: &str) -> Result<Notification, NotificationError> {
        let asked = Rc::default();
        let by = |size: usize, asked: &Rc<Notifications>| {
            let mut posted = Posted::new(asked);
            body.as_bytes().chunks(size).try_for_each(|chunk| posted.feed(chunk))?;
            posted.end()
        };
        let whole = by(body.len().max(1), &asked);
        for size in 1..8 {
            assert_eq!(by(size, &asked), whole, "{body} by {size}");
        }
        whole
    }

    #[test]
    fn notifications_of_each_version_name_their_task() {
        for (body, version, task) in [
            (r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}"#, Version::V1_0, Some("t")),
            (r#"{"statusUpdate":{"taskId":"t","status":{}}}"#, Version::V1_0, Some("t")),
            (r#"{"status_update":{"task_id":"t","status":{}}}"#, Version::V1_0, Some("t")),
            (r#"{"artifactUpdate":{"artifact":{"parts":[]},"taskId":"\u0074"},"task":null}"#, Version::V1_0, Some("t")),
            (r#"{"message":{"messageId":"m","taskId":"t"}}"#, Version::V1_0, Some("t")),
            (r#"{"message":{"messageId":"m","taskId":""}}"#, Version::V1_0, None),
            (r#"{"message":{"messageId":"m"}}"#, Version::V1_0, None),
            (r#"{"kind":"task","id":"t","status":{"state":"working"}}"#, Version::V0_3, Some("t")),
            (r#"{"kind":"status-update","taskId":"t","id":"other"}"#, Version::V0_3, Some("t")),
            (r#"{"taskId":"t","kind":"artifact-update"}"#, Version::V0_3, Some("t")),
            (r#"{"kind":"message","messageId":"m"}"#, Version::V0_3, None),
        ] {
            assert_eq!(read(body), Ok(Notification { version, task: task.map(Into::into) }), "{body}");
        }
    }

    #[test]
    fn nothing_else_is_a_notification() {
        use NotificationError::{NoObject, Several, Shape, Task, Unreadable};
        let long = format!(r#"{{"kind":"task","id":"{}"}}"#, "x".repeat(1025));
        for (body, error) in [
            ("", Unreadable(Fault::Incomplete)),
            ("{}{}", Unreadable(Fault::Trailing)),
            (r#"{"task":{"id":"a"},"task":{"id":"b"}}"#, Unreadable(Fault::RepeatedName)),
            (r#"{"statusUpdate":{"taskId":"a","task_id":"b"}}"#, Unreadable(Fault::RepeatedName)),
            (r#"{"kind":"task","Id":"b","id":"a"}"#, Unreadable(Fault::CaseVariant)),
            ("[]", NoObject),
            (r#""task""#, NoObject),
            ("{}", Shape),
            (r#"{"id":"t","status":{}}"#, Shape),
            (r#"{"task":[]}"#, Shape),
            (r#"{"task":"t"}"#, Shape),
            (r#"{"kind":"job","id":"t"}"#, Shape),
            (r#"{"kind":["task"],"id":"t"}"#, Shape),
            (r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{}}"#, Shape),
            (r#"{"task":{"id":"a"},"statusUpdate":{"taskId":"b"}}"#, Several),
            (r#"{"task":{"id":"a"},"kind":"task","id":"b"}"#, Several),
            (r#"{"task":{}}"#, Task),
            (r#"{"task":{"id":""}}"#, Task),
            (r#"{"task":{"id":7}}"#, Task),
            (r#"{"kind":"status-update","id":"t"}"#, Task),
            (r#"{"message":{"taskId":["t"]}}"#, Task),
            (long.as_str(), Task),
        ] {
            assert_eq!(read(body), Err(error), "{body}");
        }
    }
}
