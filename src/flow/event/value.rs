//! A header value that may be a credential.

use secrecy::SecretString;

/// A header value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Plain text.
    Text(String),
    /// A credential; its `Debug` form is redacted.
    Secret(SecretString),
}
