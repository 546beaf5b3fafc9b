//! How far a request has come.

use crate::flow::consent::visit::Visit;
use crate::flow::event::call::Want;
use crate::flow::event::{Effect, Step};
use crate::flow::inbound::state::Inbound;
use crate::flow::meter::Meter;
use crate::flow::outbound::state::Outbound;
use crate::flow::progress::{Progress, Watched};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::request::say::say;
use crate::flow::supply::seats::Seat;
use crate::flow::webhook::state::Arriving;
use crate::identity::Peer;
use crate::protocol::Binding;
use crate::protocol::envelope::Id;
use crate::wire::header::Headers;

#[derive(Debug, Default)]
pub(in crate::flow) enum Stage {
    /// Nothing has happened yet.
    #[default]
    New,
    /// For an agent whose card has to say what it offers.
    Unread(Box<Unread>),
    /// For an agent, not decided yet.
    Inbound(Box<Inbound>),
    /// For a remote agent; its credential is waited for.
    Outbound(Box<Outbound>),
    /// A notification for a webhook, not decided yet.
    Webhook(Box<Arriving>),
    /// A browser whose user is asked to agree.
    Visiting(Box<Visit>),
    /// Refused; only the id of the JSON-RPC request is waited for.
    Refusing(Box<Denial>, Box<Reader>),
    /// A request that went on before its end; the rest must not contradict what was decided.
    Watching(Box<Watched>),
    /// Passed on; the rest of the body is counted.
    Passing(Meter),
    /// Answered, or passed on for good.
    Done,
}

/// A head that nothing has looked at yet.
#[derive(Debug)]
pub(in crate::flow) struct Unread {
    pub headers: Headers,
    pub peer: Option<Box<Peer>>,
    pub end_of_stream: bool,
    pub want: Want,
    pub seat: Seat,
    /// By how many bytes its body may grow before it goes on.
    pub growth: usize,
}

/// What a machine says, as a stage of the request.
pub(in crate::flow) fn staged<M>((progress, step): (Progress<M>, Step)) -> (Stage, Step)
where
    Stage: From<Box<M>>,
{
    let stage = match progress {
        Progress::Wait(machine) => machine.into(),
        Progress::Refuse(denial, reader) => Stage::Refusing(denial, reader),
        Progress::Watch(watched) => Stage::Watching(watched),
        Progress::Pass(meter) => Stage::Passing(meter),
        Progress::Done => Stage::Done,
    };
    (stage, step)
}

impl From<Box<Inbound>> for Stage {
    fn from(machine: Box<Inbound>) -> Self {
        Self::Inbound(machine)
    }
}

impl From<Box<Outbound>> for Stage {
    fn from(machine: Box<Outbound>) -> Self {
        Self::Outbound(machine)
    }
}

impl From<Box<Visit>> for Stage {
    fn from(machine: Box<Visit>) -> Self {
        Self::Visiting(machine)
    }
}

impl From<Box<Arriving>> for Stage {
    fn from(machine: Box<Arriving>) -> Self {
        Self::Webhook(machine)
    }
}

/// Refuses now.
pub(in crate::flow) fn answer(denial: &Denial, binding: Option<Binding>, id: &Id, effects: &mut Vec<Effect>) -> (Stage, Step) {
    say(denial, binding, id, effects);
    (Stage::Done, Step::Pause)
}
