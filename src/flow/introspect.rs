//! Tokens that their issuer is asked about: one question at a time for a token, its answer remembered by the token's SHA-256,
//! no longer than the token lives and the configuration allows. Anyone can make up tokens, so those that were good before have
//! a lane of their own, and in each lane clients take turns.

mod lane;

use super::authenticate::Authentication;
use super::denial::Reason;
use super::event::Value;
use super::fetch::{Answer, Call, Want};
use super::runtime::Runtime;
use super::seats::Room;
use crate::config::{Introspection, Scheme};
use crate::identity::Caller;
use crate::identity::introspection::{self, IntrospectionError};
use crate::wire::network::Network;
use crate::wire::time::UnixTime;
use lane::Lane;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Pause after an endpoint could not be reached.
const REST: Duration = Duration::from_secs(1);
/// So many tokens in a row, within this time, have to go without an answer before all others have to: one token, or one answer
/// that was lost, must not keep others waiting.
const ODD: (usize, Duration) = (5, Duration::from_secs(1));
/// Longest time that a token is remembered as refused.
const MAX_REFUSED: Duration = Duration::from_secs(10);
/// What is remembered at least.
const INSTANT: Duration = Duration::from_millis(1);
/// How long those who wait may take to fetch their answer: they are let go one after the other.
const HANDOUT: Duration = Duration::from_secs(1);
/// So many questions that nobody has any more may stay noted.
const SLACK: usize = 64;
/// Most remembered tokens per generation; there are two.
const GENERATION: usize = 2048;

/// Names a token and the scheme that asks about it.
type Key = [u8; 32];

/// Questions and answers of one configuration.
#[derive(Debug, Default)]
pub struct Introspections {
    jobs: BTreeMap<Key, Job>,
    lanes: BTreeMap<Room, Lane>,
    // Apart, so that no flood of bad tokens drives out the good ones.
    good: Recent<Rc<Caller>>,
    refused: Recent<Reason>,
    next: u64,
}

/// A token to ask about.
#[derive(Debug)]
struct Job {
    room: Room,
    client: Option<Network>,
    token: SecretString,
    asked: bool,
    number: u64,
    /// Those who wait for the answer have clones.
    interest: Rc<()>,
}

impl Job {
    fn is_idle(&self) -> bool {
        !self.asked && Rc::strong_count(&self.interest) == 1
    }
}

/// Verdicts in two generations, so that what is used stays.
#[derive(Debug)]
struct Recent<T> {
    young: BTreeMap<Key, Verdict<T>>,
    old: BTreeMap<Key, Verdict<T>>,
}

#[derive(Debug)]
struct Verdict<T> {
    what: T,
    /// Until when it is believed.
    until: UnixTime,
    /// The same for those who have waited for it.
    handed_out: UnixTime,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<T: Clone> Recent<T> {
    fn recall(&mut self, key: &Key, has_waited: bool, now: UnixTime) -> Option<T> {
        if !self.young.contains_key(key) {
            let verdict = self.old.remove(key)?;
            self.keep(*key, verdict);
        }
        let verdict = self.young.get(key)?;
        (now < if has_waited { verdict.handed_out } else { verdict.until }).then(|| verdict.what.clone())
    }

    /// Whether there was ever one, as far back as is remembered.
    fn knows(&self, key: &Key) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    fn remember(&mut self, key: Key, what: T, until: UnixTime, handed_out: UnixTime) {
        self.keep(key, Verdict { what, until, handed_out: handed_out.max(until) });
    }

    fn keep(&mut self, key: Key, verdict: Verdict<T>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }

    fn forget(&mut self, key: &Key) {
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
    pub(super) fn room(&self, key: &Key) -> Option<(Room, Rc<()>)> {
        self.jobs.get(key).map(|job| (job.room, Rc::clone(&job.interest)))
    }

    /// Notes that `token` should be asked about, by one client. `most`: requests that may wait, whatever for.
    fn note(&mut self, key: Key, room: Room, token: &str, client: impl FnOnce() -> Option<Network>, most: usize) {
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
        self.lanes.entry(room).or_default().wait(client, number, key);
    }

    /// Forgets a question that nobody has.
    pub(super) fn forget_idle(&mut self, key: &Key) {
        if self.jobs.get(key).is_some_and(Job::is_idle) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Job> {
        let job = self.jobs.remove(key)?;
        self.lanes.get_mut(&job.room)?.leave(job.client, job.number, job.asked);
        Some(job)
    }

    /// The questions whose turn it is.
    fn due(&mut self) -> Vec<Key> {
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
    fn fail(&mut self, room: Room, key: Key, now: UnixTime) {
        if !self.lanes.entry(room).or_default().odd(key, now) {
            return;
        }
        let given_up: Vec<Key> = self.jobs.iter().filter(|(_, job)| job.room == room && !job.asked).map(|(key, _)| *key).collect();
        for key in given_up {
            self.remove(&key);
            self.refused.remember(key, Reason::IntrospectionUnavailable, now.plus(INSTANT), now.plus(HANDOUT));
        }
    }
}

impl Runtime {
    /// What the endpoint of `scheme` says of `token`. With `may_wait` it is asked, if it is not known.
    pub(super) fn introspect(&self, scheme: usize, token: &str, may_wait: bool, now: UnixTime) -> Authentication {
        let hash = Sha256::new_with_prefix(scheme.to_le_bytes()).chain_update(token);
        let key: Key = hash.finalize().into();
        let mut state = self.introspections().borrow_mut();
        if let Some(caller) = state.good.recall(&key, !may_wait, now) {
            return Authentication::Caller(caller);
        }
        if let Some(reason) = state.refused.recall(&key, !may_wait, now) {
            return Authentication::Refused(reason);
        }
        let room = Room { scheme: Some(scheme), known: state.good.knows(&key) };
        let rests = state.lanes.get(&room).is_some_and(|lane| lane.rests(now));
        let config = self.introspection(scheme).filter(|config| self.secrets().value(&config.client.secret.secret).is_ok());
        match config {
            Some(config) if may_wait && !rests => {
                state.note(key, room, token, || self.client(config.fairness), self.config().max_waiting);
                Authentication::Wait(Want::Introspection(key))
            }
            _ => Authentication::Refused(Reason::IntrospectionUnavailable),
        }
    }

    /// The questions to begin now.
    pub(super) fn due_questions(&self) -> Vec<Want> {
        self.introspections().borrow_mut().due().into_iter().map(Want::Introspection).collect()
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_due_questions(&self) -> bool {
        self.introspections().borrow().lanes.values().any(Lane::is_due)
    }

    /// Whether `want` waits for its turn, or is under way: [`Runtime::due`] says when it begins.
    #[must_use]
    pub fn has_turn(&self, want: Want) -> bool {
        matches!(want, Want::Introspection(key) if self.introspections().borrow().jobs.contains_key(&key))
    }

    /// Begins to ask: the call to make, or `None` if it is under way.
    pub(super) fn begin_introspection(&self, key: &Key) -> Option<Call> {
        let mut state = self.introspections().borrow_mut();
        let Introspections { jobs, lanes, .. } = &mut *state;
        let job = jobs.get_mut(key).filter(|job| !job.asked)?;
        let config = self.introspection(job.room.scheme?)?;
        if !lanes.get_mut(&job.room)?.begin(job.client, job.number) {
            return None;
        }
        // Nobody asks without the secret. If it went meanwhile, the endpoint says no, and that ends the wait.
        let secrets = self.secrets();
        let secret = secrets.value(&config.client.secret.secret).map_or("", ExposeSecret::expose_secret);
        let (form, authorization) = introspection::question(job.token.expose_secret(), config, secret);
        job.asked = true;
        let text = |text: &str| Value::Text(text.to_owned());
        let mut headers = vec![
            (":method".into(), text("POST")),
            (":scheme".into(), text(config.uri.scheme())),
            (":authority".into(), text(config.uri.authority())),
            (":path".into(), text(config.uri.path())),
            ("accept".into(), text("application/json")),
            ("content-type".into(), text("application/x-www-form-urlencoded")),
        ];
        headers.extend(authorization.map(|value| ("authorization".into(), Value::Secret(value.into()))));
        Some(Call {
            cluster: config.cluster.clone(),
            headers,
            body: Some(Value::Secret(form.into())),
            timeout: config.timeout,
            most: introspection::MAX_ANSWER_BYTES,
        })
    }

    /// Ends it.
    pub(super) fn complete_introspection(&self, key: &Key, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let mut state = self.introspections().borrow_mut();
        let Some(Job { room, .. }) = state.remove(key) else { return Ok(()) };
        let Some((scheme, config)) = room.scheme.and_then(|scheme| Some((scheme, self.introspection(scheme)?))) else { return Ok(()) };
        let failed = |state: &mut Introspections, rest: Duration, error: &str| {
            // Those who wait hear of it, and nobody asks again for them.
            state.refused.remember(*key, Reason::IntrospectionUnavailable, now.plus(rest), now.plus(HANDOUT));
            let name = self.config().schemes().keys().nth(scheme).map_or("", String::as_str);
            Err(format!("schemes.{name}.introspection: no answer about a token: {error}"))
        };
        // An endpoint that cannot be reached is left alone for a while: with this token at once, with others if it is so for
        // them too. Not one that complains: a token that makes it complain costs nobody anything.
        if matches!(answer, Err(_) | Ok((429 | 502..=504, _))) {
            state.fail(room, *key, now);
            let error = answer.map_or_else(|error| error, |(status, _)| format!("answered with status {status}"));
            return failed(&mut state, REST, &error);
        }
        if let Some(lane) = state.lanes.get_mut(&room) {
            lane.answered();
        }
        let judged = match answer {
            Ok((200, body)) => introspection::read(scheme, config, body, now),
            Ok((status, _)) => return failed(&mut state, INSTANT, &format!("answered with status {status}")),
            Err(error) => return failed(&mut state, INSTANT, &error),
        };
        let reason = match judged {
            Ok(caller) => {
                let expires = caller.expires.plus(config.clock_skew);
                let until = now.plus(config.cache).min(expires).max(now.plus(INSTANT));
                state.good.remember(*key, Rc::new(caller), until, now.plus(HANDOUT).min(expires));
                return Ok(());
            }
            Err(error @ IntrospectionError::Answer) => return failed(&mut state, INSTANT, &error.to_string()),
            Err(IntrospectionError::Inactive) => Reason::TokenInactive,
            Err(IntrospectionError::Token(error)) => error.into(),
        };
        // It is no better than one that nobody has seen before.
        state.good.forget(key);
        let until = now.plus(config.cache.min(MAX_REFUSED)).max(now.plus(INSTANT));
        state.refused.remember(*key, reason, until, now.plus(HANDOUT));
        Ok(())
    }

    fn introspection(&self, scheme: usize) -> Option<&Introspection> {
        match self.config().scheme_at(scheme)? {
            Scheme::Introspection(introspection) => Some(introspection),
            _ => None,
        }
    }
}
