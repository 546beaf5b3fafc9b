//! Agents: servers behind this Envoy, what of A2A they speak, and what a caller must bring.

mod tenant;

pub use tenant::{TenantClaim, Tenants};

use super::versions::Versions;
use super::voucher::Vouchers;
use super::{
    Card, CardSource, ConfigError, Cors, Demanded, Forward, HttpUri, Issuer, Limits, Match, Offer, Offers, OtherPath, Profile, PushRule,
    Rule, Scheme, Shadow, SkillFrom, Tasks,
};
use crate::protocol::{Binding, Version};
use crate::wire::json::UniqueMap;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The name in logs, in challenges and in `x-attache`.
    pub name: String,
    /// Which requests are for it.
    #[serde(rename = "match")]
    pub target: Match,
    /// What it offers, by version.
    #[serde(default)]
    versions: Versions,
    /// A preset for what is left open.
    #[serde(default)]
    profile: Option<Profile>,
    /// The version of requests that name none, as it was written.
    #[serde(default, rename = "default_version")]
    written_version: Option<Version>,
    /// The version of requests that name none: the only one that there is, else 0.3 (A2A 1.0 section 3.6.2); filled by
    /// [`Config::parse`](super::Config::parse).
    #[serde(skip, default = "oldest")]
    pub default_version: Version,
    /// Whether a request that names no version has that of its method or route, where only one has it. A2A 1.0 section 3.6.2 reads
    /// it as 0.3.
    #[serde(default)]
    pub infer_version: bool,
    /// The agent's URL for clients. With it, the agent's card is rewritten so that it is true here; without it, the card
    /// passes unchanged.
    #[serde(default)]
    pub public_url: Option<HttpUri>,
    /// Its card.
    #[serde(default)]
    pub card: Card,
    /// What a caller must bring.
    pub security: Demanded,
    /// What a caller may do, beyond `security`: the first rule that names the operation decides, and with rules no
    /// rule means no. `None`: `security` alone decides.
    #[serde(default)]
    pub access: Option<Vec<Rule>>,
    /// Where requests name a skill.
    #[serde(default)]
    pub skill_from: Option<SkillFrom>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Where callers may let the agent send notifications.
    #[serde(default)]
    pub push_notifications: PushRule,
    /// Whose its tasks are.
    #[serde(default)]
    pub tasks: Tasks,
    /// Which tenants requests may name.
    #[serde(default)]
    pub tenant: Tenants,
    /// What is sent on.
    #[serde(default)]
    pub forward: Forward,
    /// What stands beside the agent on its host, and passes without a caller.
    #[serde(default)]
    pub other_paths: Vec<OtherPath>,
    /// What becomes of preflights.
    #[serde(default)]
    pub cors: Cors,
    /// Refusals that are reported, not enforced.
    #[serde(default)]
    pub shadow: Shadow,
}

impl Agent {
    /// Whether the agent speaks `version` over `binding`.
    #[must_use]
    pub fn offers(&self, version: Version, binding: Binding) -> bool {
        self.versions.given().get(&version).is_some_and(|offer| offer.bindings.contains(&binding))
    }

    /// What it offers, and where.
    #[must_use]
    pub fn offered(&self) -> Offers<'_> {
        Offers(self.versions.given())
    }

    /// The path of `binding` below the prefix, in `version`.
    #[must_use]
    pub fn path(&self, version: Version, binding: Binding) -> &str {
        self.versions.given().get(&version).map_or("", |offer| offer.path(binding))
    }

    /// The bindings that the agent offers of `version`, in the order of the configuration.
    #[must_use]
    pub fn bindings(&self, version: Version) -> &[Binding] {
        self.versions.given().get(&version).map_or(&[], |offer| &offer.bindings)
    }

    /// The versions that the agent speaks, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        self.versions.given().keys().copied()
    }

    /// Fills what the configuration leaves open from its profile.
    /// Whether its card says what it offers.
    #[must_use]
    pub const fn offers_by_card(&self) -> bool {
        matches!(self.versions, Versions::FromCard)
    }

    /// Whether it can offer this, which its card says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_offers(&self, offers: &BTreeMap<Version, Offer>) -> Result<(), ConfigError> {
        Offers(offers).check("card")?;
        for other in &self.other_paths {
            other.check("other_paths", Offers(offers))?;
        }
        match self.written_version {
            Some(written) if !offers.contains_key(&written) => {
                Err(ConfigError::new("default_version", format!("{written} is not offered")))
            }
            _ => Ok(()),
        }
    }

    /// The same agent that offers this, with streams only where `streams` is not `Some(false)`.
    #[must_use]
    pub fn with_offers(&self, offers: BTreeMap<Version, Offer>, streams: Option<bool>) -> Self {
        let mut agent = Self { versions: Versions::Given(UniqueMap(offers)), ..self.clone() };
        agent.limits.streaming = agent.limits.streaming.or(streams);
        agent.fill_default_version();
        agent
    }

    pub(super) fn fill(&mut self) {
        self.fill_from_profile();
        self.fill_default_version();
    }

    fn fill_default_version(&mut self) {
        let only = self.versions().next().filter(|_| self.versions.given().len() == 1);
        self.default_version = self.written_version.or(only).unwrap_or_else(oldest);
    }

    fn fill_from_profile(&mut self) {
        if let Some(profile) = self.profile {
            if let Versions::Given(given) = &mut self.versions {
                profile.fill(given, &mut self.limits);
            }
            if self.card.paths.0.is_empty() {
                self.card.paths.0.extend(profile.card_paths().iter().map(|(version, path)| (*version, (*path).to_owned())));
            }
        }
    }

    pub(super) fn check(&self, at: &str, schemes: &BTreeMap<String, Scheme>, issuers: &[Issuer]) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: String| Err(ConfigError::new(format!("{at}.{member}"), reason));
        if self.offers_by_card() {
            if matches!(self.card.source, CardSource::Upstream) {
                let reason = "from_card needs the card before the first request: give card.source.inline or card.source.remote";
                return fail("versions", reason.to_owned());
            }
            if self.profile.is_some() {
                return fail("profile", "says what is offered, and so does versions: leave one out".to_owned());
            }
        } else {
            self.check_offered(at)?;
        }
        if self.target.grpc && self.tasks.owned().is_some() {
            return fail("tasks.owned", "ids in gRPC messages cannot be changed: leave out one or the other".to_owned());
        }
        self.push_notifications.check(&format!("{at}.push_notifications"))?;
        let vouchers = Vouchers::at(&self.security, issuers, schemes);
        for (index, rule) in self.access.iter().flatten().enumerate() {
            rule.check(&format!("{at}.access[{index}]"), issuers, schemes, &vouchers, self.skill_from.as_ref())?;
        }
        self.limits.check(&format!("{at}.limits"))?;
        self.tenant.check(&format!("{at}.tenant"), &self.security, schemes)?;
        self.card.check(&format!("{at}.card"), self.public_url.is_some())?;
        if matches!((&self.security, &self.card.source), (Demanded::FromCard, CardSource::Upstream)) {
            return fail(
                "security",
                "from_card needs the card before the first request: give card.source.inline or card.source.remote".to_owned(),
            );
        }
        self.security.check(&format!("{at}.security"), schemes)
    }
}

impl Agent {
    /// What the configuration says of versions.
    fn check_offered(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: String| Err(ConfigError::new(format!("{at}.{member}"), reason));
        self.offered().check(at)?;
        for (index, other) in self.other_paths.iter().enumerate() {
            other.check(&format!("{at}.other_paths[{index}]"), self.offered())?;
        }
        if self.target.grpc != self.versions().any(|version| self.offers(version, Binding::Grpc)) {
            return fail("match.grpc", "must be true exactly if a version has the binding grpc".to_owned());
        }
        if !self.versions.given().contains_key(&self.default_version) {
            return fail("default_version", format!("{} is not one of versions", self.default_version));
        }
        Ok(())
    }
}

const fn oldest() -> Version {
    Version::V0_3
}
