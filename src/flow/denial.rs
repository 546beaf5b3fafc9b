//! Refusals: the closed list of reasons, and how each is said in the caller's binding. The caller gets the
//! reason and what to do about it; what was compared with what stays in the log.

use super::event::Reply;
use crate::identity::bearer::BearerError;
use crate::identity::verify::VerifyError;
use crate::protocol::Binding;
use crate::protocol::envelope::Id;
use crate::protocol::error::A2aError;
use crate::protocol::grpc::{self, ErrorInfo};
use crate::protocol::version::VersionError;
use serde_json::{Map, Value, json};

/// Why a request was refused. The list is closed and documented in `docs/refusals.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the codes say it, and docs/refusals.md explains each")]
pub enum Reason {
    CredentialsMissing,
    CredentialsRepeated,
    TokenMalformed,
    TokenTooLarge,
    TokenTypeRefused,
    TokenAlgorithmRefused,
    TokenIssuerUnknown,
    TokenKeyUnknown,
    TokenSignatureInvalid,
    TokenExpired,
    TokenNotYetValid,
    TokenAudienceMismatch,
    TokenLifetimeTooLong,
    InsufficientScope,
    AccessDenied,
    VersionMalformed,
    VersionConflict,
    VersionNotSupported,
    VersionMismatch,
    OperationUnknown,
    BodyMalformed,
    RequestMalformed,
    BodyTooLarge,
    EncodingRefused,
    StreamingNotOffered,
    ContentRefused,
    LimitExceeded,
    PushNotOffered,
    PushTargetRefused,
    Unmatched,
    CardUnavailable,
    KeysUnavailable,
    CredentialUnavailable,
    HeadersNotHeld,
}

/// The domain of A2A's own reasons.
const A2A: &str = "a2a-protocol.org";

/// How a class of reasons is put on the wire.
struct Class {
    http: u16,
    jsonrpc: i32,
    /// `google.rpc.Code`: by name in JSON, by number in gRPC.
    status: Code,
    /// `error` of the challenge (RFC 6750 section 3.1), for classes that have one.
    challenge: Option<&'static str>,
}

/// The codes of `google.rpc.Code` that refusals use.
#[derive(Clone, Copy)]
enum Code {
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Internal,
    Unavailable,
    Unauthenticated,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            // What a server does not have is UNIMPLEMENTED in gRPC; NOT_FOUND is for tasks.
            Self::NotFound => 12,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 34] = [
        Self::CredentialsMissing,
        Self::CredentialsRepeated,
        Self::TokenMalformed,
        Self::TokenTooLarge,
        Self::TokenTypeRefused,
        Self::TokenAlgorithmRefused,
        Self::TokenIssuerUnknown,
        Self::TokenKeyUnknown,
        Self::TokenSignatureInvalid,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenAudienceMismatch,
        Self::TokenLifetimeTooLong,
        Self::InsufficientScope,
        Self::AccessDenied,
        Self::VersionMalformed,
        Self::VersionConflict,
        Self::VersionNotSupported,
        Self::VersionMismatch,
        Self::OperationUnknown,
        Self::BodyMalformed,
        Self::RequestMalformed,
        Self::BodyTooLarge,
        Self::EncodingRefused,
        Self::StreamingNotOffered,
        Self::ContentRefused,
        Self::LimitExceeded,
        Self::PushNotOffered,
        Self::PushTargetRefused,
        Self::Unmatched,
        Self::CardUnavailable,
        Self::KeysUnavailable,
        Self::CredentialUnavailable,
        Self::HeadersNotHeld,
    ];

    /// The code, as it stands in answers, logs and filter state.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials_missing",
            Self::CredentialsRepeated => "credentials_repeated",
            Self::TokenMalformed => "token_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenTypeRefused => "token_type_refused",
            Self::TokenAlgorithmRefused => "token_algorithm_refused",
            Self::TokenIssuerUnknown => "token_issuer_unknown",
            Self::TokenKeyUnknown => "token_key_unknown",
            Self::TokenSignatureInvalid => "token_signature_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenAudienceMismatch => "token_audience_mismatch",
            Self::TokenLifetimeTooLong => "token_lifetime_too_long",
            Self::InsufficientScope => "insufficient_scope",
            Self::AccessDenied => "access_denied",
            Self::VersionMalformed => "version_malformed",
            Self::VersionConflict => "version_conflict",
            Self::VersionNotSupported => "version_not_supported",
            Self::VersionMismatch => "version_mismatch",
            Self::OperationUnknown => "operation_unknown",
            Self::BodyMalformed => "body_malformed",
            Self::RequestMalformed => "request_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::EncodingRefused => "encoding_refused",
            Self::StreamingNotOffered => "streaming_not_offered",
            Self::ContentRefused => "content_refused",
            Self::LimitExceeded => "limit_exceeded",
            Self::PushNotOffered => "push_not_offered",
            Self::PushTargetRefused => "push_target_refused",
            Self::Unmatched => "unmatched",
            Self::CardUnavailable => "card_unavailable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::CredentialUnavailable => "credential_unavailable",
            Self::HeadersNotHeld => "headers_not_held",
        }
    }

    /// The HTTP status of the refusal.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.class().http
    }

    const fn class(self) -> Class {
        const fn class(http: u16, jsonrpc: i32, status: Code) -> Class {
            Class { http, jsonrpc, status, challenge: None }
        }
        const fn challenge(http: u16, jsonrpc: i32, status: Code, error: &'static str) -> Class {
            Class { http, jsonrpc, status, challenge: Some(error) }
        }
        match self {
            // RFC 6750 section 3.1: no error code if the request had no credential at all.
            Self::CredentialsMissing => challenge(401, -32050, Code::Unauthenticated, ""),
            Self::CredentialsRepeated => challenge(401, -32050, Code::Unauthenticated, "invalid_request"),
            Self::TokenMalformed
            | Self::TokenTooLarge
            | Self::TokenTypeRefused
            | Self::TokenAlgorithmRefused
            | Self::TokenIssuerUnknown
            | Self::TokenKeyUnknown
            | Self::TokenSignatureInvalid
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenAudienceMismatch
            | Self::TokenLifetimeTooLong => challenge(401, -32050, Code::Unauthenticated, "invalid_token"),
            // RFC 6750 section 3.1 has this one code for "requires higher privileges".
            Self::InsufficientScope | Self::AccessDenied => challenge(403, -32051, Code::PermissionDenied, "insufficient_scope"),
            Self::VersionMalformed | Self::VersionConflict | Self::VersionNotSupported | Self::VersionMismatch => {
                class(400, -32009, Code::FailedPrecondition)
            }
            Self::OperationUnknown => class(404, -32601, Code::NotFound),
            Self::BodyMalformed => class(400, -32700, Code::InvalidArgument),
            Self::RequestMalformed => class(400, -32600, Code::InvalidArgument),
            Self::BodyTooLarge => class(413, -32052, Code::ResourceExhausted),
            Self::EncodingRefused => class(415, -32005, Code::InvalidArgument),
            Self::StreamingNotOffered => class(400, -32004, Code::FailedPrecondition),
            Self::ContentRefused => class(400, -32005, Code::InvalidArgument),
            Self::LimitExceeded | Self::PushTargetRefused => class(400, -32602, Code::InvalidArgument),
            Self::PushNotOffered => class(400, -32003, Code::FailedPrecondition),
            Self::Unmatched => class(404, -32601, Code::NotFound),
            Self::CardUnavailable => class(502, -32006, Code::Internal),
            Self::KeysUnavailable | Self::CredentialUnavailable => class(503, -32053, Code::Unavailable),
            Self::HeadersNotHeld => class(500, -32603, Code::Internal),
        }
    }

    /// What the caller is told, unless the place of refusal knows better.
    const fn advice(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "Send an access token: Authorization: Bearer <token>.",
            Self::CredentialsRepeated => "Send exactly one Authorization header with exactly one token.",
            Self::TokenMalformed => "The access token cannot be read: send a JWT in compact form, without crit or b64 in its header.",
            Self::TokenTooLarge => "The access token is too long: ask for one with fewer claims.",
            Self::TokenTypeRefused => "This type of token is not accepted: send an access token.",
            Self::TokenAlgorithmRefused => "The token's signature algorithm is not accepted: ask for a token signed with an accepted one.",
            Self::TokenIssuerUnknown => "The token's issuer is not accepted: get the token from this agent's authorization server.",
            Self::TokenKeyUnknown => "The token's signing key is not known: get a new token.",
            Self::TokenSignatureInvalid => "The token's signature is wrong: get a new token.",
            Self::TokenExpired => "The token has expired: get a new one.",
            Self::TokenNotYetValid => "The token is not valid yet: check the clocks, or wait.",
            Self::TokenAudienceMismatch => "The token was issued for another audience: ask for one for this agent.",
            Self::TokenLifetimeTooLong => "The token lives too long: ask for a short-lived one.",
            Self::InsufficientScope => "The token lacks a scope: ask for one with the scopes named in WWW-Authenticate.",
            Self::AccessDenied => "This caller may not do this here: ask the agent's operator.",
            Self::VersionMalformed => "A2A-Version is Major.Minor, such as 1.0.",
            Self::VersionConflict => "The request names two A2A versions: send one A2A-Version.",
            Self::VersionNotSupported => "This A2A version is not offered here.",
            Self::VersionMismatch => "The operation belongs to another A2A version than the one selected.",
            Self::OperationUnknown => "There is no such A2A operation here.",
            Self::BodyMalformed => "The body is not one JSON document in UTF-8.",
            Self::RequestMalformed => "The request has no single meaning.",
            Self::BodyTooLarge => "The body is too long: send a shorter one.",
            Self::EncodingRefused => "Compressed bodies are not accepted: send the body as it is.",
            Self::StreamingNotOffered => "Streaming is not offered here.",
            Self::ContentRefused => "This content is not accepted here.",
            Self::LimitExceeded => "The request asks for too much.",
            Self::PushNotOffered => "Push notifications are not offered here.",
            Self::PushTargetRefused => "Push notifications cannot be sent there.",
            Self::Unmatched => "No agent is served at this host and path.",
            Self::CardUnavailable => "The agent gave no card that can be used: tell its operator.",
            Self::KeysUnavailable => "The token cannot be verified at the moment: try again shortly.",
            Self::CredentialUnavailable => "The credential for this connection is not available: tell its operator.",
            Self::HeadersNotHeld => "The proxy in front of this agent is not configured to hold headers: tell its operator.",
        }
    }
}

impl From<BearerError> for Reason {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Missing => Self::CredentialsMissing,
            BearerError::Repeated => Self::CredentialsRepeated,
            BearerError::Malformed => Self::TokenMalformed,
            BearerError::TooLarge => Self::TokenTooLarge,
        }
    }
}

impl From<VerifyError> for Reason {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Malformed | VerifyError::Extension => Self::TokenMalformed,
            VerifyError::Issuer => Self::TokenIssuerUnknown,
            VerifyError::Type => Self::TokenTypeRefused,
            VerifyError::Algorithm => Self::TokenAlgorithmRefused,
            VerifyError::Key => Self::TokenKeyUnknown,
            VerifyError::Signature => Self::TokenSignatureInvalid,
            VerifyError::Expired => Self::TokenExpired,
            VerifyError::NotYetValid => Self::TokenNotYetValid,
            VerifyError::Audience => Self::TokenAudienceMismatch,
            VerifyError::Lifetime => Self::TokenLifetimeTooLong,
        }
    }
}

impl From<VersionError> for Reason {
    fn from(error: VersionError) -> Self {
        match error {
            VersionError::Malformed => Self::VersionMalformed,
            VersionError::Conflict => Self::VersionConflict,
            VersionError::Unsupported => Self::VersionNotSupported,
        }
    }
}

/// One refusal, before it is put into a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// What the caller is told.
    pub advice: String,
    /// Name of the agent or connection, if one was matched: the realm of challenges.
    pub realm: Option<String>,
    /// Scopes that would do, for challenges.
    pub scopes: Vec<String>,
    /// Versions that would do, for version errors, as a list with commas.
    pub versions: Option<String>,
}

impl Denial {
    /// A refusal with the reason's own advice.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self { reason, advice: reason.advice().to_owned(), realm: None, scopes: Vec::new(), versions: None }
    }

    /// The same with other advice.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// The same at the agent or connection `name`.
    #[must_use]
    pub fn at(self, name: &str) -> Self {
        Self { realm: Some(name.to_owned()), ..self }
    }

    /// The refusal as an answer in `binding` (`None`: the binding is not known, or there is none). `id` is used
    /// for JSON-RPC only.
    #[must_use]
    pub fn render(&self, binding: Option<Binding>, id: &Id) -> Reply {
        let class = self.reason.class();
        let grpc_status = (binding == Some(Binding::Grpc)).then(|| class.status.number());
        let body = match binding {
            Some(Binding::Grpc) => self.advice.clone(),
            Some(Binding::Jsonrpc) => {
                let error = json!({"code": class.jsonrpc, "message": self.advice, "data": [self.json_info()]});
                // The id is JSON text already and must come back unchanged.
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json())
            }
            Some(Binding::HttpJson) | None => json!({"error": {
                "code": class.http, "status": class.status.name(), "message": self.advice, "details": [self.json_info()]
            }})
            .to_string(),
        };
        let mut headers = match binding {
            Some(Binding::Grpc) => vec![("grpc-status-details-bin", self.grpc_details(class.status.number()))],
            _ => vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())],
        };
        if let Some(error) = class.challenge {
            headers.push(("www-authenticate", self.challenge(error)));
        }
        if class.http == 503 {
            headers.push(("retry-after", "1".to_owned()));
        }
        Reply { status: class.http, grpc_status, headers, body }
    }

    /// `google.rpc.ErrorInfo`: reason and domain, A2A's own where A2A has one (1.0 section 5.4), and metadata.
    fn error_info(&self) -> (String, &'static str, Vec<(&'static str, String)>) {
        let (reason, domain) = match self.reason {
            Reason::VersionMalformed | Reason::VersionConflict | Reason::VersionNotSupported | Reason::VersionMismatch => {
                ("VERSION_NOT_SUPPORTED".to_owned(), A2A)
            }
            Reason::StreamingNotOffered => (A2aError::UnsupportedOperation.reason().to_owned(), A2A),
            Reason::EncodingRefused | Reason::ContentRefused => (A2aError::ContentTypeNotSupported.reason().to_owned(), A2A),
            Reason::PushNotOffered => (A2aError::PushNotificationNotSupported.reason().to_owned(), A2A),
            Reason::LimitExceeded | Reason::PushTargetRefused => (A2aError::InvalidParams.reason().to_owned(), A2A),
            other => (other.code().to_ascii_uppercase(), "attache"),
        };
        let mut metadata = vec![("reason", self.reason.code().to_owned())];
        if let Some(versions) = &self.versions {
            metadata.push(("supportedVersions", versions.clone()));
        }
        if !self.scopes.is_empty() {
            metadata.push(("scope", self.scopes.join(" ")));
        }
        (reason, domain, metadata)
    }

    /// The same as JSON.
    fn json_info(&self) -> Value {
        let (reason, domain, metadata) = self.error_info();
        let metadata: Map<String, Value> = metadata.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata})
    }

    /// The same as `grpc-status-details-bin`.
    fn grpc_details(&self, code: u8) -> String {
        let (reason, domain, metadata) = self.error_info();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        grpc::status_details(code, &self.advice, ErrorInfo { reason: &reason, domain, metadata: &metadata })
    }

    /// The `WWW-Authenticate` value (RFC 6750 section 3).
    fn challenge(&self, error: &str) -> String {
        let mut parameters = vec![("realm", self.realm.as_deref().unwrap_or("attache").to_owned())];
        if !error.is_empty() {
            parameters.push(("error", error.to_owned()));
            parameters.push(("error_description", self.advice.clone()));
        }
        if !self.scopes.is_empty() {
            parameters.push(("scope", self.scopes.join(" ")));
        }
        let quoted: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quotable(value))).collect();
        format!("Bearer {}", quoted.join(", "))
    }
}

/// `text` without what a quoted string of RFC 6750 section 3 cannot hold.
fn quotable(text: &str) -> String {
    text.chars().map(|letter| if matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\') { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Binding, Denial, Id, Reason};
    use crate::protocol::envelope;
    use serde_json::Value;

    #[test]
    fn codes_are_unique_and_every_class_has_a_body_in_both_forms() {
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let denial = Denial::new(reason).at("expense");
            for binding in [Some(Binding::Jsonrpc), Some(Binding::HttpJson), None] {
                let reply = denial.render(binding, &Id::default());
                assert_eq!(reply.grpc_status, None);
                let body: Value = serde_json::from_str(&reply.body).unwrap();
                let info = body.pointer("/error/data/0").or(body.pointer("/error/details/0")).unwrap();
                assert_eq!(info.pointer("/metadata/reason").unwrap(), reason.code());
                let challenged = reply.headers.iter().any(|(name, _)| *name == "www-authenticate");
                assert_eq!(challenged, matches!(reply.status, 401 | 403), "{}", reason.code());
            }
        }
    }

    #[test]
    fn the_id_comes_back_unchanged() {
        let id = envelope::parse(br#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"x"}"#).unwrap().id;
        let reply = Denial::new(Reason::OperationUnknown).render(Some(Binding::Jsonrpc), &id);
        assert!(reply.body.starts_with(r#"{"jsonrpc":"2.0","id":12345678901234567890,"error":{"code":-32601"#), "{}", reply.body);
    }

    #[test]
    fn challenges_tell_a_client_how_to_repair_itself() {
        let denial = Denial { scopes: vec!["agent:execute".into()], ..Denial::new(Reason::InsufficientScope).at("ex\"pense") };
        let reply = denial.render(None, &Id::default());
        let challenge = &reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
        assert!(challenge.starts_with(r#"Bearer realm="ex?pense", error="insufficient_scope", error_description=""#), "{challenge}");
        assert!(challenge.ends_with(r#", scope="agent:execute""#), "{challenge}");
    }

    #[test]
    fn every_reason_is_documented() {
        let text = include_str!("../../docs/refusals.md");
        for reason in Reason::ALL {
            assert!(text.contains(&format!("| `{}` | {} |", reason.code(), reason.http_status())), "{}", reason.code());
        }
    }
}
