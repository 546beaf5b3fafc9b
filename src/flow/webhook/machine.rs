//! A notification that a remote agent posts: who sends it first, then its body, which is read whole before anything goes on. It goes on
//! once, and only if all that its credentials say is true of it.

use crate::config::{IDENTITY_HEADER, JtiUse};
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Event, Step, Value};
use crate::flow::meter::{Excess, Meter};
use crate::flow::progress::{Progress, answer, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::notified;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::seats::Seat;
use crate::flow::supply::witness::{Seen, Sight};
use crate::flow::webhook::head::too_long;
use crate::flow::webhook::state::{Arriving, Known, Sender};
use crate::identity::Origin;
use crate::protocol::envelope::Id;
use crate::protocol::notification::Notification;
use crate::wire::quoted;
use crate::wire::structured::push_text;

impl Arriving {
    /// Whether the body is read. Nothing of it is before its sender is known: it stays in the proxy.
    pub(in crate::flow) const fn reads(&self) -> bool {
        matches!(self.sender, Sender::Known(_))
    }

    pub(in crate::flow) const fn awaits(&self) -> Option<Want> {
        match &self.sender {
            Sender::Pending { want, .. } => Some(*want),
            Sender::Known(_) => None,
        }
    }

    pub(in crate::flow) const fn awaits_body(&self) -> bool {
        !self.released
    }

    /// The number of its place among those who wait.
    pub(in crate::flow) fn seat(&self) -> Option<u64> {
        self.seat.as_ref().map(Seat::number)
    }

    pub(in crate::flow) fn on(
        mut self: Box<Self>,
        event: Event,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> (Progress<Self>, Step) {
        match event {
            Event::RequestBody { bytes, end, chunk } => {
                if context.runtime.config().hold_headers {
                    context.runtime.supply().note_hold();
                }
                self.held = bytes;
                if bytes > self.webhook.max_body_bytes {
                    let denial = too_long(&self.webhook, bytes, context);
                    return self.refuse(denial, effects);
                }
                if !self.reads() {
                    return (Progress::Wait(self), Step::Pause);
                }
                self.read = self.read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                // What does not come cannot be judged.
                if self.read != bytes {
                    return self.refuse(Denial::new(Reason::BodyMalformed), effects);
                }
                // With the announced length everything is here, whether the proxy says so yet or not.
                let end = end || self.announced == Some(bytes);
                let read = self.body.feed(&chunk).and_then(|()| if end { self.body.end().map(Some) } else { Ok(None) });
                match read {
                    Err(error) => self.refuse(notified::malformed(error), effects),
                    Ok(None) => (Progress::Wait(self), Step::Pause),
                    Ok(Some(notification)) => self.judge(&notification, context, effects),
                }
            }
            Event::Settled => match self.settle(context, effects) {
                Ok(()) => self.decide(context, effects),
                Err(denial) => self.refuse(denial, effects),
            },
            Event::BodyWithheld => withheld(None, effects),
            Event::RequestHeaders { .. } | Event::ResponseHeaders { .. } | Event::ResponseBody { .. } | Event::Route(_) => {
                (Progress::Wait(self), Step::Pause)
            }
        }
    }

    /// Waits for what is missing. Where headers cannot be held, they go on as soon as it is known who sends them.
    pub(super) fn decide(mut self: Box<Self>, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        if self.released || self.held > 0 || context.runtime.config().hold_headers || !self.reads() {
            return (Progress::Wait(self), Step::Pause);
        }
        self.send_on(None, context, effects);
        self.released = true;
        (Progress::Wait(self), Step::Continue)
    }

    /// Everything is known.
    fn judge(mut self: Box<Self>, notification: &Notification, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        let fits = self.check_task(notification, context).and_then(|()| self.check_first(notification, context));
        if let Err(denial) = fits {
            return self.refuse(denial, effects);
        }
        if !self.released {
            self.send_on(Some(notification), context, effects);
        }
        effects.push(Effect::Note(Note::Allowed));
        let (destination, passed) = (self.destination(), self.held);
        let meter = Meter { passed, announced: self.announced, limit: passed, excess: Excess::Announced, destination, binding: None };
        (Progress::Pass(meter.ended()), Step::Continue)
    }

    /// Whether the notification is about the task that its credentials are for.
    fn check_task(&self, notification: &Notification, context: &Context<'_>) -> Result<(), Denial> {
        let task = notification.task.as_deref();
        let refused = |what: &str| {
            let named = task.map_or_else(|| "no task".to_owned(), |task| format!("task {}", quoted::text(task)));
            let detail = context.runtime.tells().then(|| format!("the notification is about {named}; {what}"));
            Err(Denial::new(Reason::NotificationTaskRefused).because(detail))
        };
        if let (Some(claims), Some(keys)) = (&self.token, &self.webhook.keys)
            && claims.task_bound()
            && !task.is_some_and(|task| claims.fits_task(keys, task))
        {
            return refused("its token was made for another");
        }
        match self.signed().and_then(|signed| signed.task.as_deref()) {
            Some(signed) if Some(signed) != task => refused(&format!("taskId of its token is {}", quoted::text(signed))),
            _ => Ok(()),
        }
    }

    /// Whether a signed token is seen for the first time, and a token of ours with the same task as before.
    fn check_first(&self, notification: &Notification, context: &Context<'_>) -> Result<(), Denial> {
        let witness = context.runtime.supply().witness();
        let name = self.webhook.name.as_str();
        let tells = |detail: &str| context.runtime.tells().then(|| detail.to_owned());
        let unknown = || {
            Denial::new(Reason::Overloaded).because(tells("what was seen cannot be remembered: too many tokens are good at the same time"))
        };
        if let (JtiUse::Once, Some(signed), Some(known)) = (self.webhook.jti, self.signed(), self.known())
            && let Some(id) = &signed.id
        {
            let issuer = known.caller.origin.authority(context.runtime.config()).map_or("", |(_, issuer)| issuer);
            // A token is taken for that much longer than it says.
            let skew = match known.caller.origin {
                Origin::Issuer(index) => context.runtime.config().issuers.get(index).map(|issuer| issuer.clock_skew),
                Origin::Introspection(_) | Origin::Scheme(_) => None,
            };
            let until = signed.expires.plus(skew.unwrap_or_default());
            let sight = Sight { of: &["jti", issuer], name: id.as_bytes(), with: "", until };
            match witness.see(&sight, context.now) {
                Seen::First => {}
                Seen::Same | Seen::Other => {
                    return Err(Denial::new(Reason::TokenReplayed).because(tells("a notification with this jti was here before")));
                }
                Seen::Unknown => return Err(unknown()),
            }
        }
        if let (Some(claims), Some(task)) = (&self.token, notification.task.as_deref())
            && !claims.task_bound()
        {
            let sight = Sight { of: &["push", name], name: &claims.nonce, with: task, until: claims.expires };
            match witness.see(&sight, context.now) {
                Seen::First | Seen::Same => {}
                Seen::Other => {
                    let detail = tells("its token came with a notification about another task before");
                    return Err(Denial::new(Reason::NotificationTaskRefused).because(detail));
                }
                Seen::Unknown => return Err(unknown()),
            }
        }
        Ok(())
    }

    fn known(&self) -> Option<&Known> {
        match &self.sender {
            Sender::Known(known) => known.as_ref(),
            Sender::Pending { .. } => None,
        }
    }

    fn signed(&self) -> Option<&super::state::Signed> {
        self.known().and_then(|known| known.signed.as_ref())
    }

    /// Sends the head on: without the credentials that ended here, and with what is known of the sender.
    fn send_on(&mut self, notification: Option<&Notification>, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.append(&mut self.headers);
        let mut line = String::new();
        let mut push = |name: &str, value: &str| {
            line.push_str(if line.is_empty() { "" } else { ", " });
            line.push_str(name);
            line.push('=');
            push_text(&mut line, value);
        };
        push("webhook", &self.webhook.name);
        if let Some(notification) = notification {
            push("version", notification.version.as_str());
        }
        if let (Some(claims), Some(asked)) = (&self.token, &self.webhook.token) {
            if let Some(connection) = asked.connections.get(claims.connection) {
                push("connection", connection);
            }
            if let Some(caller) = &claims.caller {
                push("caller", caller);
            }
        }
        if let Some(known) = self.known() {
            line.push_str(", ");
            line.push_str(known.caller.rendered(context.runtime.config()));
        }
        effects.push(Effect::SetHeader(IDENTITY_HEADER.into(), Value::Text(line)));
    }

    fn refuse(self: Box<Self>, denial: Denial, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        let denial = if denial.realm.is_none() { denial.at(&self.webhook.name) } else { denial };
        answer(&denial, None, &Id::default(), effects)
    }
}
