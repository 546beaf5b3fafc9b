//! The card of a remote agent, for connections that go by it: where it is fetched, and that it is the agent's own.

use super::{Algorithm, ConfigError, Connection, Credential, Issuer, Pin, Remote, Secret};
use crate::protocol::Version;
use crate::wire::path;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use serde_json::Value;

/// The A2A version that a remote agent is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[allow(missing_docs, reason = "the names say it")]
pub enum CalledWith {
    #[serde(rename = "0.3")]
    V0_3,
    #[serde(rename = "1.0")]
    V1_0,
    /// The newest that its card offers.
    #[serde(rename = "auto")]
    Auto,
    /// Nothing says it: notifications have the version that the receiver asked for. No other connection leaves it out.
    #[default]
    #[serde(skip)]
    Unsaid,
}

impl CalledWith {
    /// The version, unless the card decides.
    #[must_use]
    pub const fn fixed(self) -> Option<Version> {
        match self {
            Self::V0_3 => Some(Version::V0_3),
            Self::V1_0 => Some(Version::V1_0),
            Self::Auto | Self::Unsaid => None,
        }
    }
}

/// The card of a remote agent.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct RemoteCard {
    /// Where it is. A URI without a path means the well-known one below the connection's prefix. Scheme, host and port are the agent's
    /// origin.
    pub remote: Remote,
    /// What the request for it carries.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "the connection's own, if that is neither a caller's nor chosen by the card")))]
    pub credential: Option<Credential>,
}

/// Whose signature a remote agent's card needs (A2A 1.0 section 8.4).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct SignedCard {
    /// The keys that sign it.
    pub jwks: CardKeys,
    /// Signature algorithms that are taken, and none of HS*.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "all; PS* only with keys that name it")))]
    algorithms: Option<Vec<Algorithm>>,
}

/// Where the keys of a card are.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CardKeys {
    /// A JWK Set in the configuration: `{"keys": […]}`.
    Inline(#[cfg_attr(feature = "schema", schemars(with = "crate::config::form::JwkSet"))] Value),
}

impl SignedCard {
    /// Whether signatures with `algorithm` are looked at.
    #[must_use]
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.as_ref().map_or(algorithm.secret_bytes().is_none(), |listed| listed.contains(&algorithm))
    }

    /// Whether `algorithm` is verified with a key that does not name its algorithm: PS* only if it is listed.
    #[must_use]
    pub fn takes_with_any_key(&self, algorithm: Algorithm) -> bool {
        !algorithm.is_pss() || self.algorithms.as_ref().is_some_and(|listed| listed.contains(&algorithm))
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        let is_shared = |algorithm: &Algorithm| algorithm.secret_bytes().is_some();
        if self.algorithms.as_ref().is_some_and(|listed| listed.is_empty() || listed.iter().any(is_shared)) {
            return Err(ConfigError::of(at, "algorithms", "name at least one, and none of HS*: whoever could verify could sign"));
        }
        Ok(())
    }
}

impl RemoteCard {
    /// Whether the path is left to the specification.
    #[must_use]
    pub fn is_well_known(&self) -> bool {
        self.remote.uri.path() == "/"
    }

    pub(super) fn check(
        &self,
        at: &str,
        connection: &Connection,
        secrets: &SortedMap<String, Secret>,
        issuers: &[Issuer],
    ) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        self.remote.check(&format!("{at}.remote"))?;
        let uri = &self.remote.uri;
        let host = path::host(uri.authority()).unwrap_or_default();
        if connection.target.hosts.iter().any(|pattern| pattern.host() != Some(&host)) {
            return fail("remote.uri", "must be at the one host that match.hosts names");
        }
        let (path, _) = path::split_query(uri.path());
        let below = path::strip_segments(path, connection.target.path_prefix.as_str());
        if !self.is_well_known() && (path::is_ambiguous_below(path, connection.target.path_prefix.as_str()) || below.is_none()) {
            return fail("remote.uri", "must be a plain path below match.path_prefix");
        }
        if let Some(credential) = &self.credential {
            if credential.subject().is_some() || matches!(credential, Credential::Auto(_)) {
                return fail("credential", "must be this side's own: the card is fetched before anybody calls");
            }
            credential.check(&format!("{at}.credential"), secrets, issuers)?;
        }
        match &connection.pin {
            Some(Pin::Clusters(clusters)) if !clusters.contains(&self.remote.cluster) => {
                fail("remote.cluster", "must be one of pin.clusters: the credential goes there with the request for the card")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn fault(change: impl Fn(&mut Value)) -> String {
        let mut connection = json!({"name": "x", "match": {"hosts": ["a.example"], "path_prefix": "/p"}, "version": "auto",
            "card": {"remote": {"uri": "https://a.example:8443", "cluster": "c"}}, "credential": {"none": {}}, "pin": "none"});
        change(&mut connection);
        let json = json!({ "connections": [connection] }).to_string();
        Config::parse(json.as_bytes()).map(drop).map_err(|error| error.to_string()).err().unwrap_or_default()
    }

    #[test]
    fn a_card_is_at_the_connections_host_below_its_prefix() {
        assert_eq!(fault(|_| {}), "");
        for uri in ["http://a.example/p/agentCard/v1.0?x=1", "https://A.example./p"] {
            assert_eq!(fault(|json| json["card"]["remote"]["uri"] = json!(uri)), "", "{uri}");
        }
        for uri in ["https://b.example", "https://a.example/q", "https://a.example/p/../q", "https://a.example/pp"] {
            let fault = fault(|json| json["card"]["remote"]["uri"] = json!(uri));
            assert!(fault.starts_with("connections[0].card.remote.uri: "), "{uri}: {fault}");
        }
        for hosts in [json!(["A.example"]), json!(["a.example", "a.example:8443"]), json!(["a.example", "a.example:*"])] {
            assert_eq!(fault(|json| json["match"]["hosts"] = hosts.clone()), "", "{hosts}");
        }
        for hosts in [json!(["*"]), json!(["*.example"]), json!(["a.*"]), json!(["a.example", "b.example"])] {
            let fault = fault(|json| json["match"]["hosts"] = hosts.clone());
            assert!(fault.starts_with("connections[0].card.remote.uri: "), "{hosts}: {fault}");
        }
        assert!(fault(|json| json["pin"] = json!({"clusters": ["d"]})).starts_with("connections[0].card.remote.cluster: "));
        assert_eq!(fault(|json| json["pin"] = json!({"clusters": ["d", "c"]})), "");
        let own = json!({"header": {"name": "x-key", "value": {"secret": "missing"}}});
        let callers = json!({"passthrough": {"subject": {"issuers": ["corp"]}, "audiences": ["a"]}});
        for (credential, at) in [
            (json!({"none": {}}), ""),
            (own, "connections[0].card.credential.header.value.secret: "),
            (callers, "connections[0].card.credential: must be this side's own"),
            (json!({"auto": [{"credential": {"none": {}}}]}), "connections[0].card.credential: must be this side's own"),
        ] {
            let fault = fault(|json| json["card"]["credential"] = credential.clone());
            assert!(fault.starts_with(at) && fault.is_empty() == at.is_empty(), "{credential}: {fault}");
        }
        let signed = |algorithms: Value| {
            fault(|json| json["require_signed_card"] = json!({"jwks": {"inline": {"keys": []}}, "algorithms": algorithms.clone()}))
        };
        assert_eq!(signed(json!(["ES256"])), "");
        for algorithms in [json!([]), json!(["ES256", "HS256"])] {
            assert!(signed(algorithms).starts_with("connections[0].require_signed_card.algorithms: "));
        }
        assert!(fault(|json| json["card"]["remote"]["refresh"] = json!("0s")).starts_with("connections[0].card.remote.refresh: "));
    }
}
