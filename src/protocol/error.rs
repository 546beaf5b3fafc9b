//! The errors of A2A that requests can earn before the agent sees them, with code and reason (1.0 section 5.4 and 9.5;
//! 0.3 section 8), and those of JSON-RPC that the SDKs have a reason for, which they say over each binding.

/// One of A2A's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum A2aError {
    /// `PushNotificationNotSupportedError`.
    PushNotificationNotSupported,
    /// `UnsupportedOperationError`.
    UnsupportedOperation,
    /// `ContentTypeNotSupportedError`.
    ContentTypeNotSupported,
    /// `InvalidParamsError`.
    InvalidParams,
    /// `InvalidRequestError`.
    InvalidRequest,
    /// `MethodNotFoundError`.
    MethodNotFound,
}

impl A2aError {
    /// `error.code` of JSON-RPC.
    #[must_use]
    pub const fn jsonrpc(self) -> i32 {
        match self {
            Self::PushNotificationNotSupported => -32003,
            Self::UnsupportedOperation => -32004,
            Self::ContentTypeNotSupported => -32005,
            Self::InvalidParams => -32602,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
        }
    }

    /// `reason` of `google.rpc.ErrorInfo`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::PushNotificationNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::UnsupportedOperation => "UNSUPPORTED_OPERATION",
            Self::ContentTypeNotSupported => "CONTENT_TYPE_NOT_SUPPORTED",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::MethodNotFound => "METHOD_NOT_FOUND",
        }
    }
}
