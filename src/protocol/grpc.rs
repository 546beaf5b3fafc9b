//! gRPC: the full method names of A2A 0.2 to 1.0 (1.0 section 10, 0.3 section 3.5.6), and what a refusal says to
//! machines (`google/rpc/status.proto`). Messages of calls are read elsewhere.

use crate::protocol::{Operation, Version};
use crate::wire::protobuf::Writer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The service of A2A 0.2.2 to 0.3, as the first part of a path.
const SERVICE_0_3: &str = "/a2a.v1.A2AService/";
/// The service of A2A 1.0.
const SERVICE_1_0: &str = "/lf.a2a.v1.A2AService/";

/// Both, as parts that paths begin with.
pub const SERVICES: [&str; 2] = [SERVICE_0_3, SERVICE_1_0];

/// Whether `content_type` says gRPC: `application/grpc` alone or with a suffix such as `+proto`. No more lenient than
/// Envoy, which answers in gRPC's form only what it takes for gRPC itself.
#[must_use]
pub fn is_content_type(content_type: &[u8]) -> bool {
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// Whether the messages of such a call are protocol buffers. A server may have other codecs, such as `+json`, in which
/// the same bytes say something else.
#[must_use]
pub fn is_protobuf(content_type: &[u8]) -> bool {
    matches!(content_type, b"application/grpc" | b"application/grpc+proto")
}

/// Whether `path` belongs to A2A's service of either version, whatever method it names.
#[must_use]
pub fn is_service(path: &str) -> bool {
    SERVICES.iter().any(|service| path.starts_with(service))
}

/// The version whose service the path of a call is below.
#[must_use]
pub fn version(path: &str) -> Option<Version> {
    let is = |service| path.starts_with(service);
    if is(SERVICE_0_3) { Some(Version::V0_3) } else { is(SERVICE_1_0).then_some(Version::V1_0) }
}

/// The operation behind a call's path, with the version whose service it is: the package name alone tells that. Names
/// are exact and case-sensitive; `None` for methods that the service does not have, and for other services.
#[must_use]
pub fn route(path: &str) -> Option<(Operation, Version)> {
    if let Some(method) = path.strip_prefix(SERVICE_0_3) {
        return Some((v0_3(method)?, Version::V0_3));
    }
    Some((v1_0(path.strip_prefix(SERVICE_1_0)?)?, Version::V1_0))
}

fn v0_3(method: &str) -> Option<Operation> {
    Some(match method {
        "SendMessage" => Operation::SendMessage,
        "SendStreamingMessage" => Operation::SendStreamingMessage,
        "GetTask" => Operation::GetTask,
        "CancelTask" => Operation::CancelTask,
        "TaskSubscription" => Operation::SubscribeToTask,
        // The shorter names are those of 0.2.2 to 0.2.4.
        "CreateTaskPushNotificationConfig" | "CreateTaskPushNotification" => Operation::CreateTaskPushNotificationConfig,
        "GetTaskPushNotificationConfig" | "GetTaskPushNotification" => Operation::GetTaskPushNotificationConfig,
        "ListTaskPushNotificationConfig" | "ListTaskPushNotification" => Operation::ListTaskPushNotificationConfigs,
        "DeleteTaskPushNotificationConfig" => Operation::DeleteTaskPushNotificationConfig,
        // Behind authentication, unlike the well-known card: what 1.0 calls the extended one.
        "GetAgentCard" => Operation::GetExtendedAgentCard,
        _ => return None,
    })
}

fn v1_0(method: &str) -> Option<Operation> {
    Some(match method {
        "SendMessage" => Operation::SendMessage,
        "SendStreamingMessage" => Operation::SendStreamingMessage,
        "GetTask" => Operation::GetTask,
        "ListTasks" => Operation::ListTasks,
        "CancelTask" => Operation::CancelTask,
        "SubscribeToTask" => Operation::SubscribeToTask,
        "CreateTaskPushNotificationConfig" => Operation::CreateTaskPushNotificationConfig,
        "GetTaskPushNotificationConfig" => Operation::GetTaskPushNotificationConfig,
        "ListTaskPushNotificationConfigs" => Operation::ListTaskPushNotificationConfigs,
        "DeleteTaskPushNotificationConfig" => Operation::DeleteTaskPushNotificationConfig,
        "GetExtendedAgentCard" => Operation::GetExtendedAgentCard,
        _ => return None,
    })
}

/// What is wrong, for machines: `google.rpc.ErrorInfo`.
#[derive(Clone, Copy, Debug)]
pub struct ErrorInfo<'a> {
    /// The reason, in capitals.
    pub reason: &'a str,
    /// Whose reason it is.
    pub domain: &'a str,
    /// More about it, by name.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// Where somebody can do something about it: `google.rpc.Help` with one link.
#[derive(Clone, Copy, Debug)]
pub struct Help<'a> {
    /// What the link offers.
    pub description: &'a str,
    /// The link.
    pub url: &'a str,
}

/// The value of `grpc-status-details-bin`: `google.rpc.Status` with `code`, `message` and its details, as base64.
/// The message is plain here; in `grpc-message` it is percent-encoded, which Envoy does.
#[must_use]
pub fn status_details(code: u8, message: &str, info: ErrorInfo<'_>, help: Option<Help<'_>>) -> String {
    STANDARD_NO_PAD.encode(status(code, message, info, help))
}

/// `google.rpc.Status`, as protobuf.
fn status(code: u8, message: &str, info: ErrorInfo<'_>, help: Option<Help<'_>>) -> Vec<u8> {
    let mut error_info = Writer::default();
    error_info.bytes(1, info.reason.as_bytes());
    error_info.bytes(2, info.domain.as_bytes());
    for (name, value) in info.metadata {
        let mut entry = Writer::default();
        entry.bytes(1, name.as_bytes());
        entry.bytes(2, value.as_bytes());
        error_info.bytes(3, &entry.end());
    }
    let mut out = Writer::default();
    out.varint(1, code.into());
    out.bytes(2, message.as_bytes());
    out.bytes(3, &any(b"type.googleapis.com/google.rpc.ErrorInfo", &error_info.end()));
    if let Some(help) = help {
        let mut link = Writer::default();
        link.bytes(1, help.description.as_bytes());
        link.bytes(2, help.url.as_bytes());
        let mut links = Writer::default();
        links.bytes(1, &link.end());
        out.bytes(3, &any(b"type.googleapis.com/google.rpc.Help", &links.end()));
    }
    out.end()
}

/// `google.protobuf.Any`.
fn any(kind: &[u8], message: &[u8]) -> Vec<u8> {
    let mut any = Writer::default();
    any.bytes(1, kind);
    any.bytes(2, message);
    any.end()
}

#[cfg(test)]
mod tests {
    use super::{ErrorInfo, Help, Operation, STANDARD_NO_PAD, Version, is_content_type, is_protobuf, is_service, route, status_details};
    use base64::Engine;

    #[test]
    fn the_package_tells_the_version() {
        assert_eq!(route("/a2a.v1.A2AService/SendMessage"), Some((Operation::SendMessage, Version::V0_3)));
        assert_eq!(route("/lf.a2a.v1.A2AService/SendMessage"), Some((Operation::SendMessage, Version::V1_0)));
        assert_eq!(route("/a2a.v1.A2AService/TaskSubscription"), Some((Operation::SubscribeToTask, Version::V0_3)));
        assert_eq!(route("/a2a.v1.A2AService/GetAgentCard"), Some((Operation::GetExtendedAgentCard, Version::V0_3)));
    }

    #[test]
    fn names_of_0_2_mean_what_they_mean_now() {
        for (name, operation) in [
            ("CreateTaskPushNotification", Operation::CreateTaskPushNotificationConfig),
            ("GetTaskPushNotification", Operation::GetTaskPushNotificationConfig),
            ("ListTaskPushNotification", Operation::ListTaskPushNotificationConfigs),
        ] {
            assert_eq!(route(&format!("/a2a.v1.A2AService/{name}")), Some((operation, Version::V0_3)), "{name}");
            assert_eq!(route(&format!("/lf.a2a.v1.A2AService/{name}")), None, "{name}");
        }
    }

    #[test]
    fn unknown_methods_of_the_service_are_no_operation() {
        for method in [
            "",
            "Nothing",
            "sendMessage",
            "SendMessage/",
            "SendMessage/x",
            "SendMessage ",
            "SendMessage?a",
            "DeleteTaskPushNotification",
            "Send%4Dessage",
        ] {
            for service in ["/a2a.v1.A2AService/", "/lf.a2a.v1.A2AService/"] {
                let path = format!("{service}{method}");
                assert!(is_service(&path) && route(&path).is_none(), "{path}");
            }
        }
        // Each version has only its own names.
        for path in [
            "/a2a.v1.A2AService/SubscribeToTask",
            "/a2a.v1.A2AService/ListTasks",
            "/a2a.v1.A2AService/ListTask",
            "/lf.a2a.v1.A2AService/TaskSubscription",
            "/lf.a2a.v1.A2AService/ListTaskPushNotificationConfig",
            "/lf.a2a.v1.A2AService/GetAgentCard",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn other_services_are_none_of_ours() {
        for path in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/A2A.v1.A2AService/SendMessage",
            "/a2a.v1.a2aservice/SendMessage",
            "/a2a.v1.A2AService",
            "//a2a.v1.A2AService/SendMessage",
            "/x/a2a.v1.A2AService/SendMessage",
            "a2a.v1.A2AService/SendMessage",
            "",
        ] {
            assert!(!is_service(path) && route(path).is_none(), "{path}");
        }
    }

    #[test]
    fn content_types_of_grpc() {
        for (yes, protobuf) in [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc+json", false)] {
            assert!(is_content_type(yes.as_bytes()) && is_protobuf(yes.as_bytes()) == protobuf, "{yes}");
        }
        for no in ["application/grpc-web", "application/grpc; a=b", "Application/gRPC", "application/json", "", "application/gr"] {
            assert!(!is_content_type(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn details_of_a_refusal() {
        let info = ErrorInfo { reason: "R", domain: "attache", metadata: &[("reason", "r")] };
        let bytes = STANDARD_NO_PAD.decode(status_details(16, "No token.", info, None)).unwrap();
        let mut want = b"\x08\x10\x12\x09No token.\x1a\x45\x0a\x28type.googleapis.com/google.rpc.ErrorInfo".to_vec();
        want.extend_from_slice(b"\x12\x19\x0a\x01R\x12\x07attache\x1a\x0b\x0a\x06reason\x12\x01r");
        assert_eq!(bytes, want);
        let help = Help { description: "sign in", url: "https://a.example/?l=x" };
        let bytes = STANDARD_NO_PAD.decode(status_details(16, "No token.", info, Some(help))).unwrap();
        want.extend_from_slice(b"\x1a\x4a\x0a\x23type.googleapis.com/google.rpc.Help");
        want.extend_from_slice(b"\x12\x23\x0a\x21\x0a\x07sign in\x12\x16https://a.example/?l=x");
        assert_eq!(bytes, want);
    }

    #[test]
    fn long_fields_have_long_lengths() {
        let details = status_details(13, &"x".repeat(300), ErrorInfo { reason: "", domain: "", metadata: &[] }, None);
        let bytes = STANDARD_NO_PAD.decode(details).unwrap();
        assert_eq!(&bytes[..6], b"\x08\x0d\x12\xac\x02x");
    }
}
