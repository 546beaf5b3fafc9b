//! What a request's state machine tells the host to do.

use crate::flow::event::call::Want;
use crate::flow::event::interest::Interest;
use crate::flow::event::level::Level;
use crate::flow::event::note::Note;
use crate::flow::event::record::Record;
use crate::flow::event::reply::Reply;
use crate::flow::event::route::Route;
use crate::flow::event::value::Value;
use crate::flow::event::whole::Whole;
use std::borrow::Cow;

/// Whether the proxy goes on with what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Headers and body so far go on.
    Continue,
    /// Everything waits for a later event.
    Pause,
    /// The host says at once, by [`Event::Route`](crate::flow::Event::Route), what the proxy says of this.
    AskRoute(Route),
}

/// One thing for the host to do, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Set a request header, replacing the first value that is there.
    SetHeader(Cow<'static, str>, Value),
    /// Remove every value of a request header.
    RemoveHeader(Cow<'static, str>),
    /// Set a response header.
    SetResponseHeader(Cow<'static, str>, String),
    /// Add a response header beside those of the same name.
    AddResponseHeader(Cow<'static, str>, String),
    /// Remove every value of a response header.
    RemoveResponseHeader(Cow<'static, str>),
    /// Put this in place of the request's body, or of the part of it that has just come. Never longer than that.
    ReplaceRequestBody(Vec<u8>),
    /// Put this in place of what the proxy's buffer holds of the response's body. Longer only if no part of the body
    /// was answered with a pause: a proxy that holds a body ends the stream when it outgrows its buffer.
    ReplaceResponseBody(Vec<u8>),
    /// Answer with this in place of the agent's answer, whose headers are held. Nothing else happens to the request afterwards.
    Answer(Box<Whole>),
    /// Add one to the counter of credentials that were attached.
    CountUse {
        /// The connection's name.
        connection: String,
        /// How it obtains credentials.
        method: &'static str,
        /// Where this one came from.
        origin: &'static str,
    },
    /// Add one to the counter of answers of users who were asked to agree.
    CountConsent {
        /// The connection's name.
        connection: String,
        /// What came of it: `granted`, `denied` or `wrong_user`.
        outcome: &'static str,
    },
    /// Add to the counter of links in answers of a remote agent.
    CountLinks {
        /// The connection's name.
        connection: String,
        /// What became of them: `passed`, `stripped`, `imitated`; `unread` for an answer that cannot be read.
        outcome: &'static str,
        /// How many.
        count: u64,
    },
    /// Publish text as filter state `wasm.<key>`.
    SetState(&'static str, String),
    /// Fetch this unless a fetch is under way: it goes to the [`Desk`](crate::flow::supply::desk::Desk).
    Fetch(Want),
    /// Answer now. Nothing else happens to the request afterwards.
    Reply(Reply),
    /// Write one line to the log.
    Log(Level, String),
    /// Add a header to the answer that follows.
    ReplyHeader(String, String),
    /// Record a decision: in the log and in filter state as it says, and in the statistics.
    Audit(Record),
    /// A fact for the record. The exchange keeps it to itself; no host sees it.
    Note(Note),
}

/// Effects in order, then the step. Afterwards the host reports only what is of interest.
#[derive(Debug)]
pub struct Outcome {
    /// What to do first.
    pub effects: Vec<Effect>,
    /// What becomes of the request then.
    pub step: Step,
    /// What is of interest next.
    pub interest: Interest,
}
