//! Who calls: bearer credentials (RFC 6750), JWS (RFC 7515), JWKs (RFC 7517), JWT claims (RFC 7519, RFC 9068).

pub mod bearer;
pub mod claims;
pub mod demand;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod remembered;
pub mod signature;
pub mod verify;

use crate::wire::time::UnixTime;

/// On whose behalf a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person's.
    User,
    /// The client's own.
    Service,
}

impl Kind {
    /// `user` or `service`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

/// A verified caller. Only [`verify::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Index of the issuer in the configuration.
    pub issuer: usize,
    /// `sub`.
    pub subject: Option<String>,
    /// The client that got the token.
    pub client: Option<String>,
    /// User or service.
    pub kind: Kind,
    /// Granted scopes, in the token's order.
    pub scopes: Vec<String>,
    /// `exp`, without skew.
    pub expires: UnixTime,
}
