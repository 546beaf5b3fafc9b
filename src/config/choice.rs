//! `credential: {auto: […]}`: several credentials of one connection, of which the remote agent's card decides.

use super::{ConfigError, Credential, Issuer, Secret};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One credential among several.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The security scheme of the card that it is for, if only for that.
    #[serde(default)]
    pub scheme: Option<String>,
    /// The credential.
    pub credential: Credential,
}

impl Credential {
    /// The credential itself, or each that it is chosen from.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        let (own, choices): (_, &[Choice]) = match self {
            Self::Auto(choices) => (None, choices),
            own => (Some(own), &[]),
        };
        own.into_iter().chain(choices.iter().map(|choice| &choice.credential))
    }

    /// The credential itself, or the one that was chosen, by its place.
    #[must_use]
    pub fn chosen(&self, choice: Option<usize>) -> Option<&Self> {
        match self {
            Self::Auto(choices) => choices.get(choice?).map(|choice| &choice.credential),
            own => Some(own),
        }
    }
}

pub(super) fn check(choices: &[Choice], at: &str, secrets: &BTreeMap<String, Secret>, issuers: &[Issuer]) -> Result<(), ConfigError> {
    if choices.is_empty() {
        return Err(ConfigError::new(at, "give at least one"));
    }
    for (index, choice) in choices.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if matches!(choice.credential, Credential::Auto(_)) {
            return Err(ConfigError::new(format!("{at}.credential.auto"), "cannot stand within itself"));
        }
        choice.credential.check(&format!("{at}.credential"), secrets, issuers)?;
    }
    Ok(())
}
