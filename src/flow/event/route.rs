//! Where Envoy's route for a request leads.

/// What is asked about the route that Envoy has chosen for a request, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The name of the cluster that it leads to.
    Cluster,
    /// The member `connection` of its metadata in the namespace `attache`.
    Metadata,
    /// How often the request was sent to an upstream, as a number of eight bytes, the lowest first. Before the router: never.
    Attempts,
}
