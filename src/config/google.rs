//! The identity of a machine on Google Cloud: its metadata server, as which service account, and what the token is for.

use super::{ConfigError, HttpUri, duration};
use serde::Deserialize;
use std::time::Duration;

/// The metadata server of Google Cloud.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// The Envoy cluster that leads to metadata.google.internal:80.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Scheme, host and port of the server.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`http://metadata.google.internal`")))]
    pub uri: Option<HttpUri>,
    /// Longest wait for one answer, at least `0.01s`.
    #[serde(default = "super::credential::five_seconds", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "5s")))]
    pub timeout: Duration,
    /// The email address of another of the machine's service accounts.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9@._-]+$"), extend("x-default" = "`default`")))]
    pub service_account: Option<String>,
    /// An ID token for this audience, such as the URL of a Cloud Run service. It is kept until its `exp`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub audience: Option<String>,
    /// Scopes of an access token. Not together with `audience`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^[!-+.-~-]+$")), extend("x-default" = "what the machine may do")))]
    pub scopes: Vec<String>,
}

impl Google {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        let is_account = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte));
        // The server takes them as one list.
        let is_scope = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if self.cluster.is_empty() {
            return fail("cluster", "name an Envoy cluster");
        }
        if self.uri.as_ref().is_some_and(|uri| uri.path() != "/") {
            return fail("uri", "give scheme, host and port alone");
        }
        if self.timeout < Duration::from_millis(10) {
            return fail("timeout", "must be at least 0.01s");
        }
        if self.service_account.as_deref().is_some_and(|own| !is_account(own)) {
            return fail("service_account", "give the email address of a service account");
        }
        match &self.audience {
            Some(audience) if audience.is_empty() => fail("audience", "must not be empty"),
            Some(_) if !self.scopes.is_empty() => {
                fail("scopes", "are for access tokens, and audience asks for an ID token: give one of them")
            }
            _ => match self.scopes.iter().position(|scope| !is_scope(scope)) {
                Some(index) => fail(&format!("scopes[{index}]"), "a scope is one word of visible ASCII without a comma"),
                None => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Google;
    use serde_json::{Value, json};

    #[test]
    fn each_fault_has_its_place() {
        let fault = |more: Value| {
            let mut own = json!({"cluster": "metadata"});
            for (name, value) in more.as_object().unwrap() {
                own[name] = value.clone();
            }
            serde_json::from_value::<Google>(own).unwrap().check("at").err().map(|error| error.to_string())
        };
        let account = json!({"service_account": "a-b_c@d.iam.gserviceaccount.com", "uri": "http://127.0.0.1:1", "audience": "a"});
        for good in [json!({}), account, json!({"scopes": ["https://a.example/x"]})] {
            assert_eq!(fault(good.clone()), None, "{good}");
        }
        for (more, place) in [
            (json!({"cluster": ""}), "at.cluster: "),
            (json!({"uri": "http://a.example/computeMetadata/v1"}), "at.uri: "),
            (json!({"uri": "http://a.example/?x"}), "at.uri: "),
            (json!({"timeout": "0.001s"}), "at.timeout: "),
            (json!({"service_account": "a/../b"}), "at.service_account: "),
            (json!({"service_account": ""}), "at.service_account: "),
            (json!({"audience": ""}), "at.audience: "),
            (json!({"audience": "a", "scopes": ["b"]}), "at.scopes: "),
            (json!({"scopes": ["a", "b,c"]}), "at.scopes[1]: "),
            (json!({"scopes": ["a b"]}), "at.scopes[0]: "),
        ] {
            let fault = fault(more.clone()).unwrap_or_default();
            assert!(fault.starts_with(place), "{more}: {fault}");
        }
    }
}
