//! Users who agree without a browser that comes here: with a code on any device (RFC 8628), or asked by their server on a device of theirs
//! (OpenID Connect CIBA Core 1.0).

use super::{ConfigError, OauthApp, TokenEndpoint};
use serde::Deserialize;

/// Longest text that is sent as a binding message, without what the filter adds.
const LONGEST_MESSAGE: usize = 48;
/// Claims that users of many issuers choose themselves.
const CHOSEN: [&str; 5] = ["preferred_username", "nickname", "name", "given_name", "family_name"];
/// Parameters of a CIBA request that this side sets itself, or that would name somebody else.
const OURS: [&str; 6] = ["login_hint", "login_hint_token", "id_token_hint", "binding_message", "client_notification_token", "user_code"];

/// Users agree on any device with a browser, where they enter a code (RFC 8628).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct DeviceCode {
    /// Where a code is asked for (`device_authorization_endpoint` of the server's metadata).
    pub endpoint: TokenEndpoint,
}

/// The server asks users on a device of theirs (CIBA).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Ciba {
    /// Where that is asked for (`backchannel_authentication_endpoint` of the server's metadata).
    pub endpoint: TokenEndpoint,
    /// The claim of the caller's token that tells the server whom to ask (`login_hint`): one that the issuer has verified, such as `sub`.
    /// `email` counts only with `email_verified: true`, `phone_number` only with `phone_number_verified: true`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub login_hint: String,
    /// What the device shows to the user (`binding_message`), before a code of four letters that is another each time; the task shows the
    /// same. At most 48 letters, digits, blanks and `. , : # - _`.
    #[serde(default = "request")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9_ .,:#-]{1,48}$"), extend("default" = "Request")))]
    pub binding_message: String,
    /// Whether the server calls when the user has decided: as the client is registered there.
    #[serde(default)]
    pub delivery: Delivery,
}

/// How it becomes known that a user has decided (CIBA section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The server is asked, no sooner than it allows.
    #[default]
    Poll,
    /// The same, and the server calls `<public_url><path>/ciba/<name of the app>`: then it is asked at once.
    Ping,
}

/// How users of a connection agree.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// With a code.
    DeviceCode(&'a DeviceCode),
    /// Asked by their server.
    Ciba(&'a Ciba),
}

impl<'a> Way<'a> {
    /// Where a flow begins.
    #[must_use]
    pub const fn endpoint(self) -> &'a TokenEndpoint {
        match self {
            Self::DeviceCode(own) => &own.endpoint,
            Self::Ciba(own) => &own.endpoint,
        }
    }

    /// The grant type of its token requests, and the parameter that has what the flow is known by.
    #[must_use]
    pub const fn grant(self) -> (&'static str, &'static str) {
        match self {
            Self::DeviceCode(_) => ("urn:ietf:params:oauth:grant-type:device_code", "device_code"),
            Self::Ciba(_) => ("urn:openid:params:grant-type:ciba", "auth_req_id"),
        }
    }

    pub(super) fn check(self, at: &str) -> Result<(), ConfigError> {
        match self {
            Self::DeviceCode(own) => own.endpoint.check(&format!("{at}.device_code.endpoint")),
            Self::Ciba(own) => {
                let at = format!("{at}.ciba");
                own.endpoint.check(&format!("{at}.endpoint"))?;
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" .,:#-_".contains(&byte);
                let text = &own.binding_message;
                if own.login_hint.is_empty() {
                    return Err(ConfigError::of(&at, "login_hint", "name a claim"));
                }
                if CHOSEN.contains(&own.login_hint.as_str()) {
                    return Err(ConfigError::of(
                        &at,
                        "login_hint",
                        "is a claim that users may choose themselves: name one that the issuer verifies",
                    ));
                }
                if !(1..=LONGEST_MESSAGE).contains(&text.len()) || !text.bytes().all(fits) {
                    return Err(ConfigError::of(&at, "binding_message", "must be 1 to 48 letters, digits, blanks and . , : # - _"));
                }
                Ok(())
            }
        }
    }

    /// Whether `app` will do for it.
    pub(super) fn check_app(self, at: &str, scopes: &[String], app: &OauthApp) -> Result<(), ConfigError> {
        let Self::Ciba(_) = self else { return Ok(()) };
        if !scopes.iter().any(|scope| scope == "openid") {
            return Err(ConfigError::of(at, "scopes", "must have openid: ciba needs it"));
        }
        match OURS.iter().find(|name| app.authorization_parameters.0.contains_key(**name)) {
            Some(name) => {
                Err(ConfigError::of(at, "ciba", &["cannot be used with an app whose authorization_parameters have ", name].concat()))
            }
            None => Ok(()),
        }
    }
}

fn request() -> String {
    "Request".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::config::{Bind, Config, Way};
    use serde_json::{Value, json};

    const OWN: &str = "/connections/0/credential/user_passthrough";
    const AT: &str = "connections[0].credential.user_passthrough";

    fn endpoint() -> Value {
        json!({"uri": "https://corp.example/begin", "cluster": "corp"})
    }

    fn good(way: &str) -> Value {
        let mut own = json!({"app": "hr", "subject": {"issuers": ["corp"]}, way: {"endpoint": endpoint()}});
        if way == "ciba" {
            own[way]["login_hint"] = json!("sub");
        }
        let client = json!({"token_endpoint": {"uri": "https://corp.example/token", "cluster": "corp"}, "client_id": "attache",
            "authentication": {"client_secret_basic": {"secret": "client"}}});
        json!({
            "issuers": [{"name": "corp", "issuer": "https://corp.example", "audiences": ["https://o.example"], "claims": {"user_marker": ["scp"]},
                "jwks": {"remote": {"uri": "https://corp.example/jwks", "cluster": "corp"}}}],
            "secrets": {"key": {"env": "KEY"}, "client": {"env": "CLIENT"}},
            "consent": {"public_url": "https://consent.example", "keys": [{"id": "k1", "secret": "key"}], "store": {"memory": {}}},
            "oauth_apps": {"hr": {"issuer": "https://corp.example", "client": client, "scopes": ["openid", "tasks"]}},
            "connections": [{"name": "hr", "match": {"hosts": ["hr.example"], "path_prefix": "/"}, "version": "1.0", "pin": {"clusters": ["hr"]},
                "credential": {"user_passthrough": own}}],
        })
    }

    fn fault(config: &Value) -> String {
        Config::parse(config.to_string().as_bytes()).err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
    }

    #[test]
    fn without_a_browser_the_id_token_says_who_agreed() {
        for (way, name) in [("device_code", "device_code"), ("ciba", "auth_req_id")] {
            let config = Config::parse(good(way).to_string().as_bytes()).unwrap();
            let own = config.connections[0].user_passthrough().unwrap();
            assert_eq!((own.bind(), own.way().map(|way| way.grant().1)), (Bind::IdToken, Some(name)));
            if let Some(Way::Ciba(own)) = own.way() {
                assert_eq!(own.binding_message, "Request");
            }
            let mut linked = good(way);
            linked["connections"][0]["credential"]["user_passthrough"]["bind"] = json!("link");
            linked["oauth_apps"]["hr"]["issuer"] = json!("https://hr.example");
            let cautions: Vec<String> = Config::parse(linked.to_string().as_bytes()).unwrap().cautions().collect();
            assert!(cautions.iter().any(|caution| caution.starts_with(&format!("{AT}.bind: is link"))), "{cautions:?}");
        }
    }

    #[test]
    fn each_fault_has_its_place() {
        for (way, member, value, expected) in [
            ("ciba", "device_code", json!({"endpoint": endpoint()}), format!("{AT}.ciba: cannot be given beside device_code")),
            ("ciba", "bind", json!("sign_in"), format!("{AT}.bind: is sign_in, but no browser comes here")),
            ("device_code", "bind", json!("sign_in"), format!("{AT}.bind: is sign_in, but no browser comes here")),
            ("device_code", "scopes", json!(["tasks"]), format!("{AT}.scopes: must have openid: bind is id_token")),
            ("device_code", "device_code", json!({}), format!("{AT}.device_code: missing field `endpoint`")),
            (
                "device_code",
                "device_code",
                json!({"endpoint": {"uri": "https://a.example", "cluster": ""}}),
                format!("{AT}.device_code.endpoint.cluster: "),
            ),
            ("ciba", "ciba", json!({"endpoint": endpoint()}), format!("{AT}.ciba: missing field `login_hint`")),
            ("ciba", "ciba", json!({"endpoint": endpoint(), "login_hint": ""}), format!("{AT}.ciba.login_hint: name a claim")),
            (
                "ciba",
                "ciba",
                json!({"endpoint": endpoint(), "login_hint": "preferred_username"}),
                format!("{AT}.ciba.login_hint: is a claim that users may"),
            ),
            (
                "ciba",
                "ciba",
                json!({"endpoint": endpoint(), "login_hint": "sub", "binding_message": "a\nb"}),
                format!("{AT}.ciba.binding_message: "),
            ),
            (
                "ciba",
                "ciba",
                json!({"endpoint": endpoint(), "login_hint": "sub", "binding_message": ""}),
                format!("{AT}.ciba.binding_message: "),
            ),
            ("ciba", "ciba", json!({"endpoint": endpoint(), "login_hint": "sub", "delivery": "push"}), format!("{AT}.ciba")),
        ] {
            let mut config = good(way);
            config.pointer_mut(OWN).unwrap()[member] = value;
            assert!(fault(&config).starts_with(&expected), "{member}: {}", fault(&config));
        }
        let mut config = good("ciba");
        config["oauth_apps"]["hr"]["authorization_parameters"] = json!({"login_hint": "bob"});
        assert!(fault(&config).starts_with(&format!("{AT}.ciba: cannot be used with an app")), "{}", fault(&config));
        let mut config = good("ciba");
        (config["oauth_apps"]["hr"]["scopes"], config.pointer_mut(OWN).unwrap()["bind"]) = (json!(["tasks"]), json!("link"));
        assert!(fault(&config).starts_with(&format!("{AT}.scopes: must have openid: ciba")), "{}", fault(&config));
        let mut config = good("device_code");
        config["oauth_apps"]["hr"]["issuer"] = json!("https://hr.example");
        assert!(fault(&config).starts_with(&format!("{AT}.bind: is id_token: the app's issuer")), "{}", fault(&config));
        // Where browsers are sent somewhere, it must be said where.
        let mut config = good("device_code");
        config.pointer_mut(OWN).unwrap().as_object_mut().unwrap().remove("device_code");
        assert!(
            fault(&config).starts_with("oauth_apps.hr.authorization_endpoint: is missing, and there is no discovery"),
            "{}",
            fault(&config)
        );
        let app = config["oauth_apps"]["hr"].take();
        config["oauth_apps"] = json!({});
        *config.pointer_mut(OWN).unwrap() = json!({"oauth": app, "subject": {"issuers": ["corp"]}});
        assert!(fault(&config).starts_with(&format!("{AT}.oauth.authorization_endpoint: is missing")), "{}", fault(&config));
    }
}
