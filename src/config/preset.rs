//! Presets: what the tokens of a known issuer look like, as rows of data in the words of the configuration. What the operator
//! writes beside a preset counts; the row fills the rest.

use super::claims::GivenClaims;
use super::{Algorithm, ConfigError, reader};
use serde::Deserialize;

/// A provider whose tokens are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Microsoft Entra ID, v2 and v1 tokens.
    Entra,
    /// Microsoft Entra External ID.
    EntraExternal,
    /// Okta, a custom authorization server.
    Okta,
    /// Auth0.
    Auth0,
    /// Keycloak.
    Keycloak,
    /// Amazon Cognito user pools.
    Cognito,
    /// Google ID tokens.
    Google,
    /// ZITADEL.
    Zitadel,
    /// Service accounts of Kubernetes.
    Kubernetes,
    /// Workflows of GitHub Actions.
    GithubActions,
    /// JWT-SVIDs.
    Spiffe,
}

/// What a preset fills.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Row {
    /// Every form of `iss`, where it is not the operator's own.
    pub issuers: Vec<String>,
    /// Issuers that keys may name besides.
    pub key_issuers: Vec<String>,
    pub algorithms: Option<Vec<Algorithm>>,
    pub token_types: Option<Vec<String>>,
    pub claims: GivenClaims,
    /// Nothing tells users from services: all count as services, and rules cannot ask.
    pub unmarked: bool,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 11] = [
        Self::Entra,
        Self::EntraExternal,
        Self::Okta,
        Self::Auth0,
        Self::Keycloak,
        Self::Cognito,
        Self::Google,
        Self::Zitadel,
        Self::Kubernetes,
        Self::GithubActions,
        Self::Spiffe,
    ];

    /// What it fills.
    ///
    /// # Errors
    /// Never: a test reads every row.
    pub(super) fn row(self) -> Result<Row, ConfigError> {
        reader::read(self.text().as_bytes())
    }

    /// What it fills, as JSON. The table in `docs/tokens.md` names all of it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            // `azp` and `appid` are in no ID token; `scp` is in tokens of users only, and of the others one without roles admits to nothing.
            Self::Entra => {
                r#"{"issuers":["https://login.microsoftonline.com/{tenantid}/v2.0","https://sts.windows.net/{tenantid}/"],"algorithms":["RS256"],"claims":{"subject":["oid"],"scopes":["scp"],"client":["azp","appid"],"user_marker":["scp"],"service_marker":[{"claim":"idtyp","value":"app"},"roles"],"required":["subject","client","tenant"]}}"#
            }
            Self::EntraExternal => {
                r#"{"issuers":["https://{tenantid}.ciamlogin.com/{tenantid}/v2.0"],"key_issuers":["https://login.microsoftonline.com/{tenantid}/v2.0"],"algorithms":["RS256"],"claims":{"subject":["oid"],"scopes":["scp"],"client":["azp"],"user_marker":["scp"],"service_marker":[{"claim":"idtyp","value":"app"},"roles"],"required":["subject","client","tenant"]}}"#
            }
            // `cid` is in no ID token; services have a list `scp`, too, but no `uid`.
            Self::Okta => {
                r#"{"algorithms":["RS256"],"claims":{"scopes":["scp"],"roles":["groups"],"client":["cid"],"user_marker":["uid"],"service_marker":["cid"],"required":["subject","client"]}}"#
            }
            // A user's `sub` begins with the connection: `auth0|…`, `google-oauth2|…`. No client has a `|`.
            Self::Auth0 => {
                r#"{"algorithms":["RS256"],"claims":{"scopes":["scope"],"roles":["permissions"],"client":["azp","client_id"],"user_marker":[{"claim":"sub","pattern":"*|*"}],"service_marker":[{"claim":"gty","value":"client-credentials"},{"claim":"sub","pattern":"*@clients"}],"required":["subject","client"]}}"#
            }
            // Only the client's own grant gives `client_id` (once `clientId`); whoever may choose a name can be called service-account-….
            Self::Keycloak => {
                r#"{"claims":{"scopes":["scope"],"roles":[["realm_access","roles"]],"client":["azp","client_id"],"user_marker":["sid"],"service_marker":["client_id","clientId"],"service_first":true,"required":["client",{"claim":"typ","value":"Bearer"}]}}"#
            }
            // Access tokens have no `aud`, unless they are for a resource server.
            Self::Cognito => {
                r#"{"algorithms":["RS256"],"claims":{"audience":["aud","client_id"],"scopes":["scope"],"roles":["cognito:groups"],"client":["client_id"],"user_marker":["username"],"service_marker":["client_id"],"required":["subject","client",{"claim":"token_use","value":"access"}]}}"#
            }
            Self::Google => {
                r#"{"issuers":["https://accounts.google.com","accounts.google.com"],"algorithms":["RS256"],"claims":{"client":["azp"],"tenant":["hd"],"user_marker":["email"],"service_marker":[{"claim":"email","pattern":"*.gserviceaccount.com"},{"claim":"iss","pattern":"*.gserviceaccount.com"}],"service_first":true,"required":["subject"]}}"#
            }
            // Nothing in these tokens tells users from services.
            Self::Zitadel => {
                r#"{"claims":{"scopes":["scope"],"role_names":["urn:zitadel:iam:org:project:roles"],"client":["client_id"],"tenant":["urn:zitadel:iam:user:resourceowner:id"],"user_marker":[],"service_marker":["sub"],"required":["subject"]},"unmarked":true}"#
            }
            Self::Kubernetes => {
                r#"{"claims":{"client":["sub"],"tenant":[["kubernetes.io","namespace"]],"user_marker":[],"service_marker":["kubernetes.io"],"required":["tenant",{"claim":"sub","pattern":"system:serviceaccount:*"}]}}"#
            }
            Self::GithubActions => {
                r#"{"issuers":["https://token.actions.githubusercontent.com"],"algorithms":["RS256"],"claims":{"client":["repository"],"tenant":["repository_owner"],"user_marker":[],"service_marker":["repository"],"required":["subject","client","tenant"]}}"#
            }
            Self::Spiffe => {
                r#"{"token_types":["JWT","JOSE"],"claims":{"client":["sub"],"user_marker":[],"service_marker":["sub"],"required":[{"claim":"sub","pattern":"spiffe://*"}]}}"#
            }
        }
    }
}
