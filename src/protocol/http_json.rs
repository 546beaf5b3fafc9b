//! The HTTP+JSON routes of A2A 0.3 and 1.0 (1.0 section 11.3, 0.3 section 3.5.6), below the interface URL.

use crate::protocol::{Operation, Version};
use crate::wire::fold::{fold, is_unseen};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::ops::Range;

/// The operation that `method` on `path` asks for, and the version whose route it is. `path` is what follows
/// the agent's prefix and starts with `/`. `None` for routes of neither version.
///
/// `/v1/…` is always 0.3: a 1.0 tenant cannot be called `v1` (the two would be one path). What decides must be written
/// plainly, and what is an id must be one for every reader: an agent may undo `%3A` and find a verb, or know no case.
#[must_use]
pub fn route(method: &str, path: &str) -> Option<(Operation, Version)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    if !segments.iter().all(|segment| is_plain(segment)) {
        return None;
    }
    match segments.as_slice() {
        ["v1", rest @ ..] => Some((v0_3(method, rest)?, Version::V0_3)),
        // What 0.2 and 0.3 have beside `/v1`: the extended card before it was an operation (0.2.1 section 7.10).
        ["agent", "authenticatedExtendedCard"] if method == "GET" => Some((Operation::GetExtendedAgentCard, Version::V0_3)),
        [only] => Some((v1_0(method, &[only])?, Version::V1_0)),
        [first, rest @ ..] => {
            let plain = v1_0(method, segments.as_slice());
            Some((plain.or_else(|| tenant(first).then(|| v1_0(method, rest))?)?, Version::V1_0))
        }
        [] => None,
    }
}

/// The tenant of a route of 1.0: its first segment, escapes and all, where that is none of the route itself.
#[must_use]
pub fn tenant_of<'p>(method: &str, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix('/')?;
    let (first, _) = rest.split_once('/')?;
    // Most routes name none.
    if first == "v1" || !tenant(first) {
        return None;
    }
    let segments: Vec<&str> = rest.split('/').collect();
    match segments.as_slice() {
        [_, rest @ ..] if v1_0(method, segments.as_slice()).is_none() => v1_0(method, rest).map(|_| first),
        _ => None,
    }
}

/// Where in `path`, as [`route`] takes it, the id of a task stands, without the verb behind it. `None` for routes that
/// name no task. What is no route is not told from one.
#[must_use]
pub fn task_id(path: &str) -> Option<Range<usize>> {
    let below = |start: usize, head: &str| path.get(start..)?.strip_prefix(head).map(|_| start.saturating_add(head.len()));
    let tenant_end = || path.get(1..)?.find('/').map(|at| at.saturating_add(1));
    let start = below(0, "/v1/tasks/").or_else(|| below(0, "/tasks/")).or_else(|| below(tenant_end()?, "/tasks/"))?;
    let rest = path.get(start..)?;
    let segment = rest.split('/').next().unwrap_or_default();
    let id = match segment.rsplit_once(':') {
        Some((id, "cancel" | "subscribe")) if segment.len() == rest.len() => id,
        _ => segment,
    };
    (!id.is_empty()).then(|| start..start.saturating_add(id.len()))
}

/// The words of routes, beside `message:send` and `message:stream`.
const WORDS: [&str; 5] = ["v1", "tasks", "extendedAgentCard", "pushNotificationConfigs", ".well-known"];

/// What stands behind the last colon of a task's id.
const VERBS: [&str; 2] = ["cancel", "subscribe"];

/// Whether every reader of `segment` sees the same text, and none a word of routes or a verb that is not written there
/// literally: no matter what case, width, escapes, controls and blanks mean to it.
#[must_use]
pub fn is_plain(segment: &str) -> bool {
    if segment.is_empty() {
        return false;
    }
    let folded = if segment.contains('%') {
        let undone: Cow<'_, [u8]> = percent_decode_str(segment).into();
        // What is no UTF-8 is read by guessing.
        let Ok(text) = std::str::from_utf8(&undone) else { return false };
        let odd = |letter: char| is_unseen(letter) && letter != ' ';
        let is_nested = percent_decode_str(text).decode_utf8_lossy() != text;
        if is_nested || text.starts_with(' ') || text.ends_with(' ') || text.contains(odd) {
            return false;
        }
        // A blank inside is no blank to those who strip ends, but `fold` leaves it out: it hides no word.
        match fold(segment) {
            Some(folded) => Cow::Owned(folded),
            None => return false,
        }
    } else if segment.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(segment.to_ascii_lowercase())
    } else {
        Cow::Borrowed(segment)
    };
    let is_word = |word: &&str| word.eq_ignore_ascii_case(&folded);
    let says_verb = |text: &str| text.rsplit_once(':').is_some_and(|(_, verb)| VERBS.contains(&verb));
    WORDS.iter().find(|word| is_word(word)).is_none_or(|word| *word == segment)
        && (!folded.starts_with("message:") || matches!(segment, "message:send" | "message:stream"))
        && (!says_verb(&folded) || says_verb(segment))
}

/// Whether `segment`, which is plain, may be the id of a task or of a configuration: no word of routes, and no verb at its end.
fn is_id(segment: &str) -> bool {
    !WORDS.iter().skip(1).any(|word| *word == segment)
        && !segment.starts_with("message:")
        && !segment.rsplit_once(':').is_some_and(|(_, verb)| VERBS.contains(&verb))
}

/// Whether some reader may take `path` for a route, also one that knows no case or undoes escapes.
#[must_use]
pub fn resembles_route(path: &str) -> bool {
    let words = || WORDS.into_iter().chain(["card", "agent", "authenticatedExtendedCard", "message:send", "message:stream"]);
    let plain = |segment: &str| {
        let folded = fold(segment).unwrap_or_default();
        words().find(|word| word.eq_ignore_ascii_case(&folded)).map_or(folded, str::to_owned)
    };
    let folded: String = path.split('/').skip(1).map(|segment| format!("/{}", plain(segment))).collect();
    ["GET", "POST", "DELETE"].iter().any(|method| route(method, path).is_some() || route(method, &folded).is_some())
}

/// Whether a first segment may be a tenant: anything that is not itself the head of a route.
fn tenant(segment: &str) -> bool {
    !matches!(segment, "tasks" | "extendedAgentCard" | ".well-known") && !segment.starts_with("message:")
}

/// What follows `/v1`. `GET /v1/tasks` is in the prose of 0.3 and no schema of it, and to a 1.0 agent at the same place it is
/// ListTasks of a tenant called `v1`: who offers both at one place must not take it.
fn v0_3(method: &str, segments: &[&str]) -> Option<Operation> {
    match (method, segments) {
        ("GET", ["tasks"]) => Some(Operation::ListTasks),
        ("GET", ["card"]) => Some(Operation::GetExtendedAgentCard),
        _ => shared(method, segments),
    }
}

fn v1_0(method: &str, segments: &[&str]) -> Option<Operation> {
    match (method, segments) {
        ("GET", ["tasks"]) => Some(Operation::ListTasks),
        ("GET", ["extendedAgentCard"]) => Some(Operation::GetExtendedAgentCard),
        _ => shared(method, segments),
    }
}

/// The routes that both versions spell alike once the version's own prefix is off.
fn shared(method: &str, segments: &[&str]) -> Option<Operation> {
    match (method, segments) {
        ("POST", ["message:send"]) => Some(Operation::SendMessage),
        ("POST", ["message:stream"]) => Some(Operation::SendStreamingMessage),
        // The verb stands behind the last colon of an id, and an id may hold colons itself.
        (_, ["tasks", last]) => match (method, last.rsplit_once(':')) {
            ("POST", Some((id, "cancel"))) if !id.is_empty() && is_id(id) => Some(Operation::CancelTask),
            ("POST" | "GET", Some((id, "subscribe"))) if !id.is_empty() && is_id(id) => Some(Operation::SubscribeToTask),
            ("GET", _) if is_id(last) => Some(Operation::GetTask),
            _ => None,
        },
        ("POST", ["tasks", id, "pushNotificationConfigs"]) if is_id(id) => Some(Operation::CreateTaskPushNotificationConfig),
        ("GET", ["tasks", id, "pushNotificationConfigs"]) if is_id(id) => Some(Operation::ListTaskPushNotificationConfigs),
        ("GET", ["tasks", id, "pushNotificationConfigs", own]) if is_id(id) && is_id(own) => Some(Operation::GetTaskPushNotificationConfig),
        ("DELETE", ["tasks", id, "pushNotificationConfigs", own]) if is_id(id) && is_id(own) => {
            Some(Operation::DeleteTaskPushNotificationConfig)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, Version, route, task_id};

    #[test]
    fn routes_of_both_versions() {
        use Operation::*;
        for (method, path, operation, version) in [
            ("POST", "/message:send", SendMessage, Version::V1_0),
            ("POST", "/v1/message:stream", SendStreamingMessage, Version::V0_3),
            ("POST", "/acme/message:send", SendMessage, Version::V1_0),
            ("GET", "/tasks", ListTasks, Version::V1_0),
            ("GET", "/tasks/a:b", GetTask, Version::V1_0),
            ("POST", "/tasks/a:b:cancel", CancelTask, Version::V1_0),
            ("GET", "/v1/tasks/t:subscribe", SubscribeToTask, Version::V0_3),
            ("POST", "/acme/tasks/t:subscribe", SubscribeToTask, Version::V1_0),
            ("POST", "/tasks/t/pushNotificationConfigs", CreateTaskPushNotificationConfig, Version::V1_0),
            ("GET", "/v1/tasks/t/pushNotificationConfigs", ListTaskPushNotificationConfigs, Version::V0_3),
            ("GET", "/tasks/t/pushNotificationConfigs/c", GetTaskPushNotificationConfig, Version::V1_0),
            ("DELETE", "/acme/tasks/t/pushNotificationConfigs/c", DeleteTaskPushNotificationConfig, Version::V1_0),
            ("GET", "/v1/card", GetExtendedAgentCard, Version::V0_3),
            ("GET", "/v1/tasks", ListTasks, Version::V0_3),
            ("GET", "/extendedAgentCard", GetExtendedAgentCard, Version::V1_0),
            ("GET", "/acme/extendedAgentCard", GetExtendedAgentCard, Version::V1_0),
            ("GET", "/agent/authenticatedExtendedCard", GetExtendedAgentCard, Version::V0_3),
            ("GET", "/agent/tasks", ListTasks, Version::V1_0),
            ("GET", "/ac%20me/tasks/a%3Ab", GetTask, Version::V1_0),
            ("POST", "/tasks/a%3Ab:cancel", CancelTask, Version::V1_0),
        ] {
            assert_eq!(route(method, path), Some((operation, version)), "{method} {path}");
        }
    }

    #[test]
    fn the_tenant_of_a_route_is_found() {
        for (method, path, tenant) in [
            ("POST", "/acme/message:send", Some("acme")),
            ("GET", "/ac%20me/tasks/t", Some("ac%20me")),
            ("GET", "/agent/tasks", Some("agent")),
            ("DELETE", "/acme/tasks/t/pushNotificationConfigs/c", Some("acme")),
            ("GET", "/acme/extendedAgentCard", Some("acme")),
            ("POST", "/message:send", None),
            ("GET", "/tasks/tasks", None),
            ("GET", "/tasks", None),
            ("GET", "/v1/tasks/t", None),
            ("GET", "/agent/authenticatedExtendedCard", None),
            ("GET", "/tasks/t/pushNotificationConfigs", None),
            ("GET", "/acme/other/tasks", None),
            ("GET", "", None),
        ] {
            assert_eq!(super::tenant_of(method, path), tenant, "{method} {path}");
        }
    }

    #[test]
    fn the_task_of_a_route_is_found() {
        for (path, id) in [
            ("/tasks/t", Some("t")),
            ("/tasks/a:b:cancel", Some("a:b")),
            ("/v1/tasks/t:subscribe", Some("t")),
            ("/acme/tasks/t/pushNotificationConfigs/c:cancel", Some("t")),
            ("/tasks/tasks/pushNotificationConfigs", Some("tasks")),
            ("/tasks/a:cancel/pushNotificationConfigs", Some("a:cancel")),
            ("/tasks", None),
            ("/acme/tasks", None),
            ("/v1/tasks/", None),
            ("/message:send", None),
            ("", None),
        ] {
            assert_eq!(task_id(path).and_then(|range| path.get(range)), id, "{path}");
        }
    }

    #[test]
    fn everything_else_is_no_route() {
        for (method, path) in [
            ("GET", "/message:send"),
            ("POST", "/tasks/t"),
            ("POST", "/tasks/:cancel"),
            ("GET", "/tasks/t:cancel"),
            ("GET", "/v1/extendedAgentCard"),
            ("GET", "/tasks/t/"),
            ("GET", "/tasks/t/other"),
            ("POST", "/v1/v1/message:send"),
            ("POST", "/tasks/message:send"),
            ("POST", "/MESSAGE:SEND"),
            ("get", "/tasks"),
            ("HEAD", "/tasks/t"),
            ("PUT", "/tasks/t:subscribe"),
            ("DELETE", "/tasks/t"),
            ("PATCH", "/message:send"),
            ("POST", "/acme/other/message:send"),
            ("POST", "/agent/authenticatedExtendedCard"),
            ("GET", "/v1/agent/authenticatedExtendedCard"),
            ("GET", ""),
            ("GET", "/"),
        ] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
    }
    #[test]
    fn what_decides_is_written_plainly() {
        for (method, path) in [
            ("POST", "/message%3Asend"),
            ("POST", "/message%3asend"),
            ("POST", "/v1/message%3Astream"),
            ("POST", "/acme/message%3Asend"),
            ("POST", "/tasks/t%3Acancel"),
            ("GET", "/tasks/t%3Asubscribe"),
            ("GET", "/v1/tasks/t%3asubscribe"),
            ("GET", "/acme/tasks/a:b%3Asubscribe"),
            ("GET", "/tasks/t:sub%73cribe"),
            ("GET", "/tasks/t%3Acancel/pushNotificationConfigs"),
            ("GET", "/v%31/tasks"),
            ("GET", "/%74asks/t"),
            ("GET", "/message%3Asend/tasks"),
            ("GET", "/tasks/t%253Asubscribe"),
            ("GET", "/tasks/t:SUBSCRIBE"),
            ("POST", "/tasks/t:Cancel"),
            ("GET", "/tasks/t%3ASubScribe"),
            ("GET", "/tasks/t:subscribe%0A"),
            ("GET", "/tasks/t:subscribe%20"),
            ("GET", "/tasks/t:subscribe%E2%80%8B"),
            ("GET", "/tasks/t:subscribe%C2%A0"),
            ("GET", "/tasks/t:sub%C2%ADscribe"),
            ("GET", "/tasks/t:sub%C5%BFcribe"),
            ("GET", "/tasks/t%EF%BC%9Asubscribe"),
            ("GET", "/tasks/t%C0%BAsubscribe"),
            ("GET", "/tasks/t%FF"),
            ("GET", "/tasks/t%0A"),
            ("GET", "/tasks/%20t"),
            ("GET", "/tasks/t:subscribe:subscribe"),
            ("GET", "/tasks/t:cancel/pushNotificationConfigs"),
            ("GET", "/tasks/t/pushNotificationConfigs/c:Cancel"),
            ("GET", "/tasks/tasks"),
            ("GET", "/tasks/Tasks"),
            ("GET", "/tasks/tasks/pushNotificationConfigs"),
            ("GET", "/tasks/extendedagentcard"),
            ("GET", "/TASKS/tasks"),
            ("GET", "/V1/tasks"),
            ("GET", "/Message:send/tasks"),
            ("GET", "/acme/TASKS/t"),
        ] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
        for id in
            ["T-1", "a%3Ab", "a%20b", "50%25", "%C3%A9t%C3%A9", "a:b:c", "SUBSCRIBE", "subscribe", "a:subscribed", "arn%3Aaws%3Ax", "v1"]
        {
            assert_eq!(route("GET", &format!("/tasks/{id}")), Some((Operation::GetTask, Version::V1_0)), "{id}");
        }
    }
}
