//! What a request's answer has to be looked at for.

use crate::flow::event::{Effect, Event, Step};
use crate::flow::inbound::card::CardRequest;
use crate::flow::inbound::passing::Passing;
use crate::flow::progress::withheld;
use crate::flow::setup::runtime::Context;
use crate::flow::tasks::answer::TaskAnswer;
use crate::flow::tasks::remote::RemoteAnswer;

/// The answer to expect.
#[derive(Debug)]
pub enum Expected {
    /// A card, to be projected.
    Card(Box<CardRequest>),
    /// Tasks, to be tagged.
    Tasks(Box<TaskAnswer>),
    /// A card that passes unchanged.
    Passing(Box<Passing>),
    /// What a remote agent answers, with its links.
    Remote(Box<RemoteAnswer>),
}

impl Expected {
    /// A part of the answer came; any other event is none of its business.
    pub fn on(&mut self, event: &Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        match (self, event) {
            (Self::Card(card), Event::ResponseHeaders { status, end_of_stream, headers }) => {
                card.on_headers(*status, *end_of_stream, headers, context, effects)
            }
            (Self::Card(card), Event::ResponseBody { end, content }) => card.on_body(*end, content, context, effects),
            (Self::Tasks(tasks), Event::ResponseHeaders { status, end_of_stream, headers }) => {
                tasks.on_headers(*status, *end_of_stream, headers, context, effects)
            }
            (Self::Tasks(tasks), Event::ResponseBody { end, content }) => tasks.on_body(*end, content, effects),
            (Self::Remote(answer), event) => answer.on(event, context, effects),
            (Self::Passing(card), event) => {
                card.on(event, context, effects);
                Step::Continue
            }
            _ => Step::Continue,
        }
    }

    /// Whether the answer's headers are held, and nothing of its body has come.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        match self {
            Self::Card(card) => card.awaits_body(),
            Self::Tasks(tasks) => tasks.awaits_body(),
            Self::Passing(_) => false,
            Self::Remote(answer) => answer.awaits_body(),
        }
    }

    /// Nothing of it ever comes: the proxy lacks the option.
    pub fn withheld(&self, effects: &mut Vec<Effect>) -> Step {
        let binding = match self {
            Self::Card(card) => card.binding(),
            Self::Tasks(tasks) => Some(tasks.binding()),
            Self::Passing(_) => None,
            Self::Remote(answer) => Some(answer.binding()),
        };
        let (_, step) = withheld::<()>(binding, effects);
        step
    }

    /// Whether the parts of the response's body should come.
    #[must_use]
    pub const fn reads(&self) -> bool {
        match self {
            Self::Card(card) => card.reads(),
            Self::Tasks(tasks) => tasks.reads(),
            Self::Passing(card) => card.reads(),
            Self::Remote(answer) => answer.reads(),
        }
    }
}
