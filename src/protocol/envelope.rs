//! The JSON-RPC 2.0 envelope of a request, read as it streams: the method is known as soon as it has come, wherever
//! it stands, and what two readers could understand in two ways is refused to the end of the body (batches, repeated
//! or re-cased members, a second document). What the parameters mean is not decided here.

use crate::protocol::Operation;
use crate::wire::scan::{Asked, Document, Fault, Findings, Keep, Kind, Limits, Plan, Step};
use std::rc::Rc;
use thiserror::Error;

/// What Attaché needs to know of every request; the rest is asked for by [`Questions`], or the agent's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The request's id as JSON text, to be repeated unchanged: a string, a number, or `null`.
    pub id: Id,
    /// The method name.
    pub method: String,
}

/// A request id as JSON text. The default, `null`, stands for "could not be read" (JSON-RPC 2.0 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    /// The JSON text, ready to be written into an answer.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Default for Id {
    fn default() -> Self {
        Self("null".to_owned())
    }
}

/// An id longer than this is refused: it would be echoed.
const MAX_ID_BYTES: usize = 256;

/// Why a body is no JSON-RPC request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// Not one JSON document in UTF-8: -32700.
    #[error("{0}")]
    NotJson(Fault),
    /// JSON, but no single request: -32600.
    #[error("{reason}")]
    NotARequest {
        /// What is wrong, in words for the log and the caller.
        reason: &'static str,
        /// The id, if it has been read.
        id: Id,
    },
    /// A request whose `params` are no object: -32602.
    #[error("params is an object")]
    WrongParams {
        /// The id, if it has been read.
        id: Id,
    },
    /// A request without an id, which is a notification (JSON-RPC 2.0 section 4.1). A2A has none, and no code for it: -32601 if
    /// its method is unknown, else -32602, as the Python SDK of A2A 0.3 answers and its TCK wants it.
    #[error("the id is missing")]
    Notification {
        /// Whether A2A has its method.
        is_operation: bool,
    },
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Request(&'static str),
    Params,
    Notification { is_operation: bool },
}

impl Wrong {
    fn with(self, id: Option<&Id>) -> EnvelopeError {
        let id = id.cloned().unwrap_or_default();
        match self {
            Self::Request(reason) => EnvelopeError::NotARequest { reason, id },
            Self::Params => EnvelopeError::WrongParams { id },
            Self::Notification { is_operation } => EnvelopeError::Notification { is_operation },
        }
    }
}

impl EnvelopeError {
    /// The id to answer with.
    #[must_use]
    pub fn id(&self) -> Id {
        match self {
            Self::NotJson(_) | Self::Notification { .. } => Id::default(),
            Self::NotARequest { id, .. } | Self::WrongParams { id } => id.clone(),
        }
    }
}

/// What is asked of every request to an agent: the envelope, and the parameters that its rules look at. Made once.
#[derive(Clone, Debug)]
pub struct Questions {
    plan: Rc<Plan>,
    root: Asked,
    jsonrpc: Asked,
    method: Asked,
    id: Asked,
    params: Asked,
}

impl Default for Questions {
    fn default() -> Self {
        let mut plan = Plan::default();
        let mut member = |name, keep| plan.ask(&[Step::member(&[name])], keep);
        Self {
            jsonrpc: member("jsonrpc", Keep::Text),
            method: member("method", Keep::Text),
            id: member("id", Keep::Raw),
            params: member("params", Keep::Kind),
            root: plan.ask(&[], Keep::Kind),
            plan: Rc::new(plan),
        }
    }
}

impl Questions {
    /// Asks also for what is at the end of `path`, which begins at `params`.
    pub fn ask(&mut self, path: &[Step], keep: Keep) -> Asked {
        let mut whole = vec![Step::member(&["params"])];
        whole.extend_from_slice(path);
        Rc::make_mut(&mut self.plan).ask(&whole, keep)
    }

    /// As [`Plan::skip_unasked`].
    pub fn skip_unasked(&mut self) {
        Rc::make_mut(&mut self.plan).skip_unasked();
    }
}

/// A request's body that is arriving.
#[derive(Clone, Debug)]
pub struct EnvelopeReader {
    questions: Rc<Questions>,
    document: Document,
    id: Option<Id>,
    /// The first thing wrong with the envelope. It is told once the id is known, or at the end.
    wrong: Option<Wrong>,
    failed: Option<EnvelopeError>,
}

impl EnvelopeReader {
    /// A body of which nothing has come.
    #[must_use]
    pub fn new(limits: Limits, questions: Rc<Questions>) -> Self {
        let limits = Limits { text: limits.text.max(MAX_ID_BYTES), ..limits };
        Self { document: Document::new(limits, Rc::clone(&questions.plan)), questions, id: None, wrong: None, failed: None }
    }

    /// Reads all of `chunk`. The result of a body does not depend on its chunks.
    ///
    /// # Errors
    /// What is wrong, again and again. A wrong envelope whose id has not come yet is no error so far.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), EnvelopeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read(&mut chunk);
        self.failed = result.clone().err();
        result
    }

    /// Tells that the body has ended.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn end(&mut self) -> Result<Envelope, EnvelopeError> {
        self.close()?;
        let (method, id) = (self.text(self.questions.method), self.id.clone());
        Ok(Envelope { method: method.unwrap_or_default().to_owned(), id: id.unwrap_or_default() })
    }

    /// The same for who reads method and id here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn close(&mut self) -> Result<(), EnvelopeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.finish();
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// The method, as soon as it has come; `None` for an envelope that is already known to be wrong.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match self.wrong {
            None if self.failed.is_none() => self.text(self.questions.method),
            _ => None,
        }
    }

    /// The id, as soon as it has come.
    #[must_use]
    pub const fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// What has been found of something that is asked for.
    #[must_use]
    pub fn findings(&self, asked: Asked) -> &Findings {
        self.document.findings(asked)
    }

    /// Whether nothing can be added to what has been found of it, unless the body turns out to be no request.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        self.document.is_settled(asked)
    }

    fn text(&self, asked: Asked) -> Option<&str> {
        self.document.findings(asked).values.first()?.text.as_deref()
    }

    fn read(&mut self, chunk: &mut &[u8]) -> Result<(), EnvelopeError> {
        while let Some(asked) = self.document.next(chunk).map_err(|fault| self.missing().unwrap_or_else(|| self.fault(fault)))? {
            self.check(asked)?;
            if let (Some(wrong), Some(id)) = (self.wrong, &self.id) {
                return Err(wrong.with(Some(id)));
            }
        }
        self.missing().map_or(Ok(()), Err)
    }

    /// What is settled and was never there is missing: the object has closed without it. Said then, not at the end of
    /// the body, so that its last bytes need not go on first; and before whatever is wrong behind the object.
    fn missing(&self) -> Option<EnvelopeError> {
        let is_missing = |asked| self.document.is_settled(asked) && self.document.findings(asked).values.is_empty();
        let wrong = match self.wrong {
            Some(wrong) if is_missing(self.questions.id) => wrong,
            None if is_missing(self.questions.jsonrpc) => Wrong::Request("jsonrpc is not \"2.0\""),
            None if is_missing(self.questions.method) => Wrong::Request("method is missing"),
            None if is_missing(self.questions.id) => self.notification(),
            _ => return None,
        };
        Some(wrong.with(self.id.as_ref()))
    }

    fn notification(&self) -> Wrong {
        Wrong::Notification { is_operation: self.text(self.questions.method).and_then(Operation::from_method).is_some() }
    }

    fn finish(&mut self) -> Result<(), EnvelopeError> {
        self.document.end().map_err(|fault| self.fault(fault))?;
        let missing = match (self.text(self.questions.jsonrpc), self.text(self.questions.method)) {
            (None, _) => Wrong::Request("jsonrpc is not \"2.0\""),
            (_, None) => Wrong::Request("method is missing"),
            _ if self.id.is_none() => self.notification(),
            _ if self.wrong.is_none() => return Ok(()),
            _ => Wrong::Request("this is no request"),
        };
        Err(self.wrong.unwrap_or(missing).with(self.id.as_ref()))
    }

    /// Looks at a part of the envelope that has just come.
    fn check(&mut self, asked: Asked) -> Result<(), EnvelopeError> {
        let questions = &self.questions;
        let Some(value) = self.document.findings(asked).values.first() else { return Ok(()) };
        let text = value.text.as_deref();
        let mut wrong = None;
        if asked == questions.root {
            let reason = match value.kind {
                Kind::Object => return Ok(()),
                Kind::Array => "batches are not accepted: send one request",
                _ => "a request is a JSON object",
            };
            return Err(EnvelopeError::NotARequest { reason, id: Id::default() });
        } else if asked == questions.id {
            let reason = match (value.kind, text) {
                (Kind::String | Kind::Number | Kind::Null, Some(text)) if text.len() <= MAX_ID_BYTES && is_id(text) => {
                    self.id = Some(Id(text.to_owned()));
                    return Ok(());
                }
                (Kind::String | Kind::Number, Some(text)) if text.len() > MAX_ID_BYTES => "the id is too long",
                (Kind::String | Kind::Number, None) => "the id is too long",
                _ => "the id is a string, a number without fraction, or null",
            };
            return Err(EnvelopeError::NotARequest { reason, id: Id::default() });
        } else if asked == questions.jsonrpc && (value.kind, text) != (Kind::String, Some("2.0")) {
            wrong = Some(Wrong::Request("jsonrpc is not \"2.0\""));
        } else if asked == questions.method && value.kind != Kind::String {
            wrong = Some(Wrong::Request("method is a string"));
        } else if asked == questions.method && text.is_none() {
            wrong = Some(Wrong::Request("the method is too long"));
        } else if asked == questions.params && value.kind != Kind::Object {
            wrong = Some(Wrong::Params);
        }
        self.wrong = self.wrong.or(wrong);
        Ok(())
    }

    fn fault(&self, fault: Fault) -> EnvelopeError {
        let reason = match fault {
            Fault::Malformed | Fault::Incomplete | Fault::Trailing | Fault::NotUtf8 | Fault::ControlCharacter | Fault::LoneSurrogate => {
                return EnvelopeError::NotJson(fault);
            }
            Fault::RepeatedName => "a member name is repeated",
            Fault::CaseVariant => "a member name differs from a known one in case only",
            Fault::TooDeep => "the body is nested too deeply",
            Fault::TooManyMembers => "the body has too many members",
            Fault::TooManyValues => "a list in the body is too long",
            Fault::TooLong => "a text in the body is too long",
        };
        EnvelopeError::NotARequest { reason, id: self.id.clone().unwrap_or_default() }
    }
}

/// String, integer or null (JSON-RPC 2.0 section 4; fractions are refused by the A2A SDKs too).
fn is_id(text: &str) -> bool {
    text == "null" || text.starts_with('"') || text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads the envelope of a whole body.
///
/// # Errors
/// What is wrong with it.
pub fn parse(body: &[u8]) -> Result<Envelope, EnvelopeError> {
    let mut reader = EnvelopeReader::new(Limits::default(), Rc::new(Questions::default()));
    reader.feed(body)?;
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::{Envelope, EnvelopeError, EnvelopeReader, Questions, parse};
    use crate::wire::scan::{Keep, Kind, Limits, Step};
    use std::rc::Rc;

    fn reader() -> EnvelopeReader {
        EnvelopeReader::new(Limits::default(), Rc::new(Questions::default()))
    }

    /// The refusal, which is the same whole and byte by byte.
    fn refused(body: &str) -> (String, String) {
        let error = parse(body.as_bytes()).unwrap_err();
        let mut reader = reader();
        let slowly = body.as_bytes().chunks(1).try_for_each(|chunk| reader.feed(chunk)).and_then(|()| reader.end());
        assert_eq!(slowly, Err(error.clone()), "{body}");
        (error.to_string(), error.id().as_json().to_owned())
    }

    #[test]
    fn a_request_gives_its_method_and_its_id_unchanged() {
        for (id, body) in [
            ("\"a\\u0062\"", r#"{"jsonrpc":"2.0","id":"a\u0062","method":"message/send","params":{"method":"x"}}"#),
            ("12345678901234567890", r#" {"id":12345678901234567890,"method":"message\/send","jsonrpc":"2.0"} "#),
            ("null", r#"{"jsonrpc":"2.0","id":null,"method":"message/send"}"#),
        ] {
            let Envelope { id: read, method } = parse(body.as_bytes()).unwrap();
            assert_eq!((read.as_json(), method.as_str()), (id, "message/send"));
        }
    }

    #[test]
    fn the_method_is_known_as_soon_as_it_has_come() {
        let mut reader = reader();
        reader.feed(br#"{"jsonrpc":"2.0","method":"GetTas"#).unwrap();
        assert_eq!((reader.method(), reader.id()), (None, None));
        reader.feed(br#"k","params":{"id":"t"#).unwrap();
        assert_eq!((reader.method(), reader.id()), (Some("GetTask"), None));
        reader.feed(br#"1"},"id":7"#).unwrap();
        reader.feed(b"1}").unwrap();
        assert_eq!(reader.id().map(super::Id::as_json), Some("71"));
        assert_eq!(reader.end().map(|envelope| envelope.method), Ok("GetTask".to_owned()));
    }

    #[test]
    fn what_is_missing_is_said_when_the_object_closes() {
        for (body, id) in
            [(r#"{"id":7,"method":"GetTask"}"#, "7"), (r#"{"id":7,"jsonrpc":"2.0"}"#, "7"), (r#"{"jsonrpc":2,"method":"a"}"#, "null")]
        {
            let (last, rest) = (body.len() - 1, body.as_bytes());
            let mut reader = reader();
            reader.feed(&rest[..last]).unwrap();
            assert_eq!(reader.feed(&rest[last..]).unwrap_err().id().as_json(), id, "{body}");
        }
    }

    #[test]
    fn what_is_not_one_json_document_is_not_json() {
        for body in [&b""[..], b"hello", b"{\"a\":\"\xff\"}", b"\xef\xbb\xbf{}", b"{\"id\":1,}"] {
            assert!(matches!(parse(body), Err(EnvelopeError::NotJson(_))), "{body:?}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_no_request() {
        for body in [
            r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#,
            r#""text""#,
            "7",
            r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"GetTask"}"#,
            r#"{"jsonrpc":"1.0","method":"GetTask"}"#,
        ] {
            assert_eq!(refused(body).1, "null", "{body}");
        }
        for body in [
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","method":"CancelTask"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","\u006dethod":"CancelTask"}"#,
            r#"{"jsonrpc":"2.0","id":7,"Method":"GetTask","method":"CancelTask"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","paramſ":{}}"#,
            r#"{"jsonrpc":"1.0","id":7,"method":"GetTask"}"#,
            r#"{"jsonrpc":2.0,"method":"GetTask","id":7}"#,
            r#"{"id":7,"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":["GetTask"]}"#,
            r#"{"jsonrpc":"2.0","method":null,"id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":"x"}"#,
            r#"{"jsonrpc":"2.0","method":"GetTask","params":[],"id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"a":{"b":1,"c":2,"b":3}}}"#,
        ] {
            assert_eq!(refused(body).1, "7", "{body}");
        }
    }

    #[test]
    fn a_notification_of_an_unknown_method_is_told_from_others() {
        for (body, is_operation) in [
            (r#"{"jsonrpc":"2.0","method":"message/send","params":{"":"x"}}"#, true),
            (r#"{"method":"GetTask","jsonrpc":"2.0"}"#, true),
            (r#"{"jsonrpc":"2.0","method":"message/ssend","params":{}}"#, false),
            (r#"{"params":{"id":7},"method":"","jsonrpc":"2.0"}"#, false),
        ] {
            assert_eq!(parse(body.as_bytes()), Err(EnvelopeError::Notification { is_operation }), "{body}");
            assert_eq!(refused(body), ("the id is missing".to_owned(), "null".to_owned()), "{body}");
        }
        // What is wrong besides counts first.
        for (body, error) in [
            (r#"{"jsonrpc":"aaa","method":"message/send","params":{}}"#, r#"jsonrpc is not "2.0""#),
            (r#"{"jsonrpc":"2.0","params":{}}"#, "method is missing"),
            (r#"{"jsonrpc":"2.0","method":"message/send","params":"x"}"#, "params is an object"),
        ] {
            assert_eq!(refused(body).0, error, "{body}");
        }
    }

    #[test]
    fn a_wrong_envelope_is_known_before_its_id() {
        let mut reader = reader();
        reader.feed(br#"{"jsonrpc":"1.0","method":"GetTask","#).unwrap();
        assert_eq!((reader.wrong, reader.method()), (Some(super::Wrong::Request("jsonrpc is not \"2.0\"")), None));
        assert_eq!(reader.feed(br#""id":7,"#).map_err(|error| error.id().as_json().to_owned()), Err("7".to_owned()));
        assert!(reader.feed(b"}").is_err() && reader.end().is_err());
    }

    #[test]
    fn a_long_id_or_method_is_not_kept() {
        for long in [300, 10_000] {
            let long = "x".repeat(long);
            assert_eq!(refused(&format!(r#"{{"jsonrpc":"2.0","id":"{long}","method":"GetTask"}}"#)).0, "the id is too long");
        }
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{}"}}"#, "x".repeat(10_000));
        assert_eq!(refused(&body), ("the method is too long".to_owned(), "7".to_owned()));
    }

    #[test]
    fn rules_learn_of_parameters_in_both_spellings_and_when_they_are_certain() {
        let mut questions = Questions::default();
        let configuration = Step::member(&["configuration"]);
        let push = Step::member(&["taskPushNotificationConfig", "task_push_notification_config", "pushNotificationConfig"]);
        let url = questions.ask(&[configuration, push, Step::member(&["url"])], Keep::Text);
        let skill = questions.ask(&[Step::member(&["metadata"]), Step::key("skill")], Keep::Text);
        let mut reader = EnvelopeReader::new(Limits::default(), Rc::new(questions));
        reader.feed(br#"{"params":{"configuration":{"task_push_notification_config":{"url":"https:\/\/a"#).unwrap();
        assert!(!reader.is_settled(url) && reader.findings(url).count == 0);
        reader.feed(br#"""#).unwrap();
        assert!(reader.is_settled(url) && !reader.is_settled(skill));
        let value = reader.findings(url).values.first().unwrap();
        assert_eq!((value.kind, value.text.as_deref()), (Kind::String, Some("https://a")));
        reader.feed(br#"}},"metadata":{"Skill":1}"#).unwrap();
        assert!(reader.is_settled(skill) && reader.findings(skill).count == 0);
        let twice = reader.clone().feed(br#","configuration":{"#);
        assert_eq!(twice.unwrap_err().to_string(), "a member name is repeated");
        reader.feed(br#"},"jsonrpc":"2.0","id":1,"method":"SendMessage"}"#).unwrap();
        assert!(reader.end().is_ok());
    }
}
