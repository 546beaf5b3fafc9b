//! Users who agree on another device, with a code or asked by their server: calls of theirs without a grant, and questions about the tasks
//! that such calls were answered with. No browser comes here, so that the filter asks the server, whenever it hears of the caller and the
//! server allows it; who agreed, the ID token says.

use crate::config::{Bind, ConsentForm, Way};
use crate::credential::Failure;
use crate::credential::devices::Shown;
use crate::credential::grant::Grant;
use crate::credential::user::GrantKey;
use crate::credential::user_tokens::read_user;
use crate::flow::callers::id_token::{Expected, Tied, Wrong, judge};
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Level};
use crate::flow::outbound::as_user::{Acting, Found, identity, refuse};
use crate::flow::outbound::finding::Next;
use crate::flow::outbound::state::Outbound;
use crate::flow::refusal::denial::{Consent, Denial};
use crate::flow::refusal::local_task::LocalState;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::entries::Look;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::grants::order::{Order, Seen};
use crate::flow::supply::grants::standing::{Flow, Standing, Waiting};
use crate::flow::supply::sought::Sought;
use crate::identity::jws::Jws;
use crate::ownership::{Bound, LocalId, Named, Subject};
use crate::protocol::{Binding, Operation};
use secrecy::ExposeSecret;
use serde_json::Value;

/// The claim by which an ID token says which request of CIBA it answers (section 7.3.1 of CIBA Core 1.0).
const AUTH_REQ_ID: &str = "urn:openid:params:jwt:claim:auth_req_id";
/// Letters of a code that two devices show: they make no words (RFC 8628 section 6.1).
const LETTERS: &[u8; 16] = b"BCDFGHJKLMNPRSTX";
/// Longest hint that a server is given, in bytes.
const LONGEST_HINT: usize = 256;

/// How far it has come.
enum Come {
    /// Something is waited for.
    Waits(Next),
    /// The user has agreed: there is a grant.
    Kept,
    /// So it stands.
    Stands(Seen),
}

/// What the call is, to the flow.
#[derive(Clone, Copy)]
enum Call<'t> {
    /// It needs the grant.
    Needs,
    /// It is a question about this task of ours.
    Asks(&'t LocalId),
    /// It cancels it.
    Cancels(&'t LocalId),
}

impl Outbound {
    /// The answer to a call without a grant, or to a question about `task`, one of ours.
    #[cold]
    #[inline(never)]
    pub(super) fn find_elsewhere(
        &mut self,
        task: Option<&LocalId>,
        named: &Named,
        acting: &Acting<'_>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Found {
        let is_sent = matches!(acting.operation, Operation::SendMessage | Operation::SendStreamingMessage);
        let call = match (task, acting.operation) {
            (Some(task), Operation::CancelTask) => Call::Cancels(task),
            (Some(task), _) if !is_sent => Call::Asks(task),
            _ => Call::Needs,
        };
        if let Call::Asks(task) | Call::Cancels(task) = call {
            match self.grant(acting, context) {
                Look::Wait => return Ok(self.wait(Want::Grant(acting.key), effects)),
                Look::Failed(failure) => return Err(refuse(self.no_grant(failure, effects))),
                Look::Here(_) => return self.tell((LocalState::InputRequired, task), None, acting, context, effects),
                Look::Absent => {}
            }
        }
        if let Some(want) = context.runtime.supply().wait_for_server(&self.connection, context.now) {
            return Ok(self.wait(want, effects));
        }
        let seen = match (self.come(call, acting, context, effects)?, call) {
            (Come::Waits(next), _) => return Ok(next),
            (Come::Kept, Call::Asks(task) | Call::Cancels(task)) => {
                return self.tell((LocalState::InputRequired, task), None, acting, context, effects);
            }
            (Come::Kept, Call::Needs) => {
                // What was read before counts no more.
                self.waited.retain(|want| *want != Want::Grant(acting.key));
                return self.find_as_user(acting.own, (acting.version, acting.operation), context, effects);
            }
            (Come::Stands(seen), _) => seen,
        };
        let standing = &seen.standing;
        if let Call::Asks(task) | Call::Cancels(task) = call {
            let pending = standing.pending().filter(|(flow, _)| flow.id == task.flow());
            let state = standing.flows.iter().find(|flow| flow.id == task.flow()).map_or(LocalState::Failed, |flow| state(standing, flow));
            return self.tell((state, task), pending.map(|(_, waiting)| consent(waiting)), acting, context, effects);
        }
        let is_task = is_sent && acting.own.consent == ConsentForm::Task && acting.binding != Binding::Grpc;
        let no = |advice: &str| {
            let denial = Denial::new(Reason::ConsentRequired).advise(advice).at(&self.connection.name).for_version(acting.version);
            Err(refuse(denial))
        };
        let (flow, consent) = match (standing.pending(), standing.flows.last()) {
            (Some((_, waiting)), _) if !is_task => {
                let denial = Denial::until_agreed(consent(waiting)).at(&self.connection.name);
                return Err(refuse(denial.for_version(acting.version)));
            }
            (Some((flow, waiting)), _) => (flow, Some(consent(waiting))),
            (None, Some(flow)) if seen.is_over && is_task => (flow, None),
            (None, _) if seen.is_over => return no("The user did not agree: call again to ask anew."),
            (None, _) => return no("The user was asked often within the last hour, and did not agree: try again in an hour."),
        };
        let Some(id) = self.id_of(flow, acting, context) else { return Err(refuse(self.no_grant(Failure::Unavailable, effects))) };
        let asked = consent.map(|consent| (consent, named));
        let reply = self.local((state(standing, flow), &id), asked, acting, context, effects)?;
        effects.push(Effect::SetState("attache.reason", Reason::ConsentRequired.code().to_owned()));
        effects.push(Effect::Note(Note::Refused(Reason::ConsentRequired, Some(acting.binding), None)));
        Ok(Next::Answer(reply))
    }

    /// The answer to a question about a task of ours.
    fn tell(
        &mut self,
        known: (LocalState, &LocalId),
        consent: Option<Consent>,
        acting: &Acting<'_>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Found {
        let nothing = Named::default();
        let reply = self.local(known, consent.map(|consent| (consent, &nothing)), acting, context, effects)?;
        effects.push(Effect::Note(Note::Allowed));
        Ok(Next::Answer(reply))
    }

    /// The id of the task that stands for `flow`.
    fn id_of(&self, flow: &Flow, acting: &Acting<'_>, context: &Context<'_>) -> Option<LocalId> {
        let ring = context.runtime.supply().ring()?;
        let bound = Bound { subject: Subject::Task, caller: &acting.key, connection: &self.connection.name };
        Some(LocalId::new(&bound, &flow.id, flow.since, &|place| ring.mac(place)))
    }

    /// Finds out how far the flow of this caller has come, and goes on with it.
    fn come(&mut self, call: Call<'_>, acting: &Acting<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Come, Box<Next>> {
        let supply = context.runtime.supply();
        loop {
            let state = self.as_user.get_or_insert_default();
            let seen = match state.seen.take() {
                Some(seen) => seen,
                None => {
                    let job = match state.job {
                        Some(job) => job,
                        None => {
                            let order = self.order(call, acting, context, effects)?;
                            self.start(order, acting, context, effects)?
                        }
                    };
                    match supply.outcome(job) {
                        None => return Ok(Come::Waits(self.wait(Want::Job(job), effects))),
                        Some(Outcome::Stands(Ok(seen))) => seen,
                        Some(Outcome::Stands(Err(failure))) => return Err(refuse(self.no_grant(failure, effects))),
                        Some(_) => return Err(refuse(self.no_grant(Failure::Unavailable, effects))),
                    }
                }
            };
            self.as_user.get_or_insert_default().job = None;
            let ended = seen.standing.flows.last().and_then(|flow| flow.ended).filter(|_| seen.is_over);
            let outcome = match ended {
                _ if seen.is_kept => Some("granted"),
                Some(Ended::Denied) => Some("denied"),
                Some(Ended::Stranger) => Some("wrong_user"),
                Some(Ended::Used | Ended::Cancelled) | None => None,
            };
            effects.extend(outcome.map(|outcome| Effect::CountConsent { connection: self.connection.name.clone(), outcome }));
            if seen.is_kept {
                supply.changed_grant(&GrantKey::from_bytes(&acting.key));
                return Ok(Come::Kept);
            }
            match self.weigh(&seen.standing, acting, context, effects)? {
                Weighed::Nothing => return Ok(Come::Stands(seen)),
                Weighed::Wait(want) => {
                    self.as_user.get_or_insert_default().seen = Some(seen);
                    return Ok(Come::Waits(self.wait(want, effects)));
                }
                Weighed::So(order) => {
                    self.start(order, acting, context, effects)?;
                }
            }
        }
    }

    fn start(&mut self, order: Order, acting: &Acting<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<u64, Box<Next>> {
        let key = GrantKey::from_bytes(&acting.key);
        let job = context.runtime.supply().agree_elsewhere(key, self.connection.index, order, context.now);
        let job = job.ok_or_else(|| refuse(self.no_grant(Failure::Unavailable, effects)))?;
        self.as_user.get_or_insert_default().job = Some(job);
        Ok(job)
    }

    /// What `call` wants of the flow.
    fn order(&self, call: Call<'_>, acting: &Acting<'_>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Order, Box<Next>> {
        match call {
            Call::Cancels(task) => return Ok(Order::End(task.flow(), Ended::Cancelled)),
            Call::Asks(_) => return Ok(Order::Look),
            Call::Needs => {}
        }
        if acting.own.bind() != Bind::Link {
            identity(acting).map_err(|claim| self.not_a_user(&["its token has no text as ", &claim].concat(), effects))?;
        }
        let random = context.runtime.supply().random(context.now);
        let (id, rest) = random.split_first_chunk().map_or(([0; 16], &[][..]), |(id, rest)| (*id, rest));
        let (hint, message) = match acting.own.way() {
            Some(Way::Ciba(own)) => {
                let hint = hint(&own.login_hint, acting).map_err(|cause| self.not_a_user(&cause, effects))?;
                let letter = |byte: &u8| LETTERS.get(usize::from(*byte & 15)).copied().map_or('-', char::from);
                (hint, [&own.binding_message, " ", &rest.iter().take(4).map(letter).collect::<String>()].concat())
            }
            Some(Way::DeviceCode(_)) | None => Default::default(),
        };
        Ok(Order::Begin { id, hint, message })
    }

    /// What follows where the server gave tokens: whether it is the caller who agreed.
    fn weigh(
        &self,
        standing: &Standing,
        acting: &Acting<'_>,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<Weighed, Box<Next>> {
        let Some((flow, waiting)) = standing.pending() else { return Ok(Weighed::Nothing) };
        let Some((body, since)) = &waiting.given else { return Ok(Weighed::Nothing) };
        let (supply, config) = (context.runtime.supply(), context.runtime.config());
        let end = |ended, cause: &str, effects: &mut Vec<Effect>| {
            effects.push(Effect::Log(Level::Warn, format!("consent for connection {:?}: {cause}", self.connection.name)));
            Ok(Weighed::So(Order::End(flow.id, ended)))
        };
        let tokens = read_user(200, body.expose_secret().as_bytes(), *since);
        let (Ok(tokens), Some((_, app))) = (tokens, config.app_of(&self.connection)) else {
            return end(Ended::Used, "the server's answer cannot be read", effects);
        };
        if acting.own.bind() != Bind::Link {
            let identity = identity(acting).map_err(|claim| self.not_a_user(&["its token has no text as ", &claim].concat(), effects))?;
            let tie = Some(Tied { claim: AUTH_REQ_ID, value: waiting.code.expose_secret(), must: false });
            let issuer = acting.issuer(config);
            let expected = Expected { issuer, identity: &identity, client_id: &app.client.client_id, tie };
            let token = tokens.id_token.as_ref().map_or("", |token| token.expose_secret());
            // Nothing is waited for twice.
            let may_wait = !matches!(self.waited.last(), Some(Want::Keys(_)));
            match judge(token, &expected, may_wait, context) {
                Sought::Here(()) => {}
                Sought::Wait(want) => return Ok(Weighed::Wait(want)),
                Sought::No(Wrong::Keys) => return Err(refuse(self.no_grant(Failure::Unavailable, effects))),
                Sought::No(Wrong::User) => return end(Ended::Stranger, "somebody else than the caller agreed", effects),
                Sought::No(Wrong::Unnamed | Wrong::Token) => {
                    return end(Ended::Used, "the server gave no ID token that can be used: nobody knows who agreed", effects);
                }
            }
        }
        let scopes = acting.own.scopes(app).to_vec();
        let grant = Grant::new(acting.user.clone(), self.connection.name.clone(), (scopes, waiting.asked), (tokens, *since), context.now);
        let bytes = supply.seal_grant(&GrantKey::from_bytes(&acting.key), &grant, context.now);
        let bytes = bytes.ok_or_else(|| refuse(self.no_grant(Failure::Unavailable, effects)))?;
        Ok(Weighed::So(Order::Keep(flow.id, bytes, grant.ends(context.now))))
    }
}

/// What follows.
enum Weighed {
    /// Nothing: there are no tokens.
    Nothing,
    Wait(Want),
    So(Order),
}

fn state(standing: &Standing, flow: &Flow) -> LocalState {
    match flow.ended {
        Some(Ended::Denied | Ended::Stranger) => LocalState::Rejected,
        Some(Ended::Cancelled) => LocalState::Canceled,
        None if standing.is_pending(flow.id) => LocalState::AuthRequired,
        Some(Ended::Used) | None => LocalState::Failed,
    }
}

fn consent(waiting: &Waiting) -> Consent {
    let Shown { uri, complete, .. } = &waiting.shown;
    let link = if complete.is_empty() { uri } else { complete };
    Consent { link: link.clone(), expires_at: waiting.until.rfc3339(), shown: waiting.shown.clone() }
}

/// By what the server knows the user, as far as the issuer of the caller's token has verified it.
fn hint(claim: &str, acting: &Acting<'_>) -> Result<String, String> {
    let jws = Jws::parse(acting.presented.token.expose_secret()).ok();
    let said = |name: &str| jws.as_ref().and_then(|jws| jws.payload.0.get(name));
    let fits = |text: &&str| (1..=LONGEST_HINT).contains(&text.len()) && !text.chars().any(char::is_control);
    let text = said(claim).and_then(Value::as_str).filter(fits).ok_or_else(|| ["its token has no text as ", claim].concat())?;
    let is_verified = match claim {
        "email" => said("email_verified") == Some(&Value::Bool(true)),
        "phone_number" => said("phone_number_verified") == Some(&Value::Bool(true)),
        _ => true,
    };
    if is_verified { Ok(text.to_owned()) } else { Err([claim, " of its token counts only with ", claim, "_verified: true"].concat()) }
}
