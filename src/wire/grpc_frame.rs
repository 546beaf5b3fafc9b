//! The body of a unary gRPC call (gRPC over HTTP/2, "Length-Prefixed-Message"): one byte that says whether the message is
//! compressed, four bytes of length, the message. Exactly one message is taken, and none that is compressed.

use super::protobuf::{Document, Fault, Plan};
use super::scan::{Asked, Findings, Limits};
use std::rc::Rc;

/// Bytes before a message.
pub const HEAD: usize = 5;

/// A body that is arriving.
#[derive(Clone, Debug)]
pub struct Body {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    come: usize,
    fault: Option<Fault>,
    message: Document,
}

impl Body {
    /// A body of which nothing has come, and what is asked of its message.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self { head: [0; HEAD], come: 0, fault: None, message: Document::new(limits, plan) }
    }

    /// Reads all of `chunk`.
    ///
    /// # Errors
    /// The first fault of the body, again and again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.fault.map_or(Ok(()), Err)?;
        self.read(chunk).map_err(|fault| *self.fault.insert(fault))
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// [`Fault::Incomplete`] if the message has not ended, or the fault that was found before.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.fault.map_or(Ok(()), Err)?;
        if self.message.is_complete() { Ok(()) } else { Err(*self.fault.insert(Fault::Incomplete)) }
    }

    /// What has been found so far.
    #[must_use]
    pub fn findings(&self, asked: Asked) -> &Findings {
        self.message.findings(asked)
    }

    /// Whether nothing can be added to the findings any more.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        self.message.is_settled(asked)
    }

    fn read(&mut self, mut chunk: &[u8]) -> Result<(), Fault> {
        while let (Some(place), [byte, rest @ ..]) = (self.head.get_mut(self.come), chunk) {
            *place = *byte;
            self.come = self.come.saturating_add(1);
            chunk = rest;
            if self.come == 1 {
                check_flag(*byte)?;
            }
            if self.come == HEAD {
                let [_, length @ ..] = self.head;
                self.message.begin(u32::from_be_bytes(length).into())?;
            }
        }
        self.message.feed(&mut chunk)?;
        if chunk.is_empty() { Ok(()) } else { Err(Fault::Trailing) }
    }
}

/// Whether the first byte of a message says that it is plain.
pub(super) const fn check_flag(flag: u8) -> Result<(), Fault> {
    match flag {
        0 => Ok(()),
        1 => Err(Fault::Compressed),
        _ => Err(Fault::Flag),
    }
}

/// Bytes of the first message of a body that begins with `bytes`, those before it included; `None` as long as it is not known.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let (_, length) = bytes.split_first()?;
    let length = usize::try_from(u32::from_be_bytes(*length.first_chunk()?)).unwrap_or(usize::MAX);
    Some(length.saturating_add(HEAD))
}

/// The one message of a whole `body`.
///
/// # Errors
/// If it holds anything else.
pub fn unwrap(body: &[u8]) -> Result<&[u8], Fault> {
    let [flag, rest @ ..] = body else { return Err(Fault::Incomplete) };
    check_flag(*flag)?;
    let (length, message) = rest.split_first_chunk().ok_or(Fault::Incomplete)?;
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if length == message.len() => Ok(message),
        Ok(length) if length < message.len() => Err(Fault::Trailing),
        _ => Err(Fault::Incomplete),
    }
}

/// The body with `message`; `None` if it is longer than a body can say.
#[must_use]
pub fn wrap(message: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0], &length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::{Body, Fault, Limits, Plan, unwrap, wrap};
    use crate::wire::protobuf::{Step, Type};
    use crate::wire::scan::Keep;
    use std::rc::Rc;

    /// How often field 1 is there.
    fn read(body: &[u8], size: usize) -> Result<usize, Fault> {
        let mut plan = Plan::default();
        let asked = plan.ask(&[Step::Each(1)], Type::Text, Keep::Text);
        let mut reader = Body::new(Limits::default(), Rc::new(plan));
        let fed = body.chunks(size).try_for_each(|chunk| reader.feed(chunk));
        let ended = reader.end();
        fed.and(ended)?;
        assert!(reader.is_settled(asked));
        Ok(reader.findings(asked).count)
    }

    #[test]
    fn one_plain_message_is_a_body() {
        for (body, result) in [
            (&b"\0\0\0\0\0"[..], Ok(0)),
            (b"\0\0\0\0\x06\x0a\x01a\x0a\x01b", Ok(2)),
            (b"", Err(Fault::Incomplete)),
            (b"\0\0\0\0", Err(Fault::Incomplete)),
            (b"\0\0\0\0\x04\x0a\x01a", Err(Fault::Incomplete)),
            (b"\0\0\0\0\x02\x0a\x01a", Err(Fault::Length)),
            (b"\0\0\0\0\x03\x0a\x01ab", Err(Fault::Trailing)),
            (b"\0\0\0\0\0\0\0\0\0\0", Err(Fault::Trailing)),
            (b"\x01\0\0\0\0", Err(Fault::Compressed)),
            (b"\x80\0\0\0\0", Err(Fault::Flag)),
            (b"\0\xff\xff\xff\xff\x0a\x01a", Err(Fault::Incomplete)),
        ] {
            for size in 1..=body.len().max(1) {
                assert_eq!(read(body, size), result, "{body:?} by {size}");
            }
        }
    }

    #[test]
    fn a_whole_body_is_unwrapped() {
        assert_eq!(unwrap(&wrap(b"message").unwrap()), Ok(&b"message"[..]));
        for (body, fault) in [
            (&b""[..], Fault::Incomplete),
            (b"\0\0\0\0", Fault::Incomplete),
            (b"\0\0\0\0\x02a", Fault::Incomplete),
            (b"\0\0\0\0\x01ab", Fault::Trailing),
            (b"\x01\0\0\0\x01a", Fault::Compressed),
            (b"\x02", Fault::Flag),
        ] {
            assert_eq!(unwrap(body), Err(fault), "{body:?}");
        }
    }
}
