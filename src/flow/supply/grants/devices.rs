//! The steps in which a flow begins, and is looked at, whose user agrees on another device. Whoever calls the server says so in the vault
//! before: so one of all workers and Envoys does, and no sooner than the server allows.

use crate::config::{Connection, Delivery, OauthApp, Way};
use crate::credential::Failure;
use crate::credential::devices::{LONGEST_INTERVAL, Poll, read_begun, read_poll};
use crate::credential::endpoint::digest;
use crate::credential::grant::asked;
use crate::credential::user::GrantKey;
use crate::flow::event::call::{Answer, Call};
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::jobs::{Outcome, State};
use crate::flow::supply::grants::order::{At, Order, Seen, Work};
use crate::flow::supply::grants::standing::{Flow, MOST, Stage, Standing, Waiting, after};
use crate::flow::supply::store::Supply;
use crate::flow::supply::vault::operation::{Done, Fault, Found, Operation, Over, Place, Step, Version};
use crate::wire::base64url;
use crate::wire::hex;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// How much longer than its calls may take a server is left to who calls it.
const LEASE: Duration = Duration::from_secs(8);
/// How long a server is left alone that began no flow.
const REST: Duration = Duration::from_secs(5);
/// By how much polls slow down that come too fast, in seconds (RFC 8628 section 3.5).
const SLOWER: u64 = 5;
/// How often it begins anew because somebody else was quicker.
const ATTEMPTS: u8 = 4;

/// What follows.
pub(super) enum Turn {
    Call(Call),
    /// It goes on later.
    Wait,
    Done(Outcome),
}

type Next = Result<Operation, Turn>;

fn failed(failure: Failure) -> Turn {
    Turn::Done(Outcome::Stands(Err(failure)))
}

const fn seen(standing: Standing) -> Turn {
    Turn::Done(Outcome::Stands(Ok(Seen::new(standing))))
}

impl Supply {
    /// Does `order` for the flows of `key` at connection `index`: a job. `None`: too much is under way.
    pub(in crate::flow) fn agree_elsewhere(&self, key: GrantKey, index: usize, order: Order, now: UnixTime) -> Option<u64> {
        let mut work = Box::new(Work { key, connection: index, order, at: At::Reading, session: None, attempts: 0 });
        let turn = work.read(self, now);
        let (state, next, waits) = match turn {
            Turn::Call(call) => (State::Elsewhere(work), Some(call), false),
            Turn::Wait => (State::Elsewhere(work), None, true),
            Turn::Done(outcome) => (State::Done(outcome), None, false),
        };
        let mut jobs = self.grants.as_ref()?.jobs.borrow_mut();
        let number = jobs.add(state, next, now)?;
        if let Some(job) = jobs.all.get_mut(&number) {
            job.waits = waits;
        }
        Some(number)
    }

    /// What the server of `connection` shows when it says that the user of flow `id` has decided: nobody else can make one.
    fn ping_token(&self, key: &GrantKey, id: &[u8; 16], connection: &Connection, now: UnixTime) -> String {
        let app = self.config.app_of(connection).map_or("", |(name, _)| name);
        let plain = [&key.to_bytes()[..], id, connection.name.as_bytes()].concat();
        let sealed = self.ring().map(|ring| ring.seal(&[b"ping", app.as_bytes()], self.seal_nonce(now), &plain));
        base64url::encode(&sealed.unwrap_or_default())
    }

    /// What `token` was made for, which somebody shows in the name of registration `app`: the caller and the connection, and the flow.
    pub(in crate::flow) fn pinged(&self, app: &str, token: &str) -> Option<(GrantKey, usize, [u8; 16])> {
        let plain = self.ring()?.open(&[b"ping", app.as_bytes()], &base64url::decode(token)?)?;
        let (key, rest) = plain.expose_secret().split_first_chunk()?;
        let (id, name) = rest.split_first_chunk()?;
        let index = self.config.connections.iter().position(|connection| connection.name.as_bytes() == name)?;
        Some((GrantKey::from_bytes(key), index, *id))
    }
}

impl Work {
    /// An answer has come.
    pub fn answered(&mut self, supply: &Supply, answer: Answer<'_>, now: UnixTime) -> Turn {
        match self.session.take() {
            Some(session) => self.go(supply, session.answered(answer, now), now),
            None => match std::mem::replace(&mut self.at, At::Reading) {
                At::Asking(standing, version, since) => {
                    let next = self.told(supply, (standing, version, since), answer, now);
                    self.follow(supply, next, now)
                }
                _ => failed(Failure::Unavailable),
            },
        }
    }

    /// It goes on, which had to wait.
    pub fn resumed(&mut self, supply: &Supply, now: UnixTime) -> Turn {
        match self.session.take() {
            Some(session) => self.go(supply, session.resumed(now), now),
            None => self.read(supply, now),
        }
    }

    fn read(&mut self, supply: &Supply, now: UnixTime) -> Turn {
        self.at = At::Reading;
        let operation = Operation::Read(self.place());
        self.follow(supply, Ok(operation), now)
    }

    fn follow(&mut self, supply: &Supply, next: Next, now: UnixTime) -> Turn {
        let vault = supply.grants.as_ref().and_then(|grants| grants.vault.as_ref());
        match (next, vault) {
            (Ok(operation), Some(vault)) => self.go(supply, vault.begin(operation, now), now),
            (Ok(_), None) => failed(Failure::Unavailable),
            (Err(turn), _) => turn,
        }
    }

    /// The vault's next step.
    fn go(&mut self, supply: &Supply, step: Step, now: UnixTime) -> Turn {
        match step {
            Step::Call(call, session) => {
                self.session = Some(session);
                Turn::Call(call)
            }
            Step::Wait(session) => {
                self.session = Some(session);
                Turn::Wait
            }
            Step::Done(Ok(done)) => {
                let next = self.did(supply, done, now);
                self.follow(supply, next, now)
            }
            Step::Done(Err(fault)) => {
                let cause = if let Fault::Unavailable(cause) = &fault { cause } else { "is full" };
                say(supply, &["consent.store: ", cause]);
                failed(Failure::Unavailable)
            }
        }
    }

    fn did(&mut self, supply: &Supply, done: Done, now: UnixTime) -> Next {
        match (std::mem::replace(&mut self.at, At::Reading), done) {
            (At::Reading, Done::Found(found)) => self.decide(supply, found, now),
            (At::Claiming(standing), Done::Written(version)) => self.call(supply, standing, version, now),
            (At::Writing(outcome), Done::Written(_)) => Err(Turn::Done(Outcome::Stands(outcome))),
            (At::Taking(standing), Done::Removed) => {
                let Order::Keep(_, bytes, until) = &mut self.order else { return Err(failed(Failure::Unavailable)) };
                let place = Place::Grant { user: self.key.user, grant: self.key.grant };
                self.at = At::Keeping(standing);
                Ok(Operation::Write { place, bytes: std::mem::take(bytes), until: *until, over: Over::Any })
            }
            (At::Keeping(standing), Done::Written(_)) => {
                Err(Turn::Done(Outcome::Stands(Ok(Seen { is_kept: true, ..Seen::new(standing) }))))
            }
            // Somebody else was there: what lies there now counts.
            (At::Claiming(_) | At::Writing(_) | At::Taking(_), Done::Conflict(found)) if self.attempts < ATTEMPTS => {
                self.attempts = self.attempts.saturating_add(1);
                self.decide(supply, found, now)
            }
            _ => Err(failed(Failure::Unavailable)),
        }
    }

    /// What is to be done where this was found.
    fn decide(&mut self, supply: &Supply, found: Option<Found>, now: UnixTime) -> Next {
        let Some((connection, app, way)) = self.around(supply) else { return Err(failed(Failure::Unavailable)) };
        let version = found.as_ref().map(|found| found.version);
        let over = version.map_or(Over::Absent, Over::Version);
        // What no key of ours sealed counts as nothing.
        let opened = found.and_then(|found| Standing::from_bytes(supply.ring()?.open(&self.sealed_for(), &found.bytes)?.expose_secret()));
        let mut standing = opened.unwrap_or_default().at(asked_for(connection, app), now);
        match &self.order {
            Order::End(id, ended) => {
                if !standing.is_pending(*id) {
                    return Err(seen(standing));
                }
                standing.end(Some(*ended));
                let outcome = Seen { is_over: true, ..Seen::new(standing.clone()) };
                return self.write(supply, standing, over, Ok(outcome), now);
            }
            Order::Keep(id, ..) => {
                let is_given = standing.pending().is_some_and(|(flow, waiting)| flow.id == *id && waiting.given.is_some());
                if !is_given {
                    return Err(seen(standing));
                }
                self.at = At::Taking(standing);
                return Ok(Operation::Remove { place: self.place(), version });
            }
            Order::Ping(id, code) => {
                let is_pending = standing.is_pending(*id);
                match &mut standing.stage {
                    Stage::Waiting(waiting) if is_pending && waiting.given.is_none() && waiting.code.expose_secret() == code => {
                        waiting.next = UnixTime::default();
                    }
                    _ => return Err(seen(standing)),
                }
                let outcome = Seen::new(standing.clone());
                return self.write(supply, standing, over, Ok(outcome), now);
            }
            Order::Look | Order::Begin { .. } => {}
        }
        let Some(server) = supply.server_of(connection) else {
            let waits = supply.wait_for_server(connection, now).is_some();
            return Err(if waits { Turn::Wait } else { failed(Failure::Unavailable) });
        };
        let begins = matches!(self.order, Order::Begin { .. });
        match &mut standing.stage {
            Stage::Waiting(waiting) if waiting.given.is_some() || now < waiting.next => return Err(seen(standing)),
            Stage::Waiting(waiting) => waiting.next = after(now.plus(server.client.token_endpoint.timeout).plus(LEASE), 0),
            Stage::Starting(until) if begins && now < *until => return Err(Turn::Wait),
            _ if !begins || standing.flows.len() >= MOST => return Err(seen(standing)),
            Stage::Idle(until) if now < *until => return Err(failed(Failure::Unavailable)),
            Stage::Idle(_) | Stage::Starting(_) => standing.stage = Stage::Starting(after(now.plus(way.endpoint().timeout).plus(LEASE), 0)),
        }
        let operation = self.sealed(supply, &standing, over, now)?;
        self.at = At::Claiming(standing);
        Ok(operation)
    }

    /// Calls the server.
    fn call(&mut self, supply: &Supply, standing: Standing, version: Version, now: UnixTime) -> Next {
        let Some((connection, _, way)) = self.around(supply) else { return Err(failed(Failure::Unavailable)) };
        let Some(server) = supply.server_of(connection) else { return Err(failed(Failure::Unavailable)) };
        let request = match (&standing.stage, &self.order) {
            (Stage::Waiting(waiting), _) => supply.ask_again(connection, server, &waiting.code, now),
            (_, Order::Begin { id, hint, message }) => {
                let mut parameters = Vec::new();
                let mut token = None;
                if let Way::Ciba(own) = way {
                    parameters.extend([("login_hint", hint.as_str()), ("binding_message", message.as_str())]);
                    token = (own.delivery == Delivery::Ping).then(|| supply.ping_token(&self.key, id, connection, now));
                }
                parameters.extend(token.as_deref().map(|token| ("client_notification_token", token)));
                supply.ask_to_begin(connection, server, parameters, now)
            }
            _ => None,
        };
        match request {
            Some(Ok(request)) => {
                self.at = At::Asking(standing, version, now);
                Err(Turn::Call(request.into()))
            }
            Some(Err((failure, cause))) => {
                self.told_nothing(supply, (standing, version), (failure, &["cannot be asked: ", &cause].concat()), now)
            }
            None => Err(failed(Failure::Unavailable)),
        }
    }

    /// What the server says.
    fn told(
        &mut self,
        supply: &Supply,
        (mut standing, version, since): (Standing, Version, UnixTime),
        answer: Answer<'_>,
        now: UnixTime,
    ) -> Next {
        let Some((connection, app, way)) = self.around(supply) else { return Err(failed(Failure::Unavailable)) };
        let Ok((status, body)) = answer.as_ref() else {
            let cause = answer.err().unwrap_or_default();
            return self.told_nothing(supply, (standing, version), (Failure::Unavailable, &cause), now);
        };
        let mut is_over = false;
        match (&mut standing.stage, &self.order) {
            (Stage::Waiting(waiting), _) => match read_poll(*status, body, since) {
                Ok(poll @ (Poll::Pending | Poll::Slower)) => {
                    let slower = if poll == Poll::Slower { SLOWER } else { 0 };
                    waiting.interval = waiting.interval.saturating_add(slower).min(LONGEST_INTERVAL);
                    waiting.next = after(now, waiting.interval);
                }
                Ok(poll @ (Poll::Denied | Poll::Expired)) => {
                    is_over = true;
                    standing.end((poll == Poll::Denied).then_some(Ended::Denied));
                }
                Ok(Poll::Agreed) => {
                    waiting.given = Some((SecretString::from(String::from_utf8_lossy(body).into_owned()), since));
                    // Who agreed in the last second has agreed.
                    waiting.until = waiting.until.max(now.plus(LEASE));
                }
                // The server knows nothing of it any more.
                Err((Failure::Grant | Failure::Consent, cause)) => {
                    self.tells(supply, &["the token endpoint ", &cause, ": the flow has ended"]);
                    is_over = true;
                    standing.end(None);
                }
                Err((failure, cause)) => return self.told_nothing(supply, (standing, version), (failure, &cause), now),
            },
            (_, Order::Begin { id, message, .. }) => match read_begun(way.grant().1, *status, body) {
                Ok(begun) => {
                    let waiting = Waiting::new(begun, message.clone(), asked_for(connection, app), since, now);
                    standing.flows.push(Flow { id: *id, since: after(now, 0), ended: None });
                    standing.stage = Stage::Waiting(Box::new(waiting));
                }
                Err((failure, cause)) => return self.told_nothing(supply, (standing, version), (failure, &cause), now),
            },
            _ => return Err(failed(Failure::Unavailable)),
        }
        let outcome = Seen { is_over, ..Seen::new(standing.clone()) };
        self.write(supply, standing, Over::Version(version), Ok(outcome), now)
    }

    /// The server says nothing of use: a flow stays as it is, and the server is left alone for a while.
    fn told_nothing(
        &mut self,
        supply: &Supply,
        (mut standing, version): (Standing, Version),
        (failure, cause): (Failure, &str),
        now: UnixTime,
    ) -> Next {
        self.tells(supply, &["no answer about a user who is asked elsewhere: the server ", cause]);
        match &mut standing.stage {
            Stage::Waiting(waiting) => {
                // Polls must slow down where they come to nothing (RFC 8628 section 3.5).
                waiting.interval = waiting.interval.saturating_add(SLOWER).min(LONGEST_INTERVAL);
                waiting.next = after(now, waiting.interval);
            }
            stage => *stage = Stage::Idle(now.plus(REST)),
        }
        self.write(supply, standing, Over::Version(version), Err(failure), now)
    }

    fn write(&mut self, supply: &Supply, standing: Standing, over: Over, outcome: Result<Seen, Failure>, now: UnixTime) -> Next {
        let operation = self.sealed(supply, &standing, over, now)?;
        self.at = At::Writing(outcome);
        Ok(operation)
    }

    fn sealed(&self, supply: &Supply, standing: &Standing, over: Over, now: UnixTime) -> Next {
        let Some(ring) = supply.ring() else { return Err(failed(Failure::Unavailable)) };
        let bytes = ring.seal(&self.sealed_for(), supply.seal_nonce(now), &standing.to_bytes());
        Ok(Operation::Write { place: self.place(), bytes, until: standing.ends(now), over })
    }

    fn sealed_for(&self) -> [&[u8]; 3] {
        [b"elsewhere", &self.key.user, &self.key.grant]
    }

    /// Where the flows of this caller at this connection lie: all at one place, so that there is one at a time.
    fn place(&self) -> Place {
        let key = digest(["attache elsewhere 1", &hex::encode(&self.key.to_bytes())].into_iter());
        Place::Flow { id: key.first_chunk().copied().unwrap_or_default() }
    }

    fn around<'a>(&self, supply: &'a Supply) -> Option<(&'a Connection, &'a OauthApp, Way<'a>)> {
        let connection = supply.config.connections.get(self.connection)?;
        Some((connection, supply.config.app_of(connection)?.1, connection.user_passthrough()?.way()?))
    }

    fn tells(&self, supply: &Supply, parts: &[&str]) {
        let name = supply.config.connections.get(self.connection).map_or("", |connection| &connection.name);
        say(supply, &[&["consent for connection \"", name, "\": "], parts].concat());
    }
}

fn say(supply: &Supply, parts: &[&str]) {
    supply.warnings.borrow_mut().push(parts.concat());
}

/// What users are asked for today, as a digest.
fn asked_for(connection: &Connection, app: &OauthApp) -> [u8; 16] {
    let Some(own) = connection.user_passthrough() else { return [0; 16] };
    asked(app.issuer.as_deref(), &app.client.client_id, own.scopes(app), &own.resource)
}
