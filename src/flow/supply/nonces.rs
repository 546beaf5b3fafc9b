//! Numbers that are used once: by no other worker, and not again after a restart.

use crate::credential::Key;
use crate::wire::time::UnixTime;
use sha2::{Digest, Sha256};
use std::cell::Cell;

/// What they are made of.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// The host's random bytes, which each worker has of its own.
    seed: Cell<u128>,
    count: Cell<u64>,
}

impl Nonces {
    /// From now on with the host's random bytes.
    pub fn seed(&self, seed: u128) {
        self.seed.set(seed);
    }

    /// A new one. `now` tells those of two workers apart whose host has no random bytes.
    pub fn next(&self, now: UnixTime) -> Key {
        let count = self.count.get().wrapping_add(1);
        self.count.set(count);
        let digest = Sha256::new_with_prefix(b"attache nonce 1\n").chain_update(self.seed.get().to_be_bytes());
        digest.chain_update(now.to_bytes()).chain_update(count.to_be_bytes()).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Nonces;
    use crate::wire::time::UnixTime;
    use std::collections::BTreeSet;

    #[test]
    fn none_comes_twice() {
        let at = UnixTime::from_secs;
        let seeded = |seed: u128| {
            let nonces = Nonces::default();
            nonces.seed(seed);
            nonces
        };
        let workers = [1, 2, 1 << 127].map(seeded);
        let all: Vec<_> = workers.iter().flat_map(|worker| [5, 5, 6].map(|now| worker.next(at(now)))).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 9);
        // After a restart a worker counts anew, but the time has gone on.
        assert!(!all.contains(&seeded(1).next(at(7))));
    }
}
