//! `consent`: where users agree that calls go to remote agents in their name.

use super::oauth_app::check_authorization_endpoint;
use super::secret::named;
use super::user_passthrough::is_segment;
use super::{Client, ClientAuthentication, Config, ConfigError, GrantStore, HttpUri, Operators, TagKey, TokenParameters, tag_key};
use crate::wire::path;
use serde::Deserialize;

/// Where users agree that calls go to remote agents in their name, and where their grants lie.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Where browsers reach this listener, `https://consent.example.com`: a host of its own, which no agent, connection or webhook has.
    /// `http://` only with `localhost`.
    pub public_url: HttpUri,
    /// Below which path, without a trailing slash.
    #[serde(default = "slash_consent")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^(/[A-Za-z0-9._~-]+)+$"), extend("default" = "/consent")))]
    pub path: String,
    /// Keys that seal grants and links. The first seals, all open: put a new one in front, and take the old one out when no grant is
    /// older. A grant that no key opens is asked for again.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8)))]
    pub keys: Vec<TagKey>,
    /// Where grants lie: `{"memory": {}}` for one Envoy, lost when it ends; `{"etcd": {…}}` for several.
    pub store: GrantStore,
    /// Where users of each issuer sign in, so that only the caller can use a link.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub sign_in: Vec<SignIn>,
    /// `{"require": {"roles": ["…"]}}`: callers who may list and revoke what other users granted: see [who looks after
    /// them](user-passthrough.md#who-looks-after-them).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "nobody")))]
    pub operators: Option<Operators>,
}

/// How users of an issuer sign in here (OpenID Connect Core 1.0 section 3.1).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The issuer, by its name in `issuers`.
    pub issuer: String,
    /// Where users sign in, in their browsers.
    pub authorization_endpoint: HttpUri,
    /// Who asks for the ID token. Register the redirect URI `<public_url><path>/signed-in/<name of the issuer>` for it.
    pub client: Client,
    /// Scopes of the request, `openid` among them.
    #[serde(default = "openid")]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = r"^[!#-\[\]-~]+$")), extend("default" = ["openid"])))]
    pub scopes: Vec<String>,
}

impl Consent {
    /// How users of `issuer` sign in.
    #[must_use]
    pub fn sign_in_at(&self, issuer: &str) -> Option<&SignIn> {
        self.sign_in.iter().find(|sign_in| sign_in.issuer == issuer)
    }

    /// The absolute URI of `rest` below the path.
    #[must_use]
    pub fn uri(&self, rest: &str) -> String {
        format!("{}://{}{}{rest}", self.public_url.scheme(), self.public_url.authority(), self.path)
    }

    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of("consent", member, reason));
        let host = path::host(self.public_url.authority()).unwrap_or_default();
        if self.public_url.scheme() != "https" && host != "localhost" {
            return fail("public_url", "must be https: cookies of the sign-in are sent over TLS only");
        }
        if !matches!(self.public_url.path(), "/") {
            return fail("public_url", "is a scheme and a host: the path goes into consent.path");
        }
        let segments = self.path.strip_prefix('/').map(|path| path.split('/'));
        if !segments.is_some_and(|mut segments| segments.all(is_segment)) {
            return fail("path", "must be / and plain segments, without a trailing slash");
        }
        if let Some(place) = config.place_of_host(&host, self.public_url.authority()) {
            return Err(ConfigError::new("consent.public_url", format!("needs a host of its own, and {place} has it too")));
        }
        tag_key::check("consent.keys", &self.keys, config.secrets())?;
        self.store.check("consent.store", config.secrets())?;
        for (index, own) in self.sign_in.iter().enumerate() {
            own.check(&format!("consent.sign_in[{index}]"), config)?;
            if self.sign_in.iter().take(index).any(|earlier| earlier.issuer == own.issuer) {
                return Err(ConfigError::new(format!("consent.sign_in[{index}].issuer"), "is used twice"));
            }
        }
        if let Some(operators) = &self.operators {
            operators.check("consent.operators", config)?;
        }
        for (name, app) in &config.oauth_apps.0 {
            app.check(&format!("oauth_apps.{name}"))?;
            check_secret(&format!("oauth_apps.{name}.client"), &app.client.authentication, config)?;
            if !is_segment(name) {
                return Err(ConfigError::new(
                    format!("oauth_apps.{name}"),
                    "is a part of the redirect URI: letters, digits, and - . _ ~ only",
                ));
            }
        }
        for (index, own) in config.connections.iter().enumerate() {
            if let Some(app) = own.user_passthrough().and_then(|own| own.oauth.as_ref()) {
                check_secret(
                    &format!("connections[{index}].credential.user_passthrough.oauth.client"),
                    &app.client.authentication,
                    config,
                )?;
            }
        }
        Ok(())
    }
}

impl SignIn {
    fn check(&self, at: &str, config: &Config) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if !config.issuers.iter().any(|issuer| issuer.name == self.issuer) {
            return fail("issuer", "there is no issuer of this name");
        }
        if !is_segment(&self.issuer) {
            return fail("issuer", "its name is a part of the redirect URI: letters, digits, and - . _ ~ only");
        }
        check_authorization_endpoint(at, &self.authorization_endpoint)?;
        self.client.check(&format!("{at}.client"))?;
        check_secret(&format!("{at}.client"), &self.client.authentication, config)?;
        TokenParameters { scopes: self.scopes.clone(), ..TokenParameters::default() }.check(at)?;
        match self.scopes.iter().any(|scope| scope == "openid") {
            true => Ok(()),
            false => fail("scopes", "must have openid: without it there is no ID token"),
        }
    }
}

/// Whether the secret of `client` is there. Only what a client has itself can authenticate it here.
fn check_secret(at: &str, authentication: &ClientAuthentication, config: &Config) -> Result<(), ConfigError> {
    if matches!(authentication, ClientAuthentication::ManagedIdentity(_) | ClientAuthentication::AgentIdentityBlueprint(_)) {
        return Err(ConfigError::of(
            at,
            "authentication",
            "must be a secret, a key, a certificate or none: users do not wait for another token",
        ));
    }
    match authentication.secret() {
        Some((own, secret)) => named(&format!("{at}.authentication.{own}.secret"), &secret.secret, config.secrets()).map(drop),
        None => Ok(()),
    }
}

impl Config {
    /// The place of what has `host`, with or without its port.
    fn place_of_host(&self, host: &str, authority: &str) -> Option<String> {
        let authority = authority.to_ascii_lowercase();
        let covers = |target: &super::Match| target.hosts.iter().any(|pattern| pattern.covers(host) || pattern.covers(&authority));
        let agents = self.agents.iter().map(|agent| ("agents", covers(&agent.target)));
        let connections = self.connections.iter().map(|connection| ("connections", covers(&connection.target)));
        let webhooks = self.webhooks.iter().map(|webhook| ("webhooks", covers(&webhook.target)));
        let place = |list: Vec<(&str, bool)>| {
            list.iter().position(|(_, has)| *has).map(|index| (index, list.first().map_or("", |(name, _)| *name).to_owned()))
        };
        let found = place(agents.collect()).or_else(|| place(connections.collect())).or_else(|| place(webhooks.collect()));
        found.map(|(index, list)| format!("{list}[{index}].match.hosts"))
    }
}

fn slash_consent() -> String {
    "/consent".to_owned()
}

fn openid() -> Vec<String> {
    vec!["openid".to_owned()]
}
