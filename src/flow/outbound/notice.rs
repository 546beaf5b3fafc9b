//! What the head of a notification says: where it goes, and whether it has the credential that its caller asked for.

use crate::config::{Notifications, PushScheme};
use crate::flow::event::Effect;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::request::inspect::no_push;
use crate::flow::request::notified;
use crate::flow::setup::connection::Connection;
use crate::policy::push;

/// What the head of a notification says.
#[derive(Debug)]
pub struct Notice {
    /// The origin of its target; what is wrong with its head, if something is.
    pub(super) origin: Result<String, Denial>,
    /// It has the credential that its caller asked for, and that goes.
    pub(super) has_asked: bool,
    /// Its longest body.
    limit: u64,
}

impl Notice {
    /// What `head` says, if `connection` is for notifications. An `Authorization` that says nothing goes nowhere.
    pub(super) fn new(head: &Head<'_>, connection: &Connection, body_follows: bool, effects: &mut Vec<Effect>) -> Option<Box<Self>> {
        let own = connection.notifications.as_ref()?;
        let mut asked = head.headers.all("authorization");
        let is_kept = !connection.dropped.drops("authorization");
        let (first, second) = (asked.next().filter(|_| is_kept), asked.next().filter(|_| is_kept));
        let says = |value: Option<&[u8]>| value.is_some_and(|value| !value.trim_ascii().is_empty());
        if first.is_some() && !says(first) && second.is_none() {
            effects.push(Effect::RemoveHeader("authorization".into()));
        }
        let origin = match second {
            Some(_) => Err(Denial::new(Reason::CredentialsRepeated)),
            None => check(head, own, body_follows),
        };
        Some(Box::new(Self { origin, has_asked: says(first), limit: own.max_body_bytes }))
    }

    /// Whether a body is too long of which this has come, or is announced.
    pub(super) fn is_exceeded_by(&self, held: u64, announced: Option<u64>) -> bool {
        held.max(announced.unwrap_or(0)) > self.limit
    }
}

/// Whether the head can be that of a notification. Gives the origin of its target.
fn check(head: &Head<'_>, own: &Notifications, body_follows: bool) -> Result<String, Denial> {
    notified::check_head(head, body_follows)?;
    let (host, port) = (head.authority.host(), head.authority.port());
    let scheme = match &own.targets {
        Some(rule) => push::check_authority(host, port, rule).map_err(no_push)?,
        None => PushScheme::Https,
    };
    let port = port.filter(|digits| digits.parse() != Ok(scheme.port()));
    let (colon, port) = port.map_or(("", ""), |port| (":", port));
    Ok([scheme.as_str(), "://", host, colon, port].concat())
}
