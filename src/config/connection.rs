//! Connections: remote agents that this side calls, and the credential that goes to each.

use super::{ConfigError, Match};
use crate::protocol::Version;
use crate::wire::header;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One remote agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The name in logs.
    pub name: String,
    /// Which requests go to it.
    #[serde(rename = "match")]
    pub target: Match,
    /// The A2A version that it is called with.
    pub version: Version,
    /// What is attached.
    pub credential: Credential,
}

/// The credential of a connection.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A header with a secret value.
    Header(HeaderCredential),
    /// None, on purpose.
    None(Nothing),
}

/// `none: {}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A header whose value is a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderCredential {
    /// Header name, in lower case.
    pub name: CredentialHeader,
    /// What stands before the secret, such as `Bearer ` with its space.
    #[serde(default)]
    pub prefix: Prefix,
    /// Where the value comes from.
    pub value: SecretRef,
}

/// A reference to `secrets`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// A name in `secrets`.
    pub secret: String,
}

/// Where a secret comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// An environment variable that Envoy passes on (`vm_config.environment_variables.host_env_keys`).
    Env(String),
}

/// A header that may carry a credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CredentialHeader(String);

impl CredentialHeader {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CredentialHeader {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FRAMING: [&str; 9] =
            ["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive"];
        let name = text.to_ascii_lowercase();
        if !header::is_name(&name) {
            return Err("not a header name");
        }
        if FRAMING.contains(&name.as_str()) || name == crate::protocol::version::HEADER || name.starts_with("x-attache-") {
            return Err("this header has another meaning and cannot carry a credential");
        }
        Ok(Self(name))
    }
}

/// Text before a secret: printable ASCII.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Prefix {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) { Ok(Self(text)) } else { Err("must be printable ASCII") }
    }
}

impl Connection {
    pub(super) fn check(&self, at: &str, secrets: &BTreeMap<String, Secret>) -> Result<(), ConfigError> {
        if self.target.grpc {
            return Err(ConfigError::new(format!("{at}.match.grpc"), "is for agents: a connection is matched by its path_prefix"));
        }
        match &self.credential {
            Credential::Header(header) if !secrets.contains_key(&header.value.secret) => Err(ConfigError::new(
                format!("{at}.credential.header.value.secret"),
                // Not its name: it may be the secret itself, in the wrong place.
                "there is no secret of this name: `secrets` says where each comes from",
            )),
            Credential::Header(_) | Credential::None(_) => Ok(()),
        }
    }
}
