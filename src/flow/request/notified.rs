//! Notifications about tasks, whichever way they go: whether a head can be that of one, and how those are refused that cannot be read.

use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::{check_body, is_encoded};
use crate::flow::request::head::Head;
use crate::flow::request::media;
use crate::protocol::notification::NotificationError;
use crate::protocol::{Binding, Version};

/// Whether the head of a POST can be that of a notification.
///
/// # Errors
/// If it has no body, or not one of JSON as it is.
pub fn check_head(head: &Head<'_>, body_follows: bool) -> Result<(), Denial> {
    if !body_follows {
        return Err(empty());
    }
    check_body(head)?;
    if is_encoded(head) {
        return Err(Denial::new(Reason::EncodingRefused));
    }
    // Both versions have been seen with either type.
    if media::untyped(head, Binding::HttpJson, Version::V1_0)? { Err(media::missing()) } else { Ok(()) }
}

/// The refusal of a notification without a body.
#[must_use]
pub fn empty() -> Denial {
    Denial::new(Reason::NotificationMalformed).advise("A notification has a body.")
}

/// The refusal of a body that is no notification.
#[must_use]
pub fn malformed(error: NotificationError) -> Denial {
    match error {
        NotificationError::Unreadable(fault) => Denial::new(Reason::BodyMalformed).advise(format!("The body cannot be read: {fault}.")),
        other => {
            let text = other.to_string();
            let (first, rest) = text.split_at_checked(1).unwrap_or_default();
            Denial::new(Reason::NotificationMalformed).advise(format!("{}{rest}.", first.to_ascii_uppercase()))
        }
    }
}
