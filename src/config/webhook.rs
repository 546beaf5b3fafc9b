//! `webhooks`: where remote agents post notifications about tasks (A2A 1.0 section 4.3.3), and how they show who they are.

use super::{Config, ConfigError, Demanded, Match, PushToken};
use serde::Deserialize;

/// Longest body of a notification, unless it is said otherwise.
const MEGABYTE: u64 = 1 << 20;

/// One place that takes notifications.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The name in logs and in `x-attache`.
    pub name: String,
    /// Which requests are for it.
    #[serde(rename = "match")]
    pub target: Match,
    /// What the sender must bring. With `token`, that as well.
    #[serde(default)]
    pub security: Option<Demanded>,
    /// For whom tokens must be, in place of what schemes and issuers say.
    #[serde(default)]
    pub audiences: Option<Vec<String>>,
    /// Whether a signed token of an issuer is good for one notification only.
    #[serde(default)]
    pub jti: JtiUse,
    /// The sender must have the token that the filter put into the push configuration of a call.
    #[serde(default)]
    pub token: Option<PushToken>,
    /// Longest body in bytes.
    #[serde(default = "megabyte")]
    pub max_body_bytes: u64,
}

/// How often a signed token (JWT) may be used at a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum JtiUse {
    /// Once: it has a `jti` (RFC 7519 section 4.1.7), which no other notification has.
    #[default]
    Once,
    /// Until it expires, as access tokens are used.
    Any,
}

const fn megabyte() -> u64 {
    MEGABYTE
}

impl Webhook {
    pub(super) fn check(&self, at: &str, config: &Config) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.target.grpc {
            return fail("match.grpc", "is for agents: notifications are plain HTTP");
        }
        if self.max_body_bytes == 0 {
            return fail("max_body_bytes", "must be at least 1");
        }
        match (&self.security, &self.token) {
            (None, None) => return fail("security", "is missing, and so is token: one of them says who may post here"),
            (Some(Demanded::FromCard), _) => {
                return fail("security", "from_card is for agents: list what senders of notifications must bring");
            }
            (Some(demanded), _) => {
                demanded.check(&format!("{at}.security"), config.schemes())?;
                demanded.check_audiences(at, self.audiences.as_deref(), config.schemes(), &config.issuers)?;
            }
            (None, Some(_)) if self.audiences.is_some() => {
                return fail("audiences", "is for tokens that security takes, and there is no security");
            }
            (None, Some(_)) => {}
        }
        let Some(token) = &self.token else { return Ok(()) };
        token.check(&format!("{at}.token"), config.secrets())
    }
}
