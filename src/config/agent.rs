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
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// A server behind this Envoy: what of A2A it speaks, and what a caller must bring.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The name in logs, challenges (`realm`) and [`x-attache`](identity.md).
    pub name: String,
    /// Which requests are for it, see [match](configuration.md#match).
    #[serde(rename = "match")]
    pub target: Match,
    /// What it offers: `"from_card"` ([below](configuration.md#versions-from_card)), or `{"1.0": {"bindings": ["jsonrpc", "http_json",
    /// "grpc"], "paths": {"jsonrpc": "/a2a/jsonrpc", "http_json": "/a2a/rest"}}, "0.3": …}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless `profile` has them")))]
    versions: Versions,
    /// A preset for what is left open, [see below](configuration.md#profile-foundry).
    #[serde(default)]
    profile: Option<Profile>,
    /// The version of requests that name none; must be one of `versions`.
    #[serde(default, rename = "default_version")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::VersionName", extend("x-default" = "the only one, else `0.3`")))]
    written_version: Option<Version>,
    /// The version of requests that name none: the only one that there is, else 0.3 (A2A 1.0 section 3.6.2); filled by
    /// [`Config::parse`](super::Config::parse).
    #[serde(skip, default = "oldest")]
    pub default_version: Version,
    /// Whether a request that names no version has that of its method or route; see [below](configuration.md#what-a-request-is).
    #[serde(default)]
    pub infer_version: bool,
    /// The agent's URL for clients. With it the agent's card is rewritten, see [cards](cards.md); without it the card passes unchanged:
    /// if it names the agent's own address, clients that read it go around this filter, and the log warns of that.
    #[serde(default)]
    pub public_url: Option<HttpUri>,
    /// Its card: where it is, where it comes from, who may read it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the agent's own, for authenticated callers")))]
    pub card: Card,
    /// What a caller must bring: a list of which one must hold; in each, every scheme with all its scopes: `[{"oauth2":
    /// ["agent:execute"]}]`. Or `"from_card"`: what the agent's own card declares, see [cards](cards.md#the-card-as-the-policy).
    pub security: Demanded,
    /// Whom tokens must be for, see [above](configuration.md#whom-a-token-is-for). Not together with an `introspection` scheme, which has
    /// its own.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("x-default" = "those of its schemes")))]
    pub audiences: Option<Vec<String>>,
    /// Rules for operations and skills, beyond `security`; see [access](configuration.md#access). The first that names the operation
    /// decides, and where there are rules, no rule means no.
    #[serde(default)]
    pub access: Option<Vec<Rule>>,
    /// Where requests say which skill they are for; see [below](configuration.md#skill_from).
    #[serde(default)]
    pub skill_from: Option<SkillFrom>,
    /// What requests may hold and ask for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "those [below](configuration.md#limits)")))]
    pub limits: Limits,
    /// Where callers may let the agent send notifications, see [push notifications](push-notifications.md).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "public `https` hosts")))]
    pub push_notifications: PushRule,
    /// Whose its tasks are: `{"owned": {"keys": [{"id": "k1", "secret": "tasks"}]}}` gives them to the callers who made them, see [task
    /// ownership](task-ownership.md); with `mark: {"metadata_key": …}` beside `keys` they can be
    /// [listed](task-ownership.md#lists-of-everything) without a context.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`shared`")))]
    pub tasks: Tasks,
    /// Which tenants of the agent requests may name: `{"claim": "tid"}` or `{"ignore": {}}`, see [below](configuration.md#tenant).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the published one")))]
    pub tenant: Tenants,
    /// What is sent on.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the token and `x-attache`")))]
    pub forward: Forward,
    /// What else stands below the prefix and passes without a caller, see [below](configuration.md#other-paths).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub other_paths: Vec<OtherPath>,
    /// CORS preflights: `refuse`, or `pass` to what answers them behind the filter, see [below](configuration.md#browsers).
    #[serde(default)]
    pub cors: Cors,
    /// Classes of refusals that are [told and not made](records.md#shadow): `authentication`, `authorization`, `version`, each `true` or
    /// `false`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none")))]
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
    /// The versions whose gRPC calls are for it at its hosts. Its card may say any.
    #[must_use]
    pub fn grpc_services(&self) -> Vec<Version> {
        let is_one = |version: &Version| self.offers_by_card() || self.offers(*version, Binding::Grpc);
        [Version::V0_3, Version::V1_0].into_iter().filter(|version| self.target.grpc && is_one(version)).collect()
    }

    /// Whether its card says what it offers.
    #[must_use]
    pub const fn offers_by_card(&self) -> bool {
        matches!(self.versions, Versions::FromCard)
    }

    /// Whether it can offer this, which its card says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_offers(&self, offers: &SortedMap<Version, Offer>) -> Result<(), ConfigError> {
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
    pub fn with_offers(&self, offers: SortedMap<Version, Offer>, streams: Option<bool>) -> Self {
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
                self.card.paths.0 = profile.card_paths().iter().map(|(version, path)| (*version, (*path).to_owned())).collect();
            }
        }
    }

    pub(super) fn check(&self, at: &str, schemes: &SortedMap<String, Scheme>, issuers: &[Issuer]) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: String| Err(ConfigError::of(at, member, &reason));
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
        if self.target.grpc && self.tasks.owned().is_some_and(|owned| owned.mark.is_some()) {
            return fail("tasks.owned.mark", "messages of gRPC are not marked: leave out one or the other".to_owned());
        }
        self.push_notifications.check(&format!("{at}.push_notifications"))?;
        let vouchers = Vouchers::at(&self.security, issuers, schemes);
        for (index, rule) in self.access.iter().flatten().enumerate() {
            rule.check(&format!("{at}.access[{index}]"), issuers, schemes, &vouchers, self.skill_from.as_ref())?;
        }
        if let Some(require) = self.card.access.require() {
            require.check(&format!("{at}.card.access.require"), issuers, schemes, &vouchers)?;
        }
        self.limits.check(&format!("{at}.limits"))?;
        self.tenant.check(&format!("{at}.tenant"), &self.security, schemes)?;
        self.card.check(&format!("{at}.card"), self.public_url.is_some(), &self.target)?;
        if matches!((&self.security, &self.card.source), (Demanded::FromCard, CardSource::Upstream)) {
            return fail(
                "security",
                "from_card needs the card before the first request: give card.source.inline or card.source.remote".to_owned(),
            );
        }
        self.security.check(&format!("{at}.security"), schemes)?;
        self.security.check_audiences(at, self.audiences.as_deref(), schemes, issuers)
    }
}

impl Agent {
    /// What the configuration says of versions.
    fn check_offered(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: String| Err(ConfigError::of(at, member, &reason));
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

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example", "audiences": ["a"],
                         "jwks": {"remote": {"uri": "https://auth.example/jwks", "cluster": "idp"}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "secrets": {"key": {"env": "KEY"}},
            "agents": [{"name": "expense", "match": {"hosts": ["a.example"], "path_prefix": "/agents/expense"},
                        "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "security": [{"oauth2": []}]}],
        })
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut config = good();
        match pointer.strip_prefix("/agents/0/") {
            Some(member) => config["agents"][0][member] = value,
            None => config["agents"] = value,
        }
        Config::parse(config.to_string().as_bytes()).map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    }

    #[test]
    fn the_grpc_calls_of_a_version_are_one_agents() {
        let agents = |versions: [&str; 2]| {
            let agent = |name: &str, version: &str| {
                json!({"name": name, "match": {"hosts": ["a.example"], "path_prefix": format!("/{name}"), "grpc": true},
                    "versions": {version: {"bindings": ["grpc"]}}, "security": [{"oauth2": []}]})
            };
            with("/agents", json!([agent("one", versions[0]), agent("other", versions[1])]))
        };
        assert_eq!(agents(["1.0", "0.3"]), "ok");
        let error = "agents[1].match.grpc: another agent takes the gRPC calls of A2A 1.0 at this host";
        assert_eq!(agents(["1.0", "1.0"]), error);
    }

    #[test]
    fn places_of_cards_are_plain_and_said_once() {
        for (pointer, value, expected) in [
            ("/agents/0/card", json!({"at": "card.json"}), "agents[0].card.at: must be a plain path of the host"),
            ("/agents/0/card", json!({"at": "/card?a=b&c=d"}), "agents[0].card.at: has a query that is not one name=value"),
            ("/agents/0/card", json!({"at": "/agents/expense/card"}), "agents[0].card.at: is below path_prefix: use paths"),
            (
                "/agents/0/card",
                json!({"at": "/card", "paths": {"1.0": "/c"}}),
                "agents[0].card.at: says where the card is, and so does paths",
            ),
            ("/agents/0/card", json!({"upstream_path": "v1/card"}), "agents[0].card.upstream_path: must be a plain path below path_prefix"),
            (
                "/agents/0/card",
                json!({"upstream_path": "/v1/card", "source": {"inline": {}}}),
                "agents[0].card.upstream_path: is for cards that the agent is asked for",
            ),
        ] {
            let error = with(pointer, value.clone());
            assert!(error.starts_with(expected), "{value}: {error}");
        }
    }

    #[test]
    fn a_card_at_a_path_of_the_host_is_one_agents() {
        let two = |first: &str, second: &str, prefix: &str| {
            let mut agents = good()["agents"].clone();
            agents[0]["card"] = json!({"at": first});
            let mut other = agents[0].clone();
            (other["name"], other["match"]["path_prefix"], other["card"]) = (json!("other"), json!(prefix), json!({"at": second}));
            agents.as_array_mut().unwrap().push(other);
            with("/agents", agents)
        };
        assert_eq!(two("/card?id=a", "/card?id=b", "/b"), "ok");
        assert_eq!(two("/a.json", "/b.json", "/b"), "ok");
        for (first, second) in [("/card", "/card"), ("/card?id=a", "/card"), ("/card", "/card?id=a"), ("/card?id=a", "/card?id=a")] {
            let error = two(first, second, "/b");
            assert_eq!(error, "agents[1].card.at: another agent has its card at this path of the same host", "{first} {second}");
        }
        let error = two("/b/card", "/x", "/b");
        assert_eq!(error, "agents[0].card.at: is below /b, the path_prefix of another agent or connection of the same host");
    }
}
