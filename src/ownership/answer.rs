//! An answer's body on its way out: every id in it gets the caller's tag. A list holds tasks of the context that was
//! asked for and no other.

use super::body::{Problem, split_name, text};
use super::places;
use super::places::{Place, Places};
use super::tag::{Subject, Tagger};
use crate::wire::messages::Messages;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{Kind, Limits};
use crate::wire::sse::Events;
use std::rc::Rc;

/// What bounds the memory of an answer's scan.
const LIMITS: Limits = Limits { depth: 128, names: 16_384, text: 2048, values: 0 };

/// Longest message of gRPC, in bytes: clients take no longer one unless they are told to. With its tags it may be twice as long.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    form: Form,
    marks: Marks,
}

#[derive(Clone, Debug)]
enum Form {
    Json(Box<Rewriter>),
    Events(Box<Events>),
    Messages(Messages),
}

#[derive(Clone, Debug)]
struct Marks {
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    /// The only context that tasks of a list may have.
    context: Option<String>,
    /// A task of a list has begun, and its context has not been seen.
    unplaced: bool,
}

impl Answer {
    /// An answer of which nothing has come: a stream, of events or of messages, or one document or message. `context` is the one whose
    /// tasks are listed, as the agent knows it.
    #[must_use]
    pub fn new(places: Rc<Places>, tagger: Rc<Tagger>, context: Option<String>, is_stream: bool) -> Self {
        let form = match places.form() {
            places::Form::Json(plan) if is_stream => Form::Events(Box::new(Events::new(LIMITS, Rc::clone(plan)))),
            places::Form::Json(plan) => Form::Json(Box::new(Rewriter::new(LIMITS, Rc::clone(plan)))),
            places::Form::Messages(plan) => Form::Messages(Messages::new(Rc::clone(plan), MAX_MESSAGE_BYTES, !is_stream)),
        };
        Self { form, marks: Marks { places, tagger, context, unplaced: false } }
    }

    /// What goes on of `chunk`, all of which is read.
    ///
    /// # Errors
    /// Why nothing does. The answer is not to be fed further then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(chunk.len());
        let Self { form, marks } = self;
        match form {
            Form::Json(document) => document.feed(chunk, &mut out, |seen| marks.in_json(seen))?,
            Form::Events(events) => events.feed(chunk, &mut out, |seen| marks.in_json(seen))?,
            Form::Messages(messages) => messages.feed::<Problem>(chunk, &mut out, &mut |seen| {
                let Some(place) = marks.places.at(seen.asked) else { return Ok(None) };
                marks.tagged(place, seen.text.is_none(), seen.text.unwrap_or_default())
            })?,
        }
        // What has come of messages is whole.
        if matches!(form, Form::Messages(_)) && marks.unplaced {
            return Err(Problem::Foreign);
        }
        Ok(out)
    }

    /// Whether the one document has ended, so that only white space may follow. Streams and bare numbers never tell.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        match &self.form {
            Form::Json(document) => document.has_ended(),
            Form::Events(_) | Form::Messages(_) => false,
        }
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// If a document or message has not ended, or its last task has no context. That no message has come is none: a gRPC call that
    /// failed has none.
    pub fn end(&mut self) -> Result<(), Problem> {
        match &mut self.form {
            Form::Json(document) => document.end()?,
            Form::Events(_) => {}
            Form::Messages(messages) => messages.end()?,
        }
        if self.marks.unplaced { Err(Problem::Foreign) } else { Ok(()) }
    }
}

impl Marks {
    fn in_json(&mut self, seen: Seen<'_>) -> Result<Option<String>, Problem> {
        let Some(place) = self.places.at(seen.asked) else { return Ok(None) };
        // What is no text names nothing that could be asked for again.
        let id = match (seen.kind, seen.json) {
            (Kind::String, Some(json)) => text(json)?,
            _ => String::new(),
        };
        let shown = self.tagged(place, seen.kind == Kind::Object, &id)?;
        Ok(shown.map(|shown| serde_json::Value::String(shown).to_string()))
    }

    /// What the caller sees in place of `id`, if that is something else; with `is_object`, an object or a message begins there.
    fn tagged(&mut self, place: Place, is_object: bool, id: &str) -> Result<Option<String>, Problem> {
        let subject = match place {
            Place::Item => {
                if self.unplaced || !is_object {
                    return Err(Problem::Foreign);
                }
                self.unplaced = true;
                return Ok(None);
            }
            Place::Id(subject) => Some(subject),
            Place::ItemContext => Some(Subject::Context),
            Place::Name => None,
        };
        if place == Place::ItemContext {
            if self.context.as_deref() != Some(id) {
                return Err(Problem::Foreign);
            }
            self.unplaced = false;
        }
        Ok(match subject {
            Some(subject) if !id.is_empty() => Some(self.tagger.tagged(subject, id).ok_or(Problem::Early)?),
            Some(_) => None,
            None => match split_name(id) {
                Some((id, rest)) => Some(format!("tasks/{}{rest}", self.tagger.tagged(Subject::Task, id).ok_or(Problem::Early)?)),
                None => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::plans::Plans;
    use super::super::tag::tests::{shown, tagger, tagger_in};
    use super::{Answer, Problem, Subject};
    use crate::protocol::{Binding, Operation, Version};
    use crate::wire::scan::Fault;
    use std::rc::Rc;

    /// What ann gets of `text`, in which `t1` and `c1` are then written `<t1>` and `(c1)` where they have their tags.
    fn pass(text: &str, binding: Binding, operation: Operation, is_stream: bool, size: usize) -> Result<String, Problem> {
        let plans = Plans::default();
        let places = plans.answer(binding, operation, Version::V1_0).unwrap();
        let mut answer = Answer::new(Rc::clone(places), tagger("ann"), Some("c1".to_owned()), is_stream);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            out.extend(answer.feed(chunk)?);
        }
        answer.end()?;
        let ann = tagger("ann");
        let out = String::from_utf8(out).unwrap().replace(&shown(&ann, Subject::Task, "t1"), "<t1>");
        Ok(out.replace(&shown(&ann, Subject::Context, "c1"), "(c1)"))
    }

    fn check(binding: Binding, operation: Operation, is_stream: bool, expected: &str) {
        let text = expected.replace("<t1>", "t1").replace("(c1)", "c1");
        for size in [1, 2, 3, 5, 11, 4096] {
            assert_eq!(pass(&text, binding, operation, is_stream, size).as_deref(), Ok(expected), "{text} by {size}");
        }
    }

    #[test]
    fn ids_get_their_tags_wherever_the_versions_have_them() {
        use Operation::*;
        let task = r#"{"id":"<t1>","contextId":"(c1)","status":{"state":"x","message":{"messageId":"t1","taskId":"<t1>","contextId":"(c1)"}},
            "history":[{"taskId":"<t1>","referenceTaskIds":["<t1>",null]}],"artifacts":[{"artifactId":"t1","parts":[{"text":"t1"}]}],
            "metadata":{"taskId":"t1"}}"#;
        let update = r#"{"taskId":"<t1>","contextId":"(c1)","status":{"message":{"taskId":"<t1>"}},"artifact":{"artifactId":"a"}}"#;
        let message = r#"{"messageId":"m","role":"agent","taskId":"<t1>","contextId":"(c1)","parts":[{"data":{"taskId":"t1"}}]}"#;
        let bodies = [
            task.to_owned(),
            update.to_owned(),
            message.to_owned(),
            format!(r#"{{"task":{task}}}"#),
            format!(r#"{{"message":{message}}}"#),
            format!(r#"{{"statusUpdate":{update}}}"#),
            format!(r#"{{"artifactUpdate":{update}}}"#),
        ];
        for body in &bodies {
            check(Binding::HttpJson, SendMessage, false, body);
            check(Binding::Jsonrpc, GetTask, false, &format!(r#"{{"jsonrpc":"2.0","id":"t1","result":{body}}}"#));
            let lines = body.replace('\n', "\ndata: ");
            check(Binding::HttpJson, SubscribeToTask, true, &format!(": beat\n\ndata: {lines}\n\ndata: {lines}\n\n"));
            let response = format!("data: {{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{}}}\r\n\r\n", body.replace('\n', " "));
            check(Binding::Jsonrpc, SendStreamingMessage, true, &response);
        }
        check(Binding::Jsonrpc, GetTask, false, r#"{"jsonrpc":"2.0","id":"t1","error":{"code":-32001,"message":"t1"}}"#);
        check(Binding::Jsonrpc, GetTask, false, r#"{"id":null,"result":{"id":"","contextId":null}}"#);
    }

    #[test]
    fn nothing_is_shown_before_the_request_has_said_its_tenant() {
        let plans = Plans::default();
        let places = plans.answer(Binding::Jsonrpc, Operation::SendMessage, Version::V1_0).unwrap();
        let answer = |tagger| Answer::new(Rc::clone(places), tagger, None, false);
        let body = br#"{"id":1,"result":{"id":"t1"}}"#;
        assert_eq!(answer(tagger_in("ann", None)).feed(body), Err(Problem::Early));
        assert!(answer(tagger_in("ann", None)).feed(br#"{"id":1,"error":{"code":-32600,"message":"t1"}}"#).is_ok());
        let out = String::from_utf8(answer(tagger_in("ann", Some("acme"))).feed(body).unwrap()).unwrap();
        assert!(out.contains(&shown(&tagger_in("ann", Some("acme")), Subject::Task, "t1")), "{out}");
    }

    #[test]
    fn push_configurations_keep_their_own_ids() {
        use Operation::*;
        let flat = r#"{"taskId":"<t1>","id":"t1","url":"https://h.example/t1"}"#;
        let old = r#"{"taskId":"<t1>","pushNotificationConfig":{"id":"t1","url":"u"}}"#;
        let named = r#"{"name":"tasks/<t1>/pushNotificationConfigs/t1","pushNotificationConfig":{"id":"t1"}}"#;
        for one in [flat, old, named] {
            check(Binding::HttpJson, CreateTaskPushNotificationConfig, false, one);
            check(Binding::Jsonrpc, GetTaskPushNotificationConfig, false, &format!(r#"{{"id":1,"result":{one}}}"#));
            check(Binding::Jsonrpc, ListTaskPushNotificationConfigs, false, &format!(r#"{{"result":[{one},{one}],"id":1}}"#));
            check(Binding::HttpJson, ListTaskPushNotificationConfigs, false, &format!(r#"{{"configs":[{one}],"nextPageToken":""}}"#));
        }
        check(Binding::Jsonrpc, DeleteTaskPushNotificationConfig, false, r#"{"jsonrpc":"2.0","id":1,"result":null}"#);
    }

    #[test]
    fn a_list_holds_tasks_of_the_context_that_was_asked_for() {
        let list =
            |tasks: &str| pass(&format!(r#"{{"tasks":[{tasks}],"totalSize":1}}"#), Binding::HttpJson, Operation::ListTasks, false, 3);
        let own = r#"{"id":"t1","contextId":"c1","history":[{"contextId":"c2"}]}"#;
        assert!(list("").is_ok() && list(own).unwrap().starts_with(r#"{"tasks":[{"id":"<t1>","contextId":"(c1)""#));
        assert!(list(&format!("{own},{own}")).is_ok());
        for foreign in [r#"{"id":"t1","contextId":"c2"}"#, r#"{"id":"t1"}"#, r#"{"id":"t1","contextId":null}"#, "7", "null", "[]", "\"t1\""]
        {
            for tasks in [foreign.to_owned(), format!("{own},{foreign}"), format!("{foreign},{own}")] {
                assert_eq!(list(&tasks), Err(Problem::Foreign), "{tasks}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for (text, is_stream, fault) in [
            ("", false, Fault::Incomplete),
            ("<html>", false, Fault::Malformed),
            (r#"{"id":"t1""#, false, Fault::Incomplete),
            (r#"{"id":"t1","id":"t2"}"#, false, Fault::RepeatedName),
            ("data: beat\n\n", true, Fault::Malformed),
        ] {
            assert_eq!(pass(text, Binding::HttpJson, Operation::GetTask, is_stream, 4), Err(Problem::Fault(fault)), "{text}");
        }
    }
}
