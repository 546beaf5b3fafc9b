//! Where a credential may go: the place that Envoy's route must lead to, said on each connection. A host and a path prefix say
//! who is meant, not where the route leads.

use super::{ConfigError, Nothing};
use crate::wire::quoted;
use serde::Deserialize;

/// What a route must have for a credential to go out on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// It leads to one of these Envoy clusters.
    Clusters(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] Vec<String>),
    /// Its metadata names the connection: `filter_metadata: {attache: {connection: partner}}`.
    RouteMetadata(Nothing),
    /// Nothing: the credential goes wherever the route leads. The log warns of it.
    None,
    /// The filter's own cluster has the request already. No configuration says so: it is what a missing pin means in a cluster.
    #[serde(skip)]
    OwnCluster,
}

/// Where Envoy runs the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Among the HTTP filters of a listener, before the router.
    #[default]
    Listener,
    /// Among the `http_filters` of one cluster, behind the router. What is attached here goes to that cluster.
    Cluster,
}

impl Pin {
    /// What a missing pin means at this place.
    pub(super) fn implied(placement: Placement) -> Option<Self> {
        match placement {
            Placement::Listener => None,
            Placement::Cluster => Some(Self::OwnCluster),
        }
    }

    /// Whether a route that the proxy says this of is as connection `name` says.
    #[must_use]
    pub fn fits(&self, said: &[u8], name: &str) -> bool {
        match self {
            Self::Clusters(clusters) => clusters.iter().any(|own| own.as_bytes() == said),
            Self::RouteMetadata(_) => said == name.as_bytes(),
            // Only behind the router is there an attempt to count.
            Self::OwnCluster => said.iter().any(|byte| *byte != 0),
            Self::None => true,
        }
    }

    /// In which way a route does not fit of which the proxy says this.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn contradicts(&self, said: &[u8]) -> String {
        let said = quoted::text(&String::from_utf8_lossy(said));
        match self {
            Self::Clusters(clusters) => format!("its route leads to cluster {said}, its pin has {}", quoted::list(clusters)),
            Self::RouteMetadata(_) => {
                format!("its pin is route_metadata, but the route's metadata (filter_metadata.attache.connection) names {said}")
            }
            Self::OwnCluster | Self::None => {
                "\"placement\" is \"cluster\", but the filter runs before the router: the request has no cluster yet".to_owned()
            }
        }
    }

    /// Errs if a connection's pin says nothing, or is missing where one is needed.
    pub(super) fn check(pin: Option<&Self>, at: &str, connection: &str) -> Result<(), ConfigError> {
        match pin {
            Some(Self::Clusters(clusters)) if clusters.is_empty() || clusters.iter().any(String::is_empty) => {
                Err(ConfigError::of(at, "clusters", "name at least one Envoy cluster"))
            }
            None => Err(ConfigError::new(at, choice(connection))),
            _ => Ok(()),
        }
    }
}

/// The lines of which a connection needs one.
fn choice(connection: &str) -> String {
    format!(
        "is missing. Add one of these lines to the connection:\n  \
         \"pin\": {{\"clusters\": [\"name of the Envoy cluster\"]}}    Envoy's route must lead to one of these clusters\n  \
         \"pin\": {{\"route_metadata\": {{}}}}    the route must have metadata: {{filter_metadata: {{attache: {{connection: {connection:?}}}}}}}\n  \
         \"pin\": \"none\"    the credential goes wherever the route leads\n\
         If the filter is in the cluster's own http_filters, set \"placement\": \"cluster\" beside \"connections\" instead."
    )
}

#[cfg(test)]
mod tests {
    use super::{Pin, Placement};

    fn fault(pin: Option<&str>) -> Option<String> {
        let pin: Option<Pin> = pin.map(|json| serde_json::from_str(json).unwrap());
        Pin::check(pin.as_ref(), "connections[0].pin", "partner").err().map(|error| error.to_string())
    }

    #[test]
    fn a_connection_says_where_its_credential_goes() {
        for pin in [r#"{"clusters":["a"]}"#, r#"{"route_metadata":{}}"#, r#""none""#] {
            assert_eq!(fault(Some(pin)), None, "{pin}");
        }
        assert!(serde_json::from_str::<Pin>(r#""own_cluster""#).is_err());
        assert_eq!(Pin::implied(Placement::Listener), None);
        let missing = fault(None).unwrap();
        assert!(missing.starts_with("connections[0].pin: is missing"), "{missing}");
        for line in [
            "\"pin\": {\"clusters\": [",
            "\"pin\": {\"route_metadata\": {}}",
            "connection: \"partner\"",
            "\"pin\": \"none\"",
            "\"placement\": \"cluster\"",
        ] {
            assert!(missing.contains(line), "{missing}");
        }
        for pin in [r#"{"clusters":[]}"#, r#"{"clusters":["a",""]}"#] {
            assert!(fault(Some(pin)).unwrap().starts_with("connections[0].pin.clusters: "), "{pin}");
        }
    }
}
