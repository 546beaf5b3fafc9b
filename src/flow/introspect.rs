//! Tokens that their issuer is asked about: one question at a time for a token, its answer remembered by the token's SHA-256,
//! no longer than the token lives and the configuration allows.

use super::authenticate::Authentication;
use super::denial::Reason;
use super::event::Value;
use super::fetch::{Answer, Call, Want};
use super::runtime::Runtime;
use crate::config::{Introspection, Scheme};
use crate::identity::Caller;
use crate::identity::introspection::{self, IntrospectionError};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Most questions that are under way or about to be asked: anyone can cause one.
const MAX_JOBS: usize = 256;
/// A question that nobody asked in this time is one whose request has gone.
const JOB_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after an endpoint could not be reached.
const REST: Duration = Duration::from_secs(1);
/// Longest time that a token is remembered as refused.
const MAX_REFUSED: Duration = Duration::from_secs(10);
/// What is remembered at least, so that those who wait get their answer.
const INSTANT: Duration = Duration::from_millis(1);
/// Most remembered tokens per generation; there are two.
const GENERATION: usize = 2048;

/// Names a token and the scheme that asks about it.
type Key = [u8; 32];

/// Questions and answers of one configuration.
#[derive(Debug, Default)]
pub struct Introspections {
    jobs: BTreeMap<Key, Job>,
    // Apart, so that no flood of bad tokens drives out the good ones.
    good: Recent<Rc<Caller>>,
    refused: Recent<Reason>,
    /// When the endpoints of schemes (index) may be asked again.
    rests: BTreeMap<usize, UnixTime>,
}

#[derive(Debug)]
struct Job {
    scheme: usize,
    token: SecretString,
    since: UnixTime,
    asked: bool,
}

/// Verdicts in two generations, so that what is used stays.
#[derive(Debug)]
struct Recent<T> {
    young: BTreeMap<Key, (T, UnixTime)>,
    old: BTreeMap<Key, (T, UnixTime)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<T: Clone> Recent<T> {
    fn recall(&mut self, key: &Key, now: UnixTime) -> Option<T> {
        if !self.young.contains_key(key) {
            let (verdict, until) = self.old.remove(key)?;
            self.remember(*key, verdict, until);
        }
        self.young.get(key).filter(|(_, until)| now < *until).map(|(verdict, _)| verdict.clone())
    }

    fn remember(&mut self, key: Key, verdict: T, until: UnixTime) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (verdict, until));
    }
}

impl Introspections {
    /// The scheme (index) of a question under way.
    pub fn scheme(&self, key: &Key) -> Option<usize> {
        self.jobs.get(key).map(|job| job.scheme)
    }

    /// Notes that `token` should be asked about. `false` if there are too many questions already.
    fn note(&mut self, key: Key, scheme: usize, token: &str, now: UnixTime) -> bool {
        if self.jobs.contains_key(&key) {
            return true;
        }
        if self.jobs.len() >= MAX_JOBS {
            self.jobs.retain(|_, job| job.asked || now.since(job.since) < JOB_PATIENCE);
        }
        if self.jobs.len() >= MAX_JOBS {
            return false;
        }
        self.jobs.insert(key, Job { scheme, token: SecretString::from(token), since: now, asked: false });
        true
    }
}

impl Runtime {
    /// What the endpoint of `scheme` says of `token`. With `may_wait` it is asked, if it is not known.
    pub(super) fn introspect(&self, scheme: usize, token: &str, may_wait: bool, now: UnixTime) -> Authentication {
        let hash = Sha256::new_with_prefix(scheme.to_le_bytes()).chain_update(token);
        let key: Key = hash.finalize().into();
        let mut state = self.introspections().borrow_mut();
        if let Some(caller) = state.good.recall(&key, now) {
            return Authentication::Caller(caller);
        }
        if let Some(reason) = state.refused.recall(&key, now) {
            return Authentication::Refused(reason);
        }
        let rests = state.rests.get(&scheme).is_some_and(|until| now < *until);
        let secret = self.introspection(scheme).map(|config| &config.client.secret.secret);
        let may_ask = may_wait && !rests && secret.is_some_and(|name| self.secrets().value(name).is_ok());
        if may_ask && state.note(key, scheme, token, now) {
            return Authentication::Wait(Want::Introspection(key));
        }
        Authentication::Refused(Reason::IntrospectionUnavailable)
    }

    /// Begins to ask: the call to make, or `None` if it is under way.
    pub(super) fn begin_introspection(&self, key: &Key) -> Option<Call> {
        let mut state = self.introspections().borrow_mut();
        let job = state.jobs.get_mut(key).filter(|job| !job.asked)?;
        let config = self.introspection(job.scheme)?;
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
        let Some(Job { scheme, .. }) = state.jobs.remove(key) else { return Ok(()) };
        let Some(config) = self.introspection(scheme) else { return Ok(()) };
        let failed = |state: &mut Introspections, error: &str| {
            // Those who wait hear of it, and nobody asks again for them.
            state.refused.remember(*key, Reason::IntrospectionUnavailable, now.plus(INSTANT));
            let name = self.config().schemes().keys().nth(scheme).map_or("", String::as_str);
            Err(format!("schemes.{name}.introspection: no answer about a token: {error}"))
        };
        // An endpoint that cannot be reached is left alone for a while. Not one that complains: a token that makes it
        // complain must not keep others waiting.
        if matches!(answer, Err(_) | Ok((429 | 502..=504, _))) {
            state.rests.insert(scheme, now.plus(REST));
        }
        let judged = match answer {
            Ok((200, body)) => introspection::read(scheme, config, body, now),
            Ok((status, _)) => return failed(&mut state, &format!("answered with status {status}")),
            Err(error) => return failed(&mut state, &error),
        };
        let reason = match judged {
            Ok(caller) => {
                let until = now.plus(config.cache).min(caller.expires.plus(config.clock_skew)).max(now.plus(INSTANT));
                state.good.remember(*key, Rc::new(caller), until);
                return Ok(());
            }
            Err(error @ IntrospectionError::Answer) => return failed(&mut state, &error.to_string()),
            Err(IntrospectionError::Inactive) => Reason::TokenInactive,
            Err(IntrospectionError::Token(error)) => error.into(),
        };
        state.refused.remember(*key, reason, now.plus(config.cache.min(MAX_REFUSED)).max(now.plus(INSTANT)));
        Ok(())
    }

    fn introspection(&self, scheme: usize) -> Option<&Introspection> {
        match self.config().scheme_at(scheme)? {
            Scheme::Introspection(introspection) => Some(introspection),
            _ => None,
        }
    }
}
