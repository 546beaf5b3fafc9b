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

/// A sign of the kind of a caller: a claim that is there, or one that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where it stands.
    pub claim: ClaimPath,
    /// The text that it is, or that its list holds; any, if `None`.
    pub value: Option<String>,
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Valued {
            claim: ClaimPath,
            value: String,
        }

        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Marker;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the place of a claim, or {\"claim\": …, \"value\": \"…\"}")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Marker, E> {
                Ok(Marker { claim: ClaimPath::deserialize(name.into_deserializer())?, value: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Marker, A::Error> {
                Ok(Marker { claim: ClaimPath::deserialize(SeqAccessDeserializer::new(names))?, value: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Marker, A::Error> {
                let Valued { claim, value } = Valued::deserialize(MapAccessDeserializer::new(members))?;
                Ok(Marker { claim, value: Some(value) })
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// What is read from a token, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// Whom the token is about.
    pub subject: Vec<ClaimPath>,
    /// Scopes: a string of words or a list.
    pub scopes: Vec<ClaimPath>,
    /// Roles: a list, or one.
    pub roles: Vec<ClaimPath>,
    /// The client that got the token.
    pub client: Vec<ClaimPath>,
    /// The tenant of the issuer.
    pub tenant: Vec<ClaimPath>,
    /// A token with one of these was issued on behalf of a user. These are looked at first.
    pub user_marker: Vec<Marker>,
    /// A token with one of these is a service's own. If both lists have entries, a token with none is refused.
    pub service_marker: Vec<Marker>,
    /// What a token must say.
    pub required: Vec<Field>,
    /// Claims that go on to agents; filled by [`super::Config::parse`].
    pub forwarded: Vec<ForwardedClaim>,
}

/// `claims` as the operator wrote it: what is left out has a default that depends on the issuer's preset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GivenClaims {
    subject: Option<Vec<ClaimPath>>,
    scopes: Option<Vec<ClaimPath>>,
    roles: Option<Vec<ClaimPath>>,
    client: Option<Vec<ClaimPath>>,
    tenant: Option<Vec<ClaimPath>>,
    user_marker: Option<Vec<Marker>>,
    service_marker: Option<Vec<Marker>>,
    required: Option<Vec<Field>>,
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
        Claims {
            subject: given.subject.unwrap_or(base.subject),
            scopes: given.scopes.unwrap_or(base.scopes),
            roles: given.roles.unwrap_or(base.roles),
            client: given.client.unwrap_or(base.client),
            tenant: given.tenant.unwrap_or(base.tenant),
            user_marker: given.user_marker.unwrap_or(base.user_marker),
            service_marker: given.service_marker.unwrap_or(base.service_marker),
            required: given.required.unwrap_or(base.required),
            forwarded: base.forwarded,
        }
    }
}

fn names(list: &[&str]) -> Vec<ClaimPath> {
    list.iter().map(|name| ClaimPath::from(*name)).collect()
}

fn marker(claim: &str, value: Option<&str>) -> Marker {
    Marker { claim: ClaimPath::from(claim), value: value.map(str::to_owned) }
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            subject: names(&["sub"]),
            scopes: names(&["scope", "scp"]),
            roles: names(&["roles"]),
            client: names(&["azp", "appid", "client_id"]),
            tenant: names(&["tid"]),
            user_marker: vec![marker("scp", None)],
            service_marker: Vec::new(),
            required: Vec::new(),
            forwarded: Vec::new(),
        }
    }
}

impl Claims {
    /// Access tokens of Microsoft Entra ID, v1 and v2. `azp` and `appid` are in no ID token; `scp` is in those of users
    /// only, and of the others one without roles admits to nothing.
    pub(super) fn entra() -> Self {
        Self {
            subject: names(&["oid"]),
            scopes: names(&["scp"]),
            roles: names(&["roles"]),
            client: names(&["azp", "appid"]),
            tenant: names(&["tid"]),
            user_marker: vec![marker("scp", None)],
            service_marker: vec![marker("idtyp", Some("app")), marker("roles", None)],
            required: vec![Field::Subject, Field::Client, Field::Tenant],
            forwarded: Vec::new(),
        }
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.user_marker.is_empty() && self.service_marker.is_empty() {
            return Err(ConfigError::of(at, "user_marker", "name a sign of users or, in service_marker, one of services"));
        }
        Ok(())
    }
}

/// Who may act on behalf of whom a token is about (RFC 8693 section 4.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actors {
    /// Most actors of a chain, the current one included; 0 refuses every token that has one.
    pub max_depth: usize,
    /// Those that may be the current actor; all, if left out.
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
    use super::{Marker, names};
    use serde_json::{Value, json};

    fn read(form: Value) -> Option<(Vec<String>, Option<String>)> {
        serde_json::from_value::<Marker>(form).ok().map(|marker| (marker.claim.names().to_vec(), marker.value))
    }

    #[test]
    fn a_name_is_literal_and_a_list_goes_inwards() {
        let strings = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(json!("https://x.example/roles")), Some((strings(&["https://x.example/roles"]), None)));
        assert_eq!(read(json!("realm_access.roles")), Some((strings(&["realm_access.roles"]), None)));
        assert_eq!(read(json!(["realm_access", "roles"])), Some((strings(&["realm_access", "roles"]), None)));
        assert_eq!(read(json!({"claim": ["a", "b"], "value": "app"})), Some((strings(&["a", "b"]), Some("app".to_owned()))));
        for odd in [json!(""), json!([]), json!(["a", ""]), json!(7), json!({"claim": "a"}), json!(vec!["a"; 9]), json!(null)] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
        assert_eq!(names(&["a"]).len(), 1);
    }
}
