//! What is told of decisions: the record in the log and in filter state, refusals that are told and not made, and the
//! trace that a trusted caller may ask for.

use super::ConfigError;
use crate::wire::header;
use serde::Deserialize;

/// The record that each decision leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Which decisions are in the log.
    pub level: AuditLevel,
    /// Envoy's log level of their lines.
    pub log_level: AuditLogLevel,
    /// How the caller's subject is written.
    pub subject: SubjectForm,
    /// Whether the line is also published as filter state `wasm.attache.audit`, whatever `level` says.
    pub filter_state: bool,
}

/// Which decisions are in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditLevel {
    /// Every one.
    #[default]
    All,
    /// Refusals, made or only told (`shadow`).
    Denied,
    /// None.
    None,
}

/// Envoy's log levels that a record may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Envoy's own names")]
pub enum AuditLogLevel {
    Debug,
    #[default]
    Info,
    Warn,
}

/// How a subject is written: it is often a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectForm {
    /// As it is.
    Plain,
    /// As a digest: the same subject of the same issuer always has the same.
    #[default]
    Digest,
    /// Not at all.
    None,
}

/// Classes of refusals that are decided and told, but not made: to see what a configuration would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shadow {
    /// Credentials that are missing or bad. Such a request goes on without an identity.
    pub authentication: bool,
    /// Scopes that are missing, and rules that do not let the caller.
    pub authorization: bool,
    /// Versions that are not offered or contradict themselves.
    pub version: bool,
}

/// Who may see how a request was decided, by sending a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The request header that asks, and the response header that answers, in lower case.
    #[serde(default = "explain")]
    pub header: String,
    /// Clients that may ask.
    pub allow: Vec<String>,
}

fn explain() -> String {
    "x-attache-explain".to_owned()
}

impl Trace {
    /// Whether a verified caller of `client` may see how its request was decided.
    #[must_use]
    pub fn is_for(&self, client: Option<&str>) -> bool {
        client.is_some_and(|client| self.allow.iter().any(|own| own == client))
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        // Nothing that means something to anybody else: the header is taken away from every request.
        if !header::is_name(&self.header) || !self.header.starts_with("x-") {
            return Err(ConfigError::new(format!("{at}.header"), "must be a header name in lower case that begins with x-"));
        }
        if self.allow.is_empty() || self.allow.iter().any(String::is_empty) {
            return Err(ConfigError::new(format!("{at}.allow"), "name at least one client"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, AuditLevel, SubjectForm, Trace};

    #[test]
    fn everything_is_recorded_and_nobody_is_named_unless_told_otherwise() {
        let audit: Audit = serde_json::from_str("{}").unwrap();
        assert_eq!((audit.level, audit.subject, audit.filter_state), (AuditLevel::All, SubjectForm::Digest, false));
    }

    #[test]
    fn only_those_named_may_ask() {
        let trace: Trace = serde_json::from_str(r#"{"allow": ["cli"]}"#).unwrap();
        assert!(trace.check("debug").is_ok() && trace.header == "x-attache-explain");
        assert!(trace.is_for(Some("cli")) && !trace.is_for(Some("")) && !trace.is_for(Some("CLI")) && !trace.is_for(None));
        for odd in
            [r#"{"allow": []}"#, r#"{"allow": [""]}"#, r#"{"header": "host", "allow": ["a"]}"#, r#"{"header": "X-A", "allow": ["a"]}"#]
        {
            assert!(serde_json::from_str::<Trace>(odd).unwrap().check("debug").is_err(), "{odd}");
        }
    }
}
