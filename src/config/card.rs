//! `card`: where an agent's card comes from, where it is, and who may read what of it.

use super::{Alternatives, ConfigError, Match, Remote};
use crate::protocol::Version;
use crate::wire::json::{UniqueMap, UniqueValue};
use crate::wire::path;
use serde::Deserialize;

/// The agent's card: where it is, where it comes from, and who may read what of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Where the cards are below the prefix, by version: `{"1.0": "/agentCard/v1.0", "0.3": "/agentCard/v0.3"}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::ByVersion<String>", extend("x-default" = "the well-known paths")))]
    pub paths: UniqueMap<String, Version>,
    /// Where the card is on the host, outside the prefix, in place of what is below it: `/.well-known/agent-card.json`, or with the one
    /// parameter that chooses it, `?assistant_id=a-1`; see [below](configuration.md#agents-as-frameworks-have-them).
    #[serde(default)]
    pub at: Option<CardPlace>,
    /// Where the agent itself has its card, below the prefix, if neither where callers read it nor at `/.well-known/agent-card.json`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/[^?%]+$")))]
    pub upstream_path: Option<String>,
    /// Who may read the card at `/.well-known/agent-card.json` (and `agent.json`) below the prefix: `authenticated` (an accepted token,
    /// whatever its scopes), `public`, or of authenticated callers those who meet `{"require": …}`, [as in
    /// rules](configuration.md#access); then the extended card is for these alone, too.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`authenticated`")))]
    pub access: CardAccess,
    /// Where the card comes from: the agent (`upstream`), the configuration (`{"inline": {…}}`, a card in the shape of either version),
    /// or the agent once in a while (`{"remote": {…}}`, members as for `jwks.remote`), so that it is there while the agent sleeps. The
    /// last two need `public_url`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`upstream`")))]
    pub source: CardSource,
    /// Whether callers see only the skills that they may use. Needs `public_url`.
    #[serde(default)]
    pub filter_skills: bool,
}

/// A path of the host with an agent's card, as frameworks have it that serve several agents: `/.well-known/agent-card.json`, or the same
/// with the parameter that chooses the agent, `?assistant_id=…`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^/[^?%]*[^/?%](\?[A-Za-z0-9._~-]+=[A-Za-z0-9._~=-]*)?$")))]
#[serde(try_from = "String")]
pub struct CardPlace {
    /// The path.
    pub path: String,
    /// One `name=value` of the query.
    pub parameter: Option<String>,
}

impl TryFrom<String> for CardPlace {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (path, parameter) = path::split_query(&text);
        if path::is_ambiguous(path) || path.contains('%') || path.len() < 2 || path.ends_with('/') {
            return Err("must be a plain path of the host, such as /.well-known/agent-card.json");
        }
        let is_pair = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=".contains(&byte);
            text.bytes().all(is_plain) && text.split_once('=').is_some_and(|(name, _)| !name.is_empty())
        };
        if !parameter.is_none_or(is_pair) {
            return Err("has a query that is not one name=value of letters, digits, and - . _ ~");
        }
        Ok(Self { path: path.to_owned(), parameter: parameter.map(str::to_owned) })
    }
}

impl CardPlace {
    /// Whether a request for its path with `query` is for this card: the parameter is there once, as it is written here.
    #[must_use]
    pub fn is_asked_for(&self, query: Option<&str>) -> bool {
        let Some(own) = self.parameter.as_deref() else { return true };
        let name = own.split('=').next().unwrap_or_default();
        let given = query.unwrap_or_default().split('&');
        let names_it =
            |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut same = given.filter(names_it);
        (same.next(), same.next()) == (Some(own), None)
    }
}

/// Who may read a card.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CardAccess {
    /// Callers who meet `security`, scopes aside.
    #[default]
    Authenticated,
    /// Everyone.
    Public,
    /// Of callers who meet `security`, scopes aside, those who meet this as well. Also the extended card is for them alone.
    Require(Alternatives),
}

impl CardAccess {
    /// Whether everyone may read it.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }

    /// What callers must be or have besides.
    #[must_use]
    pub const fn require(&self) -> Option<&Alternatives> {
        match self {
            Self::Require(alternatives) => Some(alternatives),
            Self::Authenticated | Self::Public => None,
        }
    }
}

/// Where a card comes from.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CardSource {
    /// The agent answers each request for it.
    #[default]
    Upstream,
    /// It stands here, in the shape of either version.
    Inline(#[cfg_attr(feature = "schema", schemars(with = "crate::config::form::AgentCard"))] UniqueValue),
    /// It is fetched from the agent and kept, so that it is there while the agent sleeps.
    Remote(Remote),
}

impl Card {
    pub(super) fn check(&self, at: &str, has_public_url: bool, target: &Match) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if let Some(place) = &self.at {
            if !self.paths.0.is_empty() {
                return fail("at", "says where the card is, and so does paths: leave one out");
            }
            if path::strip_segments(&place.path, target.path_prefix.as_str()).is_some() {
                return fail("at", "is below path_prefix: use paths");
            }
        }
        if let Some(own) = &self.upstream_path {
            if path::is_ambiguous(own) || own.contains(['?', '%']) || own.len() < 2 {
                return fail("upstream_path", "must be a plain path below path_prefix, such as /v1/card");
            }
            if !matches!(self.source, CardSource::Upstream) {
                return fail("upstream_path", "is for cards that the agent is asked for: source says otherwise");
            }
        }
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

#[cfg(test)]
mod tests {
    use super::CardPlace;

    #[test]
    fn a_parameter_chooses_among_the_cards_of_a_path() {
        let place = CardPlace::try_from("/.well-known/agent-card.json?assistant_id=a-1".to_owned()).unwrap();
        for query in ["assistant_id=a-1", "x=y&assistant_id=a-1", "assistant_id=a-1&A2A-Version=1.0"] {
            assert!(place.is_asked_for(Some(query)), "{query}");
        }
        for query in [
            "",
            "assistant_id",
            "assistant_id=a-2",
            "assistant_id=a-1&assistant_id=a-2",
            "assistant_id=a-1&%61ssistant_id=a-2",
            "assistant_id=%61-1",
            "assistant_id=a-1&ASSISTANT_ID=a-2",
            "assistant_id=a-1&assistant_id=a-1",
        ] {
            assert!(!place.is_asked_for(Some(query)), "{query}");
        }
        assert!(!place.is_asked_for(None));
        let plain = CardPlace::try_from("/card".to_owned()).unwrap();
        assert!(plain.is_asked_for(None) && plain.is_asked_for(Some("assistant_id=x")));
        for odd in ["/card?", "/card?a", "/card?=b", "/card?a=b%20", "/a//b", "/card/", "card", "/card?a=b#c"] {
            assert!(CardPlace::try_from(odd.to_owned()).is_err(), "{odd}");
        }
    }
}
