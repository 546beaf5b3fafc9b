//! The closed list of refusals as a caller sees them, written down once more and independently of the filter.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::canary;
use crate::http::Reply;

/// What one reason must look like on the wire.
#[derive(Debug)]
pub struct Refusal {
    pub reason: &'static str,
    pub http: u16,
    pub rpc: i64,
    pub status: &'static str,
}

impl Refusal {
    /// The reason that A2A itself has for this (1.0 section 5.4), if it has one.
    const fn of_a2a(&self) -> Option<&'static str> {
        match self.rpc {
            -32001 => Some("TASK_NOT_FOUND"),
            -32003 => Some("PUSH_NOTIFICATION_NOT_SUPPORTED"),
            -32004 => Some("UNSUPPORTED_OPERATION"),
            -32005 => Some("CONTENT_TYPE_NOT_SUPPORTED"),
            -32009 => Some("VERSION_NOT_SUPPORTED"),
            -32602 => Some("INVALID_PARAMS"),
            -32600 => Some("INVALID_REQUEST"),
            -32601 if self.http == 404 => Some("METHOD_NOT_FOUND"),
            _ => None,
        }
    }
}

const fn row(reason: &'static str, http: u16, rpc: i64, status: &'static str) -> Refusal {
    Refusal { reason, http, rpc, status }
}

/// Every reason there is.
pub const ALL: &[Refusal] = &[
    row("credentials_missing", 401, -32050, "UNAUTHENTICATED"),
    row("credentials_repeated", 401, -32050, "UNAUTHENTICATED"),
    row("token_malformed", 401, -32050, "UNAUTHENTICATED"),
    row("token_too_large", 401, -32050, "UNAUTHENTICATED"),
    row("token_type_refused", 401, -32050, "UNAUTHENTICATED"),
    row("token_algorithm_refused", 401, -32050, "UNAUTHENTICATED"),
    row("token_issuer_unknown", 401, -32050, "UNAUTHENTICATED"),
    row("token_key_unknown", 401, -32050, "UNAUTHENTICATED"),
    row("token_signature_invalid", 401, -32050, "UNAUTHENTICATED"),
    row("token_expired", 401, -32050, "UNAUTHENTICATED"),
    row("token_not_yet_valid", 401, -32050, "UNAUTHENTICATED"),
    row("token_audience_mismatch", 401, -32050, "UNAUTHENTICATED"),
    row("token_lifetime_too_long", 401, -32050, "UNAUTHENTICATED"),
    row("token_actor_refused", 401, -32050, "UNAUTHENTICATED"),
    row("token_claim_refused", 401, -32050, "UNAUTHENTICATED"),
    row("token_inactive", 401, -32050, "UNAUTHENTICATED"),
    row("token_not_bound", 401, -32050, "UNAUTHENTICATED"),
    row("api_key_unknown", 401, -32050, "UNAUTHENTICATED"),
    row("password_wrong", 401, -32050, "UNAUTHENTICATED"),
    row("certificate_refused", 401, -32050, "UNAUTHENTICATED"),
    row("insufficient_scope", 403, -32051, "PERMISSION_DENIED"),
    row("access_denied", 403, -32051, "PERMISSION_DENIED"),
    row("version_malformed", 400, -32009, "FAILED_PRECONDITION"),
    row("version_conflict", 400, -32009, "FAILED_PRECONDITION"),
    row("version_not_supported", 400, -32009, "FAILED_PRECONDITION"),
    row("version_mismatch", 400, -32009, "FAILED_PRECONDITION"),
    row("operation_unknown", 404, -32601, "NOT_FOUND"),
    row("method_refused", 405, -32601, "UNIMPLEMENTED"),
    row("body_malformed", 400, -32700, "INVALID_ARGUMENT"),
    row("request_malformed", 400, -32600, "INVALID_ARGUMENT"),
    row("params_malformed", 400, -32602, "INVALID_ARGUMENT"),
    row("body_too_large", 413, -32052, "RESOURCE_EXHAUSTED"),
    row("path_too_long", 414, -32052, "RESOURCE_EXHAUSTED"),
    row("encoding_refused", 415, -32005, "INVALID_ARGUMENT"),
    row("media_type_refused", 415, -32005, "INVALID_ARGUMENT"),
    row("streaming_not_offered", 400, -32004, "FAILED_PRECONDITION"),
    row("content_refused", 400, -32005, "INVALID_ARGUMENT"),
    row("limit_exceeded", 400, -32602, "INVALID_ARGUMENT"),
    row("push_not_offered", 400, -32003, "FAILED_PRECONDITION"),
    row("push_credential_taken", 400, -32602, "INVALID_ARGUMENT"),
    row("credential_in_message", 400, -32602, "INVALID_ARGUMENT"),
    row("push_target_refused", 400, -32602, "INVALID_ARGUMENT"),
    row("notification_malformed", 400, -32054, "INVALID_ARGUMENT"),
    row("push_token_refused", 401, -32050, "UNAUTHENTICATED"),
    row("token_replayed", 401, -32050, "UNAUTHENTICATED"),
    row("notification_task_refused", 403, -32051, "PERMISSION_DENIED"),
    row("task_not_found", 404, -32001, "NOT_FOUND"),
    row("tenant_refused", 400, -32602, "INVALID_ARGUMENT"),
    row("context_missing", 400, -32602, "INVALID_ARGUMENT"),
    row("page_token_refused", 400, -32602, "INVALID_ARGUMENT"),
    row("unmatched", 404, 0, "NOT_FOUND"),
    row("card_unavailable", 502, -32006, "INTERNAL"),
    row("answer_unusable", 502, -32006, "INTERNAL"),
    row("keys_unavailable", 503, -32053, "UNAVAILABLE"),
    row("introspection_unavailable", 503, -32053, "UNAVAILABLE"),
    row("credential_unavailable", 503, -32053, "UNAVAILABLE"),
    row("overloaded", 503, -32053, "UNAVAILABLE"),
    row("credential_refused", 502, -32053, "UNAVAILABLE"),
    row("subject_refused", 401, -32050, "UNAUTHENTICATED"),
    row("user_required", 403, -32051, "PERMISSION_DENIED"),
    row("consent_required", 401, -32050, "UNAUTHENTICATED"),
    row("connection_mismatch", 500, -32603, "INTERNAL"),
    row("headers_not_held", 500, -32603, "INTERNAL"),
];

/// The row of a reason.
pub fn of(reason: &str) -> Result<&'static Refusal> {
    ALL.iter().find(|row| row.reason == reason).with_context(|| format!("no such reason: {reason}"))
}

/// The binding that a refusal must speak.
#[derive(Clone, Debug)]
pub enum Form {
    /// A JSON-RPC error with this id.
    Rpc(Value),
    /// A google.rpc.Status body.
    Status,
}

fn seen() -> MutexGuard<'static, BTreeSet<&'static str>> {
    static SEEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reasons that no call of [`check`] has found in this program yet.
pub fn unseen() -> Vec<&'static str> {
    let seen = seen();
    ALL.iter().map(|row| row.reason).filter(|reason| !seen.contains(reason)).collect()
}

/// Checks a reply against the list: status, body form, id, codes, ErrorInfo, and the headers that let a client repair itself.
pub fn check(reply: &Reply, reason: &str, form: &Form) -> Result<()> {
    let want = of(reason)?;
    let seen = || format!("for {reason} came {} {:?} {}", reply.status, reply.headers, reply.text());
    ensure!(reply.reason().as_deref() == Some(reason), "reason: {}", seen());
    // Over JSON-RPC a fault of the request, by JSON-RPC's or A2A's own codes, is no failure of HTTP.
    let is_own_code = matches!(want.rpc, -32700 | -32602..=-32600 | -32009..=-32001);
    let status = if matches!(form, Form::Rpc(_)) && is_own_code && matches!(want.http, 400 | 404 | 415) { 200 } else { want.http };
    ensure!(reply.status == status, "status: {}", seen());
    ensure!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "content-type: {}", seen());
    let body = reply.json();
    match form {
        Form::Rpc(id) => {
            ensure!(body["jsonrpc"] == "2.0" && body.get("result").is_none(), "JSON-RPC: {}", seen());
            ensure!(body.get("id") == Some(id), "id should be {id}: {}", seen());
            ensure!(body["error"]["code"] == want.rpc, "code: {}", seen());
            ensure!(body["error"]["data"].as_array().is_some_and(|list| list.len() == 1), "data: {}", seen());
        }
        Form::Status => {
            ensure!(body.get("jsonrpc").is_none(), "Status body: {}", seen());
            ensure!(body["error"]["code"] == want.http, "code: {}", seen());
            ensure!(body["error"]["status"] == want.status, "status: {}", seen());
            ensure!(body["error"]["details"].as_array().is_some_and(|list| list.len() == 1), "details: {}", seen());
        }
    }
    ensure!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "message: {}", seen());
    let info = reply.error_info().unwrap_or_default();
    ensure!(info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo", "@type: {}", seen());
    let (name, domain) = match want.of_a2a() {
        Some(name) => (name.to_owned(), "a2a-protocol.org"),
        None => (reason.to_uppercase(), "attache"),
    };
    ensure!(info["reason"] == json!(name) && info["domain"] == json!(domain), "ErrorInfo: {}", seen());
    let challenge = reply.header("www-authenticate");
    match want.http {
        401 => {
            let known = |value: &str| ["Bearer ", "Basic ", "ApiKey "].iter().any(|scheme| value.starts_with(scheme));
            ensure!(challenge.is_some_and(known), "www-authenticate: {}", seen());
        }
        403 => {
            let value = challenge.unwrap_or_default();
            ensure!(value.starts_with("Bearer "), "www-authenticate: {}", seen());
            ensure!(value.contains("error=\"insufficient_scope\""), "www-authenticate: {}", seen());
            // Only a scope can be asked for; no other lack is one that a client can repair.
            let names_scopes = value.contains(", scope=\"");
            ensure!(names_scopes == (reason == "insufficient_scope"), "www-authenticate: {}", seen());
        }
        503 => ensure!(reply.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "retry-after: {}", seen()),
        _ => ensure!(challenge.is_none(), "www-authenticate: {}", seen()),
    }
    let leak = canary::find(&format!("{:?} {}", reply.headers, reply.text()));
    ensure!(leak.is_none(), "{leak:?} is secret: {}", seen());
    self::seen().insert(want.reason);
    Ok(())
}
