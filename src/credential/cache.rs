//! Tokens over time: fetched once for all who wait, refreshed ahead of expiry, kept through failures until they really
//! expire. Bounded; decides when, the host fetches.

use super::endpoint::Issued;
use super::{Failure, Key};
use crate::wire::paged::PagedMap;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use std::rc::Rc;
use std::time::Duration;

/// Most tokens that are kept.
pub const MOST: usize = 1024;
/// A token is fetched anew this long before it expires, or after four fifths of its life if that is later.
const MARGIN: Duration = Duration::from_secs(60);
/// First pause after a failed fetch; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A token younger than this is not given up for a 401: the next one would be no better, and anyone can cause 401s.
const YOUNG: Duration = Duration::from_secs(5);
/// Clocks are set back a little now and then; more than this, and nothing that was counted by them holds.
const BACKWARDS: Duration = Duration::from_secs(2);

/// One token.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub value: SecretString,
    /// When it was asked for.
    pub since: UnixTime,
    /// First moment at which it is no longer good.
    pub until: UnixTime,
}

/// Tokens by key. `J` is what a fetch needs to know.
#[derive(Debug)]
pub struct Cache<J> {
    entries: PagedMap<Key, Entry<J>>,
}

#[derive(Debug)]
struct Entry<J> {
    job: J,
    token: Option<Rc<Token>>,
    /// When the current or last fetch began.
    attempted: Option<UnixTime>,
    /// When the last failed one ended.
    failed: Option<UnixTime>,
    in_flight: bool,
    failures: u32,
    failure: Failure,
    used: UnixTime,
    /// Somebody got the token that there is.
    in_use: bool,
    /// When the newest token was asked for.
    newest: Option<UnixTime>,
}

/// What there is under a key.
#[derive(Debug)]
pub enum Lookup {
    /// A token that is good.
    Ready(Rc<Token>),
    /// None, but a fetch is under way or may begin.
    Wait,
    /// None, and there will be none soon.
    Failed(Failure),
}

impl<J> Default for Cache<J> {
    fn default() -> Self {
        Self { entries: PagedMap::new() }
    }
}

impl<J> Cache<J> {
    /// Looks for the token of `key`. `job` tells how to fetch it, and takes the place of what told that before.
    pub fn look(&mut self, key: Key, now: UnixTime, job: impl FnOnce() -> J) -> Lookup {
        if !self.entries.contains_key(&key) {
            if self.entries.len() >= MOST && !self.make_room(now) {
                return Lookup::Failed(Failure::Unavailable);
            }
            let entry = Entry {
                job: job(),
                token: None,
                attempted: None,
                failed: None,
                in_flight: false,
                failures: 0,
                failure: Failure::Unavailable,
                used: now,
                in_use: false,
                newest: None,
            };
            self.entries.insert(key, entry);
            return Lookup::Wait;
        }
        let Some(entry) = self.entries.get_mut(&key) else { return Lookup::Wait };
        entry.used = now;
        match entry.good(now) {
            Some(token) => {
                entry.in_use = true;
                Lookup::Ready(token)
            }
            None => {
                entry.job = job();
                if entry.in_flight || entry.has_rested(now) { Lookup::Wait } else { Lookup::Failed(entry.failure) }
            }
        }
    }

    /// The token of `key` if it is good, without asking for one.
    #[must_use]
    pub fn peek(&self, key: &Key, now: UnixTime) -> Option<Rc<Token>> {
        self.entries.get(key)?.good(now)
    }

    /// What fetching the token of `key` needs to know.
    #[must_use]
    pub fn job(&self, key: &Key) -> Option<&J> {
        self.entries.get(key).map(|entry| &entry.job)
    }

    /// Why the last fetch of `key` failed, if it did.
    #[must_use]
    pub fn failure(&self, key: &Key) -> Option<Failure> {
        self.entries.get(key).filter(|entry| entry.failures > 0).map(|entry| entry.failure)
    }

    /// The tokens that should be fetched anew, without anyone asking: those in use that will expire soon.
    pub fn due(&self, now: UnixTime) -> impl Iterator<Item = Key> + '_ {
        self.entries.iter().filter(move |(_, entry)| entry.is_due(now)).map(|(key, _)| *key)
    }

    /// A fetch begins: what it needs to know. `None` if one is under way, or has failed just now.
    pub fn begin(&mut self, key: &Key, now: UnixTime) -> Option<&J> {
        let entry = self.entries.get_mut(key)?;
        if entry.in_flight || !entry.has_rested(now) {
            return None;
        }
        entry.in_flight = true;
        entry.attempted = Some(now);
        Some(&entry.job)
    }

    /// A fetch ended. A failure keeps the token that there is.
    pub fn complete(&mut self, key: &Key, now: UnixTime, result: Result<Issued, Failure>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.in_flight = false;
        match result {
            Ok(issued) => {
                entry.failures = 0;
                // Counted from the request, not from the answer: the endpoint began to count somewhere between.
                let since = entry.attempted.unwrap_or(now).min(now);
                entry.in_use = false;
                entry.newest = Some(since);
                entry.token = Some(Rc::new(Token { value: issued.value, since, until: since.plus(issued.lifetime) }));
            }
            Err(failure) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.failed = Some(now);
                entry.failure = failure;
            }
        }
    }

    /// Takes a token that another worker has fetched.
    pub fn adopt(&mut self, key: &Key, token: Token) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.in_flight = false;
        entry.failures = 0;
        entry.in_use = false;
        entry.newest = Some(token.since);
        entry.token = Some(Rc::new(token));
    }

    /// When the newest token of `key` was asked for, also of one that was given up.
    #[must_use]
    pub fn newest(&self, key: &Key) -> Option<UnixTime> {
        self.entries.get(key)?.newest
    }

    /// The remote agent did not take `token`: it is given up unless it is young, or another has come.
    pub fn reject(&mut self, key: &Key, token: &Rc<Token>, now: UnixTime) {
        if let Some(entry) = self.entries.get_mut(key)
            && entry.token.as_ref().is_some_and(|own| Rc::ptr_eq(own, token))
            && now.since(token.since) >= YOUNG
        {
            entry.token = None;
        }
    }

    /// Drops what is of least use. `false` if everything is being fetched.
    fn make_room(&mut self, now: UnixTime) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| !entry.in_flight);
        let oldest = idle.min_by_key(|(_, entry)| (entry.good(now).is_some(), entry.used)).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.entries.remove(&key).is_some())
    }
}

impl<J> Entry<J> {
    fn good(&self, now: UnixTime) -> Option<Rc<Token>> {
        self.token.clone().filter(|token| now < token.until && token.since.since(now) <= BACKWARDS)
    }

    fn is_due(&self, now: UnixTime) -> bool {
        let Some(token) = self.good(now) else { return false };
        let life = token.until.since(token.since);
        let margin = MARGIN.min(life.checked_div(5).unwrap_or_default());
        // What nobody uses may lapse.
        self.in_use && !self.in_flight && token.until.since(now) <= margin && self.has_rested(now)
    }

    fn has_rested(&self, now: UnixTime) -> bool {
        let Some(failed) = self.failed else { return true };
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE),
        };
        now.since(failed) >= pause || now < failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    const A: Key = [1; 32];

    fn at(millis: u64) -> UnixTime {
        UnixTime::new(Duration::from_millis(1_000_000 + millis))
    }

    fn issued(seconds: u64) -> Result<Issued, Failure> {
        Ok(Issued { value: SecretString::from("t".to_owned()), lifetime: Duration::from_secs(seconds) })
    }

    fn with_token(seconds: u64) -> Cache<()> {
        let mut cache = Cache::default();
        assert!(matches!(cache.look(A, at(0), || ()), Lookup::Wait));
        assert!(cache.begin(&A, at(0)).is_some() && cache.begin(&A, at(1)).is_none(), "one fetch at a time");
        assert!(matches!(cache.look(A, at(1), || ()), Lookup::Wait));
        cache.complete(&A, at(100), issued(seconds));
        cache
    }

    fn is_ready(cache: &mut Cache<()>, millis: u64) -> bool {
        matches!(cache.look(A, at(millis), || ()), Lookup::Ready(token) if token.value.expose_secret() == "t")
    }

    #[test]
    fn a_token_is_good_until_it_expires_counted_from_the_request() {
        let mut cache = with_token(30);
        assert!(is_ready(&mut cache, 29_999) && !is_ready(&mut cache, 30_000));
    }

    #[test]
    fn what_is_used_is_refreshed_ahead() {
        let mut cache = with_token(30);
        assert_eq!(cache.due(at(24_000)).count(), 0, "nobody has used it");
        assert!(is_ready(&mut cache, 200));
        assert_eq!((cache.due(at(23_999)).count(), cache.due(at(24_000)).count()), (0, 1));
        let mut cache = with_token(3600);
        assert!(is_ready(&mut cache, 200));
        assert_eq!((cache.due(at(3_539_999)).count(), cache.due(at(3_540_000)).count()), (0, 1));
    }

    #[test]
    fn failures_keep_the_token_and_pause_longer_each_time() {
        let mut cache = with_token(30);
        assert!(is_ready(&mut cache, 200));
        for (start, next) in [(24_000, 500), (24_500, 1000), (25_500, 2000), (27_500, 4000)] {
            assert!(cache.begin(&A, at(start)).is_some(), "{start}");
            cache.complete(&A, at(start), Err(Failure::Unavailable));
            assert!(cache.begin(&A, at(start + next - 1)).is_none() && is_ready(&mut cache, start + 1));
        }
        assert!(matches!(cache.look(A, at(31_000), || ()), Lookup::Failed(Failure::Unavailable)));
        assert!(matches!(cache.look(A, at(31_500), || ()), Lookup::Wait));
    }

    #[test]
    fn a_401_gives_up_old_tokens_only_and_only_the_one_that_was_sent() {
        let mut cache = with_token(3600);
        let Lookup::Ready(first) = cache.look(A, at(200), || ()) else { panic!() };
        cache.reject(&A, &first, at(4_999));
        assert!(is_ready(&mut cache, 5_000), "it is young");
        cache.reject(&A, &first, at(5_000));
        assert!(!is_ready(&mut cache, 5_000));
        assert!(cache.begin(&A, at(5_000)).is_some());
        cache.complete(&A, at(5_100), issued(3600));
        cache.reject(&A, &first, at(20_000));
        assert!(is_ready(&mut cache, 20_000), "another one was meant");
    }

    #[test]
    fn memory_is_bounded_and_the_least_used_goes_first() {
        let mut cache: Cache<()> = Cache::default();
        let key = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(number as u64).to_be_bytes());
            key
        };
        for number in 0..MOST {
            assert!(matches!(cache.look(key(number), at(number as u64), || ()), Lookup::Wait));
            cache.begin(&key(number), at(number as u64)).unwrap();
        }
        assert!(matches!(cache.look(A, at(5000), || ()), Lookup::Failed(_)), "all are being fetched");
        cache.complete(&key(5), at(5000), issued(60));
        cache.complete(&key(6), at(5000), issued(60));
        assert!(matches!(cache.look(key(5), at(5001), || ()), Lookup::Ready(_)));
        assert!(matches!(cache.look(A, at(5002), || ()), Lookup::Wait));
        assert!(cache.peek(&key(5), at(5002)).is_some() && cache.peek(&key(6), at(5002)).is_none());
        assert_eq!(cache.entries.len(), MOST);
    }

    #[test]
    fn a_clock_that_jumps_makes_no_token_last() {
        let mut cache = with_token(3600);
        assert!(!is_ready(&mut cache, 10_000_000), "forward");
        let early = UnixTime::from_secs(10);
        assert!(matches!(cache.look(A, early, || ()), Lookup::Wait), "backward");
        assert!(cache.begin(&A, early).is_some());
        cache.complete(&A, early, issued(60));
        assert!(matches!(cache.look(A, early, || ()), Lookup::Ready(_)));
    }
}
