//! The head of a notification: whether it can be one, and who sends it.

use crate::config::JtiUse;
use crate::flow::callers::authorize::{Admission, admit};
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Step};
use crate::flow::progress::{Progress, answer};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::request::{methods, notified};
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::flow::setup::webhook::Webhook;
use crate::flow::webhook::shown;
use crate::flow::webhook::state::{Arriving, Known, Sender, Signed};
use crate::identity::jws::Jws;
use crate::identity::{Caller, Origin, Peer};
use crate::protocol::envelope::Id;
use crate::protocol::notification::Posted;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// How long a token may be good that is to be seen once: as long as it is good, it is remembered.
const LONGEST: Duration = Duration::from_secs(60 * 60);

pub(in crate::flow) fn begin(
    webhook: Rc<Webhook>,
    head: &Head<'_>,
    peer: Option<&Peer>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> (Progress<Arriving>, Step) {
    effects.push(Effect::Note(Note::For(webhook.target())));
    match Arriving::begin(&webhook, head, peer, end_of_stream, context, effects) {
        Ok(arriving) => Box::new(arriving).decide(context, effects),
        Err(denial) => answer(&denial.at(&webhook.name), None, &Id::default(), effects),
    }
}

impl Arriving {
    fn begin(
        webhook: &Rc<Webhook>,
        head: &Head<'_>,
        peer: Option<&Peer>,
        end_of_stream: bool,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, Denial> {
        if head.method != "POST" {
            return Err(methods::not_posted());
        }
        notified::check_head(head, !end_of_stream)?;
        let announced = head.content_length()?;
        if announced.is_some_and(|length| length > webhook.max_body_bytes) {
            return Err(too_long(webhook, announced.unwrap_or_default(), context));
        }
        let shown = shown::token(webhook, head, context)?;
        let destination = Destination::Webhook(Rc::clone(webhook));
        let mut seat = None;
        let sender = match &webhook.senders {
            None => Sender::Known(None),
            Some(policy) => {
                let credentials = Credentials::read(policy, context.runtime, head, peer);
                match admit(&destination, false, &credentials, true, context) {
                    Admission::As(admitted) => Sender::Known(Some(known(webhook, admitted.caller, &credentials, context, effects)?)),
                    Admission::Shadowed(_, denial) | Admission::Refused(_, denial) => return Err(denial),
                    Admission::Wait(want) => {
                        seat = context.runtime.sit(want, &destination, context.now);
                        if seat.is_none() {
                            return Err(Denial::new(Reason::Overloaded));
                        }
                        effects.push(Effect::Fetch(want));
                        Sender::Pending { want, credentials: Box::new(credentials.into_owned()) }
                    }
                }
            }
        };
        let mut headers = Vec::new();
        let target = context.runtime.places().target(head.target);
        headers.extend(target.map(|target| Effect::SetHeader(":path".into(), crate::flow::event::Value::Text(target))));
        let looked_at = webhook.senders.as_ref().is_some_and(|policy| policy.takes_tokens() || policy.takes_passwords());
        headers.extend(looked_at.then(|| Effect::RemoveHeader("authorization".into())));
        let (token, own) = shown.map_or((None, Vec::new()), |shown| (Some(shown.claims), shown.headers));
        headers.extend(own.into_iter().map(|name| Effect::RemoveHeader(name.into())));
        Ok(Self {
            webhook: Rc::clone(webhook),
            sender,
            token,
            body: Posted::new(context.runtime.notifications()),
            held: 0,
            read: 0,
            announced,
            headers,
            released: false,
            seat,
        })
    }

    /// What it waited for has ended, or its place is gone. `Some`: what it waits for now.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn settle(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<(), Denial> {
        if self.seat.as_ref().is_some_and(crate::flow::supply::seats::Seat::is_displaced) {
            return Err(Denial::new(Reason::Overloaded));
        }
        self.seat = None;
        let Sender::Pending { want: settled, credentials } = &self.sender else { return Ok(()) };
        let destination = self.destination();
        let ask = |may_wait| admit(&destination, false, credentials, may_wait, context);
        // The issuer's answer about a token is the last thing that there is to wait for, and nothing is waited for twice.
        let admission = match ask(!matches!(settled, Want::Introspection(_))) {
            Admission::Wait(again) if again == *settled => ask(false),
            other => other,
        };
        match admission {
            Admission::As(admitted) => {
                let known = known(&self.webhook, admitted.caller, credentials, context, effects)?;
                self.sender = Sender::Known(Some(known));
            }
            Admission::Shadowed(_, denial) | Admission::Refused(_, denial) => return Err(denial),
            Admission::Wait(next) => {
                self.seat = context.runtime.sit(next, &destination, context.now);
                if self.seat.is_none() {
                    return Err(Denial::new(Reason::Overloaded));
                }
                effects.push(Effect::Fetch(next));
                if let Sender::Pending { want, .. } = &mut self.sender {
                    *want = next;
                }
            }
        }
        Ok(())
    }
}

/// The refusal of a body of so many bytes.
pub(super) fn too_long(webhook: &Webhook, bytes: u64, context: &Context<'_>) -> Denial {
    let limit = webhook.max_body_bytes;
    let detail = || format!("{bytes} bytes, webhooks[{}].max_body_bytes is {limit}", webhook.index);
    Denial::new(Reason::BodyTooLarge).because(context.runtime.tells().then(detail))
}

/// A sender whose credentials are good, with what its token says of this notification.
fn known(
    webhook: &Webhook,
    caller: Rc<Caller>,
    credentials: &Credentials<'_>,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> Result<Known, Denial> {
    effects.push(Effect::Note(Note::From(Rc::clone(&caller))));
    let token = credentials.token.as_deref().ok().filter(|_| matches!(caller.origin, Origin::Issuer(_)));
    let Some(jws) = token.and_then(|token| Jws::parse(token).ok()) else { return Ok(Known { caller, signed: None }) };
    let tells = context.runtime.tells();
    let refused = |reason, detail: &str| Err(Denial::new(reason).because(tells.then(|| detail.to_owned())));
    let text = |name: &str| match jws.payload.0.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_CLAIM_BYTES => Ok(Some(text.clone())),
        Some(_) => Err(()),
    };
    let (Ok(id), Ok(task)) = (text("jti"), text("taskId")) else {
        return refused(Reason::TokenMalformed, "jti or taskId is no text of 1 to 1024 bytes");
    };
    let signed = Signed { id, task, expires: caller.expires };
    if webhook.jti == JtiUse::Once {
        if signed.id.is_none() {
            return refused(Reason::TokenReplayed, "the token has no jti, and webhooks[].jti is once");
        }
        if signed.expires > context.now.plus(LONGEST) {
            return refused(Reason::TokenLifetimeTooLong, "the token is good for more than an hour, and webhooks[].jti is once");
        }
    }
    Ok(Known { caller, signed: Some(signed) })
}

/// Longest `jti` and `taskId`, in bytes.
const MAX_CLAIM_BYTES: usize = 1024;
