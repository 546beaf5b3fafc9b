//! A request's body on its way in: every id in it is one that the caller was shown, and loses its tag.

use super::places::{Form, Place, Places};
use super::tag::{Subject, Tagger, Tenant};
use crate::wire::messages::Messages;
use crate::wire::protobuf;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{Fault, Kind, Limits};
use std::rc::Rc;
use thiserror::Error;

/// Why a body does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// It cannot be read in one way.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The same of a gRPC message.
    #[error("{0}")]
    Message(#[from] protobuf::Fault),
    /// It names a task or context that the caller was never shown.
    #[error("it names a task or context that is not the caller's")]
    NotFound,
    /// The answer names something before the request has said which tenant it is about.
    #[error("it came before the whole request was there")]
    Early,
    /// A list holds a task of another context than the one that was asked for.
    #[error("the list holds a task of another context")]
    Foreign,
}

/// One body.
#[derive(Clone, Debug)]
pub struct RequestBody {
    reading: Reading,
    names: Names,
}

#[derive(Clone, Debug)]
enum Reading {
    Json(Box<Rewriter>),
    /// One message.
    Message(Messages),
}

/// What a body names.
#[derive(Clone, Debug)]
struct Names {
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    context: Option<String>,
}

impl RequestBody {
    /// A body of which nothing has come. Nothing of a gRPC message goes on before all of it has come.
    #[must_use]
    pub fn new(limits: Limits, places: Rc<Places>, tagger: Rc<Tagger>) -> Self {
        let reading = match places.form() {
            Form::Json(plan) => Reading::Json(Box::new(Rewriter::new(limits, Rc::clone(plan)))),
            // What is held bounds it, and it can only become shorter.
            Form::Messages(plan) => Reading::Message(Messages::new(Rc::clone(plan), usize::MAX, true)),
        };
        Self { reading, names: Names { places, tagger, context: None } }
    }

    /// What goes on of `chunk`, all of which is read.
    ///
    /// # Errors
    /// Why nothing does. The body is not to be fed further then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(chunk.len());
        let Self { reading, names } = self;
        match reading {
            Reading::Json(rewriter) => rewriter.feed::<Problem>(chunk, &mut out, |seen| {
                let Some(place) = names.places.at(seen.asked) else { return Ok(None) };
                let Some(text) = named(seen)? else { return Ok(None) };
                names.plain(place, &text).map(|plain| Some(serde_json::Value::String(plain).to_string()))
            })?,
            Reading::Message(messages) => messages.feed::<Problem>(chunk, &mut out, &mut |seen| {
                match (names.places.at(seen.asked), seen.text) {
                    // In protocol buffers an empty text is none.
                    (Some(place), Some(text)) if !text.is_empty() => names.plain(place, text).map(Some),
                    _ => Ok(None),
                }
            })?,
        }
        Ok(out)
    }

    /// Tells that nothing more comes: a tenant that is not named by now is none.
    ///
    /// # Errors
    /// If it has named what is of a tenant.
    pub fn end(&self) -> Result<(), Problem> {
        let tagger = &self.names.tagger;
        if tagger.is_settled() || tagger.settle(Tenant::NONE) { Ok(()) } else { Err(Problem::NotFound) }
    }

    /// The context that it names, as the agent knows it. Only complete bodies name what is asked of a list.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.names.context.as_deref()
    }
}

impl Names {
    /// `text` without its tag.
    fn plain(&mut self, place: Place, text: &str) -> Result<String, Problem> {
        let plain = match place {
            Place::Id(subject) => self.tagger.untagged(subject, text).map(str::to_owned),
            Place::Name => untagged_name(text, &self.tagger),
            Place::Item | Place::ItemContext => None,
        };
        let plain = plain.ok_or(Problem::NotFound)?;
        if place == Place::Id(Subject::Context) {
            self.context = Some(plain.clone());
        }
        Ok(plain)
    }
}

/// The text of what stands at a place; `None` if it names nothing. What is no text is nobody's.
fn named(seen: Seen<'_>) -> Result<Option<String>, Problem> {
    match (seen.kind, seen.json) {
        (Kind::Null, _) => Ok(None),
        (Kind::String, Some(json)) => text(json).map(|text| Some(text).filter(|text| !text.is_empty())),
        _ => Err(Problem::NotFound),
    }
}

/// The text that a JSON string stands for.
pub(super) fn text(json: &str) -> Result<String, Problem> {
    serde_json::from_slice(json.as_bytes()).map_err(|_| Problem::Fault(Fault::Malformed))
}

/// `tasks/{id}` or what begins so, with the id as the agent knows it.
fn untagged_name(name: &str, tagger: &Tagger) -> Option<String> {
    let (id, rest) = split_name(name)?;
    Some(format!("tasks/{}{rest}", tagger.untagged(Subject::Task, id)?))
}

/// The id of a resource name, and what follows it.
pub(super) fn split_name(name: &str) -> Option<(&str, &str)> {
    let behind = name.strip_prefix("tasks/")?;
    Some(behind.split_at_checked(behind.find('/').unwrap_or(behind.len())).unwrap_or((behind, "")))
}

#[cfg(test)]
mod tests {
    use super::super::plans::Plans;
    use super::super::tag::tests::{shown, tagger, tagger_in};
    use super::{Fault, Problem, RequestBody, Subject, Tenant};
    use crate::protocol::{Binding, Operation, Version};
    use crate::wire::scan::Limits;
    use std::rc::Rc;

    /// `text`, in which `<t1>` and `(c1)` stand for a task and a context as `who` sees them, read as ann's in chunks.
    fn pass(text: &str, who: &str, operation: Operation, version: Version, size: usize) -> Result<String, Problem> {
        let by = tagger(who);
        let text = text.replace("<t1>", &shown(&by, Subject::Task, "t1")).replace("(c1)", &shown(&by, Subject::Context, "c1"));
        let plans = Plans::default();
        let places = plans.request(Binding::HttpJson, operation, version).unwrap();
        let mut body = RequestBody::new(Limits::default(), Rc::clone(places), tagger("ann"));
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            out.extend(body.feed(chunk)?);
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn ids_lose_their_tags_and_everything_else_stays() {
        use Operation::*;
        use Version::{V0_3, V1_0};
        for (operation, version, text) in [
            (SendMessage, V1_0, r#"{"message":{"messageId":"m","taskId":"<t1>","contextId":"(c1)","referenceTaskIds":["<t1>"]}}"#),
            (SendMessage, V1_0, r#"{"message":{"task_id":"<t1>","context_id":"(c1)","reference_task_ids":["<t1>","<t1>"]}}"#),
            (SendStreamingMessage, V0_3, r#" {"request" : {"taskId":null,"contextId":"", "content":[{"text":"t1 \u0041"}]}} "#),
            (SendMessage, V1_0, r#"{"configuration":{"taskPushNotificationConfig":{"taskId":"<t1>","id":"c","url":"u"}}}"#),
            (SendMessage, V0_3, r#"{"message":{"parts":[{"data":{"taskId":"free"}}],"metadata":{"taskId":"free"}}}"#),
            (GetTask, V0_3, r#"{"id":"<t1>","historyLength":3}"#),
            (CancelTask, V0_3, r#"{"name":"tasks/<t1>"}"#),
            (CancelTask, V1_0, r#"{"metadata":{"id":"free"}}"#),
            (ListTasks, V1_0, r#"{"contextId":"(c1)","pageSize":5}"#),
            (GetTaskPushNotificationConfig, V1_0, r#"{"taskId":"<t1>","id":"config"}"#),
            (GetTaskPushNotificationConfig, V0_3, r#"{"id":"<t1>","pushNotificationConfigId":"config"}"#),
            (CreateTaskPushNotificationConfig, V0_3, r#"{"taskId":"<t1>","pushNotificationConfig":{"id":"c"}}"#),
            (
                CreateTaskPushNotificationConfig,
                V0_3,
                r#"{"parent":"tasks/<t1>","config":{"name":"tasks/<t1>/pushNotificationConfigs/c","pushNotificationConfig":{}}}"#,
            ),
        ] {
            let expected = text.replace("<t1>", "t1").replace("(c1)", "c1");
            for size in [1, 2, 3, 7, 1000] {
                assert_eq!(pass(text, "ann", operation, version, size).as_deref(), Ok(expected.as_str()), "{text} by {size}");
            }
            if text.contains("t1>") || text.contains("(c1") {
                assert_eq!(pass(text, "bob", operation, version, 5), Err(Problem::NotFound), "{text} of bob");
                let bare = text.replace("<t1>", "t1").replace("(c1)", "c1");
                assert_eq!(pass(&bare, "ann", operation, version, 5), Err(Problem::NotFound), "{bare}");
            }
        }
    }

    #[test]
    fn a_task_is_of_its_tenant_whenever_that_is_named() {
        let text = r#"{"message":{"taskId":"<t1>","referenceTaskIds":["<t1>"]},"tenant":"acme"}"#;
        let shown = text.replace("<t1>", &shown(&tagger_in("ann", Some("acme")), Subject::Task, "t1"));
        let plans = Plans::default();
        let places = plans.request(Binding::HttpJson, Operation::SendMessage, Version::V1_0).unwrap();
        for size in [1, 3, 11, 4096] {
            // Known before the ids come, and told behind them.
            for (before, behind, expected) in [
                (Some("acme"), None, Ok(())),
                (None, Some("acme"), Ok(())),
                (Some("bolt"), None, Err(Problem::NotFound)),
                (Some(""), None, Err(Problem::NotFound)),
                (None, None, Err(Problem::NotFound)),
                (None, Some(""), Err(Problem::NotFound)),
                (None, Some("bolt"), Err(Problem::NotFound)),
            ] {
                let tagger = tagger_in("ann", before);
                let mut body = RequestBody::new(Limits::default(), Rc::clone(places), Rc::clone(&tagger));
                let mut out = Vec::new();
                let passed = shown.as_bytes().chunks(size).try_for_each(|chunk| {
                    out.extend(body.feed(chunk)?);
                    Ok(())
                });
                let is_told =
                    |()| if behind.is_none_or(|name| tagger.settle(Tenant::named(name))) { Ok(()) } else { Err(Problem::NotFound) };
                let passed = passed.and_then(is_told).and_then(|()| body.end());
                assert_eq!(passed, expected, "{before:?} {behind:?} by {size}");
                if expected.is_ok() {
                    assert_eq!(String::from_utf8(out).unwrap(), text.replace("<t1>", "t1"));
                }
            }
        }
    }

    #[test]
    fn what_could_be_read_as_an_id_in_another_way_is_refused() {
        use Operation::*;
        for (operation, text, problem) in [
            (GetTask, r#"{"id":1}"#, Problem::NotFound),
            (GetTask, r#"{"id":{"id":"x"}}"#, Problem::NotFound),
            (GetTask, r#"{"id":"<t1>","Id":"t2"}"#, Problem::Fault(Fault::CaseVariant)),
            (GetTask, r#"{"id":"<t1>","id":"<t1>"}"#, Problem::Fault(Fault::RepeatedName)),
            (GetTask, r#"{"id":"(c1)"}"#, Problem::NotFound),
            (CancelTask, r#"{"name":"<t1>"}"#, Problem::NotFound),
            (CancelTask, r#"{"name":"tasks/"}"#, Problem::NotFound),
            (CancelTask, r#"{"name":"x/tasks/<t1>"}"#, Problem::NotFound),
            (SendMessage, r#"{"message":{"referenceTaskIds":["<t1>","t2"]}}"#, Problem::NotFound),
            (SendMessage, r#"{"message":{"contextId":"mine"}}"#, Problem::NotFound),
            (SendMessage, r#"{"message":{"contextId":"<t1>"}}"#, Problem::NotFound),
        ] {
            assert_eq!(pass(text, "ann", operation, Version::V1_0, 6), Err(problem), "{text}");
        }
    }
}
