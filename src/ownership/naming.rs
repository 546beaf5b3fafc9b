//! Which task and context a request names, whoever made their ids, and the same message without those that the agent does not know.
//! The places are those of [`super::places`] and [`super::fields`]; what two readers could read in two ways is refused.

use super::body::{Problem, split_name, text};
use super::fields;
use super::places::{CONTEXT, Form, Place, Places, Request, Shape, TASK};
use super::tag::Subject;
use super::unmark::before_member;
use crate::protocol::{Binding, Operation, Version, http_json};
use crate::wire::scan::{Fault, Kind, Limits, Scanner};
use crate::wire::sorted::SortedMap;
use crate::wire::{grpc_frame, protobuf};
use percent_encoding::percent_decode_str;
use std::ops::Range;
use std::rc::Rc;

/// What a request names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The id of a task.
    pub task: Option<String>,
    /// The id of a context.
    pub context: Option<String>,
}

/// What kind of request it is.
pub type Kinds = (Binding, Operation, Version);

/// The places of every kind of request. Made once.
#[derive(Debug)]
pub struct Naming {
    json: SortedMap<(Binding, Request), Rc<Places>>,
    messages: SortedMap<(Operation, Version), Rc<Places>>,
    /// All ids of a message that is sent: also the tasks that it refers to, and that of its push configuration.
    sent: SortedMap<Binding, Rc<Places>>,
    sent_messages: SortedMap<Version, Rc<Places>>,
}

/// What a message that is sent is about.
const SENT: Shape = &[("message", &[("taskId", TASK), ("contextId", CONTEXT)]), ("request", &[("taskId", TASK), ("contextId", CONTEXT)])];

impl Default for Naming {
    fn default() -> Self {
        let mut naming =
            Self { json: SortedMap::new(), messages: SortedMap::new(), sent: SortedMap::new(), sent_messages: SortedMap::new() };
        for (binding, root) in [(Binding::Jsonrpc, "params"), (Binding::HttpJson, "")] {
            for request in Request::ALL.into_iter().filter(|request| *request != Request::List) {
                let shape = if request == Request::Send { SENT } else { request.places() };
                naming.json.insert((binding, request), Rc::new(Places::new(root, shape, &[], None)));
            }
            naming.sent.insert(binding, Rc::new(Places::new(root, Request::Send.places(), &[], None)));
        }
        for version in [Version::V0_3, Version::V1_0] {
            for operation in Operation::ALL.into_iter().filter(|operation| *operation != Operation::ListTasks) {
                if let Some(places) = fields::named(operation, version) {
                    naming.messages.insert((operation, version), places);
                }
            }
            if let Some(places) = fields::sent(version) {
                naming.sent_messages.insert(version, places);
            }
        }
        naming
    }
}

impl Naming {
    /// What a request names whose whole `body` is there. `route` is its path below the interface URL, which matters over HTTP+JSON. A
    /// request for a list names nothing.
    ///
    /// # Errors
    /// If the body cannot be read in one way, or names two tasks or contexts.
    pub fn named(&self, (binding, operation, version): Kinds, route: &str, body: &[u8]) -> Result<Named, Problem> {
        let mut named = Named::default();
        let places = match binding {
            Binding::Grpc => self.messages.get(&(operation, version)),
            Binding::Jsonrpc | Binding::HttpJson => Request::of(operation, version).and_then(|request| self.json.get(&(binding, request))),
        };
        let Some(places) = places else { return Ok(named) };
        if binding == Binding::HttpJson {
            if let Some(id) = http_json::task_id(route).and_then(|range| route.get(range)) {
                named.add(Subject::Task, &percent_decode_str(id).decode_utf8_lossy())?;
            }
            if body.is_empty() {
                return Ok(named);
            }
        }
        match places.form() {
            Form::Json(_) => scan(places, body, &mut |subject, id, _| named.add(subject, id))?,
            Form::Messages(plan) => {
                protobuf::rewrite::<Problem>(plan, grpc_frame::unwrap(body)?, usize::MAX, &mut |seen| {
                    let id = places.at(seen.asked).zip(seen.text).and_then(|(place, text)| id(place, text));
                    id.map_or(Ok(()), |(subject, id)| named.add(subject, id)).map(|()| None)
                })?;
            }
        }
        Ok(named)
    }

    /// The whole `body` of a request that sends a message, without the members whose ids `is_ours`: no other byte changes, but for the
    /// lengths of messages of gRPC that they are in. It is never longer.
    ///
    /// # Errors
    /// If the body cannot be read in one way.
    pub fn without(
        &self,
        (binding, version): (Binding, Version),
        body: &[u8],
        is_ours: &dyn Fn(Subject, &str) -> bool,
    ) -> Result<Vec<u8>, Problem> {
        if binding == Binding::Grpc {
            let Some((places, Form::Messages(plan))) = self.sent_messages.get(&version).map(|places| (places, places.form())) else {
                return Ok(body.to_vec());
            };
            let changed = protobuf::rewrite::<Problem>(plan, grpc_frame::unwrap(body)?, body.len(), &mut |seen| {
                let id = places.at(seen.asked).zip(seen.text).and_then(|(place, text)| id(place, text));
                Ok(id.filter(|(subject, id)| is_ours(*subject, id)).map(|_| String::new()))
            })?;
            return grpc_frame::wrap(&changed).ok_or(Problem::Message(protobuf::Fault::TooLong));
        }
        let mut found = Vec::new();
        let mut out = body.to_vec();
        if let Some(places) = self.sent.get(&binding) {
            scan(places, body, &mut |subject, id, range| {
                if is_ours(subject, id) {
                    found.push(range);
                }
                Ok(())
            })?;
        }
        // From behind: what is before a member stays where it is, and is well-formed without it.
        for value in found.into_iter().rev() {
            out.drain(with_name(&out, value).ok_or(Fault::Malformed)?);
        }
        Ok(out)
    }
}

impl Named {
    /// Takes note of an id. An empty one is none.
    fn add(&mut self, subject: Subject, id: &str) -> Result<(), Problem> {
        let own = match subject {
            Subject::Task => &mut self.task,
            Subject::Context => &mut self.context,
        };
        match own {
            _ if id.is_empty() => {}
            None => *own = Some(id.to_owned()),
            Some(own) if own == id => {}
            Some(_) => return Err(Problem::Fault(Fault::TooManyValues)),
        }
        Ok(())
    }
}

/// The id in what stands at a place.
fn id(place: Place, text: &str) -> Option<(Subject, &str)> {
    match place {
        Place::Id(subject) => Some((subject, text)),
        Place::Name => split_name(text).map(|(id, _)| (Subject::Task, id)),
        _ => None,
    }
}

/// Is told an id, and where its value stands.
type Told<'t> = &'t mut dyn FnMut(Subject, &str, Range<usize>) -> Result<(), Problem>;

/// Tells each id in a document.
fn scan(places: &Places, body: &[u8], told: Told<'_>) -> Result<(), Problem> {
    let mut scanner = Scanner::new(Limits::default(), places.json());
    let mut rest = body;
    while let Some(found) = scanner.next(&mut rest)? {
        // What is no text names nothing of ours.
        let (Kind::String, Some(place)) = (found.kind, places.at(found.asked)) else { continue };
        let json = found.text.ok_or(Fault::TooLong)?;
        let end = body.len().saturating_sub(rest.len());
        if let Some((subject, id)) = id(place, &text(json)?) {
            told(subject, id, end.saturating_sub(json.len())..end)?;
        }
    }
    scanner.end()?;
    Ok(())
}

/// Where the member or element stands whose value is at `value`, with the comma that would be too much without it.
fn with_name(text: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..value.start)?.trim_ascii_end();
    let (start, is_first) = match before.split_last()? {
        (b':', _) => before_member(before)?,
        (b',', rest) => (rest.len(), false),
        _ => (before.len(), true),
    };
    let behind = text.get(value.end..)?.trim_ascii_start();
    let end = match behind.strip_prefix(b",") {
        Some(behind) if is_first => text.len().saturating_sub(behind.len()),
        _ => value.end,
    };
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::{Named, Naming, Problem, Subject};
    use crate::protocol::{Binding, Operation, Version};
    use crate::wire::grpc_frame::wrap;
    use crate::wire::protobuf::{self, Writer};
    use crate::wire::scan::Fault;
    use Binding::{Grpc, HttpJson, Jsonrpc};
    use Operation::*;
    use Version::{V0_3, V1_0};

    fn named(task: &str, context: &str) -> Named {
        let id = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Named { task: id(task), context: id(context) }
    }

    /// A message of gRPC with these fields, each a text or another message.
    fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        fields.iter().for_each(|(number, bytes)| writer.bytes(*number, bytes));
        writer.end()
    }

    #[test]
    fn what_a_body_names_is_found_in_each_version() {
        let naming = Naming::default();
        for (operation, version, params, expected) in [
            (SendMessage, V1_0, r#"{"message":{"taskId":"t","contextId":"c","referenceTaskIds":["r","s"]}}"#, named("t", "c")),
            (SendStreamingMessage, V1_0, r#"{"message":{"task_id":"t","parts":[{"data":{"taskId":"no"}}]}}"#, named("t", "")),
            (SendMessage, V0_3, r#"{"message":{"contextId":"c","taskId":null,"metadata":{"taskId":"no"}}}"#, named("", "c")),
            (SendMessage, V0_3, r#"{"request":{"task\u0049d":"\u0074"}}"#, named("t", "")),
            (SendMessage, V1_0, r#"{"message":{"taskId":7},"configuration":{"taskPushNotificationConfig":{"taskId":"p"}}}"#, named("", "")),
            (GetTask, V1_0, r#"{"id":"t","historyLength":3}"#, named("t", "")),
            (CancelTask, V0_3, r#"{"id":"t","metadata":{"id":"no"}}"#, named("t", "")),
            (SubscribeToTask, V0_3, r#"{"id":"t"}"#, named("t", "")),
            (CreateTaskPushNotificationConfig, V0_3, r#"{"taskId":"t","pushNotificationConfig":{"id":"no","url":"u"}}"#, named("t", "")),
            (CreateTaskPushNotificationConfig, V1_0, r#"{"taskId":"t","id":"no","url":"u"}"#, named("t", "")),
            (GetTaskPushNotificationConfig, V0_3, r#"{"id":"t","pushNotificationConfigId":"no"}"#, named("t", "")),
            (GetTaskPushNotificationConfig, V1_0, r#"{"taskId":"t","id":"no"}"#, named("t", "")),
            (ListTaskPushNotificationConfigs, V0_3, r#"{"id":"t"}"#, named("t", "")),
            (DeleteTaskPushNotificationConfig, V1_0, r#"{"task_id":"t","id":"no"}"#, named("t", "")),
            (ListTasks, V1_0, r#"{"contextId":"no"}"#, named("", "")),
            (GetExtendedAgentCard, V1_0, r#"{"id":"no"}"#, named("", "")),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"no","method":"x","params":{params}}}"#);
            assert_eq!(naming.named((Jsonrpc, operation, version), "", body.as_bytes()), Ok(expected.clone()), "{body}");
            assert_eq!(naming.named((HttpJson, operation, version), "", params.as_bytes()), Ok(expected), "{params}");
        }
        assert_eq!(naming.named((Jsonrpc, ListTasks, V1_0), "", b"x"), Ok(Named::default()), "it is read by nobody here");
    }

    #[test]
    fn what_a_route_names_is_found_and_its_body_agrees() {
        let naming = Naming::default();
        for (operation, version, route, body, expected) in [
            (GetTask, V1_0, "/tasks/t", "", Ok(named("t", ""))),
            (GetTask, V1_0, "/acme/tasks/t%20t", "", Ok(named("t t", ""))),
            (CancelTask, V0_3, "/v1/tasks/t:cancel", "null", Ok(named("t", ""))),
            (CancelTask, V0_3, "/v1/tasks/t:cancel", r#"{"name":"tasks/t"}"#, Ok(named("t", ""))),
            (SubscribeToTask, V1_0, "/tasks/t:subscribe", "{}", Ok(named("t", ""))),
            (CreateTaskPushNotificationConfig, V1_0, "/tasks/t/pushNotificationConfigs", r#"{"taskId":"","url":"u"}"#, Ok(named("t", ""))),
            (
                CreateTaskPushNotificationConfig,
                V0_3,
                "/v1/tasks/t/pushNotificationConfigs",
                r#"{"parent":"tasks/t","config":{"name":"tasks/t/pushNotificationConfigs/c"}}"#,
                Ok(named("t", "")),
            ),
            (DeleteTaskPushNotificationConfig, V1_0, "/tasks/t/pushNotificationConfigs/c", "", Ok(named("t", ""))),
            (CancelTask, V0_3, "/v1/tasks/t:cancel", r#"{"name":"tasks/u"}"#, Err(Problem::Fault(Fault::TooManyValues))),
            (
                CreateTaskPushNotificationConfig,
                V1_0,
                "/tasks/t/pushNotificationConfigs",
                r#"{"taskId":"u"}"#,
                Err(Problem::Fault(Fault::TooManyValues)),
            ),
            (SendMessage, V1_0, "/message:send", r#"{"message":{"taskId":"t"}}"#, Ok(named("t", ""))),
        ] {
            assert_eq!(naming.named((HttpJson, operation, version), route, body.as_bytes()), expected, "{route} {body}");
        }
    }

    #[test]
    fn what_a_message_of_grpc_names_is_found() {
        let naming = Naming::default();
        let sent = message(&[(1, b"m"), (2, b"c"), (3, b"t"), (8, b"r"), (8, b"s")]);
        for (operation, version, message, expected) in [
            (SendMessage, V1_0, message(&[(2, &sent), (3, &message(&[(2, &message(&[(3, b"p")]))]))]), named("t", "c")),
            (SendStreamingMessage, V0_3, message(&[(1, &sent)]), named("t", "c")),
            (GetTask, V1_0, message(&[(1, b"tenant"), (2, b"t")]), named("t", "")),
            (CancelTask, V0_3, message(&[(1, b"tasks/t")]), named("t", "")),
            (CreateTaskPushNotificationConfig, V1_0, message(&[(3, b"t"), (4, b"u")]), named("t", "")),
            (CreateTaskPushNotificationConfig, V0_3, message(&[(1, b"tasks/t"), (3, &message(&[(1, b"tasks/t/p")]))]), named("t", "")),
            (ListTaskPushNotificationConfigs, V1_0, message(&[(1, b"t")]), named("t", "")),
            (GetTaskPushNotificationConfig, V0_3, message(&[(1, b"tasks/t/pushNotificationConfigs/c")]), named("t", "")),
            (ListTasks, V1_0, message(&[(2, b"no")]), named("", "")),
            (GetTask, V1_0, Vec::new(), named("", "")),
        ] {
            assert_eq!(naming.named((Grpc, operation, version), "", &wrap(&message).unwrap()), Ok(expected), "{operation:?} {version}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_names_nothing() {
        let naming = Naming::default();
        let long = format!(r#"{{"message":{{"taskId":"{}"}}}}"#, "x".repeat(3000));
        for (body, fault) in [
            (r#"{"message":{"taskId":"t","task_id":"t"}}"#, Fault::RepeatedName),
            (r#"{"message":{"TaskId":"t"}}"#, Fault::CaseVariant),
            (r#"{"message":{"taskId":"t"},"request":{"taskId":"u"}}"#, Fault::TooManyValues),
            (r#"{"message":{"taskId":"t"}"#, Fault::Incomplete),
            (r#"{"message":{}}{}"#, Fault::Trailing),
            (&long, Fault::TooLong),
        ] {
            assert_eq!(naming.named((HttpJson, SendMessage, V1_0), "/message:send", body.as_bytes()), Err(Problem::Fault(fault)), "{body}");
            let without = naming.without((HttpJson, V1_0), body.as_bytes(), &|_, _| false);
            assert_eq!(without.is_err(), fault != Fault::TooManyValues, "{body}");
        }
        assert_eq!(naming.named((Jsonrpc, GetTask, V1_0), "", b""), Err(Problem::Fault(Fault::Incomplete)));
        let twice = wrap(&message(&[(2, b"t"), (2, b"u")])).unwrap();
        assert_eq!(naming.named((Grpc, GetTask, V1_0), "", &twice), Err(Problem::Message(protobuf::Fault::Repeated)));
    }

    /// Ids that begin with `o`, but for contexts of another kind.
    fn is_ours(subject: Subject, id: &str) -> bool {
        id.starts_with(if subject == Subject::Task { "ot" } else { "oc" })
    }

    #[test]
    fn members_with_ids_of_ours_go_and_no_other_byte_does() {
        let naming = Naming::default();
        for (members, expected) in [
            (r#"{"taskId":"ot","contextId":"oc","messageId":"ot"}"#, r#"{"messageId":"ot"}"#),
            (r#"{"taskId":"ot","contextId":"oc"}"#, "{}"),
            (r#"{ "task_id" : "ot" , "context_id" : "oc" }"#, "{  }"),
            (r#"{"a":{"taskId":"ot"} , "taskId":"ot","b":[],"contextId":"oc"}"#, r#"{"a":{"taskId":"ot"} ,"b":[]}"#),
            (
                r#"{"parts":[{"text":",\"taskId\":\"ot\""}],"contextId":"oc","task\u0049d":"\u006ft"}"#,
                r#"{"parts":[{"text":",\"taskId\":\"ot\""}]}"#,
            ),
            (r#"{"taskId":"t","contextId":"c"}"#, r#"{"taskId":"t","contextId":"c"}"#),
            (r#"{"taskId":"oc","contextId":"ot"}"#, r#"{"taskId":"oc","contextId":"ot"}"#),
            (r#"{"taskId":"t","contextId":"oc","x":"é"}"#, r#"{"taskId":"t","x":"é"}"#),
            (r#"{"taskId":null,"contextId":7}"#, r#"{"taskId":null,"contextId":7}"#),
            (r#"{"referenceTaskIds":["ot"]}"#, r#"{"referenceTaskIds":[]}"#),
            (r#"{"referenceTaskIds":["ot","t","ot" , "ot"],"taskId":"ot"}"#, r#"{"referenceTaskIds":["t" ]}"#),
            (r#"{"referenceTaskIds":[ "ot" , "ot" , "t" ]}"#, r#"{"referenceTaskIds":[ "t" ]}"#),
        ] {
            for version in [V0_3, V1_0] {
                for (binding, before, after) in [
                    (HttpJson, r#"{"message":"#, "}"),
                    (HttpJson, "\n{\"configuration\":{\"x\":[1]},\"request\" : ", " }\n"),
                    (Jsonrpc, r#"{"jsonrpc":"2.0","params":{"message":"#, r#","metadata":{"taskId":"ot"}},"id":"ot"}"#),
                ] {
                    let body = format!("{before}{members}{after}");
                    let out = naming.without((binding, version), body.as_bytes(), &is_ours).unwrap();
                    assert_eq!(String::from_utf8(out).unwrap(), format!("{before}{expected}{after}"));
                }
            }
        }
        let body = br#"{"message":{},"configuration":{"taskPushNotificationConfig":{"taskId":"ot","url":"u"}}}"#;
        let out = naming.without((HttpJson, V1_0), body, &is_ours).unwrap();
        assert_eq!(out, br#"{"message":{},"configuration":{"taskPushNotificationConfig":{"url":"u"}}}"#);
    }

    #[test]
    fn fields_with_ids_of_ours_go_from_messages_of_grpc() {
        let naming = Naming::default();
        let long = "x".repeat(300);
        let sent = |ids: &[(u32, &[u8])]| message(&[&[(1, &b"ot"[..])], ids, &[(5, long.as_bytes())]].concat());
        // The push configuration of 0.3 has no task, but an id of its own.
        let old = |sent: &[u8]| message(&[(1, sent), (2, &message(&[(2, &message(&[(1, b"ot"), (2, b"u")]))]))]);
        let new = |sent: &[u8], task: &[(u32, &[u8])]| message(&[(1, b"tenant"), (2, sent), (3, &message(&[(2, &message(task))]))]);
        let all: &[(u32, &[u8])] = &[(2, b"oc"), (3, b"ot"), (8, b"ot"), (8, b"t")];
        let left: &[(u32, &[u8])] = &[(8, b"t")];
        for (version, body, expected) in [
            (V1_0, new(&sent(all), &[(3, b"ot"), (4, b"u")]), new(&sent(left), &[(4, b"u")])),
            (V0_3, old(&sent(all)), old(&sent(left))),
            (V1_0, new(&sent(left), &[]), new(&sent(left), &[])),
        ] {
            let out = naming.without((Grpc, version), &wrap(&body).unwrap(), &is_ours);
            assert_eq!(out, Ok(wrap(&expected).unwrap()), "{version}");
        }
        assert_eq!(naming.without((Grpc, V1_0), b"\0\0\0\0\x01", &is_ours), Err(Problem::Message(protobuf::Fault::Incomplete)));
    }
}
