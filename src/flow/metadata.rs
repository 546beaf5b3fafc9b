//! Metadata of protected resources (RFC 9728): where a client that was refused learns who issues tokens for an agent. It is
//! public; nothing in it is secret, and no credential is looked at.

use super::authenticate::Policy;
use super::event::Reply;
use super::head::{Head, Target};
use super::runtime::Runtime;
use crate::config::{Agent, Config, Scheme};
use crate::wire::path;
use crate::wire::time::UnixTime;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What stands before the path of the resource (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the metadata of an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Scheme and authority of the agent's public URL.
    base: String,
    /// The host of that URL in lower case, without port.
    host: String,
    /// The path of the agent, without a slash at its end.
    own: String,
}

impl Place {
    /// The place of `agent`, if it says where it is for clients.
    #[must_use]
    pub fn new(agent: &Agent) -> Option<Self> {
        let uri = agent.public_url.as_ref()?;
        let own = uri.path().strip_suffix('/').unwrap_or(uri.path()).to_owned();
        Some(Self { base: format!("{}://{}", uri.scheme(), uri.authority()), host: path::host(uri.authority())?, own })
    }

    /// The metadata's URL, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.base, self.own)
    }

    /// The document for `agent`, whose `policy` takes tokens (RFC 9728 section 2).
    fn document(&self, config: &Config, agent: &Agent, policy: &Policy) -> Value {
        let schemes = || policy.demand.schemes().filter_map(|index| config.scheme_at(index));
        let mut servers: BTreeSet<&str> =
            policy.issuers.iter().filter_map(|index| config.issuers.get(*index)).map(|issuer| issuer.issuer.as_str()).collect();
        servers.extend(schemes().filter_map(|scheme| match scheme {
            Scheme::Introspection(introspection) => introspection.issuer.as_deref(),
            _ => None,
        }));
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
        put("resource", json!(format!("{}{}", self.base, self.own)));
        put("resource_name", json!(agent.name));
        put("bearer_methods_supported", json!(["header"]));
        // RFC 9728 section 3.2: lists without elements are left out.
        if !servers.is_empty() {
            put("authorization_servers", json!(servers));
        }
        let scopes = policy.demand.all_scopes(|scheme| config.scheme_at(scheme).is_some_and(Scheme::is_token));
        if !scopes.is_empty() {
            put("scopes_supported", json!(scopes));
        }
        if schemes().filter_map(Scheme::bound).any(|bound| bound.required) {
            put("tls_client_certificate_bound_access_tokens", json!(true));
        }
        Value::Object(document)
    }
}

/// The answer to a request for the metadata of an agent.
#[must_use]
pub fn answer(head: &Head<'_>, runtime: &Runtime, now: UnixTime) -> Option<Reply> {
    let own = head.path.strip_prefix(WELL_KNOWN).filter(|_| matches!(head.method, "GET" | "HEAD"))?;
    let agents = runtime.config().agents.iter().zip(runtime.metadata()).enumerate();
    let known = agents.filter_map(|(index, (agent, place))| {
        let place = place.as_ref().filter(|place| place.own == own)?;
        let is_own = place.host == head.authority.host();
        (is_own || runtime.matcher().serves(&head.authority, Target::Agent(index))).then_some((is_own, index, agent, place))
    });
    // The agent whose own host this is, before one that covers it among others.
    let (_, index, agent, place) = known.max_by_key(|(is_own, index, ..)| (*is_own, Reverse(*index)))?;
    let policy = runtime.policy(index, now).ok().filter(|policy| policy.takes_tokens())?;
    Some(Reply {
        status: 200,
        grpc_status: None,
        headers: vec![("content-type", "application/json".to_owned()), ("cache-control", "public, max-age=300".to_owned())],
        body: place.document(runtime.config(), agent, &policy).to_string(),
    })
}
