//! An agent as a protected resource (RFC 9728): where its metadata is, and what it says.

use crate::config::{Agent, Config, Issuer, Scheme};
use crate::flow::request::policy::Policy;
use crate::wire::path;
use crate::wire::sorted::SortedSet;
use serde_json::{Map, Value, json};

/// What stands before the path of the resource (RFC 9728 section 3).
pub(in crate::flow) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the metadata of an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataPlace {
    /// The agent's public URL as it was written: what clients know the resource by.
    resource: String,
    /// Where clients find the metadata.
    url: String,
    /// The host of that URL in lower case, without port.
    pub(in crate::flow) host: String,
    /// The path of the agent, without a slash at its end.
    pub(in crate::flow) own: String,
}

impl MetadataPlace {
    /// The place of `agent`, if it says where it is for clients.
    #[must_use]
    pub fn new(agent: &Agent) -> Option<Self> {
        let uri = agent.public_url.as_ref()?;
        let (resource, host) = (uri.identifier(), path::host(uri.authority())?);
        let own = uri.path().strip_suffix('/').unwrap_or(uri.path()).to_owned();
        // RFC 9728 section 3.1: a slash goes only where it follows the host.
        let path = if own.is_empty() { "" } else { uri.path() };
        let url = format!("{}://{}{WELL_KNOWN}{path}", uri.scheme(), uri.authority());
        Some(Self { resource, url, host, own })
    }

    /// The metadata's URL, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The document for `agent`, whose `policy` takes tokens (RFC 9728 section 2).
    pub(in crate::flow) fn document(&self, config: &Config, agent: &Agent, policy: &Policy) -> Value {
        let schemes = || policy.demand.schemes().filter_map(|index| config.scheme_at(index));
        let mut servers: SortedSet<String> =
            policy.tokens.iter().filter_map(|taken| config.issuers.get(taken.issuer)).flat_map(Issuer::servers).collect();
        servers.extend(schemes().filter_map(|scheme| match scheme {
            Scheme::Introspection(introspection) => introspection.issuer.clone(),
            _ => None,
        }));
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
        put("resource", json!(self.resource));
        put("resource_name", json!(agent.name));
        put("bearer_methods_supported", json!(["header"]));
        // RFC 9728 section 3.2: lists without elements are left out.
        if !servers.is_empty() {
            put("authorization_servers", json!(servers.iter().collect::<Vec<_>>()));
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
