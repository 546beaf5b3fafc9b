//! The tenant that a request names (A2A 1.0), in all its places: the path and the query, the parameters or the message, and what
//! they hold of another message. Readers differ in where they look, so all places that name one must name the same. Whether the
//! request may name it is not decided here.

use crate::policy::places::{CREATED, INLINE};
use crate::protocol::{Operation, http_json};
use crate::wire::protobuf;
use crate::wire::scan::{Findings, Kind, Step};
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// What the member, the parameter and the field are called.
const NAME: &str = "tenant";

/// Why a request names no tenant that all readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TenantError {
    /// Two that differ; one inside a request that names none; one where not every reader looks.
    #[error("it names two tenants, or one where not every reader looks for it")]
    Several,
    /// Something that is no text, or too long.
    #[error("the tenant is no text, or a long one")]
    NoText,
}

/// What a body says of tenants, as far as it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InBody<'a> {
    /// The request's own.
    pub own: Option<&'a str>,
    /// That of a push-notification configuration in it.
    pub inner: Option<&'a str>,
    /// There is one inside, and nothing more can come of the request's own.
    pub is_settled: bool,
}

/// The place of the request's tenant in JSON.
#[must_use]
pub fn own() -> Vec<Step> {
    vec![Step::member(&[NAME])]
}

/// The places inside of it: push-notification configurations name a tenant once more. At most one of them is there in a request
/// that an agent understands.
#[must_use]
pub fn inner() -> Vec<Vec<Step>> {
    let containers = INLINE.into_iter().chain(CREATED).filter(|container| !container.is_empty());
    containers.map(|container| container.iter().map(|name| Step::proto_json(name)).chain(own()).collect()).collect()
}

/// The same two in the message of a gRPC method of 1.0. (0.3 has none.)
#[must_use]
pub fn fields(operation: Operation) -> (protobuf::Step, Option<Vec<protobuf::Step>>) {
    let number = if operation == Operation::ListTaskPushNotificationConfigs { 4 } else { 1 };
    let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
    (protobuf::Step::One(number), sends.then(|| [3, 2, 1].map(protobuf::Step::One).to_vec()))
}

/// The tenant at one place; an empty one is none, as in protocol buffers.
///
/// # Errors
/// If there are several, or one is no text.
pub fn named(found: &Findings) -> Result<Option<&str>, TenantError> {
    let mut texts = found.values.iter().filter(|value| value.kind != Kind::Null).map(|value| match (value.kind, value.text.as_deref()) {
        (Kind::String, Some(text)) => Ok(text),
        _ => Err(TenantError::NoText),
    });
    let first = texts.next().transpose()?;
    match texts.next() {
        Some(second) => second.and(Err(TenantError::Several)),
        None => Ok(first.filter(|text| !text.is_empty())),
    }
}

/// The tenant that a query names.
///
/// # Errors
/// If it says so twice, or in a way that some readers understand and others do not: in other letters (servers that know no case),
/// or as a list (`tenant[]`).
pub fn in_query(query: Option<&str>) -> Result<Option<String>, TenantError> {
    let mut found = None;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let is_like = name.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
        match name.get(NAME.len()..) {
            Some("") if is_like => {}
            Some(rest) if is_like && rest.starts_with('[') => return Err(TenantError::Several),
            _ => continue,
        }
        if name != NAME || found.is_some() {
            return Err(TenantError::Several);
        }
        found = Some(value.into_owned());
    }
    Ok(found.filter(|name| !name.is_empty()))
}

/// The tenant that a route of HTTP+JSON names (1.0 section 11.3).
///
/// # Errors
/// If it is no text.
pub fn in_path(method: &str, path: &str) -> Result<Option<String>, TenantError> {
    let Some(name) = http_json::tenant_of(method, path) else { return Ok(None) };
    percent_decode_str(name).decode_utf8().map(|name| Some(name.into_owned())).map_err(|_| TenantError::NoText)
}

/// The tenant of a request whose head names `head`; `None` if it names none so far.
///
/// # Errors
/// If it names two.
pub fn of_request<'a>(head: Option<&'a str>, body: InBody<'a>) -> Result<Option<&'a str>, TenantError> {
    let InBody { own, inner, is_settled } = body;
    if let (Some(head), Some(own)) = (head, own)
        && head != own
    {
        return Err(TenantError::Several);
    }
    let named = head.or(own);
    match (inner, named) {
        (Some(inner), Some(named)) if inner != named => Err(TenantError::Several),
        (Some(_), None) if is_settled => Err(TenantError::Several),
        _ => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::{InBody, Operation, TenantError, fields, in_path, in_query, inner, named, of_request, own};
    use crate::wire::protobuf;
    use crate::wire::scan::{Document, Keep, Limits, Plan, Step};
    use std::rc::Rc;

    #[test]
    fn a_path_names_its_tenant_in_any_spelling_that_a_route_has() {
        for (method, path, name) in [
            ("GET", "/acme/tasks/t", Some("acme")),
            ("POST", "/%C3%BC/message:send", Some("ü")),
            ("POST", "/a%20b/message:send", Some("a b")),
            ("GET", "/agent/tasks", Some("agent")),
            ("GET", "/tasks/t", None),
            ("GET", "/v1/tasks/t", None),
            ("GET", "/tasks/t/pushNotificationConfigs/c", None),
            ("GET", "/extendedAgentCard", None),
            ("POST", "", None),
        ] {
            assert_eq!(in_path(method, path), Ok(name.map(str::to_owned)), "{path}");
        }
        assert_eq!(in_path("POST", "/%FF/message:send"), Err(TenantError::NoText));
    }

    #[test]
    fn a_query_names_one_tenant_and_in_one_way() {
        for (query, name) in [
            ("tenant=acme", Some("acme")),
            ("x=1&ten%61nt=%61c+me&y", Some("ac me")),
            ("tenant=", None),
            ("tenants=acme&a_tenant=b&tenant.x=c&tenan=d", None),
            ("tenantß=x&tenan\u{212a}=y", None),
            ("", None),
        ] {
            assert_eq!(in_query(Some(query)), Ok(name.map(str::to_owned)), "{query}");
        }
        for query in [
            "tenant=a&tenant=b",
            "tenant=a&tenant=a",
            "tenant=&tenant=a",
            "Tenant=a",
            "TENANT=",
            "tenant[]=a",
            "tenant%5B0%5D=a",
            "Tenant[x]=a",
        ] {
            assert_eq!(in_query(Some(query)), Err(TenantError::Several), "{query}");
        }
        assert_eq!(in_query(None), Ok(None));
    }

    fn found(body: &str, then: impl FnOnce(Result<Option<&str>, TenantError>)) {
        let mut plan = Plan::default();
        let asked = plan.ask(&own(), Keep::Text);
        let mut document = Document::new(Limits { text: 16, ..Limits::default() }, Rc::new(plan));
        document.feed(body.as_bytes()).unwrap();
        then(named(document.findings(asked)));
    }

    #[test]
    fn a_tenant_is_a_text() {
        for (body, name) in [
            (r#"{"tenant":"acme"}"#, Ok(Some("acme"))),
            (r#"{"\u0074enant":"\u0061cme"}"#, Ok(Some("acme"))),
            (r#"{"tenant":""}"#, Ok(None)),
            (r#"{"tenant":null}"#, Ok(None)),
            (r#"{"message":{"tenant":"acme"}}"#, Ok(None)),
            (r#"{"tenant":7}"#, Err(TenantError::NoText)),
            (r#"{"tenant":false}"#, Err(TenantError::NoText)),
            (r#"{"tenant":["acme"]}"#, Err(TenantError::NoText)),
            (r#"{"tenant":{}}"#, Err(TenantError::NoText)),
            (r#"{"tenant":"longer than is kept of a text"}"#, Err(TenantError::NoText)),
        ] {
            found(body, |read| assert_eq!(read, name, "{body}"));
        }
    }

    #[test]
    fn all_places_name_the_same_or_nothing() {
        let body = |own, inner, is_settled| InBody { own, inner, is_settled };
        for (head, body, named) in [
            (None, body(None, None, true), Ok(None)),
            (Some("a"), body(None, None, true), Ok(Some("a"))),
            (None, body(Some("a"), None, true), Ok(Some("a"))),
            (Some("a"), body(Some("a"), Some("a"), true), Ok(Some("a"))),
            (Some("a"), body(Some("b"), None, false), Err(TenantError::Several)),
            (Some("a"), body(None, Some("b"), false), Err(TenantError::Several)),
            (None, body(Some("a"), Some("b"), false), Err(TenantError::Several)),
            (Some("a"), body(None, Some("a"), true), Ok(Some("a"))),
            // The request's own may still come.
            (None, body(None, Some("a"), false), Ok(None)),
            (None, body(None, Some("a"), true), Err(TenantError::Several)),
            (Some("a"), body(Some("A"), None, true), Err(TenantError::Several)),
        ] {
            assert_eq!(of_request(head, body), named, "{head:?} {body:?}");
        }
    }

    #[test]
    fn configurations_of_every_dialect_are_places() {
        assert_eq!(inner().len(), 6);
        let configuration = [Step::member(&["configuration"]), Step::proto_json("taskPushNotificationConfig"), Step::member(&["tenant"])];
        assert!(inner().contains(&configuration.to_vec()));
        assert!(inner().contains(&vec![Step::member(&["config"]), Step::member(&["tenant"])]));
    }

    /// `lf.a2a.v1` has it first in every request but this one.
    #[test]
    fn the_field_of_each_method() {
        for operation in Operation::ALL {
            let number = if operation == Operation::ListTaskPushNotificationConfigs { 4 } else { 1 };
            let (own, inner) = fields(operation);
            assert_eq!(own, protobuf::Step::One(number), "{operation:?}");
            assert_eq!(inner.is_some(), matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage));
        }
    }
}
