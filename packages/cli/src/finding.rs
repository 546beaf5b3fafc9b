//! What was found in a file: what is wrong, where, and what to do.

use serde::Serialize;
use std::ops::Range;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Envoy or the filter refuses it, or requests are refused or pass that should not.
    Error,
    /// It works, but not as somebody may expect.
    Warning,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The place in the document, such as `static_resources.listeners[0]`. Empty for all of it.
    pub place: String,
    /// What is wrong. Begins with the place in the plugin's configuration, if it is there.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where in the file, in bytes.
    pub span: Range<usize>,
}

/// A file that was read, and what was found in it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its name.
    pub file: String,
    /// What it holds.
    pub source: String,
    /// The same, with asterisks where a secret can stand.
    pub shown: String,
    /// The configurations of the filter in it, by what they are and where they begin.
    pub plugins: Vec<(&'static str, usize)>,
    /// In the order of the file.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// How many findings are as bad as this.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let before = self.source.get(..at).unwrap_or(&self.source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// The line in which a byte stands, as far as it may be shown.
    pub fn line(&self, at: usize) -> &str {
        let start = self.shown.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
        self.shown.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }
}
