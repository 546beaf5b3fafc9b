//! The public keys of what this side signs (RFC 7517 section 5), where receivers fetch them. Everybody may read them, and no credential
//! is looked at.

use crate::flow::event::Reply;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Runtime;

/// The answer to a request for the keys.
#[must_use]
pub fn answer(head: &Head<'_>, runtime: &Runtime) -> Option<Reply> {
    let own = runtime.config().published_keys.as_ref()?;
    let is_meant = head.path == own.at.path && matches!(head.method, "GET" | "HEAD");
    let (host, authority) = (head.authority.host(), head.authority.as_str());
    if !is_meant || !own.at.hosts.iter().any(|pattern| pattern.covers(host) || pattern.covers(authority)) {
        return None;
    }
    Some(Reply {
        status: 200,
        grpc_status: None,
        headers: vec![("content-type", "application/jwk-set+json".to_owned()), ("cache-control", "public, max-age=300".to_owned())],
        body: own.document(),
    })
}
