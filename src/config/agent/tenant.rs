//! `tenant`: which tenants of an agent (A2A 1.0: `tenant` of a request, of an interface in a card) requests may name.

use crate::config::{ClaimPath, ConfigError, Demanded, Scheme};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Which tenants requests may name beside none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenants {
    /// Those that the agent's card names, for the binding of the request.
    #[default]
    #[serde(skip)]
    Published,
    /// The one that a claim of the caller names.
    Claim(TenantClaim),
    /// Any: the agent looks at none.
    Ignore(Unused),
}

/// The claim that names the caller's tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ClaimPath")]
pub struct TenantClaim {
    /// Where it stands.
    pub path: ClaimPath,
    /// Its index in [`crate::config::Claims::forwarded`]; filled by [`crate::config::Config::parse`].
    pub index: usize,
}

impl From<ClaimPath> for TenantClaim {
    fn from(path: ClaimPath) -> Self {
        Self { path, index: usize::MAX }
    }
}

/// `ignore: {}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unused {}

impl Tenants {
    pub(in crate::config) fn check(&self, at: &str, security: &Demanded, schemes: &BTreeMap<String, Scheme>) -> Result<(), ConfigError> {
        let requirements = security.requirements();
        let has_claims = |name: &String| matches!(schemes.get(name), Some(Scheme::Bearer(_) | Scheme::Introspection(_)));
        let any = requirements.is_empty() || requirements.iter().flat_map(|requirement| requirement.0.keys()).any(has_claims);
        match self {
            Self::Claim(_) if !any => {
                Err(ConfigError::new(format!("{at}.claim"), "no scheme of security takes tokens: callers have no claims"))
            }
            Self::Published | Self::Claim(_) | Self::Ignore(_) => Ok(()),
        }
    }
}
