//! The steps in which a grant is read and renewed. Whoever renews it says so in the vault before: many servers take a refresh token once,
//! and forget the user if it comes twice (RFC 9700 section 4.14.2).

use crate::config::{Connection, OauthApp};
use crate::credential::cache::Token;
use crate::credential::grant::{Grant, asked};
use crate::credential::user::GrantKey;
use crate::credential::user_tokens::read_user;
use crate::credential::{Failure, Key};
use crate::flow::event::call::{Answer, Call};
use crate::flow::supply::grants::entries::{Entries, Entry, FOLLOWING, Known, Work, is_ending};
use crate::flow::supply::grants::kept::Grants;
use crate::flow::supply::store::Supply;
use crate::flow::supply::vault::operation::{Done, Fault, Found, Operation, Over, Place, Step, Version};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::rc::Rc;
use std::time::Duration;

/// How much longer than its calls may take a grant is leased: so long a store may be away from whoever has renewed it, before somebody
/// else takes the refresh token that the new one has replaced. Many servers take back the whole grant then.
const LEASE: Duration = Duration::from_secs(60);

/// What comes after a step.
enum After {
    /// This call.
    Call(Call),
    /// The grant, of this version, is to be renewed.
    Renewal(Box<Grant>, Version),
    /// Nothing: the work is done, or goes on later.
    End,
}

/// One grant that is worked on.
struct Bench<'a> {
    supply: &'a Supply,
    grants: &'a Grants,
    key: GrantKey,
    connection: &'a Connection,
    app: &'a OauthApp,
    now: UnixTime,
    /// For the log.
    said: Vec<String>,
}

impl Supply {
    /// Begins to read the grant of `key`, or to write what could not be written: the call to make. `None`: it is under way, or has ended.
    pub(in crate::flow::supply) fn begin_grant(&self, key: &Key, now: UnixTime) -> Option<Call> {
        let grants = self.grants.as_ref()?;
        let mut entries = grants.entries.borrow_mut();
        let entry = entries.0.get_mut(key).filter(|entry| entry.resumes(now) || entry.work.is_none() && entry.has_rested(now))?;
        entry.again = None;
        let mut bench = self.bench(grants, key, entry.connection, now)?;
        let after = match (entry.session.take(), entry.unsaved.take()) {
            (Some(session), unsaved) => {
                entry.unsaved = unsaved;
                bench.go_on(entry, session.resumed(now))
            }
            (None, Some((grant, version))) => bench.save(entry, grant, version, None),
            (None, None) => bench.read(entry, None),
        };
        let after = bench.in_turn(&mut entries, key, after);
        self.end(bench, after)
    }

    /// An answer for the grant of `key` has come.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub(in crate::flow::supply) fn complete_grant(&self, key: &Key, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let Some(grants) = self.grants.as_ref() else { return Ok(()) };
        let mut entries = grants.entries.borrow_mut();
        let Some(entry) = entries.0.get_mut(key) else { return Ok(()) };
        let Some(mut bench) = self.bench(grants, key, entry.connection, now) else { return Ok(()) };
        entry.next = None;
        let after = bench.answered(entry, answer);
        if let After::Call(call) = bench.in_turn(&mut entries, key, after)
            && let Some(entry) = entries.0.get_mut(key)
        {
            entry.next = Some(call);
        }
        bench.said.pop().map_or(Ok(()), Err)
    }

    /// The call that follows.
    pub(in crate::flow::supply) fn proceed_grant(&self, key: &Key) -> Option<Call> {
        self.grants.as_ref()?.entries.borrow_mut().0.get_mut(key)?.next.take()
    }

    fn bench<'a>(&'a self, grants: &'a Grants, key: &Key, connection: usize, now: UnixTime) -> Option<Bench<'a>> {
        let connection = self.config.connections.get(connection)?;
        let (_, app) = self.config.app_of(connection)?;
        Some(Bench { supply: self, grants, key: GrantKey::from_bytes(key), connection, app, now, said: Vec::new() })
    }

    fn end(&self, bench: Bench<'_>, after: After) -> Option<Call> {
        let Bench { said, .. } = bench;
        self.warnings.borrow_mut().extend(said);
        match after {
            After::Call(call) => Some(call),
            After::Renewal(..) | After::End => None,
        }
    }
}

impl Bench<'_> {
    fn place(&self) -> Place {
        Place::Grant { user: self.key.user, grant: self.key.grant }
    }

    fn begin(&self, operation: Operation) -> Option<Step> {
        Some(self.grants.vault.as_ref()?.begin(operation, self.now))
    }

    /// Goes on with `work`, whose first step this is.
    fn start(&mut self, entry: &mut Entry, work: Work, step: Option<Step>) -> After {
        let Some(step) = step else { return self.fail(entry, Failure::Unavailable, "there is no store") };
        entry.work = Some(work);
        self.go_on(entry, step)
    }

    /// A renewal begins if there is room. If there is none its grant is read again when there is: others may have renewed it by then.
    fn in_turn(&mut self, entries: &mut Entries, key: &Key, after: After) -> After {
        let has_room = matches!(&after, After::Renewal(..)) && entries.room() > 0;
        let Some(entry) = entries.0.get_mut(key) else { return After::End };
        match after {
            After::Renewal(grant, version) if has_room => {
                entry.queues = false;
                let step = self.write(&grant, version);
                self.start(entry, Work::Leasing(grant), step)
            }
            After::Renewal(..) => {
                (entry.queues, entry.again) = (true, Some(self.now));
                After::End
            }
            after => {
                entry.queues = entry.queues && entry.work.is_some();
                after
            }
        }
    }

    fn read(&mut self, entry: &mut Entry, refused: Option<SecretString>) -> After {
        let step = self.begin(Operation::Read(self.place()));
        self.start(entry, Work::Reading(refused), step)
    }

    fn save(&mut self, entry: &mut Entry, grant: Grant, version: Version, failure: Option<Failure>) -> After {
        let step = self.write(&grant, version);
        if failure.is_none() {
            entry.unsaved = Some((grant.clone(), version));
        }
        self.start(entry, Work::Saving(Box::new(grant), failure), step)
    }

    fn write(&self, grant: &Grant, version: Version) -> Option<Step> {
        let bytes = self.supply.seal_grant(&self.key, grant, self.now)?;
        self.begin(Operation::Write { place: self.place(), bytes, until: grant.ends(self.now), over: Over::Version(version) })
    }

    fn answered(&mut self, entry: &mut Entry, answer: Answer<'_>) -> After {
        match (entry.work.take(), entry.session.take()) {
            (Some(Work::Renewing(grant, version, since)), _) => self.renewed(entry, *grant, (version, since), answer),
            (work, Some(session)) => {
                entry.work = work;
                let step = session.answered(answer, self.now);
                self.go_on(entry, step)
            }
            (_, None) => After::End,
        }
    }

    /// The next step of what is under way.
    fn go_on(&mut self, entry: &mut Entry, step: Step) -> After {
        let done = match step {
            Step::Call(call, session) => {
                entry.session = Some(session);
                return After::Call(call);
            }
            Step::Wait(session) => {
                (entry.session, entry.again) = (Some(session), Some(self.now.plus(FOLLOWING)));
                return After::End;
            }
            Step::Done(done) => done,
        };
        match (entry.work.take(), done) {
            (Some(Work::Saving(_, failure)), Err(fault)) => self.unsaved(entry, failure, &fault),
            (_, Err(fault)) => self.fail(entry, Failure::Unavailable, cause(&fault)),
            (Some(Work::Reading(refused)), Ok(Done::Found(found))) => self.found(entry, found, refused.as_ref()),
            (Some(Work::Leasing(grant)), Ok(Done::Written(version))) => self.renew(entry, *grant, version),
            (Some(Work::Saving(grant, failure)), Ok(done)) if self.is_saved(&done, &grant) => {
                entry.unsaved = None;
                match failure {
                    None => self.hold(entry, &grant),
                    // The token that there is serves as long as it is good.
                    Some(_) if self.now < grant.until && !entry.refused => {
                        entry.unrenewed = Some(self.now);
                        self.hold(entry, &grant)
                    }
                    Some(failure) => {
                        self.keep(entry, &grant);
                        self.fail(entry, failure, "")
                    }
                }
            }
            (Some(Work::Dropping), Ok(_)) => Self::absent(entry, self.now),
            (Some(Work::Saving(grant, None)), Ok(Done::Conflict(Some(found)))) if self.is_replaced(entry, &found, &grant) => {
                self.save(entry, *grant, found.version, None)
            }
            // Somebody else was there: what lies there now counts.
            (Some(Work::Leasing(_) | Work::Saving(..)), Ok(_)) => {
                entry.unsaved = None;
                self.read(entry, None)
            }
            (Some(Work::Reading(_) | Work::Renewing(..)) | None, Ok(_)) => After::End,
        }
    }

    /// Whether `grant` lies in the vault: also where the answer to an earlier try was lost.
    fn is_saved(&self, done: &Done, grant: &Grant) -> bool {
        let is_same = |found: &Found| {
            let other = self.supply.open_grant(&self.key, &found.bytes);
            other.is_some_and(|other| other.access.expose_secret() == grant.access.expose_secret() && other.lease.is_none())
        };
        matches!(done, Done::Written(_)) || matches!(done, Done::Conflict(Some(found)) if is_same(found))
    }

    /// Whether what lies in the vault is what `grant` was made of: somebody else has leased it meanwhile, and nobody can renew it any more.
    fn is_replaced(&self, entry: &Entry, found: &Found, grant: &Grant) -> bool {
        let old = text(entry.replaced.as_ref());
        let other = self.supply.open_grant(&self.key, &found.bytes);
        old.is_some() && old != text(grant.refresh.as_ref()) && other.is_some_and(|other| text(other.refresh.as_ref()) == old)
    }

    fn found(&mut self, entry: &mut Entry, found: Option<Found>, refused: Option<&SecretString>) -> After {
        let Some(Found { bytes, version }) = found else { return Self::absent(entry, self.now) };
        let grant = self.supply.open_grant(&self.key, &bytes).filter(|grant| self.is_asked(entry, grant));
        let Some(grant) = grant else { return Self::absent(entry, self.now) };
        let is_same = |token: &SecretString| refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret());
        if grant.refresh.as_ref().is_some_and(is_same) {
            // Nobody has renewed it meanwhile: the server took it back.
            return self.drop_grant(entry, version);
        }
        let is_good = self.now < grant.until;
        let is_refused =
            entry.refused && matches!(&entry.known, Known::Held(own, _) if own.value.expose_secret() == grant.access.expose_secret());
        if !is_refused && (!is_ending(grant.since, grant.until, self.now) || is_good && entry.spares(self.now)) {
            return self.hold(entry, &grant);
        }
        if grant.refresh.is_none() {
            return if is_good && !is_refused { self.hold(entry, &grant) } else { self.drop_grant(entry, version) };
        }
        let Some(server) = self.supply.server_of(self.connection) else {
            if is_good && !is_refused {
                return self.hold(entry, &grant);
            }
            return match self.supply.wait_for_server(self.connection, self.now) {
                Some(_) => self.follow(entry),
                None => self.fail(entry, Failure::Unavailable, "its server's metadata could not be read"),
            };
        };
        let lease = server.refresh_endpoint.timeout.saturating_add(LEASE);
        if grant.lease.is_some_and(|(_, until)| self.now < until && until <= self.now.plus(lease)) {
            return if is_good && !is_refused { self.hold(entry, &grant) } else { self.follow(entry) };
        }
        let leased = Grant { lease: Some((self.worker(), self.now.plus(lease))), ..grant };
        After::Renewal(Box::new(leased), version)
    }

    /// Whether `grant` is this user's, for what is asked for today.
    fn is_asked(&self, entry: &Entry, grant: &Grant) -> bool {
        let Some(own) = self.connection.user_passthrough() else { return false };
        let today = asked(self.app.issuer.as_deref(), &self.app.client.client_id, own.scopes(self.app), &own.resource);
        grant.user == entry.user && grant.connection == self.connection.name && grant.asked == today
    }

    /// Who renews a grant here: it only has to be unlike others.
    fn worker(&self) -> u64 {
        self.supply.random(self.now).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Looks again in a moment.
    fn follow(&self, entry: &mut Entry) -> After {
        entry.again = Some(self.now.plus(FOLLOWING));
        After::End
    }

    fn renew(&mut self, entry: &mut Entry, grant: Grant, version: Version) -> After {
        let (Some(refresh), Some(server)) = (grant.refresh.clone(), self.supply.server_of(self.connection)) else {
            return self.hold(entry, &grant);
        };
        match self.supply.ask_anew(self.connection, server, &refresh, self.now) {
            Ok(request) => {
                entry.work = Some(Work::Renewing(Box::new(grant), version, self.now));
                After::Call(request.into())
            }
            Err((failure, cause)) => {
                self.say(&cause);
                self.save(entry, Grant { lease: None, ..grant }, version, Some(failure))
            }
        }
    }

    fn renewed(&mut self, entry: &mut Entry, grant: Grant, (version, since): (Version, UnixTime), answer: Answer<'_>) -> After {
        let read = match answer {
            Ok((status, body)) => read_user(status, body, self.now),
            Err(error) => Err((Failure::Unavailable, error)),
        };
        match read {
            Ok(tokens) => {
                entry.replaced.clone_from(&grant.refresh);
                let grant = grant.with(tokens, since);
                entry.unrenewed = None;
                // Its token is good at once, whatever becomes of the store.
                self.keep(entry, &grant);
                self.save(entry, grant, version, None)
            }
            Err((Failure::Grant | Failure::Consent, cause)) => {
                self.say(&format!("the token endpoint {cause}: the user has to agree anew"));
                self.read(entry, grant.refresh)
            }
            Err((failure, cause)) => {
                self.say(&format!("the token endpoint {cause}"));
                self.save(entry, Grant { lease: None, ..grant }, version, Some(failure))
            }
        }
    }

    fn drop_grant(&mut self, entry: &mut Entry, version: Version) -> After {
        let step = self.begin(Operation::Remove { place: self.place(), version: Some(version) });
        self.start(entry, Work::Dropping, step)
    }

    /// The vault has these tokens.
    fn hold(&self, entry: &mut Entry, grant: &Grant) -> After {
        self.keep(entry, grant);
        entry.checked = Some(self.now);
        (entry.failed, entry.failures) = (None, 0);
        After::End
    }

    /// The tokens of `grant` are known; what they are worth when they are read again does not change.
    fn keep(&self, entry: &mut Entry, grant: &Grant) {
        let renews = grant.refresh.is_some();
        match &mut entry.known {
            Known::Held(token, own) if token.value.expose_secret() == grant.access.expose_secret() && token.until == grant.until => {
                *own = renews
            }
            known => {
                *known = Known::Held(Rc::new(Token { value: grant.access.clone(), since: grant.since, until: grant.until }), renews);
                (entry.refused, entry.in_use) = (false, false);
            }
        }
    }

    fn absent(entry: &mut Entry, now: UnixTime) -> After {
        entry.known = Known::Absent;
        entry.checked = Some(now);
        (entry.refused, entry.failed, entry.failures) = (false, None, 0);
        After::End
    }

    /// The store did not take what there is: new tokens stay here, until it does.
    fn unsaved(&mut self, entry: &mut Entry, failure: Option<Failure>, fault: &Fault) -> After {
        match failure {
            Some(failure) => self.fail(entry, failure, cause(fault)),
            None => {
                self.say(&format!("new tokens of a user stay in this worker until the store takes them: {}", cause(fault)));
                self.fail(entry, Failure::Unavailable, "")
            }
        }
    }

    fn fail(&mut self, entry: &mut Entry, failure: Failure, cause: &str) -> After {
        if !cause.is_empty() {
            self.say(cause);
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.failed = Some((self.now, failure));
        After::End
    }

    fn say(&mut self, cause: &str) {
        self.said.push(format!("connection {:?}: no grant of a user: {cause}", self.connection.name));
    }
}

fn text(token: Option<&SecretString>) -> Option<&str> {
    token.map(|token| token.expose_secret())
}

fn cause(fault: &Fault) -> &str {
    match fault {
        Fault::Full => "the store is full",
        Fault::Unavailable(cause) => cause,
    }
}
