//! Jobs, from their beginning to their end.

use crate::credential::Failure;
use crate::credential::endpoint::TokenRequest;
use crate::credential::user_tokens::read_user;
use crate::flow::event::call::{Answer, Call};
use crate::flow::supply::grants::devices::Turn;
use crate::flow::supply::grants::jobs::{Outcome, State, What};
use crate::flow::supply::store::Supply;
use crate::flow::supply::vault::operation::{Fault, Operation, Step};
use crate::wire::time::UnixTime;

impl Supply {
    /// Begins `operation` of the vault. `None`: there is none, or too much is under way.
    pub(in crate::flow) fn store(&self, operation: Operation, now: UnixTime) -> Option<u64> {
        let grants = self.grants.as_ref()?;
        let (state, next) = match grants.vault.as_ref()?.begin(operation, now) {
            Step::Call(call, session) => (State::Storing(Some(session)), Some(call)),
            Step::Wait(session) => {
                let number = grants.jobs.borrow_mut().add(State::Storing(Some(session)), None, now)?;
                if let Some(job) = grants.jobs.borrow_mut().all.get_mut(&number) {
                    job.waits = true;
                }
                return Some(number);
            }
            Step::Done(done) => (State::Done(Outcome::Stored(done)), None),
        };
        grants.jobs.borrow_mut().add(state, next, now)
    }

    /// Sends `request` for a user's tokens.
    pub(in crate::flow) fn redeem(&self, request: TokenRequest, now: UnixTime) -> Option<u64> {
        let grants = self.grants.as_ref()?;
        grants.jobs.borrow_mut().add(State::Asking(now, What::Tokens), Some(request.into()), now)
    }

    /// Sends `request` that a token be forgotten.
    pub(in crate::flow) fn forget(&self, request: TokenRequest, now: UnixTime) -> Option<u64> {
        let grants = self.grants.as_ref()?;
        grants.jobs.borrow_mut().add(State::Asking(now, What::ToForget), Some(request.into()), now)
    }

    /// Whether job `number` has ended.
    pub(in crate::flow) fn is_done(&self, number: u64) -> bool {
        let jobs = self.grants.as_ref().map(|grants| grants.jobs.borrow());
        jobs.is_none_or(|jobs| jobs.all.get(&number).is_none_or(|job| matches!(job.state, State::Done(_))))
    }

    /// What came of job `number`, once; `None` while it is under way.
    pub(in crate::flow) fn outcome(&self, number: u64) -> Option<Outcome> {
        let mut jobs = self.grants.as_ref()?.jobs.borrow_mut();
        if !matches!(jobs.all.get(&number)?.state, State::Done(_)) {
            return None;
        }
        match jobs.all.remove(&number)?.state {
            State::Done(outcome) => Some(outcome),
            State::Storing(_) | State::Elsewhere(_) | State::Asking(..) => None,
        }
    }

    /// The next call of job `number`.
    pub(in crate::flow::supply) fn next_of_job(&self, number: u64) -> Option<Call> {
        self.grants.as_ref()?.jobs.borrow_mut().all.get_mut(&number)?.next.take()
    }

    /// Begins job `number`, or goes on with one that had to wait: the call to make.
    pub(in crate::flow::supply) fn begin_job(&self, number: u64, now: UnixTime) -> Option<Call> {
        let mut jobs = self.grants.as_ref()?.jobs.borrow_mut();
        let job = jobs.all.get_mut(&number)?;
        if !std::mem::take(&mut job.waits) {
            return job.next.take();
        }
        if let State::Elsewhere(work) = &mut job.state {
            match work.resumed(self, now) {
                Turn::Call(call) => return Some(call),
                Turn::Wait => job.waits = true,
                Turn::Done(outcome) => job.state = State::Done(outcome),
            }
            return None;
        }
        let State::Storing(session) = &mut job.state else { return None };
        match session.take()?.resumed(now) {
            Step::Call(call, next) => {
                *session = Some(next);
                Some(call)
            }
            Step::Wait(next) => {
                (*session, job.waits) = (Some(next), true);
                None
            }
            Step::Done(done) => {
                job.state = State::Done(Outcome::Stored(done));
                None
            }
        }
    }

    /// Jobs that had to wait.
    pub(super) fn due_jobs(&self) -> Vec<u64> {
        let jobs = self.grants.as_ref().map(|grants| grants.jobs.borrow());
        jobs.map_or_else(Vec::new, |jobs| jobs.all.iter().filter(|(_, job)| job.waits).map(|(number, _)| *number).collect())
    }

    /// Whether job `number` had to wait.
    pub(in crate::flow::supply) fn job_waits(&self, number: u64) -> bool {
        self.grants.as_ref().is_some_and(|grants| grants.jobs.borrow().all.get(&number).is_some_and(|job| job.waits))
    }

    /// An answer for job `number` has come.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub(in crate::flow::supply) fn complete_job(&self, number: u64, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let Some(grants) = self.grants.as_ref() else { return Ok(()) };
        let mut jobs = grants.jobs.borrow_mut();
        let Some(job) = jobs.all.get_mut(&number) else { return Ok(()) };
        let outcome = match &mut job.state {
            State::Storing(session) => match session.take().map(|session| session.answered(answer, now)) {
                Some(Step::Call(call, next)) => {
                    (*session, job.next) = (Some(next), Some(call));
                    return Ok(());
                }
                Some(Step::Wait(next)) => {
                    (*session, job.waits) = (Some(next), true);
                    return Ok(());
                }
                Some(Step::Done(done)) => Outcome::Stored(done),
                None => return Ok(()),
            },
            State::Elsewhere(work) => match work.answered(self, answer, now) {
                Turn::Call(call) => {
                    job.next = Some(call);
                    return Ok(());
                }
                Turn::Wait => {
                    job.waits = true;
                    return Ok(());
                }
                Turn::Done(outcome) => outcome,
            },
            State::Asking(since, What::Tokens) => {
                let read = match answer {
                    Ok((status, body)) => read_user(status, body, now),
                    Err(error) => Err((Failure::Unavailable, error)),
                };
                Outcome::Tokens(read.map(|tokens| (tokens, *since)))
            }
            State::Asking(_, What::ToForget) => Outcome::Forgotten(matches!(answer, Ok((200, _)))),
            State::Done(_) => return Ok(()),
        };
        let said = match &outcome {
            Outcome::Stored(Err(Fault::Unavailable(cause))) => Err(format!("consent.store: {cause}")),
            Outcome::Stored(Err(Fault::Full)) => Err("consent.store: is full".to_owned()),
            Outcome::Tokens(Err((_, cause))) => Err(format!("consent: no tokens for a code: the token endpoint {cause}")),
            Outcome::Forgotten(false) => Err("consent: a server did not forget a token that its user gave up".to_owned()),
            Outcome::Stored(Ok(_)) | Outcome::Tokens(Ok(_)) | Outcome::Stands(_) | Outcome::Forgotten(true) => Ok(()),
        };
        job.state = State::Done(outcome);
        said
    }
}
