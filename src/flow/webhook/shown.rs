//! The token that the filter put into a push configuration, as it comes back: in `X-A2A-Notification-Token`, or as a bearer token
//! (A2A 0.3 section 9.5, 1.0 section 4.3.3). Servers send it in the one, the other, or both.

use crate::credential::push_token::{PushClaims, PushTokenError, verify};
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::flow::setup::webhook::Webhook;

/// Where A2A's servers send the token of a push configuration.
pub const TOKEN_HEADER: &str = "x-a2a-notification-token";

/// A good token, and the headers that it stands in.
pub struct Shown {
    /// What it says.
    pub claims: PushClaims,
    /// They stop here.
    pub headers: Vec<&'static str>,
}

/// The token that `head` shows to `webhook`; `None` where none is asked for. Where `security` looks at `Authorization`, the token is
/// not looked for there.
///
/// # Errors
/// If there is none that is good, or two.
pub fn token(webhook: &Webhook, head: &Head<'_>, context: &Context<'_>) -> Result<Option<Shown>, Denial> {
    let Some(asked) = &webhook.token else { return Ok(None) };
    let refused = |detail: &str| {
        let detail = context.runtime.tells().then(|| format!("webhooks[{}].token: {detail}", webhook.index));
        Denial::new(Reason::PushTokenRefused).because(detail)
    };
    let Some(keys) = &webhook.keys else { return Err(refused("a key has no value: see secrets, and the log")) };
    let looks_at_authorization = webhook.senders.as_ref().is_some_and(|policy| policy.takes_tokens() || policy.takes_passwords());
    let places: &[(&'static str, &[u8])] =
        if looks_at_authorization { &[(TOKEN_HEADER, b"")] } else { &[(TOKEN_HEADER, b""), ("authorization", b"bearer ")] };
    let (mut good, mut wrong): (Option<Shown>, Option<PushTokenError>) = (None, None);
    for (name, scheme) in places {
        for line in head.headers.all(name) {
            let has_scheme = line.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
            let text = line.get(scheme.len()..).filter(|_| has_scheme).and_then(|text| str::from_utf8(text.trim_ascii()).ok());
            let Some(text) = text else { continue };
            match (verify(keys, asked.connections.iter().map(String::as_str), text, context.now), &mut good) {
                (Ok(claims), None) => good = Some(Shown { claims, headers: vec![*name] }),
                (Ok(claims), Some(first)) if first.claims == claims => first.headers.push(name),
                (Ok(_), Some(_)) => return Err(refused("the request shows two tokens")),
                // What is not ours is the receiver's own.
                (Err(PushTokenError::NotOurs), _) => {}
                (Err(error), _) => wrong = Some(error),
            }
        }
    }
    match (good, wrong) {
        (_, Some(error)) => Err(refused(&error.to_string())),
        (Some(shown), None) => Ok(Some(shown)),
        (None, None) if looks_at_authorization => Err(refused("X-A2A-Notification-Token holds no token of its keys")),
        (None, None) => Err(refused("neither X-A2A-Notification-Token nor Authorization holds a token of its keys")),
    }
}
