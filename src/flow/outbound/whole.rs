//! The whole body of a call that is looked at before it leaves.

use crate::flow::event::reason::Reason;
use crate::flow::outbound::endorsed::Body;
use crate::flow::outbound::state::Outbound;
use crate::flow::refusal::denial::Denial;

/// A body.
pub(super) enum Whole {
    /// Not all of it has come.
    Later,
    /// All of it.
    Here(Vec<u8>),
}

impl Outbound {
    /// The whole body, up to `limit` bytes; `too_long` is what callers read otherwise. Who takes it gives it back: [`Outbound::keep_whole`].
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub(super) fn whole(&mut self, limit: u64, too_long: &'static str) -> Result<Whole, Denial> {
        let Some(endorsed) = &mut self.endorsed else { return Ok(Whole::Here(Vec::new())) };
        match &mut endorsed.body {
            _ if self.call.is_encoded() => return Err(Denial::new(Reason::EncodingRefused)),
            Body::TooLong => return Err(Denial::new(Reason::BodyTooLarge).advise(too_long)),
            _ if self.announced.is_some_and(|length| length > limit) => return Err(Denial::new(Reason::BodyTooLarge).advise(too_long)),
            Body::Held { is_wanted, .. } if !self.ended => {
                *is_wanted = true;
                return Ok(Whole::Later);
            }
            Body::Unread if !self.ended => {
                endorsed.body = Body::Held { bytes: Vec::new(), is_wanted: true };
                return Ok(Whole::Later);
            }
            Body::Held { .. } | Body::Unread | Body::Fine | Body::Changed(_) => {}
        }
        let bytes = match std::mem::take(&mut endorsed.body) {
            Body::Held { bytes, .. } => bytes,
            _ => Vec::new(),
        };
        // What does not come cannot be judged. What was altered was judged before.
        if !endorsed.is_altered && u64::try_from(bytes.len()).ok() != Some(self.held) {
            return Err(Denial::new(Reason::BodyMalformed));
        }
        Ok(Whole::Here(bytes))
    }

    /// Keeps the body as it came.
    pub(super) fn keep_whole(&mut self, bytes: Vec<u8>) {
        if let Some(endorsed) = &mut self.endorsed {
            endorsed.body = Body::Held { bytes, is_wanted: false };
        }
    }

    /// Nothing more is looked at: the body goes on, as it came or as it is now.
    pub(super) fn settle_whole(&mut self) {
        let Some(endorsed) = &mut self.endorsed else { return };
        match std::mem::take(&mut endorsed.body) {
            Body::Held { bytes, .. } if endorsed.is_altered => endorsed.body = Body::Changed(bytes),
            Body::Held { bytes, .. }
                if (self.as_user.is_some() || endorsed.is_searched) && self.ended && u64::try_from(bytes.len()).ok() == Some(self.held) =>
            {
                endorsed.body = Body::Fine
            }
            other => endorsed.body = other,
        }
    }

    /// Puts what `change` makes of the body in its place.
    ///
    /// # Errors
    /// Those of `change`.
    pub(super) fn change_whole<E>(&mut self, change: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<(), E> {
        if let Some(endorsed) = &mut self.endorsed
            && let Body::Held { bytes, .. } = &mut endorsed.body
        {
            *bytes = change(bytes)?;
            endorsed.is_altered = true;
        }
        Ok(())
    }
}
