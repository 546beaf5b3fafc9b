//! Answers of an agent whose tasks belong to their makers: every id in them gets the caller's tag while they pass, single
//! documents, event streams and the messages of gRPC alike. An answer that cannot be read is not passed on.

use crate::flow::event::reason::Reason;
use crate::flow::event::whole::Whole;
use crate::flow::event::{Effect, Level, Step};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::media;
use crate::flow::request::say::say;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::ownership::{Answer, List, Listed, Places, Tagger};
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, grpc};
use crate::wire::header::Headers;
use crate::wire::media_type::MediaType;
use std::rc::Rc;

/// Longest list of tasks, in bytes: nothing of a list goes on before all of it is known to be the caller's.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// Longest list with its tags: a tag is longer than most ids.
const MAX_TAGGED_BYTES: usize = 2 * MAX_LIST_BYTES;

/// Response headers that tell of bytes which are no longer those.
pub(super) const STALE: [&str; 7] = ["content-length", "etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"];

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a document or as events, over JSON-RPC or HTTP+JSON.
    Json(Binding),
    /// As one message of gRPC.
    Message,
    /// As a stream of such messages.
    Messages,
}

/// An answer to expect.
#[derive(Debug)]
pub struct TaskAnswer {
    agent: Rc<Agent>,
    form: Form,
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    /// The list that it is.
    listed: Option<Listed>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// For its headers, or it passes unchanged.
    Plain,
    /// Its head is held until something of its body has come, which then changes while it passes. Of a list of gRPC, which is one message.
    Begun(Box<Answer>),
    /// Its body changes while it passes.
    Passing(Box<Answer>),
    /// Nothing of its body goes on before it is complete.
    Held(Box<Held>),
}

/// A list that is arriving.
#[derive(Debug)]
struct Held {
    list: List,
    /// Bytes that have come.
    come: usize,
    /// The agent says that it did what it was asked for.
    is_success: bool,
    /// It has gone on. White space may follow.
    is_over: bool,
    /// The head of the answer that replaces the agent's, unless that has gone on.
    whole: Option<Whole>,
}

impl TaskAnswer {
    /// The answer of `agent`; `listed` is the list that it is.
    #[must_use]
    pub const fn new(agent: Rc<Agent>, form: Form, places: Rc<Places>, tagger: Rc<Tagger>, listed: Option<Listed>) -> Self {
        Self { agent, form, places, tagger, listed, state: State::Plain }
    }

    /// Whether the parts of the response's body should come.
    #[must_use]
    pub const fn reads(&self) -> bool {
        !matches!(self.state, State::Plain)
    }

    /// Whether the answer's headers are held, and nothing of its body has come.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        match &self.state {
            State::Held(held) => held.whole.is_some() && held.come == 0,
            State::Begun(_) => true,
            State::Plain | State::Passing(_) => false,
        }
    }

    /// In whose form a refusal is said.
    #[must_use]
    pub const fn binding(&self) -> Binding {
        match self.form {
            Form::Json(binding) => binding,
            Form::Message | Form::Messages => Binding::Grpc,
        }
    }

    /// The agent answers with these headers.
    pub fn on_headers(&mut self, status: u16, end: bool, headers: &Headers, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        if end {
            return Step::Continue;
        }
        if self.binding() == Binding::Grpc {
            return self.on_call(status, headers, context, effects);
        }
        let problem = media::unreadable(headers);
        let kind = MediaType::of(headers);
        let is_stream = kind.is_ok_and(|kind| kind.is_some_and(|kind| kind.is("text/event-stream")));
        // What cannot be read may be anything.
        let is_json = kind.map_or(true, |kind| kind.is_some_and(|kind| kind.is_json()));
        // What an agent, or a proxy before it, says in other words when it fails names no tasks.
        let is_success = (200..=299).contains(&status);
        if !is_success && !is_stream && !is_json {
            return Step::Continue;
        }
        if headers.all("content-encoding").any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return self.refuse("it is encoded", effects);
        }
        if let Some(problem) = problem {
            return self.refuse(problem, effects);
        }
        let listed = self.listed.take();
        if listed.is_some() && is_stream {
            return self.refuse("a list is no stream", effects);
        }
        let is_held = listed.is_some() && context.runtime.supply().holds_responses();
        if !is_held {
            effects.extend(STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        }
        let (places, tagger) = (Rc::clone(&self.places), Rc::clone(&self.tagger));
        self.state = match listed {
            Some(Listed { context, history }) => {
                let whole = is_held.then(|| Whole::like(status, headers, &STALE));
                let list = List::new(places, tagger, context, history);
                State::Held(Box::new(Held { list, come: 0, is_success, is_over: false, whole }))
            }
            None => State::Passing(Box::new(Answer::new(places, tagger, None, is_stream))),
        };
        if is_held { Step::Pause } else { Step::Continue }
    }

    /// The same for an answer to a gRPC call, behind which something follows.
    fn on_call(&mut self, status: u16, headers: &Headers, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        let kind = headers.single_ascii("content-type").unwrap_or_default();
        if !grpc::is_protobuf(kind.as_bytes()) {
            // What a proxy before the agent says when it fails is no message for any client.
            let is_failure = status != 200 && !grpc::is_content_type(kind.as_bytes());
            return if is_failure { Step::Continue } else { self.refuse("it is no gRPC, or not of protocol buffers", effects) };
        }
        effects.extend(STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        let is_list = self.listed.is_some();
        let is_stream = self.form == Form::Messages;
        let listed = self.listed.take().and_then(|listed| listed.context);
        let answer = Answer::new(Rc::clone(&self.places), Rc::clone(&self.tagger), listed, is_stream);
        // The first part is most often all.
        let is_held = is_list && context.runtime.supply().holds_responses();
        self.state = if is_held { State::Begun(Box::new(answer)) } else { State::Passing(Box::new(answer)) };
        if is_held { Step::Pause } else { Step::Continue }
    }

    /// A part of the body arrived.
    pub fn on_body(&mut self, end: bool, content: &[u8], effects: &mut Vec<Effect>) -> Step {
        self.state = match std::mem::replace(&mut self.state, State::Plain) {
            State::Begun(answer) => State::Passing(answer),
            other => other,
        };
        match &mut self.state {
            State::Plain | State::Begun(_) => Step::Continue,
            State::Passing(answer) => {
                let out = answer.feed(content).and_then(|out| if end { answer.end().map(|()| out) } else { Ok(out) });
                match out {
                    Err(problem) => self.refuse(&problem.to_string(), effects),
                    Ok(out) => {
                        if !content.is_empty() {
                            effects.push(Effect::ReplaceResponseBody(out));
                        }
                        Step::Continue
                    }
                }
            }
            State::Held(held) => match held.feed(content, end) {
                Err(problem) => self.refuse(&problem, effects),
                Ok(Some(body)) => match held.whole.take() {
                    Some(whole) => {
                        self.state = State::Plain;
                        effects.push(Effect::Answer(Box::new(Whole { body, ..whole })));
                        Step::Pause
                    }
                    None => {
                        effects.push(Effect::ReplaceResponseBody(body));
                        Step::Continue
                    }
                },
                Ok(None) => {
                    // It is taken out of the proxy's buffer.
                    effects.extend((!content.is_empty()).then(|| Effect::ReplaceResponseBody(Vec::new())));
                    if held.whole.is_some() { Step::Pause } else { Step::Continue }
                }
            },
        }
    }

    fn refuse(&mut self, error: &str, effects: &mut Vec<Effect>) -> Step {
        self.state = State::Plain;
        let name = &self.agent.name;
        effects.push(Effect::Log(Level::Warn, format!("an answer of agent {name:?} cannot be used: {error}")));
        say(&Denial::new(Reason::AnswerUnusable).at(name).because(Some(error.to_owned())), Some(self.binding()), &Id::default(), effects);
        Step::Pause
    }
}

impl Held {
    /// A part came: what goes on, once that was the last. With the head gone the document tells by itself: if trailers end it,
    /// nothing can be sent any more.
    fn feed(&mut self, content: &[u8], end: bool) -> Result<Option<Vec<u8>>, String> {
        self.come = self.come.saturating_add(content.len());
        self.list.feed(content).map_err(|problem| problem.to_string())?;
        if self.come > MAX_LIST_BYTES || self.list.held() > MAX_TAGGED_BYTES {
            return Err("the list is too long".to_owned());
        }
        if self.is_over || !(end || (self.whole.is_none() && self.list.has_ended())) {
            return Ok(None);
        }
        self.is_over = true;
        self.list.end(self.is_success).map(Some).map_err(|problem| problem.to_string())
    }
}
