//! The authorization servers of apps. The metadata of a server is read once by each worker: another answer later does not change where
//! users are sent.

use crate::config::Config;
use crate::credential::app_server::AppServer;
use crate::flow::event::call::Want;
use crate::wire::kept::Kept;
use crate::wire::time::UnixTime;
use std::cell::{OnceCell, RefCell};
use std::time::Duration;

/// The servers of all apps that connections use.
#[derive(Debug)]
pub(in crate::flow::supply) struct Servers(pub(super) Vec<Known>);

/// One of them.
#[derive(Debug)]
pub(super) struct Known {
    app: String,
    /// A connection that uses it, by index.
    pub connection: usize,
    /// What is known of it.
    pub server: OnceCell<AppServer>,
    /// When its metadata is asked for.
    pub metadata: RefCell<Kept<()>>,
}

impl Servers {
    /// What `config` says of them.
    pub fn new(config: &Config) -> Self {
        let mut all: Vec<Known> = Vec::new();
        for (index, connection) in config.connections.iter().enumerate() {
            let Some((name, app)) = config.app_of(connection) else { continue };
            if all.iter().any(|known| known.app == name) {
                continue;
            }
            let server = AppServer::configured(app);
            let metadata = if server.is_some() { Kept::nothing() } else { Kept::remote(Duration::MAX, Duration::MAX) };
            let server = server.map_or_else(OnceCell::new, OnceCell::from);
            all.push(Known { app: name.to_owned(), connection: index, server, metadata: RefCell::new(metadata) });
        }
        Self(all)
    }

    /// That of `app`, and its index.
    pub(super) fn of(&self, app: &str) -> Option<(usize, &Known)> {
        self.0.iter().enumerate().find(|(_, known)| known.app == app)
    }

    /// Those whose metadata should be read now.
    pub fn due(&self, now: UnixTime) -> impl Iterator<Item = Want> + '_ {
        let due = self.0.iter().enumerate().filter(move |(_, known)| known.metadata.borrow().is_due(now));
        due.map(|(index, _)| Want::Server(index))
    }
}
