//! An answer's body on its way out: every id in it gets the caller's tag, and marks stay behind. Lists in JSON are in
//! [`super::list`]; one of gRPC holds tasks of the context that was asked for and no other.

use super::body::{Problem, quoted, split_name, text};
use super::places;
use super::places::{Place, Places};
use super::tag::{Subject, Tagger};
use super::unmark::Unmarking;
use crate::wire::messages::Messages;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{Fault, Kind, Limits};
use crate::wire::sse::Events;
use std::rc::Rc;

/// What bounds the memory of an answer's scan.
pub(super) const LIMITS: Limits = Limits { depth: 128, names: 16_384, text: 2048, values: 0 };

/// Longest metadata that may hold a mark, in bytes: nothing of it goes on before all of it is there.
const MAX_METADATA_BYTES: usize = 1024 * 1024;

/// Longest message of gRPC, in bytes: the usual limit of clients. With its tags it may be twice as long.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    form: Form,
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    unmarking: Unmarking,
    items: Items,
    /// What has not gone on yet.
    out: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Form {
    Json(Box<Rewriter>),
    Events(Box<Events>),
    Messages(Messages),
}

/// The tasks of a list of gRPC.
#[derive(Clone, Debug, Default)]
struct Items {
    /// The only context that they may have.
    context: Option<String>,
    /// One has begun, and its context has not been seen.
    unplaced: bool,
}

impl Answer {
    /// An answer of which nothing has come: a stream, of events or of messages, or one document or message. `context` is the one whose
    /// tasks a list of gRPC has, as the agent knows it.
    #[must_use]
    pub fn new(places: Rc<Places>, tagger: Rc<Tagger>, context: Option<String>, is_stream: bool) -> Self {
        let form = match places.form() {
            places::Form::Json(plan) if is_stream => Form::Events(Box::new(Events::new(LIMITS, Rc::clone(plan)))),
            places::Form::Json(plan) => Form::Json(Box::new(Rewriter::new(LIMITS, Rc::clone(plan)))),
            places::Form::Messages(plan) => Form::Messages(Messages::new(Rc::clone(plan), MAX_MESSAGE_BYTES, !is_stream)),
        };
        let items = Items { context, unplaced: false };
        Self { form, places, tagger, unmarking: Unmarking::default(), items, out: Vec::new() }
    }

    /// What goes on of `chunk`, all of which is read.
    ///
    /// # Errors
    /// Why nothing does. The answer is not to be fed further then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Problem> {
        let Self { form, places, tagger, unmarking, items, out } = self;
        out.reserve(chunk.len());
        let replace = |seen: Seen<'_>, out: &mut Vec<u8>| match places.at(seen.asked) {
            Some(Place::Metadata) => {
                unmarking.metadata(seen, out);
                Ok(None)
            }
            Some(Place::Mark | Place::SaidMark) => Ok(unmarking.mark(seen, out)),
            Some(place) => tagged(place, seen, tagger),
            None => Ok(None),
        };
        match form {
            Form::Json(document) => document.feed(chunk, out, replace)?,
            Form::Events(events) => events.feed(chunk, out, replace)?,
            Form::Messages(messages) => {
                messages.feed::<Problem>(chunk, out, &mut |seen| match places.at(seen.asked) {
                    Some(place) => items.shown(place, seen.text, tagger),
                    None => Ok(None),
                })?;
                // What has come of messages is whole.
                items.end()?;
                return Ok(std::mem::take(out));
            }
        }
        let held = unmarking.hold(out);
        if held.len() > MAX_METADATA_BYTES {
            return Err(Problem::Fault(Fault::TooLong));
        }
        Ok(std::mem::replace(out, held))
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// If a document or message has not ended. That no message has come is none: a gRPC call that failed has none.
    pub fn end(&mut self) -> Result<(), Problem> {
        match &mut self.form {
            Form::Json(document) => document.end()?,
            Form::Events(_) => {}
            Form::Messages(messages) => messages.end()?,
        }
        Ok(())
    }
}

impl Items {
    /// What the caller sees in place of `text`, if that is something else; where there is no text, a message begins.
    fn shown(&mut self, place: Place, text: Option<&str>, tagger: &Tagger) -> Result<Option<String>, Problem> {
        let id = text.unwrap_or_default();
        match place {
            Place::Item => {
                if self.unplaced || text.is_some() {
                    return Err(Problem::Foreign);
                }
                self.unplaced = true;
            }
            Place::ItemContext => {
                if self.context.as_deref() != Some(id) {
                    return Err(Problem::Foreign);
                }
                self.unplaced = false;
            }
            Place::PageToken if !id.is_empty() => return tagger.sealed(id).ok_or(Problem::Early).map(Some),
            _ => {}
        }
        shown(place, id, tagger)
    }

    /// Every task that has come must have its context.
    const fn end(&self) -> Result<(), Problem> {
        if self.unplaced { Err(Problem::Foreign) } else { Ok(()) }
    }
}

/// The id or resource name that stands at `place` with the caller's tag, in JSON; `None` if it names nothing.
pub(super) fn tagged(place: Place, seen: Seen<'_>, tagger: &Tagger) -> Result<Option<String>, Problem> {
    // What is no text names nothing that could be asked for again.
    let id = match (seen.kind, seen.json) {
        (Kind::String, Some(json)) => text(json)?,
        _ => return Ok(None),
    };
    Ok(shown(place, &id, tagger)?.map(quoted))
}

/// The same of a text.
fn shown(place: Place, id: &str, tagger: &Tagger) -> Result<Option<String>, Problem> {
    let shown = |subject, id: &str| tagger.tagged(subject, id).ok_or(Problem::Early);
    Ok(match place {
        Place::Id(subject) if !id.is_empty() => Some(shown(subject, id)?),
        Place::ItemContext if !id.is_empty() => Some(shown(Subject::Context, id)?),
        Place::Name => match split_name(id) {
            Some((id, rest)) => Some(format!("tasks/{}{rest}", shown(Subject::Task, id)?)),
            None => None,
        },
        _ => None,
    })
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
        let plans = Plans::new(None);
        let places = plans.answer(binding, operation, Version::V1_0).unwrap();
        let mut answer = Answer::new(Rc::clone(places), tagger("ann"), None, is_stream);
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
        let plans = Plans::new(None);
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
