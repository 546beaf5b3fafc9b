//! Which media types are taken: of requests whose body is JSON, and of answers that are read. A reader that goes by another
//! charset, or takes the body for nothing at all, does another thing than what was judged.

use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::protocol::{Binding, Version};
use crate::wire::header::Headers;
use crate::wire::media_type::{MediaType, MediaTypeError};

/// What JSON-RPC requests are (A2A 0.3 section 3.2.1, 1.0 section 9.1), and those of HTTP+JSON in both versions.
const JSON: &str = "application/json";
/// What HTTP+JSON requests of 1.0 are (1.0 section 11.1). The JavaScript SDK's clients send it, the Python SDK's send
/// `application/json`, and the servers of both take both. No client of 0.3 sends it, and not every server of 0.3 reads it.
const A2A_JSON: &str = "application/a2a+json";

/// Headers that servers of the CGI family may read for those that say how a body is to be read.
const LOOKALIKES: [&str; 4] = ["content_type", "content_encoding", "content_length", "transfer_encoding"];

/// Checks the media type of a request with a body. `true`: it names none, which only an empty body needs not; whether the
/// body is empty is not known yet.
///
/// # Errors
/// If the body is not JSON in UTF-8 for every reader.
pub(in crate::flow) fn untyped(head: &Head<'_>, binding: Binding, version: Version) -> Result<bool, Denial> {
    if LOOKALIKES.iter().any(|name| head.headers.has(name)) {
        return Err(
            Denial::new(Reason::RequestMalformed).advise("A header about the body has an underscore in its name: send it with a hyphen.")
        );
    }
    let is_a2a = binding == Binding::HttpJson && version == Version::V1_0;
    let send = if is_a2a { "send application/a2a+json or application/json" } else { "send content-type application/json" };
    let refused = |what: &str| Denial::new(Reason::MediaTypeRefused).advise(format!("{what}: {send}, in UTF-8."));
    match MediaType::of(head.headers) {
        Ok(None) if binding == Binding::Jsonrpc || head.content_length()?.is_some_and(|length| length > 0) => {
            Err(refused("The body has no content-type"))
        }
        Ok(None) => Ok(true),
        Ok(Some(found)) if !(found.is(JSON) || is_a2a && found.is(A2A_JSON)) => Err(refused("This content-type is not accepted")),
        Ok(Some(found)) if !found.is_utf8() => Err(refused("This charset is not accepted")),
        Ok(Some(found)) if found.has_others => Err(refused("This content-type has another parameter than charset")),
        Ok(Some(_)) => Ok(false),
        Err(MediaTypeError::Repeated) => Err(refused("The request has several content-type lines")),
        Err(MediaTypeError::List) => Err(refused("The content-type is a list")),
        Err(MediaTypeError::RepeatedCharset) => Err(refused("The content-type names more than one charset")),
        Err(MediaTypeError::Malformed) => Err(refused("The content-type cannot be read")),
    }
}

/// The refusal of a body that has come, although no media type did.
pub(in crate::flow) fn missing() -> Denial {
    Denial::new(Reason::MediaTypeRefused)
}

/// What is wrong with the media type of an answer that is to be read as JSON. Whether it is JSON's is no matter: many
/// agents say nothing, or something else.
pub(in crate::flow) fn unreadable(headers: &Headers) -> Option<&'static str> {
    match MediaType::of(headers) {
        Ok(None) => None,
        Ok(Some(found)) => (!found.is_utf8()).then_some("its charset is not utf-8"),
        Err(MediaTypeError::Repeated) => Some("it has several content-type lines"),
        Err(MediaTypeError::List) => Some("its content-type is a list"),
        Err(MediaTypeError::RepeatedCharset) => Some("its content-type names more than one charset"),
        Err(MediaTypeError::Malformed) => Some("its content-type cannot be read"),
    }
}
