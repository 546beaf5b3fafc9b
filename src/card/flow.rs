//! OAuth 2 flows of cards: alike in both shapes, but a scheme of 0.3 holds several and one of 1.0 one.

use super::dialect::Dialect;
use super::model::{respell, text};
use crate::wire::sorted::SortedMap;
use serde_json::{Map, Value, json};

const URLS: [&str; 4] = ["authorizationUrl", "deviceAuthorizationUrl", "tokenUrl", "refreshUrl"];

/// One OAuth 2 flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Which.
    pub grant: Grant,
    /// Its URLs by member name (`authorizationUrl`, `deviceAuthorizationUrl`, `tokenUrl`, `refreshUrl`).
    pub urls: SortedMap<&'static str, String>,
    /// What each scope is for.
    pub scopes: SortedMap<String, String>,
    /// `pkceRequired` of 1.0.
    pub pkce_required: Option<bool>,
}

/// The flows, most wanted first: the one that keeps a scheme's name where 1.0 needs several schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Grant {
    AuthorizationCode,
    ClientCredentials,
    DeviceCode,
    Implicit,
    Password,
}

impl Grant {
    pub(super) const ALL: [Self; 5] = [Self::AuthorizationCode, Self::ClientCredentials, Self::DeviceCode, Self::Implicit, Self::Password];

    /// The name of the member in `flows`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorizationCode",
            Self::ClientCredentials => "clientCredentials",
            Self::DeviceCode => "deviceCode",
            Self::Implicit => "implicit",
            Self::Password => "password",
        }
    }

    const fn required(self) -> &'static [&'static str] {
        match self {
            Self::AuthorizationCode => &["authorizationUrl", "tokenUrl"],
            Self::ClientCredentials | Self::Password => &["tokenUrl"],
            Self::DeviceCode => &["deviceAuthorizationUrl", "tokenUrl"],
            Self::Implicit => &["authorizationUrl"],
        }
    }
}

impl Flow {
    /// The flow as a card writes it.
    pub(super) fn write(&self, dialect: Dialect) -> Value {
        let mut map: Map<_, _> = self.urls.iter().map(|(name, url)| ((*name).to_owned(), json!(url))).collect();
        map.insert("scopes".to_owned(), json!(self.scopes));
        if let (Dialect::ProtoJson, Some(required)) = (dialect, self.pkce_required) {
            map.insert("pkceRequired".to_owned(), json!(required));
        }
        Value::Object(map)
    }
}

/// The flow of `grant` among `flows`, if what it requires is there.
pub(super) fn read(flows: &Value, grant: Grant) -> Option<Flow> {
    let mut flows = flows.as_object()?.clone();
    respell(&mut flows, "", &[grant.name()]).ok()?;
    let mut map = flows.get(grant.name())?.as_object()?.clone();
    respell(&mut map, "", &URLS).ok()?;
    respell(&mut map, "", &["pkceRequired"]).ok()?;
    let stated = |name: &&'static str| Some((*name, text(&map, name).filter(|url| !url.is_empty())?.to_owned()));
    let urls: SortedMap<_, _> = URLS.iter().filter_map(stated).collect();
    let scopes = map.get("scopes").and_then(Value::as_object);
    let scopes = scopes.into_iter().flatten().filter_map(|(name, what)| Some((name.clone(), what.as_str()?.to_owned()))).collect();
    let pkce_required = map.get("pkceRequired").and_then(Value::as_bool).filter(|_| grant == Grant::AuthorizationCode);
    let whole = grant.required().iter().all(|name| urls.contains_key(name));
    whole.then_some(Flow { grant, urls, scopes, pkce_required })
}
