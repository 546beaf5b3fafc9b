//! The token of a user's grant, and what seals it.

use crate::credential::Key;
use crate::credential::cache::Token;
use crate::credential::grant::Grant;
use crate::credential::seal::{KeyRing, NONCE_BYTES};
use crate::credential::user::{GrantKey, User};
use crate::flow::event::call::Want;
use crate::flow::supply::grants::entries::{Entry, Look};
use crate::flow::supply::store::Supply;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use std::rc::Rc;
use std::time::Duration;

impl Supply {
    /// What seals grants and links; nothing without a key.
    pub(in crate::flow) fn ring(&self) -> Option<&KeyRing> {
        self.grants.as_ref()?.ring.as_ref()
    }

    /// `grant` as it lies in the vault. `None` without a key.
    pub(in crate::flow) fn seal_grant(&self, key: &GrantKey, grant: &Grant, now: UnixTime) -> Option<Vec<u8>> {
        let ring = self.grants.as_ref()?.ring.as_ref()?;
        Some(ring.seal(&[b"grant", &key.user, &key.grant], self.seal_nonce(now), &grant.to_bytes()))
    }

    /// The grant that lies in the vault as `sealed`, if it was sealed for `key`.
    pub(in crate::flow) fn open_grant(&self, key: &GrantKey, sealed: &[u8]) -> Option<Grant> {
        let plain = self.grants.as_ref()?.ring.as_ref()?.open(&[b"grant", &key.user, &key.grant], sealed)?;
        Grant::from_bytes(plain.expose_secret())
    }

    /// 24 bytes that never come twice.
    pub(in crate::flow) fn seal_nonce(&self, now: UnixTime) -> [u8; NONCE_BYTES] {
        self.random(now).first_chunk().copied().unwrap_or([0; NONCE_BYTES])
    }

    /// 32 bytes that nobody can guess who has not the host's random numbers.
    pub(in crate::flow) fn random(&self, now: UnixTime) -> [u8; 32] {
        self.outgoing.nonces.next(now)
    }

    /// Whether anything of grants waits for a moment: a store, or who renews one elsewhere.
    pub(in crate::flow::supply) fn follows_grants(&self) -> bool {
        self.grants.as_ref().is_some_and(|grants| grants.entries.borrow().follow()) || !self.due_jobs().is_empty()
    }

    /// Whether there is room for a grant that waits to be renewed.
    pub(in crate::flow::supply) fn has_grant_turn(&self) -> bool {
        self.grants.as_ref().is_some_and(|grants| grants.entries.borrow().has_turn())
    }

    pub(in crate::flow::supply) fn due_grants(&self, now: UnixTime) -> Vec<Want> {
        let Some(grants) = &self.grants else { return Vec::new() };
        let jobs = self.due_jobs().into_iter().map(Want::Job);
        grants.servers.due(now).chain(grants.entries.borrow().due(now).map(Want::Grant)).chain(jobs).collect()
    }

    /// The token of what `user` granted at connection `index`, which has this key. `waited`: it was waited for.
    pub(in crate::flow) fn granted(&self, index: usize, (key, user): (Key, &User), waited: &[Want], now: UnixTime) -> Option<Look> {
        let grants = self.grants.as_ref()?;
        let remember = self.config.consent.as_ref().map_or(Duration::ZERO, |consent| consent.store.remember());
        let waited = (waited.contains(&Want::Grant(key)), remember);
        Some(grants.entries.borrow_mut().look(key, || Entry::new(index, user.clone(), now), waited, now))
    }

    /// The grant of `key` was changed in the vault.
    pub(in crate::flow) fn changed_grant(&self, key: &GrantKey) {
        if let Some(grants) = &self.grants {
            grants.entries.borrow_mut().changed(&key.to_bytes());
        }
    }

    /// The remote agent did not take this token of a user.
    pub(in crate::flow) fn refuse_grant(&self, key: &Key, token: &Rc<Token>, now: UnixTime) {
        if let Some(grants) = &self.grants {
            grants.entries.borrow_mut().refuse(key, token, now);
        }
    }
}
