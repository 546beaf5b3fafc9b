//! Static keys and passwords, by their SHA-256: the configuration is shown in Envoy's admin interface.

use super::{ConfigError, security::is_scope, taken::is_ours};
use crate::wire::sorted::SortedSet;
use crate::wire::{header, hex};
use serde::Deserialize;

/// A SHA-256: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[0-9A-Fa-f]{64}$")))]
#[serde(try_from = "String")]
pub struct Sha256(pub [u8; 32]);

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(&text).map(Self).ok_or("must be a SHA-256: 64 hexadecimal digits")
    }
}

/// Static keys, by their SHA-256.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Where the key is.
    #[serde(rename = "in")]
    pub place: KeyPlace,
    /// Name of the header (in lower case), parameter (in any case) or cookie.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name: String,
    /// The keys that are taken. Two with one `id` let a key be changed without a gap.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub keys: Vec<Entry>,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum KeyPlace {
    Header,
    Query,
    Cookie,
}

/// Names and passwords.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Those who are let in.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub users: Vec<Entry>,
}

/// One key, or one user with its password. `attache hash-key` prints it.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who it belongs to: the client of a key, the name of a user.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub id: String,
    /// The SHA-256 of the key, or of `name:password`: 64 hexadecimal digits.
    pub sha256: Sha256,
    /// Scopes that come with it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$"))))]
    pub scopes: Vec<String>,
    /// Roles that come with it.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// The SHA-256 of no bytes: what a forgotten variable gives.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
    0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Headers that say something else already.
const TAKEN: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "a2a-version",
    "a2a-extensions",
    "x-forwarded-client-cert",
];

impl ApiKey {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |reason: &str| Err(ConfigError::of(at, "name", reason));
        match self.place {
            KeyPlace::Header if !header::is_name(&self.name) => return fail("must be a header name in lower case"),
            KeyPlace::Header if TAKEN.contains(&self.name.as_str()) || is_ours(&self.name) => {
                return fail("this header has another meaning");
            }
            KeyPlace::Cookie if !header::is_token(&self.name) => return fail("must be the name of a cookie"),
            KeyPlace::Query if self.name.is_empty() || self.name.eq_ignore_ascii_case("a2a-version") => {
                return fail("must be the name of a parameter of no other meaning");
            }
            KeyPlace::Header | KeyPlace::Cookie | KeyPlace::Query => {}
        }
        check(&self.keys, &format!("{at}.keys"))
    }
}

impl Basic {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        check(&self.users, &format!("{at}.users"))
    }
}

fn check(entries: &[Entry], at: &str) -> Result<(), ConfigError> {
    if entries.is_empty() {
        return Err(ConfigError::new(at, "name at least one"));
    }
    let mut seen = SortedSet::new();
    for (index, entry) in entries.iter().enumerate() {
        // One owner may have two, so that keys can be changed without a gap.
        if entry.id.is_empty() {
            return Err(ConfigError::new(format!("{at}[{index}].id"), "must not be empty"));
        }
        if entry.sha256.0 == OF_NOTHING {
            return Err(ConfigError::new(format!("{at}[{index}].sha256"), "is the SHA-256 of nothing"));
        }
        if !seen.insert(entry.sha256) {
            return Err(ConfigError::new(format!("{at}[{index}].sha256"), "is there twice: whose is it?"));
        }
        scopes(&entry.scopes, &format!("{at}[{index}].scopes"))?;
    }
    Ok(())
}

/// Errs on what is no `scope-token` (RFC 6749 section 3.3).
pub(super) fn scopes(scopes: &[String], at: &str) -> Result<(), ConfigError> {
    match scopes.iter().position(|scope| !is_scope(scope)) {
        Some(index) => Err(ConfigError::new(format!("{at}[{index}]"), "not a scope-token (RFC 6749 section 3.3)")),
        None => Ok(()),
    }
}
