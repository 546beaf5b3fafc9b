//! Headers with secret values: API keys, personal access tokens, tokens that something else renews.

use super::secrets::{SecretError, Secrets, prefixed};
use crate::config::HeaderCredential;
use secrecy::SecretString;

/// The value to attach for `header`.
///
/// # Errors
/// Why the secret has none.
pub fn value(header: &HeaderCredential, secrets: &Secrets) -> Result<SecretString, SecretError> {
    secrets.value(&header.value.secret).map(|secret| prefixed(header.prefix.as_str(), secret))
}
