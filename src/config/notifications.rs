//! Connections for the notifications of this side's own agents (A2A 1.0 section 4.3.3): where they may go, and what goes along of what
//! the agent sent. Callers name the URLs, so nothing goes to hosts of their choice that another receiver would take.

mod published_keys;
mod signed_jwt;
mod signing;

pub use published_keys::PublishedKeys;
pub use signed_jwt::SignedJwt;

use super::{CalledWith, Config, ConfigError, Connection, Credential, HostPattern, Other, PushRule, Scheme};
use serde::Deserialize;

/// The connection is for notifications of this side's own agents, not for calls.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// What becomes of the credential that the caller's configuration asked for: `keep` or `drop`.
    pub asked: Asked,
    /// Where notifications may go.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the hosts of `match.hosts`, if it names them one by one; else public `https` hosts")))]
    pub targets: Option<PushRule>,
    /// Longest notification, in bytes.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_body_bytes: u64,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { asked: Asked::default(), targets: None, max_body_bytes: 1_048_576 }
    }
}

/// What becomes of the credential that a caller asked for in its push-notification configuration, and the agent sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// It goes. With an `Authorization` the connection's own credential does not.
    #[default]
    Keep,
    /// It does not.
    Drop,
}

/// Why members about calls are an error beside `notifications`.
const FOR_CALLS: &str = "is for calls of remote agents: a connection with \"notifications\" makes none. Leave it out";

impl Connection {
    /// Fills in where notifications may go, if that is left out and `match.hosts` does not say it.
    pub(super) fn fill_targets(&mut self) {
        let are_named = self.target.hosts.iter().all(|pattern| pattern.host().is_some());
        if let Some(own) = &mut self.notifications
            && !are_named
        {
            own.targets.get_or_insert_default();
        }
    }

    /// Checks what a connection for notifications says, and that no other signs any.
    pub(super) fn check_notifications(&self, at: &str, config: &Config) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        let Some(own) = &self.notifications else {
            let signs = |credential: &Credential| matches!(credential, Credential::SignedJwt(_));
            return match &self.credential {
                Credential::SignedJwt(_) => fail("credential.signed_jwt", NEEDS_NOTIFICATIONS),
                own if own.each().any(signs) => fail("credential.auto", NEEDS_NOTIFICATIONS),
                _ if self.credentials().any(signs) => fail("card.credential.signed_jwt", NEEDS_NOTIFICATIONS),
                _ => Ok(()),
            };
        };
        let said = [
            ("version", self.version != CalledWith::Unsaid),
            ("operations", self.operations.is_some()),
            ("other", self.other != Other::Refuse),
            ("push", self.push.is_some()),
            ("card", self.card.is_some()),
            ("require_signed_card", self.require_signed_card.is_some()),
            ("remote_links", self.strips_links()),
            ("credentials_in_messages", self.credentials_in_messages.is_some()),
        ];
        if let Some((member, _)) = said.into_iter().find(|(_, is_said)| *is_said) {
            return fail(member, FOR_CALLS);
        }
        if !config.hold_headers {
            return fail("notifications", "needs hold_headers: true: a notification is read before anything of it leaves");
        }
        if let Some(rule) = &own.targets {
            if rule.hosts.is_empty() {
                return fail("notifications.targets.hosts", "name at least one host, or leave it out");
            }
            rule.check(&format!("{at}.notifications.targets"))?;
        }
        if own.max_body_bytes == 0 {
            return fail("notifications.max_body_bytes", "must be at least 1");
        }
        self.check_what_goes(at)?;
        // What proves who sends on this side must not go to a receiver.
        let named = self.security.iter().flat_map(|security| security.requirements()).flat_map(|requirement| requirement.0.keys());
        let reads_authorization = |scheme: &Scheme| scheme.is_token() || matches!(scheme, Scheme::Basic(_));
        if own.asked == Asked::Keep && named.filter_map(|name| config.scheme(name)).any(reads_authorization) {
            return fail(
                "notifications.asked",
                "is keep, so the agent's Authorization goes to the receiver, but security reads it: set drop, or use another scheme",
            );
        }
        Ok(())
    }

    /// Whether the credential may go wherever `match.hosts` lets notifications go.
    fn check_what_goes(&self, at: &str) -> Result<(), ConfigError> {
        let method = self.credential.method();
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, &["credential.", member].concat(), reason));
        if self.credential.subject().is_some() || matches!(self.credential, Credential::Auto(_)) {
            return fail(method, "is made of a caller's token, or chosen by a card: a notification has neither");
        }
        let is_any = |pattern: &HostPattern| matches!(pattern, HostPattern::Any | HostPattern::Prefix(_)) && pattern.host().is_none();
        if !self.target.hosts.iter().any(is_any) {
            return Ok(());
        }
        match &self.credential {
            Credential::None(_) => Ok(()),
            Credential::SignedJwt(own) if own.audience.is_none() => Ok(()),
            Credential::SignedJwt(_) => {
                fail("signed_jwt.audience", "would be the same for every host: leave it out, so that each receiver gets a token for itself")
            }
            _ => fail(
                method,
                "would go to whichever host a caller names: name the hosts in match.hosts, or use signed_jwt, whose tokens are for one host",
            ),
        }
    }
}

const NEEDS_NOTIFICATIONS: &str = "signs notifications: it needs \"notifications\": {} on the connection";
