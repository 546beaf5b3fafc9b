//! `security`: what a caller must bring, as cards write it, or the agent's own card as that.

use super::terms::{self, OwnTerms};
use super::{ConfigError, Issuer, Scheme};
use crate::wire::json::UniqueMap;
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// One requirement, as a card writes it: every scheme in it, each with all its scopes.
pub type Requirement = UniqueMap<Vec<String>>;

/// What a caller must bring.
#[derive(Clone, Debug)]
pub enum Demanded {
    /// What the agent's own card declares: `from_card`.
    FromCard,
    /// One of these, whole.
    Requirements(Vec<Requirement>),
}

impl Demanded {
    /// The requirements, if they stand in the configuration.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        match self {
            Self::FromCard => &[],
            Self::Requirements(requirements) => requirements,
        }
    }

    pub(super) fn check(&self, at: &str, schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
        let fail = |place: &str, reason: String| Err(ConfigError::new(format!("{at}{place}"), reason));
        let Self::Requirements(requirements) = self else { return Ok(()) };
        if requirements.is_empty() {
            return fail("", "give at least one requirement: without one it is open".to_owned());
        }
        for (index, UniqueMap(requirement)) in requirements.iter().enumerate() {
            if requirement.is_empty() {
                return fail(&format!("[{index}]"), "an empty requirement would admit everyone".to_owned());
            }
            for (scheme, scopes) in requirement {
                let Some(configured) = schemes.get(scheme) else {
                    return fail(&format!("[{index}].{scheme}"), format!("there is no scheme called {scheme:?}"));
                };
                if matches!(configured, Scheme::None(_)) && (requirement.len() > 1 || !scopes.is_empty()) {
                    return fail(&format!("[{index}].{scheme}"), "nobody brings more than nothing: let it stand alone".to_owned());
                }
                if let Some(place) = scopes.iter().position(|scope| !is_scope(scope)) {
                    return fail(&format!("[{index}].{scheme}[{place}]"), "not a scope-token (RFC 6749 section 3.3)".to_owned());
                }
            }
        }
        let named = requirements.iter().flat_map(|UniqueMap(requirement)| requirement.keys());
        let asked: SortedSet<&String> = named.filter(|name| matches!(schemes.get(*name), Some(Scheme::Introspection(_)))).collect();
        if asked.len() > 1 {
            return fail("", "name one scheme of introspection at most: an opaque token does not say whom to ask".to_owned());
        }
        Ok(())
    }

    /// Errs if tokens of an issuer are taken that nobody says the audience of. `own`: the audiences of the agent at `at`, if it has
    /// some.
    pub(super) fn check_audiences(
        &self,
        at: &str,
        own: Option<&[String]>,
        schemes: &SortedMap<String, Scheme>,
        issuers: &[Issuer],
    ) -> Result<(), ConfigError> {
        terms::check(at, &OwnTerms { audiences: own, ..OwnTerms::default() })?;
        let is_named = |name: &String| match self {
            Self::FromCard => true,
            Self::Requirements(list) => list.iter().any(|UniqueMap(requirement)| requirement.contains_key(name)),
        };
        for (name, scheme) in schemes.iter().filter(|(name, _)| is_named(name)) {
            match scheme {
                Scheme::Bearer(bearer) if bearer.own_terms(own).audiences.is_none() => terms::has_audiences(issuers, &bearer.issuers)?,
                Scheme::Introspection(_) if own.is_some() => {
                    let reason =
                        format!("whom opaque tokens must be for stands in schemes.{name}.introspection.audiences: leave it out here");
                    return Err(ConfigError::of(at, "audiences", &reason));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Demanded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Demanded;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of requirements, or \"from_card\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Demanded, E> {
                if text == "from_card" { Ok(Demanded::FromCard) } else { Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Demanded, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Demanded::Requirements)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// `scope-token` of RFC 6749 section 3.3: visible ASCII without `"` and `\`.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}
