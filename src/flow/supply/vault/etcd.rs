//! The store in etcd (API v3), by its JSON gateway: what is asked and what its answers mean. Reads are linearizable, writes are
//! transactions that compare the revision of what is there, and each value hangs on a lease, so that etcd itself removes it.
//!
//! The lease of a value is shared by all that end within the same ten minutes, and its id follows from that: so there is a bounded number
//! of them, and no write leaves one behind. A value says itself when it ends, to the moment.

mod answer;
mod entry;
mod request;

use crate::config::EtcdStore;
use crate::flow::event::call;
use crate::flow::supply::vault::etcd::answer::{Answer, Refused, unavailable};
use crate::flow::supply::vault::etcd::entry::{Entry, Token, Turn};
use crate::flow::supply::vault::etcd::request::{Lease, PAGE, Request};
use crate::flow::supply::vault::operation::{
    Done, Fault, Found, Id, MAX_GRANTS, MAX_VALUE_BYTES, Operation, Over, Session, Step, Store, Version,
};
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use std::fmt;
use std::rc::Rc;

/// Bytes of an answer with one value, in base64, with what stands around it.
const MOST: usize = MAX_VALUE_BYTES.saturating_mul(3).saturating_div(2);
/// Most calls of one operation.
const CALLS: u8 = 24;
/// Most members that are asked the same where one is not there: all of a cluster that may lose two of five.
const MEMBERS: u8 = 3;
/// The same where one takes the call and does not answer in time: each costs its time.
const SLOW_MEMBERS: u8 = 2;

/// An etcd.
pub struct Etcd(Rc<Entry>);

impl fmt::Debug for Etcd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Etcd")
    }
}

impl Etcd {
    /// The one that is configured so.
    #[must_use]
    pub fn new(config: EtcdStore) -> Self {
        Self(Rc::new(Entry::new(config)))
    }

    /// Tells the value of the secret that `password` names, now or whenever it is another.
    pub fn set_password(&self, password: SecretString) {
        self.0.set_password(password);
    }
}

impl Store for Etcd {
    fn begin(&self, operation: Operation, now: UnixTime) -> Step {
        let prefix = &self.0.config.prefix;
        let work = match operation {
            Operation::Read(place) => Work::Read { key: request::key(prefix, &place) },
            Operation::Write { bytes, .. } if bytes.len() > MAX_VALUE_BYTES => {
                return Step::Done(Err(unavailable(&["a value of ", &bytes.len().to_string(), " bytes is too long"].concat())));
            }
            Operation::Write { place, bytes, until, over } => {
                let (lease, until) = Lease::of(until, now);
                let revision = match over {
                    Over::Absent => Some(0),
                    Over::Version(version) => Some(version.number()),
                    Over::Any => None,
                };
                Work::Write { key: request::key(prefix, &place), value: request::value(&bytes, until), lease, over, revision }
            }
            Operation::Remove { place, version } => {
                Work::Remove { key: request::key(prefix, &place), revision: version.map(Version::number) }
            }
            Operation::List { user } => Work::List { beginning: request::of_user(prefix, &user), last: None, found: Vec::new() },
        };
        let asked =
            Asked { entry: Rc::clone(&self.0), work, stage: Stage::Asking, token: None, is_renewed: false, calls: 0, unanswered: 0 };
        Box::new(asked).go_on(now)
    }
}

/// An operation that etcd is asked to do.
struct Asked {
    entry: Rc<Entry>,
    work: Work,
    /// What the last call was for.
    stage: Stage,
    /// The token that it was made with.
    token: Option<Token>,
    /// Whether a token was refused before.
    is_renewed: bool,
    calls: u8,
    /// How many calls a member did not answer.
    unanswered: u8,
}

#[derive(Clone, Copy)]
enum Stage {
    /// A token.
    Authenticating,
    /// A lease.
    Leasing(Lease),
    /// The work itself.
    Asking,
}

enum Work {
    Read {
        key: String,
    },
    Write {
        key: String,
        value: String,
        lease: Lease,
        over: Over,
        /// Of the last change of what must be there; 0 if nothing must.
        revision: Option<u64>,
    },
    Remove {
        key: String,
        revision: Option<u64>,
    },
    List {
        beginning: String,
        /// The key of the last that was found.
        last: Option<String>,
        found: Vec<(Id, Found)>,
    },
}

impl Asked {
    /// Makes the next call, whatever it is for.
    fn go_on(mut self: Box<Self>, now: UnixTime) -> Step {
        let calls = self.calls.saturating_add(1);
        if calls > CALLS {
            return Step::Done(Err(unavailable(
                "too many calls for one operation: others write to the same key all the time, or a user has very many grants",
            )));
        }
        let (stage, request) = match self.entry.turn(now) {
            Turn::Fail(fault) => return Step::Done(Err(fault)),
            Turn::Wait => return Step::Wait(self),
            Turn::Authenticate(request) => (Stage::Authenticating, request),
            Turn::Ask(token) => {
                self.token = token;
                self.next(now)
            }
        };
        self.calls = calls;
        self.stage = stage;
        let is_list = matches!((stage, &self.work), (Stage::Asking, Work::List { .. }));
        let most = if is_list { MOST.saturating_mul(PAGE) } else { MOST };
        let token = self.token.as_ref().filter(|_| !matches!(stage, Stage::Authenticating));
        Step::Call(self.entry.call(request, token, most), self)
    }

    /// What is to be asked by whom etcd knows, or need not know.
    fn next(&self, now: UnixTime) -> (Stage, Request) {
        let prefix = &self.entry.config.prefix;
        let request = match &self.work {
            Work::Read { key } => Request::read(key),
            Work::Write { lease, .. } if !self.entry.has(*lease) => return (Stage::Leasing(*lease), lease.grant(prefix, now)),
            Work::Write { key, value, lease, revision, .. } => Request::write(key, value, *lease, prefix, *revision),
            Work::Remove { key, revision } => Request::remove(key, *revision),
            Work::List { beginning, last, .. } => Request::list(beginning, last.as_deref()),
        };
        (Stage::Asking, request)
    }

    /// etcd has refused.
    fn refused(mut self: Box<Self>, status: u16, body: &[u8], now: UnixTime) -> Step {
        let (refused, fault) = Refused::read(status, body);
        match (self.stage, refused) {
            (Stage::Authenticating, _) => {
                self.entry.entered(Err(fault.clone()), now);
                return Step::Done(Err(fault));
            }
            (Stage::Leasing(lease), Refused::HasLease) => self.entry.note(lease, true),
            (_, Refused::Token) => match &self.token {
                // One that has just been made is no token of this etcd if it does not take it.
                Some(token) if !self.is_renewed => {
                    self.entry.forget(token);
                    self.is_renewed = true;
                }
                _ => return Step::Done(Err(fault)),
            },
            (Stage::Asking, Refused::NoLease) => match &self.work {
                Work::Write { lease, .. } => self.entry.note(*lease, false),
                _ => return Step::Done(Err(fault)),
            },
            _ => return Step::Done(Err(fault)),
        }
        self.go_on(now)
    }

    /// etcd has done what the last call was for.
    fn done(mut self: Box<Self>, answer: &Answer, now: UnixTime) -> Step {
        match self.stage {
            Stage::Authenticating => match answer.token() {
                Some(token) => self.entry.entered(Ok(token), now),
                None => {
                    let fault = unavailable("it has authenticated nobody: its answer has no token");
                    self.entry.entered(Err(fault.clone()), now);
                    return Step::Done(Err(fault));
                }
            },
            Stage::Leasing(lease) => self.entry.note(lease, true),
            Stage::Asking => {
                if let Some(done) = self.work.settle(answer, self.unanswered > 0, now) {
                    return Step::Done(done);
                }
            }
        }
        self.go_on(now)
    }
}

impl Work {
    /// What came of it, if that was all. `again`: it was asked for before, and may have been done without an answer.
    fn settle(&mut self, answer: &Answer, again: bool, now: UnixTime) -> Option<Result<Done, Fault>> {
        match self {
            Self::Read { .. } => Some(Ok(Done::Found(answer.records().into_iter().next().and_then(|record| record.found(now))))),
            Self::Write { .. } if answer.succeeded() => Some(answer.written().map(Done::Written)),
            Self::Write { over, revision, value, .. } => {
                let record = answer.records().into_iter().next();
                if let Some(own) = record.as_ref().filter(|record| again && record.is(value)) {
                    // No two seals are the same: nobody else has written this.
                    return Some(Ok(Done::Written(Version::new(own.revision))));
                }
                let last = record.as_ref().map_or(0, |record| record.revision);
                let found = record.and_then(|record| record.found(now));
                if *over == Over::Absent && found.is_none() {
                    // What is there has ended, and etcd has not removed it yet; or it has by now.
                    *revision = Some(last);
                    return None;
                }
                Some(Ok(Done::Conflict(found)))
            }
            Self::Remove { revision, .. } if revision.is_none() || answer.succeeded() => Some(Ok(Done::Removed)),
            Self::Remove { .. } => {
                let found = answer.records().into_iter().next().and_then(|record| record.found(now));
                Some(Ok(found.map_or(Done::Removed, |found| Done::Conflict(Some(found)))))
            }
            Self::List { beginning, last, found } => {
                let records = answer.records();
                let end = records.last().and_then(|record| String::from_utf8(record.key.clone()).ok());
                for record in records {
                    let which =
                        std::str::from_utf8(&record.key).ok().and_then(|key| base64url::decode(key.strip_prefix(beginning.as_str())?));
                    if let Some(which) = which.and_then(|which| which.try_into().ok())
                        && let Some(one) = record.found(now)
                    {
                        found.push((which, one));
                    }
                }
                if answer.has_more() && end.is_some() && found.len() < MAX_GRANTS {
                    *last = end;
                    return None;
                }
                found.truncate(MAX_GRANTS);
                Some(Ok(Done::Listed(std::mem::take(found))))
            }
        }
    }
}

impl Session for Asked {
    fn answered(mut self: Box<Self>, answer: call::Answer<'_>, now: UnixTime) -> Step {
        if self.is_for_another(&answer) {
            self.unanswered = self.unanswered.saturating_add(1);
            if let Stage::Authenticating = self.stage {
                self.entry.left();
            }
            return self.go_on(now);
        }
        match answer {
            Ok((200, body)) => match Answer::read(body) {
                Ok(answer) => self.done(&answer, now),
                Err(fault) => self.failed(fault, now),
            },
            Ok((status, body)) => self.refused(status, body, now),
            Err(why) => self.failed(unavailable(&why), now),
        }
    }

    fn resumed(self: Box<Self>, now: UnixTime) -> Step {
        self.go_on(now)
    }
}

impl Asked {
    /// Whether another member may answer in place of the one that was asked: Envoy says 503 for one that takes no call, and so does one
    /// that has no leader. Envoy's next call goes to the next of them, and whatever is asked twice is done once.
    fn is_for_another(&self, answer: &call::Answer<'_>) -> bool {
        let most = match answer {
            Ok((502 | 503, _)) => MEMBERS,
            Ok((504, _)) | Err(_) if !matches!(self.stage, Stage::Authenticating) => SLOW_MEMBERS,
            _ => 0,
        };
        self.unanswered.saturating_add(1) < most
    }

    /// There was no answer to go by.
    fn failed(&self, fault: Fault, now: UnixTime) -> Step {
        if let Stage::Authenticating = self.stage {
            self.entry.entered(Err(fault.clone()), now);
        }
        Step::Done(Err(fault))
    }
}

#[cfg(test)]
mod tests;
