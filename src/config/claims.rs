//! Where in a token what is read stands (RFC 7519 section 4, RFC 8693 section 4.1).

use super::{ConfigError, ForwardedClaim};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::IntoDeserializer};
use std::fmt;

/// Deepest place of a claim.
const MAX_DEPTH: usize = 8;
/// Longest chain of actors that can be allowed.
const MAX_ACTORS: usize = 16;

/// The place of a claim: a name, taken literally (dots and slashes too), or a list of names from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// The names from the outside in; at least one.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = ClaimPath;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a claim, or a list of names from the outside in")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<ClaimPath, E> {
                path(vec![name.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<ClaimPath, A::Error> {
                path(Deserialize::deserialize(SeqAccessDeserializer::new(names))?)
            }
        }

        deserializer.deserialize_any(Names)
    }
}

fn path<E: Error>(names: Vec<String>) -> Result<ClaimPath, E> {
    if names.is_empty() || names.len() > MAX_DEPTH || names.iter().any(String::is_empty) {
        return Err(E::custom("the place of a claim is one to eight names, none of them empty"));
    }
    Ok(ClaimPath(names))
}

/// Something that a token says: a claim that is there, or one that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where it stands.
    pub claim: ClaimPath,
    /// What it must be.
    pub sign: Sign,
}

/// What a claim must be to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// There, and not null.
    There,
    /// This text, or a list that holds it.
    Is(String),
    /// A text like this one, in which each `*` stands for any text, or a list that holds one.
    Like(String),
}

impl Sign {
    /// Whether `text` is meant.
    #[must_use]
    pub fn covers(&self, text: &str) -> bool {
        match self {
            Self::There => true,
            Self::Is(value) => text == value,
            Self::Like(pattern) => is_like(text, pattern),
        }
    }
}

/// Whether `text` is `pattern`, in which each `*` stands for any text. Every part is looked for once, from left to right.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, parts)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let (middle, last) = parts.rsplit_once('*').unwrap_or(("", parts));
    for part in middle.split('*') {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Marker;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the place of a claim, or {\"claim\": …, \"value\": \"…\"}")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Marker, E> {
                Ok(Marker { claim: ClaimPath::deserialize(name.into_deserializer())?, sign: Sign::There })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Marker, A::Error> {
                Ok(Marker { claim: ClaimPath::deserialize(SeqAccessDeserializer::new(names))?, sign: Sign::There })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Marker, A::Error> {
                Valued::deserialize(MapAccessDeserializer::new(members))?.marker()
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// A claim with what it must be: `value` or `pattern`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ValuedClaim", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub(super) struct Valued {
    /// Where it stands: its name, or a list of names from the outside in.
    claim: ClaimPath,
    /// The text that it is, or that a list in it holds.
    #[serde(default)]
    value: Option<String>,
    /// The same with `*` for any text, such as `*@clients`.
    #[serde(default)]
    pattern: Option<String>,
}

impl Valued {
    fn marker<E: Error>(self) -> Result<Marker, E> {
        let sign = match (self.value, self.pattern) {
            (Some(value), None) => Sign::Is(value),
            (None, Some(pattern)) => Sign::Like(pattern),
            _ => return Err(E::custom("give the value of the claim, or a pattern such as \"*@clients\"")),
        };
        Ok(Marker { claim: self.claim, sign })
    }
}

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Something that is read from it.
    Field(Field),
    /// A claim with a value.
    Claim(Marker),
}

impl<'de> Deserialize<'de> for Need {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Need;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("subject, client, scopes, roles, tenant, or {\"claim\": …, \"value\": \"…\"}")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Need, E> {
                Field::deserialize(name.into_deserializer()).map(Need::Field)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Need, A::Error> {
                Valued::deserialize(MapAccessDeserializer::new(members))?.marker().map(Need::Claim)
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// What is read from a token, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize), schemars(rename = "TokenField"))]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Whom the token is about.
    Subject,
    /// The client that got it.
    Client,
    /// Its scopes.
    Scopes,
    /// Its roles.
    Roles,
    /// The tenant of the issuer.
    Tenant,
}

/// Places of the claims that are read; of each list the first that is there counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "GivenClaims")]
pub struct Claims {
    /// Whom the token is for: a text or a list.
    pub audience: Vec<ClaimPath>,
    /// Whom the token is about.
    pub subject: Vec<ClaimPath>,
    /// Scopes: a string of words or a list.
    pub scopes: Vec<ClaimPath>,
    /// Roles: a list, or one.
    pub roles: Vec<ClaimPath>,
    /// Roles that are the member names of an object, where none of `roles` is there.
    pub role_names: Vec<ClaimPath>,
    /// The client that got the token.
    pub client: Vec<ClaimPath>,
    /// The tenant of the issuer.
    pub tenant: Vec<ClaimPath>,
    /// A token with one of these was issued on behalf of a user.
    pub user_marker: Vec<Marker>,
    /// A token with one of these is a service's own. If both lists have entries, a token with none is refused.
    pub service_marker: Vec<Marker>,
    /// Whether the signs of services are looked at before those of users.
    pub service_first: bool,
    /// What a token must say.
    pub required: Vec<Need>,
    /// Whether somebody who knows the issuer named a sign of users or of services.
    pub tells_kind: bool,
    /// Claims that go on to agents; filled by [`super::Config::parse`].
    pub forwarded: Vec<ForwardedClaim>,
}

/// Places of the claims that are read; of each list the first that is there counts. A place is a name, taken literally, or a list of
/// names from the outside in.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Claims", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub(super) struct GivenClaims {
    /// Whom the token is for: a text, or a list; `audiences` has one of it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = r#"`["aud"]`"#)))]
    audience: Option<Vec<ClaimPath>>,
    /// The subject of the token.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["sub"]`"#)))]
    subject: Option<Vec<ClaimPath>>,
    /// Words in a text, or a list.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["scope", "scp"]`"#)))]
    scopes: Option<Vec<ClaimPath>>,
    /// A list, or one.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["roles"]`"#)))]
    roles: Option<Vec<ClaimPath>>,
    /// Used if none of `roles` is present: an object whose member names are the roles. If you set one of the two, set both.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`[]`")))]
    role_names: Option<Vec<ClaimPath>>,
    /// The client that got the token.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["azp", "appid", "client_id"]`"#)))]
    client: Option<Vec<ClaimPath>>,
    /// The tenant of the issuer.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["tid"]`"#)))]
    tenant: Option<Vec<ClaimPath>>,
    /// Signs that a token was issued on behalf of a user; any other is a service's own. See [users and
    /// services](tokens.md#users-and-services).
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["scp"]`"#)))]
    user_marker: Option<Vec<Marker>>,
    /// Signs that it is a service's own. If both lists have entries, a token with none is refused.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`[]`")))]
    service_marker: Option<Vec<Marker>>,
    /// Whether the signs of services are looked at first.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`false`")))]
    service_first: Option<bool>,
    /// What a token must say: `subject`, `client`, `scopes`, `roles`, `tenant`, or a claim with its value, as a sign.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`[]`")))]
    required: Option<Vec<Need>>,
}

impl From<GivenClaims> for Claims {
    fn from(given: GivenClaims) -> Self {
        given.over(Self::default())
    }
}

impl GivenClaims {
    /// What was given, and the rest of `base`.
    pub fn over(&self, base: Claims) -> Claims {
        let given = self.clone();
        let says_roles = given.roles.is_some() || given.role_names.is_some();
        let (roles, role_names) = if says_roles { (Vec::new(), Vec::new()) } else { (base.roles, base.role_names) };
        Claims {
            tells_kind: base.tells_kind || given.user_marker.is_some() || given.service_marker.is_some(),
            audience: given.audience.unwrap_or(base.audience),
            subject: given.subject.unwrap_or(base.subject),
            scopes: given.scopes.unwrap_or(base.scopes),
            roles: given.roles.unwrap_or(roles),
            role_names: given.role_names.unwrap_or(role_names),
            client: given.client.unwrap_or(base.client),
            tenant: given.tenant.unwrap_or(base.tenant),
            user_marker: given.user_marker.unwrap_or(base.user_marker),
            service_marker: given.service_marker.unwrap_or(base.service_marker),
            service_first: given.service_first.unwrap_or(base.service_first),
            required: given.required.unwrap_or(base.required),
            forwarded: base.forwarded,
        }
    }
}

fn names(list: &[&str]) -> Vec<ClaimPath> {
    list.iter().map(|name| ClaimPath::from(*name)).collect()
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            audience: names(&["aud"]),
            subject: names(&["sub"]),
            scopes: names(&["scope", "scp"]),
            roles: names(&["roles"]),
            role_names: Vec::new(),
            client: names(&["azp", "appid", "client_id"]),
            tenant: names(&["tid"]),
            user_marker: vec![Marker { claim: ClaimPath::from("scp"), sign: Sign::There }],
            service_marker: Vec::new(),
            service_first: false,
            required: Vec::new(),
            tells_kind: false,
            forwarded: Vec::new(),
        }
    }
}

impl Claims {
    /// Those of `required` that are read by what they mean. The others are claims with a value, which every token has to have.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let field = |need: &Need| match need {
            Need::Field(field) => Some(*field),
            Need::Claim(_) => None,
        };
        self.required.iter().filter_map(field).collect()
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.user_marker.is_empty() && self.service_marker.is_empty() {
            return Err(ConfigError::of(at, "user_marker", "name a sign of users or, in service_marker, one of services"));
        }
        if self.audience.is_empty() {
            return Err(ConfigError::of(at, "audience", "name a claim: a token for someone else must be refused"));
        }
        Ok(())
    }
}

/// Who may act on behalf of whom a token is about (RFC 8693 section 4.1).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Actors {
    /// Most actors in a token, at most 16; 0 refuses every token that has one.
    #[cfg_attr(feature = "schema", schemars(range(max = 16)))]
    pub max_depth: usize,
    /// Who may be the current actor.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "all")))]
    pub allowed: Option<Vec<String>>,
}

impl Default for Actors {
    fn default() -> Self {
        Self { max_depth: 4, allowed: None }
    }
}

impl Actors {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.max_depth > MAX_ACTORS {
            return Err(ConfigError::of(at, "max_depth", "must be at most 16"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Marker, Need, Sign, is_like, names};
    use serde_json::{Value, json};

    fn read(form: Value) -> Option<(Vec<String>, Sign)> {
        serde_json::from_value::<Marker>(form).ok().map(|marker| (marker.claim.names().to_vec(), marker.sign))
    }

    #[test]
    fn a_name_is_literal_and_a_list_goes_inwards() {
        let strings = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(json!("https://x.example/roles")), Some((strings(&["https://x.example/roles"]), Sign::There)));
        assert_eq!(read(json!("realm_access.roles")), Some((strings(&["realm_access.roles"]), Sign::There)));
        assert_eq!(read(json!(["realm_access", "roles"])), Some((strings(&["realm_access", "roles"]), Sign::There)));
        assert_eq!(read(json!({"claim": ["a", "b"], "value": "app"})), Some((strings(&["a", "b"]), Sign::Is("app".to_owned()))));
        assert_eq!(read(json!({"claim": "a", "pattern": "*@x"})), Some((strings(&["a"]), Sign::Like("*@x".to_owned()))));
        for odd in [
            json!(""),
            json!([]),
            json!(["a", ""]),
            json!(7),
            json!({"claim": "a"}),
            json!({"claim": "a", "value": "b", "pattern": "c"}),
            json!({"claim": "a", "value": 7}),
            json!(vec!["a"; 9]),
            json!(null),
        ] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
        assert_eq!(names(&["a"]).len(), 1);
    }

    #[test]
    fn what_is_needed_is_something_read_or_a_claim_with_a_value() {
        let read = |form: Value| serde_json::from_value::<Need>(form).is_ok();
        assert!(read(json!("client")) && read(json!({"claim": "token_use", "value": "access"})));
        for odd in [json!("email"), json!({"claim": "email"}), json!(["client"]), json!(7)] {
            assert!(!read(odd.clone()), "{odd}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("*a", "ba"),
            ("*|*", "a|b"),
            ("*|*", "|"),
            ("a*b*c", "abxbc"),
            ("a**b", "ab"),
            ("*a*a", "aa"),
        ] {
            assert!(is_like(text, pattern), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("", "a"),
            ("a*", "ba"),
            ("*a", "ab"),
            ("*|*", "ab"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*a*a", "a"),
            ("ab*bc", "abc"),
        ] {
            assert!(!is_like(text, pattern), "{pattern} {text}");
        }
    }
}
