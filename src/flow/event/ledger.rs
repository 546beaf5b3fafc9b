//! Decisions, counted and timed here until the proxy's statistics take them, so that a request costs no host call for them.

use crate::flow::event::decision::Decision;
use crate::flow::event::metric::Count;
use crate::flow::event::target::Target;
use crate::wire::sorted::SortedMap;

/// Most counters of decisions; what comes then is counted by the decision alone.
const MOST: usize = 4096;
/// Most times that are kept. A histogram takes each one by itself.
const MOST_TIMES: usize = 256;

/// How long a decision took, in microseconds, and at which place it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Where the request was going.
    pub target: Option<Target>,
    /// What was decided.
    pub decision: Decision,
    /// How long that took.
    pub microseconds: u64,
}

/// What was decided since the statistics last took it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every counter that there is, with what is to be added.
    counts: SortedMap<Count, u64>,
    times: Vec<Time>,
    /// Some count is not 0.
    counted: bool,
}

impl Ledger {
    /// Takes a decision. `true`: no other time can be kept, so that all has to be taken now.
    pub fn decided(&mut self, count: Count, microseconds: u64) -> bool {
        let has_room = self.counts.len() < MOST || self.counts.contains_key(&count);
        let count = if has_room { count } else { count.coarse() };
        match self.counts.get_mut(&count) {
            Some(known) => *known = known.saturating_add(1),
            None => drop(self.counts.insert(count, 1)),
        }
        self.counted = true;
        let Count { target, decision, .. } = count;
        self.times.push(Time { target, decision, microseconds });
        self.times.len() >= MOST_TIMES
    }

    /// The counts since this was last asked.
    pub fn take_counts(&mut self) -> Vec<(Count, u64)> {
        if !std::mem::take(&mut self.counted) {
            return Vec::new();
        }
        self.counts.iter_mut().filter(|(_, more)| **more > 0).map(|(count, more)| (*count, std::mem::take(more))).collect()
    }

    /// The times since this was last asked.
    pub fn take_times(&mut self) -> impl Iterator<Item = Time> {
        self.times.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Decision, Ledger, MOST, MOST_TIMES, Target};

    fn count(index: usize) -> Count {
        let (version, binding, operation, decision, reason) = (None, None, None, Decision::Allow, None);
        Count { target: Some(Target::Agent(index)), version, binding, operation, decision, reason }
    }

    #[test]
    fn all_is_taken_once() {
        let mut ledger = Ledger::default();
        for (index, microseconds) in [(1, 5), (0, 6), (1, 7)] {
            assert!(!ledger.decided(count(index), microseconds));
        }
        assert_eq!(ledger.take_counts(), [(count(0), 1), (count(1), 2)]);
        assert_eq!(ledger.take_times().map(|time| time.microseconds).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(ledger.take_counts().is_empty() && ledger.take_times().next().is_none());
        ledger.decided(count(1), 8);
        assert_eq!((ledger.take_counts(), ledger.take_times().count()), (vec![(count(1), 1)], 1));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut ledger = Ledger::default();
        let full = (0..MOST_TIMES).filter(|index| ledger.decided(count(*index), 1)).collect::<Vec<_>>();
        assert_eq!(full, [MOST_TIMES - 1]);
        for index in 0..MOST + 10 {
            ledger.decided(count(index), 1);
        }
        let counts = ledger.take_counts();
        assert_eq!((counts.len(), counts[0]), (MOST + 1, (count(0).coarse(), 10)));
        assert_eq!(counts.iter().map(|(_, more)| more).sum::<u64>(), u64::try_from(MOST + 10 + MOST_TIMES).unwrap());
    }
}
