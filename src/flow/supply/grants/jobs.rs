//! What is done once, for one request: a code is redeemed, something is read from the vault or written there. It goes on when the request
//! that asked for it has ended: a code can be redeemed once.

use crate::credential::Failure;
use crate::credential::user_tokens::UserTokens;
use crate::flow::event::call::Call;
use crate::flow::supply::grants::order::{Seen, Work};
use crate::flow::supply::vault::operation::{Done, Fault, Session};
use crate::wire::paged::PagedMap;
use crate::wire::time::UnixTime;
use std::time::Duration;

/// Most jobs at a time.
const MOST: usize = 1024;
/// How long an outcome lies that nobody takes: its request has ended.
const LONGEST: Duration = Duration::from_secs(60);

/// Jobs by number.
#[derive(Debug, Default)]
pub struct Jobs {
    count: u64,
    pub(super) all: PagedMap<u64, Job>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    since: UnixTime,
    pub state: State,
    pub next: Option<Call>,
    /// It goes on when the store has done something else.
    pub waits: bool,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum State {
    /// The store works on it; nothing while its answer is taken.
    Storing(Option<Box<dyn Session>>),
    /// A flow whose user agrees on another device.
    Elsewhere(Box<Work>),
    /// A server was asked.
    Asking(UnixTime, What),
    Done(Outcome),
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Tokens,
    ToForget,
}

/// What came of a job.
#[derive(Debug)]
pub enum Outcome {
    /// The store's answer.
    Stored(Result<Done, Fault>),
    /// Tokens for a code, and when they were asked for; or why there are none.
    Tokens(Result<(UserTokens, UnixTime), (Failure, String)>),
    /// How the flows of a caller stand whose user agrees on another device.
    Stands(Result<Seen, Failure>),
    /// Whether a server forgot a token.
    Forgotten(bool),
}

impl Jobs {
    pub(super) fn add(&mut self, state: State, next: Option<Call>, now: UnixTime) -> Option<u64> {
        self.all.retain(|_, job| now.since(job.since) < LONGEST && job.since <= now);
        if self.all.len() >= MOST {
            return None;
        }
        self.count = self.count.wrapping_add(1);
        self.all.insert(self.count, Job { since: now, state, next, waits: false });
        Some(self.count)
    }
}
