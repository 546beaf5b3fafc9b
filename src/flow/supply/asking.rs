//! Asking an endpoint about tokens (RFC 7662): what is known already, what has to be asked, and what the answer means.

use crate::config::{Introspection, Scheme};
use crate::flow::event::Value;
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::event::reason::Reason;
use crate::flow::supply::introspect::{HANDOUT, INSTANT, Introspections, Job, MAX_REFUSED};
use crate::flow::supply::lane::{Key, Lane, REST};
use crate::flow::supply::seats::Room;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::store::Supply;
use crate::identity::Caller;
use crate::identity::introspection;
use crate::identity::introspection::IntrospectionError;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::time::Duration;

impl Supply {
    /// What the endpoint of `scheme` says of `token`. With `may_wait` it is asked, if it is not known.
    pub(in crate::flow) fn introspect(&self, scheme: usize, token: &str, may_wait: bool, now: UnixTime) -> Sought<Rc<Caller>> {
        let hash = Sha256::new_with_prefix(scheme.to_le_bytes()).chain_update(token);
        let key: Key = hash.finalize().into();
        let mut state = self.introspections().borrow_mut();
        if let Some(caller) = state.good.recall(&key, !may_wait, now) {
            return Sought::Here(caller);
        }
        if let Some(reason) = state.refused.recall(&key, !may_wait, now) {
            return Sought::No(reason);
        }
        let room = Room { scheme: Some(scheme), known: state.good.knows(&key) };
        let rests = state.lanes.get(&room).is_some_and(|lane| lane.rests(now));
        let config = self.introspection(scheme).filter(|config| self.secrets().value(&config.client.secret.secret).is_ok());
        match config {
            Some(config) if may_wait && !rests => {
                state.note(key, room, token, || self.client(config.fairness), self.config().max_waiting);
                Sought::Wait(Want::Introspection(key))
            }
            _ => Sought::No(Reason::IntrospectionUnavailable),
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

    /// Whether `want` waits for its turn, or is under way: [`Supply::due`] says when it begins.
    #[must_use]
    pub fn has_turn(&self, want: Want) -> bool {
        match want {
            Want::Introspection(key) => self.introspections().borrow().jobs.contains_key(&key),
            Want::Grant(key) => self.grants.as_ref().is_some_and(|grants| grants.entries.borrow().follows(&key)),
            Want::Job(number) => self.job_waits(number),
            Want::Keys(_) | Want::Card(_) | Want::Secret(_) | Want::Token(_) | Want::RemoteCard(_) | Want::Server(_) => false,
        }
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
