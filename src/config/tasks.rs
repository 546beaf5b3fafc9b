//! `tasks`: whether a task belongs to the caller who made it.

use super::secret::named_at_once;
use super::{ConfigError, Secret};
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;

/// Most keys of one agent: each is tried at most once an id, and none is kept for ever.
const MAX_KEYS: usize = 8;
/// Longest name of a key: it stands in every id that the key signed.
const MAX_ID_BYTES: usize = 16;

/// Whose an agent's tasks are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tasks {
    /// Everybody's who knows their ids: what the agent does is all there is.
    #[default]
    Shared,
    /// Their maker's. To everybody else they do not exist.
    Owned(Owned),
}

/// How tasks are bound to their makers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// The first signs, all verify.
    pub keys: Vec<TagKey>,
}

/// A key for tags.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagKey {
    /// Its name in the tags: letters and digits.
    pub id: String,
    /// Name of the secret whose text is the key.
    pub secret: String,
}

impl Tasks {
    /// How tasks are owned, if they are.
    #[must_use]
    pub const fn owned(&self) -> Option<&Owned> {
        match self {
            Self::Shared => None,
            Self::Owned(owned) => Some(owned),
        }
    }

    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let Some(owned) = self.owned() else { return Ok(()) };
        let at = format!("{at}.owned.keys");
        if owned.keys.is_empty() || owned.keys.len() > MAX_KEYS {
            return Err(ConfigError::new(at, format!("give 1 to {MAX_KEYS} keys")));
        }
        let mut seen = SortedSet::new();
        for (index, key) in owned.keys.iter().enumerate() {
            let fail = |member: &str, reason: String| Err(ConfigError::new(format!("{at}[{index}].{member}"), reason));
            let plain = !key.id.is_empty() && key.id.len() <= MAX_ID_BYTES && key.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !plain {
                return fail("id", format!("1 to {MAX_ID_BYTES} letters and digits"));
            }
            if !seen.insert(key.id.as_str()) {
                return fail("id", format!("{:?} is used twice", key.id));
            }
            named_at_once(&format!("{at}[{index}].secret"), &key.secret, secrets)?;
        }
        Ok(())
    }
}
