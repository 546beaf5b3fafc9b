//! Security schemes and requirements of cards, read from and written to both shapes: 0.3 as OpenAPI 3 writes them, 1.0 as
//! ProtoJSON does (`SecurityScheme`, `SecurityRequirement`). Reading is strict; nothing here decides about a caller.

use super::dialect::Dialect;
use super::flow::{self, Flow, Grant};
use super::model::{CardError, respell, text};
use crate::wire::sorted::SortedMap;
use serde_json::{Map, Value, json};

/// A way to authenticate, as a card describes it to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// For people.
    pub description: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// The types of security schemes that A2A knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A static key.
    ApiKey {
        /// Where it goes.
        location: Location,
        /// Name of the header, parameter or cookie.
        name: String,
    },
    /// A scheme of the `Authorization` header.
    Http {
        /// Such as `Bearer`, in any case.
        scheme: String,
        /// Such as `JWT`.
        bearer_format: Option<String>,
    },
    /// OAuth 2 access tokens.
    OAuth2 {
        /// How to come by one; flows without what 0.3 and 1.0 require of them are left out.
        flows: Vec<Flow>,
        /// RFC 8414 metadata.
        metadata_url: Option<String>,
    },
    /// OpenID Connect.
    OpenIdConnect {
        /// The discovery document.
        url: String,
    },
    /// A client certificate.
    MutualTls,
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Location {
    Header,
    Query,
    Cookie,
}

/// What a proxy has to look at to enforce a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// A token in `Authorization: Bearer`.
    Bearer,
    /// Name and password in `Authorization: Basic`.
    Basic,
    /// A key at this place. Header names are in lower case.
    ApiKey {
        /// Where.
        location: Location,
        /// Under which name.
        name: String,
    },
    /// The certificate of the connection.
    MutualTls,
}

impl Scheme {
    /// Bearer tokens of which the card does not say where they come from.
    #[must_use]
    pub fn bearer() -> Self {
        Kind::Http { scheme: "Bearer".into(), bearer_format: None }.into()
    }

    /// Bearer tokens that `token_url` gives to clients for their own credentials.
    #[must_use]
    pub fn client_credentials(token_url: &str, scopes: SortedMap<String, String>) -> Self {
        let urls = SortedMap::from([("tokenUrl", token_url.to_owned())]);
        let flow = Flow { grant: Grant::ClientCredentials, urls, scopes, pkce_required: None };
        Kind::OAuth2 { flows: vec![flow], metadata_url: None }.into()
    }

    /// A static key.
    #[must_use]
    pub fn api_key(location: Location, name: &str) -> Self {
        Kind::ApiKey { location, name: name.to_owned() }.into()
    }

    /// Client certificates.
    #[must_use]
    pub fn mutual_tls() -> Self {
        Kind::MutualTls.into()
    }

    /// What enforcing it takes; `None` for schemes of `Authorization` other than Bearer and Basic.
    #[must_use]
    pub fn means(&self) -> Option<Means> {
        match &self.kind {
            Kind::Http { scheme, .. } if scheme.eq_ignore_ascii_case("basic") => Some(Means::Basic),
            Kind::Http { scheme, .. } if !scheme.eq_ignore_ascii_case("bearer") => None,
            Kind::Http { .. } | Kind::OAuth2 { .. } | Kind::OpenIdConnect { .. } => Some(Means::Bearer),
            Kind::MutualTls => Some(Means::MutualTls),
            Kind::ApiKey { location: Location::Header, name } => {
                Some(Means::ApiKey { location: Location::Header, name: name.to_ascii_lowercase() })
            }
            Kind::ApiKey { location, name } => Some(Means::ApiKey { location: *location, name: name.clone() }),
        }
    }

    /// Every URL in it.
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        let (flows, url): (&[Flow], _) = match &self.kind {
            Kind::OAuth2 { flows, metadata_url } => (flows, metadata_url.as_deref()),
            Kind::OpenIdConnect { url } => (&[], Some(url.as_str())),
            Kind::ApiKey { .. } | Kind::Http { .. } | Kind::MutualTls => (&[], None),
        };
        flows.iter().flat_map(|flow| flow.urls.values().map(String::as_str)).chain(url)
    }

    /// Reads one value of `securitySchemes`, in the shape of 1.0, of 0.3, or of both at once.
    ///
    /// # Errors
    /// If it is of no known type, lacks what its type needs, or is two types at once.
    pub fn read(value: &Value, at: &str) -> Result<Self, CardError> {
        let Value::Object(mut map) = value.clone() else {
            return Err(CardError::wrong(at, "must be an object"));
        };
        let dotted = format!("{at}.");
        respell(&mut map, &dotted, &WRAPPERS.map(|(_, name)| name))?;
        let mut found: Option<Self> = None;
        let wrapped = WRAPPERS.iter().filter_map(|(tag, name)| Some((*tag, map.get(*name)?.clone())));
        let flat = map.get("type").map(|tag| (tag.as_str().unwrap_or_default(), Value::Object(map.clone())));
        for (tag, inner) in wrapped.chain(flat) {
            let Value::Object(inner) = inner else {
                return Err(CardError::wrong(at, "must hold an object"));
            };
            let scheme = Self::read_kind(tag, inner, at)?;
            match &found {
                None => found = Some(scheme),
                Some(earlier) if earlier.tag() == scheme.tag() && earlier.means() == scheme.means() => {}
                Some(_) => return Err(CardError::Contradiction { at: at.to_owned() }),
            }
        }
        found.ok_or_else(|| CardError::wrong(at, "must be of a type that A2A knows"))
    }

    fn read_kind(tag: &str, mut map: Map<String, Value>, at: &str) -> Result<Self, CardError> {
        respell(&mut map, &format!("{at}."), &["bearerFormat", "oauth2MetadataUrl", "openIdConnectUrl", "description", "flows"])?;
        let needed = |name, wanted| text(&map, name).filter(|text| !text.is_empty()).ok_or_else(|| CardError::wrong(at, wanted));
        let optional = |name| text(&map, name).filter(|text| !text.is_empty()).map(str::to_owned);
        let kind = match tag {
            "apiKey" => {
                let location = text(&map, "location").or_else(|| text(&map, "in"));
                let location = match location.unwrap_or_default() {
                    "header" => Location::Header,
                    "query" => Location::Query,
                    "cookie" => Location::Cookie,
                    _ => return Err(CardError::wrong(at, "must say header, query or cookie")),
                };
                Kind::ApiKey { location, name: needed("name", "must name the key's header, parameter or cookie")?.to_owned() }
            }
            "http" => Kind::Http {
                scheme: needed("scheme", "must name the scheme of the Authorization header")?.to_owned(),
                bearer_format: optional("bearerFormat"),
            },
            "oauth2" => {
                let flows = Grant::ALL.iter().filter_map(|grant| flow::read(map.get("flows")?, *grant)).collect();
                Kind::OAuth2 { flows, metadata_url: optional("oauth2MetadataUrl") }
            }
            "openIdConnect" => Kind::OpenIdConnect { url: needed("openIdConnectUrl", "must state openIdConnectUrl")?.to_owned() },
            "mutualTLS" => Kind::MutualTls,
            _ => return Err(CardError::wrong(at, "must be of a type that A2A knows")),
        };
        Ok(Self { description: optional("description"), kind })
    }

    const fn tag(&self) -> &'static str {
        match self.kind {
            Kind::ApiKey { .. } => "apiKey",
            Kind::Http { .. } => "http",
            Kind::OAuth2 { .. } => "oauth2",
            Kind::OpenIdConnect { .. } => "openIdConnect",
            Kind::MutualTls => "mutualTLS",
        }
    }

    /// The scheme as a card writes it. Of several flows, protocol buffers take only the first.
    #[must_use]
    pub fn write(&self, dialect: Dialect) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), json!(value));
            }
        };
        put("description", self.description.as_ref());
        match &self.kind {
            Kind::ApiKey { location, name } => {
                put("name", Some(name));
                let location = match location {
                    Location::Header => "header",
                    Location::Query => "query",
                    Location::Cookie => "cookie",
                };
                let member = if dialect == Dialect::ProtoJson { "location" } else { "in" };
                map.insert(member.to_owned(), json!(location));
            }
            Kind::Http { scheme, bearer_format } => {
                put("scheme", Some(scheme));
                put("bearerFormat", bearer_format.as_ref());
            }
            Kind::OAuth2 { flows, metadata_url } => {
                put("oauth2MetadataUrl", metadata_url.as_ref());
                let most = if dialect == Dialect::ProtoJson { 1 } else { flows.len() };
                let expressible = flows.iter().filter(|flow| dialect == Dialect::ProtoJson || flow.grant != Grant::DeviceCode);
                let flows: Map<_, _> = expressible.take(most).map(|flow| (flow.grant.name().to_owned(), flow.write(dialect))).collect();
                map.insert("flows".to_owned(), Value::Object(flows));
            }
            Kind::OpenIdConnect { url } => put("openIdConnectUrl", Some(url)),
            Kind::MutualTls => {}
        }
        let tag = self.tag();
        match WRAPPERS.iter().find(|(given, _)| *given == tag) {
            Some((_, wrapper)) if dialect == Dialect::ProtoJson => json!({ *wrapper: map }),
            _ => {
                map.insert("type".to_owned(), json!(tag));
                Value::Object(map)
            }
        }
    }
}

impl From<Kind> for Scheme {
    fn from(kind: Kind) -> Self {
        Self { description: None, kind }
    }
}

/// Types of 0.3, each with the member that stands for it in 1.0.
const WRAPPERS: [(&str, &str); 5] = [
    ("apiKey", "apiKeySecurityScheme"),
    ("http", "httpAuthSecurityScheme"),
    ("oauth2", "oauth2SecurityScheme"),
    ("openIdConnect", "openIdConnectSecurityScheme"),
    ("mutualTLS", "mtlsSecurityScheme"),
];

#[cfg(test)]
mod tests {
    use super::{Dialect, Location, Means, Scheme};
    use serde_json::{Value, json};

    fn read(value: &Value) -> Result<Scheme, String> {
        Scheme::read(value, "s").map_err(|error| error.to_string())
    }

    #[test]
    fn both_shapes_say_the_same() {
        for (old, new) in [
            (
                json!({"type": "apiKey", "in": "header", "name": "x-api-key", "description": "d"}),
                json!({"apiKeySecurityScheme": {"location": "header", "name": "x-api-key", "description": "d"}}),
            ),
            (
                json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}),
                json!({"httpAuthSecurityScheme": {"scheme": "bearer", "bearerFormat": "JWT"}}),
            ),
            (
                json!({"type": "oauth2", "oauth2MetadataUrl": "m", "flows": {"clientCredentials": {"tokenUrl": "t", "scopes": {"a": "b"}}}}),
                json!({"oauth2SecurityScheme":
                    {"oauth2MetadataUrl": "m", "flows": {"clientCredentials": {"tokenUrl": "t", "scopes": {"a": "b"}}}}}),
            ),
            (json!({"type": "openIdConnect", "openIdConnectUrl": "u"}), json!({"openIdConnectSecurityScheme": {"openIdConnectUrl": "u"}})),
            (json!({"type": "mutualTLS"}), json!({"mtlsSecurityScheme": {}})),
        ] {
            let scheme = read(&old).unwrap();
            assert_eq!(read(&new).as_ref(), Ok(&scheme));
            assert_eq!(scheme.write(Dialect::OpenApi), old);
            assert_eq!(scheme.write(Dialect::ProtoJson), new);
            // The Python SDK for 1.0 writes both at once.
            let mut merged = new.clone();
            merged.as_object_mut().unwrap().extend(old.as_object().unwrap().clone());
            assert_eq!(read(&merged), Ok(scheme));
        }
    }

    #[test]
    fn what_0_3_cannot_say_is_left_out() {
        let device = json!({"deviceAuthorizationUrl": "d", "tokenUrl": "t", "scopes": {}});
        let scheme = read(&json!({"oauth2_security_scheme": {"flows": {"device_code": device}, "oauth2_metadata_url": "m"}})).unwrap();
        assert_eq!(scheme.write(Dialect::OpenApi), json!({"type": "oauth2", "oauth2MetadataUrl": "m", "flows": {}}));
        assert_eq!(scheme.write(Dialect::ProtoJson)["oauth2SecurityScheme"]["flows"], json!({"deviceCode": device}));
        let code = json!({"authorizationUrl": "a", "tokenUrl": "t", "scopes": {}, "pkceRequired": true});
        let scheme = read(&json!({"oauth2SecurityScheme": {"flows": {"authorizationCode": code, "implicit": {"scopes": {}}}}})).unwrap();
        assert_eq!(scheme.write(Dialect::ProtoJson)["oauth2SecurityScheme"]["flows"], json!({"authorizationCode": code}));
        assert!(scheme.write(Dialect::OpenApi)["flows"]["authorizationCode"]["pkceRequired"].is_null());
    }

    #[test]
    fn a_scheme_that_is_none_or_two_is_refused() {
        for (value, fact) in [
            (json!(1), "s: must be an object"),
            (json!({}), "s: must be of a type that A2A knows"),
            (json!({"type": "dpop"}), "s: must be of a type that A2A knows"),
            (json!({"type": 1}), "s: must be of a type that A2A knows"),
            (json!({"type": "apiKey", "name": "k"}), "s: must say header, query or cookie"),
            (json!({"type": "apiKey", "in": "header", "name": ""}), "s: must name the key's header, parameter or cookie"),
            (json!({"httpAuthSecurityScheme": {}}), "s: must name the scheme of the Authorization header"),
            (json!({"openIdConnectSecurityScheme": {}}), "s: must state openIdConnectUrl"),
            (json!({"mtlsSecurityScheme": []}), "s: must hold an object"),
            (json!({"mtlsSecurityScheme": {}, "httpAuthSecurityScheme": {"scheme": "Bearer"}}), "s is said twice, differently"),
            (json!({"httpAuthSecurityScheme": {"scheme": "Bearer"}, "type": "http", "scheme": "Basic"}), "s is said twice, differently"),
            (
                json!({"mtlsSecurityScheme": {}, "mtls_security_scheme": {"description": "d"}}),
                "s.mtlsSecurityScheme is said twice, differently",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err(), fact, "{value}");
        }
    }

    #[test]
    fn what_it_takes_to_enforce_a_scheme() {
        let http = |scheme: &str| read(&json!({"type": "http", "scheme": scheme})).unwrap().means();
        assert_eq!(http("bEARER"), Some(Means::Bearer));
        assert_eq!(http("bASIC"), Some(Means::Basic));
        assert_eq!(http("Digest"), None);
        assert_eq!(Scheme::bearer().means(), Some(Means::Bearer));
        assert_eq!(Scheme::client_credentials("t", [].into()).means(), Some(Means::Bearer));
        assert_eq!(Scheme::mutual_tls().means(), Some(Means::MutualTls));
        let key = |location, name| Scheme::api_key(location, name).means();
        assert_eq!(key(Location::Header, "X-Key"), Some(Means::ApiKey { location: Location::Header, name: "x-key".into() }));
        assert_eq!(key(Location::Query, "Key"), Some(Means::ApiKey { location: Location::Query, name: "Key".into() }));
    }
}
