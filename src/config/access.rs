//! Access rules: what a verified caller may do at an agent. The first rule that fits the operation decides.

use super::voucher::{self, Said, Vouchers};
use super::{ConfigError, Issuer, Scheme, SkillFrom};
use crate::protocol::{Operation, OperationClass};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One rule of `agents[].access`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Operations by name (of A2A 1.0), by class (`read`, `execute`, `manage`), or `any`.
    pub operations: Vec<Operations>,
    /// The rule is only for these skills (ids of the agent's card), as `skill_from` finds them. None: for every one.
    #[serde(default)]
    pub skills: Vec<String>,
    /// What the caller must be or have; nothing named is nothing required.
    #[serde(default)]
    pub require: Alternatives,
}

/// One entry of `operations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Operations {
    /// Every operation.
    Any,
    /// The operations of a class.
    Class(OperationClass),
    /// One operation.
    One(Operation),
}

impl Operations {
    /// Whether `operation` is meant.
    #[must_use]
    pub fn cover(self, operation: Operation) -> bool {
        match self {
            Self::Any => true,
            Self::Class(class) => operation.class() == class,
            Self::One(one) => operation == one,
        }
    }
}

impl TryFrom<String> for Operations {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(match text.as_str() {
            "any" => Self::Any,
            "read" => Self::Class(OperationClass::Read),
            "execute" => Self::Class(OperationClass::Execute),
            "manage" => Self::Class(OperationClass::Manage),
            name => Self::One(
                Operation::ALL
                    .into_iter()
                    .find(|operation| operation.name() == name)
                    .ok_or("an operation is any, read, execute, manage, or a name of A2A 1.0 such as SendMessage")?,
            ),
        })
    }
}

/// On whose behalf a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person's.
    User,
    /// The client's own.
    Service,
    /// Nobody's: the caller brought nothing, where that is enough.
    Anonymous,
}

impl Kind {
    /// `user`, `service` or `anonymous`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }
}

/// What a rule requires: one requirement, or a list of which one is enough.
#[derive(Clone, Debug)]
pub struct Alternatives {
    list: Vec<Require>,
    /// It was written as a list.
    is_list: bool,
}

impl Default for Alternatives {
    fn default() -> Self {
        Self { list: vec![Require::default()], is_list: false }
    }
}

impl Alternatives {
    /// Each of them would do. There is one at least.
    pub fn iter(&self) -> impl Iterator<Item = &Require> {
        self.list.iter()
    }

    /// The first, and where it stands in what stands at `at`.
    #[must_use]
    pub fn first(&self, at: &str) -> Option<(String, &Require)> {
        let place = if self.is_list { format!("{at}[0]") } else { at.to_owned() };
        self.list.first().map(|first| (place, first))
    }

    /// Errs on requirements that no caller can meet, and on unknown names; `at` is the place of the member.
    pub(super) fn check(
        &self,
        at: &str,
        issuers: &[Issuer],
        schemes: &SortedMap<String, Scheme>,
        vouchers: &Vouchers<'_>,
    ) -> Result<(), ConfigError> {
        if self.list.is_empty() {
            return Err(ConfigError::new(at, "give at least one requirement, or leave the member out"));
        }
        for (index, require) in self.list.iter().enumerate() {
            let at = if self.is_list { format!("{at}[{index}]") } else { at.to_owned() };
            require.check(&at, issuers, schemes, vouchers)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Alternatives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Alternatives;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a requirement, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Alternatives, A::Error> {
                let require = Require::deserialize(MapAccessDeserializer::new(members))?;
                Ok(Alternatives { list: vec![require], is_list: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Alternatives, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(|list| Alternatives { list, is_list: true })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// One requirement: all that it names. Each list that is not empty is a condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::schema::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Require {
    /// Every one of these scopes.
    pub scopes: Vec<String>,
    /// At least one of these scopes.
    pub any_scope: Vec<String>,
    /// Every one of these roles.
    pub roles: Vec<String>,
    /// At least one of these roles.
    pub any_role: Vec<String>,
    /// This kind of caller.
    pub kind: Option<Kind>,
    /// One of these clients. A name is one only with who vouches for it: `issuers` or `schemes`.
    pub clients: Vec<String>,
    /// One of these subjects.
    pub subjects: Vec<String>,
    /// A token of one of these issuers, by their names in `issuers`; or what `schemes` says.
    pub issuers: Vec<String>,
    /// A key, password, certificate or opaque token of one of these schemes; or what `issuers` says.
    pub schemes: Vec<String>,
    /// One of these tenants of the issuer.
    pub tenants: Vec<String>,
}

impl Rule {
    /// Whether the rule is about `operation`.
    #[must_use]
    pub fn covers(&self, operation: Operation) -> bool {
        self.operations.iter().any(|operations| operations.cover(operation))
    }

    pub(super) fn check(
        &self,
        at: &str,
        issuers: &[Issuer],
        schemes: &SortedMap<String, Scheme>,
        vouchers: &Vouchers<'_>,
        skill_from: Option<&SkillFrom>,
    ) -> Result<(), ConfigError> {
        if self.operations.is_empty() {
            return Err(ConfigError::of(at, "operations", "name at least one operation (\"any\" for every one)"));
        }
        let sends = || [Operation::SendMessage, Operation::SendStreamingMessage].iter().any(|send| self.covers(*send));
        match skill_from {
            _ if self.skills.is_empty() => {}
            None => return Err(ConfigError::of(at, "skills", "nothing says where requests name a skill: give skill_from")),
            Some(SkillFrom::MetadataKey(_) | SkillFrom::Extension(_)) if !sends() => {
                return Err(ConfigError::of(at, "skills", "only messages name skills: SendMessage and SendStreamingMessage"));
            }
            Some(_) if self.skills.iter().any(String::is_empty) => {
                return Err(ConfigError::of(at, "skills", "a skill has an id"));
            }
            Some(_) => {}
        }
        self.require.check(&format!("{at}.require"), issuers, schemes, vouchers)
    }
}

impl Require {
    fn check(&self, at: &str, issuers: &[Issuer], schemes: &SortedMap<String, Scheme>, vouchers: &Vouchers<'_>) -> Result<(), ConfigError> {
        for (index, name) in self.issuers.iter().enumerate() {
            if !issuers.iter().any(|issuer| &issuer.name == name) {
                return Err(ConfigError::new(format!("{at}.issuers[{index}]"), format!("there is no issuer called {name:?}")));
            }
        }
        if let Some((index, reason)) = voucher::unknown_scheme(&self.schemes, schemes) {
            return Err(ConfigError::new(format!("{at}.schemes[{index}]"), reason));
        }
        let Self { clients, subjects, tenants, issuers: said, schemes: others, .. } = self;
        let said = Said { issuers: said, schemes: others, tenants };
        let names = [("clients", clients), ("subjects", subjects), ("tenants", tenants)];
        for (member, _) in names.iter().filter(|(_, names)| !names.is_empty()) {
            vouchers.check(&format!("{at}.{member}"), &said, issuers)?;
        }
        if matches!(self.kind, Some(Kind::User | Kind::Service)) {
            vouchers.check_kind(&format!("{at}.kind"), &said, issuers, schemes)?;
        }
        for (list, scopes) in [("scopes", &self.scopes), ("any_scope", &self.any_scope)] {
            if let Some(place) = scopes.iter().position(|scope| !super::security::is_scope(scope)) {
                return Err(ConfigError::new(format!("{at}.{list}[{place}]"), "not a scope-token (RFC 6749 section 3.3)"));
            }
        }
        Ok(())
    }
}
