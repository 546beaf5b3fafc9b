//! What is known of the authorization server of an app: what the configuration says, and what the server says of itself (RFC 8414, OpenID
//! Connect Discovery 1.0).

use crate::config::{Client, HttpUri, OauthApp, TokenEndpoint, set_twice};
use serde_json::Value;

/// The authorization server of an app.
#[derive(Debug)]
pub struct AppServer {
    /// Where browsers are sent, if users agree there.
    pub authorization_endpoint: Option<HttpUri>,
    /// Who asks for tokens, and where.
    pub client: Client,
    /// Where tokens are renewed.
    pub refresh_endpoint: TokenEndpoint,
    /// Where tokens are given up (RFC 7009), if anywhere.
    pub revocation_endpoint: Option<TokenEndpoint>,
    /// Whether its answers in the browser must name it (RFC 9207).
    pub requires_iss: bool,
}

impl AppServer {
    /// The server of `app`, as the configuration alone says it. `None`: its metadata has to be read first.
    #[must_use]
    pub fn configured(app: &OauthApp) -> Option<Self> {
        if app.discovery.is_some() { None } else { Self::of(app, &|_| Ok(None), app.require_iss).ok() }
    }

    /// The server of `app`, whose metadata is `document`.
    ///
    /// # Errors
    /// If that is not this server's metadata, or lacks an endpoint that is needed, or has one elsewhere than it may be.
    pub fn described(app: &OauthApp, document: &[u8]) -> Result<Self, String> {
        let metadata: Value = serde_json::from_slice(document).map_err(|_| "it is not JSON".to_owned())?;
        // RFC 8414 section 3.3: whoever can put another server's metadata there must not receive codes.
        if app.issuer.as_deref() != metadata.get("issuer").and_then(Value::as_str) {
            return Err("issuer is not the one that is configured".to_owned());
        }
        let endpoint = |name: &str| match (metadata.get(name).and_then(Value::as_str), &app.discovery) {
            (Some(uri), Some(discovery)) => {
                let uri = HttpUri::try_from(uri.to_owned()).map_err(|error| [name, " ", error].concat())?;
                if !uri.has_origin_of(&discovery.uri) {
                    return Err([name, " has another scheme, host or port than discovery.uri: write it into the app"].concat());
                }
                Ok(Some(TokenEndpoint { uri, ..discovery.clone() }))
            }
            _ => Ok(None),
        };
        let says_iss = metadata.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true));
        Self::of(app, &endpoint, app.require_iss || says_iss)
    }

    fn of(app: &OauthApp, found: &dyn Fn(&str) -> Result<Option<TokenEndpoint>, String>, requires_iss: bool) -> Result<Self, String> {
        let own = |own: &Option<TokenEndpoint>, name: &str| own.clone().map_or_else(|| found(name), |own| Ok(Some(own)));
        let token_endpoint = own(&app.client.token_endpoint, "token_endpoint")?.ok_or_else(|| "token_endpoint is missing".to_owned())?;
        let authorization_endpoint = match &app.authorization_endpoint {
            Some(own) => Some(own.clone()),
            None => found("authorization_endpoint")?.map(|found| found.uri),
        };
        if let Some(name) = authorization_endpoint.as_ref().and_then(set_twice) {
            return Err(["the query of authorization_endpoint has ", name].concat());
        }
        Ok(Self {
            authorization_endpoint,
            refresh_endpoint: app.refresh_endpoint.clone().unwrap_or_else(|| token_endpoint.clone()),
            revocation_endpoint: own(&app.revocation_endpoint, "revocation_endpoint")?,
            client: app.client.at(token_endpoint),
            requires_iss,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AppServer;
    use crate::config::OauthApp;
    use serde_json::{Value, json};

    fn app(more: &[(&str, Value)]) -> OauthApp {
        let mut app = json!({
            "issuer": "https://hr.example", "discovery": {"uri": "https://hr.example/.well-known/openid-configuration", "cluster": "hr"},
            "client": {"client_id": "attache", "authentication": {"none": {}}},
        });
        more.iter().for_each(|(name, value)| app[*name] = value.clone());
        serde_json::from_value(app).unwrap()
    }

    fn metadata(more: &[(&str, Value)]) -> Vec<u8> {
        let mut metadata = json!({
            "issuer": "https://hr.example", "authorization_endpoint": "https://hr.example/auth", "token_endpoint": "https://hr.example/token",
            "revocation_endpoint": "https://hr.example/revoke", "authorization_response_iss_parameter_supported": true,
        });
        more.iter().for_each(|(name, value)| metadata[*name] = value.clone());
        metadata.to_string().into_bytes()
    }

    #[test]
    fn metadata_says_what_the_configuration_leaves_out() {
        let server = AppServer::described(&app(&[]), &metadata(&[])).unwrap();
        assert_eq!(server.authorization_endpoint.unwrap().to_string(), "https://hr.example/auth");
        assert_eq!(server.client.token_endpoint.uri.to_string(), "https://hr.example/token");
        assert_eq!((server.client.token_endpoint.cluster.as_str(), server.refresh_endpoint.uri.path()), ("hr", "/token"));
        assert_eq!(server.revocation_endpoint.unwrap().uri.path(), "/revoke");
        assert!(server.requires_iss);

        let own = app(&[
            ("authorization_endpoint", json!("https://login.example/auth")),
            ("revocation_endpoint", json!({"uri": "https://other.example/gone", "cluster": "other"})),
        ]);
        let server = AppServer::described(&own, &metadata(&[("authorization_response_iss_parameter_supported", Value::Null)])).unwrap();
        assert_eq!(server.authorization_endpoint.unwrap().authority(), "login.example");
        assert_eq!(server.revocation_endpoint.unwrap().cluster, "other");
        assert!(!server.requires_iss);
        assert!(AppServer::configured(&own).is_none());
        let bare = metadata(&[("revocation_endpoint", Value::Null), ("authorization_endpoint", Value::Null)]);
        let server = AppServer::described(&app(&[]), &bare).unwrap();
        assert!(server.revocation_endpoint.is_none() && server.authorization_endpoint.is_none());
    }

    #[test]
    fn what_is_not_this_servers_is_refused() {
        for (more, expected) in [
            (("issuer", json!("https://evil.example")), "issuer is not"),
            (("issuer", json!("https://hr.example/")), "issuer is not"),
            (("issuer", Value::Null), "issuer is not"),
            (("token_endpoint", Value::Null), "token_endpoint is missing"),
            (("token_endpoint", json!("https://evil.example/token")), "token_endpoint has another"),
            (("token_endpoint", json!("http://hr.example/token")), "token_endpoint has another"),
            (("authorization_endpoint", json!("https://hr.example:8443/auth")), "authorization_endpoint has another"),
            (("authorization_endpoint", json!("https://hr.example/auth?state=x")), "the query of authorization_endpoint has state"),
            (("authorization_endpoint", json!("javascript:alert(1)")), "authorization_endpoint "),
            (("revocation_endpoint", json!("https://hr.example.evil.example/revoke")), "revocation_endpoint has another"),
        ] {
            let error = AppServer::described(&app(&[]), &metadata(std::slice::from_ref(&more))).unwrap_err();
            assert!(error.starts_with(expected), "{more:?}: {error}");
        }
        assert_eq!(AppServer::described(&app(&[]), b"<html>").unwrap_err(), "it is not JSON");
        assert!(AppServer::described(&app(&[]), b"[]").is_err());
    }
}
