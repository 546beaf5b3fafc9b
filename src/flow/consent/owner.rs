//! Users who look at what they granted, and give it up: `GET <path>/grants` and `DELETE <path>/grants/<id>`, for programs, with the token
//! that the user calls with; and operators who do it for them. A cookie means nothing here.

use super::form::Parameters;
use super::whose::{Query, Whose, whose};
use crate::config::Config;
use crate::credential::grant::Grant;
use crate::credential::user::{GrantKey, User};
use crate::flow::event::call::Want;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::event::{Effect, Reply};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::vault::operation::{Done, Operation, Place, Version};
use crate::identity::bearer;
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::rc::Rc;

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// To see what was granted.
    List,
    /// To give up one of these.
    Remove([u8; 16]),
}

impl Act {
    /// What `rest`, behind the path of grants, and the method ask for.
    pub fn of(method: &str, rest: &str) -> Option<Self> {
        match (method, rest.strip_prefix('/')) {
            ("GET", None) if rest.is_empty() => Some(Self::List),
            ("DELETE", Some(id)) => Some(Self::Remove(base64url::decode(id)?.try_into().ok()?)),
            _ => None,
        }
    }

    /// What records call it.
    const fn name(self) -> &'static str {
        match self {
            Self::List => "ListGrants",
            Self::Remove(_) => "RevokeGrant",
        }
    }
}

/// A user who is served.
pub(super) struct Owner {
    token: SecretString,
    act: Act,
    query: Query,
    /// What was waited for.
    waited: Vec<Want>,
    doing: Doing,
}

enum Doing {
    /// Who it is.
    Knowing(Want),
    Listing(u64, Whose),
    Reading(u64, User, GrantKey),
    /// The server forgets the token.
    Forgetting(u64, GrantKey, Version, Box<Grant>),
    Removing(u64, GrantKey, Box<Grant>),
}

/// What comes next.
pub(super) enum Turn {
    Wait(Box<Owner>),
    Answer(Reply),
    Refuse(Denial),
}

impl Owner {
    pub fn begin(head: &Head<'_>, act: Act, context: &Context<'_>, effects: &mut Vec<Effect>) -> Turn {
        effects.push(Effect::Note(Note::Does(act.name())));
        // Where nobody is an operator, nobody reads it.
        let has_operators = context.runtime.config().consent.as_ref().is_some_and(|consent| consent.operators.is_some());
        let query = head.query.filter(|_| has_operators).map(|query| Parameters::parse(query.as_bytes()));
        match bearer::token(head.headers) {
            Err(error) => Turn::Refuse(Denial::new(error.into())),
            Ok(token) => know(SecretString::from(token.to_owned()), (act, query), Vec::new(), context, effects),
        }
    }

    pub const fn awaits(&self) -> Want {
        match &self.doing {
            Doing::Knowing(want) => *want,
            Doing::Listing(job, _) | Doing::Reading(job, ..) | Doing::Forgetting(job, ..) | Doing::Removing(job, ..) => Want::Job(*job),
        }
    }

    /// What was waited for is there.
    pub fn settled(self, context: &Context<'_>, effects: &mut Vec<Effect>) -> Turn {
        let Self { token, act, query, mut waited, doing } = self;
        let supply = context.runtime.supply();
        let next = |doing| Turn::Wait(Box::new(Self { token: token.clone(), act, query: None, waited: Vec::new(), doing }));
        match doing {
            Doing::Knowing(want) => {
                waited.push(want);
                know(token, (act, query), waited, context, effects)
            }
            Doing::Listing(job, Whose { user, named }) => match supply.outcome(job) {
                Some(Outcome::Stored(Ok(Done::Listed(found)))) => {
                    let open =
                        |(grant, found): (&[u8; 16], &[u8])| supply.open_grant(&GrantKey { user: user.digest(), grant: *grant }, found);
                    let grants = found.iter().filter_map(|(id, found)| Some((id, open((id, &found.bytes))?)));
                    let grants = grants.filter(|(_, grant)| is_of(grant, &user)).map(|(id, grant)| shown(id, &grant, context.now));
                    effects.push(Effect::Note(Note::Allowed));
                    let mut body = json!({"grants": grants.collect::<Vec<Value>>()});
                    if let (Some(body), Some(named)) = (body.as_object_mut(), named) {
                        body.insert("user".to_owned(), named.into());
                    }
                    Turn::Answer(answer(200, &body.to_string()))
                }
                _ => Turn::Refuse(Denial::new(Reason::CredentialUnavailable)),
            },
            Doing::Reading(job, user, key) => match supply.outcome(job) {
                Some(Outcome::Stored(Ok(Done::Found(found)))) => {
                    let opened = found.and_then(|found| Some((supply.open_grant(&key, &found.bytes)?, found.version)));
                    let Some((grant, version)) = opened.filter(|(grant, _)| is_of(grant, &user)) else {
                        return Turn::Refuse(Denial::new(Reason::TaskNotFound).advise("There is no such grant of yours."));
                    };
                    match forget(&grant, context) {
                        Some(job) => next(Doing::Forgetting(job, key, version, Box::new(grant))),
                        None => remove(key, version, grant, context).map_or_else(unavailable, next),
                    }
                }
                _ => unavailable(),
            },
            // What the server does not forget is forgotten here all the same; the log says it.
            Doing::Forgetting(_, key, version, grant) => remove(key, version, *grant, context).map_or_else(unavailable, next),
            Doing::Removing(job, key, grant) => match supply.outcome(job) {
                Some(Outcome::Stored(Ok(Done::Removed))) => {
                    supply.changed_grant(&key);
                    effects.push(Effect::CountConsent { connection: grant.connection.clone(), outcome: "revoked" });
                    effects.push(Effect::Note(Note::For(Target::Connection(place(&grant, context.runtime.config())))));
                    effects.push(Effect::Note(Note::Allowed));
                    Turn::Answer(answer(204, ""))
                }
                // Somebody renewed it meanwhile.
                Some(Outcome::Stored(Ok(Done::Conflict(_)))) => Turn::Refuse(Denial::new(Reason::Overloaded)),
                _ => unavailable(),
            },
        }
    }
}

fn unavailable() -> Turn {
    Turn::Refuse(Denial::new(Reason::CredentialUnavailable))
}

/// Finds out who it is, and begins.
fn know(token: SecretString, (act, query): (Act, Query), waited: Vec<Want>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Turn {
    let supply = context.runtime.supply();
    let caller = match supply.owner(&token, &waited, &context.verifying()) {
        Sought::Here(caller) => caller,
        Sought::Wait(want) => return Turn::Wait(Box::new(Owner { token, act, query, waited, doing: Doing::Knowing(want) })),
        Sought::No(reason) => return Turn::Refuse(Denial::new(reason)),
    };
    effects.push(Effect::Note(Note::From(Rc::clone(&caller))));
    let whose = match whose(&caller, &query, context, effects) {
        Ok(whose) => whose,
        Err(denial) => return Turn::Refuse(denial),
    };
    let digest = whose.user.digest();
    let operation = match act {
        Act::List => Operation::List { user: digest },
        Act::Remove(grant) => Operation::Read(Place::Grant { user: digest, grant }),
    };
    let Some(job) = supply.store(operation, context.now) else { return unavailable() };
    let doing = match act {
        Act::List => Doing::Listing(job, whose),
        Act::Remove(grant) => Doing::Reading(job, whose.user, GrantKey { user: digest, grant }),
    };
    Turn::Wait(Box::new(Owner { token, act, query: None, waited: Vec::new(), doing }))
}

/// Whether `grant` is one of `user`, whatever the client.
fn is_of(grant: &Grant, user: &User) -> bool {
    let own = &grant.user;
    (&own.issuer, &own.tenant, &own.subject) == (&user.issuer, &user.tenant, &user.subject)
}

fn place(grant: &Grant, config: &Config) -> usize {
    config.connections.iter().position(|connection| connection.name == grant.connection).unwrap_or(usize::MAX)
}

/// Asks the server to forget the grant: a job. A refresh token stands for all that was made of it (RFC 7009 section 2.1).
fn forget(grant: &Grant, context: &Context<'_>) -> Option<u64> {
    let (supply, config) = (context.runtime.supply(), context.runtime.config());
    let connection = config.connections.get(place(grant, config))?;
    let server = supply.server_of(connection)?;
    let (token, kind) = grant.refresh.as_ref().map_or((&grant.access, "access_token"), |token| (token, "refresh_token"));
    let request = supply.ask_to_forget(server, token, kind, context.now)?.ok()?;
    supply.forget(request, context.now)
}

fn remove(key: GrantKey, version: Version, grant: Grant, context: &Context<'_>) -> Option<Doing> {
    let operation = Operation::Remove { place: Place::Grant { user: key.user, grant: key.grant }, version: Some(version) };
    let job = context.runtime.supply().store(operation, context.now)?;
    Some(Doing::Removing(job, key, Box::new(grant)))
}

fn shown(id: &[u8; 16], grant: &Grant, now: UnixTime) -> Value {
    let mut shown = json!({"id": base64url::encode(id), "connection": grant.connection, "client": grant.user.client,
        "scopes": grant.scopes, "agreed_at": grant.agreed.rfc3339()});
    if grant.refresh.is_none()
        && grant.until >= now
        && let Some(shown) = shown.as_object_mut()
    {
        shown.insert("expires_at".to_owned(), grant.until.rfc3339().into());
    }
    shown
}

fn answer(status: u16, body: &str) -> Reply {
    let mut headers = vec![("cache-control", "no-store".to_owned()), ("x-content-type-options", "nosniff".to_owned())];
    if !body.is_empty() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    Reply { status, grpc_status: None, headers, body: body.to_owned() }
}
