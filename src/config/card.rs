//! `card`: where an agent's card comes from, where it is, and who may read what of it.

use super::{ConfigError, Remote};
use crate::protocol::Version;
use crate::wire::json::{UniqueMap, UniqueValue};
use serde::Deserialize;

/// How the agent's card is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Where, by version, below the agent's prefix; in place of the well-known paths.
    #[serde(default)]
    pub paths: UniqueMap<String, Version>,
    /// Who may read it.
    #[serde(default)]
    pub access: CardAccess,
    /// Where it comes from.
    #[serde(default)]
    pub source: CardSource,
    /// Whether callers see only the skills that they may use.
    #[serde(default)]
    pub filter_skills: bool,
}

/// Who may read a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardAccess {
    /// Callers who meet `security`, scopes aside.
    #[default]
    Authenticated,
    /// Everyone.
    Public,
}

/// Where a card comes from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardSource {
    /// The agent answers each request for it.
    #[default]
    Upstream,
    /// It stands here, in the shape of either version.
    Inline(UniqueValue),
    /// It is fetched from the agent and kept, so that it is there while the agent sleeps.
    Remote(Remote),
}

impl Card {
    pub(super) fn check(&self, at: &str, has_public_url: bool) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        match &self.source {
            CardSource::Upstream => {}
            CardSource::Remote(remote) => remote.check(&format!("{at}.source.remote"))?,
            CardSource::Inline(value) if !value.0.is_object() => return fail("source.inline", "must be an agent card"),
            CardSource::Inline(_) => {}
        }
        if !has_public_url && !matches!(self.source, CardSource::Upstream) {
            return fail("source", "a card that is served here states the agent's public_url: give one");
        }
        if !has_public_url && self.filter_skills {
            return fail("filter_skills", "needs public_url: without it cards pass unchanged");
        }
        Ok(())
    }
}
