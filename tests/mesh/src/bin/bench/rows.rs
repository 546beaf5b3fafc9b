//! What is measured: one Envoy per row. All rows are `envoy/inbound.yaml` and differ in the filters before the router.

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use serde_json::{Value, json};

use crate::{floor, outbound};

/// Different callers in the loads with many tokens.
pub const TOKENS: usize = 2000;
/// What the caches of `jwt_authn` hold, where a row gives them a size: every token of a run.
pub const CACHE: usize = 4096;
/// What the cache of `jwt_authn` holds where its size is left out.
pub const DEFAULT_CACHE: usize = 100;

/// Agents of the row with many.
pub const AGENTS: usize = 1000;

/// A configuration to be measured. One that is there *again* is the same in another process: what they differ by is noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Bare,
    JwtCached,
    JwtUncached,
    JwtUncachedAgain,
    JwtDefaultCache,
    Native,
    NativeAgain,
    /// A WebAssembly filter that does nothing.
    Nothing,
    /// One that makes the calls that Attaché makes, and decides nothing.
    Calls,
    /// As it comes: with a line in the log for each request, which no other row writes.
    Attache,
    /// Without.
    Silent,
    SilentAgain,
    /// Without, another build of the module: one of those that `AGAINST` names.
    Other(usize),
    /// Without, as one of many agents.
    Agents,
    /// Without, for tokens that it has not seen.
    FirstSight,
    OutboundBare,
    Injector,
    InjectorAgain,
    /// Without.
    OutboundAttache,
}

impl Row {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 21] = [
        Self::Bare,
        Self::JwtCached,
        Self::JwtUncached,
        Self::JwtUncachedAgain,
        Self::JwtDefaultCache,
        Self::Native,
        Self::NativeAgain,
        Self::Nothing,
        Self::Calls,
        Self::Attache,
        Self::Silent,
        Self::SilentAgain,
        Self::Other(0),
        Self::Other(1),
        Self::Other(2),
        Self::Agents,
        Self::FirstSight,
        Self::OutboundBare,
        Self::Injector,
        Self::InjectorAgain,
        Self::OutboundAttache,
    ];

    /// A name for tables.
    pub fn title(self) -> String {
        match self {
            Self::Bare => "bare router".into(),
            Self::JwtCached => format!("jwt_authn, cache of {CACHE}"),
            Self::JwtUncached => "jwt_authn, no cache".into(),
            Self::JwtUncachedAgain => "jwt_authn, no cache, again".into(),
            Self::JwtDefaultCache => format!("jwt_authn, its default cache of {DEFAULT_CACHE}"),
            Self::Native => "native stack".into(),
            Self::NativeAgain => "native stack, again".into(),
            Self::Nothing => "WebAssembly that does nothing".into(),
            Self::Calls => "WebAssembly that calls Envoy as Attaché does".into(),
            Self::Attache => "Attaché".into(),
            Self::Silent => "Attaché, `audit.level: none`".into(),
            Self::SilentAgain => "Attaché, `audit.level: none`, again".into(),
            Self::Other(index) => format!("Attaché, `audit.level: none`, {}", against().get(index).map_or("", String::as_str)),
            Self::Agents => format!("Attaché, `audit.level: none`, {AGENTS} agents"),
            Self::FirstSight => "Attaché, `audit.level: none`, new tokens".into(),
            Self::OutboundBare => "outbound: bare router".into(),
            Self::Injector => "outbound: credential_injector".into(),
            Self::InjectorAgain => "outbound: credential_injector, again".into(),
            Self::OutboundAttache => "outbound: Attaché, `audit.level: none`".into(),
        }
    }

    /// It calls out.
    pub fn is_outbound(self) -> bool {
        matches!(self, Self::OutboundBare | Self::Injector | Self::InjectorAgain | Self::OutboundAttache)
    }

    /// Its bytes go through Attaché.
    pub fn has_attache(self) -> bool {
        matches!(
            self,
            Self::Attache | Self::Silent | Self::SilentAgain | Self::Other(_) | Self::Agents | Self::FirstSight | Self::OutboundAttache
        )
    }

    /// It is what WebAssembly itself costs.
    fn is_floor(self) -> bool {
        matches!(self, Self::Nothing | Self::Calls)
    }

    /// It refuses a caller who cannot show a valid token.
    pub fn authenticates(self) -> bool {
        self != Self::Bare && !self.is_outbound() && !self.is_floor()
    }

    /// It also refuses a token without the agent's scope, and a body that is not A2A.
    pub fn authorizes(self) -> bool {
        matches!(self, Self::Native | Self::NativeAgain) || self.has_attache() && !self.is_outbound()
    }

    /// Starts an Envoy of this row, with one worker.
    pub async fn start(self, base: &Base) -> Result<Envoy> {
        Envoy::start(&format!("bench-{self:?}").to_lowercase(), &self.file(base)?, Options::default().workers(1)).await
    }

    /// Its configuration.
    pub fn file(self, base: &Base) -> Result<EnvoyFile> {
        if self.is_outbound() {
            return outbound::file(self, base.upstream);
        }
        let mut file = base.file.clone();
        if self.has_attache() && self != Self::Attache {
            file.edit_plugin(silence)?;
        }
        if self.is_floor() {
            file.module(&floor::module(self == Self::Calls)?)?;
        }
        if let Self::Other(index) = self {
            let module = against().get(index).cloned().context("AGAINST names fewer modules")?;
            file.module(&std::path::absolute(module)?)?;
        }
        if self == Self::Agents {
            file.edit_plugin(|plugin| add_agents(plugin, AGENTS))?;
        }
        let filters = file.http_manager()?["http_filters"].as_array_mut().context("inbound.yaml: no http_filters")?;
        let (router, attache) = filters.split_last().context("inbound.yaml: no router")?;
        let mut chain = match self {
            Self::JwtCached => vec![base.jwt_authn(Some(json!({"jwt_cache_size": CACHE})))],
            Self::JwtUncached | Self::JwtUncachedAgain => vec![base.jwt_authn(None)],
            Self::JwtDefaultCache => vec![base.jwt_authn(Some(json!({})))],
            Self::Native | Self::NativeAgain => {
                vec![base.jwt_authn(Some(json!({"jwt_cache_size": CACHE}))), base.a2a(), base.rbac()]
            }
            _ if self.has_attache() || self.is_floor() => attache.to_vec(),
            _ => vec![],
        };
        chain.push(router.clone());
        *filters = chain;
        Ok(file)
    }
}

/// Other builds of the module to be measured, three at most: the files that `AGAINST` names, with commas between.
pub fn against() -> Vec<String> {
    let named = std::env::var("AGAINST").unwrap_or_default();
    named.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// No record of any request.
pub fn silence(plugin: &mut Value) {
    plugin["audit"] = json!({"level": "none"});
}

/// Makes the first agent the last of `count` on the same host.
pub fn add_agents(plugin: &mut Value, count: usize) {
    let Some(list) = plugin["agents"].as_array_mut() else { return };
    let Some(agent) = list.first().cloned() else { return };
    let others = (1..count).map(|number| {
        let mut other = agent.clone();
        other["name"] = json!(format!("agent-{number}"));
        other["match"]["path_prefix"] = json!(format!("/agents/other-{number}"));
        other
    });
    list.splice(0..0, others);
}

/// What all rows have in common, and what the rules of the native filters are made of.
pub struct Base {
    file: EnvoyFile,
    jwks: Value,
    issuer: String,
    audience: String,
    scope: String,
    body_limit: u64,
    upstream: u16,
}

/// The names in `envoy/inbound.yaml` that tokens and callers must use.
pub struct Names {
    pub issuer: String,
    pub audience: String,
    pub scope: String,
    pub host: String,
    pub path: String,
}

impl Names {
    /// Reads them.
    pub fn load() -> Result<Self> {
        let plugin = EnvoyFile::load("inbound.yaml")?.plugin()?;
        let text = |pointer: &str| {
            let value = plugin.pointer(pointer).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("inbound.yaml: no {pointer}"))
        };
        Ok(Self {
            issuer: text("/issuers/0/issuer")?,
            audience: text("/issuers/0/audiences/0")?,
            scope: text("/agents/0/security/0/oauth2/0")?,
            host: text("/agents/0/match/hosts/0")?,
            path: text("/agents/0/match/path_prefix")?,
        })
    }
}

impl Base {
    /// `envoy/inbound.yaml` in front of the upstream on port `upstream`, with the keys in the configuration instead of
    /// fetched, and without its access log, which would be most of the cost of every row.
    pub fn new(names: &Names, jwks: Value, upstream: u16) -> Result<Self> {
        let mut file = EnvoyFile::load("inbound.yaml")?;
        file.cluster("expense_v1_0", upstream)?;
        file.cluster("expense_v0_3", upstream)?;
        file.edit_plugin(|plugin| plugin["issuers"][0]["jwks"] = json!({"inline": jwks}))?;
        if let Some(manager) = file.http_manager()?.as_object_mut() {
            manager.remove("access_log");
        }
        let limit = &file.listeners_mut()?.first().context("inbound.yaml: no listener")?["per_connection_buffer_limit_bytes"];
        let body_limit = limit.as_u64().context("inbound.yaml: no per_connection_buffer_limit_bytes")?;
        let Names { issuer, audience, scope, .. } = names;
        Ok(Self { file, jwks, issuer: issuer.clone(), audience: audience.clone(), scope: scope.clone(), body_limit, upstream })
    }

    /// The file that all rows are made of.
    pub fn file(&self) -> &EnvoyFile {
        &self.file
    }

    fn jwt_authn(&self, cache: Option<Value>) -> Value {
        let mut provider = json!({
            "issuer": self.issuer,
            "audiences": [self.audience],
            "local_jwks": {"inline_string": self.jwks.to_string()},
            "payload_in_metadata": "payload",
            "forward": true,
        });
        if let Some(cache) = cache {
            provider["jwt_cache_config"] = cache;
        }
        json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"corp": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}]}})
    }

    fn a2a(&self) -> Value {
        json!({"name": "envoy.filters.http.a2a", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.a2a.v3.A2a",
            "traffic_mode": "REJECT",
            "storage_mode": "DYNAMIC_METADATA",
            "max_request_body_size": self.body_limit}})
    }

    fn rbac(&self) -> Value {
        let scope = json!({"string_match": {"safe_regex": {"regex": format!("(.* )?{}( .*)?", self.scope)}}});
        let principal = json!({"metadata": {"filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "payload"}, {"key": "scope"}], "value": scope}});
        json!({"name": "envoy.filters.http.rbac", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"scope": {"permissions": [{"any": true}], "principals": [principal]}}}}})
    }
}
