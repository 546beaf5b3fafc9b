//! What is kept of grants: what seals them, where they lie, what is remembered and what is under way.

use crate::config::{Config, ConfigError};
use crate::credential::seal::KeyRing;
use crate::credential::secrets::Secrets;
use crate::credential::tag_keys;
use crate::flow::supply::board::Board;
use crate::flow::supply::grants::entries::Entries;
use crate::flow::supply::grants::jobs::Jobs;
use crate::flow::supply::grants::servers::Servers;
use crate::flow::supply::vault;
use crate::flow::supply::vault::operation::Store;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// What users granted, for a configuration that has `consent`.
pub struct Grants {
    /// Seals what lies in the vault, and links. `None` where a key has no value: then nothing can be granted.
    pub(in crate::flow) ring: Option<KeyRing>,
    /// Where they lie; nothing before there is a board.
    pub(in crate::flow::supply) vault: Option<Box<dyn Store>>,
    pub(in crate::flow::supply) entries: RefCell<Entries>,
    pub(in crate::flow::supply) jobs: RefCell<Jobs>,
    /// Where users agree.
    pub(in crate::flow::supply) servers: Servers,
}

impl Grants {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// If a key is too short.
    pub(in crate::flow::supply) fn new(config: &Config, secrets: &Secrets) -> Result<Option<Self>, ConfigError> {
        let Some(consent) = &config.consent else { return Ok(None) };
        let keys = tag_keys::values("consent.keys", &consent.keys, secrets)?;
        let ring = keys.and_then(|keys| KeyRing::new(keys.into_iter()));
        Ok(Some(Self { ring, vault: None, entries: RefCell::default(), jobs: RefCell::default(), servers: Servers::new(config) }))
    }

    /// The same with the vault that `config` names; workers share what lies on `board`.
    pub(in crate::flow::supply) fn open(&mut self, config: &Config, secrets: &Secrets, board: &Rc<dyn Board>) {
        self.vault = config.consent.as_ref().map(|consent| vault::open(&consent.store, board, secrets));
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grants").field("ring", &self.ring).finish_non_exhaustive()
    }
}
