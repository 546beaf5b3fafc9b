//! What calls that leave share: secrets, tokens, and the fetches that bring them.

use crate::config::{Config, ConfigError, Connection, Secret, Which};
use crate::credential::Key;
use crate::credential::cache::Cache;
use crate::credential::secrets::Secrets;
use crate::credential::signing::Signer;
use crate::credential::source::Source;
use crate::flow::event::Level;
use crate::flow::supply::nonces::Nonces;
use crate::flow::supply::remote::RemoteAgents;
use crate::identity::Caller;
use crate::wire::kept::Kept;
use crate::wire::sorted::SortedMap;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Secrets and tokens of one configuration.
#[derive(Debug)]
pub struct Outgoing {
    pub(in crate::flow) secrets: RefCell<Secrets>,
    /// The secrets that are fetched, by index, as digests of what came last.
    pub(in crate::flow) documents: RefCell<SortedMap<usize, Kept<Key>>>,
    pub(in crate::flow) tokens: RefCell<Cache<Job>>,
    pub(super) signer: Option<Rc<dyn Signer>>,
    /// Per connection; whoever waits has a clone.
    pub(super) seats: Vec<Rc<()>>,
    /// For what is signed.
    pub(super) nonces: Nonces,
    /// Why a fetch could not even begin.
    pub(super) complaint: RefCell<Option<String>>,
    pub(in crate::flow) remotes: RemoteAgents,
    /// For the log.
    pub(in crate::flow) notices: RefCell<Vec<(Level, String)>>,
}

/// What a fetch of a token needs to know.
#[derive(Clone, Debug)]
pub(in crate::flow) struct Job {
    pub connection: usize,
    /// Which of its credentials.
    pub which: Which,
    pub subject: Option<Subject>,
}

impl Job {
    /// Where the token of `key` comes from, and the connection that needs it.
    pub fn source<'a>(&self, key: &Key, config: &'a Config) -> Option<(Source<'a>, &'a Connection)> {
        let connection = config.connections.get(self.connection)?;
        let source = Source::of(connection.credential_of(self.which)?)?;
        Some((source.find(key, &connection.name, self.subject.as_ref().map(|subject| &subject.token))?, connection))
    }
}

/// The caller's token, verified.
#[derive(Clone, Debug)]
pub(in crate::flow) struct Subject {
    pub token: SecretString,
    pub until: UnixTime,
    pub caller: Rc<Caller>,
}

impl Outgoing {
    /// # Errors
    /// If keys of remote cards are no JWK Set.
    pub(in crate::flow) fn new(config: &Config, secrets: Secrets) -> Result<Self, ConfigError> {
        // The last good value of a secret is kept for as long as it takes.
        let document = |(index, secret): (usize, &Secret)| match secret {
            Secret::Http(document) => Some((index, Kept::remote(document.remote.refresh, Duration::MAX))),
            Secret::Env(_) | Secret::Inline(_) => None,
        };
        Ok(Self {
            secrets: RefCell::new(secrets),
            documents: RefCell::new(config.secrets().values().enumerate().filter_map(document).collect()),
            tokens: RefCell::default(),
            signer: None,
            seats: config.connections.iter().map(|_| Rc::new(())).collect(),
            nonces: Nonces::default(),
            complaint: RefCell::default(),
            remotes: RemoteAgents::new(config)?,
            notices: RefCell::default(),
        })
    }

    pub(in crate::flow) fn complain(&self, complaint: String) {
        self.complaint.replace(Some(complaint));
    }
}
