//! Notifications, which agents post to their callers' webhooks: a response of a stream in 1.0 (sections 3.2.3 and 4.3.3), in 0.3 the
//! object itself, told by its `kind` (section 9.5).

use crate::protocol::Version;
use crate::wire::scan::{Asked, Document, Keep, Kind, Limits, Plan, Step};
use std::rc::Rc;

/// The members of which a notification of 1.0 has one, and where the id of the task stands in it.
const PAYLOADS: [(&str, &str); 4] = [("task", "id"), ("message", "taskId"), ("statusUpdate", "taskId"), ("artifactUpdate", "taskId")];
/// What `kind` says in 0.3, with the same.
const KINDS: [(&str, &str); 4] = [("task", "id"), ("message", "taskId"), ("status-update", "taskId"), ("artifact-update", "taskId")];

/// What is asked of a notification. Made once.
#[derive(Clone, Debug)]
pub struct Questions {
    plan: Rc<Plan>,
    root: Asked,
    kind: Asked,
    /// `id` and `taskId` of the object itself.
    id: Asked,
    task_id: Asked,
    /// Each of [`PAYLOADS`], and the id in it.
    payloads: [(Asked, Asked); 4],
}

/// What a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Whose shape it has.
    pub version: Version,
    /// The task that it is about.
    pub task: &'a str,
}

impl Default for Questions {
    fn default() -> Self {
        let mut plan = Plan::default();
        let member = |name: &str| Step::proto_json(name);
        let payloads =
            PAYLOADS.map(|(name, id)| (plan.ask(&[member(name)], Keep::Kind), plan.ask(&[member(name), member(id)], Keep::Text)));
        let (root, kind) = (plan.ask(&[], Keep::Kind), plan.ask(&[member("kind")], Keep::Text));
        let (id, task_id) = (plan.ask(&[member("id")], Keep::Text), plan.ask(&[member("taskId")], Keep::Text));
        Self { plan: Rc::new(plan), root, kind, id, task_id, payloads }
    }
}

impl Questions {
    /// A notification of which nothing has come.
    #[must_use]
    pub fn document(&self) -> Document {
        Document::new(Limits::default(), Rc::clone(&self.plan))
    }

    /// What `document`, which has come whole, is. `None` if it is no notification, or none of a task.
    #[must_use]
    pub fn read<'a>(&self, document: &'a Document) -> Option<Notification<'a>> {
        let kind_of = |asked: Asked| document.findings(asked).values.first().map(|value| value.kind);
        // ProtoJSON: what is null is absent.
        let has = |asked: Asked| kind_of(asked).is_some_and(|kind| kind != Kind::Null);
        let text = |asked: Asked| {
            let value = document.findings(asked).values.first().filter(|value| value.kind == Kind::String)?;
            value.text.as_deref().filter(|text| !text.is_empty())
        };
        if kind_of(self.root) != Some(Kind::Object) {
            return None;
        }
        let mut payloads = self.payloads.iter().filter(|(payload, _)| has(*payload));
        let (version, id) = match (payloads.next(), payloads.next(), has(self.kind)) {
            (Some((payload, id)), None, false) if kind_of(*payload) == Some(Kind::Object) => (Version::V1_0, *id),
            (None, _, true) => {
                let (_, place) = KINDS.into_iter().find(|(name, _)| text(self.kind) == Some(*name))?;
                (Version::V0_3, if place == "id" { self.id } else { self.task_id })
            }
            _ => return None,
        };
        text(id).map(|task| Notification { version, task })
    }
}

#[cfg(test)]
mod tests {
    use super::{Questions, Version};

    fn read(text: &str) -> Option<(Version, String)> {
        let questions = Questions::default();
        let mut document = questions.document();
        document.feed(text.as_bytes()).ok()?;
        document.end().ok()?;
        questions.read(&document).map(|read| (read.version, read.task.to_owned()))
    }

    #[test]
    fn a_notification_has_one_of_eight_shapes() {
        for (text, version, task) in [
            (r#"{"task":{"id":"t","contextId":"c"}}"#, Version::V1_0, "t"),
            (r#"{"message":{"messageId":"m","taskId":"t"}}"#, Version::V1_0, "t"),
            (r#"{"statusUpdate":{"taskId":"t","status":{}}}"#, Version::V1_0, "t"),
            (r#"{"status_update":{"task_id":"t"}}"#, Version::V1_0, "t"),
            (r#"{"artifactUpdate":{"taskId":"t"},"message":null}"#, Version::V1_0, "t"),
            (r#"{"kind":"task","id":"t","contextId":"c","status":{}}"#, Version::V0_3, "t"),
            (r#"{"kind":"message","taskId":"t","messageId":"m"}"#, Version::V0_3, "t"),
            (r#"{"taskId":"t","kind":"status-update","final":true}"#, Version::V0_3, "t"),
            (r#"{"kind":"artifact-update","taskId":"t","artifact":{}}"#, Version::V0_3, "t"),
        ] {
            assert_eq!(read(text), Some((version, task.to_owned())), "{text}");
        }
        for odd in [
            "{}",
            "[]",
            "7",
            "",
            "{",
            r#"[{"task":{"id":"t"}}]"#,
            r#"{"task":[]}"#,
            r#"{"task":"t"}"#,
            r#"{"task":{}}"#,
            r#"{"task":{"id":""}}"#,
            r#"{"task":{"id":7}}"#,
            r#"{"task":{"id":"t"},"message":{"taskId":"t"}}"#,
            r#"{"task":{"id":"t"},"kind":"task"}"#,
            r#"{"task":{"id":"t"},"task":{"id":"u"}}"#,
            r#"{"Task":{"id":"t"}}"#,
            r#"{"statusUpdate":{"taskId":"t"},"status_update":{"taskId":"t"}}"#,
            r#"{"message":{"messageId":"m"}}"#,
            r#"{"kind":"task","taskId":"t"}"#,
            r#"{"kind":"status-update","id":"t"}"#,
            r#"{"kind":"other","id":"t","taskId":"t"}"#,
            r#"{"id":"t","contextId":"c","status":{}}"#,
            r#"{"jsonrpc":"2.0","method":"message/send","id":"1","params":{}}"#,
            r#"{"task":{"id":"t"}}{}"#,
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
        let long = "x".repeat(3000);
        assert_eq!(read(&format!(r#"{{"task":{{"id":"{long}"}}}}"#)), None);
    }
}
