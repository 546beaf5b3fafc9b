//! `user_passthrough`: calls that go to a remote agent as the user, with a token that the user agreed to (RFC 6749 section 4.1).

use super::devices::{Ciba, DeviceCode, Way};
use super::{Config, ConfigError, Connection, Credential, OauthApp, Subject, TokenParameters, voucher};
use serde::Deserialize;

/// Each user signs in once at the remote agent's authorization server; calls go there with that user's token.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>, extend("oneOf" = [{"required": ["app"]}, {"required": ["oauth"]}])))]
#[serde(deny_unknown_fields)]
pub struct UserPassthrough {
    /// The registration that it shares with other connections, by its name in `oauth_apps`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless there is `oauth`")))]
    pub app: Option<String>,
    /// A registration of its own. Its redirect URI ends with the connection's name.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required, unless there is `app`")))]
    pub oauth: Option<Box<OauthApp>>,
    /// Whose tokens callers present.
    pub subject: Subject,
    /// What users are asked to agree to. Where this changes, they are asked again.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$")), extend("x-default" = "those of the registration")))]
    pub scopes: Option<Vec<String>>,
    /// What the token is for (`resource`, RFC 8707).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(length(min = 1)), extend("default" = [])))]
    pub resource: Vec<String>,
    /// How it is made sure that who agrees is the caller: see [whose link it is](user-passthrough.md#whose-link-it-is).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`\"sign_in\"`; with `device_code` or `ciba`: `\"id_token\"`")))]
    pub bind: Option<Bind>,
    /// Users agree on any device, with a code (RFC 8628), in place of a link: see [without a browser](user-passthrough.md#without-a-browser).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none: users open a link")))]
    pub device_code: Option<DeviceCode>,
    /// The server asks users on a device of theirs (CIBA), in place of a link: see [without a browser](user-passthrough.md#without-a-browser).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "none: users open a link")))]
    pub ciba: Option<Box<Ciba>>,
    /// Claims that the caller's token and the ID token of the sign-in must have, with the same values: a list, or `"entra"` for `tid`
    /// and `oid`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = r#"`["iss", "sub"]`"#)))]
    pub identity: Identity,
    /// What a call is answered whose user has not agreed yet: a task that waits for it, or a 401.
    #[serde(default)]
    pub consent: ConsentForm,
    /// Longest body of a call: it is read as a whole before it leaves. [Envoy's buffers](buffers.md) must be larger.
    #[serde(default = "megabyte")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("default" = 1_048_576)))]
    pub max_body_bytes: u64,
}

/// How who agrees is known to be the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// The user signs in at the issuer of the caller's token first (`consent.sign_in`). Not with `device_code` and `ciba`.
    SignIn,
    /// The authorization server is that issuer: its ID token says who agreed. Needs the scope `openid`.
    IdToken,
    /// Not at all: anyone who has the link or the code can agree in the caller's place. The log warns of it.
    Link,
}

/// What a call is answered whose user has not agreed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ConsentForm {
    /// A task in the state `TASK_STATE_AUTH_REQUIRED` whose status message has the link (over gRPC: status 16 with the link).
    #[default]
    Task,
    /// 401, with the link in the challenge and in the error.
    Challenge,
}

/// Claims that tell a person in two tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Identity {
    /// `"entra"`.
    Named(NamedIdentity),
    /// The claims, by name.
    Claims(#[cfg_attr(feature = "schema", schemars(length(min = 1, max = 4), inner(length(min = 1))))] Vec<String>),
}

/// A list of claims that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum NamedIdentity {
    /// `tid` and `oid`: Entra's `sub` is another for each client.
    Entra,
}

impl Default for Identity {
    fn default() -> Self {
        Self::Claims(vec!["iss".to_owned(), "sub".to_owned()])
    }
}

impl Identity {
    /// The claims.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let (named, listed): (&[&str], &[String]) = match self {
            Self::Named(NamedIdentity::Entra) => (&["tid", "oid"], &[]),
            Self::Claims(claims) => (&[], claims),
        };
        named.iter().copied().chain(listed.iter().map(String::as_str))
    }
}

impl UserPassthrough {
    /// What users of this registration are asked to agree to.
    #[must_use]
    pub fn scopes<'a>(&'a self, app: &'a OauthApp) -> &'a [String] {
        self.scopes.as_deref().unwrap_or(&app.scopes)
    }

    /// How users agree without a browser that comes here, if they do.
    #[must_use]
    pub fn way(&self) -> Option<Way<'_>> {
        let device = self.device_code.as_ref().map(Way::DeviceCode);
        device.or_else(|| self.ciba.as_deref().map(Way::Ciba))
    }

    /// How who agrees is known to be the caller.
    #[must_use]
    pub fn bind(&self) -> Bind {
        self.bind.unwrap_or_else(|| if self.way().is_some() { Bind::IdToken } else { Bind::SignIn })
    }

    /// Checks what it says by itself.
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        match (&self.app, &self.oauth) {
            (None, None) => return fail("app", "is missing, and so is oauth: one of them says at which registration users agree"),
            (Some(_), Some(_)) => return fail("oauth", "cannot be given beside app: the registration is shared, or the connection's own"),
            (None, Some(own)) => own.check(&format!("{at}.oauth"))?,
            (Some(_), None) => {}
        }
        let request = TokenParameters {
            scopes: self.scopes.clone().unwrap_or_default(),
            resource: self.resource.clone(),
            ..TokenParameters::default()
        };
        request.check(at)?;
        if self.device_code.is_some() && self.ciba.is_some() {
            return fail("ciba", "cannot be given beside device_code: users agree in one way");
        }
        if self.way().is_some() && self.bind == Some(Bind::SignIn) {
            return fail("bind", "is sign_in, but no browser comes here with device_code or ciba: leave it out for id_token");
        }
        if let Some(way) = self.way() {
            way.check(at)?;
        }
        if self.max_body_bytes == 0 {
            return fail("max_body_bytes", "must be at least 1");
        }
        let claims: Vec<&str> = self.identity.claims().collect();
        if claims.is_empty() || claims.len() > 4 || claims.iter().any(|claim| claim.is_empty()) {
            return fail("identity", "name one to four claims");
        }
        Ok(())
    }
}

impl Connection {
    /// How it calls as its users, if it does.
    #[must_use]
    pub fn user_passthrough(&self) -> Option<&UserPassthrough> {
        if let Credential::UserPassthrough(own) = &self.credential { Some(own) } else { None }
    }
}

impl Config {
    /// The registration at which users of `connection` agree, and its name.
    #[must_use]
    pub fn app_of<'a>(&'a self, connection: &'a Connection) -> Option<(&'a str, &'a OauthApp)> {
        let own = connection.user_passthrough()?;
        match (&own.app, &own.oauth) {
            (Some(name), _) => self.oauth_apps.0.get(name).map(|app| (name.as_str(), app)),
            (None, Some(app)) => Some((connection.name.as_str(), app)),
            (None, None) => None,
        }
    }

    /// Checks the connections that call as their users, and what they need.
    pub(super) fn check_user_passthrough(&self) -> Result<(), ConfigError> {
        let mut calls_as_user = false;
        for (index, connection) in self.connections.iter().enumerate() {
            let at = format!("connections[{index}]");
            if self.is_chosen(connection) {
                return Err(ConfigError::of(
                    &at,
                    "credential",
                    "user_passthrough stands alone: a card cannot choose it, and is not fetched with it",
                ));
            }
            let Some(own) = connection.user_passthrough() else { continue };
            calls_as_user = true;
            let at = format!("{at}.credential.user_passthrough");
            let fail = |member: &str, reason: &str| Err(ConfigError::of(&at, member, reason));
            let Some(consent) = &self.consent else {
                return fail("consent", "needs the member consent of the whole configuration: it says where users agree");
            };
            if !self.hold_headers {
                return fail("consent", "needs hold_headers: true: a call is read before it is answered or goes on");
            }
            let Some((name, app)) = self.app_of(connection) else { return fail("app", "there is no app of this name in oauth_apps") };
            if own.oauth.is_some() && self.oauth_apps.0.contains_key(name) {
                return fail("oauth", "an app in oauth_apps has the name of this connection, and so the same redirect URI");
            }
            if !is_segment(name) {
                return fail("oauth", "the name is a part of the redirect URI: it must have letters, digits, and - . _ ~ only");
            }
            let named = self.issuers.iter().enumerate().filter(|(_, issuer)| own.subject.issuers.contains(&issuer.name));
            if let Some((place, issuer)) = named.into_iter().find(|(_, issuer)| !issuer.claims.tells_kind) {
                return Err(voucher::kind_unsaid(&format!("{at}.subject.issuers"), &format!("issuers[{place}]"), issuer.preset.is_none()));
            }
            match own.way() {
                Some(way) => way.check_app(&at, own.scopes(app), app)?,
                None if !app.has_browsers() => {
                    let place = if own.oauth.is_some() { format!("{at}.oauth") } else { format!("oauth_apps.{name}") };
                    let reason = format!("is missing, and there is no discovery that says where it is: {at} sends browsers there");
                    return Err(ConfigError::new(format!("{place}.authorization_endpoint"), reason));
                }
                None => {}
            }
            match own.bind() {
                Bind::SignIn => {
                    if let Some(issuer) = own.subject.issuers.iter().find(|issuer| consent.sign_in_at(issuer).is_none()) {
                        let reason = format!("is sign_in, but consent.sign_in says nothing of issuer {issuer:?}");
                        return Err(ConfigError::new(format!("{at}.bind"), reason));
                    }
                }
                Bind::IdToken if !own.scopes(app).iter().any(|scope| scope == "openid") => {
                    return fail("scopes", "must have openid: bind is id_token");
                }
                Bind::IdToken
                    if !self
                        .issuers
                        .iter()
                        .any(|issuer| own.subject.issuers.contains(&issuer.name) && app.issuer.as_ref() == Some(&issuer.issuer)) =>
                {
                    return fail("bind", "is id_token: the app's issuer must be one of subject.issuers");
                }
                Bind::IdToken | Bind::Link => {}
            }
        }
        match &self.consent {
            Some(_) if !calls_as_user => Err(ConfigError::new("consent", "is for connections with user_passthrough, and there is none")),
            Some(consent) => consent.check(self),
            None => Ok(()),
        }
    }

    /// Whether a card would choose that `connection` calls as its users.
    fn is_chosen(&self, connection: &Connection) -> bool {
        let is_own = connection.user_passthrough().is_some();
        connection.credentials().filter(|credential| matches!(credential, Credential::UserPassthrough(_))).count() > usize::from(is_own)
    }
}

const fn megabyte() -> u64 {
    1 << 20
}

/// Whether `name` is a segment of a path as it is.
pub(super) fn is_segment(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn good() -> Value {
        let client = |name: &str| {
            json!({"token_endpoint": {"uri": format!("https://{name}.example/token"), "cluster": name}, "client_id": "attache",
                "authentication": {"client_secret_basic": {"secret": "client"}}})
        };
        json!({
            "issuers": [{"name": "corp", "issuer": "https://corp.example", "audiences": ["https://o.example"], "claims": {"user_marker": ["scp"]},
                "jwks": {"remote": {"uri": "https://corp.example/jwks", "cluster": "corp"}}}],
            "secrets": {"key": {"env": "KEY"}, "client": {"env": "CLIENT"}},
            "consent": {"public_url": "https://consent.example", "keys": [{"id": "k1", "secret": "key"}], "store": {"memory": {}},
                "sign_in": [{"issuer": "corp", "authorization_endpoint": "https://corp.example/auth", "client": client("corp")}]},
            "oauth_apps": {"hr": {"issuer": "https://hr.example", "authorization_endpoint": "https://hr.example/auth",
                "client": client("hr"), "scopes": ["openid", "tasks"]}},
            "connections": [{"name": "hr", "match": {"hosts": ["hr.example"], "path_prefix": "/"}, "version": "1.0", "pin": {"clusters": ["hr"]},
                "credential": {"user_passthrough": {"app": "hr", "subject": {"issuers": ["corp"]}}}}],
        })
    }

    fn fault(config: &Value) -> String {
        Config::parse(config.to_string().as_bytes()).err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
    }

    #[test]
    fn the_smallest_is_taken_and_memory_is_warned_of() {
        let config = Config::parse(good().to_string().as_bytes()).unwrap();
        let connection = &config.connections[0];
        let (name, app) = config.app_of(connection).unwrap();
        assert_eq!(
            (name, connection.user_passthrough().unwrap().scopes(app)),
            ("hr", ["openid".to_owned(), "tasks".to_owned()].as_slice())
        );
        assert_eq!(config.consent.as_ref().unwrap().uri("/callback/hr"), "https://consent.example/consent/callback/hr");
        let cautions: Vec<String> = config.cautions().collect();
        assert!(matches!(cautions.as_slice(), [one] if one.starts_with("consent.store: is memory")), "{cautions:?}");
        let mut linked = good();
        linked["connections"][0]["credential"]["user_passthrough"]["bind"] = json!("link");
        let cautions: Vec<String> = Config::parse(linked.to_string().as_bytes()).unwrap().cautions().collect();
        assert!(
            cautions.iter().any(|caution| caution.starts_with("connections[0].credential.user_passthrough.bind: is link")),
            "{cautions:?}"
        );
    }

    #[test]
    fn each_fault_has_its_place() {
        const OWN: &str = "/connections/0/credential/user_passthrough";
        const AT: &str = "connections[0].credential.user_passthrough";
        for (pointer, value, expected) in [
            (format!("{OWN}/app"), json!("other"), format!("{AT}.app: there is no app")),
            (format!("{OWN}/app"), Value::Null, format!("{AT}.app: is missing")),
            (format!("{OWN}/oauth"), good()["oauth_apps"]["hr"].clone(), format!("{AT}.oauth: cannot be given beside app")),
            (format!("{OWN}/subject"), json!({"issuers": []}), format!("{AT}.subject.issuers: name at least one")),
            (format!("{OWN}/identity"), json!([]), format!("{AT}.identity: name one to four")),
            (format!("{OWN}/identity"), json!(["sub", ""]), format!("{AT}.identity: name one to four")),
            (format!("{OWN}/identity"), json!("okta"), format!("{AT}.identity: ")),
            (format!("{OWN}/scopes"), json!(["a b"]), format!("{AT}.scopes[0]: a scope is one word")),
            (format!("{OWN}/bind"), json!("id_token"), format!("{AT}.bind: is id_token: the app's issuer")),
            (format!("{OWN}/bind"), json!("cookie"), format!("{AT}.bind: unknown variant")),
            (
                "/issuers/0/claims".to_owned(),
                json!({}),
                format!("{AT}.subject.issuers: nothing says which tokens of issuers[0] are users'"),
            ),
            ("/consent".to_owned(), Value::Null, format!("{AT}.consent: needs the member consent")),
            ("/hold_headers".to_owned(), json!(false), format!("{AT}.consent: needs hold_headers")),
            (
                "/consent/sign_in".to_owned(),
                json!([]),
                format!("{AT}.bind: is sign_in, but consent.sign_in says nothing of issuer \"corp\""),
            ),
            ("/consent/public_url".to_owned(), json!("http://consent.example"), "consent.public_url: must be https".to_owned()),
            ("/consent/public_url".to_owned(), json!("https://consent.example/a"), "consent.public_url: is a scheme and a host".to_owned()),
            (
                "/consent/public_url".to_owned(),
                json!("https://HR.example"),
                "consent.public_url: needs a host of its own, and connections[0].match.hosts".to_owned(),
            ),
            ("/connections/0/match/hosts".to_owned(), json!(["*"]), "consent.public_url: needs a host of its own".to_owned()),
            ("/consent/path".to_owned(), json!("/a/"), "consent.path: must be / and plain segments".to_owned()),
            ("/consent/path".to_owned(), json!("/a?b"), "consent.path: must be / and plain segments".to_owned()),
            ("/consent/keys".to_owned(), json!([]), "consent.keys: give 1 to 8".to_owned()),
            ("/consent/keys/0/secret".to_owned(), json!("none"), "consent.keys[0].secret: there is no secret".to_owned()),
            ("/consent/sign_in/0/issuer".to_owned(), json!("crop"), format!("{AT}.bind: is sign_in")),
            ("/consent/sign_in/0/scopes".to_owned(), json!(["email"]), "consent.sign_in[0].scopes: must have openid".to_owned()),
            (
                "/consent/sign_in/0/client/authentication".to_owned(),
                json!({"client_secret_post": {"secret": "no"}}),
                "consent.sign_in[0].client.authentication.client_secret_post.secret: there is no secret".to_owned(),
            ),
            (
                "/oauth_apps/hr/authorization_endpoint".to_owned(),
                Value::Null,
                "oauth_apps.hr.authorization_endpoint: is missing, and there is no discovery".to_owned(),
            ),
            (
                "/oauth_apps/hr/client/token_endpoint".to_owned(),
                Value::Null,
                "oauth_apps.hr.client.token_endpoint: is missing, and there is no discovery".to_owned(),
            ),
            (
                "/oauth_apps/hr/discovery".to_owned(),
                json!({"uri": "https://hr.example/.well-known/openid-configuration", "cluster": ""}),
                "oauth_apps.hr.discovery.cluster: name an Envoy cluster".to_owned(),
            ),
            ("/oauth_apps/hr/issuer".to_owned(), json!(""), "oauth_apps.hr.issuer: must not be empty".to_owned()),
            (
                "/oauth_apps/hr/authorization_endpoint".to_owned(),
                json!("https://hr.example/auth?tenant=1&state=x"),
                "oauth_apps.hr.authorization_endpoint: its query has state".to_owned(),
            ),
            (
                "/oauth_apps/hr/authorization_parameters".to_owned(),
                json!({"redirect_uri": "x"}),
                "oauth_apps.hr.authorization_parameters: \"redirect_uri\" cannot".to_owned(),
            ),
            ("/connections/0/credential".to_owned(), json!({"none": {}}), "consent: is for connections with user_passthrough".to_owned()),
            (
                "/connections/0/credential".to_owned(),
                json!({"auto": [{"credential": good()["connections"][0]["credential"]}]}),
                "connections[0].card: say where".to_owned(),
            ),
        ] {
            let mut config = good();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            match config.pointer_mut(parent).unwrap() {
                Value::Array(list) => list[member.parse::<usize>().unwrap()] = value.clone(),
                object => object[member] = value.clone(),
            }
            let fault = fault(&config);
            assert!(fault.starts_with(&expected), "{pointer} = {value}: {fault}");
        }
    }

    #[test]
    fn an_app_of_its_own_has_the_name_of_its_connection() {
        let mut config = good();
        let app = config["oauth_apps"]["hr"].take();
        config["oauth_apps"] = json!({});
        config["connections"][0]["credential"] = json!({"user_passthrough": {"oauth": app, "subject": {"issuers": ["corp"]}}});
        assert_eq!(fault(&config), "ok");
        let parsed = Config::parse(config.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.app_of(&parsed.connections[0]).unwrap().0, "hr");
        config["connections"][0]["name"] = json!("h r");
        assert!(fault(&config).contains("the name is a part of the redirect URI"), "{}", fault(&config));
    }
}
