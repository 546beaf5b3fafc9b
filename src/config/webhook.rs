//! `webhooks`: where remote agents post notifications about tasks (A2A 1.0 section 4.3.3), and how they show who they are.

use super::{Config, ConfigError, Demanded, Match, PushToken};
use serde::Deserialize;

/// Longest body of a notification, unless it is said otherwise.
const MEGABYTE: u64 = 1 << 20;

/// A place that takes notifications of remote agents.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>, extend("anyOf" = [{"required": ["security"]}, {"required": ["token"]}])))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The name in logs, statistics and `x-attache`.
    pub name: String,
    /// Which requests are for it: as for [agents](configuration.md#match), without `grpc`.
    #[serde(rename = "match")]
    pub target: Match,
    /// What the sender must bring, as for agents: `[{"partner_push": []}]`. With `token`, both must hold.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Requirements", extend("x-default" = "required, unless there is `token`")))]
    pub security: Option<Demanded>,
    /// Whom tokens must be for, see [above](configuration.md#whom-a-token-is-for).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("x-default" = "those of its schemes")))]
    pub audiences: Option<Vec<String>>,
    /// Whether a signed token (JWT) is good for one notification: then it needs a `jti`, and may be good for an hour at most. `any`:
    /// access tokens, which are used until they expire.
    #[serde(default)]
    pub jti: JtiUse,
    /// The sender must have the token that the filter put into the push configuration of a call.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless there is `security`")))]
    pub token: Option<PushToken>,
    /// Longest body. [Envoy's buffers](buffers.md) must be larger.
    #[serde(default = "megabyte")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
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
