//! Access rules: what a verified caller may do at an agent. The first rule that fits the operation decides.

use super::voucher::{self, Said, Vouchers};
use super::{ConfigError, Issuer, Scheme, SkillFrom};
use crate::protocol::{Operation, OperationClass};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A rule of `access`: for whom operations are.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names of A2A 1.0 (`SendMessage`), classes (`read`, `execute`, `manage`), or `any`, whatever the binding or version spells.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub operations: Vec<Operations>,
    /// The rule is only for these skills, by the ids of the agent's card; needs `skill_from`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "every one")))]
    pub skills: Vec<String>,
    /// What the caller must be or have: all that one `require` names must hold. A list of them is met by one.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "nothing")))]
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

/// What kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person, by a token that was issued on their behalf.
    User,
    /// A program of its own.
    Service,
    /// Somebody who brought nothing, where that is enough.
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

    /// Each, and where it stands in what stands at `at`.
    pub(super) fn places(&self, at: &str) -> impl Iterator<Item = (String, &Require)> {
        let place = move |index| if self.is_list { format!("{at}[{index}]") } else { at.to_owned() };
        self.list.iter().enumerate().map(move |(index, require)| (place(index), require))
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
        self.places(at).try_for_each(|(at, require)| require.check(&at, issuers, schemes, vouchers))
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

/// What a caller must be or have: all that is named here. Each list that is not empty is a condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Require {
    /// All of these scopes.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$"))))]
    pub scopes: Vec<String>,
    /// At least one of these scopes.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$"))))]
    pub any_scope: Vec<String>,
    /// All of these roles.
    pub roles: Vec<String>,
    /// At least one of these roles.
    pub any_role: Vec<String>,
    /// `user`, `service` or `anonymous`; for the first two, each issuer that can reach the agent needs a preset or a
    /// [sign](tokens.md#users-and-services).
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "any")))]
    pub kind: Option<Kind>,
    /// One of these clients. A name is one only with who vouches for it: `issuers` or `schemes`.
    pub clients: Vec<String>,
    /// One of these subjects.
    pub subjects: Vec<String>,
    /// Who vouches for the caller: an issuer of this list for its tokens, by its name here, or a scheme of `schemes`.
    pub issuers: Vec<String>,
    /// Or a scheme of this list, by its name here, for its keys, passwords, certificates and opaque tokens.
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
