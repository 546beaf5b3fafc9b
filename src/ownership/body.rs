//! A request's body on its way in: every id in it is one that the caller was shown, and loses its tag. Where there are marks,
//! each message that is sent gets the caller's.

use super::places::{Form, Place, Places};
use super::tag::{Subject, Tagger, Tenant};
use crate::wire::messages::Messages;
use crate::wire::protobuf;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{End, Fault, Kind, Limits};
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
    /// A list holds a task of another context than the one that was asked for, or what is no task.
    #[error("the list holds a task of another context, or what is no task")]
    Foreign,
    /// The answer is no list.
    #[error("it is no list of tasks")]
    NoList,
    /// A page token that the caller was not given.
    #[error("it names a page that is not the caller's")]
    Page,
    /// How much history is wanted is no plain number.
    #[error("the historyLength is no plain number")]
    HistoryLength,
    /// A message brings a mark.
    #[error("its message brings what marks its owner")]
    Marked,
    /// The metadata of a message cannot have a mark.
    #[error("the metadata of its message is no object")]
    Unmarkable,
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
    /// One message of gRPC.
    Message(Messages),
}

/// What a body names.
#[derive(Clone, Debug)]
struct Names {
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    /// The message that is being read has its mark.
    is_marked: bool,
    /// The context that a gRPC message names, as the agent knows it.
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
        Self { reading, names: Names { places, tagger, is_marked: false, context: None } }
    }

    /// What goes on of `chunk`, all of which is read.
    ///
    /// # Errors
    /// Why nothing does. The body is not to be fed further then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(chunk.len());
        let Self { reading, names } = self;
        match reading {
            Reading::Json(rewriter) => rewriter.feed(chunk, &mut out, |seen, out| names.in_json(seen, out))?,
            Reading::Message(messages) => messages.feed(chunk, &mut out, &mut |seen| match (names.places.at(seen.asked), seen.text) {
                // In protocol buffers an empty text is none.
                (Some(place), Some(text)) if !text.is_empty() => names.in_message(place, text).map(Some),
                _ => Ok(None),
            })?,
        }
        Ok(out)
    }

    /// The context that a gRPC message names, as the agent knows it. Only complete ones name what is asked of a list.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.names.context.as_deref()
    }

    /// Tells that nothing more comes: a tenant that is not named by now is none.
    ///
    /// # Errors
    /// If it has named what is of a tenant.
    pub fn end(&self) -> Result<(), Problem> {
        let tagger = &self.names.tagger;
        if tagger.is_settled() || tagger.settle(Tenant::NONE) { Ok(()) } else { Err(Problem::NotFound) }
    }
}

impl Names {
    /// What goes on in place of what was seen in a document.
    fn in_json(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) -> Result<Option<String>, Problem> {
        let Self { places, tagger, is_marked, .. } = self;
        match places.at(seen.asked) {
            Some(Place::Message) => {
                match (seen.kind, seen.end) {
                    (Kind::Object, None) => *is_marked = false,
                    (Kind::Object, Some(end)) if !*is_marked => {
                        add_member(out, end, &format!("\"metadata\":{{{}}}", mark(places, tagger)?));
                    }
                    // What is no object is no message.
                    _ => {}
                }
                Ok(None)
            }
            Some(Place::Metadata) => {
                *is_marked = true;
                match (seen.kind, seen.end) {
                    (Kind::Object, None) => Ok(None),
                    (Kind::Object, Some(end)) => {
                        add_member(out, end, &mark(places, tagger)?);
                        Ok(None)
                    }
                    (Kind::Null, _) => Ok(Some(format!("{{{}}}", mark(places, tagger)?))),
                    _ => Err(Problem::Unmarkable),
                }
            }
            // Who sends one could say that the message is somebody else's.
            Some(Place::Mark) => Err(Problem::Marked),
            Some(place) => untagged(place, seen, tagger),
            None => Ok(None),
        }
    }

    /// What goes on in place of `text` in a gRPC message.
    fn in_message(&mut self, place: Place, text: &str) -> Result<String, Problem> {
        if place == Place::PageToken {
            return self.tagger.unsealed(text).ok_or(Problem::Page);
        }
        let plain = plain(place, text, &self.tagger)?;
        if place == Place::Id(Subject::Context) {
            self.context = Some(plain.clone());
        }
        Ok(plain)
    }
}

/// The id or resource name that stands at `place` as the agent knows it, in JSON; `None` if it names nothing.
pub(super) fn untagged(place: Place, seen: Seen<'_>, tagger: &Tagger) -> Result<Option<String>, Problem> {
    let Some(text) = named(seen)? else { return Ok(None) };
    plain(place, &text, tagger).map(|plain| Some(quoted(plain)))
}

/// The id or resource name `text` as the agent knows it.
fn plain(place: Place, text: &str, tagger: &Tagger) -> Result<String, Problem> {
    let plain = match place {
        Place::Id(subject) => tagger.untagged(subject, text).map(str::to_owned),
        Place::Name => untagged_name(text, tagger),
        _ => None,
    };
    plain.ok_or(Problem::NotFound)
}

/// The member that marks a message as the caller's.
fn mark(places: &Places, tagger: &Tagger) -> Result<String, Problem> {
    let (key, mark) = places.mark().zip(tagger.mark()).ok_or(Problem::Early)?;
    Ok(format!("{}:{}", quoted(key.to_owned()), quoted(mark)))
}

/// Puts `member` into the object that ends where `out` does.
fn add_member(out: &mut Vec<u8>, end: End, member: &str) {
    out.pop();
    if end == End::Filled {
        out.push(b',');
    }
    out.extend_from_slice(member.as_bytes());
    out.push(b'}');
}

/// `text` in JSON.
pub(super) fn quoted(text: String) -> String {
    serde_json::Value::String(text).to_string()
}

/// The text of what stands at a place; `None` if it names nothing. What is no text is nobody's.
pub(super) fn named(seen: Seen<'_>) -> Result<Option<String>, Problem> {
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
        let plans = Plans::new(None);
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
        let plans = Plans::new(None);
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

    #[test]
    fn messages_get_the_mark_of_who_sends_them() {
        use Operation::{SendMessage, SendStreamingMessage};
        let plans = Plans::new(Some("x-owner"));
        let read = |text: &str, root: bool, size: usize| {
            let (binding, operation) = if root { (Binding::HttpJson, SendMessage) } else { (Binding::Jsonrpc, SendStreamingMessage) };
            let places = plans.request(binding, operation, Version::V1_0).unwrap();
            let mut body = RequestBody::new(Limits::default(), Rc::clone(places), tagger("ann"));
            let mut out = Vec::new();
            text.as_bytes().chunks(size).try_for_each(|chunk| {
                out.extend(body.feed(chunk)?);
                Ok::<_, Problem>(())
            })?;
            Ok(String::from_utf8(out).unwrap().replace(&tagger("ann").mark().unwrap(), "MARK"))
        };
        for (message, expected) in [
            ("{}", Ok(r#"{"metadata":{"x-owner":"MARK"}}"#)),
            (r#"{ "messageId" : "m" }"#, Ok(r#"{ "messageId" : "m" ,"metadata":{"x-owner":"MARK"}}"#)),
            (r#"{"metadata":{},"parts":[{"metadata":{}}]}"#, Ok(r#"{"metadata":{"x-owner":"MARK"},"parts":[{"metadata":{}}]}"#)),
            (r#"{"metadata":null}"#, Ok(r#"{"metadata":{"x-owner":"MARK"}}"#)),
            (
                r#"{"metadata": {"a":{"x-owner":"free"},"X-Owner":1 } ,"messageId":"m"}"#,
                Ok(r#"{"metadata": {"a":{"x-owner":"free"},"X-Owner":1 ,"x-owner":"MARK"} ,"messageId":"m"}"#),
            ),
            ("null", Ok("null")),
            ("[]", Ok("[]")),
            (r#"{"metadata":{"x-owner":"forged"}}"#, Err(Problem::Marked)),
            (r#"{"metadata":{"x\u002downer":null}}"#, Err(Problem::Marked)),
            (r#"{"metadata":{"a":1,"x-owner":{}}}"#, Err(Problem::Marked)),
            (r#"{"metadata":[]}"#, Err(Problem::Unmarkable)),
            (r#"{"metadata":"x"}"#, Err(Problem::Unmarkable)),
            (r#"{"metadata":{},"metadata":{"x-owner":"m"}}"#, Err(Problem::Fault(Fault::RepeatedName))),
            (r#"{"Metadata":{"x-owner":"m"}}"#, Err(Problem::Fault(Fault::CaseVariant))),
        ] {
            for size in [1, 2, 3, 7, 4096] {
                for name in ["message", "request"] {
                    let whole = |message: &str| format!(r#"{{"{name}":{message},"metadata":{{"x":{{"x-owner":"free"}}}}}}"#);
                    assert_eq!(read(&whole(message), true, size), expected.map(whole), "{message} by {size}");
                    let rpc = |message: &str| format!(r#"{{"id":1,"params":{}}}"#, whole(message));
                    assert_eq!(read(&rpc(message), false, size), expected.map(rpc), "{message} by {size}");
                }
            }
        }
        let (twice, both) = (r#"{"message":{},"request":{}}"#, tagger("ann").mark().unwrap());
        let grown = read(twice, true, 4096).unwrap().replace("MARK", &format!("{}{both}", "k".repeat(14))).len() - twice.len();
        assert!(grown <= plans.growth() && plans.growth() < grown + 40, "{grown} {}", plans.growth());
        assert_eq!(read(r#"{"message":{},"metadata":{"x-owner":"forged"}}"#, true, 3), Err(Problem::Marked));
    }
}
