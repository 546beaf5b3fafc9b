//! What a subject is called where it may not be named: the same for the same issuer, tenant and subject, and nobody else's.

use super::Caller;
use crate::wire::header::safe_value;
use crate::wire::hex;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

/// Bytes of the digest.
const BYTES: usize = 16;

/// A caller's, once it was asked for: callers are remembered, and hashing is dear. No part of who it is.
#[derive(Clone, Debug, Default)]
pub struct Pseudonym(OnceCell<Box<str>>);

impl Pseudonym {
    /// One that nobody has asked for.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }
}

impl PartialEq for Pseudonym {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pseudonym {}

impl Caller {
    /// `sha256:` and the first half of the SHA-256 of issuer, tenant and subject, each on a line (of tenant and subject as headers
    /// write them, so that no line break is in them), in hexadecimal. Who has no tenant has no line for it. Without a subject, none. A
    /// caller has one issuer, whose name must be given.
    #[must_use]
    pub fn pseudonym(&self, issuer: &str) -> Option<&str> {
        let subject = self.subject.as_deref()?;
        let digest = || {
            let tenant = self.tenant.as_ref().map(|tenant| format!("{}\n", safe_value(tenant))).unwrap_or_default();
            let hash = Sha256::new().chain_update(format!("{issuer}\n{tenant}{}", safe_value(subject))).finalize();
            format!("sha256:{}", hex::encode(hash.get(..BYTES).unwrap_or_default())).into_boxed_str()
        };
        Some(self.pseudonym.0.get_or_init(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::Caller;
    use crate::identity::Origin;

    #[test]
    fn a_pseudonym_is_of_issuer_and_subject_and_changes_nothing() {
        let caller = |subject: Option<&str>| Caller { subject: subject.map(str::to_owned), ..Caller::of(Origin::Issuer(0)) };
        let ann = caller(Some("ann"));
        // printf 'https://auth.example.com\nann' | sha256sum | head -c 32
        assert_eq!(ann.pseudonym("https://auth.example.com"), Some("sha256:6a4525272c0a8e6df5aca64f6ef209c1"));
        assert_eq!(ann, caller(Some("ann")));
        assert_ne!(caller(Some("ann")).pseudonym("https://other.example.com"), ann.pseudonym("https://auth.example.com"));
        assert_ne!(caller(Some("bob")).pseudonym("https://auth.example.com"), ann.pseudonym("https://auth.example.com"));
        assert_eq!(caller(None).pseudonym("https://auth.example.com"), None);
        let of = |tenant: Option<&str>, subject: &str| {
            let caller = Caller { tenant: tenant.map(str::to_owned), ..caller(Some(subject)) };
            caller.pseudonym("https://auth.example.com").map(str::to_owned)
        };
        // printf 'https://auth.example.com\nt-1\nann' | sha256sum | head -c 32
        assert_eq!(of(Some("t-1"), "ann").as_deref(), Some("sha256:4e74368fc47c5ac281cf6f7aa6006aa5"));
        assert_ne!(of(Some("t-1"), "ann"), of(Some("t-2"), "ann"));
        assert_ne!(of(Some("t-1"), "ann"), of(None, "t-1\nann"));
        assert_ne!(of(Some(""), "ann"), of(None, "ann"));
    }
}
