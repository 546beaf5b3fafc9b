//! What the head of a request presents: what the schemes of its agent look at, and nothing else.

use crate::config::{CertificateSource, Scheme};
use crate::flow::request::head::Head;
use crate::flow::request::policy::Policy;
use crate::flow::setup::runtime::Runtime;
use crate::identity::api_key::KeyError;
use crate::identity::basic::BasicError;
use crate::identity::bearer::BearerError;
use crate::identity::peer::Peer;
use crate::identity::verify::Verified;
use crate::identity::xfcc::XfccError;
use crate::identity::{api_key, basic, bearer, xfcc};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// What a request presents. Keys and passwords are kept as their SHA-256.
pub struct Credentials<'h> {
    /// The token.
    pub token: Result<Cow<'h, str>, BearerError>,
    /// What the token says, if its signature was verified before.
    pub known: Option<Rc<Verified>>,
    /// Name and password.
    pub password: Result<[u8; 32], BasicError>,
    /// What stands at the places of keys, by scheme (index).
    pub keys: Vec<(usize, Result<[u8; 32], KeyError>)>,
    /// The certificate of the connection.
    peer: Option<Cow<'h, Peer>>,
    /// The certificates that proxies in front tell of.
    forwarded: Option<Result<Vec<Peer>, XfccError>>,
}

/// A certificate is told of by somebody who may not, or in a way that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold;

impl<'h> Credentials<'h> {
    /// Finds them. `peer`: the verified certificate of the connection, if there is one.
    #[must_use]
    pub fn read(policy: &Policy, runtime: &Runtime, head: &'h Head<'h>, peer: Option<&'h Peer>) -> Self {
        let config = runtime.config();
        let mut known = None;
        let is_known = |token: &str| {
            known = runtime.supply().recall(token);
            known.is_some()
        };
        let token = match policy.takes_tokens() {
            true => bearer::token_unless_known(head.headers, is_known).map(Cow::Borrowed),
            false => Err(BearerError::Missing),
        };
        let present = |index: &usize| match config.scheme_at(*index) {
            Some(Scheme::ApiKey(key)) => api_key::presented(key, head.headers, head.query).transpose().map(|found| (*index, found)),
            _ => None,
        };
        Self {
            token,
            known,
            password: if policy.takes_passwords() { basic::presented(head.headers) } else { Err(BasicError::Missing) },
            keys: policy.keys().iter().filter_map(present).collect(),
            peer: peer.map(Cow::Borrowed),
            forwarded: policy.asks_proxies().then(|| xfcc::read(head.headers)).flatten(),
        }
    }

    /// The same, kept beyond the head.
    #[must_use]
    pub fn into_owned(self) -> Credentials<'static> {
        Credentials {
            token: self.token.map(|token| Cow::Owned(token.into_owned())),
            known: self.known,
            password: self.password,
            keys: self.keys,
            peer: self.peer.map(|peer| Cow::Owned(peer.into_owned())),
            forwarded: self.forwarded,
        }
    }

    /// The client's certificate, as `source` tells it.
    ///
    /// # Errors
    /// If a header tells of one that must not be believed.
    pub fn certificate(&self, source: &CertificateSource) -> Result<Option<&Peer>, Untold> {
        let CertificateSource::XForwardedClientCert(forwarded) = source else { return Ok(self.peer.as_deref()) };
        let Some(shown) = &self.forwarded else { return Ok(None) };
        let teller = self.peer.as_deref().and_then(Peer::identity);
        let may = |proxy: &String| proxy == "*" || teller.is_some_and(|teller| teller.as_str() == proxy);
        match shown {
            Ok(peers) if peers.len() == forwarded.elements && forwarded.proxies.iter().any(may) => Ok(peers.first()),
            Ok(_) | Err(_) => Err(Untold),
        }
    }
}

// Never the token.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .field("password", &self.password.map(|_| "[redacted]"))
            .field("keys", &self.keys.iter().map(|(scheme, key)| (*scheme, key.map(|_| "[redacted]"))).collect::<Vec<_>>())
            .field("peer", &self.peer)
            .field("forwarded", &self.forwarded)
            .finish()
    }
}
