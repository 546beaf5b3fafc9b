//! Why requests are refused: the closed list of reasons, each with its class on the wire and what the caller can do about it.
//! What was compared with what stays in the log.

use crate::flow::event::class::Class;
use crate::identity::api_key::KeyError;
use crate::identity::basic::BasicError;
use crate::identity::bearer::BearerError;
use crate::identity::verify::VerifyError;
use crate::protocol::version::VersionError;

/// Makes the list out of rows: name, code, class, and the advice that the caller reads.
macro_rules! reasons {
    ($($name:ident $code:literal $class:ident $advice:literal)*) => {
        /// Why a request was refused. The list is closed and documented in `docs/refusals.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the codes say it, and docs/refusals.md explains each")]
        pub enum Reason {
            $($name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code, as it stands in answers, logs and filter state.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// How it is put on the wire.
            pub(in crate::flow) const fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }

            /// What the caller reads, unless the place of refusal knows better.
            pub(in crate::flow) const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
}

reasons! {
    CredentialsMissing "credentials_missing" UNAUTHENTICATED "Send an access token: Authorization: Bearer <token>."
    CredentialsRepeated "credentials_repeated" INVALID_REQUEST "Send exactly one Authorization header with exactly one token."
    TokenMalformed "token_malformed" INVALID_TOKEN "The access token cannot be read: send a JWT in compact form, without crit or b64 in its header."
    TokenTooLarge "token_too_large" INVALID_TOKEN "The access token is too long: ask for one with fewer claims."
    TokenTypeRefused "token_type_refused" INVALID_TOKEN "This type of token is not accepted: send an access token."
    TokenAlgorithmRefused "token_algorithm_refused" INVALID_TOKEN "The token's signature algorithm is not accepted: ask for a token signed with an accepted one."
    TokenIssuerUnknown "token_issuer_unknown" INVALID_TOKEN "The token's issuer is not accepted: get the token from this agent's authorization server."
    TokenKeyUnknown "token_key_unknown" INVALID_TOKEN "The token's signing key is not known: get a new token."
    TokenSignatureInvalid "token_signature_invalid" INVALID_TOKEN "The token's signature is wrong: get a new token."
    TokenExpired "token_expired" INVALID_TOKEN "The token has expired: get a new one."
    TokenNotYetValid "token_not_yet_valid" INVALID_TOKEN "The token is not valid yet: check the clocks, or wait."
    TokenAudienceMismatch "token_audience_mismatch" INVALID_TOKEN "The token was issued for another audience: ask for one for this agent."
    TokenLifetimeTooLong "token_lifetime_too_long" INVALID_TOKEN "The token lives too long: ask for a short-lived one."
    TokenActorRefused "token_actor_refused" INVALID_TOKEN "Who acts for the token's subject is not accepted here, or too many have acted."
    TokenClaimRefused "token_claim_refused" INVALID_TOKEN "A claim of the token cannot be passed on to this agent: ask for a token without it, or tell the agent's operator."
    TokenInactive "token_inactive" INVALID_TOKEN "The token has expired or was revoked: get a new one."
    TokenNotBound "token_not_bound" INVALID_TOKEN "The token is not bound to this connection's client certificate: use the one that it was issued to."
    ApiKeyUnknown "api_key_unknown" UNAUTHENTICATED "The API key is not known here: ask the agent's operator for one."
    PasswordWrong "password_wrong" UNAUTHENTICATED "Name or password is wrong."
    CertificateRefused "certificate_refused" UNAUTHENTICATED "The client certificate is not accepted here: use another one."
    InsufficientScope "insufficient_scope" INSUFFICIENT_SCOPE "The token lacks a scope: ask for one with the scopes named in WWW-Authenticate."
    AccessDenied "access_denied" INSUFFICIENT_SCOPE "This caller may not do this here: ask the agent's operator."
    VersionMalformed "version_malformed" VERSION "A2A-Version is Major.Minor, such as 1.0."
    VersionConflict "version_conflict" VERSION "The request names two A2A versions: send one A2A-Version."
    VersionNotSupported "version_not_supported" VERSION "This A2A version is not offered here."
    VersionMismatch "version_mismatch" VERSION "The operation belongs to another A2A version than the one selected."
    OperationUnknown "operation_unknown" NOT_FOUND "There is no such A2A operation here."
    MethodRefused "method_refused" METHOD "A2A uses GET, POST and DELETE, and HEAD for agent cards: send one of them."
    BodyMalformed "body_malformed" PARSE_ERROR "The body is not one JSON document in UTF-8."
    RequestMalformed "request_malformed" AMBIGUOUS "The request is ambiguous: different parsers would read it differently."
    ParamsMalformed "params_malformed" INVALID_PARAMS "The params of a request are an object."
    BodyTooLarge "body_too_large" BODY_TOO_LARGE "The body is too long: send a shorter one."
    PathTooLong "path_too_long" PATH_TOO_LONG "The path is too long: send a shorter one."
    EncodingRefused "encoding_refused" MEDIA_TYPE "Compressed bodies are not accepted: send the body as it is."
    MediaTypeRefused "media_type_refused" MEDIA_TYPE "The body has no content-type: send content-type application/json, in UTF-8."
    StreamingNotOffered "streaming_not_offered" UNSUPPORTED_OPERATION "Streaming is not offered here."
    ContentRefused "content_refused" CONTENT_TYPE "This content is not accepted here."
    LimitExceeded "limit_exceeded" INVALID_PARAMS "The request asks for too much."
    PushNotOffered "push_not_offered" PUSH "Push notifications are not offered here."
    PushCredentialTaken "push_credential_taken" INVALID_PARAMS "The push notification configuration must leave token or authentication to this proxy."
    CredentialInMessage "credential_in_message" INVALID_PARAMS "Credentials do not leave in messages: give them to the remote agent in another way."
    PushTargetRefused "push_target_refused" INVALID_PARAMS "Push notifications cannot be sent there."
    NotificationMalformed "notification_malformed" NOTIFICATION "This is no notification about a task: send one JSON object with task, message, statusUpdate or artifactUpdate (A2A 1.0), or with kind (0.3)."
    PushTokenRefused "push_token_refused" UNAUTHENTICATED "Send the token of the push configuration: X-A2A-Notification-Token, or Authorization: Bearer."
    TokenReplayed "token_replayed" INVALID_TOKEN "Each notification needs a token of its own, with a jti that no other has."
    NotificationTaskRefused "notification_task_refused" INSUFFICIENT_SCOPE "This notification is about another task than its credentials are for."
    TaskNotFound "task_not_found" TASK_NOT_FOUND "There is no such task or context of yours: leave taskId and contextId out to begin a new one."
    TenantRefused "tenant_refused" INVALID_PARAMS "This request may not name this tenant: leave it out, or name the one that the agent's card or your token has."
    ContextMissing "context_missing" INVALID_PARAMS "Tasks are listed by context here: name a contextId of yours."
    PageTokenRefused "page_token_refused" INVALID_PARAMS "This page token was not given to you here: list anew, without it."
    Unmatched "unmatched" UNMATCHED "No agent is served at this host and path."
    CardUnavailable "card_unavailable" BAD_AGENT "The agent gave no card that can be used: tell its operator."
    AnswerUnusable "answer_unusable" BAD_AGENT "The agent gave an answer that cannot be passed on: tell its operator."
    KeysUnavailable "keys_unavailable" UNAVAILABLE "The token cannot be verified at the moment: try again shortly."
    IntrospectionUnavailable "introspection_unavailable" UNAVAILABLE "The token's issuer cannot be asked at the moment: try again shortly."
    CredentialUnavailable "credential_unavailable" UNAVAILABLE "The credential for this connection is not available at the moment: try again shortly."
    Overloaded "overloaded" UNAVAILABLE "Too many requests wait here at the moment: try again shortly."
    CredentialRefused "credential_refused" BAD_GATEWAY "The authorization server gives this connection no credential: tell its operator."
    SubjectRefused "subject_refused" INVALID_TOKEN "The authorization server does not exchange this token: get a new one."
    ConsentRequired "consent_required" INVALID_TOKEN "The user must sign in or agree first: let the user do that, then try again with a new token."
    UserRequired "user_required" INSUFFICIENT_SCOPE "Calls go there in the name of a user: call with the token of a user, not with that of a service."
    ConnectionMismatch "connection_mismatch" INTERNAL "The proxy would have sent this elsewhere than its connection says: tell its operator."
    HeadersNotHeld "headers_not_held" INTERNAL "The proxy in front of this agent is not configured to hold headers: tell its operator."
}

impl Reason {
    /// The HTTP status of the refusal.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.class().http
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

    /// A status with a reason behind it, wherever troubleshooting has one.
    #[test]
    fn troubleshooting_has_reasons_with_their_status() {
        let text = include_str!("../../../docs/troubleshooting.md");
        let mut found = 0;
        for (before, after) in text.match_indices(" `").map(|(at, _)| (text.get(..at).unwrap(), text.get(at + 2..).unwrap())) {
            let status = before.get(before.len() - 3..).and_then(|digits| digits.parse::<u16>().ok());
            let Some(status) = status.filter(|status| (400..600).contains(status)) else { continue };
            let code = after.split('`').next().unwrap();
            let reason = Reason::ALL.iter().find(|reason| reason.code() == code);
            assert_eq!(reason.map(|reason| reason.http_status()), Some(status), "{code}");
            found += 1;
        }
        assert!(found > 15, "{found}");
    }
}
