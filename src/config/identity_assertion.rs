//! Identity assertion authorization grants (draft-ietf-oauth-identity-assertion-authz-grant): the caller's identity provider is asked for
//! an ID-JAG, and the authorization server of the remote agent for an access token in return.

use super::{Client, ConfigError, Subject, TokenParameters};
use serde::Deserialize;

/// Identity assertion authorization grants: the caller's identity provider is asked for an ID-JAG, and the authorization server of the
/// remote agent for an access token in return.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct IdentityAssertion {
    /// For the ID-JAG, at the identity provider.
    pub exchange: IdJag,
    /// Who asks for the access token, at the authorization server of the remote agent.
    pub client: Client,
    /// What for.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`{}`")))]
    pub request: TokenParameters,
    /// For whom.
    pub subject: Subject,
}

/// The exchange of the caller's token for an ID-JAG.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct IdJag {
    /// Who asks.
    pub client: Client,
    /// What for: its one audience is the issuer of the other authorization server.
    pub request: TokenParameters,
    /// What the caller's token is called in the request (`subject_token_type`).
    #[serde(default = "id_token")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub subject_token_type: String,
}

impl IdentityAssertion {
    /// Checks what is asked for, not who asks.
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        self.exchange.request.check(&format!("{at}.exchange.request"))?;
        self.request.check(&format!("{at}.request"))?;
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.exchange.request.audience.len() != 1 {
            return fail("exchange.request.audience", "give one: the issuer of the authorization server that takes the ID-JAG");
        }
        if self.exchange.subject_token_type.is_empty() {
            return fail("exchange.subject_token_type", "must not be empty");
        }
        Ok(())
    }
}

fn id_token() -> String {
    "urn:ietf:params:oauth:token-type:id_token".to_owned()
}

#[cfg(test)]
mod tests {
    use super::IdentityAssertion;
    use serde_json::{Value, json};

    #[test]
    fn an_id_jag_is_for_one_authorization_server() {
        let fault = |pointer: &str, value: Value| {
            let client = json!({"token_endpoint": {"uri": "https://a.example/t", "cluster": "a"}, "client_id": "me", "authentication": {"none": {}}});
            let mut own = json!({"exchange": {"client": client, "request": {"audience": ["https://b.example"]}}, "client": client,
                "subject": {"issuers": ["corp"]}});
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            own.pointer_mut(parent).unwrap()[member] = value;
            serde_json::from_value::<IdentityAssertion>(own).unwrap().check("at").err().map(|error| error.to_string())
        };
        assert_eq!(fault("/request", json!({"scopes": ["a"]})), None);
        for (pointer, value, place) in [
            ("/exchange/request", json!({}), "at.exchange.request.audience: give one"),
            ("/exchange/request", json!({"audience": ["a", "b"]}), "at.exchange.request.audience: give one"),
            ("/exchange/request", json!({"audience": [""]}), "at.exchange.request.audience[0]: "),
            ("/exchange/subject_token_type", json!(""), "at.exchange.subject_token_type: "),
            ("/request", json!({"parameters": {"assertion": "x"}}), "at.request.parameters: "),
        ] {
            let fault = fault(pointer, value.clone()).unwrap_or_default();
            assert!(fault.starts_with(place), "{pointer} {value}: {fault}");
        }
    }
}
