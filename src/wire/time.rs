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

    /// The moment as RFC 3339 writes it, in UTC with microseconds: `2026-01-02T03:04:05.000006Z`. Moments after the year
    /// 9999 are written as its end.
    #[must_use]
    pub fn rfc3339(self) -> String {
        const DAY: u64 = 86_400;
        const END: u64 = 253_402_300_799;
        let seconds = self.0.as_secs().min(END);
        let (year, month, day) = date(seconds / DAY);
        let time = seconds % DAY;
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let mut text = String::with_capacity(27);
        let micros = u64::from(self.0.subsec_micros());
        for (number, digits, then) in
            [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (hour, 2, ':'), (minute, 2, ':'), (second, 2, '.'), (micros, 6, 'Z')]
        {
            push_digits(&mut text, number, digits);
            text.push(then);
        }
        text
    }
}

/// Writes the last `digits` of `number`. (What `format!` does with padding costs more than all else of a date.)
fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number.checked_div(10_u64.saturating_pow(place)).unwrap_or_default() % 10;
        text.push(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 10)).unwrap_or('0'));
    }
}

/// Year, month and day of the day `days` after 1970-01-01. Counts in years that begin in March, so that the leap day is
/// the last of its year, and in eras of 400 years, which all have the same days.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // From 0000-03-01.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / ERA, days % ERA);
    let leaps = (day / 1460).saturating_sub(day / 36_524).saturating_add(day / 146_096);
    let year = day.saturating_sub(leaps) / 365;
    let day = day.saturating_sub(year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100));
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let first = month.saturating_mul(153).saturating_add(2) / 5;
    let (month, later) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    (era.saturating_mul(400).saturating_add(year).saturating_add(later), month, day.saturating_sub(first).saturating_add(1))
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
    fn moments_are_written_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (68_169_599, "1972-02-28T23:59:59.000000Z"),
            (68_169_600, "1972-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000000Z"),
            (u64::MAX, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(UnixTime::from_secs(seconds).rfc3339(), text);
        }
        assert_eq!(UnixTime::new(Duration::from_micros(1_234_567)).rfc3339(), "1970-01-01T00:00:01.234567Z");
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let late = UnixTime::from_secs(u64::MAX);
        assert_eq!(late.plus(Duration::MAX), UnixTime::new(Duration::MAX));
        assert_eq!(UnixTime::from_secs(1).since(late), Duration::ZERO);
    }
}
