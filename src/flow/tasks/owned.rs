//! A request to an agent whose tasks belong to their makers: what it names loses its tags before it goes on, and what is
//! not the caller's is answered as if it did not exist. What comes back gets its tags in [`crate::flow::tasks::answer`].

use crate::config::{Config, Kind};
use crate::flow::callers::tenancy::{self, Tenancy};
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Value};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::request::inspect;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::flow::tasks::answer::{Form, TaskAnswer};
use crate::identity::Caller;
use crate::ownership::{
    Listed, Owner, Party, Places, Problem, RequestBody, Tagger, Tenant, listed_body, listed_query, untagged_path, untagged_query,
};
use crate::policy::tenant::TenantError;
use crate::protocol::{Binding, Operation, Version, http_json};
use crate::wire::path;
use crate::wire::scan::{Fault, Limits};
use std::rc::Rc;

/// Request headers that would let the agent answer with something else than plain whole documents.
const ANSWERS: [&str; 3] = ["accept-encoding", "range", "if-range"];

/// Of a message that is to be marked, so many bytes are held until it is known whose tenant it is about.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// The same of gRPC: without it no message is compressed.
const MESSAGES: &str = "grpc-accept-encoding";

/// What becomes of one request.
#[derive(Debug)]
pub struct Owned {
    agent: Rc<Agent>,
    binding: Binding,
    /// What names a task in the head of an HTTP+JSON request.
    route: Option<Route>,
    tagger: Option<Rc<Tagger>>,
    /// What has come of the body before it was known what it asks for.
    pending: Vec<u8>,
    body: Option<RequestBody>,
    /// What goes on of the body.
    out: Option<Vec<u8>>,
    is_complete: bool,
    /// Its answer is an event stream, also if it is a refusal.
    is_stream: bool,
    /// The list that it asks for.
    listed: Listed,
}

#[derive(Debug)]
struct Route {
    method: String,
    /// The target as it goes on: what stands before the route, the route, the query.
    before: String,
    path: String,
    query: Option<String>,
}

impl Owned {
    /// A request to `agent`, if that has its tasks owned. `target` goes on and ends with the route `rest` and the query.
    #[must_use]
    pub fn new(agent: &Rc<Agent>, binding: Option<Binding>, head: &Head<'_>, target: &str, rest: &str) -> Option<Box<Self>> {
        agent.tasks.owned()?;
        let binding = binding?;
        let route = (binding == Binding::HttpJson).then(|| {
            let (path, query) = path::split_query(target);
            let before = path.strip_suffix(rest).unwrap_or_default().to_owned();
            Route { method: head.method.to_owned(), before, path: rest.to_owned(), query: query.map(str::to_owned) }
        });
        Some(Box::new(Self {
            agent: Rc::clone(agent),
            binding,
            route,
            tagger: None,
            pending: Vec::new(),
            body: None,
            out: None,
            is_complete: false,
            is_stream: false,
            listed: Listed::default(),
        }))
    }

    /// What the head must not say to the agent, with a body that is about to change or without.
    pub fn headers(&self, has_body: bool) -> impl Iterator<Item = Effect> + use<> {
        let messages = (self.binding == Binding::Grpc).then_some(MESSAGES);
        let length = has_body.then_some("content-length");
        ANSWERS.into_iter().chain(messages).chain(length).map(|name| Effect::RemoveHeader(name.into()))
    }

    /// By how many bytes a body may grow.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.agent.tag_plans.growth()
    }

    /// Keeps a part of the body until it is known what the request asks for. The body's limit bounds it.
    pub fn hold(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// Takes the caller, once, and with it the tags off the head.
    ///
    /// # Errors
    /// If nothing can be the caller's, or what the head names is not.
    pub fn identify(&mut self, caller: &Caller, tenancy: &Tenancy, context: &Context<'_>) -> Result<Option<Effect>, Denial> {
        if self.tagger.is_some() {
            return Ok(None);
        }
        let keys = self.agent.tag_keys.clone().ok_or_else(|| {
            Denial::new(Reason::CredentialUnavailable).advise("The keys of this agent's tasks are not available: tell its operator.")
        })?;
        let owner = owner(&self.agent, caller, context.runtime.config()).ok_or_else(|| {
            Denial::new(Reason::AccessDenied).advise("Tasks belong to callers here, and the credential does not tell who this caller is.")
        })?;
        let tagger = self.tagger.insert(Rc::new(Tagger::new(keys, owner)));
        let Some(Route { method, before, path, query }) = &self.route else {
            return if tenancy.query.is_none() { Ok(None) } else { Err(elsewhere()) };
        };
        if !tagger.settle(named(tenancy.path.as_deref())) {
            return Err(elsewhere());
        }
        let plain = untagged_path(path, method, tagger).map_err(denial)?;
        // Some readers look for it in the path alone.
        if tenancy.query.is_some() && tenancy.path.is_none() {
            return Err(elsewhere());
        }
        let mut target = format!("{before}{plain}");
        let query = match (http_json::route(method, path), query) {
            (Some((Operation::ListTasks, version)), query) => {
                let has_marks = self.agent.tag_plans.has_marks();
                let (plain, listed) = listed_query(query.as_deref().unwrap_or_default(), tagger, has_marks, version).map_err(denial)?;
                self.listed = listed;
                (query.is_some() || !plain.is_empty()).then_some(plain)
            }
            (_, query) => query.as_ref().map(|query| untagged_query(query, tagger)).transpose().map_err(denial)?,
        };
        if let Some(query) = query {
            target = format!("{target}?{query}");
        }
        Ok(Some(Effect::SetHeader(":path".into(), Value::Text(target))))
    }

    /// Takes the tags off what has come of the body. `false`: more of it has to come first.
    ///
    /// # Errors
    /// If it names what is not the caller's, or does not name what it has to.
    pub fn admit(&mut self, (operation, version): (Operation, Version), tenancy: &Tenancy, is_complete: bool) -> Result<bool, Denial> {
        // A message may be long. What else there is to ask is short, and goes on when all of it is known. Over gRPC everything does, for it
        // begins with its length.
        let goes_on_in_parts =
            self.binding != Binding::Grpc && matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
        if !is_complete && !goes_on_in_parts {
            return Ok(false);
        }
        self.is_complete = is_complete;
        let streams = matches!(operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
        self.is_stream = streams && self.binding == Binding::Jsonrpc && version == Version::V0_3;
        let places = self.agent.tag_plans.request(self.binding, operation, version);
        let (Some(places), Some(tagger)) = (places, &self.tagger) else {
            // A card.
            self.out = (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending));
            return Ok(true);
        };
        // 0.3 has no tenants, and its readers look for none.
        if self.binding == Binding::Jsonrpc && version == Version::V0_3 && !tagger.settle(Tenant::NONE) {
            return Err(elsewhere());
        }
        settle(tagger, tenancy)?;
        if operation == Operation::ListTasks && self.binding != Binding::Grpc {
            let places = Rc::clone(places);
            return self.list(&places, version).map(|()| true);
        }
        // A mark is of a tenant, and the message may come before it.
        if places.mark().is_some() && !tagger.is_settled() && !is_complete && self.pending.len() < MAX_HELD_BYTES {
            return Ok(false);
        }
        let pending = std::mem::take(&mut self.pending);
        let body = self.body.insert(RequestBody::new(Limits::default(), Rc::clone(places), Rc::clone(tagger)));
        let as_event = self.is_stream;
        let refuse = |problem| Denial { as_event, ..denial(problem) };
        if !pending.is_empty() {
            self.out = Some(body.feed(&pending).map_err(refuse)?);
        }
        if is_complete {
            body.end().map_err(refuse)?;
        }
        if operation == Operation::ListTasks {
            self.listed.context = body.context().map(str::to_owned);
            return if self.listed.context.is_some() { Ok(true) } else { Err(Denial::new(Reason::ContextMissing)) };
        }
        Ok(true)
    }

    /// Takes the tags off a request for a list, all of which is there.
    fn list(&mut self, places: &Rc<Places>, version: Version) -> Result<(), Denial> {
        let Some(tagger) = &self.tagger else { return Ok(()) };
        if !tagger.is_settled() && !tagger.settle(Tenant::NONE) {
            return Err(denial(Problem::NotFound));
        }
        let pending = std::mem::take(&mut self.pending);
        // In HTTP+JSON the query says all: no list has a body there.
        if !pending.is_empty() {
            let (out, listed) = listed_body(&pending, places, tagger, version).map_err(denial)?;
            self.out = Some(out);
            self.listed = Listed { context: listed.context.or(self.listed.context.take()), history: listed.history };
        }
        match (&self.listed.context, places.mark()) {
            (None, None) => Err(Denial::new(Reason::ContextMissing)),
            // The agent is asked for more than the caller may have.
            (None, Some(_)) => {
                let most = self.agent.limits.max_history_length;
                self.listed.history = self.listed.history.or(most);
                Ok(())
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// What has come goes on in the place of what came. `with_headers`: they have not gone on yet.
    pub fn release(&mut self, with_headers: bool) -> Vec<Effect> {
        let Some(out) = self.out.take() else { return Vec::new() };
        let length = Effect::SetHeader("content-length".into(), Value::Text(out.len().to_string()));
        // Calls of gRPC have none.
        let length = (with_headers && self.is_complete && self.binding != Binding::Grpc).then_some(length);
        length.into_iter().chain([Effect::ReplaceRequestBody(out)]).collect()
    }

    /// A further part of a body that goes on while it is read, with its tags off; the last, if `end`.
    ///
    /// # Errors
    /// If it names what is not the caller's.
    pub fn feed(&mut self, chunk: &[u8], end: bool, tenancy: &Tenancy) -> Result<Option<Effect>, Denial> {
        let (Some(body), Some(tagger)) = (&mut self.body, &self.tagger) else { return Ok(None) };
        let as_event = self.is_stream;
        let refuse = |problem| Denial { as_event, ..denial(problem) };
        settle(tagger, tenancy).map_err(|denial| Denial { as_event, ..denial })?;
        let out = if chunk.is_empty() { None } else { Some(body.feed(chunk).map_err(refuse)?) };
        if end {
            body.end().map_err(refuse)?;
        }
        Ok(out.map(Effect::ReplaceRequestBody))
    }

    /// The answer to expect.
    #[must_use]
    pub fn answer(&self, operation: Operation, version: Version) -> Option<Box<TaskAnswer>> {
        let places = self.agent.tag_plans.answer(self.binding, operation, version)?;
        let streams = matches!(operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
        let form = match self.binding {
            Binding::Jsonrpc | Binding::HttpJson => Form::Json(self.binding),
            Binding::Grpc if streams => Form::Messages,
            Binding::Grpc => Form::Message,
        };
        let listed = (operation == Operation::ListTasks).then(|| self.listed.clone());
        let tagger = Rc::clone(self.tagger.as_ref()?);
        Some(Box::new(TaskAnswer::new(Rc::clone(&self.agent), form, Rc::clone(places), tagger, listed)))
    }
}

/// The caller as an owner. A user is one by its token's own word; whoever else comes with a subject is told apart by
/// that as well.
fn owner(agent: &Agent, caller: &Caller, config: &Config) -> Option<Owner> {
    let party = Party {
        origin: caller.origin.authority(config)?,
        tenant: caller.tenant.as_deref(),
        subject: caller.subject.as_deref(),
        client: caller.client.as_deref(),
        is_user: caller.kind == Kind::User,
    };
    Owner::of(&agent.name, &party)
}

/// A tenant by its name, or none.
fn named(tenant: Option<&str>) -> Tenant {
    tenant.map_or(Tenant::NONE, Tenant::named)
}

/// Tells `tagger` the tenant that the body names, once it has.
fn settle(tagger: &Tagger, tenancy: &Tenancy) -> Result<(), Denial> {
    let Some(own) = &tenancy.body else { return Ok(()) };
    let was_settled = tagger.is_settled();
    match tagger.settle(Tenant::named(own)) {
        true => Ok(()),
        // The path has said another, or nothing.
        false if was_settled => Err(elsewhere()),
        // What came before is the caller's, but not here.
        false => Err(denial(Problem::NotFound)),
    }
}

/// The refusal of a tenant that is named where not every reader looks.
fn elsewhere() -> Denial {
    tenancy::denial(TenantError::Several)
}

/// The refusal of a request that cannot be read in one way, or names what is not the caller's.
fn denial(problem: Problem) -> Denial {
    let unreadable = |reason, fault| Denial::new(reason).advise(format!("The request cannot be read: {fault}."));
    match problem {
        Problem::NotFound | Problem::Foreign | Problem::NoList | Problem::Early => Denial::new(Reason::TaskNotFound),
        Problem::Page => Denial::new(Reason::PageTokenRefused),
        Problem::HistoryLength => Denial::new(Reason::LimitExceeded).advise("The historyLength is a plain number, from 0 to 2147483647."),
        Problem::Marked => Denial::new(Reason::RequestMalformed)
            .advise("The message's metadata has a key that is written here and not by clients: leave it out."),
        Problem::Unmarkable => Denial::new(Reason::RequestMalformed).advise("The message's metadata is an object."),
        Problem::Fault(
            fault @ (Fault::RepeatedName
            | Fault::CaseVariant
            | Fault::TooDeep
            | Fault::TooManyMembers
            | Fault::TooManyValues
            | Fault::TooLong),
        ) => unreadable(Reason::RequestMalformed, fault),
        Problem::Fault(fault) => unreadable(Reason::BodyMalformed, fault),
        Problem::Message(fault) => inspect::unreadable(fault),
    }
}
