//! What a vault is asked to do, step by step, and what it answers: the same for each kind of store.

use crate::flow::event::call::{Answer, Call};
use crate::wire::time::UnixTime;
use std::fmt;

/// Most bytes of a value: twice what a token endpoint may answer would be too much.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Most grants of one user that are listed.
pub const MAX_GRANTS: usize = 256;

/// A digest, or random bits. Values are spread by it, so that it must be even.
pub type Id = [u8; 16];

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A grant, with all others of its user.
    Grant {
        /// Whose it is.
        user: Id,
        /// Which of that user's.
        grant: Id,
    },
    /// A sign-in that is under way, or has ended a moment ago.
    Flow {
        /// Which one.
        id: Id,
    },
}

impl Place {
    /// The place as bytes, no two of them the same: what a value is sealed for.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Grant { user, grant } => [&b"g"[..], user, grant].concat(),
            Self::Flow { id } => [&b"f"[..], id].concat(),
        }
    }
}

/// Which writing of a value. It never comes again at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

/// What must be at a place for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing: one writer succeeds, whoever else writes there.
    Absent,
    /// What was found, and nobody has changed since.
    Version(Version),
    /// Anything, or nothing.
    Any,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Read a value: [`Done::Found`].
    Read(Place),
    /// Write a value: [`Done::Written`] or [`Done::Conflict`].
    Write {
        /// Where.
        place: Place,
        /// What, sealed: at most [`MAX_VALUE_BYTES`].
        bytes: Vec<u8>,
        /// When it ends. Nobody finds it from then on.
        until: UnixTime,
        /// What must be there.
        over: Over,
    },
    /// Remove a value: [`Done::Removed`], also if there is none, or [`Done::Conflict`].
    Remove {
        /// Where.
        place: Place,
        /// Which one alone; any, without.
        version: Option<Version>,
    },
    /// All grants of a user: [`Done::Listed`].
    List {
        /// The user.
        user: Id,
    },
}

/// A value that lies somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As it was written.
    pub bytes: Vec<u8>,
    /// To write over it, or to remove it, only if it is still this.
    pub version: Version,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The value, if there is one.
    Found(Option<Found>),
    /// It is written.
    Written(Version),
    /// It is not written or not removed, because this is there, or nothing. After a write whose answer was lost, it may be what that write
    /// wrote.
    Conflict(Option<Found>),
    /// It is not there any more.
    Removed,
    /// A user's grants, each with which one it is; no more than [`MAX_GRANTS`].
    Listed(Vec<(Id, Found)>),
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store cannot say or do it now. Whether a write took place is not known. Why, for the log: no secret, and what to do.
    Unavailable(String),
    /// There is no room for another value.
    Full,
}

/// What follows.
#[derive(Debug)]
pub enum Step {
    /// A call has to be made: its answer goes to the session.
    Call(Call, Box<dyn Session>),
    /// Another session of this store does what this one waits for: it is resumed as soon as an answer to any of them has come.
    Wait(Box<dyn Session>),
    /// That was all.
    Done(Result<Done, Fault>),
}

/// Where values lie. It never opens one.
pub trait Store {
    /// Begins an operation.
    fn begin(&self, operation: Operation, now: UnixTime) -> Step;
}

/// An operation that is under way.
pub trait Session {
    /// Goes on with the answer to its call.
    fn answered(self: Box<Self>, answer: Answer<'_>, now: UnixTime) -> Step;
    /// Goes on after it had to wait.
    fn resumed(self: Box<Self>, now: UnixTime) -> Step;
}

impl fmt::Debug for dyn Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Session")
    }
}
