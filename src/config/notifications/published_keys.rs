//! `published_keys`: the public keys with which receivers verify what this side signs, and where they are served (RFC 7517 section 5).

use crate::config::{Config, ConfigError, Credential, HostPattern};
use crate::wire::json::UniqueValue;
use crate::wire::path;
use crate::wire::sorted::SortedSet;
use serde::Deserialize;
use serde_json::{Value, json};

/// Public keys that everybody may read.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct PublishedKeys {
    /// Where they are served.
    pub at: KeysPlace,
    /// Which they are.
    pub jwks: PublicKeys,
}

/// Where keys are served.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct KeysPlace {
    /// At these hosts.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub hosts: Vec<HostPattern>,
    /// At this path.
    #[serde(default = "well_known")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/[^?%]*[^?%/]$")))]
    pub path: String,
}

/// The public keys.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PublicKeys {
    /// A JWK Set of 1 to 16 public keys: `{"keys": […]}`.
    Inline(#[cfg_attr(feature = "schema", schemars(with = "crate::config::form::JwkSet"))] UniqueValue),
}

/// Members of a JWK that hold what nobody else may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Ends of paths at which something else is.
const TAKEN: [&str; 2] = ["/agent-card.json", "/agent.json"];
/// What begins so is something else, too (RFC 9728 section 3).
const TAKEN_BEGIN: &str = "/.well-known/oauth-protected-resource";
/// Most keys: one signs, the others are on their way in or out.
const MAX_KEYS: usize = 16;

impl PublishedKeys {
    /// The set as it is served: the keys and nothing else.
    #[must_use]
    pub fn document(&self) -> String {
        json!({"keys": self.keys().collect::<Vec<_>>()}).to_string()
    }

    /// Each key, as a set of its own.
    pub fn each(&self) -> impl Iterator<Item = String> {
        self.keys().map(|key| json!({"keys": [key]}).to_string())
    }

    /// Whether one of the keys has this `kid`.
    #[must_use]
    pub fn has(&self, key_id: &str) -> bool {
        self.keys().any(|key| key.get("kid").and_then(Value::as_str) == Some(key_id))
    }

    fn keys(&self) -> impl Iterator<Item = &Value> {
        let PublicKeys::Inline(UniqueValue(set)) = &self.jwks;
        set.get("keys").and_then(Value::as_array).into_iter().flatten()
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.at.hosts.is_empty() {
            return fail("at.hosts", "name at least one host (\"*\" for every host)");
        }
        let place = self.at.path.as_str();
        let is_plain = place.len() > 1 && place.starts_with('/') && !path::is_ambiguous(place) && !place.contains(['?', '%']);
        if !is_plain || place.ends_with('/') {
            return fail("at.path", "must be a plain path, such as /.well-known/jwks.json");
        }
        if TAKEN.iter().any(|end| place.ends_with(end)) || place.starts_with(TAKEN_BEGIN) {
            return fail("at.path", "something else is at this path");
        }
        let mut seen = SortedSet::new();
        for (index, key) in self.keys().enumerate() {
            let fail = |member: &str, reason: &str| fail(&format!("jwks.inline.keys[{index}]{member}"), reason);
            if PRIVATE.iter().any(|member| key.get(member).is_some()) {
                return fail("", "is a private key, or a shared one, and everybody could read it: give its public half");
            }
            match key.get("kid").and_then(Value::as_str) {
                None | Some("") => return fail(".kid", "is missing: receivers find the key by it"),
                Some(id) if !seen.insert(id) => return fail(".kid", "is there twice"),
                Some(_) => {}
            }
        }
        if !(1..=MAX_KEYS).contains(&seen.len()) {
            return fail("jwks.inline.keys", "must be a list of 1 to 16 public keys (RFC 7517)");
        }
        Ok(())
    }
}

impl Config {
    /// Checks the published keys, and that what connections sign with is among them.
    pub(in crate::config) fn check_published(&self) -> Result<(), ConfigError> {
        let Some(published) = &self.published_keys else { return Ok(()) };
        published.check("published_keys")?;
        if self.agents.iter().filter_map(|agent| agent.card.at.as_ref()).any(|place| place.path == published.at.path) {
            return Err(ConfigError::new("published_keys.at.path", "an agent has its card at this path"));
        }
        for (index, connection) in self.connections.iter().enumerate() {
            if let Credential::SignedJwt(own) = &connection.credential
                && !published.has(&own.key_id)
            {
                let at = format!("connections[{index}].credential.signed_jwt.key_id");
                return Err(ConfigError::new(at, "no key of published_keys has this kid: receivers would not find it"));
            }
        }
        Ok(())
    }
}

fn well_known() -> String {
    "/.well-known/jwks.json".to_owned()
}
