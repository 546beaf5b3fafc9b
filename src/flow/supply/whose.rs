//! Whose something is that is fetched: for the log and the statistics.

use crate::flow::event::call::Want;
use crate::flow::supply::store::Supply;

impl Supply {
    /// Whose `want` is, until it is completed: what that is, and its name.
    #[must_use]
    pub fn whose(&self, want: Want) -> (&'static str, &str) {
        match want {
            Want::Keys(index) => ("issuer", self.config().issuers.get(index).map_or("none", |issuer| &issuer.name)),
            Want::Card(index) => ("agent", self.config().agents.get(index).map_or("none", |agent| &agent.name)),
            Want::Introspection(key) => {
                let scheme = self.introspections().borrow().scheme(&key);
                ("scheme", scheme.and_then(|index| self.config().schemes().keys().nth(index)).map_or("none", String::as_str))
            }
            Want::Secret(index) => ("secret", self.config().secrets().keys().nth(index).map_or("none", String::as_str)),
            Want::Token(key) => ("connection", self.token_of(&key).map_or("none", |(connection, _)| connection)),
            Want::Grant(key) => {
                let index = self.grants.as_ref().and_then(|grants| grants.entries.borrow().connection(&key));
                let connection = index.and_then(|index| self.config().connections.get(index));
                ("connection", connection.map_or("none", |connection| &connection.name))
            }
            Want::Server(index) => ("connection", self.connection_of_server(index).map_or("none", |connection| &connection.name)),
            Want::Job(_) => ("connection", "none"),
            Want::RemoteCard(index) => ("connection", self.config().connections.get(index).map_or("none", |connection| &connection.name)),
        }
    }
}
