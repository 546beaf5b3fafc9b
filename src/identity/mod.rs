//! Who calls: bearer credentials (RFC 6750), JWS (RFC 7515), JWKs (RFC 7517), JWT claims (RFC 7519, RFC 8693, RFC 9068).

pub mod bearer;
pub mod claims;
pub mod demand;
pub mod der;
pub mod jwk;
pub mod jws;
pub mod remembered;
pub mod signature;
pub mod verify;

pub use crate::config::Kind;
use crate::wire::time::UnixTime;

/// Where a caller's identity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A token of this issuer (index in the configuration).
    Issuer(usize),
    /// A key, password or certificate of this scheme (index).
    Scheme(usize),
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who vouches for it.
    pub origin: Origin,
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
    /// Who acts for the subject, the current actor first (RFC 8693 section 4.1): the others only had a part before.
    pub actors: Vec<String>,
    /// `exp`, without skew.
    pub expires: UnixTime,
}

impl Caller {
    /// A service of which nothing else is known.
    #[must_use]
    pub const fn of(origin: Origin) -> Self {
        Self {
            origin,
            subject: None,
            client: None,
            kind: Kind::Service,
            scopes: Vec::new(),
            roles: Vec::new(),
            tenant: None,
            actors: Vec::new(),
            expires: UnixTime::END,
        }
    }
}
