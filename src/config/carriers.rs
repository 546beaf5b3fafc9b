//! Where a whole configuration has credentials, and what of it is allowed but an operator should know.

use super::{Agent, Bind, CardSource, Config, Connection, Credential, GrantStore, KeyPlace, Pin, Scheme};
use crate::wire::sorted::SortedSet;
use crate::wire::steering;
use std::rc::Rc;

impl Config {
    /// Headers in which this configuration has credentials: those of connections and the agents' API keys.
    #[must_use]
    pub fn credential_headers(&self) -> SortedSet<&str> {
        let of_connections = self.outgoing().flat_map(Credential::headers);
        let others = self.outgoing().filter_map(|own| match own {
            Credential::Cookie(_) => Some("cookie"),
            Credential::SignedJwt(own) => Some(own.header.as_str()),
            // Envoy tells there from which URL an internal redirect came.
            Credential::Query(_) => Some("x-envoy-original-url"),
            _ => None,
        });
        of_connections.map(|header| header.name.as_str()).chain(self.keys_in(KeyPlace::Header)).chain(others).collect()
    }

    /// Query parameters in which it has some.
    #[must_use]
    pub fn credential_parameters(&self) -> SortedSet<&str> {
        let of_connections =
            self.outgoing().filter_map(|own| if let Credential::Query(own) = own { Some(own.name.as_str()) } else { None });
        self.keys_in(KeyPlace::Query).chain(of_connections).collect()
    }

    /// Every credential of every connection.
    fn outgoing(&self) -> impl Iterator<Item = &Credential> {
        self.connections.iter().flat_map(|connection| connection.credentials())
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
        let shown = self.connections.iter().enumerate().filter(|(_, own)| own.credentials().any(|own| matches!(own, Credential::Query(_))));
        let shown = shown.map(|(index, connection)| {
            format!(
                "connections[{index}].credential.query: the key of {:?} is part of the URL: log the path of these calls with \
                 %PATH(NQ:PATH)%, or the key is in Envoy's access log",
                connection.name
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
        // A card that passes unchanged is not judged at all.
        let is_late = |agent: &Agent| !self.hold_headers && agent.public_url.is_some() && matches!(agent.card.source, CardSource::Upstream);
        let late = self.agents.iter().enumerate().filter(move |(_, agent)| is_late(agent)).map(|(index, agent)| {
            format!(
                "agents[{index}].card.source: is upstream while hold_headers is off: the head of an answer with the card of {:?} goes on before \
                 the card has been judged, and one that cannot be used is cut off; an inline or remote card is judged first",
                agent.name
            )
        });
        let memory = self.consent.as_ref().filter(|consent| matches!(consent.store, GrantStore::Memory(_))).map(|_| {
            "consent.store: is memory: users agree anew when this Envoy restarts, and a link that another Envoy made does not work here"
                .to_owned()
        });
        let unbound =
            self.connections.iter().enumerate().filter(|(_, own)| own.user_passthrough().is_some_and(|own| own.bind() == Bind::Link));
        let unbound = unbound.map(|(index, connection)| {
            format!(
                "connections[{index}].credential.user_passthrough.bind: is link: anyone who gets a link or code for {:?} can agree in its caller's place, \
                 with an account of theirs",
                connection.name
            )
        });
        let told = early.into_iter().chain(memory).chain(unbound).chain(kept).chain(unpinned).chain(shown).chain(without_url).chain(late);
        told.chain(self.idle()).chain(self.unused.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    #[test]
    fn a_card_that_is_judged_while_it_passes_is_warned_of_once_for_each_agent() {
        let remote = json!({"remote": {"uri": "http://a.internal/card", "cluster": "a"}});
        let card = json!({"name": "a", "description": "", "version": "1", "capabilities": {}, "skills": [], "defaultInputModes": [],
            "defaultOutputModes": [], "supportedInterfaces": []});
        let agent = |name: &str, more: Value| {
            let mut agent = json!({"name": name, "match": {"hosts": ["a.example"], "path_prefix": format!("/{name}")},
                "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "security": [{"oauth2": []}], "public_url": format!("https://a.example/{name}")});
            for (member, value) in more.as_object().unwrap() {
                agent[member] = value.clone();
            }
            agent
        };
        let cautions = |hold: bool| {
            let config = json!({
                "issuers": [{"name": "corp", "issuer": "https://auth.example", "audiences": ["a"],
                    "jwks": {"remote": {"uri": "https://auth.example/jwks", "cluster": "idp"}}}],
                "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
                "agents": [
                    agent("a", json!({})),
                    agent("b", json!({"card": {"source": remote}})),
                    agent("c", json!({"card": {"source": {"inline": card}}})),
                    agent("d", json!({"card": {"source": "upstream"}})),
                    agent("e", json!({"public_url": null})),
                ],
                "hold_headers": hold,
            });
            Config::parse(config.to_string().as_bytes()).unwrap().cautions().collect::<Vec<_>>()
        };
        let starts = |caution: &String| caution.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(cautions(true).iter().map(starts).collect::<Vec<_>>(), ["agents[4].public_url:"]);
        let all = cautions(false);
        let expected = ["agents[4].public_url:", "agents[0].card.source:", "agents[3].card.source:"];
        assert_eq!(all.iter().map(starts).collect::<Vec<_>>(), expected);
        assert!(all[2].contains("\"d\"") && all[2].contains("inline or remote"), "{all:?}");
    }
}
