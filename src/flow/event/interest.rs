//! What a request's state machine wants to be told next. The host tells it of nothing else, and does nothing for the rest.

use crate::flow::event::call::Want;

/// How much of a body is of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// Nothing, not even that it ends.
    #[default]
    Nothing,
    /// How long it is: empty parts are of no interest.
    Count,
    /// Every part, with its bytes as far as they are asked for, and the end.
    New,
}

/// What is of interest from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Of the request's body.
    pub request: Read,
    /// The response's headers.
    pub headers: bool,
    /// Of the response's body.
    pub response: Read,
    /// By how many bytes the request's body may grow before it goes on.
    pub growth: usize,
    /// What the request waits for.
    pub wait: Wait,
}

/// What a request waits for besides parts of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// The end of this fetch.
    pub until: Option<Want>,
    /// That its place among those who wait goes to another: the number of the place.
    pub seat: Option<u64>,
    /// The first part of its body, while its headers are held. A body that never comes is then a fault of the proxy's configuration.
    pub body: bool,
    /// The first part of its answer's body, while the answer's headers are held. The same, where no body ever came so.
    pub answer: bool,
}

impl Wait {
    /// Whether it waits for anything.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.until.is_some() || self.seat.is_some() || self.body || self.answer
    }
}
