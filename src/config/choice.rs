//! The credentials of one connection: its own, or several of which the remote agent's card decides (`credential: {auto: […]}`), and
//! one for the card itself.

use super::{ConfigError, Connection, Credential, Issuer, Secret};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// One credential among several, of which the card chooses.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The security scheme of the card that it is for, if only for that.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "any")))]
    pub scheme: Option<String>,
    /// The credential.
    pub credential: Credential,
}

/// Which of a connection's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `credential`.
    Own,
    /// That at this place of `credential.auto`.
    Choice(usize),
    /// `card.credential`.
    Card,
}

impl Connection {
    /// One of its credentials.
    #[must_use]
    pub fn credential_of(&self, which: Which) -> Option<&Credential> {
        match (which, &self.credential) {
            (Which::Own, Credential::Auto(_)) => None,
            (Which::Own, own) => Some(own),
            (Which::Choice(index), Credential::Auto(choices)) => choices.get(index).map(|choice| &choice.credential),
            (Which::Choice(_), _) => None,
            (Which::Card, _) => self.card.as_ref()?.credential.as_ref(),
        }
    }

    /// Every credential that it may use.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credential.each().chain(self.credential_of(Which::Card))
    }
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
}

pub(super) fn check(choices: &[Choice], at: &str, secrets: &SortedMap<String, Secret>, issuers: &[Issuer]) -> Result<(), ConfigError> {
    if choices.is_empty() {
        return Err(ConfigError::new(at, "give at least one"));
    }
    for (index, choice) in choices.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if matches!(choice.credential, Credential::Auto(_)) {
            return Err(ConfigError::of(&at, "credential.auto", "cannot stand within itself"));
        }
        choice.credential.check(&format!("{at}.credential"), secrets, issuers)?;
    }
    Ok(())
}
