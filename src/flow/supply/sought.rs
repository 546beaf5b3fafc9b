//! What became of a search for something that may have to be fetched.

use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;

/// What became of a search; `N` says why there is nothing.
#[derive(Debug)]
pub enum Sought<T, N = Reason> {
    /// Here it is.
    Here(T),
    /// This has to be fetched first.
    Wait(Want),
    /// It is not to be had.
    No(N),
}

impl<T, N> Sought<T, N> {
    /// The same with what `change` makes of what is here.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sought<U, N> {
        match self {
            Self::Here(found) => Sought::Here(change(found)),
            Self::Wait(want) => Sought::Wait(want),
            Self::No(reason) => Sought::No(reason),
        }
    }

    /// What is here.
    pub fn here(self) -> Option<T> {
        match self {
            Self::Here(found) => Some(found),
            Self::Wait(_) | Self::No(_) => None,
        }
    }
}
