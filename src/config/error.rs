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
        Self::new(if path == "." { String::new() } else { path }, error.into_inner().to_string())
    }
}
