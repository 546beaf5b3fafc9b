//! `versions`: what an agent offers, as it stands in the configuration or in the agent's own card.

use super::Offer;
use crate::protocol::Version;
use crate::wire::json::UniqueMap;
use crate::wire::sorted::SortedMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;

/// What an agent offers, by version.
#[derive(Clone, Debug)]
pub(super) enum Versions {
    /// What its card says: `from_card`.
    FromCard,
    /// This.
    Given(UniqueMap<Offer, Version>),
}

impl Default for Versions {
    fn default() -> Self {
        Self::Given(UniqueMap::default())
    }
}

impl Versions {
    /// What stands in the configuration.
    pub const fn given(&self) -> &SortedMap<Version, Offer> {
        const NONE: &SortedMap<Version, Offer> = &SortedMap::new();
        match self {
            Self::FromCard => NONE,
            Self::Given(UniqueMap(offers)) => offers,
        }
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Versions;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with versions, or \"from_card\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Versions, E> {
                if text == "from_card" { Ok(Versions::FromCard) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Versions, A::Error> {
                UniqueMap::deserialize(MapAccessDeserializer::new(map)).map(Versions::Given)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
