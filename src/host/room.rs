//! How much may be written into bodies without Envoy answering in the middle of it.

/// How many bytes may be written into the bodies of the request at hand.
///
/// When a body that Envoy holds (a callback was answered with a pause, or another filter paused) outgrows its buffer's limit, Envoy
/// answers or resets the stream at once: inside the host call that made it grow. That destroys the stream and calls back into
/// this VM, in the middle of a callback of the same stream, which the SDK's dispatcher takes for a fault. The VM traps, and Envoy,
/// which is in the middle of that call, ends with it. No other host call that this filter makes was seen to call back: local
/// answers, continued streams and the outcomes of calls wait until the callback has returned.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Into the request's: what is held of it never becomes more than was there.
    pub request: usize,
    /// Into the response's. `None`: the part at hand passes and is not held, so that it may grow.
    pub response: Option<usize>,
}

impl Room {
    /// Nothing may be written.
    pub const NONE: Self = Self { request: 0, response: Some(0) };
}
