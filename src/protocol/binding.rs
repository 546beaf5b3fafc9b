//! The protocol bindings of A2A (1.0 section 5) that Attaché understands.

use serde::Deserialize;
use std::fmt;

/// How an operation is put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// JSON-RPC 2.0 over HTTP POST at the interface URL.
    Jsonrpc,
    /// HTTP+JSON: REST routes below the interface URL.
    HttpJson,
    /// gRPC: HTTP/2 POST at paths that the protocol fixes.
    Grpc,
}

impl Binding {
    /// The name in configurations and statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonrpc => "jsonrpc",
            Self::HttpJson => "http_json",
            Self::Grpc => "grpc",
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jsonrpc => "JSON-RPC",
            Self::HttpJson => "HTTP+JSON",
            Self::Grpc => "gRPC",
        })
    }
}
