//! The A2A version of a call that leaves: the connection's own, or the newest that the remote agent's card offers for it.

use super::denial::{Denial, Reason};
use super::event::Effect;
use super::facts::Note;
use super::head::{self, Head};
use super::offers::{Asked, NotOffered, Offers};
use crate::config::Connection;
use crate::protocol::{Binding, Operation, Version, version};

/// What the version of a call depends on, besides the card.
#[derive(Debug)]
pub(super) struct Spoken {
    method: String,
    /// `:path` with its query.
    target: String,
    /// The length of the path in it.
    path: usize,
    /// The version that the client named.
    version: Option<Version>,
}

/// Sets the version, if it is the connection's own; otherwise what it depends on.
///
/// # Errors
/// If the client names versions that cannot be, and the version depends on them.
pub(super) fn begin(head: &Head<'_>, connection: &Connection, effects: &mut Vec<Effect>) -> Result<Option<Spoken>, Denial> {
    if let Some(version) = connection.version.fixed() {
        head.set_version(head.target, effects, version);
        effects.push(Effect::Note(Note::Is { version, binding: None, operation: None }));
        return Ok(None);
    }
    let version = version::requested(head.headers, head.query).map_err(|error| Denial::new(error.into()).at(&connection.name))?;
    head.drop_versions(effects);
    Ok(Some(Spoken { method: head.method.to_owned(), target: head.target.to_owned(), path: head.path.len(), version }))
}

impl Spoken {
    /// Whether `offers` leave several versions, so that only the method in the body can tell which of them the client speaks.
    pub fn needs_method(&self, offers: &Offers, connection: &Connection) -> bool {
        offers.is_open(self.asked(connection))
    }

    fn asked<'a>(&'a self, connection: &'a Connection) -> Asked<'a> {
        Asked {
            method: &self.method,
            path: self.target.get(..self.path).unwrap_or_default(),
            prefix: connection.target.path_prefix.as_str(),
            version: self.version,
        }
    }

    /// Sets the version that `offers` leave, or refuses if the remote agent does not offer this call; also the binding of the
    /// call, if it is known by them. `method` is that of a JSON-RPC request, if it was read.
    pub fn settle(
        &self,
        offers: &Offers,
        connection: &Connection,
        method: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> (Option<Binding>, Result<(), Denial>) {
        let asked = self.asked(connection);
        let spoken = method.filter(|_| offers.is_open(asked)).and_then(Operation::from_method).map(|(_, version)| version);
        let (binding, version) = offers.choose(Asked { version: asked.version.or(spoken), ..asked });
        let settled = match version {
            Ok(version) => {
                head::set_version(&self.target, effects, version);
                effects.push(Effect::Note(Note::Is { version, binding, operation: None }));
                Ok(())
            }
            Err(NotOffered::Mismatch) => Err(Denial::new(Reason::VersionMismatch).at(&connection.name)),
            Err(NotOffered::Version) => {
                let advice = match offers.describe() {
                    none if none.is_empty() => "The card of the remote agent offers nothing at its own host.".to_owned(),
                    some => format!("The remote agent does not offer this version in this binding. It offers {some}."),
                };
                let denial = Denial::new(Reason::VersionNotSupported).at(&connection.name).advise(advice);
                Err(Denial { versions: Some(offers.versions()).filter(|versions| !versions.is_empty()), ..denial })
            }
        };
        (binding, settled)
    }
}
