//! The errors of A2A that requests can earn before the agent sees them, with their codes in every binding (1.0
//! section 5.4 and 9.5; 0.3 section 8). JSON-RPC's own parse, envelope and method errors are not here.

use crate::protocol::Version;

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

    /// The HTTP status in HTTP+JSON. 0.3 has no table of its own: these are its SDKs' numbers.
    #[must_use]
    pub const fn http_status(self, version: Version) -> u16 {
        match (version, self) {
            (Version::V1_0, _) => 400,
            (Version::V0_3, Self::PushNotificationNotSupported | Self::UnsupportedOperation) => 501,
            (Version::V0_3, Self::ContentTypeNotSupported) => 415,
            (Version::V0_3, Self::InvalidParams) => 422,
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

    /// `google.rpc.Code` by name.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::PushNotificationNotSupported | Self::UnsupportedOperation => "FAILED_PRECONDITION",
            Self::ContentTypeNotSupported | Self::InvalidParams => "INVALID_ARGUMENT",
        }
    }

    /// `grpc-status`.
    #[must_use]
    pub const fn grpc_status(self) -> u8 {
        match self {
            Self::PushNotificationNotSupported | Self::UnsupportedOperation => 9,
            Self::ContentTypeNotSupported | Self::InvalidParams => 3,
        }
    }
}
