//! Who calls, and the Envoys that they call through: two connections to one agent, one that passes the caller's token on and one that
//! goes as the user.

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use http::HeaderValue;
use serde_json::{Value, json};

use crate::tokens::Issuer;

/// The host of the connection that goes as the user.
pub const HR: &str = "hr.example.com";
/// The host of the connection that passes the caller's token on.
pub const PASS: &str = "pass.example.com";
/// Where users agree.
pub const CONSENT: &str = "consent.example.com";
const ISSUER: &str = "https://login.corp.example";
const AUDIENCE: &str = "https://orchestrator.example";

/// Users' tokens and what verifies them.
pub struct Caller {
    /// Values of `authorization`, one for each user.
    pub tokens: Vec<HeaderValue>,
    jwks: Value,
}

impl Caller {
    /// Tokens of so many users, made on all cores.
    pub fn new(count: usize) -> Result<Self> {
        let issuer = Issuer::new(ISSUER, AUDIENCE, "agent:execute")?;
        let tokens = issuer.tokens(count).into_iter().map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        Ok(Self { tokens: tokens.collect::<Result<_, _>>()?, jwks: issuer.jwks() })
    }
}

/// Where grants lie.
#[derive(Clone)]
pub enum Way {
    /// There is no filter.
    Bare,
    Memory,
    /// In the etcd whose members have these ports.
    Etcd(Vec<u16>),
}

/// Settings of one Envoy.
#[derive(Clone)]
pub struct Place {
    pub way: Way,
    pub workers: u32,
    pub upstream: u16,
    /// The partner's token endpoint.
    pub server: u16,
}

/// Starts one.
pub async fn start(name: &str, place: &Place, callers: &Caller) -> Result<Envoy> {
    Envoy::start(name, &file(place, callers)?, Options::default().workers(place.workers)).await
}

fn file(place: &Place, callers: &Caller) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("outbound.yaml")?;
    file.cluster("partner", place.upstream)?;
    file.cluster("idp", place.server)?;
    if let Way::Etcd(ports) = &place.way {
        file.copy_cluster("idp", "etcd")?;
        file.cluster("etcd", *ports.first().context("no etcd")?)?;
    }
    let store = match &place.way {
        Way::Etcd(_) => json!({"etcd": {"uri": "http://etcd.example:2379", "cluster": "etcd"}}),
        Way::Bare | Way::Memory => json!({"memory": {}}),
    };
    // All calls of a storm are under way at once, and all renewals; they share connections, so that none is refused here.
    let most = json!({"thresholds": [{"max_connections": 200, "max_pending_requests": 10_000, "max_requests": 10_000}]});
    file.address("partner", place.upstream)?["circuit_breakers"] = most.clone();
    file.address("idp", place.server)?["circuit_breakers"] = most;
    file.edit_plugin(|plugin| *plugin = configuration(&store, callers))?;
    if let Some(settings) = file.wasm()?["vm_config"].as_object_mut() {
        settings.remove("environment_variables");
    }
    let manager = file.http_manager()?;
    manager["route_config"]["virtual_hosts"] =
        json!([{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner"}}]}]);
    if matches!(place.way, Way::Bare) {
        let filters = manager["http_filters"].as_array_mut().context("outbound.yaml: no http_filters")?;
        *filters = filters.pop().into_iter().collect();
    }
    if let Some(manager) = manager.as_object_mut() {
        manager.remove("access_log");
    }
    Ok(file)
}

/// Links bind to nobody (`bind: link`), so that no user of the bench signs in at the organization, which this filter has no part in.
fn configuration(store: &Value, callers: &Caller) -> Value {
    let target = |host: &str| json!({"hosts": [host], "path_prefix": "/"});
    let subject = json!({"issuers": ["corp"]});
    let as_user = json!({"user_passthrough": {"app": "hr", "subject": subject, "bind": "link"}});
    let pass = json!({"passthrough": {"subject": subject, "audiences": [AUDIENCE]}});
    let connection = |name: &str, host: &str, credential: &Value| json!({"name": name, "match": target(host), "version": "1.0", "pin": {"clusters": ["partner"]}, "max_waiting": 10_000, "credential": credential});
    json!({
        "issuers": [{"name": "corp", "issuer": ISSUER, "audiences": [AUDIENCE], "claims": {"user_marker": ["scope"]}, "jwks": {"inline": callers.jwks}}],
        "consent": {"public_url": format!("https://{CONSENT}"), "keys": [{"id": "k1", "secret": "consent"}], "store": store},
        "oauth_apps": {"hr": {
            "authorization_endpoint": "https://auth.hr.example/auth", "scopes": ["tasks.read"],
            "client": {"token_endpoint": {"uri": "http://auth.hr.example/token", "cluster": "idp", "timeout": "60s"}, "client_id": "attache",
                "authentication": {"client_secret_post": {"secret": "client"}}}}},
        "connections": [connection("hr", HR, &as_user), connection("pass", PASS, &pass)],
        "secrets": {"consent": {"inline": "key-of-the-bench-0123456789-abcdefghij"}, "client": {"inline": "secret-of-the-bench"}},
        "allow_inline_secrets": true, "audit": {"level": "none"},
    })
}
