//! The keys of one issuer over time: fetched, kept fresh, kept through failures up to `max_stale`, and
//! fetched early when a token names a key that is not there. Decides when; the host fetches.

use super::jwk::KeySet;
use crate::wire::time::UnixTime;
use std::rc::Rc;
use std::time::Duration;

/// At most one early fetch for an unknown `kid` in this time: anyone can send one.
pub const EARLY_FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// First pause after a failed fetch; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// The keys of one issuer.
#[derive(Debug)]
pub struct Keyring {
    keys: Option<Rc<KeySet>>,
    fetched: UnixTime,
    attempted: Option<UnixTime>,
    failures: u32,
    in_flight: bool,
    /// `None` for keys in the configuration: they are never fetched and never stale.
    times: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    refresh: Duration,
    max_stale: Duration,
}

/// What a request that needs keys should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A fetch is under way or may begin: wait for it.
    ForFetch,
    /// There will be no answer soon: refuse.
    Never,
}

impl Keyring {
    /// Keys from the configuration.
    #[must_use]
    pub fn inline(keys: KeySet) -> Self {
        Self { keys: Some(Rc::new(keys)), fetched: UnixTime::default(), attempted: None, failures: 0, in_flight: false, times: None }
    }

    /// Keys that have to be fetched.
    #[must_use]
    pub const fn remote(refresh: Duration, max_stale: Duration) -> Self {
        let times = Some(Times { refresh, max_stale });
        Self { keys: None, fetched: UnixTime::from_secs(0), attempted: None, failures: 0, in_flight: false, times }
    }

    /// The keys, unless there are none or they are too old.
    #[must_use]
    pub fn usable(&self, now: UnixTime) -> Option<Rc<KeySet>> {
        match self.times {
            Some(times) if now.since(self.fetched) > times.max_stale => None,
            _ => self.keys.clone(),
        }
    }

    /// Whether a fetch should begin now, without anyone asking.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Some(times) = self.times else { return false };
        let old = self.keys.is_none() || now.since(self.fetched) >= times.refresh || now < self.fetched;
        !self.in_flight && old && self.has_rested(now)
    }

    /// What a request should do that found no keys.
    #[must_use]
    pub fn wait_for_any(&self, now: UnixTime) -> Wait {
        match self.times {
            Some(_) if self.in_flight || self.has_rested(now) => Wait::ForFetch,
            _ => Wait::Never,
        }
    }

    /// What a request should do whose key is not among [`Keyring::usable`].
    #[must_use]
    pub fn wait_for_another(&self, now: UnixTime) -> Wait {
        let early = self.attempted.is_none_or(|attempted| now.since(attempted) >= EARLY_FETCH_INTERVAL || now < attempted);
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
        self.in_flight = true;
        self.attempted = Some(now);
        true
    }

    /// A fetch ended. `true` if other keys than before are in force, so that what was verified with the old
    /// ones must be forgotten. A failure keeps what there is.
    pub fn complete(&mut self, now: UnixTime, result: Result<KeySet, String>) -> bool {
        self.in_flight = false;
        match result {
            Ok(keys) => {
                self.failures = 0;
                self.fetched = now;
                let same = self.keys.as_ref().is_some_and(|old| old.is_same_as(&keys));
                if !same {
                    self.keys = Some(Rc::new(keys));
                }
                !same
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                false
            }
        }
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
    use super::{KeySet, Keyring, Wait};
    use crate::wire::time::UnixTime;
    use std::time::Duration;

    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"KID"}"#;

    fn keys(kid: &str) -> KeySet {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, P256.replace("KID", kid)).as_bytes()).unwrap()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1000 + seconds)
    }

    fn ring() -> Keyring {
        Keyring::remote(Duration::from_secs(60), Duration::from_secs(600))
    }

    #[test]
    fn one_fetch_at_a_time_and_the_next_when_keys_are_old() {
        let mut ring = ring();
        assert!(ring.is_due(at(0)) && ring.usable(at(0)).is_none());
        assert!(ring.begin(at(0)) && !ring.begin(at(0)) && !ring.is_due(at(1)));
        assert_eq!(ring.wait_for_any(at(1)), Wait::ForFetch);
        assert!(ring.complete(at(1), Ok(keys("a"))));
        assert!(ring.usable(at(1)).is_some() && !ring.is_due(at(60)) && ring.is_due(at(61)));
        assert!(ring.begin(at(61)) && !ring.complete(at(62), Ok(keys("a"))));
        assert!(ring.begin(at(122)) && ring.complete(at(122), Ok(keys("b"))));
    }

    #[test]
    fn failures_keep_the_last_good_keys_until_max_stale() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok(keys("a"))));
        assert!(ring.begin(at(60)) && !ring.complete(at(60), Err("down".into())));
        assert!(ring.usable(at(600)).is_some());
        assert!(ring.usable(at(601)).is_none());
        assert!(ring.begin(at(601)) && ring.complete(at(601), Ok(keys("b"))) && ring.usable(at(602)).is_some());
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
    fn an_unknown_key_is_looked_for_once_per_interval() {
        let mut ring = ring();
        assert!(ring.begin(at(0)) && ring.complete(at(0), Ok(keys("a"))));
        assert_eq!(ring.wait_for_another(at(4)), Wait::Never);
        assert_eq!(ring.wait_for_another(at(5)), Wait::ForFetch);
        assert!(ring.begin(at(5)));
        assert_eq!(ring.wait_for_another(at(5)), Wait::ForFetch);
        ring.complete(at(5), Ok(keys("a")));
        assert_eq!(ring.wait_for_another(at(6)), Wait::Never);
    }

    #[test]
    fn inline_keys_are_never_fetched() {
        let mut ring = Keyring::inline(keys("a"));
        assert!(ring.usable(at(1_000_000)).is_some() && !ring.is_due(at(1_000_000)) && !ring.begin(at(0)));
        assert_eq!(ring.wait_for_another(at(1_000_000)), Wait::Never);
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_stop_fetching() {
        let mut ring = ring();
        assert!(ring.begin(at(500)) && ring.complete(at(500), Ok(keys("a"))));
        assert!(ring.is_due(at(0)) && ring.usable(at(0)).is_some());
    }
}
