//! Where a whole configuration has credentials, and what of it is allowed but an operator should know.

use super::{Config, Connection, Credential, KeyPlace, Pin, Scheme};
use crate::wire::sorted::SortedSet;
use crate::wire::steering;
use std::rc::Rc;

impl Config {
    /// Headers in which this configuration has credentials: those of connections and the agents' API keys.
    #[must_use]
    pub fn credential_headers(&self) -> SortedSet<&str> {
        let of_connections = self.connections.iter().flat_map(|connection| connection.credentials()).flat_map(Credential::headers);
        of_connections.map(|header| header.name.as_str()).chain(self.keys_in(KeyPlace::Header)).collect()
    }

    /// Query parameters in which it has some.
    #[must_use]
    pub fn credential_parameters(&self) -> SortedSet<&str> {
        self.keys_in(KeyPlace::Query).collect()
    }

    fn keys_in(&self, place: KeyPlace) -> impl Iterator<Item = &str> {
        let keys = self.schemes.0.values().filter_map(|scheme| match scheme {
            Scheme::ApiKey(key) => Some(key),
            _ => None,
        });
        keys.filter(move |key| key.place == place).map(|key| key.name.as_str())
    }

    /// What is allowed, but an operator should know of, with its path.
    pub fn cautions(&self) -> impl Iterator<Item = String> {
        let kept = self.keep_headers.iter().enumerate().map(|(index, name)| {
            let effect = steering::effect(name).unwrap_or("steers Envoy in a way that is not known here");
            format!("keep_headers[{index}]: clients may send {name}: {effect}")
        });
        let unpinned = self.connections.iter().enumerate().filter(|(_, connection)| connection.pin == Some(Pin::None));
        let unpinned = unpinned.map(|(index, connection)| {
            let name = &connection.name;
            format!(
                "connections[{index}].pin: is \"none\": the credential of {name:?} goes wherever Envoy's route leads; name its clusters"
            )
        });
        let attaches = |connection: &Connection| connection.credential.each().any(|own| !matches!(own, Credential::None(_)));
        let early = (!self.hold_headers && self.connections.iter().map(Rc::as_ref).any(attaches)).then(|| {
            "hold_headers: is off: the head of a JSON-RPC call leaves with its connection's credential before its method is known; only the \
             body waits for that"
                .to_owned()
        });
        let without_url = self.agents.iter().enumerate().filter(|(_, agent)| agent.public_url.is_none());
        let without_url = without_url.map(|(index, agent)| {
            format!(
                "agents[{index}].public_url: is missing: the card of {:?} passes unchanged, and a client that calls the address in it goes \
                 around this filter if that is the agent's own",
                agent.name
            )
        });
        early.into_iter().chain(kept).chain(unpinned).chain(without_url)
    }
}
