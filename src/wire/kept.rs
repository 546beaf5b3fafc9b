//! A document that is fetched and kept: kept fresh, kept through failures up to `max_stale`, and fetched early when
//! something is not in it that may be in the next. Decides when; the host fetches.

use super::time::UnixTime;
use std::rc::Rc;
use std::time::Duration;

/// At most one early fetch in this time: anyone can cause one, by an unknown `kid`. It doubles with each that brings
/// nothing new, up to `LONGEST_INTERVAL`.
pub const EARLY_FETCH_INTERVAL: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
/// First pause after a failed fetch; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// A document over time.
#[derive(Debug)]
pub struct Kept<T> {
    content: Option<Rc<T>>,
    fetched: UnixTime,
    attempted: Option<UnixTime>,
    failures: u32,
    /// Early fetches in a row that brought nothing new.
    fruitless: u32,
    in_flight: bool,
    /// The fetch under way, or the last one, began before the document was old.
    early: bool,
    /// `None` for what stands in the configuration: it is never fetched and never stale.
    times: Option<Times>,
    /// For how long the document itself wants to be kept, if it says.
    lifetime: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    refresh: Duration,
    max_stale: Duration,
}

/// What a request that needs the document should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A fetch is under way or may begin: wait for it.
    ForFetch,
    /// There will be no answer soon: refuse.
    Never,
}

impl<T: PartialEq> Kept<T> {
    /// A document from the configuration.
    #[must_use]
    pub fn inline(content: T) -> Self {
        Self { content: Some(Rc::new(content)), ..Self::nothing() }
    }

    /// None, and there never will be one.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            content: None,
            fetched: UnixTime::from_secs(0),
            attempted: None,
            failures: 0,
            fruitless: 0,
            in_flight: false,
            early: false,
            times: None,
            lifetime: None,
        }
    }

    /// A document that has to be fetched.
    #[must_use]
    pub fn remote(refresh: Duration, max_stale: Duration) -> Self {
        Self { times: Some(Times { refresh, max_stale }), ..Self::nothing() }
    }

    /// The document, unless there is none or it is too old.
    #[must_use]
    pub fn usable(&self, now: UnixTime) -> Option<Rc<T>> {
        match self.times {
            Some(times) if now.since(self.fetched) > times.max_stale => None,
            _ => self.content.clone(),
        }
    }

    /// How old the document is that was fetched last, if one was.
    #[must_use]
    pub fn age(&self, now: UnixTime) -> Option<Duration> {
        self.times.and(self.content.as_ref()).map(|_| now.since(self.fetched))
    }

    /// Whether a fetch should begin now, without anyone asking.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        !self.in_flight && self.is_old(now) && self.has_rested(now)
    }

    fn is_old(&self, now: UnixTime) -> bool {
        let old = |times: Times| {
            self.content.is_none() || now.since(self.fetched) >= self.lifetime.unwrap_or(times.refresh) || now < self.fetched
        };
        self.times.is_some_and(old)
    }

    /// When the document was fetched; `None` if it was not.
    #[must_use]
    pub fn fetched(&self) -> Option<UnixTime> {
        (self.content.is_some() && self.times.is_some()).then_some(self.fetched)
    }

    /// What a request should do that found no document.
    #[must_use]
    pub fn wait_for_any(&self, now: UnixTime) -> Wait {
        match self.times {
            Some(_) if self.in_flight || self.has_rested(now) => Wait::ForFetch,
            _ => Wait::Never,
        }
    }

    /// What a request should do that misses something in [`Kept::usable`].
    #[must_use]
    pub fn wait_for_another(&self, now: UnixTime) -> Wait {
        let interval = EARLY_FETCH_INTERVAL.saturating_mul(1 << self.fruitless.min(8)).min(LONGEST_INTERVAL);
        let early = self.attempted.is_none_or(|attempted| now.since(attempted) >= interval || now < attempted);
        match self.times {
            Some(_) if self.in_flight || (early && self.has_rested(now)) => Wait::ForFetch,
            _ => Wait::Never,
        }
    }

    /// A fetch begins. `false` if one is under way already.
    pub fn begin(&mut self, now: UnixTime) -> bool {
        if self.in_flight || self.times.is_none() {
            return false;
        }
        self.early = !self.is_old(now);
        if !self.early {
            self.fruitless = 0;
        }
        self.in_flight = true;
        self.attempted = Some(now);
        true
    }

    /// A fetch ended. `true` if another document than before is in force, so that what was decided by the old one must
    /// be forgotten. A failure keeps what there is.
    pub fn complete(&mut self, now: UnixTime, result: Result<T, String>) -> bool {
        self.in_flight = false;
        let changed = match result {
            Ok(content) => {
                self.failures = 0;
                self.fetched = now;
                let same = self.content.as_deref().is_some_and(|old| *old == content);
                if !same {
                    self.content = Some(Rc::new(content));
                }
                !same
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                false
            }
        };
        self.fruitless = if self.early && !changed { self.fruitless.saturating_add(1) } else { 0 };
        changed
    }

    /// A fetch ended: the document that there is is still the one.
    pub fn confirm(&mut self, now: UnixTime) {
        self.in_flight = false;
        self.failures = 0;
        self.fetched = now;
    }

    /// From now on the document is old after `lifetime`, or, without one, after its `refresh`.
    pub const fn last(&mut self, lifetime: Option<Duration>) {
        self.lifetime = lifetime;
    }

    fn has_rested(&self, now: UnixTime) -> bool {
        let Some(attempted) = self.attempted else { return true };
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE),
        };
        now.since(attempted) >= pause || now < attempted
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, Wait};
    use crate::wire::time::UnixTime;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1000 + seconds)
    }

    fn ring() -> Kept<&'static str> {
        Kept::remote(Duration::from_secs(60), Duration::from_secs(600))
    }

    #[test]
    fn one_fetch_at_a_time_and_the_next_when_it_is_old() {
        let mut ring = ring();
        assert!(ring.is_due(at(0)) && ring.usable(at(0)).is_none());
        assert!(ring.begin(at(0)) && !ring.begin(at(0)) && !ring.is_due(at(1)));
        assert_eq!(ring.wait_for_any(at(1)), Wait::ForFetch);
        assert!(ring.complete(at(1), Ok("a")));
        assert!(ring.usable(at(1)).is_some() && !ring.is_due(at(60)) && ring.is_due(at(61)));
        assert!(ring.begin(at(61)) && !ring.complete(at(62), Ok("a")));
        assert!(ring.begin(at(122)) && ring.complete(at(122), Ok("b")));
    }

    #[test]
    fn a_document_lasts_as_long_as_it_says() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok("a")));
        ring.last(Some(Duration::from_secs(100)));
        assert!(!ring.is_due(at(99)) && ring.is_due(at(100)) && ring.begin(at(100)));
        ring.confirm(at(101));
        assert_eq!((ring.age(at(101)), ring.usable(at(701)).is_some()), (Some(Duration::ZERO), true));
        ring.last(None);
        assert!(!ring.is_due(at(160)) && ring.is_due(at(161)));
    }

    #[test]
    fn failures_keep_the_last_good_one_until_max_stale() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok("a")));
        assert!(ring.begin(at(60)) && !ring.complete(at(60), Err("down".into())));
        assert!(ring.usable(at(600)).is_some());
        assert_eq!((ring.usable(at(601)).is_none(), ring.age(at(601))), (true, Some(Duration::from_secs(601))));
        assert!(ring.begin(at(601)) && ring.complete(at(601), Ok("b")) && ring.usable(at(602)).is_some());
    }

    #[test]
    fn failures_are_followed_by_growing_pauses() {
        let mut ring = ring();
        for (start, next) in [(0, 1), (10, 12), (20, 24), (30, 38), (60, 76), (100, 116)] {
            assert!(ring.begin(at(start)));
            ring.complete(at(start), Err("down".into()));
            assert!(!ring.is_due(at(next - 1)) && ring.is_due(at(next)), "{start}");
            assert_eq!((ring.wait_for_any(at(next - 1)), ring.wait_for_any(at(next))), (Wait::Never, Wait::ForFetch));
        }
    }

    #[test]
    fn what_is_missing_is_looked_for_once_per_interval() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok("a")));
        assert_eq!(ring.wait_for_another(at(4)), Wait::Never);
        assert_eq!(ring.wait_for_another(at(5)), Wait::ForFetch);
        assert!(ring.begin(at(5)));
        assert_eq!(ring.wait_for_another(at(5)), Wait::ForFetch);
        ring.complete(at(5), Ok("a"));
        assert_eq!(ring.wait_for_another(at(6)), Wait::Never);
    }

    #[test]
    fn looking_in_vain_makes_the_interval_longer() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok("a")));
        for (start, next) in [(5, 15), (15, 35)] {
            assert!(ring.begin(at(start)));
            ring.complete(at(start), Ok("a"));
            let waits = [next - 1, next].map(|time| ring.wait_for_another(at(time)));
            assert_eq!(waits, [Wait::Never, Wait::ForFetch], "{start}");
        }
        assert!(ring.begin(at(35)) && ring.complete(at(35), Ok("b")));
        assert_eq!(ring.wait_for_another(at(40)), Wait::ForFetch);
        for time in 0..20 {
            ring.begin(at(40 + 30 * time));
            ring.complete(at(40 + 30 * time), Ok("b"));
        }
        assert_eq!(ring.wait_for_another(at(40 + 19 * 30 + 30)), Wait::ForFetch);
        assert!(ring.fetched().is_some());
    }

    #[test]
    fn what_is_configured_is_never_fetched() {
        let mut ring = Kept::inline("a");
        assert!(ring.usable(at(1_000_000)).is_some() && !ring.is_due(at(1_000_000)) && !ring.begin(at(0)));
        assert_eq!(ring.wait_for_another(at(1_000_000)), Wait::Never);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_stop_fetching() {
        let mut ring = ring();
        assert!(ring.begin(at(500)) && ring.complete(at(500), Ok("a")));
        assert!(ring.is_due(at(0)) && ring.usable(at(0)).is_some());
    }
}
