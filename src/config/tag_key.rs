//! Keys that the filter signs with for itself: tags of owned tasks, tokens of push notifications. The first signs, all verify.

use super::secret::named_at_once;
use super::{ConfigError, Secret};
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;

/// Most keys of one list: each is tried at most once an id, and none is kept for ever.
const MAX_KEYS: usize = 8;
/// Longest name of a key: it stands in everything that the key signed.
const MAX_ID_BYTES: usize = 16;

/// A key that the filter signs with for itself.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct TagKey {
    /// Its name in what it signs: 1 to 16 letters and digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9]{1,16}$")))]
    pub id: String,
    /// The name in `secrets` of its text: at least 32 characters, preferably random, such as `openssl rand -base64 33` prints.
    pub secret: String,
}

/// Checks the list at `at`.
pub(super) fn check(at: &str, keys: &[TagKey], secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(ConfigError::new(at, format!("give 1 to {MAX_KEYS} keys")));
    }
    let mut seen = SortedSet::new();
    for (index, key) in keys.iter().enumerate() {
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
