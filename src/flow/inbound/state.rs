//! A request for an agent: what is known of it, and what it waits for.

use crate::flow::callers::authorize::{Admitted, Spoken};
use crate::flow::callers::credentials::Credentials;
use crate::flow::callers::tenancy::Tenancy;
use crate::flow::event::Effect;
use crate::flow::event::call::Want;
use crate::flow::inbound::card::Asking;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::destination::Destination;
use crate::flow::supply::seats::Seat;
use crate::flow::tasks::owned::Owned;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use std::rc::Rc;

/// A request for an agent, not decided yet.
#[derive(Debug)]
pub struct Inbound {
    pub(super) agent: Rc<Agent>,
    /// `None` for cards: no binding's rules apply to them.
    pub(super) binding: Option<Binding>,
    pub(super) version: Version,
    /// Known at once except for JSON-RPC, where the body tells it.
    pub(super) operation: Option<Operation>,
    pub(super) identity: Identity,
    pub(super) body: Body,
    /// Bytes of the body that the proxy holds.
    pub(super) held: u64,
    /// How many of them have been read.
    pub(super) read: u64,
    /// Bytes that the client announced.
    pub(super) announced: Option<u64>,
    pub(super) limit: u64,
    /// Its client reads an event stream and nothing else.
    pub(super) events: bool,
    /// Its method may say the version.
    pub(super) inferred: bool,
    /// It names no media type, so nothing may follow.
    pub(super) untyped: bool,
    /// Effects that the headers call for, to be done with the others when they go on.
    pub(super) headers: Vec<Effect>,
    /// The headers went on already (without `hold_headers`).
    pub(super) released: bool,
    /// About the card, if it asks for one.
    pub(super) asking: Asking,
    /// The card that is being fetched to be the answer.
    pub(super) wanted: Option<Want>,
    /// Its place among those who wait, while it does.
    pub(super) seat: Option<Seat>,
    /// Where the request says which skill it is for.
    pub(super) spoken: Spoken,
    /// The rules have let it pass.
    pub(super) permitted: bool,
    /// Takes the tags off what it names.
    pub(super) owned: Option<Box<Owned>>,
    /// Which tenant it is about.
    pub(super) tenancy: Tenancy,
    /// The caller asks how it is judged.
    pub(super) asks: bool,
}

impl Inbound {
    pub(super) fn destination(&self) -> Destination {
        Destination::Agent(Rc::clone(&self.agent))
    }
}

#[derive(Debug)]
pub(super) enum Identity {
    /// Something is being fetched.
    Pending { want: Want, credentials: Box<Credentials<'static>> },
    /// Admitted by `security`, or nobody needs to be.
    Known(Option<Admitted>),
    /// Not known, where that is only reported. It goes on as an anonymous caller.
    Shadowed,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Nothing in it decides.
    NotNeeded,
    /// It decides, and is read as it comes.
    Reading {
        reader: Box<Reader>,
        /// It is complete, and one document.
        complete: bool,
    },
    /// It is none that is taken; with the id to answer with.
    Wrong(Box<(Denial, Id)>),
    /// It is longer than allowed.
    TooLong,
}
