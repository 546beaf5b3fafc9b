//! Connections: remote agents that this side calls, and the credential that goes to each.

use super::{
    CalledWith, ConfigError, Credential, Demanded, Fields, Issuer, Match, Notifications, Operations, Pin, Placement, PushTo, RemoteCard,
    Scheme, Secret, SignedCard,
};
use crate::protocol::Operation;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// A remote agent that this side calls, and the credential that goes to it.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>, extend(
        "anyOf" = [{"required": ["version"]}, {"required": ["notifications"]}],
        "dependentSchemas" = {"notifications": {"properties": {
            "version": false, "operations": false, "push": false, "card": false, "require_signed_card": false, "other": {"const": "refuse"},
            "remote_links": {"const": "pass"}, "credentials_in_messages": false
        }}}
    )))]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The name in logs and answers.
    pub name: String,
    /// Which requests go to it: as for agents, without `grpc`: the path decides.
    #[serde(rename = "match")]
    pub target: Match,
    /// `{}`: the connection is for notifications of your own agents, not for calls: see [push
    /// notifications](push-notifications.md#notifications-of-your-own-agents).
    #[serde(default)]
    pub notifications: Option<Notifications>,
    /// The A2A version that the remote agent is called with: `1.0`, `0.3`, or `auto`, see [by the agent's
    /// card](outbound.md#by-the-agents-card).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, but for notifications")))]
    pub version: CalledWith,
    /// `{"remote": {"uri": …, "cluster": …}}`: the agent's card, where `version`, `credential` or `require_signed_card` needs it; with
    /// `credential`, what the request for it carries.
    #[serde(default)]
    pub card: Option<RemoteCard>,
    /// `{"jwks": {"inline": {"keys": […]}}, "algorithms": […]}`: whose signature the card must have. A card without a good one is as no
    /// card.
    #[serde(default)]
    pub require_signed_card: Option<SignedCard>,
    /// What callers on this side must bring: a list as [agents](configuration.md#agents) have it, over the same `schemes`. Without it,
    /// who reaches the listener may call.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Requirements"))]
    pub security: Option<Demanded>,
    /// Which operations leave: names of A2A 1.0, classes (`read`, `execute`, `manage`) or `any`, as in access rules.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = r#"`["any"]`"#)))]
    pub operations: Option<Vec<Operations>>,
    /// What becomes of requests that are not A2A: `refuse`, or `pass` without any credential. See [only A2A
    /// leaves](outbound.md#only-a2a-leaves).
    #[serde(default)]
    pub other: Other,
    /// What is attached: `{"header": {"name": "x-api-key", "value": {"secret": "partner_key"}}}`, with `"prefix": "Bearer "` if something
    /// stands before the secret; `{"none": {}}`; or one of `headers`, `query`, `cookie`, `client_credentials`, `managed_identity`,
    /// `token_exchange`, `on_behalf_of`, `identity_assertion`, `passthrough`, `user_passthrough`, `auto`: see [outbound calls](outbound.md); for
    /// notifications [`signed_jwt`](push-notifications.md#signed-tokens).
    pub credential: Credential,
    /// Puts a token into push-notification configurations that name your webhook, see [push](configuration.md#push).
    #[serde(default)]
    pub push: Option<PushTo>,
    /// Where Envoy's route must lead: `{"clusters": ["partner"]}`, `{"route_metadata": {}}`, or `"none"`: anywhere, with a warning in the
    /// log.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless `placement` is `cluster`")))]
    pub pin: Option<Pin>,
    /// `{"headers": […], "query": […]}`: what of the client's request does not leave, beside what looks like a credential: see [what the
    /// client does not get out](outbound.md#what-the-client-does-not-get-out).
    #[serde(default)]
    pub drop: Fields,
    /// `{"headers": […], "query": […]}`: what leaves although it looks like a credential.
    #[serde(default)]
    pub keep: Fields,
    /// What becomes of links in answers of the remote agent whose task waits for credentials: `pass`, or `strip`: see [links of remote
    /// agents](outbound.md#links-of-remote-agents).
    #[serde(default)]
    pub remote_links: RemoteLinks,
    /// Messages that leave with something that can be seen to be a credential: `refuse` or `allow`: see [credentials in
    /// messages](outbound.md#credentials-in-messages).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`refuse`, where calls are read as a whole anyway")))]
    pub credentials_in_messages: Option<CredentialsInMessages>,
    /// Most requests of one worker that wait for the credential at a time.
    #[serde(default = "a_thousand")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_waiting: usize,
}

/// What becomes of requests at a connection that are not A2A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize), schemars(rename = "OtherCalls"))]
#[serde(rename_all = "snake_case")]
pub enum Other {
    /// It is refused.
    #[default]
    Refuse,
    /// It goes on without a credential.
    Pass,
}

/// What becomes of links in answers whose task waits for credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum RemoteLinks {
    /// They go on to the client, but for those that look like links of this filter.
    #[default]
    Pass,
    /// They are removed. An answer that cannot be read is refused.
    Strip,
}

/// What becomes of messages with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum CredentialsInMessages {
    /// They are refused. Messages are read as a whole for that.
    Refuse,
    /// They leave.
    Allow,
}

impl Connection {
    /// Whether no link of the remote agent goes on from where its task waits for credentials.
    #[must_use]
    pub fn strips_links(&self) -> bool {
        self.remote_links == RemoteLinks::Strip
    }

    /// Fills in what the filter's place implies.
    pub(super) fn fill(&mut self, placement: Placement) {
        self.pin = self.pin.take().or_else(|| Pin::implied(placement));
        self.fill_targets();
    }

    /// Whether `operation` may leave.
    #[must_use]
    pub fn lets(&self, operation: Operation) -> bool {
        self.operations.as_ref().is_none_or(|listed| listed.iter().any(|operations| operations.cover(operation)))
    }

    /// Checks who may call, and what.
    pub(super) fn check_callers(&self, at: &str, schemes: &SortedMap<String, Scheme>, issuers: &[Issuer]) -> Result<(), ConfigError> {
        if self.operations.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::of(at, "operations", "name at least one operation (\"any\" for every one)"));
        }
        match &self.security {
            None => Ok(()),
            Some(Demanded::FromCard) => {
                Err(ConfigError::of(at, "security", "from_card is for agents: list what callers on this side must bring"))
            }
            Some(Demanded::Requirements(list)) if list.is_empty() => {
                Err(ConfigError::of(at, "security", "give at least one requirement, or leave security out"))
            }
            Some(demanded) => {
                demanded.check(&format!("{at}.security"), schemes)?;
                demanded.check_audiences(at, None, schemes, issuers)
            }
        }
    }

    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>, issuers: &[Issuer]) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.target.grpc {
            return fail("match.grpc", "is for agents: a connection is matched by its path_prefix");
        }
        if self.max_waiting == 0 {
            return fail("max_waiting", "must be at least 1");
        }
        if self.version == CalledWith::Unsaid && self.notifications.is_none() {
            return fail(
                "version",
                "is missing: say with which version of A2A the remote agent is called: 1.0, 0.3, or auto to go by its card",
            );
        }
        Pin::check(self.pin.as_ref(), &format!("{at}.pin"), &self.name)?;
        let decides = self.version == CalledWith::Auto || matches!(self.credential, Credential::Auto(_));
        let goes_by_card = decides || self.require_signed_card.is_some();
        match &self.card {
            None if goes_by_card => return fail("card", "say where the card is that version, credential or require_signed_card speaks of"),
            Some(_) if !goes_by_card => {
                return fail("card", "is read only with \"version\": \"auto\", credential.auto or require_signed_card");
            }
            Some(card) => card.check(&format!("{at}.card"), self, secrets, issuers)?,
            None => {}
        }
        if let Some(signed) = &self.require_signed_card {
            signed.check(&format!("{at}.require_signed_card"))?;
        }
        self.credential.check(&format!("{at}.credential"), secrets, issuers)
    }
}

const fn a_thousand() -> usize {
    1000
}
