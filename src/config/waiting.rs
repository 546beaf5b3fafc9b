//! How many requests may wait for a scheme, and how they share its places.

use super::ConfigError;
use serde::Deserialize;

/// How clients share places that are all taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Fairness {
    /// By the address that Envoy has for the client: a whole IPv4 address, 64 bits of an IPv6 address. A client that holds most of
    /// the places gives one up to a client that holds fewer.
    #[default]
    Address,
    /// Who comes first has the place: behind proxies that hide addresses.
    None,
}

/// Errs if nobody could wait.
pub(super) fn check(at: &str, max_waiting: usize) -> Result<(), ConfigError> {
    if max_waiting == 0 { Err(ConfigError::new(format!("{at}max_waiting"), "must be at least 1")) } else { Ok(()) }
}

pub(super) const fn of_a_scheme() -> usize {
    500
}

pub(super) const fn in_all() -> usize {
    1000
}
