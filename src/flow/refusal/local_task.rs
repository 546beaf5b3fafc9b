//! A task that the filter answers for itself, in the binding and version that the caller uses. One answer is all that there is: a stream
//! has one event, and ends. Over gRPC a filter cannot send a message, so that there is a refusal in the task's place.

use crate::flow::event::Reply;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::{Consent, Denial};
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::time::UnixTime;
use serde_json::{Map, Value};

/// How such a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalState {
    /// Its user has to agree.
    AuthRequired,
    /// The user has agreed: the message has to be sent again.
    InputRequired,
    /// The user has not agreed.
    Rejected,
    /// Nobody has, and nobody can any more.
    Failed,
    /// The client has given up.
    Canceled,
}

/// A task, and the one message that it has.
#[derive(Clone, Debug)]
pub struct LocalTask<'a> {
    /// Its id.
    pub id: &'a str,
    /// The id of its context.
    pub context: &'a str,
    /// How it is.
    pub state: LocalState,
    /// What it says to people.
    pub text: &'a str,
    /// The same to programs. A2A 0.3 has nothing but objects there.
    pub data: Option<Map<String, Value>>,
    /// Since when it is so.
    pub time: UnixTime,
    /// Where the user can agree, for callers who get no message.
    pub consent: Option<Consent>,
}

/// The JSON of a version, which in 0.3 is another one over JSON-RPC (its schema) than over HTTP+JSON (its protobuf).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Schema0_3,
    Proto0_3,
    Proto1_0,
}

impl LocalState {
    const fn name(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::AuthRequired, Dialect::Schema0_3) => "auth-required",
            (Self::AuthRequired, _) => "TASK_STATE_AUTH_REQUIRED",
            (Self::InputRequired, Dialect::Schema0_3) => "input-required",
            (Self::InputRequired, _) => "TASK_STATE_INPUT_REQUIRED",
            (Self::Rejected, Dialect::Schema0_3) => "rejected",
            (Self::Rejected, _) => "TASK_STATE_REJECTED",
            (Self::Failed, Dialect::Schema0_3) => "failed",
            (Self::Failed, _) => "TASK_STATE_FAILED",
            (Self::Canceled, Dialect::Schema0_3) => "canceled",
            (Self::Canceled, Dialect::Proto0_3) => "TASK_STATE_CANCELLED",
            (Self::Canceled, Dialect::Proto1_0) => "TASK_STATE_CANCELED",
        }
    }
}

impl LocalTask<'_> {
    /// The answer to `operation`; `id` is the request's, over JSON-RPC.
    ///
    /// # Errors
    /// What is refused: all that is about push notifications, what is not about a task, and everything over gRPC.
    pub fn answer(&self, operation: Operation, binding: Binding, version: Version, id: &Id) -> Result<Reply, Denial> {
        let (is_wrapped, is_stream) = match operation {
            Operation::SendMessage => (true, false),
            Operation::SendStreamingMessage | Operation::SubscribeToTask => (true, true),
            Operation::GetTask | Operation::CancelTask => (false, false),
            Operation::CreateTaskPushNotificationConfig
            | Operation::GetTaskPushNotificationConfig
            | Operation::ListTaskPushNotificationConfigs
            | Operation::DeleteTaskPushNotificationConfig => {
                return Err(Denial::new(Reason::PushNotOffered).advise("This task has no push notifications: ask for it with GetTask."));
            }
            Operation::ListTasks | Operation::GetExtendedAgentCard | Operation::GetAgentCard => {
                return Err(Denial::new(Reason::TaskNotFound));
            }
        };
        let dialect = match (binding, version) {
            (Binding::Grpc, _) => {
                // No caller over gRPC was shown this task: to begin anew is all that there is to do once the link is of no use.
                let consent = self.consent.clone().filter(|_| self.state == LocalState::AuthRequired);
                return Err(consent.map_or_else(|| Denial::new(Reason::TaskNotFound), Denial::until_agreed));
            }
            (Binding::Jsonrpc, Version::V0_3) => Dialect::Schema0_3,
            (Binding::HttpJson, Version::V0_3) => Dialect::Proto0_3,
            (_, Version::V1_0) => Dialect::Proto1_0,
        };
        let mut body = self.render(dialect);
        if is_wrapped && dialect != Dialect::Schema0_3 {
            body = ["{\"task\":", &body, "}"].concat();
        }
        if binding == Binding::Jsonrpc {
            // The id is JSON text already and must come back unchanged.
            body = ["{\"jsonrpc\":\"2.0\",\"id\":", id.as_json(), ",\"result\":", &body, "}"].concat();
        }
        if is_stream {
            body = ["data: ", &body, "\n\n"].concat();
        }
        let kind = match (is_stream, binding, version) {
            (true, ..) => "text/event-stream",
            (false, Binding::HttpJson, Version::V1_0) => "application/a2a+json",
            (false, ..) => "application/json",
        };
        let headers = vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())];
        Ok(Reply { status: 200, grpc_status: None, headers, body })
    }

    /// The task in JSON.
    fn render(&self, dialect: Dialect) -> String {
        let is_schema = dialect == Dialect::Schema0_3;
        let kind = |name: &'static str| if is_schema { name } else { "" };
        let quoted = |text: &str| Value::from(text).to_string();
        let (id, context, state) = (quoted(self.id), quoted(self.context), self.state.name(dialect));
        let parts = if dialect == Dialect::Proto0_3 { "content" } else { "parts" };
        let role = if is_schema { "agent" } else { "ROLE_AGENT" };
        let data = self.data.clone().map(Value::Object).map(|data| match dialect {
            Dialect::Proto0_3 => [",{\"data\":{\"data\":", &data.to_string(), "}}"].concat(),
            _ => [",{", kind("\"kind\":\"data\","), "\"data\":", &data.to_string(), "}"].concat(),
        });
        [
            &["{", kind("\"kind\":\"task\","), "\"id\":", &id, ",\"contextId\":", &context][..],
            &[",\"status\":{\"state\":\"", state, "\",\"timestamp\":\"", &self.time.rfc3339(), "\",\"message\":{"],
            // Another state says something else, and so it is another message.
            &[kind("\"kind\":\"message\","), "\"messageId\":", &quoted(&[self.id, ".", state].concat()), ",\"role\":\"", role],
            &["\",\"taskId\":", &id, ",\"contextId\":", &context, ",\"", parts, "\":[{", kind("\"kind\":\"text\",")],
            &["\"text\":", &quoted(self.text), "}", data.as_deref().unwrap_or_default(), "]}}}"],
        ]
        .concat()
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Consent, Denial, Id, LocalState, LocalTask, Operation, Reason, UnixTime, Version};
    use crate::protocol::envelope;
    use serde_json::{Value, json};
    use std::time::Duration;

    const LINK: &str = "https://consent.example/consent/start?link=L";

    fn task(state: LocalState) -> LocalTask<'static> {
        let Value::Object(data) = json!({"issued_by": "attache", "link": LINK}) else { unreachable!() };
        let consent = Some(Consent { link: LINK.to_owned(), expires_at: "soon".to_owned(), ..Consent::default() });
        let time = UnixTime::new(Duration::from_micros(1_767_323_045_000_006));
        LocalTask { id: "t", context: "c", state, text: "Open \"it\":\n€", data: Some(data), time, consent }
    }

    fn body(operation: Operation, binding: Binding, version: Version) -> (String, String) {
        let id = envelope::parse(br#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"x"}"#).unwrap().id;
        let reply = task(LocalState::AuthRequired).answer(operation, binding, version, &id).unwrap();
        assert_eq!((reply.status, reply.grpc_status), (200, None));
        assert_eq!(reply.headers[1], ("cache-control", "no-store".to_owned()));
        (reply.headers[0].1.clone(), reply.body)
    }

    const TIME: &str = r#""timestamp":"2026-01-02T03:04:05.000006Z""#;
    const DATA: &str = r#"{"issued_by":"attache","link":"https://consent.example/consent/start?link=L"}"#;
    const TEXT: &str = r#""text":"Open \"it\":\n€""#;

    fn new() -> String {
        format!(
            r#"{{"id":"t","contextId":"c","status":{{"state":"TASK_STATE_AUTH_REQUIRED",{TIME},"message":{{"messageId":"t.TASK_STATE_AUTH_REQUIRED","role":"ROLE_AGENT","taskId":"t","contextId":"c","parts":[{{{TEXT}}},{{"data":{DATA}}}]}}}}}}"#
        )
    }

    fn old() -> String {
        format!(
            r#"{{"kind":"task","id":"t","contextId":"c","status":{{"state":"auth-required",{TIME},"message":{{"kind":"message","messageId":"t.auth-required","role":"agent","taskId":"t","contextId":"c","parts":[{{"kind":"text",{TEXT}}},{{"kind":"data","data":{DATA}}}]}}}}}}"#
        )
    }

    /// As the protobuf of 0.3 has it.
    fn old_proto() -> String {
        new()
            .replace(r#""parts":["#, r#""content":["#)
            .replace(&format!(r#"{{"data":{DATA}}}"#), &format!(r#"{{"data":{{"data":{DATA}}}}}"#))
    }

    #[test]
    fn each_operation_is_answered_as_its_version_and_binding_have_it() {
        use Operation::*;
        let rpc = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":12345678901234567890,"result":{result}}}"#);
        let event = |body: String| ("text/event-stream".to_owned(), format!("data: {body}\n\n"));
        let wrapped = |task: String| format!(r#"{{"task":{task}}}"#);
        let json = |body: String| ("application/json".to_owned(), body);
        let a2a = |body: String| ("application/a2a+json".to_owned(), body);
        for (version, binding, send, stream, get) in [
            (Version::V1_0, Binding::Jsonrpc, json(rpc(&wrapped(new()))), event(rpc(&wrapped(new()))), json(rpc(&new()))),
            (Version::V0_3, Binding::Jsonrpc, json(rpc(&old())), event(rpc(&old())), json(rpc(&old()))),
            (Version::V1_0, Binding::HttpJson, a2a(wrapped(new())), event(wrapped(new())), a2a(new())),
            (Version::V0_3, Binding::HttpJson, json(wrapped(old_proto())), event(wrapped(old_proto())), json(old_proto())),
        ] {
            for (operation, expected) in
                [(SendMessage, &send), (SendStreamingMessage, &stream), (SubscribeToTask, &stream), (GetTask, &get), (CancelTask, &get)]
            {
                assert_eq!(&body(operation, binding, version), expected);
            }
        }
    }

    #[test]
    fn states_have_the_names_of_their_dialect() {
        use LocalState::*;
        for (state, old, new) in [
            (AuthRequired, "auth-required", "AUTH_REQUIRED"),
            (InputRequired, "input-required", "INPUT_REQUIRED"),
            (Rejected, "rejected", "REJECTED"),
            (Failed, "failed", "FAILED"),
            (Canceled, "canceled", "CANCELED"),
        ] {
            let told = |binding, version| {
                let reply = task(state).answer(Operation::GetTask, binding, version, &Id::default()).unwrap();
                let body: Value = serde_json::from_str(&reply.body).unwrap();
                body.pointer("/status/state").or(body.pointer("/result/status/state")).unwrap().as_str().unwrap().to_owned()
            };
            assert_eq!(told(Binding::Jsonrpc, Version::V0_3), old);
            assert_eq!(told(Binding::Jsonrpc, Version::V1_0), format!("TASK_STATE_{new}"));
            assert_eq!(told(Binding::HttpJson, Version::V1_0), format!("TASK_STATE_{new}"));
            // The protobuf of 0.3 writes it with two.
            assert_eq!(told(Binding::HttpJson, Version::V0_3), format!("TASK_STATE_{}", new.replace("CANCELED", "CANCELLED")));
        }
    }

    #[test]
    fn what_has_no_answer_is_refused() {
        let refusal = |operation, binding, state| task(state).answer(operation, binding, Version::V1_0, &Id::default()).unwrap_err();
        for operation in Operation::ALL {
            for binding in [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc] {
                if operation.name().contains("Push") {
                    let denial = refusal(operation, binding, LocalState::AuthRequired);
                    assert_eq!((denial.reason, denial.consent), (Reason::PushNotOffered, None));
                }
            }
        }
        let over_grpc = |operation, state| refusal(operation, Binding::Grpc, state);
        let asked: Denial = over_grpc(Operation::SendStreamingMessage, LocalState::AuthRequired);
        assert_eq!((asked.reason, asked.consent.map(|consent| consent.link)), (Reason::ConsentRequired, Some(LINK.to_owned())));
        assert_eq!(over_grpc(Operation::GetTask, LocalState::InputRequired).reason, Reason::TaskNotFound);
        assert_eq!(refusal(Operation::ListTasks, Binding::Jsonrpc, LocalState::Failed).reason, Reason::TaskNotFound);
        let mut silent = task(LocalState::AuthRequired);
        silent.data = None;
        let reply = silent.answer(Operation::GetTask, Binding::Jsonrpc, Version::V0_3, &Id::default()).unwrap();
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["result"]["status"]["message"]["parts"].as_array().unwrap().len(), 1);
    }
}
