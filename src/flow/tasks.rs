//! Answers of an agent whose tasks belong to their makers: every id in them gets the caller's tag while they pass, single
//! documents and event streams alike. An answer that cannot be read is not passed on.

use super::denial::{Denial, Reason};
use super::event::{Effect, Level, Step};
use super::exchange::answer;
use super::media;
use super::runtime::Context;
use crate::ownership::{Answer, Places, Tagger};
use crate::protocol::Binding;
use crate::protocol::envelope::Id;
use crate::wire::header::Headers;
use crate::wire::media_type::MediaType;
use std::rc::Rc;

/// Longest list of tasks, in bytes: nothing of a list goes on before all of it is known to be the caller's.
const MAX_LIST_BYTES: u64 = 4 * 1024 * 1024;

/// Response headers that tell of bytes which are no longer those.
const STALE: [&str; 7] = ["content-length", "etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"];

/// An answer to expect.
#[derive(Debug)]
pub struct TaskAnswer {
    agent: usize,
    binding: Binding,
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    /// The context whose tasks are listed.
    listed: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// For its headers, or it passes unchanged.
    Plain,
    /// Its body changes while it passes.
    Passing(Box<Answer>),
    /// Its body waits until it is complete.
    Held(Box<Answer>),
    /// Nothing more of it goes on.
    Refused,
}

impl TaskAnswer {
    /// The answer of agent `index`; `listed` is the context whose tasks it lists.
    #[must_use]
    pub const fn new(index: usize, binding: Binding, places: Rc<Places>, tagger: Rc<Tagger>, listed: Option<String>) -> Self {
        Self { agent: index, binding, places, tagger, listed, state: State::Plain }
    }

    /// Whether the response's body should come when it is complete.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    /// Whether the response's body should come part by part.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.state, State::Passing(_) | State::Refused)
    }

    /// The agent answers with these headers.
    pub fn on_headers(&mut self, status: u16, end: bool, headers: &Headers, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        // After a refusal these are the headers of our own answer.
        if end || matches!(self.state, State::Refused) {
            self.state = State::Plain;
            return Step::Continue;
        }
        let problem = media::unreadable(headers);
        let kind = MediaType::of(headers);
        let is_stream = kind.is_ok_and(|kind| kind.is_some_and(|kind| kind.is("text/event-stream")));
        // What cannot be read may be anything.
        let is_json = kind.map_or(true, |kind| kind.is_some_and(|kind| kind.is_json()));
        // What an agent, or a proxy before it, says in other words when it fails names no tasks.
        if !(200..=299).contains(&status) && !is_stream && !is_json {
            return Step::Continue;
        }
        if headers.all("content-encoding").any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return self.refuse("it is encoded", context, effects);
        }
        if let Some(problem) = problem {
            return self.refuse(problem, context, effects);
        }
        effects.extend(STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        let is_list = self.listed.is_some();
        let answer = Answer::new(Rc::clone(&self.places), Rc::clone(&self.tagger), self.listed.take(), is_stream);
        if !is_list {
            self.state = State::Passing(Box::new(answer));
            return Step::Continue;
        }
        if is_stream {
            return self.refuse("a list is no stream", context, effects);
        }
        self.state = State::Held(Box::new(answer));
        if context.runtime.can_hold_responses() { Step::Pause } else { Step::Continue }
    }

    /// A part of the body arrived; `content` is all of a held one if `end`.
    pub fn on_body(&mut self, length: u64, end: bool, content: &[u8], context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        let (answer, is_held) = match &mut self.state {
            State::Plain => return Step::Continue,
            State::Refused => {
                effects.push(Effect::ReplaceResponseBody(Vec::new()));
                return Step::Pause;
            }
            State::Held(_) if length > MAX_LIST_BYTES => return self.refuse("the list is too long", context, effects),
            State::Held(_) if !end => return Step::Pause,
            State::Held(answer) => (answer, true),
            State::Passing(answer) => (answer, false),
        };
        let out = answer.feed(content).and_then(|out| if end { answer.end().map(|()| out) } else { Ok(out) });
        match out {
            Err(problem) => self.refuse(&problem.to_string(), context, effects),
            Ok(out) => {
                if !content.is_empty() {
                    effects.push(Effect::ReplaceResponseBody(out));
                }
                if end || is_held {
                    self.state = State::Plain;
                }
                Step::Continue
            }
        }
    }

    fn refuse(&mut self, error: &str, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        self.state = State::Refused;
        let name = context.runtime.config().agents.get(self.agent).map(|agent| agent.name.as_str()).unwrap_or_default();
        effects.push(Effect::Log(Level::Warn, format!("an answer of agent {name:?} cannot be used: {error}")));
        let _ = answer(&Denial::new(Reason::AnswerUnusable).at(name), Some(self.binding), &Id::default(), effects);
        Step::Pause
    }
}
