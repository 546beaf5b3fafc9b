//! What the host tells a request's state machine.

use crate::identity::Peer;
use crate::wire::header::Headers;

/// Something happened to a request.
#[derive(Debug)]
pub enum Event {
    /// Its headers arrived.
    RequestHeaders {
        /// All of them, repeats included.
        headers: Headers,
        /// The verified certificate of the client's connection, if [`crate::flow::setup::runtime::Runtime::asks_peer`] and there is one.
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
        /// The bytes that [`crate::flow::Exchange::body_came`] asks for: what came since it last did.
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
    /// A part of the response's body arrived, or its end (the last part, or trailers).
    ResponseBody {
        /// The body is complete.
        end: bool,
        /// This part: what the proxy's buffer holds, which is less than came before if that was taken out.
        content: Vec<u8>,
    },
    /// What the proxy says of its route: the answer to [`Step::AskRoute`](crate::flow::Step::AskRoute), empty if there is none.
    Route(Vec<u8>),
    /// The fetch that it waited for ended, one way or the other, or its place among those who wait is gone.
    Settled,
    /// The proxy has received body bytes, but does not deliver them while headers are held.
    BodyWithheld,
}
