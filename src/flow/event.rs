//! What the host tells a request's state machine, and what it is told to do.

use super::facts::Note;
use super::fetch::Want;
use super::record::Record;
use super::whole::Whole;
use crate::config::Pin;
use crate::identity::Peer;
use crate::wire::header::Headers;
use secrecy::SecretString;
use std::borrow::Cow;

/// Something happened to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers arrived.
    RequestHeaders {
        /// All of them, repeats included.
        headers: Headers,
        /// The verified certificate of the client's connection, if [`super::Runtime::asks_peer`] and there is one.
        peer: Option<Box<Peer>>,
        /// No body follows.
        end_of_stream: bool,
    },
    /// A part of its body arrived, or its end (the last part, or trailers).
    RequestBody {
        /// Bytes in the proxy's buffer: everything so far while the request is paused, else this part alone.
        bytes: u64,
        /// The body is complete.
        end: bool,
        /// The bytes that [`super::Exchange::body_came`] asks for: what came since it last did.
        chunk: Vec<u8>,
    },
    /// The response's headers arrived.
    ResponseHeaders {
        /// The status.
        status: u16,
        /// No body follows.
        end_of_stream: bool,
        /// All of them, repeats included.
        headers: Headers,
    },
    /// A part of the response's body arrived, or its end (the last part, or trailers). Only those that
    /// [`super::Exchange::reads_response`] asks for are told.
    ResponseBody {
        /// The body is complete.
        end: bool,
        /// This part: what the proxy's buffer holds, which is less than came before if that was taken out.
        content: Vec<u8>,
    },
    /// The fetch that it waited for ended, one way or the other.
    Settled,
    /// The proxy has received body bytes, but does not deliver them while headers are held.
    BodyWithheld,
}

/// Whether the proxy goes on with what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Headers and body so far go on.
    Continue,
    /// Everything waits for a later event.
    Pause,
}

/// Log levels, as Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Details.
    Debug,
    /// Ordinary decisions.
    Info,
    /// Something that an operator should mend.
    Warn,
    /// Something that stops requests from being served.
    Error,
}

impl Level {
    /// The level as the proxy counts: what is more important has more.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
        }
    }
}

/// A header value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Plain text.
    Text(String),
    /// A credential; its `Debug` form is redacted.
    Secret(SecretString),
}

/// An answer that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status of the class; a gRPC answer is always 200.
    pub status: u16,
    /// For a gRPC request: `grpc-status`, and `body` is then `grpc-message`.
    pub grpc_status: Option<u8>,
    /// Header names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or a message for gRPC.
    pub body: String,
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
    /// Unless Envoy's route for the request, as it is now, is as `pin` says, do the other effects, and nothing more.
    Pin {
        /// What the route must have.
        pin: Pin,
        /// The connection's name.
        connection: String,
        /// The refusal.
        otherwise: Vec<Effect>,
    },
    /// Publish text as filter state `wasm.<key>`.
    SetState(&'static str, String),
    /// Fetch this unless a fetch is under way, and tell the request when it ended.
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

/// Effects in order, then the step.
#[derive(Debug)]
pub struct Outcome {
    /// What to do first.
    pub effects: Vec<Effect>,
    /// What becomes of the request then.
    pub step: Step,
}
