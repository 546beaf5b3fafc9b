//! Why a configuration was refused.

use thiserror::Error;

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

    /// What serde found, at the place where it found it.
    #[must_use]
    pub fn from_json(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        // serde_json appends the position to its messages; the path says more, but the line helps in long files.
        Self::new(if path == "." { String::new() } else { path }, discreet(&error.into_inner().to_string()))
    }
}

/// `message` without the text that stands where something else should: it may be a secret that was written in place of a
/// reference to it.
fn discreet(message: &str) -> String {
    for start in ["invalid type: string", "invalid value: string"] {
        if let (true, Some(end)) = (message.starts_with(start), message.rfind(", expected ")) {
            return format!("{start}{}", message.get(end..).unwrap_or_default());
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::discreet;

    #[test]
    fn a_misplaced_text_is_not_repeated() {
        assert_eq!(
            discreet("invalid type: string \"s, expected x\", expected a map at line 1"),
            "invalid type: string, expected a map at line 1"
        );
        assert_eq!(discreet("unknown field `x`, expected `y`"), "unknown field `x`, expected `y`");
    }
}
