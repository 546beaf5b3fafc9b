//! JWS algorithms by their names in the IANA registry (RFC 7518 section 3.1, RFC 8037).

use serde::Deserialize;

/// An algorithm of JWS by its name in the IANA registry (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[allow(missing_docs, reason = "the names are the IANA registry's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

impl Algorithm {
    /// Bytes that a shared secret needs at least: those of the hash (RFC 7518 section 3.2). `None` for signatures.
    #[must_use]
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::HS256 => Some(32),
            Self::HS384 => Some(48),
            Self::HS512 => Some(64),
            _ => None,
        }
    }

    /// RSASSA-PSS, which no host verifies for us: the module does, and that is dear.
    #[must_use]
    pub const fn is_pss(self) -> bool {
        matches!(self, Self::PS256 | Self::PS384 | Self::PS512)
    }
}
