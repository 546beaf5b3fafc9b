//! An answer that the proxy gives itself.

/// An answer that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status of the class; a gRPC answer is always 200.
    pub status: u16,
    /// For a gRPC request: `grpc-status`, and `body` is then `grpc-message`.
    pub grpc_status: Option<u8>,
    /// Header names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or a message for gRPC.
    pub body: String,
}
