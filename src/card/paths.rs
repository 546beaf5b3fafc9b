//! Where cards are, below an agent's prefix, and which version each place means: `/.well-known/agent-card.json` (0.3 and
//! 1.0), `/.well-known/agent.json` (0.2), or places from the configuration such as `/agentCard/v1.0`.

use crate::protocol::{Version, http_json};
use crate::wire::path;
use crate::wire::sorted::SortedMap;
use thiserror::Error;

/// The well-known path of 0.3 and 1.0 (RFC 8615; A2A 1.0 section 8.2).
pub const WELL_KNOWN: &str = "/.well-known/agent-card.json";
/// The well-known path of 0.2; what is there is in the shape of 0.3.
pub const WELL_KNOWN_0_2: &str = "/.well-known/agent.json";

/// In place of what follows the agent's prefix, where the card is outside of it. No path begins like this.
pub const ON_HOST: &str = "card.at";

/// The card at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardPath {
    /// In the version that the request names, else the agent's default.
    Negotiated,
    /// Always in this version. A request that names another contradicts itself.
    Of(Version),
}

/// Why a path cannot be a card's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not start with `/`, or two readers could read it differently.
    #[error("must be a plain path such as /agentCard/v1.0, below the agent's path_prefix")]
    NotPlain,
    /// It means an operation, or the JSON-RPC endpoint.
    #[error("is the path of an operation")]
    Taken,
}

/// The paths of one agent's cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardPaths(SortedMap<String, CardPath>);

impl CardPaths {
    /// The paths that `configured` gives, by version; without any, the well-known ones, that of 0.2 if `versions` (what
    /// the agent serves) has 0.3. A path that several versions share is negotiated.
    ///
    /// # Errors
    /// As [`PathError`] says, with the version whose path it is.
    pub fn new(configured: &SortedMap<Version, String>, versions: &[Version]) -> Result<Self, (Version, PathError)> {
        let mut paths = SortedMap::new();
        for (version, path) in configured {
            if path::is_ambiguous(path) || path.contains('?') || path.len() < 2 || path.ends_with('/') {
                return Err((*version, PathError::NotPlain));
            }
            if http_json::resembles_route(path) {
                return Err((*version, PathError::Taken));
            }
            if paths.insert(path.clone(), CardPath::Of(*version)).is_some() {
                paths.insert(path.clone(), CardPath::Negotiated);
            }
        }
        if configured.is_empty() {
            paths.insert(WELL_KNOWN.to_owned(), CardPath::Negotiated);
            if versions.contains(&Version::V0_3) {
                paths.insert(WELL_KNOWN_0_2.to_owned(), CardPath::Of(Version::V0_3));
            }
        }
        Ok(Self(paths))
    }

    /// The one card at a path of the host that is not below the agent's prefix: [`ON_HOST`] stands for what follows the prefix.
    #[must_use]
    pub fn on_host() -> Self {
        Self([(ON_HOST.to_owned(), CardPath::Negotiated)].into())
    }

    /// Whether a reader may find a card at `suffix` that knows neither case nor a slash at the end.
    #[must_use]
    pub fn resembles(&self, suffix: &str) -> bool {
        let plain = suffix.strip_suffix('/').unwrap_or(suffix);
        self.0.keys().any(|path| path.eq_ignore_ascii_case(plain))
    }

    /// The card at `suffix`, which is what follows the agent's prefix and is not ambiguous. Exact: no other case, no
    /// trailing slash.
    #[must_use]
    pub fn find(&self, suffix: &str) -> Option<CardPath> {
        self.0.get(suffix).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{CardPath, CardPaths, PathError, Version};

    const BOTH: [Version; 2] = [Version::V0_3, Version::V1_0];

    fn configured(paths: &[(Version, &str)]) -> Result<CardPaths, (Version, PathError)> {
        CardPaths::new(&paths.iter().map(|(version, path)| (*version, (*path).to_owned())).collect(), &BOTH)
    }

    #[test]
    fn well_known_unless_configured() {
        let paths = configured(&[]).unwrap();
        assert_eq!(paths.find("/.well-known/agent-card.json"), Some(CardPath::Negotiated));
        assert_eq!(paths.find("/.well-known/agent.json"), Some(CardPath::Of(Version::V0_3)));
        for other in
            ["", "/", "/.well-known/agent-card.json/", "/.WELL-KNOWN/agent-card.json", "/agentCard/v1.0", "/.well-known/agent-card"]
        {
            assert_eq!(paths.find(other), None, "{other}");
        }
        let new = CardPaths::new(&[].into(), &[Version::V1_0]).unwrap();
        assert_eq!(new.find("/.well-known/agent.json"), None);
    }

    #[test]
    fn configured_paths_stand_for_their_version() {
        let paths = configured(&[(Version::V1_0, "/agentCard/v1.0"), (Version::V0_3, "/agentCard/v0.3")]).unwrap();
        assert_eq!(paths.find("/agentCard/v1.0"), Some(CardPath::Of(Version::V1_0)));
        assert_eq!(paths.find("/agentCard/v0.3"), Some(CardPath::Of(Version::V0_3)));
        assert_eq!(paths.find("/.well-known/agent-card.json"), None);
        let shared = configured(&[(Version::V1_0, "/card"), (Version::V0_3, "/card")]).unwrap();
        assert_eq!(shared.find("/card"), Some(CardPath::Negotiated));
        assert!(shared.resembles("/card") && shared.resembles("/CARD/") && !shared.resembles("/cards"));
    }

    #[test]
    fn a_path_that_means_something_else_is_refused() {
        for path in ["", "/", "card", "/a//b", "/a/", "/a?b", "/%61", "/a;b"] {
            assert_eq!(configured(&[(Version::V1_0, path)]), Err((Version::V1_0, PathError::NotPlain)), "{path}");
        }
        for path in [
            "/v1/card",
            "/extendedAgentCard",
            "/tasks",
            "/tasks/x",
            "/t/message:send",
            "/v1/message:stream",
            "/V1/Card",
            "/TASKS/x",
            "/tasks/x:SUBSCRIBE",
            "/extendedagentcard",
        ] {
            assert_eq!(configured(&[(Version::V0_3, path)]), Err((Version::V0_3, PathError::Taken)), "{path}");
        }
    }
}
