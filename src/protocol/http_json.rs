//! The HTTP+JSON routes of A2A 0.3 and 1.0 (1.0 section 11.3, 0.3 section 3.5.6), below the interface URL.

use crate::protocol::{Operation, Version};

/// The operation that `method` on `path` asks for, and the version whose route it is. `path` is what follows
/// the agent's prefix and starts with `/`. `None` for routes of neither version.
///
/// `/v1/…` is always 0.3: a 1.0 tenant cannot be called `v1` (the two would be one path).
#[must_use]
pub fn route(method: &str, path: &str) -> Option<(Operation, Version)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    match segments.as_slice() {
        ["v1", rest @ ..] => Some((v0_3(method, rest)?, Version::V0_3)),
        [only] => Some((v1_0(method, &[only])?, Version::V1_0)),
        [first, rest @ ..] => {
            let plain = v1_0(method, segments.as_slice());
            Some((plain.or_else(|| tenant(first).then(|| v1_0(method, rest))?)?, Version::V1_0))
        }
        [] => None,
    }
}

/// Whether a first segment may be a tenant: anything that is not itself the head of a route.
fn tenant(segment: &str) -> bool {
    !matches!(segment, "tasks" | "extendedAgentCard" | ".well-known") && !segment.starts_with("message:")
}

fn v0_3(method: &str, segments: &[&str]) -> Option<Operation> {
    match (method, segments) {
        ("GET", ["card"]) => Some(Operation::GetExtendedAgentCard),
        ("GET", ["tasks"]) => None,
        ("GET", ["extendedAgentCard"]) => None,
        _ => shared(method, segments),
    }
}

fn v1_0(method: &str, segments: &[&str]) -> Option<Operation> {
    shared(method, segments)
}

/// The routes that both versions spell alike once the version's own prefix is off.
fn shared(method: &str, segments: &[&str]) -> Option<Operation> {
    match (method, segments) {
        ("POST", ["message:send"]) => Some(Operation::SendMessage),
        ("POST", ["message:stream"]) => Some(Operation::SendStreamingMessage),
        ("GET", ["tasks"]) => Some(Operation::ListTasks),
        ("GET", ["extendedAgentCard"]) => Some(Operation::GetExtendedAgentCard),
        // The verb stands behind the last colon of an id, and an id may hold colons itself.
        (_, ["tasks", last]) => match (method, last.rsplit_once(':')) {
            ("POST", Some((id, "cancel"))) if !id.is_empty() => Some(Operation::CancelTask),
            ("POST" | "GET", Some((id, "subscribe"))) if !id.is_empty() => Some(Operation::SubscribeToTask),
            ("GET", Some((_, "cancel" | "subscribe"))) => None,
            ("GET", _) => Some(Operation::GetTask),
            _ => None,
        },
        ("POST", ["tasks", _, "pushNotificationConfigs"]) => Some(Operation::CreateTaskPushNotificationConfig),
        ("GET", ["tasks", _, "pushNotificationConfigs"]) => Some(Operation::ListTaskPushNotificationConfigs),
        ("GET", ["tasks", _, "pushNotificationConfigs", _]) => Some(Operation::GetTaskPushNotificationConfig),
        ("DELETE", ["tasks", _, "pushNotificationConfigs", _]) => Some(Operation::DeleteTaskPushNotificationConfig),
        _ => None,
    }
}

/// Whether `path` below the agent's prefix is a well-known card path (1.0 section 8.2; `agent.json` before
/// 0.3).
#[must_use]
pub fn is_card(path: &str) -> bool {
    matches!(path, "/.well-known/agent-card.json" | "/.well-known/agent.json")
}

#[cfg(test)]
mod tests {
    use super::{Operation, Version, route};

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
            ("GET", "/extendedAgentCard", GetExtendedAgentCard, Version::V1_0),
        ] {
            assert_eq!(route(method, path), Some((operation, version)), "{method} {path}");
        }
    }

    #[test]
    fn everything_else_is_no_route() {
        for (method, path) in [
            ("GET", "/message:send"),
            ("POST", "/tasks/t"),
            ("POST", "/tasks/:cancel"),
            ("GET", "/tasks/t:cancel"),
            ("GET", "/v1/tasks"),
            ("GET", "/v1/extendedAgentCard"),
            ("GET", "/tasks/t/"),
            ("GET", "/tasks/t/other"),
            ("POST", "/v1/v1/message:send"),
            ("POST", "/tasks/message:send"),
            ("POST", "/MESSAGE:SEND"),
            ("get", "/tasks"),
            ("GET", ""),
            ("GET", "/"),
        ] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
    }
}
