//! Metadata of protected resources (RFC 9728): where a client that was refused learns who issues tokens for an agent. It is
//! public; nothing in it is secret, and no credential is looked at.

use super::authenticate::Policy;
use super::event::Reply;
use super::head::Head;
use super::runtime::Runtime;
use crate::config::{Agent, Config, Scheme};
use crate::wire::path;
use serde_json::json;
use std::collections::BTreeSet;

/// What stands before the path of the resource (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where it is, for clients.
    pub url: String,
    /// Its host in lower case, without port.
    host: String,
    /// Its path.
    path: String,
    body: String,
}

impl Metadata {
    /// The metadata of `agent`, if it says where it is and takes tokens.
    #[must_use]
    pub fn new(config: &Config, agent: &Agent, policy: &Policy) -> Option<Self> {
        let uri = agent.public_url.as_ref()?;
        let schemes: Vec<&Scheme> = policy.demand.schemes().filter_map(|index| config.scheme_at(index)).collect();
        if !schemes.iter().any(|scheme| scheme.is_token()) {
            return None;
        }
        let own = uri.path().strip_suffix('/').unwrap_or(uri.path());
        let path = format!("{WELL_KNOWN}{own}");
        let issuers: BTreeSet<&str> = schemes
            .iter()
            .flat_map(|scheme| match scheme {
                Scheme::Bearer(bearer) => bearer.issuers.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            })
            .filter_map(|name| config.issuers.iter().find(|issuer| issuer.name == name))
            .map(|issuer| issuer.issuer.as_str())
            .chain(schemes.iter().filter_map(|scheme| match scheme {
                Scheme::Introspection(introspection) => introspection.issuer.as_deref(),
                _ => None,
            }))
            .collect();
        let mut document = json!({
            "resource": format!("{}://{}{own}", uri.scheme(), uri.authority()),
            "bearer_methods_supported": ["header"],
            "resource_name": agent.name,
        });
        if let Some(members) = document.as_object_mut() {
            // RFC 9728 section 3.2: lists without elements are left out.
            if !issuers.is_empty() {
                members.insert("authorization_servers".to_owned(), json!(issuers));
            }
            let scopes = policy.demand.all_scopes(|scheme| config.scheme_at(scheme).is_some_and(Scheme::is_token));
            if !scopes.is_empty() {
                members.insert("scopes_supported".to_owned(), json!(scopes));
            }
            if schemes.iter().filter_map(|scheme| scheme.bound()).any(|bound| bound.required) {
                members.insert("tls_client_certificate_bound_access_tokens".to_owned(), json!(true));
            }
        }
        let url = format!("{}://{}{path}", uri.scheme(), uri.authority());
        Some(Self { url, host: path::host(uri.authority())?, path, body: document.to_string() })
    }
}

/// The answer to a request for the metadata of an agent.
#[must_use]
pub fn answer(head: &Head<'_>, runtime: &Runtime) -> Option<Reply> {
    if !head.path.starts_with(WELL_KNOWN) || !matches!(head.method, "GET" | "HEAD") {
        return None;
    }
    let covers = |(agent, metadata): &(&Agent, &Metadata)| {
        let here = metadata.host == head.host || agent.target.hosts.iter().any(|pattern| pattern.covers(&head.host));
        here && metadata.path == head.path
    };
    let known: Vec<(&Agent, &Metadata)> = runtime.metadata().filter(covers).collect();
    // The agent whose own host this is, before one that covers it among others.
    let (_, metadata) = known.iter().find(|(_, metadata)| metadata.host == head.host).or(known.first())?;
    Some(Reply {
        status: 200,
        grpc_status: None,
        headers: vec![("content-type", "application/json".to_owned()), ("cache-control", "public, max-age=300".to_owned())],
        body: metadata.body.clone(),
    })
}
