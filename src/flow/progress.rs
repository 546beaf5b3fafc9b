//! What becomes of a request at the end of each event, and the ways in which it is refused.

use crate::flow::callers::tenancy::Tenancy;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Level, Step};
use crate::flow::meter::Meter;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::request::say::say;
use crate::flow::setup::runtime::Context;
use crate::flow::tasks::owned::Owned;
use crate::identity::Caller;
use crate::protocol::envelope::{EnvelopeReader, Id, Questions};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::scan::Limits;
use std::rc::Rc;

/// What becomes of a request, of which `M` decides.
#[derive(Debug)]
pub(in crate::flow) enum Progress<M> {
    /// It waits: for more of its body, or for something that is fetched.
    Wait(Box<M>),
    /// It is refused; only the id of the JSON-RPC request is waited for.
    Refuse(Box<Denial>, Box<Reader>),
    /// It goes on before its end; the rest must not contradict what was decided.
    Watch(Box<Watched>),
    /// It goes on; the rest of the body is counted.
    Pass(Meter),
    /// It is answered, or passed on for good.
    Done,
}

/// A body that goes on while it is read.
#[derive(Debug)]
pub(in crate::flow) struct Watched {
    pub reader: Box<Reader>,
    pub meter: Meter,
    pub operation: Operation,
    pub version: Version,
    /// Takes the tags off what it names.
    pub owned: Option<Box<Owned>>,
    /// Which tenant it is about.
    pub tenancy: Tenancy,
    /// Who sends it, if that is known.
    pub caller: Option<Rc<Caller>>,
}

/// Refuses: at once, or for a JSON-RPC request whose body is still to come, with its id.
pub(in crate::flow) fn refuse<M>(
    denial: Denial,
    binding: Option<Binding>,
    body_follows: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> (Progress<M>, Step) {
    if binding == Some(Binding::Jsonrpc) && body_follows && context.runtime.config().hold_headers {
        (Progress::Refuse(Box::new(denial), Box::new(plain_reader())), Step::Pause)
    } else {
        answer(&denial, binding, &Id::default(), effects)
    }
}

/// A reader of nothing but the envelope.
pub(in crate::flow) fn plain_reader() -> Reader {
    Reader::Jsonrpc(EnvelopeReader::new(Limits::default(), Rc::new(Questions::default())))
}

/// Refuses now.
pub(in crate::flow) fn answer<M>(denial: &Denial, binding: Option<Binding>, id: &Id, effects: &mut Vec<Effect>) -> (Progress<M>, Step) {
    say(denial, binding, id, effects);
    (Progress::Done, Step::Pause)
}

/// The proxy lacks the option that lets bodies through while headers are held.
pub(in crate::flow) fn withheld<M>(binding: Option<Binding>, effects: &mut Vec<Effect>) -> (Progress<M>, Step) {
    effects.push(Effect::Log(
        Level::Error,
        "hold_headers is on, but Envoy delivers no body while headers are held: set allow_on_headers_stop_iteration: true in the \
         plugin's config, or hold_headers: false"
            .to_owned(),
    ));
    answer(&Denial::new(Reason::HeadersNotHeld), binding, &Id::default(), effects)
}
