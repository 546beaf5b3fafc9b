//! Connections: remote agents that this side calls, and the credential that goes to each.

use super::{
    CalledWith, ConfigError, Credential, Demanded, Fields, Issuer, Match, Notifications, Operations, Pin, Placement, PushTo, RemoteCard,
    Scheme, Secret, SignedCard,
};
use crate::protocol::Operation;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// One remote agent.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The name in logs.
    pub name: String,
    /// Which requests go to it.
    #[serde(rename = "match")]
    pub target: Match,
    /// It is for notifications of this side's own agents. Then what is said of calls below has no meaning.
    #[serde(default)]
    pub notifications: Option<Notifications>,
    /// The A2A version that it is called with.
    #[serde(default)]
    pub version: CalledWith,
    /// Where its card is, if version or credential depends on it.
    #[serde(default)]
    pub card: Option<RemoteCard>,
    /// Whose signature that card needs. A card without a good one is as no card.
    #[serde(default)]
    pub require_signed_card: Option<SignedCard>,
    /// What a caller on this side must bring. `None`: who reaches the listener may call.
    #[serde(default)]
    pub security: Option<Demanded>,
    /// The operations that leave. `None`: any.
    #[serde(default)]
    pub operations: Option<Vec<Operations>>,
    /// What becomes of requests that are not A2A.
    #[serde(default)]
    pub other: Other,
    /// What is attached.
    pub credential: Credential,
    /// Gives push configurations that name a webhook of ours a token of the filter.
    #[serde(default)]
    pub push: Option<PushTo>,
    /// Where Envoy's route must lead. Otherwise nothing goes out. [`super::Config::parse`] makes sure that it is said.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// Headers and query parameters of clients that do not leave, beside those that look like credentials.
    #[serde(default)]
    pub drop: Fields,
    /// Those that leave although they look like credentials, or are in `drop`.
    #[serde(default)]
    pub keep: Fields,
    /// Most requests of one worker that wait for the credential at a time; more are refused.
    #[serde(default = "a_thousand")]
    pub max_waiting: usize,
}

/// What becomes of a request at a connection that is not A2A.
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

impl Connection {
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
