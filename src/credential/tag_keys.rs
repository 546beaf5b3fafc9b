//! The values of keys that the filter signs with for itself.

use super::secrets::Secrets;
use crate::config::{ConfigError, TagKey};
use secrecy::{ExposeSecret, SecretString};

/// Fewest characters of a key.
const MIN_TAG_KEY: usize = 32;

/// The keys of the list at `at`, by name. All of them or none: what one of them signed would else be nobody's.
///
/// # Errors
/// If one is too short.
pub fn values<'s>(at: &str, keys: &'s [TagKey], secrets: &'s Secrets) -> Result<Option<Vec<(&'s str, &'s SecretString)>>, ConfigError> {
    let mut values = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        match secrets.value(&key.secret) {
            Ok(value) if value.expose_secret().len() < MIN_TAG_KEY => {
                let reason = format!("{:?} has fewer than {MIN_TAG_KEY} characters", key.secret);
                return Err(ConfigError::new(format!("{at}[{place}].secret"), reason));
            }
            Ok(value) => values.push((key.id.as_str(), value)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(values))
}
