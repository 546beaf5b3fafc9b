//! Numbers that are used once: by no other worker, and not again after a restart.

use crate::credential::push_token::Nonce;
use crate::wire::time::UnixTime;
use sha2::{Digest, Sha256};
use std::cell::Cell;

/// What they are made of.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// The host's random bytes, which each worker has of its own.
    seed: u128,
    count: Cell<u64>,
}

impl Nonces {
    /// The same with the host's random bytes.
    pub fn seeded(seed: u128) -> Self {
        Self { seed, ..Self::default() }
    }

    /// A new one. `now` tells those of two workers apart whose host has no random bytes.
    pub fn next(&self, now: UnixTime) -> Nonce {
        let count = self.count.get().wrapping_add(1);
        self.count.set(count);
        let digest = Sha256::new_with_prefix(b"attache nonce 1\n").chain_update(self.seed.to_be_bytes());
        let digest = digest.chain_update(now.to_bytes()).chain_update(count.to_be_bytes()).finalize();
        digest.first_chunk().copied().unwrap_or_default()
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
        let workers = [1, 2, 1 << 127].map(Nonces::seeded);
        let all: Vec<_> = workers.iter().flat_map(|worker| [5, 5, 6].map(|now| worker.next(at(now)))).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 9);
        // After a restart a worker counts anew, but the time has gone on.
        assert!(!all.contains(&Nonces::seeded(1).next(at(7))));
    }
}
