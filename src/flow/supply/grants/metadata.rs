//! What authorization servers say of themselves: read when it is needed, and before.

use crate::config::{Connection, Remote, TokenEndpoint};
use crate::credential::app_server::AppServer;
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::supply::store::Supply;
use crate::wire::kept::Wait;
use crate::wire::time::UnixTime;
use std::time::Duration;

/// Longest metadata document, in bytes.
const MOST_BYTES: usize = 64 * 1024;

impl Supply {
    /// The server at which users of `connection` agree, if it is known.
    pub(in crate::flow) fn server_of(&self, connection: &Connection) -> Option<&AppServer> {
        let (app, _) = self.config.app_of(connection)?;
        self.grants.as_ref()?.servers.of(app)?.1.server.get()
    }

    /// What has to be waited for until that server is known; nothing if it is, or if its metadata could not be read just now.
    pub(in crate::flow) fn wait_for_server(&self, connection: &Connection, now: UnixTime) -> Option<Want> {
        let (app, _) = self.config.app_of(connection)?;
        let (index, known) = self.grants.as_ref()?.servers.of(app)?;
        let waits = known.server.get().is_none() && known.metadata.borrow().wait_for_any(now) == Wait::ForFetch;
        waits.then_some(Want::Server(index))
    }

    /// The connection that server `index` is asked for.
    pub(in crate::flow::supply) fn connection_of_server(&self, index: usize) -> Option<&Connection> {
        let known = self.grants.as_ref()?.servers.0.get(index)?;
        self.config.connections.get(known.connection).map(|connection| &**connection)
    }

    /// Begins to read the metadata of server `index`: the call to make.
    pub(in crate::flow::supply) fn begin_server(&self, index: usize, now: UnixTime) -> Option<Call> {
        let known = self.grants.as_ref()?.servers.0.get(index)?;
        let (_, app) = self.config.app_of(self.connection_of_server(index)?)?;
        let discovery = app.discovery.as_ref()?;
        let TokenEndpoint { uri, cluster, timeout } = discovery.clone();
        let remote = Remote { uri, cluster, timeout, refresh: Duration::MAX, max_stale: Duration::MAX };
        known.metadata.borrow_mut().begin(now).then(|| Call::get(&remote, "application/json", MOST_BYTES))
    }

    /// The metadata of server `index` has come.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub(in crate::flow::supply) fn complete_server(&self, index: usize, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let known = self.grants.as_ref().and_then(|grants| grants.servers.0.get(index));
        let app = self.connection_of_server(index).and_then(|connection| self.config.app_of(connection));
        let (Some(known), Some((name, app))) = (known, app) else { return Ok(()) };
        let read = match answer {
            Ok((200, body)) => AppServer::described(app, body),
            Ok((status, _)) => Err(format!("status {status}")),
            Err(error) => Err(error),
        };
        let read = read.map(|server| drop(known.server.set(server)));
        known.metadata.borrow_mut().complete(now, read.clone());
        read.map_err(|error| {
            format!("app {name:?}: no user can agree, and no grant is renewed: discovery.uri gave no metadata that can be used: {error}")
        })
    }
}
