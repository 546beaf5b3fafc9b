//! Push-notification configurations on their way to a remote agent: those that lead to our webhook get a token of ours, which
//! notifications bring back (A2A 1.0 section 13.2). So the whole body of a call that may hold one is there before the call leaves.

use crate::config::{Config, OtherTargets};
use crate::credential::push_token;
use crate::credential::push_token::{Party, Purpose};
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Value};
use crate::flow::outbound::endorsed::Body;
use crate::flow::outbound::leaving::CallKind;
use crate::flow::outbound::state::Outbound;
use crate::flow::outbound::whole::Whole;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::inspect;
use crate::flow::setup::runtime::Context;
use crate::identity::Caller;
use crate::policy::push_place::{MAX_GROWTH, PlaceError, PushPlace, may_hold};
use crate::protocol::{Operation, Version};
use crate::wire::scan::Fault;
use crate::wire::time::UnixTime;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use std::iter::once;

/// What callers read whose body is too long.
pub(super) const TOO_LONG: &str = "The body is too long for a call that may ask for push notifications here: send a shorter one.";

impl Outbound {
    /// By how many bytes the body may grow.
    pub(in crate::flow) fn growth(&self) -> usize {
        let may_grow = match self.place.asked() {
            Some((operation, _)) => may_hold(operation),
            // The body tells.
            None => true,
        };
        if self.connection.push.is_some() && may_grow && !self.bodiless { MAX_GROWTH } else { 0 }
    }

    /// Whether the caller reads an event stream and nothing else.
    pub(super) fn reads_events(&self, operation: Operation, version: Version) -> bool {
        self.place == CallKind::Jsonrpc && version == Version::V0_3 && operation == Operation::SendStreamingMessage
    }

    /// Sees to a configuration in a call for `operation`. `false`: all of the body is needed first.
    ///
    /// # Errors
    /// If it is refused.
    pub(super) fn endorse(
        &mut self,
        operation: Option<Operation>,
        version: Version,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Denial> {
        let Some(operation) = operation.filter(|operation| self.connection.push.is_some() && may_hold(*operation)) else {
            self.settle_whole();
            return Ok(true);
        };
        if self.endorsed.as_ref().is_none_or(|endorsed| endorsed.is_judged()) {
            return Ok(true);
        }
        let as_event = self.reads_events(operation, version);
        let limit = self.connection.push.as_ref().map_or(0, |push| push.max_body_bytes);
        let refuse = |denial: Denial| Denial { as_event, ..denial.for_version(version) };
        let bytes = match self.whole(limit, TOO_LONG).map_err(refuse)? {
            Whole::Later => return Ok(false),
            Whole::Here(bytes) => bytes,
        };
        let changed = self.changed(&bytes, operation, version, context).map_err(refuse)?;
        effects.extend(changed.as_ref().map(|_| Effect::Note(Note::Endorsed)));
        if let Some(endorsed) = &mut self.endorsed {
            endorsed.body = match changed {
                Some(changed) => Body::Changed(changed),
                None if endorsed.is_altered => Body::Changed(bytes),
                None => Body::Fine,
            };
        }
        Ok(true)
    }

    /// `body` with a token, if it needs one.
    #[cold]
    #[inline(never)]
    fn changed(&self, body: &[u8], operation: Operation, version: Version, context: &Context<'_>) -> Result<Option<Vec<u8>>, Denial> {
        let connection = &self.connection;
        let (Some(push), Some(endorsing), Some(binding)) = (&connection.push, &connection.endorsing, self.place.binding()) else {
            return Ok(None);
        };
        let keys = endorsing.keys.as_ref();
        // From a configuration that was read from the remote agent, or of a request that Envoy itself sends once more.
        let is_own =
            |text: &str| keys.is_some_and(|keys| push_token::verify(keys, once(&*connection.name), text, UnixTime::default()).is_ok());
        let place = endorsing.plans.find((binding, operation, version), body, &is_own).map_err(denial)?;
        let Some(place) = place else { return Ok(None) };
        if !place.leads_to(&push.url) {
            return match push.others {
                OtherTargets::Pass => Ok(None),
                OtherTargets::Refuse => Err(elsewhere(&place)),
            };
        }
        let keys = keys.ok_or_else(|| {
            Denial::new(Reason::CredentialUnavailable).because(Some(
                "a secret of connections[].push.keys has no value: the log of the start has a warning that says which".to_owned(),
            ))
        })?;
        let creates = operation == Operation::CreateTaskPushNotificationConfig;
        let task = if creates { Some(self.task(&place)?) } else { None };
        let caller = self.endorsed.as_ref().and_then(|endorsed| endorsed.caller.as_deref());
        let purpose = Purpose {
            connection: &connection.name,
            caller: caller.and_then(|caller| party(caller, context.runtime.config())),
            task: task.as_deref(),
            expires: context.now.plus(push.lifetime),
        };
        let token = push_token::mint(keys, &purpose, &context.runtime.supply().nonce(context.now));
        let token = token.ok_or_else(|| Denial::new(Reason::CredentialUnavailable))?;
        place.with(body, token.expose_secret(), version).map(Some).map_err(denial)
    }

    /// The task of a configuration of its own, as the remote agent knows it: by the path in HTTP+JSON, else by the body.
    fn task(&self, place: &PushPlace) -> Result<String, Denial> {
        let in_path = match self.place {
            CallKind::HttpJson(..) => {
                // The route of the operation ends so, whatever stands before it.
                let id = self.call.path().strip_suffix("/pushNotificationConfigs").and_then(|path| path.rsplit('/').next());
                id.and_then(|id| percent_decode_str(id).decode_utf8().ok()).map(String::from)
            }
            _ => None,
        };
        match (in_path, &place.task) {
            (Some(path), Some(body)) if path != *body => Err(denial(PlaceError::Task)),
            (Some(id), _) => Ok(id),
            (None, Some(id)) => Ok(id.clone()),
            (None, None) => Err(denial(PlaceError::Task)),
        }
    }

    /// What goes on in place of what has come of the body, if it is something else.
    pub(super) fn release(&mut self, effects: &mut Vec<Effect>) {
        let Some(endorsed) = &mut self.endorsed else { return };
        match std::mem::take(&mut endorsed.body) {
            Body::Changed(body) => {
                let length = "content-length".into();
                effects.push(match self.announced {
                    Some(_) => Effect::SetHeader(length, Value::Text(body.len().to_string())),
                    None => Effect::RemoveHeader(length),
                });
                effects.push(Effect::ReplaceRequestBody(body));
                endorsed.body = Body::Fine;
            }
            other => endorsed.body = other,
        }
    }
}

/// Who calls, if that can be told.
fn party<'c>(caller: &'c Caller, config: &'c Config) -> Option<Party<'c>> {
    let (subject, client) = (caller.subject.as_deref(), caller.client.as_deref());
    subject.or(client)?;
    Some(Party { origin: caller.origin.authority(config)?, tenant: caller.tenant.as_deref(), subject, client })
}

/// The refusal of a configuration that does not lead to our webhook.
fn elsewhere(place: &PushPlace) -> Denial {
    let advice = match &place.url {
        None => "The push notification URL is missing, or no text.",
        Some(_) => "Push notifications of this remote agent come to one place: name the URL that the operator of this proxy says.",
    };
    Denial::new(Reason::PushTargetRefused).advise(advice)
}

/// The refusal of a configuration that gets no token.
fn denial(error: PlaceError) -> Denial {
    match error {
        PlaceError::Fault(fault) => unreadable_json(fault),
        PlaceError::Message(fault) => inspect::unreadable(fault),
        PlaceError::Several | PlaceError::Task => {
            Denial::new(Reason::RequestMalformed).advise(format!("The request is ambiguous: {error}."))
        }
        PlaceError::Taken => Denial::new(Reason::PushCredentialTaken),
    }
}

/// The refusal of JSON that cannot be read in one way.
pub(super) fn unreadable_json(fault: Fault) -> Denial {
    let reason = match fault {
        Fault::RepeatedName | Fault::CaseVariant | Fault::TooDeep | Fault::TooManyMembers | Fault::TooManyValues | Fault::TooLong => {
            Reason::RequestMalformed
        }
        _ => Reason::BodyMalformed,
    };
    Denial::new(reason).advise(format!("The body cannot be read: {fault}."))
}
