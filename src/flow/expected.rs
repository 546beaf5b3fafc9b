//! What a request's answer has to be looked at for.

use super::card::CardRequest;
use super::event::{Effect, Event, Step};
use super::runtime::Context;
use super::tasks::TaskAnswer;

/// The answer to expect.
#[derive(Debug)]
pub enum Expected {
    /// A card, to be projected.
    Card(Box<CardRequest>),
    /// Tasks, to be tagged.
    Tasks(Box<TaskAnswer>),
}

impl Expected {
    /// A part of the answer came; any other event is none of its business.
    pub fn on(&mut self, event: &Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        match (self, event) {
            (Self::Card(card), Event::ResponseHeaders { status, end_of_stream, headers }) => {
                card.on_headers(*status, *end_of_stream, headers, context, effects)
            }
            (Self::Card(card), Event::ResponseBody { bytes, end, content }) => card.on_body(*bytes, *end, content, context, effects),
            (Self::Tasks(tasks), Event::ResponseHeaders { status, end_of_stream, headers }) => {
                tasks.on_headers(*status, *end_of_stream, headers, context, effects)
            }
            (Self::Tasks(tasks), Event::ResponseBody { bytes, end, content }) => tasks.on_body(*bytes, *end, content, context, effects),
            _ => Step::Continue,
        }
    }

    /// Whether the response's body should come when it is complete.
    #[must_use]
    pub const fn reads_whole(&self) -> bool {
        match self {
            Self::Card(card) => card.reads(),
            Self::Tasks(tasks) => tasks.is_held(),
        }
    }

    /// Whether the response's body should come part by part.
    #[must_use]
    pub const fn reads_parts(&self) -> bool {
        match self {
            Self::Card(_) => false,
            Self::Tasks(tasks) => tasks.is_passing(),
        }
    }
}
