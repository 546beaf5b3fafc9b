//! The member names of all open objects, as fingerprints, so that a repeated one is seen whatever its length.
//!
//! Equal names have equal fingerprints, so no repetition is missed and no secret is needed: a caller who finds two
//! names with the same fingerprint only has a request refused that nobody else sent. Look-ups cost the logarithm of
//! the names at worst.

use super::Fault;
use std::collections::BTreeSet;

/// So many names of one object are compared one by one; that is faster than a search.
const FEW: usize = 24;

/// A 64-bit hash of a name (FxHash over its bytes, eight at a time, and its length).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint(u64);

/// A fingerprint that is made piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hasher {
    hash: u64,
    /// The last bytes, less than eight, the oldest lowest.
    word: u64,
    length: u64,
}

impl Hasher {
    /// Goes on with `bytes`.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let (words, tail) = if self.length.is_multiple_of(8) { bytes.as_chunks::<8>() } else { (&[][..], bytes) };
        for word in words {
            self.mix(u64::from_le_bytes(*word));
            self.length = self.length.wrapping_add(8);
        }
        for byte in tail {
            self.word |= u64::from(*byte) << ((self.length % 8) << 3);
            self.length = self.length.wrapping_add(1);
            if self.length.is_multiple_of(8) {
                self.mix(self.word);
                self.word = 0;
            }
        }
    }

    const fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(super) const fn finish(mut self) -> Fingerprint {
        self.mix(self.word);
        self.mix(self.length);
        Fingerprint(self.hash)
    }
}

impl Fingerprint {
    pub(super) fn of(name: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.extend(name);
        hasher.finish()
    }

    /// One of 64.
    const fn bit(self) -> u64 {
        1 << (self.0 >> 58)
    }

    /// That of the first `length` of these bytes, as [`Fingerprint::of`] makes it; `length` is less than 16.
    #[inline]
    pub(super) fn of_short(bytes: &[u8; 16], length: u32) -> Self {
        let ([first, second], _) = bytes.as_chunks::<8>() else { return Self::of(bytes) };
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        let lowest = |word: u64, length: u32| word & !(u64::MAX << (length << 3));
        let mut hasher = Hasher { length: u64::from(length), ..Hasher::default() };
        if length < 8 {
            hasher.word = lowest(first, length);
        } else {
            hasher.mix(first);
            hasher.word = lowest(second, length & 7);
        }
        hasher.finish()
    }
}

/// The names seen so far in every object that is still open. Objects are named by their depth.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The first [`FEW`] names of each open object, the outermost's first.
    few: Vec<Fingerprint>,
    /// The others.
    many: BTreeSet<(usize, Fingerprint)>,
    limit: usize,
    /// Of the innermost object: [`Fingerprint::bit`] of each name.
    bits: u64,
}

/// Where the names of an object begin, and what to go on with when it closes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    start: usize,
    bits: u64,
}

impl Names {
    /// Remembers `limit` names at most.
    pub(super) fn new(limit: usize) -> Self {
        Self { few: Vec::with_capacity(FEW.min(limit)), many: BTreeSet::new(), limit, bits: 0 }
    }

    /// A mark to be given back with each name of an object that opens now, and when it closes.
    #[inline]
    pub(super) fn open(&mut self) -> Mark {
        Mark { start: self.few.len(), bits: std::mem::take(&mut self.bits) }
    }

    /// Adds a name of the innermost object.
    #[inline]
    pub(super) fn add(&mut self, depth: usize, mark: Mark, name: Fingerprint) -> Result<(), Fault> {
        // Equal names have equal bits: a bit that is not set is a new name.
        if self.bits & name.bit() != 0 && self.has(depth, mark, name) {
            return Err(Fault::RepeatedName);
        }
        if self.few.len().saturating_add(self.many.len()) >= self.limit {
            return Err(Fault::TooManyMembers);
        }
        self.bits |= name.bit();
        if self.few.len().saturating_sub(mark.start) < FEW {
            self.few.push(name);
        } else {
            self.many.insert((depth, name));
        }
        Ok(())
    }

    fn has(&self, depth: usize, mark: Mark, name: Fingerprint) -> bool {
        self.few.get(mark.start..).unwrap_or_default().contains(&name) || self.many.contains(&(depth, name))
    }

    /// Forgets the names of the innermost object.
    #[inline]
    pub(super) fn close(&mut self, depth: usize, mark: Mark) {
        self.few.truncate(mark.start);
        self.bits = mark.bits;
        while self.many.last().is_some_and(|(owner, _)| *owner == depth) {
            self.many.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Fingerprint, Hasher, Names};

    fn name(index: usize) -> Fingerprint {
        Fingerprint::of(index.to_string().as_bytes())
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_pieces() {
        let name = b"a name of some thirty-odd bytes here";
        for first in 0..name.len() {
            for second in first..name.len() {
                let mut pieces = Hasher::default();
                pieces.extend(&name[..first]);
                pieces.extend(&name[first..second]);
                pieces.extend(&name[second..]);
                assert_eq!(pieces.finish(), Fingerprint::of(name));
            }
        }
        for length in 0..16_u8 {
            let short = Fingerprint::of_short(name.first_chunk().unwrap(), u32::from(length));
            assert_eq!(short, Fingerprint::of(&name[..usize::from(length)]));
        }
        assert_ne!(Fingerprint::of(b""), Fingerprint::of(b"\0"));
        assert_ne!(Fingerprint::of(b"a"), Fingerprint::of(b"a\0"));
    }

    #[test]
    fn each_object_has_its_own_names_however_many() {
        let mut names = Names::new(1000);
        let outer = names.open();
        for index in 0..100 {
            names.add(1, outer, name(index)).unwrap();
        }
        for _ in 0..3 {
            let inner = names.open();
            for index in 0..200 {
                names.add(2, inner, name(index)).unwrap();
            }
            assert_eq!(names.add(2, inner, name(3)), Err(Fault::RepeatedName));
            assert_eq!(names.add(2, inner, name(150)), Err(Fault::RepeatedName));
            names.close(2, inner);
        }
        for index in 0..100 {
            assert_eq!(names.add(1, outer, name(index)), Err(Fault::RepeatedName));
        }
        names.close(1, outer);
        assert!(names.few.is_empty() && names.many.is_empty());
    }

    #[test]
    fn the_names_of_all_open_objects_count() {
        let mut names = Names::new(50);
        let outer = names.open();
        (0..30).for_each(|index| names.add(1, outer, name(index)).unwrap());
        let inner = names.open();
        (0..20).for_each(|index| names.add(2, inner, name(index)).unwrap());
        assert_eq!(names.add(2, inner, name(20)), Err(Fault::TooManyMembers));
        names.close(2, inner);
        names.add(1, outer, name(30)).unwrap();
    }
}
