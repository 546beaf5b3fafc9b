//! `consent.operators`: who may look after what other users granted.

use super::voucher::Vouchers;
use super::{Alternatives, Config, ConfigError, Issuer, Kind, Require};
use serde::Deserialize;

/// Callers who may list and revoke what other users granted.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Operators {
    /// What they must be or have, as [access rules](configuration.md#access) say it: scopes, roles, clients or subjects at least. Their tokens are of
    /// issuers whose users call through a connection with `user_passthrough`.
    pub require: Alternatives,
}

impl Operators {
    pub(super) fn check(&self, at: &str, config: &Config) -> Result<(), ConfigError> {
        let own = config.connections.iter().filter_map(|connection| connection.user_passthrough());
        let names: Vec<&String> = own.flat_map(|own| &own.subject.issuers).collect();
        let taken: Vec<&Issuer> = config.issuers.iter().filter(|issuer| names.contains(&&issuer.name)).collect();
        let at = format!("{at}.require");
        self.require.check(&at, &config.issuers, config.schemes(), &Vouchers::of_tokens(taken))?;
        for (place, require) in self.require.places(&at) {
            let Require { scopes, any_scope, roles, any_role, clients, subjects, .. } = require;
            let fail = |member: &str, reason: String| Err(ConfigError::of(&place, member, &reason));
            if [scopes, any_scope, roles, any_role, clients, subjects].iter().all(|list| list.is_empty()) {
                return Err(ConfigError::new(&*place, "would make every user an operator: name scopes, roles, clients or subjects"));
            }
            if !require.schemes.is_empty() {
                return fail("schemes", "operators come with access tokens: name issuers".to_owned());
            }
            if require.kind == Some(Kind::Anonymous) {
                return fail("kind", "operators come with access tokens: user or service".to_owned());
            }
            if let Some((index, name)) = require.issuers.iter().enumerate().find(|(_, name)| !names.contains(name)) {
                return fail(&format!("issuers[{index}]"), format!("no connection with user_passthrough takes tokens of {name:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn fault(require: Value) -> String {
        let client = json!({"token_endpoint": {"uri": "https://hr.example/token", "cluster": "hr"}, "client_id": "a",
            "authentication": {"client_secret_basic": {"secret": "s"}}});
        let issuer = |name: &str| {
            json!({"name": name, "issuer": format!("https://{name}.example"), "audiences": ["a"], "jwks": {"inline": {"keys": []}},
            "claims": {"user_marker": ["scp"]}})
        };
        let config = json!({
            "issuers": [issuer("corp"), issuer("other")],
            "secrets": {"s": {"env": "S"}},
            "consent": {"public_url": "https://consent.example", "keys": [{"id": "k", "secret": "s"}], "store": {"memory": {}},
                "operators": {"require": require}},
            "oauth_apps": {"hr": {"issuer": "https://hr.example", "authorization_endpoint": "https://hr.example/auth", "client": client}},
            "connections": [{"name": "hr", "match": {"hosts": ["hr.example.com"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
                "credential": {"user_passthrough": {"app": "hr", "subject": {"issuers": ["corp"]}, "bind": "link"}}}],
        });
        Config::parse(config.to_string().as_bytes()).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn operators_are_some_whose_tokens_are_taken() {
        for fine in [
            json!({"roles": ["Grants.Manage"]}),
            json!([{"scopes": ["a"]}, {"subjects": ["ann"]}]),
            json!({"any_role": ["a"], "kind": "service"}),
        ] {
            assert_eq!(fault(fine.clone()), "", "{fine}");
        }
        for (require, place) in [
            (json!({}), "consent.operators.require: would make"),
            (json!([]), "consent.operators.require: give at least one"),
            (json!({"kind": "user", "issuers": ["corp"]}), "consent.operators.require: would make"),
            (json!([{"roles": ["a"]}, {"kind": "user"}]), "consent.operators.require[1]: would make"),
            (json!({"roles": ["a"], "issuers": ["other"]}), "consent.operators.require.issuers[0]: no connection"),
            (json!({"roles": ["a"], "issuers": ["none"]}), "consent.operators.require.issuers[0]: there is no issuer"),
            (json!({"roles": ["a"], "kind": "anonymous"}), "consent.operators.require.kind: operators"),
            (json!({"scopes": ["a b"]}), "consent.operators.require.scopes[0]: not a scope-token"),
        ] {
            assert!(fault(require.clone()).starts_with(place), "{require}: {}", fault(require.clone()));
        }
    }
}
