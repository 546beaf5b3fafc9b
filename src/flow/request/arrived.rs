//! What the proxy holds of a request's body, and which part of that an event brings. A body stays in the proxy until its
//! sender is known: nothing of it is copied before, so those who wait cost this filter nothing but their heads.

use crate::flow::event::Event;
use std::ops::Range;

/// Of a body that is refused anyway, at most this much is read to find the request's id.
pub const MAX_BYTES_FOR_ID: usize = 64 * 1024;

/// The body of a request that is not decided yet.
#[derive(Debug, Default)]
pub(in crate::flow) struct Arrived {
    /// Bytes in the proxy's buffer.
    held: usize,
    /// How many of them have been read.
    taken: usize,
    /// A part has come, were it an empty one.
    begun: bool,
    /// All of it has come.
    ended: bool,
    /// The reader knows that.
    end_told: bool,
}

/// How much of the proxy's buffer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Reading {
    /// Nothing: it stays where it is.
    Nothing,
    /// What is not read yet.
    Rest,
    /// What is not read yet, up to [`MAX_BYTES_FOR_ID`] from the beginning.
    ForId,
    /// All: the proxy lets go of each part as it comes.
    Passing,
}

/// A part of the proxy's buffer that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is, in bytes; empty if nothing is to be read.
    pub range: Range<usize>,
    /// Bytes in the buffer.
    held: usize,
    ended: bool,
}

impl Part {
    /// The event for it. `chunk`: the bytes in its range.
    #[must_use]
    pub fn event(&self, chunk: Vec<u8>) -> Event {
        Event::RequestBody { bytes: u64::try_from(self.held).unwrap_or(u64::MAX), end: self.ended, chunk }
    }
}

impl Arrived {
    /// Whether anything has come.
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Bytes in the proxy's buffer.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// A callback tells that the proxy's buffer has `size` bytes now, and that the body is complete.
    pub fn come(&mut self, size: usize, ended: bool, reading: Reading) -> Part {
        self.held = size;
        self.begun = true;
        self.ended |= ended;
        self.part(reading)
    }

    /// What is there but not read: to be read as soon as there is a reader.
    pub fn unread(&mut self, reading: Reading) -> Option<Part> {
        let reads = matches!(reading, Reading::Rest | Reading::ForId);
        let end_is_due = self.ended && !self.end_told && self.limit(reading) >= self.held;
        (reads && (self.limit(reading) > self.taken || end_is_due)).then(|| self.part(reading))
    }

    /// Where reading ends for now.
    fn limit(&self, reading: Reading) -> usize {
        match reading {
            Reading::Nothing => 0,
            Reading::Rest | Reading::Passing => self.held,
            Reading::ForId => self.held.min(MAX_BYTES_FOR_ID),
        }
    }

    fn part(&mut self, reading: Reading) -> Part {
        let start = if reading == Reading::Passing { 0 } else { self.taken };
        self.taken = self.limit(reading).max(start);
        // Where reading stops short of the end, that is no end for whoever reads.
        let ended = self.ended && (reading != Reading::ForId || self.taken >= self.held);
        self.end_told |= ended && reading != Reading::Nothing;
        Part { range: start..self.taken, held: self.held, ended }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrived, MAX_BYTES_FOR_ID, Reading};

    #[test]
    fn what_waits_is_read_in_one_go_and_once() {
        let mut arrived = Arrived::default();
        assert_eq!(arrived.unread(Reading::Rest), None);
        assert!(arrived.come(10, false, Reading::Nothing).range.is_empty());
        assert!(arrived.come(1_000_000, true, Reading::Nothing).range.is_empty());
        let part = arrived.unread(Reading::Rest).unwrap();
        assert_eq!((part.range, part.held, part.ended), (0..1_000_000, 1_000_000, true));
        assert_eq!(arrived.unread(Reading::Rest), None);
        let mut arrived = Arrived::default();
        assert_eq!(arrived.come(10, false, Reading::Rest).range, 0..10);
        assert_eq!(arrived.unread(Reading::Rest), None);
        assert_eq!(arrived.come(15, false, Reading::Rest).range, 10..15);
        assert_eq!(arrived.come(15, true, Reading::Rest).range, 15..15);
    }

    #[test]
    fn for_an_id_no_more_is_read_than_it_takes() {
        let mut arrived = Arrived::default();
        arrived.come(1_000_000, true, Reading::Nothing);
        let part = arrived.unread(Reading::ForId).unwrap();
        assert_eq!((part.range, part.ended), (0..MAX_BYTES_FOR_ID, false));
        assert_eq!(arrived.unread(Reading::ForId), None);
        assert!(arrived.come(1_500_000, false, Reading::ForId).range.is_empty());
    }

    #[test]
    fn a_body_that_passes_comes_part_by_part() {
        let mut arrived = Arrived::default();
        assert_eq!(arrived.come(10, false, Reading::Rest).range, 0..10);
        assert_eq!(arrived.come(4, false, Reading::Passing).range, 0..4);
        assert_eq!(arrived.come(6, true, Reading::Passing).range, 0..6);
    }
}
