//! The questions of one scheme about tokens of one kind: so many are under way at a time, and the next is that of the client
//! who has the fewest under way.

use crate::wire::network::Network;
use crate::wire::paged::PagedMap;
use crate::wire::sorted::SortedSet;
use crate::wire::time::UnixTime;
use std::time::Duration;

/// Names a token and the scheme that asks about it.
pub(super) type Key = [u8; 32];

/// Pause after an endpoint could not be reached.
pub(super) const REST: Duration = Duration::from_secs(1);
/// So many tokens in a row, within this time, have to go without an answer before all others have to: one token, or one answer
/// that was lost, must not keep others waiting.
const ODD: (usize, Duration) = (5, Duration::from_secs(1));
/// Most questions that are under way at a time.
pub(super) const MAX_ASKED: usize = 128;

/// Questions under way and about to be asked.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Questions under way.
    pub asked: usize,
    clients: PagedMap<Option<Network>, Queue>,
    /// Tokens about which there was no answer, since the last answer.
    unanswered: SortedSet<Key>,
    /// When the first of them was asked about.
    since: UnixTime,
    /// The endpoint is left alone until then.
    rest: UnixTime,
}

/// Those of one client.
#[derive(Debug, Default)]
struct Queue {
    asked: usize,
    /// In the order of their arrival.
    waiting: PagedMap<u64, Key>,
}

impl Lane {
    pub fn wait(&mut self, client: Option<Network>, number: u64, key: Key) {
        self.clients.change(client, |queue| {
            queue.waiting.insert(number, key);
        });
    }

    /// Whether a question can begin.
    pub fn is_due(&self) -> bool {
        self.asked < MAX_ASKED && self.clients.values().any(|queue| !queue.waiting.is_empty())
    }

    /// The questions whose turn it is.
    pub fn due(&self) -> Vec<Key> {
        let free = MAX_ASKED.saturating_sub(self.asked);
        if free == 0 {
            return Vec::new();
        }
        // The n-th question of a client comes when it has n-1 others under way; among equals the older one.
        let turns = self.clients.values().flat_map(|queue| {
            let waiting = queue.waiting.iter().take(free);
            waiting.enumerate().map(|(place, (number, key))| (queue.asked.saturating_add(place), *number, *key))
        });
        let mut turns: Vec<(usize, u64, Key)> = turns.collect();
        turns.sort_unstable();
        turns.into_iter().take(free).map(|(_, _, key)| key).collect()
    }

    /// Begins a question. `false`: that is one too many.
    pub fn begin(&mut self, client: Option<Network>, number: u64) -> bool {
        let Some(queue) = self.clients.get_mut(&client) else { return false };
        if self.asked >= MAX_ASKED || queue.waiting.remove(&number).is_none() {
            return false;
        }
        queue.asked = queue.asked.saturating_add(1);
        self.asked = self.asked.saturating_add(1);
        true
    }

    /// A question ends, or nobody has it any more.
    pub fn leave(&mut self, client: Option<Network>, number: u64, asked: bool) {
        let Some(queue) = self.clients.get_mut(&client) else { return };
        if asked {
            queue.asked = queue.asked.saturating_sub(1);
            self.asked = self.asked.saturating_sub(1);
        } else {
            queue.waiting.remove(&number);
        }
        if queue.asked == 0 && queue.waiting.is_empty() {
            self.clients.remove(&client);
        }
    }

    /// Whether the endpoint is left alone.
    pub fn rests(&self, now: UnixTime) -> bool {
        now < self.rest
    }

    /// The endpoint answered.
    pub fn answered(&mut self) {
        self.unanswered = SortedSet::new();
    }

    /// The endpoint gave no answer about a token. `true` if it is left alone from now on.
    pub fn odd(&mut self, key: Key, now: UnixTime) -> bool {
        let (many, time) = ODD;
        if self.unanswered.is_empty() || now.since(self.since) > time || now < self.since {
            self.unanswered = SortedSet::new();
            self.since = now;
        }
        self.unanswered.insert(key);
        let rests = self.unanswered.len() >= many;
        if rests {
            self.unanswered = SortedSet::new();
            self.rest = now.plus(REST);
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, MAX_ASKED};
    use crate::wire::network::Network;
    use crate::wire::time::UnixTime;
    use std::time::Duration;

    const A: Option<Network> = Some(Network::V4(1));
    const B: Option<Network> = Some(Network::V4(2));

    fn key(number: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn who_asks_little_is_next() {
        let mut lane = Lane::default();
        for number in 0..1000 {
            lane.wait(A, number, key(number));
        }
        for number in 0..MAX_ASKED as u64 {
            assert!(lane.due().contains(&key(number)) && lane.begin(A, number));
        }
        lane.wait(B, 1000, key(1000));
        lane.wait(B, 1001, key(1001));
        assert!(lane.due().is_empty() && !lane.is_due() && !lane.begin(B, 1000));
        lane.leave(A, 0, true);
        assert_eq!(lane.due(), [key(1000)]);
        assert!(lane.begin(B, 1000));
        lane.leave(A, 1, true);
        lane.leave(B, 1000, true);
        assert_eq!(lane.due(), [key(1001), key(MAX_ASKED as u64)]);
    }

    #[test]
    fn those_who_cannot_be_told_apart_come_in_their_order() {
        let mut lane = Lane::default();
        (0..500).for_each(|number| lane.wait(None, number, key(number)));
        let first: Vec<_> = (0..MAX_ASKED as u64).map(key).collect();
        assert_eq!(lane.due(), first);
        (0..500).for_each(|number| lane.leave(None, number, false));
        assert!(!lane.is_due() && lane.clients.is_empty());
    }

    #[test]
    fn many_tokens_in_a_row_make_it_rest_and_one_does_not() {
        let at = |millis| UnixTime::from_secs(1000).plus(Duration::from_millis(millis));
        let mut lane = Lane::default();
        assert!((0..50).all(|_| !lane.odd(key(1), at(0))), "one token");
        assert!((2..5).all(|number| !lane.odd(key(number), at(500))));
        lane.answered();
        assert!((2..6).all(|number| !lane.odd(key(number), at(600))), "there was an answer");
        assert!(!lane.odd(key(6), at(1700)), "too long ago");
        assert!((7..10).all(|number| !lane.odd(key(number), at(1700))) && !lane.rests(at(1700)));
        assert!(lane.odd(key(10), at(1800)) && lane.rests(at(2799)) && !lane.rests(at(2800)));
    }
}
