//! Profiles: settings of an agent that belong together, under one name. What the operator says beside a profile
//! counts; the profile fills the rest.

use super::limits::{Limits, MediaRange, Modality};
use super::{CardAccess, Offer};
use crate::protocol::{Binding, Version};
use crate::wire::json::UniqueMap;
use serde::Deserialize;

/// Settings of an agent that belong together, under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What agents of Foundry Agent Service offer to callers: A2A 1.0 over JSON-RPC, 0.3 over JSON-RPC and HTTP+JSON (which is also the
    /// version of requests that name none), text only, no streams, and one card for each version that only authenticated callers read.
    Foundry,
}

impl Profile {
    /// The bindings of each version, in the form of `versions`.
    #[must_use]
    pub const fn versions(self) -> &'static [(Version, &'static [Binding])] {
        match self {
            Self::Foundry => &[(Version::V0_3, &[Binding::Jsonrpc, Binding::HttpJson]), (Version::V1_0, &[Binding::Jsonrpc])],
        }
    }

    /// The version of requests that name none.
    #[must_use]
    pub const fn default_version(self) -> Version {
        match self {
            Self::Foundry => Version::V0_3,
        }
    }

    /// Limits; none on the body.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Foundry => Limits {
                modalities: Some(vec![Modality::Text]),
                streaming: Some(false),
                output_modes: MediaRange::try_from("text/*".to_owned()).ok().map(|text| vec![text]),
                ..Limits::default()
            },
        }
    }

    /// Who may read the card.
    #[must_use]
    pub const fn card_access(self) -> CardAccess {
        match self {
            Self::Foundry => CardAccess::Authenticated,
        }
    }

    /// Where below the prefix each version's card is. These replace the well-known paths.
    #[must_use]
    pub const fn card_paths(self) -> &'static [(Version, &'static str)] {
        match self {
            Self::Foundry => &[(Version::V0_3, "/agentCard/v0.3"), (Version::V1_0, "/agentCard/v1.0")],
        }
    }

    /// Fills what an agent's configuration leaves open.
    pub fn fill(self, versions: &mut UniqueMap<Offer, Version>, limits: &mut Limits) {
        if versions.0.is_empty() {
            let offer = |bindings: &[Binding]| Offer { bindings: bindings.to_vec(), ..Offer::default() };
            versions.0 = self.versions().iter().map(|(version, bindings)| (*version, offer(bindings))).collect();
        }
        limits.fill(self.limits());
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Limits, Modality, Profile, UniqueMap, Version};

    #[test]
    fn foundry_is_text_without_streams_in_two_versions_and_three_doors() {
        let profile: Profile = serde_json::from_str("\"foundry\"").unwrap();
        let (mut versions, mut limits) = (UniqueMap::default(), Limits::default());
        profile.fill(&mut versions, &mut limits);
        let doors: Vec<(Version, Vec<Binding>)> = versions.0.into_iter().map(|(version, offer)| (version, offer.bindings)).collect();
        assert_eq!(doors, [(Version::V0_3, vec![Binding::Jsonrpc, Binding::HttpJson]), (Version::V1_0, vec![Binding::Jsonrpc])]);
        assert_eq!(Modality::ALL.map(|modality| limits.allows(modality)), [true, false, false]);
        assert!(!limits.streams());
        assert!(limits.output_modes.unwrap().iter().any(|range| range.meets("text/plain")));
    }

    #[test]
    fn what_the_operator_says_counts() {
        let mut versions = UniqueMap::default();
        versions.0.insert(Version::V1_0, super::Offer { bindings: vec![Binding::Jsonrpc], ..super::Offer::default() });
        let mut limits = Limits { streaming: Some(true), ..Limits::default() };
        Profile::Foundry.fill(&mut versions, &mut limits);
        assert_eq!(versions.0.len(), 1);
        assert!(limits.streams() && !limits.allows(Modality::File));
    }
}
