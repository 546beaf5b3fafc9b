//! Which tenant of the agent a request is about, and whether its caller may name it. A request that names none always passes. Every
//! refusal has the same answer, so that no caller can find out which tenants exist.

use crate::config::Tenants;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::facts::is_shadowed;
use crate::flow::request::head::Head;
use crate::flow::request::inspect::Reader;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::identity::{Caller, Forwarded};
use crate::policy::tenant::{self, TenantError};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::header::safe_value;
use crate::wire::quoted;

/// The tenant of one request, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Tenancy {
    /// What the route names.
    pub path: Option<String>,
    /// What the query names. Over JSON-RPC, and without a tenant in the path, not every reader looks there.
    pub query: Option<String>,
    /// What the body's own member names.
    pub body: Option<String>,
    /// The one that the caller may name, once that is known.
    judged: Option<String>,
}

/// A request to be judged.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// What its interface is.
    pub binding: Binding,
    /// Its version.
    pub version: Version,
    /// What it asks for.
    pub operation: Operation,
    /// Who asks, if that is known.
    pub caller: Option<&'a Caller>,
}

impl Tenancy {
    /// What the head says; `route` is the path below the binding's own, where HTTP+JSON has routes.
    ///
    /// # Errors
    /// If it names two.
    pub fn of(binding: Option<Binding>, head: &Head<'_>, route: &str) -> Result<Self, Denial> {
        let path = match binding {
            Some(Binding::HttpJson) => tenant::in_path(head.method, route).map_err(denial)?,
            Some(Binding::Jsonrpc) => None,
            // Names of gRPC methods have no query, and to cards a tenant means nothing.
            Some(Binding::Grpc) | None => return Ok(Self::default()),
        };
        let query = tenant::in_query(head.query).map_err(denial)?;
        match (&path, &query) {
            (Some(path), Some(query)) if path != query => Err(denial(TenantError::Several)),
            _ => Ok(Self { path, query, ..Self::default() }),
        }
    }

    /// Judges what is named so far; `reader` has what has come of the body. Gives the reason of a refusal that is only reported.
    ///
    /// # Errors
    /// If there are two tenants, or the caller may not name the one that there is.
    pub fn judge(&mut self, about: About<'_>, reader: Option<&Reader>, context: &Context<'_>) -> Result<Option<Reason>, Denial> {
        let head = self.path.as_deref().or(self.query.as_deref());
        let body = reader.map(|reader| about.agent.plans.tenant(reader, about.operation, about.version));
        let body = body.transpose().map_err(denial)?.unwrap_or_default();
        let Some(named) = tenant::of_request(head, body).map_err(denial)? else { return Ok(None) };
        let mut reported = None;
        if self.judged.as_deref() != Some(named) && !may_name(named, about, context)? {
            if !is_shadowed(about.agent, Reason::TenantRefused) {
                let detail = context.runtime.tells().then(|| format!("tenant is {}; unverified", quoted::text(named)));
                return Err(Denial::new(Reason::TenantRefused).because(detail));
            }
            reported = Some(Reason::TenantRefused);
        }
        let (named, body) = (named.to_owned(), body.own.map(str::to_owned));
        (self.judged, self.body) = (Some(named), body);
        Ok(reported)
    }
}

/// Whether a request may name `tenant`.
fn may_name(tenant: &str, about: About<'_>, context: &Context<'_>) -> Result<bool, Denial> {
    let About { agent, binding, version, caller, .. } = about;
    match &agent.tenant {
        Tenants::Ignore(_) => Ok(true),
        Tenants::Claim(claim) => Ok(match caller.and_then(|caller| caller.forwarded.get(claim.index)) {
            Some(Forwarded::Value(own)) => **own == *safe_value(tenant),
            Some(Forwarded::Absent | Forwarded::Unfit) | None => false,
        }),
        Tenants::Published => match context.runtime.supply().source(agent.index, context.now) {
            // The agent answers for its card itself: what it publishes is not known here.
            None => Ok(false),
            Some(Sought::Here(source)) => Ok(source.card.publishes(tenant, version, binding)),
            Some(Sought::Wait(_) | Sought::No(_)) => Err(Denial::new(Reason::CardUnavailable)),
        },
    }
}

/// The refusal of a request that does not name one tenant for all readers.
#[must_use]
pub fn denial(error: TenantError) -> Denial {
    Denial::new(Reason::RequestMalformed).advise(match error {
        TenantError::Several => "Name the tenant once: in the path over HTTP+JSON, in params over JSON-RPC. A2A 0.3 has none.",
        TenantError::NoText => "The tenant is one text.",
    })
}
