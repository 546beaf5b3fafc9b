//! Calls that go to a remote agent as their user (`user_passthrough`). Whose user has not agreed yet is answered here, by a task that waits
//! for that; and so is every later question about such a task, which no agent knows.

use crate::config::{Config, ConsentForm, UserPassthrough};
use crate::credential::link::{LIFETIME, Link};
use crate::credential::user::User;
use crate::credential::{Failure, Key};
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Reply};
use crate::flow::outbound::finding::Next;
use crate::flow::outbound::leaving::CallKind;
use crate::flow::outbound::state::{MOST_WAITS, Outbound, denial};
use crate::flow::outbound::whole::Whole;
use crate::flow::refusal::denial::{Consent, Denial};
use crate::flow::refusal::local_task::{LocalState, LocalTask};
use crate::flow::setup::runtime::Context;
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::entries::Look;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::obtain::{Attachment, acting_user, bearer};
use crate::flow::supply::tokens::Subject as Presented;
use crate::flow::supply::vault::operation::{Done, Fault};
use crate::identity::Origin;
use crate::identity::jws::Jws;
use crate::ownership::{Bound, LocalId, Named, Problem, Subject};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::path;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// A user who calls through a connection.
pub(super) struct Acting<'a> {
    pub own: &'a UserPassthrough,
    pub presented: Presented,
    pub user: User,
    /// Stands for the user, the client, and this connection.
    pub key: Key,
    pub version: Version,
    pub operation: Operation,
    pub binding: Binding,
}

/// What callers read whose body is too long.
const TOO_LONG: &str = "The body is too long for a call that goes as its user: send a shorter one.";

pub(super) type Found = Result<Next, Box<Next>>;

pub(super) fn refuse(denial: Denial) -> Box<Next> {
    Box::new(Next::Refuse(denial))
}

impl Outbound {
    /// What becomes of a call that goes as its user.
    #[inline(never)]
    pub(super) fn find_as_user(
        &mut self,
        own: &UserPassthrough,
        (version, operation): (Version, Operation),
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Found {
        let supply = context.runtime.supply();
        let connection = Rc::clone(&self.connection);
        let token = self.subject.as_ref().ok().and_then(Option::as_ref);
        let verified = self.as_user.as_mut().and_then(|state| state.verified.take()).filter(|(at, _)| *at == context.now);
        let presented = match (verified, token) {
            (Some((_, presented)), _) => presented,
            (None, Some(token)) => match supply.presented(connection.index, token, &self.waited, &context.verifying()) {
                Ok(presented) => presented,
                Err(stopped) => return Ok(self.obtained(*stopped, None, effects)),
            },
            (None, None) => return Err(refuse(Denial::new(Reason::CredentialsMissing))),
        };
        effects.push(Effect::Note(Note::From(Rc::clone(&presented.caller))));
        let user = match acting_user(&presented.caller, context.runtime.config()) {
            Some(user) => user,
            None => return Err(self.not_a_user("its token is not a user's", effects)),
        };
        let Some((app, _)) = context.runtime.config().app_of(&connection) else {
            return Err(refuse(Denial::new(Reason::CredentialUnavailable)));
        };
        let binding = self.place.binding().unwrap_or(Binding::HttpJson);
        let is_card = self.place == CallKind::Card;
        if !is_card && self.as_user.get_or_insert_default().named.is_none() {
            let bytes = match self.whole(own.max_body_bytes, TOO_LONG).map_err(|denial| refuse(denial.for_version(version)))? {
                Whole::Later => {
                    self.as_user.get_or_insert_default().verified = Some((context.now, presented));
                    return Ok(Next::Read);
                }
                Whole::Here(bytes) => bytes,
            };
            let route = path::strip_segments(self.call.path(), connection.target.path_prefix.as_str()).unwrap_or_default();
            let named = context
                .runtime
                .naming()
                .map_or_else(|| Ok(Named::default()), |naming| naming.named((binding, operation, version), route, &bytes));
            let named = named.map_err(|problem| refuse(unreadable(&problem).for_version(version)))?;
            self.keep_whole(bytes);
            self.as_user.get_or_insert_default().named = Some(named);
        }
        // Not before the body is there: this is done again with each part of it, and a key takes two hashes.
        let key = user.key(&connection.name, app).to_bytes();
        let acting = Acting { own, presented, user, key, version, operation, binding };
        if is_card {
            return self.find_card(&acting, context, effects);
        }
        let named = self.as_user.as_ref().and_then(|state| state.named.clone()).unwrap_or_default();
        let task =
            self.own_id(Subject::Task, named.task.as_deref(), &acting, context).map_err(|denial| refuse(denial.for_version(version)))?;
        if let Some(task) = &task
            && !matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage)
        {
            return self.find_local(task, &acting, context, effects);
        }
        if !self.search(operation, version, context).map_err(refuse)? {
            return Ok(Next::Read);
        }
        match self.grant(&acting, context) {
            Look::Here(token) => {
                self.leave_ids_out(&acting, context).map_err(|denial| refuse(denial.for_version(version)))?;
                if !self.endorse(Some(operation), version, context, effects).map_err(refuse)? {
                    return Ok(Next::Read);
                }
                Ok(Next::Go(Box::new(self.attachment(&acting, token, context.now)), version, Some(operation)))
            }
            Look::Wait => Ok(self.wait(Want::Grant(acting.key), effects)),
            Look::Failed(failure) => Err(refuse(self.no_grant(failure, effects))),
            Look::Absent if own.way().is_some() => self.find_elsewhere(task.as_ref(), &named, &acting, context, effects),
            Look::Absent => self.ask(task.as_ref(), &named, &acting, context, effects),
        }
    }

    /// A card is public: it is asked for as the user where the user has agreed, and without a credential otherwise.
    fn find_card(&self, acting: &Acting<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Found {
        let nothing = || Attachment { method: "user_passthrough", origin: "none", ..Attachment::asked() };
        let attachment = match self.grant(acting, context) {
            Look::Here(token) => self.attachment(acting, token, context.now),
            Look::Wait => return Ok(self.wait(Want::Grant(acting.key), effects)),
            Look::Absent | Look::Failed(_) => nothing(),
        };
        Ok(Next::Go(Box::new(attachment), acting.version, Some(acting.operation)))
    }

    fn attachment(&self, acting: &Acting<'_>, token: Rc<crate::credential::cache::Token>, now: UnixTime) -> Attachment {
        let origin = if self.waited.contains(&Want::Grant(acting.key)) { "fetch" } else { "cache" };
        Attachment {
            headers: vec![bearer(&token.value)],
            method: "user_passthrough",
            origin,
            age: Some(now.since(token.since)),
            token: Some((acting.key, token)),
            caller: Some(Rc::clone(&acting.presented.caller)),
            ..Attachment::asked()
        }
    }

    pub(super) fn grant(&self, acting: &Acting<'_>, context: &Context<'_>) -> Look {
        let supply = context.runtime.supply();
        supply
            .granted(self.connection.index, (acting.key, &acting.user), &self.waited, context.now)
            .unwrap_or(Look::Failed(Failure::Unavailable))
    }

    pub(super) fn wait(&self, want: Want, effects: &mut Vec<Effect>) -> Next {
        if self.waited.len() < MOST_WAITS {
            return Next::Wait(want);
        }
        Next::Refuse(self.no_grant(Failure::Unavailable, effects))
    }

    pub(super) fn no_grant(&self, failure: Failure, effects: &mut Vec<Effect>) -> Denial {
        let reason = if failure == Failure::Unavailable { Reason::CredentialUnavailable } else { Reason::CredentialRefused };
        denial(&self.connection, reason, None, effects)
    }

    pub(super) fn not_a_user(&self, cause: &str, effects: &mut Vec<Effect>) -> Box<Next> {
        let cause = format!("connection {:?}: {cause}, and this connection calls as its users", self.connection.name);
        refuse(denial(&self.connection, Reason::UserRequired, Some(cause), effects))
    }

    /// `id`, if it is one that the filter made for this caller.
    ///
    /// # Errors
    /// If it was made for somebody else.
    fn own_id(&self, subject: Subject, id: Option<&str>, acting: &Acting<'_>, context: &Context<'_>) -> Result<Option<LocalId>, Denial> {
        let Some(id) = id.and_then(LocalId::parse) else { return Ok(None) };
        let bound = Bound { subject, caller: &acting.key, connection: &self.connection.name };
        let is_own = context.runtime.supply().ring().is_some_and(|ring| id.is_for(&bound, &|place, half| ring.is_half(place, half)));
        if is_own { Ok(Some(id)) } else { Err(Denial::new(Reason::TaskNotFound)) }
    }

    /// No agent knows ids of ours: the message goes on without them.
    fn leave_ids_out(&mut self, acting: &Acting<'_>, context: &Context<'_>) -> Result<(), Denial> {
        let named = self.as_user.as_mut().and_then(|state| state.named.take()).unwrap_or_default();
        let own = |subject, id: Option<&String>| self.own_id(subject, id.map(String::as_str), acting, context);
        let (task, context_id) = (own(Subject::Task, named.task.as_ref())?, own(Subject::Context, named.context.as_ref())?);
        if task.is_none() && context_id.is_none() {
            self.as_user.get_or_insert_default().named = Some(named);
            return Ok(());
        }
        let is_ours = |subject: Subject, id: &str| match subject {
            Subject::Task => task.is_some() && named.task.as_deref() == Some(id),
            Subject::Context => context_id.is_some() && named.context.as_deref() == Some(id),
        };
        let kinds = (acting.binding, acting.version);
        if let Some(naming) = context.runtime.naming() {
            self.change_whole(|bytes| naming.without(kinds, bytes, &is_ours)).map_err(|problem| unreadable(&problem))?;
        }
        self.as_user.get_or_insert_default().named = Some(Named::default());
        Ok(())
    }

    /// A question about a task of ours.
    fn find_local(&mut self, task: &LocalId, acting: &Acting<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Found {
        if !matches!(acting.operation, Operation::GetTask | Operation::SubscribeToTask | Operation::CancelTask) {
            let denial = Denial::new(Reason::PushNotOffered).advise("This task waits for its user: it sends no push notifications.");
            return Err(refuse(denial.for_version(acting.version)));
        }
        if acting.own.way().is_some() {
            return self.find_elsewhere(Some(task), &Named::default(), acting, context, effects);
        }
        let ended = match self.ended(task, acting.operation == Operation::CancelTask, context, effects)? {
            Ok(ended) => ended,
            Err(next) => return Ok(next),
        };
        let look = match self.grant(acting, context) {
            Look::Wait => return Ok(self.wait(Want::Grant(acting.key), effects)),
            Look::Failed(failure) => return Err(refuse(self.no_grant(failure, effects))),
            look => look,
        };
        let state = match (ended, look) {
            (Some(Ended::Cancelled), _) => LocalState::Canceled,
            (_, Look::Here(_)) => LocalState::InputRequired,
            (Some(Ended::Denied | Ended::Stranger), _) => LocalState::Rejected,
            (Some(Ended::Used), _) => LocalState::Failed,
            (None, _) if context.now >= task.time().plus(LIFETIME) => LocalState::Failed,
            (None, _) => LocalState::AuthRequired,
        };
        let reply = self.local((state, task), None, acting, context, effects)?;
        effects.push(Effect::Note(Note::Allowed));
        Ok(Next::Answer(reply))
    }

    /// How the flow of a task of ours ended, if it did; what has to be waited for, if that is not known. `cancels`: it ends now.
    fn ended(
        &mut self,
        task: &LocalId,
        cancels: bool,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<Option<Ended>, Next>, Box<Next>> {
        let supply = context.runtime.supply();
        let state = self.as_user.get_or_insert_default();
        if let Some(ended) = state.flow {
            return Ok(Ok(ended));
        }
        let flow = task.flow();
        if state.job.is_none() {
            state.job = if cancels { supply.end_flow(flow, Ended::Cancelled, context.now) } else { supply.look_at_flow(flow, context.now) };
        }
        let Some(job) = state.job else { return Err(refuse(self.no_grant(Failure::Unavailable, effects))) };
        match supply.outcome(job) {
            None if !self.waited.contains(&Want::Job(job)) => Ok(Err(self.wait(Want::Job(job), effects))),
            Some(Outcome::Stored(Ok(Done::Found(found)))) => {
                let ended = found.and_then(|found| supply.read_flow(flow, &found.bytes));
                self.as_user.get_or_insert_default().flow = Some(ended);
                Ok(Ok(ended))
            }
            Some(Outcome::Stored(Ok(Done::Written(_)))) => {
                self.as_user.get_or_insert_default().flow = Some(Some(Ended::Cancelled));
                Ok(Ok(Some(Ended::Cancelled)))
            }
            // It has ended already: how, the store says.
            Some(Outcome::Stored(Ok(Done::Conflict(_)))) => {
                self.as_user.get_or_insert_default().job = None;
                self.ended(task, false, context, effects)
            }
            Some(
                Outcome::Stored(Ok(_) | Err(Fault::Full | Fault::Unavailable(_)))
                | Outcome::Tokens(_)
                | Outcome::Stands(_)
                | Outcome::Forgotten(_),
            )
            | None => Err(refuse(self.no_grant(Failure::Unavailable, effects))),
        }
    }

    /// The user has not agreed: the answer says where that can be done.
    fn ask(
        &mut self,
        task: Option<&LocalId>,
        named: &Named,
        acting: &Acting<'_>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Found {
        // A flow that goes on has its task already; what has ended begins anew.
        let known = match task {
            None => None,
            Some(task) => match self.ended(task, false, context, effects)? {
                Err(next) => return Ok(next),
                Ok(None) if context.now < task.time().plus(LIFETIME) => Some(*task),
                Ok(_) => None,
            },
        };
        let supply = context.runtime.supply();
        let Some(ring) = supply.ring() else { return Err(refuse(self.no_grant(Failure::Unavailable, effects))) };
        let bound = |subject| Bound { subject, caller: &acting.key, connection: &self.connection.name };
        let mac = |place: &[&[u8]]| ring.mac(place);
        let id = known.unwrap_or_else(|| {
            let flow = supply.random(context.now).first_chunk().copied().unwrap_or_default();
            LocalId::new(&bound(Subject::Task), &flow, context.now, &mac)
        });
        let is_sent = matches!(acting.operation, Operation::SendMessage | Operation::SendStreamingMessage);
        let identity = identity(acting).map_err(|claim| self.not_a_user(&format!("its token has no text as {claim}"), effects))?;
        let link = self.link(&id, identity, acting, context);
        let expires_at = id.time().plus(LIFETIME).rfc3339();
        let consent = Consent { link, expires_at, ..Consent::default() };
        if !is_sent || acting.own.consent == ConsentForm::Challenge {
            return Err(refuse(Denial::until_agreed(consent).at(&self.connection.name).for_version(acting.version)));
        }
        let reply = self.local((LocalState::AuthRequired, &id), Some((consent, named)), acting, context, effects)?;
        effects.push(Effect::SetState("attache.reason", Reason::ConsentRequired.code().to_owned()));
        effects.push(Effect::Note(Note::Answered(reply.status)));
        effects.push(Effect::Note(Note::Refused(Reason::ConsentRequired, Some(acting.binding), None)));
        Ok(Next::Answer(reply))
    }

    fn link(&self, id: &LocalId, identity: Vec<(String, String)>, acting: &Acting<'_>, context: &Context<'_>) -> String {
        let supply = context.runtime.supply();
        let config = context.runtime.config();
        let link = Link {
            flow: id.flow(),
            connection: self.connection.name.clone(),
            issuer: acting.issuer(config).to_owned(),
            user: acting.user.clone(),
            identity,
            issued: id.time(),
        };
        let (Some(ring), Some(consent)) = (supply.ring(), &config.consent) else { return String::new() };
        [&consent.uri("/start?link="), &link.seal(ring, supply.seal_nonce(context.now))[..]].concat()
    }

    /// The answer for a task of ours.
    pub(super) fn local(
        &self,
        (state, id): (LocalState, &LocalId),
        asked: Option<(Consent, &Named)>,
        acting: &Acting<'_>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, Box<Next>> {
        let supply = context.runtime.supply();
        let own_context = |flow: [u8; 16]| {
            let bound = Bound { subject: Subject::Context, caller: &acting.key, connection: &self.connection.name };
            let mac = |place: &[&[u8]]| supply.ring().map_or([0; 32], |ring| ring.mac(place));
            LocalId::new(&bound, &flow, id.time(), &mac).text()
        };
        // A conversation that the agent knows goes on under its own id.
        let named = asked.as_ref().and_then(|(_, named)| named.context.clone());
        let context_id = named.unwrap_or_else(|| own_context(id.flow()));
        let consent = match asked {
            Some((consent, _)) => Some(consent),
            None if state == LocalState::AuthRequired => {
                let identity = identity(acting).map_err(|claim| self.not_a_user(&format!("its token has no text as {claim}"), effects))?;
                let expires_at = id.time().plus(LIFETIME).rfc3339();
                Some(Consent { link: self.link(id, identity, acting, context), expires_at, ..Consent::default() })
            }
            None => None,
        };
        let name = &self.connection.name;
        let says = match (state, &consent) {
            (LocalState::AuthRequired, Some(consent)) if consent.is_elsewhere() => format!(
                "The agent {name} works for you only if you agree. If it is you who asked for it, {}; then send your message again (this works \
                 until {})",
                consent.asks("you"),
                consent.expires_at
            ),
            (LocalState::AuthRequired, Some(Consent { link, expires_at, .. })) => format!(
                "The agent {name} works for you only if you agree. Open this link, sign in, and agree; then send your message again: {link} \
                 (it works until {expires_at})"
            ),
            (LocalState::AuthRequired | LocalState::InputRequired, _) => {
                format!("You have agreed. Send your message to {name} again in this task.")
            }
            (LocalState::Rejected, _) => format!(
                "You did not agree that {name} works for you, or not with the account that you call with. Send your message again to be asked \
                 anew."
            ),
            (LocalState::Failed, _) => "Nobody agreed in time. Send your message again to be asked anew.".to_owned(),
            (LocalState::Canceled, _) => "This task was cancelled.".to_owned(),
        };
        let data = consent.as_ref().map(|consent| self.data(consent, acting, context));
        let since = if state == LocalState::AuthRequired { id.time() } else { context.now };
        let text = id.text();
        let task = LocalTask { id: &text, context: &context_id, state, text: &says, data, time: since, consent };
        let request = self.reader.as_ref().and_then(|reader| reader.id()).unwrap_or_default();
        task.answer(acting.operation, acting.binding, acting.version, &request)
            .map_err(|denial| refuse(denial.at(name).for_version(acting.version)))
    }

    fn data(&self, consent: &Consent, acting: &Acting<'_>, context: &Context<'_>) -> Map<String, Value> {
        let config = context.runtime.config();
        let scopes = config.app_of(&self.connection).map_or(&[][..], |(_, app)| acting.own.scopes(app));
        let data = json!({"issued_by": "attache", "connection": self.connection.name, "expires_at": consent.expires_at, "scopes": scopes});
        let Value::Object(mut data) = data else { return Map::new() };
        data.extend(consent.members().map(|([name, _], value)| (name.to_owned(), value.into())));
        data
    }
}

impl Acting<'_> {
    /// The issuer of the caller's token, by its name in `config`.
    pub fn issuer<'c>(&self, config: &'c Config) -> &'c str {
        match self.presented.caller.origin {
            Origin::Issuer(index) => config.issuers.get(index).map_or("", |issuer| &issuer.name),
            Origin::Introspection(_) | Origin::Scheme(_) => "",
        }
    }
}

/// The claims by which the user is known again at the sign-in. Fails with the one that is not there.
pub(super) fn identity(acting: &Acting<'_>) -> Result<Vec<(String, String)>, String> {
    let token = acting.presented.token.expose_secret();
    let Ok(jws) = Jws::parse(token) else { return Err("sub".to_owned()) };
    let claim = |name: &str| {
        let value = jws.payload.0.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        value.map(|value| (name.to_owned(), value.to_owned())).ok_or_else(|| name.to_owned())
    };
    acting.own.identity.claims().map(claim).collect()
}

fn unreadable(problem: &Problem) -> Denial {
    Denial::new(Reason::RequestMalformed).advise(format!("The request is ambiguous: {problem}."))
}
