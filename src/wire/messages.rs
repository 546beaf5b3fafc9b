//! The messages of a gRPC body (gRPC over HTTP/2, "Length-Prefixed-Message") with other texts at some places. A message says its length
//! first, and that changes with what is in it: so each goes on when all of it has come, and none is held longer.

use super::grpc_frame::{HEAD, check_flag, length, wrap};
use super::protobuf::{Fault, Plan, Seen, rewrite};
use std::rc::Rc;

/// A body on its way.
#[derive(Clone, Debug)]
pub struct Messages {
    plan: Rc<Plan>,
    /// Most bytes of one message.
    most: usize,
    /// Only one may come.
    one: bool,
    has_come: bool,
    /// What has come of the next.
    pending: Vec<u8>,
}

impl Messages {
    /// A body of which nothing has come: messages of at most `most` bytes, that may become twice as long. With `one`, there is one at
    /// most.
    #[must_use]
    pub const fn new(plan: Rc<Plan>, most: usize, one: bool) -> Self {
        Self { plan, most, one, has_come: false, pending: Vec::new() }
    }

    /// Reads all of `chunk` and appends to `out` what goes on; `replace` as for [`rewrite`].
    ///
    /// # Errors
    /// The first fault of a message, or what `replace` says. What is in `out` then is not to be used.
    pub fn feed<E: From<Fault>>(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        replace: &mut dyn FnMut(Seen<'_>) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        self.pending.extend_from_slice(chunk);
        let mut done = 0_usize;
        while let Some(rest @ [flag, ..]) = self.pending.get(done..) {
            if self.one && self.has_come {
                return Err(Fault::Trailing.into());
            }
            check_flag(*flag)?;
            let Some(length) = length(rest) else { break };
            if length > self.most.saturating_add(HEAD) {
                return Err(Fault::TooLong.into());
            }
            let Some(message) = rest.get(HEAD..length) else { break };
            let changed = rewrite(&self.plan, message, self.most.saturating_mul(2), replace)?;
            out.extend(wrap(&changed).ok_or(Fault::TooLong)?);
            self.has_come = true;
            done = done.saturating_add(length);
        }
        self.pending.drain(..done);
        Ok(())
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// [`Fault::Incomplete`] if a message has begun and not ended.
    pub const fn end(&self) -> Result<(), Fault> {
        if self.pending.is_empty() { Ok(()) } else { Err(Fault::Incomplete) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Messages};
    use crate::wire::protobuf::{Plan, Step, Type};
    use crate::wire::scan::Keep;
    use std::rc::Rc;

    /// `body` in chunks of `size`, with `long` in place of each `id` that is field 1.
    fn play(body: &[u8], size: usize, one: bool) -> Result<Vec<u8>, Fault> {
        let mut plan = Plan::default();
        plan.ask(&[Step::One(1)], Type::Text, Keep::Text);
        let mut messages = Messages::new(Rc::new(plan), 9, one);
        let mut out = Vec::new();
        for chunk in body.chunks(size) {
            messages.feed::<Fault>(chunk, &mut out, &mut |seen| Ok(seen.text.filter(|text| *text == "id").map(|_| "long".to_owned())))?;
        }
        messages.end().map(|()| out)
    }

    #[test]
    fn each_message_changes_and_has_its_new_length_whatever_the_chunks() {
        let body = b"\0\0\0\0\x04\x0a\x02id\0\0\0\0\0\0\0\0\0\x07\x12\x01x\x0a\x02id\0\0\0\0\x03\x0a\x01x";
        let expected = b"\0\0\0\0\x06\x0a\x04long\0\0\0\0\0\0\0\0\0\x09\x12\x01x\x0a\x04long\0\0\0\0\x03\x0a\x01x";
        for size in 1..=body.len() {
            assert_eq!(play(body, size, false).as_deref(), Ok(&expected[..]), "by {size}");
            assert_eq!(play(body, size, true), Err(Fault::Trailing), "by {size}");
            assert_eq!(play(&body[..9], size, true).as_deref(), Ok(&expected[..11]), "by {size}");
        }
        assert_eq!(play(b"", 1, true), Ok(Vec::new()));
    }

    #[test]
    fn a_message_goes_on_as_soon_as_it_is_whole() {
        let mut messages = Messages::new(Rc::new(Plan::default()), 9, false);
        let mut out = Vec::new();
        let mut feed = |part: &[u8]| {
            out.clear();
            messages.feed::<Fault>(part, &mut out, &mut |_| Ok(None)).map(|()| out.clone())
        };
        assert_eq!(feed(b"\0\0\0\0\x02\x08").as_deref(), Ok(&b""[..]));
        assert_eq!(feed(b"\x01\0\0").as_deref(), Ok(&b"\0\0\0\0\x02\x08\x01"[..]));
        assert_eq!(feed(b"\0\0\0").as_deref(), Ok(&b"\0\0\0\0\0"[..]));
    }

    #[test]
    fn what_is_no_message_is_a_fault_whatever_the_chunks() {
        for (body, fault) in [
            (&b"\0\0\0\0\x01"[..], Fault::Incomplete),
            (b"\0\0\0", Fault::Incomplete),
            (b"\x01\0\0\0\0", Fault::Compressed),
            (b"\x02", Fault::Flag),
            (b"\0\0\0\0\x0a", Fault::TooLong),
            (b"\0\xff\xff\xff\xff", Fault::TooLong),
            (b"\0\0\0\0\x02\x0a\x03", Fault::Length),
        ] {
            for size in 1..=body.len() {
                assert_eq!(play(body, size, false), Err(fault), "{body:?} by {size}");
            }
        }
    }
}
