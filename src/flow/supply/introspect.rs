//! Tokens that their issuer is asked about: one question at a time for a token, its answer remembered by the token's SHA-256,
//! no longer than the token lives and the configuration allows. Anyone can make up tokens, so those that were good before have
//! a lane of their own, and in each lane clients take turns.

use crate::flow::event::reason::Reason;
use crate::flow::supply::lane::{Key, Lane};
use crate::flow::supply::seats::Room;
use crate::identity::Caller;
use crate::wire::network::Network;
use crate::wire::paged::PagedMap;
use crate::wire::sorted::SortedMap;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use std::rc::Rc;
use std::time::Duration;

/// Longest time that a token is remembered as refused.
pub(super) const MAX_REFUSED: Duration = Duration::from_secs(10);
/// What is remembered at least.
pub(super) const INSTANT: Duration = Duration::from_millis(1);
/// How long those who wait may take to fetch their answer: they are let go one after the other.
pub(super) const HANDOUT: Duration = Duration::from_secs(1);
/// So many questions that nobody has any more may stay noted.
const SLACK: usize = 64;
/// Most remembered tokens per generation; there are two.
const GENERATION: usize = 2048;

/// Questions and answers of one configuration.
#[derive(Debug, Default)]
pub struct Introspections {
    pub(super) jobs: PagedMap<Key, Job>,
    pub(super) lanes: SortedMap<Room, Lane>,
    // Apart, so that no flood of bad tokens drives out the good ones.
    pub(super) good: Recent<Rc<Caller>>,
    pub(super) refused: Recent<Reason>,
    pub(super) next: u64,
}

/// A token to ask about.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) room: Room,
    pub(super) client: Option<Network>,
    pub(super) token: SecretString,
    pub(super) asked: bool,
    pub(super) number: u64,
    /// Those who wait for the answer have clones.
    pub(super) interest: Rc<()>,
}

impl Job {
    fn is_idle(&self) -> bool {
        !self.asked && Rc::strong_count(&self.interest) == 1
    }
}

/// Verdicts in two generations, so that what is used stays.
#[derive(Debug)]
pub(super) struct Recent<T> {
    pub(super) young: PagedMap<Key, Verdict<T>>,
    pub(super) old: PagedMap<Key, Verdict<T>>,
}

#[derive(Debug)]
pub(super) struct Verdict<T> {
    what: T,
    /// Until when it is believed.
    until: UnixTime,
    /// The same for those who have waited for it.
    handed_out: UnixTime,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { young: PagedMap::new(), old: PagedMap::new() }
    }
}

impl<T: Clone> Recent<T> {
    pub(super) fn recall(&mut self, key: &Key, has_waited: bool, now: UnixTime) -> Option<T> {
        if !self.young.contains_key(key) {
            let verdict = self.old.remove(key)?;
            self.keep(*key, verdict);
        }
        let verdict = self.young.get(key)?;
        (now < if has_waited { verdict.handed_out } else { verdict.until }).then(|| verdict.what.clone())
    }

    /// Whether there was ever one, as far back as is remembered.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    pub(super) fn remember(&mut self, key: Key, what: T, until: UnixTime, handed_out: UnixTime) {
        self.keep(key, Verdict { what, until, handed_out: handed_out.max(until) });
    }

    fn keep(&mut self, key: Key, verdict: Verdict<T>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl Introspections {
    /// The scheme (index) of a question.
    pub fn scheme(&self, key: &Key) -> Option<usize> {
        self.jobs.get(key)?.room.scheme
    }

    /// Where those wait who have this question, and what they hold on to.
    pub(in crate::flow) fn room(&self, key: &Key) -> Option<(Room, Rc<()>)> {
        self.jobs.get(key).map(|job| (job.room, Rc::clone(&job.interest)))
    }

    /// Notes that `token` should be asked about, by one client. `most`: requests that may wait, whatever for.
    pub(super) fn note(&mut self, key: Key, room: Room, token: &str, client: impl FnOnce() -> Option<Network>, most: usize) {
        if self.jobs.contains_key(&key) {
            return;
        }
        // No more wait than have places. The others have gone: they are cleared away now and then.
        let live = most.saturating_add(self.lanes.values().map(|lane| lane.asked).sum());
        if self.jobs.len() > live.saturating_add(SLACK) {
            let idle: Vec<Key> = self.jobs.iter().filter(|(_, job)| job.is_idle()).map(|(key, _)| *key).collect();
            idle.iter().for_each(|key| drop(self.remove(key)));
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        let client = client();
        let job = Job { room, client, token: SecretString::from(token), asked: false, number, interest: Rc::default() };
        self.jobs.insert(key, job);
        self.lanes.change(room, |lane| lane.wait(client, number, key));
    }

    /// Forgets a question that nobody has.
    pub(in crate::flow) fn forget_idle(&mut self, key: &Key) {
        if self.jobs.get(key).is_some_and(Job::is_idle) {
            self.remove(key);
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Job> {
        let job = self.jobs.remove(key)?;
        self.lanes.get_mut(&job.room)?.leave(job.client, job.number, job.asked);
        Some(job)
    }

    /// The questions whose turn it is.
    pub(super) fn due(&mut self) -> Vec<Key> {
        let mut due = Vec::new();
        for lane in self.lanes.values() {
            due.extend(lane.due());
        }
        // Those that nobody has any more make room for others, the next time.
        let idle = due.iter().filter(|key| self.jobs.get(*key).is_some_and(Job::is_idle)).copied();
        let idle: Vec<Key> = idle.collect();
        idle.iter().for_each(|key| drop(self.remove(key)));
        due.retain(|key| !idle.contains(key));
        due
    }

    /// The endpoint gave no answer about `key`. If that is so for many tokens in a row, it rests, and whoever has not been asked
    /// about yet need not wait for that.
    pub(super) fn fail(&mut self, room: Room, key: Key, now: UnixTime) {
        let mut rests = false;
        self.lanes.change(room, |lane| rests = lane.odd(key, now));
        if !rests {
            return;
        }
        let given_up: Vec<Key> = self.jobs.iter().filter(|(_, job)| job.room == room && !job.asked).map(|(key, _)| *key).collect();
        for key in given_up {
            self.remove(&key);
            self.refused.remember(key, Reason::IntrospectionUnavailable, now.plus(INSTANT), now.plus(HANDOUT));
        }
    }
}
