//! Why requests are refused: the closed list of reasons, each with its class on the wire and what the caller can do about it.
//! What was compared with what stays in the log.

use crate::identity::api_key::KeyError;
use crate::identity::basic::BasicError;
use crate::identity::bearer::BearerError;
use crate::identity::verify::VerifyError;
use crate::protocol::version::VersionError;

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
    TokenActorRefused,
    TokenClaimRefused,
    TokenInactive,
    TokenNotBound,
    ApiKeyUnknown,
    PasswordWrong,
    CertificateRefused,
    InsufficientScope,
    AccessDenied,
    VersionMalformed,
    VersionConflict,
    VersionNotSupported,
    VersionMismatch,
    OperationUnknown,
    MethodRefused,
    BodyMalformed,
    RequestMalformed,
    BodyTooLarge,
    PathTooLong,
    EncodingRefused,
    MediaTypeRefused,
    StreamingNotOffered,
    ContentRefused,
    LimitExceeded,
    PushNotOffered,
    PushTargetRefused,
    TaskNotFound,
    ContextMissing,
    Unmatched,
    CardUnavailable,
    AnswerUnusable,
    KeysUnavailable,
    IntrospectionUnavailable,
    CredentialUnavailable,
    Overloaded,
    CredentialRefused,
    SubjectRefused,
    ConsentRequired,
    ConnectionMismatch,
    HeadersNotHeld,
}

/// How a class of reasons is put on the wire.
pub(in crate::flow) struct Class {
    pub http: u16,
    pub jsonrpc: i32,
    /// `google.rpc.Code`: by name in JSON, by number in gRPC.
    pub status: Code,
    /// `error` of the challenge (RFC 6750 section 3.1), for classes that have one.
    pub challenge: Option<&'static str>,
}

/// The codes of `google.rpc.Code` in use.
#[derive(Clone, Copy)]
pub(in crate::flow) enum Code {
    InvalidArgument,
    NotFound,
    TaskNotFound,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
}

impl Code {
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound | Self::TaskNotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    pub const fn number(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            // What a server does not have is UNIMPLEMENTED in gRPC; NOT_FOUND is for tasks.
            Self::NotFound | Self::Unimplemented => 12,
            Self::TaskNotFound => 5,
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
    pub const ALL: [Self; 53] = [
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
        Self::TokenActorRefused,
        Self::TokenClaimRefused,
        Self::TokenInactive,
        Self::TokenNotBound,
        Self::ApiKeyUnknown,
        Self::PasswordWrong,
        Self::CertificateRefused,
        Self::InsufficientScope,
        Self::AccessDenied,
        Self::VersionMalformed,
        Self::VersionConflict,
        Self::VersionNotSupported,
        Self::VersionMismatch,
        Self::OperationUnknown,
        Self::MethodRefused,
        Self::BodyMalformed,
        Self::RequestMalformed,
        Self::BodyTooLarge,
        Self::PathTooLong,
        Self::EncodingRefused,
        Self::MediaTypeRefused,
        Self::StreamingNotOffered,
        Self::ContentRefused,
        Self::LimitExceeded,
        Self::PushNotOffered,
        Self::PushTargetRefused,
        Self::TaskNotFound,
        Self::ContextMissing,
        Self::Unmatched,
        Self::CardUnavailable,
        Self::AnswerUnusable,
        Self::KeysUnavailable,
        Self::IntrospectionUnavailable,
        Self::CredentialUnavailable,
        Self::Overloaded,
        Self::CredentialRefused,
        Self::SubjectRefused,
        Self::ConsentRequired,
        Self::ConnectionMismatch,
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
            Self::TokenActorRefused => "token_actor_refused",
            Self::TokenClaimRefused => "token_claim_refused",
            Self::TokenInactive => "token_inactive",
            Self::TokenNotBound => "token_not_bound",
            Self::ApiKeyUnknown => "api_key_unknown",
            Self::PasswordWrong => "password_wrong",
            Self::CertificateRefused => "certificate_refused",
            Self::InsufficientScope => "insufficient_scope",
            Self::AccessDenied => "access_denied",
            Self::VersionMalformed => "version_malformed",
            Self::VersionConflict => "version_conflict",
            Self::VersionNotSupported => "version_not_supported",
            Self::VersionMismatch => "version_mismatch",
            Self::OperationUnknown => "operation_unknown",
            Self::MethodRefused => "method_refused",
            Self::BodyMalformed => "body_malformed",
            Self::RequestMalformed => "request_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::PathTooLong => "path_too_long",
            Self::EncodingRefused => "encoding_refused",
            Self::MediaTypeRefused => "media_type_refused",
            Self::StreamingNotOffered => "streaming_not_offered",
            Self::ContentRefused => "content_refused",
            Self::LimitExceeded => "limit_exceeded",
            Self::PushNotOffered => "push_not_offered",
            Self::PushTargetRefused => "push_target_refused",
            Self::TaskNotFound => "task_not_found",
            Self::ContextMissing => "context_missing",
            Self::Unmatched => "unmatched",
            Self::CardUnavailable => "card_unavailable",
            Self::AnswerUnusable => "answer_unusable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::CredentialUnavailable => "credential_unavailable",
            Self::Overloaded => "overloaded",
            Self::CredentialRefused => "credential_refused",
            Self::SubjectRefused => "subject_refused",
            Self::ConsentRequired => "consent_required",
            Self::ConnectionMismatch => "connection_mismatch",
            Self::HeadersNotHeld => "headers_not_held",
        }
    }

    /// The HTTP status of the refusal.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.class().http
    }

    pub(in crate::flow) const fn class(self) -> Class {
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
            | Self::TokenLifetimeTooLong
            | Self::TokenActorRefused
            | Self::TokenClaimRefused
            | Self::TokenInactive
            | Self::TokenNotBound
            | Self::SubjectRefused
            | Self::ConsentRequired => challenge(401, -32050, Code::Unauthenticated, "invalid_token"),
            // No token, so no word of RFC 6750 for what is wrong.
            Self::ApiKeyUnknown | Self::PasswordWrong | Self::CertificateRefused => challenge(401, -32050, Code::Unauthenticated, ""),
            // RFC 6750 section 3.1 has this one code for "requires higher privileges".
            Self::InsufficientScope | Self::AccessDenied => challenge(403, -32051, Code::PermissionDenied, "insufficient_scope"),
            Self::VersionMalformed | Self::VersionConflict | Self::VersionNotSupported | Self::VersionMismatch => {
                class(400, -32009, Code::FailedPrecondition)
            }
            Self::OperationUnknown => class(404, -32601, Code::NotFound),
            Self::MethodRefused => class(405, -32601, Code::Unimplemented),
            Self::BodyMalformed => class(400, -32700, Code::InvalidArgument),
            Self::RequestMalformed => class(400, -32600, Code::InvalidArgument),
            Self::BodyTooLarge => class(413, -32052, Code::ResourceExhausted),
            Self::PathTooLong => class(414, -32052, Code::ResourceExhausted),
            Self::EncodingRefused | Self::MediaTypeRefused => class(415, -32005, Code::InvalidArgument),
            Self::StreamingNotOffered => class(400, -32004, Code::FailedPrecondition),
            Self::ContentRefused => class(400, -32005, Code::InvalidArgument),
            Self::LimitExceeded | Self::PushTargetRefused | Self::ContextMissing => class(400, -32602, Code::InvalidArgument),
            Self::PushNotOffered => class(400, -32003, Code::FailedPrecondition),
            Self::Unmatched => class(404, -32601, Code::NotFound),
            Self::TaskNotFound => class(404, -32001, Code::TaskNotFound),
            Self::CardUnavailable | Self::AnswerUnusable => class(502, -32006, Code::Internal),
            Self::KeysUnavailable | Self::IntrospectionUnavailable | Self::CredentialUnavailable | Self::Overloaded => {
                class(503, -32053, Code::Unavailable)
            }
            Self::CredentialRefused => class(502, -32053, Code::Unavailable),
            Self::ConnectionMismatch | Self::HeadersNotHeld => class(500, -32603, Code::Internal),
        }
    }

    /// What the caller is told, unless the place of refusal knows better.
    pub(in crate::flow) const fn advice(self) -> &'static str {
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
            Self::TokenActorRefused => "Who acts for the token's subject is not accepted here, or too many have acted.",
            Self::TokenClaimRefused => {
                "A claim of the token cannot be passed on to this agent: ask for a token without it, or tell the agent's operator."
            }
            Self::TokenInactive => "The token has expired or was revoked: get a new one.",
            Self::TokenNotBound => "The token is not bound to this connection's client certificate: use the one that it was issued to.",
            Self::ApiKeyUnknown => "The API key is not known here: ask the agent's operator for one.",
            Self::PasswordWrong => "Name or password is wrong.",
            Self::CertificateRefused => "The client certificate is not accepted here: use another one.",
            Self::InsufficientScope => "The token lacks a scope: ask for one with the scopes named in WWW-Authenticate.",
            Self::AccessDenied => "This caller may not do this here: ask the agent's operator.",
            Self::VersionMalformed => "A2A-Version is Major.Minor, such as 1.0.",
            Self::VersionConflict => "The request names two A2A versions: send one A2A-Version.",
            Self::VersionNotSupported => "This A2A version is not offered here.",
            Self::VersionMismatch => "The operation belongs to another A2A version than the one selected.",
            Self::OperationUnknown => "There is no such A2A operation here.",
            Self::MethodRefused => "A2A uses GET, POST and DELETE, and HEAD for agent cards: send one of them.",
            Self::BodyMalformed => "The body is not one JSON document in UTF-8.",
            Self::RequestMalformed => "The request has no single meaning.",
            Self::BodyTooLarge => "The body is too long: send a shorter one.",
            Self::PathTooLong => "The path is too long: send a shorter one.",
            Self::EncodingRefused => "Compressed bodies are not accepted: send the body as it is.",
            Self::MediaTypeRefused => "The body has no content-type: send content-type application/json, in UTF-8.",
            Self::StreamingNotOffered => "Streaming is not offered here.",
            Self::ContentRefused => "This content is not accepted here.",
            Self::LimitExceeded => "The request asks for too much.",
            Self::PushNotOffered => "Push notifications are not offered here.",
            Self::PushTargetRefused => "Push notifications cannot be sent there.",
            Self::TaskNotFound => "There is no such task or context of yours: leave taskId and contextId out to begin a new one.",
            Self::ContextMissing => "Tasks are listed by context here: name a contextId of yours.",
            Self::Unmatched => "No agent is served at this host and path.",
            Self::CardUnavailable => "The agent gave no card that can be used: tell its operator.",
            Self::AnswerUnusable => "The agent gave an answer that cannot be passed on: tell its operator.",
            Self::KeysUnavailable => "The token cannot be verified at the moment: try again shortly.",
            Self::IntrospectionUnavailable => "The token's issuer cannot be asked at the moment: try again shortly.",
            Self::CredentialUnavailable => "The credential for this connection is not available at the moment: try again shortly.",
            Self::Overloaded => "Too many requests wait here at the moment: try again shortly.",
            Self::CredentialRefused => "The authorization server gives this connection no credential: tell its operator.",
            Self::SubjectRefused => "The authorization server does not exchange this token: get a new one.",
            Self::ConsentRequired => "The user must sign in or agree first: let the user do that, then try again with a new token.",
            Self::ConnectionMismatch => "The proxy would have sent this elsewhere than its connection says: tell its operator.",
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

impl From<KeyError> for Reason {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Repeated => Self::CredentialsRepeated,
            KeyError::TooLarge => Self::ApiKeyUnknown,
        }
    }
}

impl From<BasicError> for Reason {
    fn from(error: BasicError) -> Self {
        match error {
            BasicError::Missing => Self::CredentialsMissing,
            BasicError::Repeated => Self::CredentialsRepeated,
            BasicError::Malformed => Self::PasswordWrong,
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
            VerifyError::Actor => Self::TokenActorRefused,
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

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_is_documented() {
        let text = include_str!("../../../docs/refusals.md");
        let said = |reason: &Reason| text.contains(&format!("| `{}` | {} |", reason.code(), reason.http_status()));
        assert_eq!(Reason::ALL.iter().find(|reason| !said(reason)), None);
    }
}
