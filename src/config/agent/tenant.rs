//! `tenant`: which tenants of an agent (A2A 1.0: `tenant` of a request, of an interface in a card) requests may name.

use crate::config::{ClaimPath, ConfigError, Demanded, Scheme};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// Which tenants of the agent requests may name, beside none.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tenants {
    /// Those that the agent's card names, for the binding of the request.
    #[default]
    #[serde(skip)]
    Published,
    /// The one that this claim of the caller's token names: one text at a place, a name or a list of names from the outside in.
    Claim(#[cfg_attr(feature = "schema", schemars(with = "ClaimPath"))] TenantClaim),
    /// Any: the agent looks at none.
    Ignore(Unused),
}

/// The claim that names the caller's tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ClaimPath")]
pub struct TenantClaim {
    /// Where it stands.
    pub path: ClaimPath,
    /// Its index in [`crate::config::Claims::forwarded`]; filled by [`crate::config::Config::parse`].
    pub index: usize,
}

impl From<ClaimPath> for TenantClaim {
    fn from(path: ClaimPath) -> Self {
        Self { path, index: usize::MAX }
    }
}

/// `ignore: {}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(deny_unknown_fields)]
pub struct Unused {}

impl Tenants {
    pub(in crate::config) fn check(&self, at: &str, security: &Demanded, schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
        let requirements = security.requirements();
        let has_claims = |name: &String| matches!(schemes.get(name), Some(Scheme::Bearer(_) | Scheme::Introspection(_)));
        let any = requirements.is_empty() || requirements.iter().flat_map(|requirement| requirement.0.keys()).any(has_claims);
        match self {
            Self::Claim(_) if !any => {
                Err(ConfigError::new(format!("{at}.claim"), "no scheme of security takes tokens: callers have no claims"))
            }
            Self::Published | Self::Claim(_) | Self::Ignore(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tenants;
    use crate::config::{Config, Form, ForwardedClaim};
    use serde_json::{Value, json};

    fn parse(tenants: &[Value], security: &Value) -> Result<Config, String> {
        let agent = |(index, tenant): (usize, &Value)| {
            json!({"name": format!("a{index}"), "match": {"hosts": [format!("a{index}")], "path_prefix": "/"}, "tenant": tenant,
                "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "security": security, "forward": {"headers": {"x-org": {"claim": "org"}}}})
        };
        let config = json!({
            "issuers": [{"name": "corp", "issuer": "https://a", "audiences": ["a"], "jwks": {"inline": {"keys": []}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}, "open": {"none": {}}},
            "agents": tenants.iter().enumerate().map(agent).collect::<Vec<_>>(),
        });
        Config::parse(config.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_claim_is_read_from_every_token_as_text() {
        let config =
            parse(&[json!({"claim": "tid"}), json!({"claim": ["org", "id"]}), json!({"ignore": {}})], &json!([{"oauth2": []}])).unwrap();
        let claims = &config.issuers[0].claims.forwarded;
        for (agent, path) in config.agents.iter().zip([vec!["tid"], vec!["org", "id"]]) {
            let Tenants::Claim(claim) = &agent.tenant else { panic!() };
            assert_eq!(claims[claim.index].claim.names(), path);
            assert_eq!(claims[claim.index].form, Form::Text);
        }
        assert!(matches!(config.agents[2].tenant, Tenants::Ignore(_)));
        assert_eq!(claims.len(), 3);
        assert!(claims.contains(&ForwardedClaim { claim: "org".into(), form: Form::Item }));
    }

    #[test]
    fn what_is_no_rule_is_an_error_at_its_place() {
        for (tenant, expected) in [
            (json!({"claim": ""}), "agents[0].tenant.claim: "),
            (json!({"claim": []}), "agents[0].tenant.claim: "),
            (json!({"claim": 7}), "agents[0].tenant.claim: "),
            (json!({"claim": {"path": "tid"}}), "agents[0].tenant.claim: "),
            (json!({"ignore": {"agent": true}}), "agents[0].tenant.ignore.agent: unknown field"),
            (json!({"ignore": true}), "agents[0].tenant.ignore: "),
            (json!({"claim": "a", "ignore": {}}), "agents[0].tenant"),
            (json!({}), "agents[0].tenant"),
            (json!({"any": {}}), "agents[0].tenant: unknown variant"),
            (json!("published"), "agents[0].tenant: unknown variant"),
            (json!("ignore"), "agents[0].tenant"),
            (json!(["acme"]), "agents[0].tenant: "),
        ] {
            let error = parse(std::slice::from_ref(&tenant), &json!([{"oauth2": []}])).unwrap_err();
            assert!(error.starts_with(expected), "{tenant}: {error}");
        }
    }

    #[test]
    fn callers_without_tokens_have_no_claim() {
        let claim = [json!({"claim": "tid"})];
        assert_eq!(
            parse(&claim, &json!([{"open": []}])).unwrap_err(),
            "agents[0].tenant.claim: no scheme of security takes tokens: callers have no claims"
        );
        assert!(parse(&claim, &json!([{"open": []}, {"oauth2": []}])).is_ok());
        assert!(parse(&[json!({"ignore": {}})], &json!([{"open": []}])).is_ok());
    }

    #[test]
    fn agents_cannot_ask_for_any_number_of_claims() {
        let tenants: Vec<Value> = (0..64).map(|index| json!({"claim": format!("c{index}")})).collect();
        // One more is asked for by a header.
        assert_eq!(
            parse(&tenants, &json!([{"oauth2": []}])).unwrap_err(),
            "agents[63].tenant.claim: all agents together may ask for 64 claims at most"
        );
    }
}
