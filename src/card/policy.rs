//! `security: from_card`: a card's own schemes and requirements as what has to be enforced, and what is enforced as what
//! a card states. One type for both, so that a card cannot promise anything else than what holds.

use super::model::{Card, CardError};
use super::requirement::{self, Requirement};
use super::scheme::Scheme;
use crate::wire::paged::PagedMap;
use crate::wire::sorted::SortedMap;
use serde_json::Value;
use thiserror::Error;

/// Schemes by name, and who needs which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Every scheme that a requirement names.
    pub schemes: SortedMap<String, Scheme>,
    /// One of these has to be met, whole. None: nothing is asked for.
    pub requirements: Vec<Requirement>,
    /// What a skill asks for besides, by its id.
    pub skills: SortedMap<String, Vec<Requirement>>,
}

/// Why a card cannot be the policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// What it says about security cannot be read.
    #[error(transparent)]
    Card(#[from] CardError),
    /// It lets everybody in, and saying so by leaving it out is too easy.
    #[error("{at}: admits everyone")]
    Open {
        /// Where.
        at: String,
    },
    /// A requirement names a scheme that the card does not describe.
    #[error("{at}: there is no scheme called {scheme:?}")]
    Unknown {
        /// Where.
        at: String,
        /// The name.
        scheme: String,
    },
    /// A requirement names a scheme that cannot be checked here: `Authorization` with another scheme than Bearer and Basic.
    #[error("{at}: the scheme {scheme:?} cannot be enforced")]
    Unenforceable {
        /// Where.
        at: String,
        /// The name.
        scheme: String,
    },
    /// A skill with requirements has no id, or an id that another skill has.
    #[error("{at}: a skill with requirements needs an id of its own")]
    Skill {
        /// Where.
        at: String,
    },
}

impl Security {
    /// What `card` declares. Every scheme in the result has [`Scheme::means`]; schemes that no requirement names are left
    /// out, whatever they are.
    ///
    /// # Errors
    /// If any of it cannot be read or enforced, or if the card admits everyone.
    pub fn declared(card: &Card) -> Result<Self, PolicyError> {
        let mut security = Self { requirements: requirement::read(card.members(), "")?.unwrap_or_default(), ..Self::default() };
        let open = |at: &str| Err(PolicyError::Open { at: at.to_owned() });
        if security.requirements.is_empty() {
            return open("securityRequirements");
        }
        if let Some(index) = security.requirements.iter().position(Requirement::is_empty) {
            return open(&format!("securityRequirements[{index}]"));
        }
        // An agent's card may have any number of them, in any order.
        let mut seen = PagedMap::new();
        for (index, skill) in card.skills().enumerate() {
            let at = format!("skills[{index}]");
            let requirements = requirement::read(skill, &format!("{at}."))?.unwrap_or_default();
            // Some requirement that asks for nothing is met by everyone who met the card's.
            let asks = !requirements.iter().any(Requirement::is_empty) && !requirements.is_empty();
            let id = skill.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            let earlier = id.and_then(|id| seen.insert(id, asks));
            if earlier.is_some_and(|other| asks || other) || (asks && id.is_none()) {
                return Err(PolicyError::Skill { at });
            }
            if let (true, Some(id)) = (asks, id) {
                security.schemes(card, &requirements, &at)?;
                security.skills.insert(id.to_owned(), requirements);
            }
        }
        let requirements = std::mem::take(&mut security.requirements);
        security.schemes(card, &requirements, "securityRequirements")?;
        security.requirements = requirements;
        Ok(security)
    }

    /// Adds the schemes that `requirements` name.
    fn schemes(&mut self, card: &Card, requirements: &[Requirement], at: &str) -> Result<(), PolicyError> {
        for name in requirements.iter().flat_map(Requirement::keys) {
            if self.schemes.contains_key(name) {
                continue;
            }
            let place = || (at.to_owned(), name.clone());
            let scheme = described(card, name)?.ok_or_else(|| {
                let (at, scheme) = place();
                PolicyError::Unknown { at, scheme }
            })?;
            if scheme.means().is_none() {
                let (at, scheme) = place();
                return Err(PolicyError::Unenforceable { at, scheme });
            }
            self.schemes.insert(name.clone(), scheme);
        }
        Ok(())
    }

    /// The same, but with each scheme described as `card` describes one of that name, if both take the same to enforce: a
    /// card can say where tokens come from, the configuration often cannot.
    #[must_use]
    pub fn described_by(mut self, card: &Card) -> Self {
        for (name, scheme) in &mut self.schemes {
            match described(card, name) {
                Ok(Some(stated)) if stated.means().is_some() && stated.means() == scheme.means() => *scheme = stated,
                _ => {}
            }
        }
        self
    }
}

/// The scheme that `card` calls `name`.
///
/// # Errors
/// If it cannot be read.
pub fn described(card: &Card, name: &str) -> Result<Option<Scheme>, CardError> {
    match card.members().get("securitySchemes") {
        None => Ok(None),
        Some(Value::Object(schemes)) => {
            schemes.get(name).map(|scheme| Scheme::read(scheme, &format!("securitySchemes.{name}"))).transpose()
        }
        Some(_) => Err(CardError::wrong("securitySchemes", "must be an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Card, Scheme, Security};
    use crate::card::scheme::Means;
    use serde_json::{Value, json};

    fn declared(card: Value) -> Result<Security, String> {
        Security::declared(&Card::from_value(card).unwrap()).map_err(|error| error.to_string())
    }

    fn schemes() -> Value {
        json!({
            "corp": {"type": "openIdConnect", "openIdConnectUrl": "https://login.example.com/"},
            "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
            "digest": {"type": "http", "scheme": "digest"},
            "odd": {"type": "dpop"},
        })
    }

    #[test]
    fn requirements_of_card_and_skills_are_taken_over() {
        let security = declared(json!({
            "securitySchemes": schemes(),
            "security": [{"corp": ["read"]}],
            "skills": [
                {"id": "a", "securityRequirements": [{"schemes": {"corp": {"list": ["write"]}, "key": {}}}]},
                {"id": "b", "security": []}, {"id": "c", "security": [{"corp": ["x"]}, {}]}, {"name": "no id"},
            ],
        }))
        .unwrap();
        assert_eq!(security.schemes.keys().collect::<Vec<_>>(), ["corp", "key"]);
        assert_eq!(security.schemes.get("corp").unwrap().means(), Some(Means::Bearer));
        assert_eq!(json!(security.requirements), json!([{"corp": ["read"]}]));
        assert_eq!(json!(security.skills), json!({"a": [{"corp": ["write"], "key": []}]}));
    }

    #[test]
    fn a_card_that_cannot_be_the_policy_says_why() {
        for (security, skill, fact) in [
            (json!(null), json!({}), "securityRequirements: admits everyone"),
            (json!([]), json!({}), "securityRequirements: admits everyone"),
            (json!([{"corp": []}, {}]), json!({}), "securityRequirements[1]: admits everyone"),
            (json!([{"none": []}]), json!({}), "securityRequirements: there is no scheme called \"none\""),
            (json!([{"digest": []}]), json!({}), "securityRequirements: the scheme \"digest\" cannot be enforced"),
            (json!([{"odd": []}]), json!({}), "securitySchemes.odd: must be of a type that A2A knows"),
            (json!([{"corp": 1}]), json!({}), "security[0]: must give each scheme a list of scopes"),
            (
                json!([{"corp": []}]),
                json!({"id": "b", "security": [{"digest": []}]}),
                "skills[1]: the scheme \"digest\" cannot be enforced",
            ),
            (json!([{"corp": []}]), json!({"security": [{"corp": []}]}), "skills[1]: a skill with requirements needs an id of its own"),
            (
                json!([{"corp": []}]),
                json!({"id": "a", "security": [{"corp": []}]}),
                "skills[1]: a skill with requirements needs an id of its own",
            ),
        ] {
            let card = json!({"securitySchemes": schemes(), "security": security, "skills": [{"id": "a"}, skill]});
            assert_eq!(declared(card).unwrap_err(), fact);
        }
    }

    #[test]
    fn a_card_describes_only_schemes_that_are_enforced_alike() {
        let card = Card::from_value(json!({"securitySchemes": schemes()})).unwrap();
        let given = [("corp", Scheme::bearer()), ("key", Scheme::mutual_tls()), ("odd", Scheme::bearer()), ("new", Scheme::bearer())];
        let given = given.map(|(name, scheme)| (name.to_owned(), scheme)).into();
        let security = Security { schemes: given, ..Security::default() }.described_by(&card);
        let old = |name: &str| security.schemes.get(name).unwrap().write(crate::card::Dialect::OpenApi)["type"].clone();
        assert_eq!(["corp", "key", "odd", "new"].map(old), ["openIdConnect", "mutualTLS", "http", "http"]);
    }
}
