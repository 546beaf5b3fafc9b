//! Keys and passwords that callers share with us, known by their SHA-256 only.

use crate::config::Entry;
use sha2::{Digest, Sha256};

/// Longest key or password that is looked at, in bytes.
pub const MAX_BYTES: usize = 1024;

/// The SHA-256 of a presented secret. Secrets over [`MAX_BYTES`] have none: no entry fits them.
#[must_use]
pub fn digest(secret: &[u8]) -> Option<[u8; 32]> {
    (secret.len() <= MAX_BYTES).then(|| Sha256::digest(secret).into())
}

/// The entry that a presented secret belongs to. Every entry is compared, and every byte of it, so that the time tells
/// nothing about the entries.
#[must_use]
pub fn owner<'e>(entries: &'e [Entry], presented: &[u8; 32]) -> Option<&'e Entry> {
    entries.iter().fold(None, |found, entry| {
        let difference = entry.sha256.0.iter().zip(presented).fold(0, |sum, (own, given)| sum | (own ^ given));
        if std::hint::black_box(difference) == 0 { Some(entry) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use super::{Digest, Entry, MAX_BYTES, Sha256, digest, owner};

    #[test]
    fn only_the_whole_secret_belongs_to_its_owner() {
        let entry = |id: &str, key: &[u8]| Entry {
            id: id.to_owned(),
            sha256: crate::config::Sha256(Sha256::digest(key).into()),
            scopes: Vec::new(),
            roles: Vec::new(),
        };
        let long = vec![b'a'; MAX_BYTES + 1];
        let entries = [entry("one", b"key-one"), entry("two", b"key-two"), entry("long", &long)];
        let name = |key: &[u8]| digest(key).and_then(|digest| owner(&entries, &digest)).map(|entry| entry.id.as_str());
        assert_eq!(name(b"key-one"), Some("one"));
        assert_eq!(name(b"key-two"), Some("two"));
        for odd in [&b""[..], b"key-on", b"key-onex", b"KEY-ONE", b"key-one ", b"key-one\0", &long] {
            assert_eq!(name(odd), None, "{odd:?}");
        }
    }
}
