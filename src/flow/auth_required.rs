//! Notices in an answer that a task waits for credentials, where the configuration asks for it. The answer passes as it is.

use crate::flow::event::note::Note;
use crate::flow::event::record::Record;
use crate::flow::event::{Effect, Event};
use crate::flow::request::media;
use crate::protocol::task_state::{AUTH_REQUIRED, Answer, Plans};
use crate::protocol::{Binding, Operation, grpc};
use crate::wire::header::Headers;
use crate::wire::media_type::MediaType;
use std::rc::Rc;

/// The answer to one request.
#[derive(Debug)]
pub(in crate::flow) struct Noticing {
    plans: Rc<Plans>,
    binding: Binding,
    operation: Operation,
    /// What reads its body, once its head shows that it can be read.
    answer: Option<Answer>,
}

impl Noticing {
    /// The answer to the request of `record`; `None` if that does not go on, or names no task.
    pub fn new(record: &Record, plans: &Rc<Plans>) -> Option<Box<Self>> {
        let (binding, operation) = record.goes_on()?;
        Answer::new(plans, binding, operation, false)?;
        Some(Box::new(Self { plans: Rc::clone(plans), binding, operation, answer: None }))
    }

    /// Whether the parts of the response's body should come.
    pub const fn reads(&self) -> bool {
        self.answer.is_some()
    }

    /// A part of the answer came. `false`: there is nothing more to look for.
    pub fn on(&mut self, event: &Event, effects: &mut Vec<Effect>) -> bool {
        match event {
            Event::ResponseHeaders { status, end_of_stream, headers } => {
                let is_success = (200..=299).contains(status) && !end_of_stream;
                self.answer = if is_success { self.begun(headers) } else { None };
                self.reads()
            }
            Event::ResponseBody { end, content } => match self.answer.as_mut().and_then(|answer| answer.feed(content)) {
                Some(true) => {
                    effects.push(Effect::SetState("attache.task_state", AUTH_REQUIRED.to_owned()));
                    effects.push(Effect::Note(Note::AuthRequired));
                    false
                }
                Some(false) => !end,
                None => false,
            },
            _ => true,
        }
    }

    fn begun(&self, headers: &Headers) -> Option<Answer> {
        let is_stream = match self.binding {
            Binding::Grpc => {
                let kind = headers.single_ascii("content-type").unwrap_or_default();
                grpc::is_protobuf(kind.as_bytes()).then_some(true)?
            }
            Binding::Jsonrpc | Binding::HttpJson => {
                let is_plain = headers.all("content-encoding").all(|encoding| encoding.eq_ignore_ascii_case(b"identity"));
                (is_plain && media::unreadable(headers).is_none()).then_some(())?;
                MediaType::of(headers).is_ok_and(|kind| kind.is_some_and(|kind| kind.is("text/event-stream")))
            }
        };
        Answer::new(&self.plans, self.binding, self.operation, is_stream)
    }
}
