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

pub use crate::config::Kind;
use crate::wire::time::UnixTime;

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
    /// Granted roles.
    pub roles: Vec<String>,
    /// The tenant of the issuer.
    pub tenant: Option<String>,
    /// `exp`, without skew.
    pub expires: UnixTime,
}
