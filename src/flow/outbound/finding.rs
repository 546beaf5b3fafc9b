//! What a call that leaves is, who calls, and what may leave: everything that is found out before the credential is attached.

use crate::config::{Connection, Other};
use crate::flow::callers::authorize::{Admission, admit};
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Reply};
use crate::flow::outbound::leaving::{CallKind, not_a2a};
use crate::flow::outbound::negotiate;
use crate::flow::outbound::state::{MOST_WAITS, Outbound, denial};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::no_body;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::obtain::{Attachment, Obtained, Refused};
use crate::flow::supply::sought::Sought;
use crate::identity::bearer;
use crate::identity::bearer::BearerError;
use crate::protocol::{Operation, Version};
use secrecy::SecretString;
use std::rc::Rc;

/// What becomes of a call now.
pub(super) enum Next {
    /// It goes out in this version; for this, if that is known.
    Go(Box<Attachment>, Version, Option<Operation>),
    /// It is not A2A, and goes out as it is.
    Pass,
    /// It is answered here.
    Answer(Reply),
    Refuse(Denial),
    Wait(Want),
    /// The same before the caller is known.
    Sit(Want),
    /// The method is needed, or all of the body.
    Read,
}

/// What the method in a body says.
pub(super) enum Method {
    /// It has not come.
    Unknown,
    /// It is none of A2A.
    Other,
    Is(Operation, Version),
}

/// The token of the caller, if some credential of the connection is made of it.
pub(super) fn subject(head: &Head<'_>, connection: &Connection) -> Result<Option<SecretString>, Reason> {
    if !connection.credential.each().any(|credential| credential.subject().is_some()) {
        return Ok(None);
    }
    let is_sure = connection.credential.subject().is_some();
    match bearer::token(head.headers) {
        Ok(token) => Ok(Some(SecretString::from(token.to_owned()))),
        // It may turn out not to be needed.
        Err(BearerError::Missing) if !is_sure => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Outbound {
    /// Finds out what the call is, who calls, version and credential, or what they have to wait for.
    pub(super) fn next(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Next {
        self.find(context, effects).unwrap_or_else(|stopped| *stopped)
    }

    fn find(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Next, Box<Next>> {
        if let Some(found) = self.find_notification(context, effects) {
            return found;
        }
        let connection = Rc::clone(&self.connection);
        let refuse = |denial| Box::new(Next::Refuse(denial));
        // Nothing is fetched for a call that is refused anyway.
        if self.place.is_a2a() {
            self.check().map_err(refuse)?;
        } else if connection.card.is_none() && connection.other == Other::Refuse {
            return Err(refuse(not_a2a()));
        }
        self.identify(context, effects)?;
        let agent = match &connection.card {
            None => None,
            Some(_) => match context.runtime.supply().remote_agent(connection.index, &self.waited, context.now) {
                Ok(agent) => Some(agent),
                Err(stopped) => return Ok(self.obtained(*stopped, None, effects)),
            },
        };
        let offers = agent.as_ref().map(|agent| &agent.offers);
        if offers.is_some() {
            self.place = self.call.place(&connection, offers);
        }
        let asked = match (self.place, connection.other) {
            (CallKind::Other(_), Other::Pass) => return Ok(Next::Pass),
            (CallKind::Other(_), Other::Refuse) => return Err(refuse(not_a2a())),
            (place, other) => {
                self.check().map_err(refuse)?;
                match self.method().map_err(refuse)? {
                    _ if place != CallKind::Jsonrpc => place.asked(),
                    Method::Is(operation, belongs) => Some((operation, Some(belongs))),
                    Method::Unknown if self.may_read(context) => return Ok(Next::Read),
                    Method::Unknown if context.runtime.config().hold_headers => return Err(refuse(no_body())),
                    // Without held headers the proxy delivers no body before the head has gone.
                    Method::Unknown => None,
                    Method::Other if other == Other::Pass => return Ok(Next::Pass),
                    Method::Other => return Err(refuse(not_a2a())),
                }
            }
        };
        let operation = asked.map(|(operation, _)| operation);
        let binding = self.place.binding();
        let note = |version, effects: &mut Vec<Effect>| effects.push(Effect::Note(Note::Is { version, binding, operation }));
        if let Some(version) = connection.version.fixed() {
            note(version, effects);
        }
        let version = negotiate::version(&self.call, self.place, asked, offers, &connection).map_err(refuse)?;
        if connection.version.fixed().is_none() {
            note(version, effects);
        }
        permit(operation, &connection).map_err(refuse)?;
        if let (Some(own), Some(operation)) = (connection.user_passthrough(), operation) {
            return self.find_as_user(own, (version, operation), context, effects);
        }
        let may_go = operation.map_or(Ok(true), |operation| self.search(operation, version, context));
        if !may_go.map_err(refuse)? {
            return Ok(Next::Read);
        }
        if !self.endorse(operation, version, context, effects).map_err(refuse)? {
            return Ok(Next::Read);
        }
        let subject = self.subject.as_ref().ok().and_then(Option::as_ref);
        let obtained = context.runtime.supply().obtain(connection.index, subject, &self.waited, &context.verifying());
        Ok(self.obtained(obtained, Some((version, operation)), effects))
    }

    pub(super) fn obtained(&self, obtained: Obtained, known: Option<(Version, Option<Operation>)>, effects: &mut Vec<Effect>) -> Next {
        match (obtained, known) {
            (Sought::Here(attachment), Some((version, operation))) => Next::Go(Box::new(attachment), version, operation),
            (Sought::Wait(want), _) if self.waited.len() < MOST_WAITS => Next::Wait(want),
            (Sought::No(Refused { reason, cause }), _) => Next::Refuse(denial(&self.connection, reason, cause, effects)),
            (Sought::Here(_) | Sought::Wait(_), _) => Next::Refuse(denial(&self.connection, Reason::CredentialUnavailable, None, effects)),
        }
    }

    /// Whether the head can be what it seems to be.
    fn check(&self) -> Result<(), Denial> {
        self.call.check(self.place)?;
        self.subject.as_ref().map(drop).map_err(|reason| Denial::new(*reason))
    }

    /// Whether the caller may use the connection.
    pub(super) fn identify(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<(), Box<Next>> {
        let Some(credentials) = &self.caller else { return Ok(()) };
        let destination = self.destination();
        let ask = |may_wait| admit(&destination, false, credentials, may_wait, context);
        // The issuer's answer about a token is the last thing that there is to wait for, and nothing is waited for twice.
        let admission = match ask(!matches!(self.waited.last(), Some(Want::Introspection(_)))) {
            Admission::Wait(want) if self.waited.contains(&want) => ask(false),
            other => other,
        };
        match admission {
            Admission::As(admitted) => {
                if let Some(endorsed) = &mut self.endorsed {
                    endorsed.caller = Some(Rc::clone(&admitted.caller));
                }
                effects.push(Effect::Note(Note::From(admitted.caller)));
                (self.caller, self.strangers_seat) = (None, None);
                Ok(())
            }
            Admission::Wait(want) if self.waited.len() < MOST_WAITS => Err(Box::new(Next::Sit(want))),
            Admission::Wait(_) => Err(Box::new(Next::Refuse(Denial::new(Reason::CredentialUnavailable)))),
            Admission::Refused(known, denial) => {
                effects.extend(known.map(|known| Effect::Note(Note::From(known.caller))));
                Err(Box::new(Next::Refuse(denial)))
            }
            // Connections have no shadow.
            Admission::Shadowed(_, denial) => Err(Box::new(Next::Refuse(denial))),
        }
    }

    /// # Errors
    /// If the body is no JSON-RPC request.
    pub(super) fn method(&self) -> Result<Method, Denial> {
        if self.place != CallKind::Jsonrpc {
            return Ok(Method::Unknown);
        }
        if let Some(wrong) = &self.wrong {
            return Err(wrong.0.clone());
        }
        Ok(match self.reader.as_ref().and_then(|reader| reader.method()).map(Operation::from_method) {
            None => Method::Unknown,
            Some(None) => Method::Other,
            Some(Some((operation, version))) => Method::Is(operation, version),
        })
    }
}

/// Whether `operation` may leave, as far as it is known.
pub(super) fn permit(operation: Option<Operation>, connection: &Connection) -> Result<(), Denial> {
    match operation {
        Some(operation) if !connection.lets(operation) => {
            let advice = format!("{} does not leave here: ask the operator of this proxy.", operation.name());
            // No other credential would do.
            Err(Denial { challenges: Some(Rc::default()), ..Denial::new(Reason::AccessDenied).advise(advice) })
        }
        _ => Ok(()),
    }
}
