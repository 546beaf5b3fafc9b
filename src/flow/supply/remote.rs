//! The cards of remote agents, for connections that go by them: fetched with the connection's own credential, from the connection's
//! own host, and kept. A card that cannot be had or read changes nothing; without any, no call goes out.

use crate::config::{CardKeys, Config, ConfigError, Connection, SignedCard, USUAL_RSA_BITS};
use crate::flow::supply::offers::Offers;
use crate::identity::jwk::KeySet;
use crate::wire::kept::Kept;
use std::cell::RefCell;
use std::rc::Rc;

/// What is known of a remote agent from its card.
#[derive(Debug, PartialEq)]
pub struct RemoteAgent {
    /// What it offers.
    pub offers: Offers,
    /// Which of the connection's credentials it asks for, if that has several.
    pub chosen: Option<usize>,
}

/// Remote agents by connection; `None` where no card is asked.
#[derive(Debug)]
pub(in crate::flow) struct RemoteAgents(pub(super) Vec<Option<One>>);

#[derive(Debug)]
pub(super) struct One {
    pub(super) kept: RefCell<Kept<RemoteAgent>>,
    /// The validator of the card that there is.
    pub(super) etag: RefCell<Option<String>>,
    /// Whose signature its card needs.
    pub(super) keys: Option<KeySet>,
}

impl RemoteAgents {
    /// # Errors
    /// If keys in the configuration are no JWK Set.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let one = |(index, connection): (usize, &Rc<Connection>)| {
            let Some(card) = &connection.card else { return Ok(None) };
            let keys = connection.require_signed_card.as_ref().map(|SignedCard { jwks: CardKeys::Inline(set), .. }| {
                KeySet::parse(set.to_string().as_bytes(), USUAL_RSA_BITS)
                    .map_err(|error| ConfigError::new(format!("connections[{index}].require_signed_card.jwks.inline"), error.to_string()))
            });
            let kept = RefCell::new(Kept::remote(card.remote.refresh, card.remote.max_stale));
            Ok(Some(One { kept, etag: RefCell::default(), keys: keys.transpose()? }))
        };
        config.connections.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn one(&self, index: usize) -> Option<&One> {
        self.0.get(index)?.as_ref()
    }

    pub(super) fn of(&self, index: usize) -> Option<&RefCell<Kept<RemoteAgent>>> {
        Some(&self.one(index)?.kept)
    }

    pub(super) fn keys_of(&self, index: usize) -> Option<&KeySet> {
        self.one(index)?.keys.as_ref()
    }
}
