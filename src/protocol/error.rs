//! The errors of A2A that requests can earn before the agent sees them, with code and reason (1.0 section 5.4 and 9.5;
//! 0.3 section 8). JSON-RPC's own parse, envelope and method errors are not here.

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
        }
    }
}
