//! Whether an answer says that a task waits for credentials (A2A 1.0 section 7.6, `TASK_STATE_AUTH_REQUIRED`; 0.3 `auth-required`),
//! read while the answer passes. Nothing of it is held back or changed, and what cannot be read is not read on.

use crate::protocol::{Binding, Operation};
use crate::wire::grpc_frame::HEAD;
use crate::wire::protobuf::Step::{Choice, One};
use crate::wire::protobuf::{self, Document, Type};
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{Asked, Fault, Keep, Limits, Plan, Step};
use crate::wire::sse::Events;
use std::rc::Rc;

/// The state in records and filter state.
pub const AUTH_REQUIRED: &str = "auth_required";

/// The state as JSON: of the protobuf's JSON and of 0.3's JSON Schema, and the number that readers of the former take, too.
const IN_JSON: [&str; 3] = ["\"TASK_STATE_AUTH_REQUIRED\"", "\"auth-required\"", "8"];
/// The same in protocol buffers, in both versions.
const NUMBER: &str = "8";

/// Where a task's state stands: in a task or a status update by itself, or in the member that tells which it is.
const PLACES: [&[&str]; 3] = [&["status", "state"], &["task", "status", "state"], &["statusUpdate", "status", "state"]];

/// What bounds the memory of a scan.
const LIMITS: Limits = Limits { depth: 128, names: 16_384, text: 64, values: 4 };

/// What is asked of answers. Made once.
#[derive(Debug)]
pub struct Plans {
    jsonrpc: Rc<Plan>,
    http_json: Rc<Plan>,
    /// Of a message that is a task.
    task: Messages,
    /// Of one that says what it holds.
    response: Messages,
}

#[derive(Clone, Debug)]
struct Messages {
    plan: Rc<protobuf::Plan>,
    states: Rc<[Asked]>,
}

impl Default for Plans {
    fn default() -> Self {
        let json = |root: &[&str]| {
            let mut plan = Plan::default();
            for place in PLACES {
                let steps: Vec<Step> = root.iter().chain(place).map(|name| Step::proto_json(name)).collect();
                plan.ask(&steps, Keep::Raw);
            }
            Rc::new(plan)
        };
        // A status is field 3 of tasks and of their updates, its state field 1.
        let messages = |places: &[&[protobuf::Step]]| {
            let mut plan = protobuf::Plan::default();
            let states = places.iter().map(|place| plan.ask(place, Type::Int32, Keep::Text)).collect();
            Messages { plan: Rc::new(plan), states }
        };
        Self {
            jsonrpc: json(&["result"]),
            http_json: json(&[]),
            task: messages(&[&[One(3), One(1)]]),
            response: messages(&[&[Choice(1), One(3), One(1)], &[Choice(3), One(3), One(1)]]),
        }
    }
}

/// One answer.
#[derive(Debug)]
pub struct Answer(Form);

#[derive(Debug)]
enum Form {
    Json(Box<Rewriter>),
    Events(Box<Events>),
    Messages(Box<Frames>),
}

/// The messages of gRPC.
#[derive(Debug)]
struct Frames {
    asked: Messages,
    /// What has come of the five bytes before a message.
    head: Vec<u8>,
    message: Option<Document>,
}

impl Answer {
    /// The answer to `operation`, of which nothing has come; `None` if it holds no task whose state could have changed. `is_stream`: it is an
    /// event stream (any gRPC answer is read as a stream).
    #[must_use]
    pub fn new(plans: &Plans, binding: Binding, operation: Operation, is_stream: bool) -> Option<Self> {
        let messages = match operation {
            Operation::SendMessage | Operation::SendStreamingMessage | Operation::SubscribeToTask => &plans.response,
            Operation::GetTask | Operation::CancelTask => &plans.task,
            Operation::ListTasks
            | Operation::CreateTaskPushNotificationConfig
            | Operation::GetTaskPushNotificationConfig
            | Operation::ListTaskPushNotificationConfigs
            | Operation::DeleteTaskPushNotificationConfig
            | Operation::GetExtendedAgentCard
            | Operation::GetAgentCard => return None,
        };
        let plan = match binding {
            Binding::Jsonrpc => &plans.jsonrpc,
            Binding::HttpJson => &plans.http_json,
            Binding::Grpc => {
                let frames = Frames { asked: messages.clone(), head: Vec::with_capacity(HEAD), message: None };
                return Some(Self(Form::Messages(Box::new(frames))));
            }
        };
        Some(Self(match is_stream {
            true => Form::Events(Box::new(Events::new(LIMITS, Rc::clone(plan)))),
            false => Form::Json(Box::new(Rewriter::new(LIMITS, Rc::clone(plan)))),
        }))
    }

    /// Reads all of `chunk`: whether a task in it waits for credentials. `None` if nothing more can be read.
    pub fn feed(&mut self, chunk: &[u8]) -> Option<bool> {
        let mut waits = false;
        let mut see = |seen: Seen<'_>, _: &mut Vec<u8>| {
            waits |= seen.json.is_some_and(|json| IN_JSON.contains(&json));
            Ok::<_, Fault>(None)
        };
        // What would go on. It goes on by itself.
        let mut copy = Vec::new();
        match &mut self.0 {
            Form::Json(document) => document.feed(chunk, &mut copy, see).ok()?,
            Form::Events(events) => events.feed(chunk, &mut copy, &mut see).ok()?,
            Form::Messages(frames) => waits = frames.feed(chunk)?,
        }
        Some(waits)
    }
}

impl Frames {
    fn feed(&mut self, mut chunk: &[u8]) -> Option<bool> {
        let mut waits = false;
        loop {
            match &mut self.message {
                Some(message) => {
                    message.feed(&mut chunk).ok()?;
                    if !message.is_complete() {
                        return Some(waits);
                    }
                    let is_eight =
                        |asked: &Asked| message.findings(*asked).values.iter().any(|value| value.text.as_deref() == Some(NUMBER));
                    waits |= self.asked.states.iter().any(is_eight);
                    self.message = None;
                }
                None => {
                    let [byte, rest @ ..] = chunk else { return Some(waits) };
                    chunk = rest;
                    self.head.push(*byte);
                    if let [flag, length @ ..] = self.head.as_slice()
                        && let Ok(length) = <[u8; 4]>::try_from(length)
                    {
                        // Compressed, or no gRPC.
                        if *flag != 0 {
                            return None;
                        }
                        let mut message = Document::new(LIMITS, Rc::clone(&self.asked.plan));
                        message.begin(u32::from_be_bytes(length).into()).ok()?;
                        self.message = Some(message);
                        self.head.clear();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Binding, Operation, Plans};

    /// What is known of `body` in chunks of `size`.
    fn read(body: &[u8], binding: Binding, operation: Operation, is_stream: bool, size: usize) -> Option<bool> {
        let mut answer = Answer::new(&Plans::default(), binding, operation, is_stream)?;
        body.chunks(size).try_fold(false, |waits, chunk| Some(answer.feed(chunk)? || waits))
    }

    fn all(body: &[u8], binding: Binding, operation: Operation, is_stream: bool) -> Option<bool> {
        let whole = read(body, binding, operation, is_stream, 4096);
        for size in 1..12 {
            assert_eq!(read(body, binding, operation, is_stream, size), whole, "{} by {size}", String::from_utf8_lossy(body));
        }
        whole
    }

    #[test]
    fn a_task_that_waits_for_credentials_is_found_in_each_version_and_form() {
        use Operation::{CancelTask, GetTask, SendMessage, SendStreamingMessage, SubscribeToTask};
        for state in ["TASK_STATE_AUTH_REQUIRED", "auth-required"] {
            let task =
                format!(r#"{{"id":"t","status":{{"message":{{"parts":[{{"text":"sign in"}}]}},"state":"{state}"}},"artifacts":[]}}"#);
            let update = format!(r#"{{"taskId":"t","kind":"status-update","status":{{"state":"{state}"}},"final":false}}"#);
            let bodies = [
                task.clone(),
                update.clone(),
                format!(r#"{{"task":{task}}}"#),
                format!(r#"{{"statusUpdate":{update}}}"#),
                format!(r#"{{"status_update":{update}}}"#),
            ];
            for body in &bodies {
                for operation in [SendMessage, GetTask, CancelTask] {
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{body}}}"#);
                    assert_eq!(all(answer.as_bytes(), Binding::Jsonrpc, operation, false), Some(true), "{answer}");
                    assert_eq!(all(body.as_bytes(), Binding::HttpJson, operation, false), Some(true), "{body}");
                    assert_eq!(all(body.as_bytes(), Binding::Jsonrpc, operation, false), Some(false), "{body}");
                }
                for operation in [SendStreamingMessage, SubscribeToTask] {
                    let working = r#"data: {"status":{"state":"working"}}"#;
                    let events = format!(": beat\n\n{working}\n\ndata: {body}\r\n\r\n{working}\n\n");
                    assert_eq!(all(events.as_bytes(), Binding::HttpJson, operation, true), Some(true), "{events}");
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_one() {
        for body in [
            r#"{"task":{"status":{"state":"TASK_STATE_WORKING"},"metadata":{"status":{"state":"auth-required"}}}}"#,
            r#"{"message":{"parts":[{"data":{"status":{"state":"TASK_STATE_AUTH_REQUIRED"}}}]}}"#,
            r#"{"task":{"history":[{"status":{"state":"auth-required"}}],"status":{"message":{"state":"auth-required"}}}}"#,
            r#"{"status":{"state":["auth-required"]}}"#,
            r#"{"error":{"status":"auth-required"}}"#,
            "[]",
        ] {
            assert_eq!(all(body.as_bytes(), Binding::HttpJson, Operation::SendMessage, false), Some(false), "{body}");
        }
        assert_eq!(read(b"{}", Binding::HttpJson, Operation::ListTasks, false, 1), None);
        // What cannot be read is not read on.
        for body in ["<html>", r#"{"status":{"state":"a"},"status":{}}"#, "{}{}"] {
            assert_eq!(all(body.as_bytes(), Binding::HttpJson, Operation::SendMessage, false), None, "{body}");
        }
        let long = format!(r#"{{"status":{{"state":"{}"}}}}"#, "x".repeat(100_000));
        assert_eq!(read(long.as_bytes(), Binding::HttpJson, Operation::SendMessage, false, 1000), None);
    }

    #[test]
    fn messages_of_grpc_are_read_one_after_the_other() {
        use Operation::{GetTask, SendStreamingMessage};
        let framed = |message: &[u8]| [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat();
        // A task is field 1 of a response, an update field 3.
        let status = |state: u8| vec![0x0a, 1, b't', 0x1a, 2, 0x08, state];
        let inside = |field: u8, message: Vec<u8>| [vec![field << 3 | 2, u8::try_from(message.len()).unwrap()], message].concat();
        for (body, operation, expected) in [
            (framed(&status(8)), GetTask, Some(true)),
            (framed(&status(3)), GetTask, Some(false)),
            ([framed(&inside(1, status(2))), framed(&inside(3, status(8)))].concat(), SendStreamingMessage, Some(true)),
            ([framed(&inside(1, status(8))), framed(&[])].concat(), SendStreamingMessage, Some(true)),
            ([framed(&[]), framed(&inside(3, status(2)))].concat(), SendStreamingMessage, Some(false)),
            // A message that the agent says has no status.
            (framed(&inside(2, status(8))), SendStreamingMessage, Some(false)),
            ([[1, 0, 0, 0, 7].to_vec(), status(8)].concat(), GetTask, None),
            (b"\0\0\0\0\x02\x1a\x09".to_vec(), GetTask, None),
        ] {
            assert_eq!(all(&body, Binding::Grpc, operation, true), expected, "{body:?}");
        }
    }
}
