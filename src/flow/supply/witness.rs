//! What has been seen once: the `jti` of tokens that are good for one notification (RFC 7519 section 4.1.7), and the task that a token
//! of the filter came with first. All workers of a proxy share it on the board, in a fixed number of places: shared data has no delete.
//! What is seen at one proxy is unknown at another, where only the token's expiry ends it.

use crate::flow::supply::board::Board;
use crate::wire::time::UnixTime;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::rc::Rc;

/// Places on the board. With [`ENTRIES`] each, 32,640 things are known at a time, in a megabyte at most.
const PLACES: u8 = 255;
/// Most entries of one place.
const ENTRIES: usize = 128;
/// Bytes of a digest that are kept.
const KEY_BYTES: usize = 16;
/// Bytes of the digest of what it was seen with.
const WITH_BYTES: usize = 8;
/// Bytes of an entry: its digest, the second in which it ends, and the digest of what it was seen with.
const ENTRY_BYTES: usize = KEY_BYTES + 8 + WITH_BYTES;
/// How often a place is written anew that another worker changed meanwhile.
const ATTEMPTS: u8 = 16;

/// Something that is seen.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What sort of thing, and whose: no two of these share entries.
    pub of: &'a [&'a str],
    /// Which one.
    pub name: &'a [u8],
    /// What it comes with.
    pub with: &'a str,
    /// Until when it matters.
    pub until: UnixTime,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was not seen before. From now on it was.
    First,
    /// It was, with the same.
    Same,
    /// It was, with something else.
    Other,
    /// That cannot be known: no place is left, or others write all the time.
    Unknown,
}

/// What a proxy's workers have seen. Without a board nothing can be known.
#[derive(Clone, Default)]
pub struct Witness(Option<Rc<dyn Board>>);

impl fmt::Debug for Witness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Witness").field(&self.0.is_some()).finish()
    }
}

impl Witness {
    /// One that keeps what it sees on `board`.
    #[must_use]
    pub fn on(board: Rc<dyn Board>) -> Self {
        Self(Some(board))
    }

    /// Notes `sight`, if it is the first.
    #[must_use]
    pub fn see(&self, sight: &Sight<'_>, now: UnixTime) -> Seen {
        let Some(board) = &self.0 else { return Seen::Unknown };
        let key = digest(sight);
        let with: [u8; WITH_BYTES] = first(&Sha256::digest(sight.with));
        let place = name(key.first().copied().unwrap_or_default() % PLACES);
        let seconds = |time: UnixTime| time.since(UnixTime::default()).as_secs();
        for _ in 0..ATTEMPTS {
            let (bytes, version) = board.read(&place);
            let bytes = bytes.unwrap_or_default();
            let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
            let mut kept = Vec::with_capacity(bytes.len().saturating_add(ENTRY_BYTES));
            for entry in entries {
                let (own, rest) = entry.split_at(KEY_BYTES);
                let (end, own_with) = rest.split_at(8);
                let end = end.try_into().map_or(0, u64::from_be_bytes);
                // Seconds are cut off: one more is still in the last.
                if end < seconds(now) {
                    continue;
                }
                if own == key {
                    return if own_with == with { Seen::Same } else { Seen::Other };
                }
                kept.extend_from_slice(entry);
            }
            if kept.len() >= ENTRIES.saturating_mul(ENTRY_BYTES) {
                return Seen::Unknown;
            }
            kept.extend_from_slice(&key);
            kept.extend_from_slice(&seconds(sight.until).to_be_bytes());
            kept.extend_from_slice(&with);
            // A place that nobody has made could be made by two at once.
            if version.is_some() && board.write_if(&place, Some(&kept), version) {
                return Seen::First;
            }
        }
        Seen::Unknown
    }
}

/// Makes the places, unless they are there: a place that does not exist cannot be changed by one worker only. Envoy configures its main
/// thread first, so there is no race for this.
pub(super) fn open(board: &dyn Board) {
    for place in 0..PLACES {
        let name = name(place);
        if board.read(&name).1.is_none() {
            board.write_if(&name, Some(&[]), None);
        }
    }
}

fn name(place: u8) -> String {
    format!("attache.seen.{place}")
}

fn digest(sight: &Sight<'_>) -> [u8; KEY_BYTES] {
    let mut digest = Sha256::new();
    for part in sight.of.iter().map(|part| part.as_bytes()).chain([sight.name]) {
        // With its length before it no part can be mistaken for two.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    first(&digest.finalize())
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::{Board, ENTRIES, PLACES, Seen, Sight, Witness, open};
    use crate::wire::sorted::SortedMap;
    use crate::wire::time::UnixTime;
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    #[derive(Default)]
    struct Memory {
        values: RefCell<SortedMap<String, (Vec<u8>, u32)>>,
        /// How many writes are lost to others.
        lost: Cell<u32>,
    }

    impl Board for Memory {
        fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
            self.values.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
        }

        fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
            let mut values = self.values.borrow_mut();
            let known = values.get(name).map(|(_, version)| *version);
            let lost = self.lost.get();
            self.lost.set(lost.saturating_sub(1));
            let is_free = lost == 0 && (version.is_none() || version == known);
            if is_free {
                values.insert(name.to_owned(), (value.unwrap_or_default().to_vec(), known.unwrap_or_default() + 1));
            }
            is_free
        }
    }

    fn sight<'a>(name: &'a str, with: &'a str, until: u64) -> Sight<'a> {
        Sight { of: &["jti", "hook"], name: name.as_bytes(), with, until: UnixTime::from_secs(until) }
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn what_was_seen_is_known_to_all_workers_until_it_ends() {
        let board = Rc::new(Memory::default());
        open(&*board);
        let (one, other) = (Witness::on(Rc::clone(&board) as Rc<dyn Board>), Witness::on(board));
        assert_eq!(one.see(&sight("a", "t", 100), at(10)), Seen::First);
        assert_eq!(other.see(&sight("a", "t", 100), at(10)), Seen::Same);
        assert_eq!(other.see(&sight("a", "u", 100), at(99)), Seen::Other);
        assert_eq!(one.see(&sight("b", "t", 100), at(10)), Seen::First);
        assert_eq!(one.see(&sight("a", "u", 100), at(100)), Seen::Other);
        assert_eq!(one.see(&sight("a", "u", 300), at(101)), Seen::First);
        let elsewhere = Sight { of: &["jti", "hooka"], name: b"", ..sight("", "t", 100) };
        assert_eq!(one.see(&Sight { of: &["jti", "hook"], name: b"a", ..elsewhere }, at(10)), Seen::Other);
        assert_eq!(one.see(&elsewhere, at(10)), Seen::First);
    }

    #[test]
    fn what_cannot_be_known_is_not_first() {
        assert_eq!(Witness::default().see(&sight("a", "t", 100), at(10)), Seen::Unknown);
        let board = Rc::new(Memory::default());
        let witness = Witness::on(Rc::clone(&board) as Rc<dyn Board>);
        assert_eq!(witness.see(&sight("a", "t", 100), at(10)), Seen::Unknown, "its place was never made");
        open(&*board);
        board.lost.set(15);
        assert_eq!(witness.see(&sight("a", "t", 100), at(10)), Seen::First);
        board.lost.set(1000);
        assert_eq!(witness.see(&sight("b", "t", 100), at(10)), Seen::Unknown);
    }

    #[test]
    fn memory_is_bounded_and_what_has_ended_makes_room() {
        let board = Rc::new(Memory::default());
        open(&*board);
        let witness = Witness::on(Rc::clone(&board) as Rc<dyn Board>);
        let most = usize::from(PLACES) * ENTRIES;
        let first = (0..2 * most).filter(|index| witness.see(&sight(&index.to_string(), "", 100), at(10)) == Seen::First).count();
        assert!(first > most * 9 / 10 && first <= most, "{first}");
        assert!(board.values.borrow().values().all(|(value, _)| value.len() <= 4096));
        assert_eq!(witness.see(&sight("new", "", 300), at(200)), Seen::First);
    }
}
