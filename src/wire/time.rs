//! Time as a value: the core has no clock, every event brings its own.

use std::time::Duration;

/// A moment, counted from 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(Duration);

impl UnixTime {
    /// The end of time: later than every other moment.
    pub const END: Self = Self(Duration::MAX);

    /// The moment `since_epoch` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The moment `seconds` after 1970-01-01T00:00:00Z: a JWT `NumericDate` (RFC 7519 section 2).
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The moment `by` later; the end of time if that cannot be counted.
    #[must_use]
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Seconds and nanoseconds since 1970, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.0.as_secs().to_le_bytes()[..], &self.0.subsec_nanos().to_le_bytes()].concat()
    }

    /// The moment that [`UnixTime::to_bytes`] wrote; the end of time for what it never writes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, nanos @ ..] = bytes;
        let (seconds, nanos) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(nanos));
        if nanos < 1_000_000_000 { Self(Duration::new(seconds, nanos)) } else { Self::END }
    }

    /// How long after `earlier` this is; zero if it is not after it (clocks do jump back).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::UnixTime;
    use std::time::Duration;

    #[test]
    fn a_moment_survives_as_bytes() {
        for time in [UnixTime::default(), UnixTime::END, UnixTime::new(Duration::new(1_800_000_000, 999_999_999))] {
            assert_eq!(UnixTime::from_bytes(time.to_bytes().try_into().unwrap()), time);
        }
        assert_eq!(UnixTime::from_bytes([0xff; 12]), UnixTime::END);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let late = UnixTime::from_secs(u64::MAX);
        assert_eq!(late.plus(Duration::MAX), UnixTime::new(Duration::MAX));
        assert_eq!(UnixTime::from_secs(1).since(late), Duration::ZERO);
    }
}
