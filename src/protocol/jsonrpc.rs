//! The JSON-RPC 2.0 envelope of a request, read whole and strictly: what two readers could understand in two
//! ways is refused (batches, repeated or re-cased members, a second document).

use crate::wire::json::UniqueMap;
use serde_json::value::RawValue;
use thiserror::Error;

/// What Attaché needs to know of a request; everything else in it is the agent's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The request's id as JSON text, to be repeated unchanged: a string, a number, or `null` if there is none.
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
    #[error("the body is not one JSON document")]
    NotJson,
    /// JSON, but no single request: -32600.
    #[error("{reason}")]
    NotARequest {
        /// What is wrong, in words for the log and the caller.
        reason: &'static str,
        /// The id, if it could be read.
        id: Id,
    },
}

impl EnvelopeError {
    /// The id to answer with.
    #[must_use]
    pub fn id(&self) -> Id {
        match self {
            Self::NotJson => Id::default(),
            Self::NotARequest { id, .. } => id.clone(),
        }
    }
}

/// Reads the envelope of `body`.
///
/// # Errors
/// [`EnvelopeError::NotJson`] if `body` is not one UTF-8 JSON document; otherwise
/// [`EnvelopeError::NotARequest`] naming the first thing that is wrong.
pub fn parse(body: &[u8]) -> Result<Envelope, EnvelopeError> {
    let refuse = |reason, id: &Id| Err(EnvelopeError::NotARequest { reason, id: id.clone() });
    let none = Id::default();
    let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotJson)?;
    let members = match serde_json::from_str::<UniqueMap<&RawValue>>(text) {
        Ok(UniqueMap(members)) => members,
        Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => return Err(EnvelopeError::NotJson),
        Err(_) if text.trim_start().starts_with('[') => return refuse("batches are not accepted: send one request", &none),
        Err(_) if text.trim_start().starts_with('{') => return refuse("a member name is repeated", &none),
        Err(_) => return refuse("a request is a JSON object", &none),
    };
    let id = match members.get("id").map(|id| id.get()) {
        None => none.clone(),
        Some(id) if id.len() > MAX_ID_BYTES => return refuse("the id is too long", &none),
        Some(id) if is_id(id) => Id(id.to_owned()),
        Some(_) => return refuse("the id is a string, a number without fraction, or null", &none),
    };
    for name in members.keys() {
        for known in ["jsonrpc", "method", "id", "params"] {
            if name != known && name.eq_ignore_ascii_case(known) {
                return refuse("a member name differs from jsonrpc, method, id or params in case only", &id);
            }
        }
    }
    if members.get("jsonrpc").map(|value| value.get()) != Some("\"2.0\"") {
        return refuse("jsonrpc is not \"2.0\"", &id);
    }
    if members.get("params").is_some_and(|params| !params.get().starts_with(['{', '['])) {
        return refuse("params is an object", &id);
    }
    let method = members.get("method").map(|method| serde_json::from_str::<String>(method.get()));
    match method {
        Some(Ok(method)) => Ok(Envelope { id, method }),
        Some(Err(_)) => refuse("method is a string", &id),
        None => refuse("method is missing", &id),
    }
}

/// String, integer or null (JSON-RPC 2.0 section 4; fractions are refused by the A2A SDKs too).
fn is_id(text: &str) -> bool {
    text == "null" || text.starts_with('"') || text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{EnvelopeError, parse};

    fn refused(body: &str) -> (String, String) {
        let error = parse(body.as_bytes()).unwrap_err();
        (error.to_string(), error.id().as_json().to_owned())
    }

    #[test]
    fn a_request_gives_its_method_and_its_id_unchanged() {
        for (id, body) in [
            ("\"a\\u0062\"", r#"{"jsonrpc":"2.0","id":"a\u0062","method":"message/send","params":{"method":"x"}}"#),
            ("12345678901234567890", r#" {"id":12345678901234567890,"method":"message\/send","jsonrpc":"2.0"} "#),
            ("null", r#"{"jsonrpc":"2.0","method":"message/send"}"#),
        ] {
            let envelope = parse(body.as_bytes()).unwrap();
            assert_eq!((envelope.id.as_json(), envelope.method.as_str()), (id, "message/send"));
        }
    }

    #[test]
    fn what_is_not_one_json_document_is_not_json() {
        for body in [&b""[..], b"hello", b"{\"a\":\"\xff\"}", b"{}{}", b"\xef\xbb\xbf{}", b"{\"id\":1,}"] {
            assert_eq!(parse(body), Err(EnvelopeError::NotJson), "{body:?}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_no_request() {
        for body in [
            r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","method":"CancelTask"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","\u006dethod":"CancelTask"}"#,
            r#""text""#,
            r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"GetTask"}"#,
        ] {
            assert_eq!(refused(body).1, "null", "{body}");
        }
        for body in [
            r#"{"jsonrpc":"2.0","id":7,"Method":"GetTask","method":"CancelTask"}"#,
            r#"{"jsonrpc":"1.0","id":7,"method":"GetTask"}"#,
            r#"{"id":7,"method":"GetTask"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":["GetTask"]}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":"x"}"#,
        ] {
            assert_eq!(refused(body).1, "7", "{body}");
        }
    }

    #[test]
    fn a_long_id_is_not_echoed() {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"GetTask"}}"#, "x".repeat(300));
        assert_eq!(refused(&body).1, "null");
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GetTask\",\"params\":{nested}}}");
        assert_eq!(parse(body.as_bytes()).map(|envelope| envelope.method), Ok("GetTask".to_owned()));
    }
}
