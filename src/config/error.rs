//! Why a configuration was refused.

use thiserror::Error;

/// What serde quotes of a value, before it says what it expected.
const QUOTES: [(&str, &str); 3] = [
    ("invalid type: string \"", "invalid type: a string"),
    ("invalid value: string \"", "invalid value: a string"),
    ("unknown variant `", "unknown variant"),
];

/// `message` without the value that it quotes: that may be a secret in the wrong place.
fn unquoted(message: String) -> String {
    let quoted = QUOTES.into_iter().find_map(|(quote, plain)| message.strip_prefix(quote).map(|rest| (plain, rest)));
    match quoted {
        // A value can hold these words too: the last ones are serde's.
        Some((plain, rest)) => match rest.rfind(", expected") {
            Some(end) => format!("{plain}{}", rest.get(end..).unwrap_or_default()),
            None => plain.to_owned(),
        },
        None => message,
    }
}

/// One reason with its place, such as `agents[1].match.path_prefix: must start with /`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{}{reason}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct ConfigError {
    path: String,
    reason: String,
}

impl ConfigError {
    /// An error at `path` (empty for the whole document).
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    /// An error at a member of what stands at `at`. One function for all that is checked: what each of them would bring of its own
    /// for putting the path together is a part of the module's size.
    #[cold]
    #[inline(never)]
    pub(super) fn of(at: &str, member: &str, reason: &str) -> Self {
        Self::new([at, ".", member].concat(), reason)
    }

    /// Where it is; empty for the whole document.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// What serde found at `path`. The message ends with line and column: the path says more, but they help in long files.
    #[must_use]
    pub fn from_json(path: &str, message: String) -> Self {
        Self::new(path, unquoted(message))
    }
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn values_are_not_repeated() {
        for (message, plain) in [
            ("invalid type: string \"canary\", expected struct SecretRef", "invalid type: a string, expected struct SecretRef"),
            ("invalid type: string \"a\", expected canary\", expected u8 at line 1", "invalid type: a string, expected u8 at line 1"),
            ("invalid value: string \"canary\", expected x", "invalid value: a string, expected x"),
            ("unknown variant `canary`, expected `header` or `none`", "unknown variant, expected `header` or `none`"),
            ("unknown variant `canary`", "unknown variant"),
            ("invalid type: integer `5`, expected a string", "invalid type: integer `5`, expected a string"),
        ] {
            assert_eq!(unquoted(message.to_owned()), plain);
        }
    }
}
