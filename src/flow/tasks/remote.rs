//! Answers of a remote agent, read for tasks that wait for credentials (A2A 1.0 section 7.6) and for the links in them: counted, recorded
//! by where they lead, and removed where the connection says so. Links that look like ours are always removed.

use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::whole::{Collected, Whole};
use crate::flow::event::{Effect, Event, Level, Step};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::media;
use crate::flow::request::say::say;
use crate::flow::setup::connection::Connection;
use crate::flow::setup::runtime::Context;
use crate::flow::tasks::answer::STALE;
use crate::policy::links::{Judge, Links};
use crate::policy::remote_text::{self, Looked, Plans};
use crate::protocol::envelope::Id;
use crate::protocol::task_state::AUTH_REQUIRED;
use crate::protocol::{Binding, Operation, Version, grpc};
use crate::wire::grpc_frame::{self, HEAD};
use crate::wire::header::Headers;
use crate::wire::media_type::MediaType;
use std::rc::Rc;

/// Most bytes of a document, of one event, or of one message.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The answer to one call.
#[derive(Debug)]
pub struct RemoteAnswer {
    connection: Rc<Connection>,
    plans: Rc<Plans>,
    asked: (Binding, Operation, Version),
    /// The host below which our links lie.
    own: Option<String>,
    /// A task that waits has been told.
    is_told: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// For its headers, or it passes unread.
    Plain,
    /// One document; with its head, where that is held.
    Document(Box<Collected>, Option<Whole>),
    /// A document that has gone on. White space may follow.
    Over(Box<Collected>),
    /// Events.
    Events(Box<Lines>),
    /// Messages of gRPC: what has come of the next.
    Messages(Vec<u8>),
}

/// What has come of the next event.
#[derive(Debug, Default)]
struct Lines {
    pending: Vec<u8>,
    /// A line has begun.
    is_inside: bool,
    /// The last line ended in CR, so that an LF right behind belongs to it.
    after_cr: bool,
}

impl Lines {
    /// Takes a byte: whether an event ends with it.
    fn take(&mut self, byte: u8) -> bool {
        self.pending.push(byte);
        let is_rest = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
        let is_end = matches!(byte, b'\r' | b'\n') && !is_rest;
        if !is_rest && !is_end {
            self.is_inside = true;
        }
        is_end && !std::mem::take(&mut self.is_inside)
    }
}

impl RemoteAnswer {
    /// The answer to a call through `connection`, if it is read.
    #[must_use]
    pub fn new(connection: &Rc<Connection>, asked: (Binding, Operation, Version), context: &Context<'_>) -> Option<Box<Self>> {
        let plans = Rc::clone(context.runtime.remote_texts()?);
        remote_text::may_hold(asked.1).then(|| {
            let own = context.runtime.consent_host().map(str::to_owned);
            Box::new(Self { connection: Rc::clone(connection), plans, asked, own, is_told: false, state: State::Plain })
        })
    }

    /// Whether the parts of the response's body should come.
    #[must_use]
    pub const fn reads(&self) -> bool {
        !matches!(self.state, State::Plain)
    }

    /// Whether the answer's headers are held, and nothing of its body has come.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        matches!(&self.state, State::Document(body, Some(_)) if body.is_empty())
    }

    /// In whose form a refusal is said.
    #[must_use]
    pub const fn binding(&self) -> Binding {
        self.asked.0
    }

    /// Whether what cannot be read is refused.
    fn strips(&self) -> bool {
        self.connection.strips_links()
    }

    /// Whether its bytes may change.
    fn alters(&self) -> bool {
        self.strips() || self.own.is_some()
    }

    /// A part of the answer came.
    #[cold]
    #[inline(never)]
    pub fn on(&mut self, event: &Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        match event {
            Event::ResponseHeaders { status, end_of_stream: false, headers } if (200..=299).contains(status) => {
                self.on_headers(*status, headers, context, effects)
            }
            Event::ResponseBody { end, content } => self.on_body(*end, content, context, effects),
            _ => Step::Continue,
        }
    }

    fn on_headers(&mut self, status: u16, headers: &Headers, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        let begun = self.begun(headers);
        let state = match begun {
            Ok(state) => state,
            Err(problem) if self.strips() => return self.refuse(problem, effects),
            Err(_) => {
                effects.push(self.counted("unread", 1));
                return Step::Continue;
            }
        };
        self.state = match state {
            State::Document(body, _) if self.strips() && context.runtime.supply().holds_responses() => {
                State::Document(body, Some(Whole::like(status, headers, &STALE)))
            }
            state => state,
        };
        if matches!(self.state, State::Document(_, Some(_))) {
            return Step::Pause;
        }
        if self.alters() {
            effects.extend(STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        }
        Step::Continue
    }

    /// How it comes.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn begun(&self, headers: &Headers) -> Result<State, &'static str> {
        if self.asked.0 == Binding::Grpc {
            let kind = headers.single_ascii("content-type").unwrap_or_default();
            return match grpc::is_protobuf(kind.as_bytes()) {
                true => Ok(State::Messages(Vec::new())),
                false => Err("it is no gRPC, or not of protocol buffers"),
            };
        }
        if headers.all("content-encoding").any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return Err("it is encoded");
        }
        media::unreadable(headers).map_or(Ok(()), Err)?;
        let is_stream = MediaType::of(headers).is_ok_and(|kind| kind.is_some_and(|kind| kind.is("text/event-stream")));
        Ok(match is_stream {
            true => State::Events(Box::default()),
            false => State::Document(Box::new(Collected::document(MOST_BYTES)), None),
        })
    }

    fn on_body(&mut self, end: bool, content: &[u8], context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        let mut out = Vec::new();
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Plain => Step::Continue,
            State::Document(body, whole) => self.on_document(body, whole, (end, content), context, effects),
            State::Over(mut body) => match body.add(content) {
                Ok(()) => {
                    self.state = State::Over(body);
                    Step::Continue
                }
                Err(problem) => self.give_up(&problem, content.to_vec(), content, effects),
            },
            State::Events(mut lines) => {
                for (place, byte) in content.iter().enumerate() {
                    let behind = place.saturating_add(1);
                    if lines.take(*byte) || end && behind == content.len() {
                        let event = std::mem::take(&mut lines.pending);
                        if let Err(problem) = self.event(&event, &mut out, context, effects) {
                            out.extend([&event, content.get(behind..).unwrap_or_default()].concat());
                            return self.give_up(&problem, out, content, effects);
                        }
                    } else if lines.pending == b"\n" {
                        // The rest of a line's end: readers wait for it.
                        out.append(&mut lines.pending);
                    }
                }
                if lines.pending.len() > MOST_BYTES {
                    out.append(&mut lines.pending);
                    return self.give_up("an event is too long", out, content, effects);
                }
                self.state = State::Events(lines);
                self.put(out, content, effects);
                Step::Continue
            }
            State::Messages(mut pending) => {
                pending.extend_from_slice(content);
                if let Err(problem) = self.messages(&mut pending, &mut out, context, effects) {
                    out.append(&mut pending);
                    return self.give_up(&problem, out, content, effects);
                }
                self.state = State::Messages(pending);
                self.put(out, content, effects);
                Step::Continue
            }
        }
    }

    fn on_document(
        &mut self,
        mut body: Box<Collected>,
        whole: Option<Whole>,
        (end, content): (bool, &[u8]),
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Step {
        if let Err(problem) = body.add(content) {
            return self.give_up(&problem, [body.take().as_slice(), content].concat(), content, effects);
        }
        if !end && !body.is_complete() {
            self.put(Vec::new(), content, effects);
            let step = if whole.is_some() { Step::Pause } else { Step::Continue };
            self.state = State::Document(body, whole);
            return step;
        }
        let bytes = body.take();
        let out = match self.json(&bytes, context, effects) {
            Ok(new) => new.unwrap_or(bytes),
            Err(problem) => return self.give_up(&problem, bytes, content, effects),
        };
        if let Some(whole) = whole {
            effects.push(Effect::Answer(Box::new(Whole { body: out, ..whole })));
            return Step::Pause;
        }
        self.state = State::Over(body);
        self.put(out, content, effects);
        Step::Continue
    }

    /// Looks at an event, all of whose lines are there.
    fn event(&mut self, event: &[u8], out: &mut Vec<u8>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<(), String> {
        let (mut data, mut others) = (Vec::new(), Vec::new());
        for line in event.split(|byte| matches!(byte, b'\r' | b'\n')) {
            // Readers skip a mark at the start of the stream.
            match line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).strip_prefix(b"data") {
                Some([]) => data.push(&[][..]),
                Some([b':', value @ ..]) => data.push(value.strip_prefix(b" ").unwrap_or(value)),
                _ if line.is_empty() => {}
                _ => others.extend([line, b"\n"]),
            }
        }
        // No line end is in a text, so that a blank stands for each.
        let json = data.join(&b' ');
        let new = if json.trim_ascii().is_empty() { None } else { self.json(&json, context, effects)? };
        match new {
            None => out.extend_from_slice(event),
            Some(json) => {
                out.extend(others.concat());
                out.extend([b"data: ".as_slice(), &json, b"\n\n"].concat());
            }
        }
        Ok(())
    }

    /// Looks at the messages that are whole.
    fn messages(
        &mut self,
        pending: &mut Vec<u8>,
        out: &mut Vec<u8>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let mut behind = 0_usize;
        let done = self.whole_messages(pending, &mut behind, out, context, effects);
        pending.drain(..behind.min(pending.len()));
        done
    }

    /// The same; what lies before `behind` is done.
    fn whole_messages(
        &mut self,
        pending: &[u8],
        behind: &mut usize,
        out: &mut Vec<u8>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        while let Some(rest @ [flag, ..]) = pending.get(*behind..) {
            let length = grpc_frame::length(rest);
            if *flag != 0 {
                return Err("a message is compressed".to_owned());
            }
            if length.is_some_and(|length| length > MOST_BYTES) {
                return Err("a message is too long".to_owned());
            }
            let Some(message) = length.and_then(|length| rest.get(HEAD..length)) else { return Ok(()) };
            let (_, operation, version) = self.asked;
            let looked = self.judged(context, effects, |judge| {
                remote_text::message((operation, version), message, judge).map_err(|fault| fault.to_string())
            })?;
            let frame = looked.and_then(|new| grpc_frame::wrap(&new));
            let end = message.len().saturating_add(HEAD);
            out.extend(frame.as_deref().or(rest.get(..end)).unwrap_or_default());
            *behind = behind.saturating_add(end);
        }
        Ok(())
    }

    fn json(&mut self, json: &[u8], context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Option<Vec<u8>>, String> {
        let (plans, binding) = (Rc::clone(&self.plans), self.asked.0);
        self.judged(context, effects, |judge| plans.json(binding, json, judge).map_err(|fault| fault.to_string()))
    }

    /// What `look` makes of a part of the answer, if that is something else.
    fn judged(
        &mut self,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
        look: impl FnOnce(&mut Judge<'_>) -> Result<Looked, String>,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut judge = Judge { strips: self.strips(), own: self.own.as_deref(), links: Links::default() };
        let Looked { waits, new } = look(&mut judge)?;
        let links = judge.links;
        let counts = [("passed", links.passed), ("stripped", links.stripped), ("imitated", links.imitated)];
        effects.extend(counts.into_iter().filter(|(_, count)| *count > 0).map(|(outcome, count)| self.counted(outcome, count)));
        if links.imitated > 0 {
            let name = &self.connection.name;
            effects.push(Effect::Log(
                Level::Warn,
                format!("connection {name:?}: its agent shows a link that looks like one of ours: it is removed"),
            ));
        }
        if waits && !self.is_told && (context.runtime.task_states().is_some() || !links.is_empty()) {
            self.is_told = true;
            effects.push(Effect::SetState("attache.task_state", AUTH_REQUIRED.to_owned()));
            if !links.is_empty() {
                effects.push(Effect::Note(Note::Links(links)));
            }
            effects.push(Effect::Note(Note::AuthRequired));
        }
        Ok(new)
    }

    fn counted(&self, outcome: &'static str, count: u64) -> Effect {
        Effect::CountLinks { connection: self.connection.name.clone(), outcome, count }
    }

    /// `out` goes on in place of `content`, which has come.
    fn put(&self, out: Vec<u8>, content: &[u8], effects: &mut Vec<Effect>) {
        if self.alters() && !content.is_empty() {
            effects.push(Effect::ReplaceResponseBody(out));
        }
    }

    /// The rest cannot be read: it is refused, or passes as it is with what was held of it.
    fn give_up(&mut self, problem: &str, held: Vec<u8>, content: &[u8], effects: &mut Vec<Effect>) -> Step {
        if self.strips() {
            return self.refuse(problem, effects);
        }
        self.state = State::Plain;
        effects.push(self.counted("unread", 1));
        self.put(held, content, effects);
        Step::Continue
    }

    fn refuse(&mut self, problem: &str, effects: &mut Vec<Effect>) -> Step {
        self.state = State::Plain;
        let name = &self.connection.name;
        effects.push(Effect::Log(Level::Warn, format!("an answer of connection {name:?} cannot be read for links: {problem}")));
        let denial = Denial::new(Reason::AnswerUnusable).at(name).because(Some(problem.to_owned()));
        say(&denial, Some(self.binding()), &Id::default(), effects);
        Step::Pause
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn an_event_ends_with_an_empty_line_whatever_ends_lines() {
        for (text, events) in [
            ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["data: a\r\n\r", "\ndata: b\r\n\r"]),
            ("a\rb\r\rc\n", vec!["a\rb\r\r"]),
            ("\n\n", vec!["\n", "\n"]),
            ("\r\n", vec!["\r"]),
            ("a\n\r\n", vec!["a\n\r"]),
        ] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for byte in text.bytes() {
                if lines.take(byte) {
                    found.push(String::from_utf8(std::mem::take(&mut lines.pending)).unwrap());
                }
            }
            assert_eq!(found, events, "{text:?}");
        }
    }
}
