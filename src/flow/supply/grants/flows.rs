//! How flows ended, as the vault says it: each ends once, whoever ends it first.

use crate::credential::link::LIFETIME;
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::store::Supply;
use crate::flow::supply::vault::operation::{Operation, Over, Place};
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use std::time::Duration;

/// How long it is known, after its link has run out.
const KEPT: Duration = Duration::from_secs(600);

impl Supply {
    /// Ends flow `id`, unless it has ended: a job. `None`: the vault cannot be asked.
    pub(in crate::flow) fn end_flow(&self, id: [u8; 16], ended: Ended, now: UnixTime) -> Option<u64> {
        let bytes = self.ring()?.seal(&[b"flow", &id], self.seal_nonce(now), ended.word().as_bytes());
        let until = now.plus(LIFETIME).plus(KEPT);
        self.store(Operation::Write { place: Place::Flow { id }, bytes, until, over: Over::Absent }, now)
    }

    /// Looks how flow `id` ended: a job.
    pub(in crate::flow) fn look_at_flow(&self, id: [u8; 16], now: UnixTime) -> Option<u64> {
        self.store(Operation::Read(Place::Flow { id }), now)
    }

    /// What the vault says of flow `id`. What no key of ours sealed counts as used.
    pub(in crate::flow) fn read_flow(&self, id: [u8; 16], sealed: &[u8]) -> Option<Ended> {
        let plain = self.ring().and_then(|ring| ring.open(&[b"flow", &id], sealed));
        let word = plain.as_ref().map_or(&b""[..], |plain| plain.expose_secret());
        Some(Ended::of(word).unwrap_or(Ended::Used))
    }
}
