//! Tokens whose signature was verified, remembered with what they say, so that a signature is checked once. What that is good for
//! is judged each time. It dies with the keys of its issuer and with the configuration (which owns this memory).

use super::verify::Verified;
use crate::wire::paged::PagedMap;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

/// Most tokens per generation; there are two, so up to twice as many are remembered.
const GENERATION: usize = 2048;
/// Bytes at a token's end that are hashed: of the signature, which differs from token to token.
const HASHED: usize = 16;

/// Remembered tokens. They are found by a hash of their last bytes, seeded so that nobody can know it; then the whole token is
/// compared. Of two tokens with the same hash, one is remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    seed: u128,
    young: PagedMap<u64, Known>,
    old: PagedMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    token: Box<str>,
    verified: Rc<Verified>,
}

impl Remembered {
    /// The same with a seed that callers cannot know. To be given before any token is.
    #[must_use]
    pub fn seeded(self, seed: u128) -> Self {
        Self { seed, ..self }
    }

    /// What `token` says, if it was verified here.
    pub fn recall(&mut self, token: &str) -> Option<Rc<Verified>> {
        let hash = self.hash(token);
        if let Some(known) = self.young.get(&hash).filter(|known| is_same(&known.token, token)) {
            return Some(Rc::clone(&known.verified));
        }
        if !self.old.get(&hash).is_some_and(|known| is_same(&known.token, token)) {
            return None;
        }
        let known = self.old.remove(&hash)?;
        let verified = Rc::clone(&known.verified);
        self.insert(hash, known);
        Some(verified)
    }

    /// Remembers a token that was just verified.
    pub fn remember(&mut self, token: &str, verified: Rc<Verified>) {
        self.insert(self.hash(token), Known { token: token.into(), verified });
    }

    /// Forgets every token of `issuer`.
    pub fn forget(&mut self, issuer: usize) {
        self.young.retain(|_, known| known.verified.issuer != issuer);
        self.old.retain(|_, known| known.verified.issuer != issuer);
    }

    fn insert(&mut self, hash: u64, known: Known) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, known);
    }

    fn hash(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        // SipHash; its own keys are constant.
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.seed);
        hasher.write(bytes.get(bytes.len().saturating_sub(HASHED)..).unwrap_or_default());
        hasher.finish()
    }
}

/// Whether two texts are the same. (On wasm32 the comparison of `core` goes byte by byte.)
fn is_same(one: &str, other: &str) -> bool {
    let ((one, one_end), (other, other_end)) = (one.as_bytes().as_chunks::<8>(), other.as_bytes().as_chunks::<8>());
    let mut words = one.iter().zip(other);
    one.len() == other.len() && one_end == other_end && words.all(|(one, other)| u64::from_le_bytes(*one) == u64::from_le_bytes(*other))
}

#[cfg(test)]
mod tests {
    use super::{GENERATION, Rc, Remembered, Verified, is_same};

    fn verified(issuer: usize) -> Rc<Verified> {
        Rc::new(Verified::of(issuer))
    }

    #[test]
    fn a_token_is_known_until_its_keys_change() {
        let mut memory = Remembered::default().seeded(7);
        memory.remember("a.b.c", verified(0));
        memory.remember("a.b.d", verified(1));
        assert_eq!(memory.recall("a.b.c").map(|known| known.issuer), Some(0));
        memory.forget(1);
        assert!(memory.recall("a.b.d").is_none() && memory.recall("a.b.c").is_some());
    }

    #[test]
    fn the_whole_token_counts() {
        let mut memory = Remembered::default();
        let token = format!("{}.{}", "h".repeat(300), "s".repeat(342));
        memory.remember(&token, verified(0));
        assert!(memory.recall(&token).is_some());
        for place in 0..token.len() {
            let mut other = token.clone();
            other.replace_range(place..=place, "x");
            assert!(memory.recall(&other).is_none(), "{place}");
        }
        assert!(memory.recall(&token[1..]).is_none() && memory.recall(&token[token.len() - 16..]).is_none() && memory.recall("").is_none());
        // Two tokens with the same end: one is remembered, and neither is taken for the other.
        let other = format!("x{token}");
        memory.remember(&other, verified(1));
        assert_eq!(memory.recall(&other).map(|known| known.issuer), Some(1));
        assert!(memory.recall(&token).is_none());
    }

    #[test]
    fn texts_are_the_same_byte_for_byte() {
        let text = "abcdefghijklmnopqrstuvwxyz";
        for end in 0..text.len() {
            for other in 0..text.len() {
                assert_eq!(is_same(&text[..end], &text[..other]), end == other);
            }
        }
    }

    #[test]
    fn a_hash_depends_on_the_seed() {
        let hash = |seed| Remembered::default().seeded(seed).hash("a.b.c");
        assert!(hash(0) == hash(0) && hash(0) != hash(1) && hash(1) != hash(1 << 64));
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let mut memory = Remembered::default();
        for index in 0..5 * GENERATION {
            memory.remember(&format!("a.b.{index}"), verified(0));
            assert!(memory.recall("a.b.0").is_some(), "{index}");
        }
        assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION);
        assert!(memory.recall("a.b.1").is_none());
    }
}
