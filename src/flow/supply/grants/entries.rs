//! What this worker remembers of grants.

use crate::credential::cache::Token;
use crate::credential::grant::Grant;
use crate::credential::user::User;
use crate::credential::{Failure, Key};
use crate::flow::event::call::Call;
use crate::flow::supply::vault::operation::{Session, Version};
use crate::wire::paged::PagedMap;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use std::rc::Rc;
use std::time::Duration;

/// Most grants that a worker remembers. Others are read anew.
const MOST: usize = 4096;
/// A token is renewed this long before it expires, or after four fifths of its life if that is later.
const MARGIN: Duration = Duration::from_secs(60);
/// First pause after something failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A token younger than this is not given up for a 401: the next one would be no better, and anyone can cause 401s.
const YOUNG: Duration = Duration::from_secs(60);
/// How often it is looked whether somebody else has renewed a grant.
pub const FOLLOWING: Duration = Duration::from_millis(100);
/// Most grants that are read or renewed at a time without anyone waiting.
const MOST_DUE: usize = 32;
/// Most grants that a worker renews at a time. A server that is asked for more at once answers late; and what comes too late is lost,
/// with the refresh token that it replaced.
const MOST_RENEWED: usize = 16;

/// Grants by key.
#[derive(Debug, Default)]
pub struct Entries(pub(super) PagedMap<Key, Entry>);

/// What is known of one grant.
#[derive(Debug)]
pub struct Entry {
    /// Through which connection, by index.
    pub connection: usize,
    /// Whose it is.
    pub user: User,
    /// What is known of it.
    pub known: Known,
    /// When the vault said so.
    pub checked: Option<UnixTime>,
    /// The remote agent did not take the token that there is.
    pub refused: bool,
    /// What is under way.
    pub work: Option<Work>,
    /// What takes the answer to its call, if that goes to the vault.
    pub session: Option<Box<dyn Session>>,
    /// The call that it makes next.
    pub next: Option<Call>,
    /// It is looked again then: somebody else renews it.
    pub again: Option<UnixTime>,
    /// It is to be renewed, when there is room.
    pub queues: bool,
    /// When something failed, and what.
    pub failed: Option<(UnixTime, Failure)>,
    /// How many failed in a row.
    pub failures: u32,
    /// When its server last gave no new token for a reason of its own.
    pub unrenewed: Option<UnixTime>,
    /// Tokens that the vault did not take yet, and the version that they replace there.
    pub unsaved: Option<(Grant, Version)>,
    /// The refresh token for which the last tokens were given.
    pub replaced: Option<SecretString>,
    /// When somebody asked for it last.
    pub used: UnixTime,
    /// Somebody got the token that there is.
    pub in_use: bool,
}

/// What is under way with a grant.
#[derive(Debug)]
pub enum Work {
    /// It is read. With a refresh token: that one was refused.
    Reading(Option<SecretString>),
    /// It is leased, to be renewed.
    Leasing(Box<Grant>),
    /// The server was asked for new tokens.
    Renewing(Box<Grant>, Version, UnixTime),
    /// It is written; with a failure: as it was, since there are no new tokens.
    Saving(Box<Grant>, Option<Failure>),
    /// It is removed.
    Dropping,
}

/// What the vault says of a grant.
#[derive(Debug)]
pub enum Known {
    /// Nothing: nobody has looked.
    Nothing,
    /// The user has not agreed, or not to this.
    Absent,
    /// The token, and whether there is a way to renew it.
    Held(Rc<Token>, bool),
}

/// What there is for a call.
#[derive(Debug)]
pub enum Look {
    /// A token that is good.
    Here(Rc<Token>),
    /// The user has to agree first.
    Absent,
    /// It has to be fetched.
    Wait,
    /// It cannot be known.
    Failed(Failure),
}

impl Entry {
    pub(super) const fn new(connection: usize, user: User, now: UnixTime) -> Self {
        Self {
            connection,
            user,
            known: Known::Nothing,
            checked: None,
            refused: false,
            work: None,
            session: None,
            next: None,
            again: None,
            queues: false,
            failed: None,
            failures: 0,
            unrenewed: None,
            unsaved: None,
            replaced: None,
            used: now,
            in_use: false,
        }
    }

    /// Whether what is known is as good as what the vault would say, by how long that may be believed.
    fn is_fresh(&self, remember: Duration, now: UnixTime) -> bool {
        self.unsaved.is_some() || self.checked.is_some_and(|checked| checked <= now && now.since(checked) < remember)
    }

    pub(super) fn has_rested(&self, now: UnixTime) -> bool {
        let Some((failed, _)) = self.failed else { return true };
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE),
        };
        now.since(failed) >= pause || now < failed
    }

    /// Whether what is under way had to wait, and goes on now.
    pub(super) fn resumes(&self, now: UnixTime) -> bool {
        self.work.is_some() && self.again.is_some_and(|again| now >= again)
    }

    /// Whether its server is left alone for a moment, since it gave no token.
    pub(super) fn spares(&self, now: UnixTime) -> bool {
        self.unrenewed.is_some_and(|at| at <= now && now.since(at) < LONGEST_PAUSE)
    }

    /// Whether it waits until there is room.
    const fn stands(&self) -> bool {
        self.queues && self.work.is_none()
    }

    fn is_due(&self, now: UnixTime) -> bool {
        if self.queues {
            return false;
        }
        if let Some(again) = self.again {
            return now >= again;
        }
        if self.work.is_some() || !self.has_rested(now) {
            return false;
        }
        match &self.known {
            _ if self.unsaved.is_some() => true,
            Known::Held(token, true) => self.in_use && !self.spares(now) && is_ending(token.since, token.until, now),
            Known::Held(_, false) | Known::Absent | Known::Nothing => false,
        }
    }
}

/// Whether a token is so near its end that it should be renewed.
pub fn is_ending(since: UnixTime, until: UnixTime, now: UnixTime) -> bool {
    let margin = MARGIN.min(until.since(since).checked_div(5).unwrap_or_default());
    until.since(now) <= margin
}

impl Entries {
    /// Looks for the grant of `key`. `waited`: what the vault says was waited for just now.
    pub fn look(&mut self, key: Key, entry: impl FnOnce() -> Entry, (waited, remember): (bool, Duration), now: UnixTime) -> Look {
        if !self.0.contains_key(&key) {
            if self.0.len() >= MOST && !self.make_room() {
                return Look::Failed(Failure::Unavailable);
            }
            self.0.insert(key, entry());
        }
        let Some(entry) = self.0.get_mut(&key) else { return Look::Failed(Failure::Unavailable) };
        entry.used = now;
        let is_idle = entry.work.is_none() && entry.again.is_none();
        // What was read a moment ago is what there is, also where nobody may remember it.
        let is_read = waited && is_idle;
        let is_fresh = entry.is_fresh(remember, now) || is_read && entry.failed.is_none();
        match &entry.known {
            Known::Held(token, _) if is_fresh && now < token.until && !entry.refused => {
                entry.in_use = true;
                Look::Here(Rc::clone(token))
            }
            Known::Absent if is_read => Look::Absent,
            _ if !is_idle && !waited => Look::Wait,
            _ => match entry.failed {
                Some((_, failure)) if waited || !entry.has_rested(now) => Look::Failed(failure),
                _ if waited => Look::Failed(Failure::Unavailable),
                _ => Look::Wait,
            },
        }
    }

    /// The grants that should be read or renewed without anyone asking.
    pub fn due(&self, now: UnixTime) -> impl Iterator<Item = Key> + '_ {
        let busy = self.0.values().filter(|entry| entry.work.is_some()).count();
        let due = self.0.iter().filter(move |(_, entry)| entry.is_due(now)).take(MOST_DUE.saturating_sub(busy).max(1));
        due.chain(self.0.iter().filter(|(_, entry)| entry.stands()).take(self.room())).map(|(key, _)| *key)
    }

    /// How many more grants can be renewed now.
    pub fn room(&self) -> usize {
        let renews =
            |entry: &&Entry| matches!(&entry.work, Some(Work::Leasing(_) | Work::Renewing(..))) || entry.queues && entry.work.is_some();
        MOST_RENEWED.saturating_sub(self.0.values().filter(renews).count())
    }

    /// Whether there is room for one that waits for it.
    pub fn has_turn(&self) -> bool {
        self.0.values().any(Entry::stands) && self.room() > 0
    }

    /// Whether the grant of `key` waits until somebody else has renewed it.
    pub fn follows(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|entry| entry.again.is_some())
    }

    /// Through which connection the grant of `key` goes.
    pub fn connection(&self, key: &Key) -> Option<usize> {
        self.0.get(key).map(|entry| entry.connection)
    }

    /// Whether any does.
    pub fn follow(&self) -> bool {
        self.0.values().any(|entry| entry.again.is_some())
    }

    /// The remote agent did not take `token`: it is renewed, unless it is young, or another has come.
    pub fn refuse(&mut self, key: &Key, token: &Rc<Token>, now: UnixTime) {
        if let Some(entry) = self.0.get_mut(key)
            && matches!(&entry.known, Known::Held(own, _) if Rc::ptr_eq(own, token))
            && now.since(token.since) >= YOUNG
        {
            entry.refused = true;
        }
    }

    /// The grant of `key` was changed in the vault.
    pub fn changed(&mut self, key: &Key) {
        if let Some(entry) = self.0.get_mut(key) {
            (entry.known, entry.checked, entry.refused, entry.unsaved) = (Known::Nothing, None, false, None);
            entry.unrenewed = None;
            (entry.failed, entry.failures) = (None, 0);
        }
    }

    /// Drops what is of least use. `false` if everything is under way.
    fn make_room(&mut self) -> bool {
        let idle = self.0.iter().filter(|(_, entry)| entry.work.is_none() && entry.unsaved.is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.0.remove(&key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::{Entries, Entry, Key, Known, Look, Token, Work};
    use crate::credential::user::User;
    use crate::wire::time::UnixTime;
    use std::rc::Rc;
    use std::time::Duration;

    const KEY: Key = [7; 32];
    const REMEMBER: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    /// A grant that was read at 0, whose token ends at 100.
    fn read() -> Entry {
        let user = User { issuer: "i".to_owned(), tenant: None, subject: "ann".to_owned(), client: None };
        let token = Token { value: "t".to_owned().into(), since: at(0), until: at(100) };
        Entry { known: Known::Held(Rc::new(token), true), checked: Some(at(0)), ..Entry::new(0, user, at(0)) }
    }

    #[test]
    fn who_has_waited_gets_what_was_read_however_late_it_is_woken() {
        let mut entries = Entries::default();
        let mut look = |waited: bool, now: u64| entries.look(KEY, read, (waited, REMEMBER), at(now));
        assert!(matches!(look(false, 0), Look::Here(_)));
        assert!(matches!(look(false, 5), Look::Wait), "others read it anew");
        assert!(matches!(look(true, 5), Look::Here(_)));
        assert!(matches!(look(true, 100), Look::Failed(_)), "its token has ended");
        let entry = entries.0.get_mut(&KEY).unwrap();
        entry.refused = true;
        assert!(matches!(entries.look(KEY, read, (true, REMEMBER), at(5)), Look::Failed(_)), "the agent refused its token");
        let entry = entries.0.get_mut(&KEY).unwrap();
        (entry.refused, entry.work) = (false, Some(Work::Dropping));
        assert!(matches!(entries.look(KEY, read, (true, REMEMBER), at(5)), Look::Failed(_)), "it is being given up");
    }
}
