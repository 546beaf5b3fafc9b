//! Where grants of users lie.

use super::{ConfigError, Secret};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// Where grants of users lie.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantStore {
    /// In the memory of this Envoy, for all its workers: lost when it ends, and unknown to another.
    Memory(MemoryStore),
}

/// In the memory of this Envoy.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct MemoryStore {
    /// How many grants there is room for: 64 to 65536.
    #[serde(default = "many")]
    #[cfg_attr(feature = "schema", schemars(range(min = 64, max = 65536), extend("default" = 16384)))]
    pub grants: usize,
}

impl GrantStore {
    /// For how long a worker may believe what it read.
    #[must_use]
    pub const fn remember(&self) -> std::time::Duration {
        match self {
            Self::Memory(_) => std::time::Duration::from_secs(1),
        }
    }

    pub(super) fn check(&self, at: &str, _secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        match self {
            Self::Memory(own) if !(64..=65536).contains(&own.grants) => Err(ConfigError::of(at, "memory.grants", "must be 64 to 65536")),
            Self::Memory(_) => Ok(()),
        }
    }
}

const fn many() -> usize {
    16384
}
