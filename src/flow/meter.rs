//! Counts a body that goes on, so that no more of it passes than may.

use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::only_post;
use crate::flow::request::media;
use crate::flow::setup::runtime::Context;
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
    pub target: Target,
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
    pub fn refusal(&self, context: &Context<'_>) -> Denial {
        Denial { realm: self.realm(context), ..self.excess.denial() }
    }

    /// The agent or connection, by name.
    pub fn realm(&self, context: &Context<'_>) -> Option<String> {
        let config = context.runtime.config();
        match self.target {
            Target::Agent(index) => config.agents.get(index).map(|agent| agent.name.clone()),
            Target::Connection(index) => config.connections.get(index).map(|connection| connection.name.clone()),
        }
    }
}
