//! Verified tokens, remembered so that a signature is checked once. A verdict dies with the keys of its
//! issuer, with its expiry and with the configuration (which owns this memory).

use super::{Caller, Origin};
use crate::wire::time::UnixTime;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Most tokens per generation; there are two, so up to twice as many are remembered.
const GENERATION: usize = 2048;

/// Remembered tokens. Ordered maps: the names in them are the callers' choice, and no hash can be flooded.
#[derive(Debug, Default)]
pub struct Remembered {
    young: BTreeMap<Box<str>, Verdict>,
    old: BTreeMap<Box<str>, Verdict>,
}

#[derive(Clone, Debug)]
struct Verdict {
    caller: Rc<Caller>,
    /// First moment at which it no longer holds: `exp` plus the issuer's skew.
    until: UnixTime,
}

impl Remembered {
    /// The caller whose verified token this is, if it still holds.
    pub fn recall(&mut self, token: &str, now: UnixTime) -> Option<Rc<Caller>> {
        let key = key(token);
        if let Some(verdict) = self.young.get(key.as_str()) {
            return (now < verdict.until).then(|| Rc::clone(&verdict.caller));
        }
        let verdict = self.old.remove(key.as_str())?;
        let caller = (now < verdict.until).then(|| Rc::clone(&verdict.caller))?;
        self.insert(key.into_boxed_str(), verdict);
        Some(caller)
    }

    /// Remembers a token that was just verified.
    pub fn remember(&mut self, token: &str, caller: Rc<Caller>, until: UnixTime) {
        self.insert(key(token).into_boxed_str(), Verdict { caller, until });
    }

    /// Forgets every token of `issuer`.
    pub fn forget(&mut self, issuer: usize) {
        self.young.retain(|_, verdict| verdict.caller.origin != Origin::Issuer(issuer));
        self.old.retain(|_, verdict| verdict.caller.origin != Origin::Issuer(issuer));
    }

    fn insert(&mut self, key: Box<str>, verdict: Verdict) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }
}

/// The whole token, signature first: tokens of one issuer begin alike, signatures differ at once, so that a
/// look-up compares few bytes.
fn key(token: &str) -> String {
    match token.rsplit_once('.') {
        Some((signed, signature)) => [signature, ".", signed].concat(),
        None => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, GENERATION, Origin, Rc, Remembered, UnixTime};

    fn caller(issuer: usize) -> Rc<Caller> {
        Rc::new(Caller::of(Origin::Issuer(issuer)))
    }

    #[test]
    fn a_token_is_known_until_it_expires_or_its_keys_change() {
        let mut memory = Remembered::default();
        memory.remember("a.b.c", caller(0), UnixTime::from_secs(10));
        memory.remember("a.b.d", caller(1), UnixTime::from_secs(10));
        assert!(memory.recall("a.b.c", UnixTime::from_secs(9)).is_some());
        assert!(memory.recall("a.x.c", UnixTime::from_secs(9)).is_none());
        assert!(memory.recall("a.b.c", UnixTime::from_secs(10)).is_none());
        memory.forget(1);
        assert!(memory.recall("a.b.d", UnixTime::from_secs(9)).is_none());
        assert!(memory.recall("a.b.c", UnixTime::from_secs(9)).is_some());
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let mut memory = Remembered::default();
        let later = UnixTime::from_secs(10);
        for index in 0..5 * GENERATION {
            memory.remember(&format!("a.b.{index}"), caller(0), later);
            assert!(memory.recall("a.b.0", UnixTime::from_secs(1)).is_some(), "{index}");
        }
        assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION);
        assert!(memory.recall("a.b.1", UnixTime::from_secs(1)).is_none());
    }
}
