//! The two ways in which cards write schemes and requirements.

use crate::protocol::Version;

/// How a card writes schemes and requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As OpenAPI does: the JSON Schema of 0.3.
    OpenApi,
    /// As protocol buffers do in JSON: 1.0, and what some agents of 0.3 answer over HTTP+JSON.
    ProtoJson,
}

impl Dialect {
    /// The one that every reader of a version knows.
    #[must_use]
    pub const fn of(version: Version) -> Self {
        match version {
            Version::V0_3 => Self::OpenApi,
            Version::V1_0 => Self::ProtoJson,
        }
    }
}
