//! Counts a body that goes on, so that no more of it passes than may.

use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::only_post;
use crate::flow::request::media;
use crate::flow::setup::destination::Destination;
use crate::protocol::Binding;

/// Counts a body that passes.
#[derive(Debug)]
pub(in crate::flow) struct Meter {
    /// Bytes that went on.
    pub passed: u64,
    /// Bytes that the client announced.
    pub announced: Option<u64>,
    /// Bytes that may.
    pub limit: u64,
    /// What is wrong if there are more.
    pub excess: Excess,
    /// Where the request goes.
    pub destination: Destination,
    /// Of the request.
    pub binding: Option<Binding>,
}

/// What is wrong with more of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Excess {
    /// It is too long.
    TooLong,
    /// The request has a method that has none.
    Method,
    /// The request names no media type.
    Untyped,
    /// It is longer than it said.
    Announced,
}

impl Excess {
    /// The refusal.
    pub fn denial(self) -> Denial {
        match self {
            Self::TooLong => Denial::new(Reason::BodyTooLarge),
            Self::Method => only_post(),
            Self::Untyped => media::missing(),
            Self::Announced => Denial::new(Reason::RequestMalformed).advise("The body is longer than announced."),
        }
    }
}

impl Meter {
    /// The same for a body that has been read to its end: nothing may follow, whatever the proxy lets through.
    pub fn ended(self) -> Self {
        Self { limit: self.passed, excess: Excess::Announced, ..self }
    }

    /// The refusal of what is more than may pass.
    pub fn refusal(&self) -> Denial {
        self.excess.denial().at(self.destination.name())
    }
}
