//! Who calls: bearer credentials (RFC 6750), JWS (RFC 7515), JWKs (RFC 7517), JWT claims (RFC 7519, RFC 8693, RFC 9068),
//! introspection (RFC 7662), API keys, passwords (RFC 7617) and client certificates (RFC 8705).

pub mod api_key;
pub mod basic;
pub mod bearer;
pub mod card_signature;
pub mod claim_path;
pub mod claims;
pub mod confirmation;
pub mod demand;
pub mod der;
mod ecdsa;
pub mod forwarded;
pub mod introspection;
pub mod jwk;
pub mod jws;
pub mod peer;
pub mod pseudonym;
pub mod remembered;
pub mod rendered;
pub mod secret_digest;
pub mod signature;
pub mod verify;
pub mod why;
pub mod xfcc;

pub use crate::config::Kind;
pub use confirmation::Confirmation;
pub use forwarded::Forwarded;
pub use peer::Peer;
pub use pseudonym::Pseudonym;
pub use rendered::Rendered;

use crate::config::{Config, Voucher};
use crate::wire::time::UnixTime;

/// Where a caller's identity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A token of this issuer (index in the configuration).
    Issuer(usize),
    /// A token that its issuer was asked about for this scheme (index).
    Introspection(usize),
    /// A key, password or certificate of this scheme (index), or nothing.
    Scheme(usize),
}

impl Origin {
    /// Whether it is a token.
    #[must_use]
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Issuer(_) | Self::Introspection(_))
    }

    /// Who vouches for its callers, by the name in `config`.
    #[must_use]
    pub fn voucher(self, config: &Config) -> Option<Voucher<'_>> {
        match self {
            Self::Issuer(index) => config.issuers.get(index).map(|issuer| Voucher::Issuer(&issuer.name)),
            Self::Introspection(index) | Self::Scheme(index) => config.schemes().keys().nth(index).map(|name| Voucher::Scheme(name)),
        }
    }

    /// The same by what stays when a name in the configuration changes: the `iss` of an issuer, the name of a scheme; with a word
    /// for which of the two.
    #[must_use]
    pub fn authority(self, config: &Config) -> Option<(&'static str, &str)> {
        match self {
            Self::Issuer(index) => config.issuers.get(index).map(|issuer| ("issuer", issuer.issuer.as_str())),
            Self::Introspection(_) | Self::Scheme(_) => self.voucher(config).map(|voucher| ("scheme", voucher.name())),
        }
    }
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
    /// What the client must prove besides having the token.
    pub confirmation: Option<Confirmation>,
    /// Claims that go on to agents, in the order of [`crate::config::Claims::forwarded`]; none, if it has no token.
    pub forwarded: Box<[Forwarded]>,
    /// What its subject is called where it may not be named.
    pub pseudonym: Pseudonym,
    /// What agents learn of it.
    pub rendered: Rendered,
}

impl Caller {
    /// A service of which nothing else is known.
    #[must_use]
    pub fn of(origin: Origin) -> Self {
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
            confirmation: None,
            forwarded: Box::default(),
            pseudonym: Pseudonym::new(),
            rendered: Rendered::new(),
        }
    }
}
