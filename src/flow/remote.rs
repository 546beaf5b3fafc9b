//! The cards of remote agents, for connections that go by them: fetched with the connection's own credential, from the connection's
//! own host, and kept. A card that cannot be had or read changes nothing; without any, no call goes out.

use super::accepts;
use super::denial::Reason;
use super::event::{Level, Value};
use super::fetch::{Answer, Call, Want};
use super::obtain::{Attachment, Obtained};
use super::offers::Offers;
use super::runtime::{Context, Runtime};
use crate::card::model::MAX_BYTES;
use crate::card::{Card, paths};
use crate::config::{CardKeys, Config, ConfigError, Connection, Credential, Remote, SignedCard};
use crate::identity::card_signature;
use crate::identity::jwk::KeySet;
use crate::identity::signature::Software;
use crate::wire::kept::{Kept, Wait};
use crate::wire::time::UnixTime;
use std::cell::RefCell;
use std::rc::Rc;

/// What is known of a remote agent from its card.
#[derive(Debug, PartialEq)]
pub struct RemoteAgent {
    /// What it offers.
    pub offers: Offers,
    /// Which of the connection's credentials it asks for, if that has several.
    pub chosen: Option<usize>,
}

/// Remote agents by connection; `None` where no card is asked.
#[derive(Debug)]
pub(super) struct RemoteAgents(Vec<Option<One>>);

#[derive(Debug)]
struct One {
    kept: RefCell<Kept<RemoteAgent>>,
    /// Whose signature its card needs.
    keys: Option<KeySet>,
}

impl RemoteAgents {
    /// # Errors
    /// If keys in the configuration are no JWK Set.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let one = |(index, connection): (usize, &Connection)| {
            let Some(card) = &connection.card else { return Ok(None) };
            let keys = connection.require_signed_card.as_ref().map(|SignedCard { jwks: CardKeys::Inline(set), .. }| {
                KeySet::parse(set.to_string().as_bytes())
                    .map_err(|error| ConfigError::new(format!("connections[{index}].require_signed_card.jwks.inline"), error.to_string()))
            });
            Ok(Some(One { kept: RefCell::new(Kept::remote(card.remote.refresh, card.remote.max_stale)), keys: keys.transpose()? }))
        };
        config.connections.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    fn of(&self, index: usize) -> Option<&RefCell<Kept<RemoteAgent>>> {
        Some(&self.0.get(index)?.as_ref()?.kept)
    }

    fn keys_of(&self, index: usize) -> Option<&KeySet> {
        self.0.get(index)?.as_ref()?.keys.as_ref()
    }
}

impl Runtime {
    /// What the card of connection `index` says.
    ///
    /// # Errors
    /// What has to be waited for, or why there is none. What is in `waited` is not waited for again.
    pub fn remote_agent(&self, index: usize, waited: &[Want], now: UnixTime) -> Result<Rc<RemoteAgent>, Box<Obtained>> {
        let refused = |cause: Option<String>| Box::new(Obtained::Refused(Reason::CardUnavailable, cause));
        let Some(kept) = self.outgoing.remotes.of(index) else { return Err(refused(None)) };
        let (usable, wait) = {
            let kept = kept.borrow();
            (kept.usable(now), kept.wait_for_any(now))
        };
        let want = Want::RemoteCard(index);
        match (usable, wait) {
            (Some(agent), _) => Ok(agent),
            (None, Wait::ForFetch) if !waited.contains(&want) => match self.card_credential(index, waited, now) {
                Obtained::Attach(_) => Err(Box::new(Obtained::Wait(want))),
                other => Err(Box::new(other)),
            },
            // Why was told when it failed.
            (None, _) => Err(refused(None)),
        }
    }

    /// Which of the credentials of connection `index` its remote agent asks for, as far as that is known.
    pub(super) fn chosen(&self, index: usize, now: UnixTime) -> Option<usize> {
        self.outgoing.remotes.of(index)?.borrow().usable(now)?.chosen
    }

    /// The connection's credential, for its card. One that belongs to a caller is not for that, nor one that the card decides.
    fn card_credential(&self, index: usize, waited: &[Want], now: UnixTime) -> Obtained {
        let connection = self.config().connections.get(index);
        if connection.is_some_and(|own| own.credential.subject().is_some() || matches!(own.credential, Credential::Auto(_))) {
            return Obtained::Attach(Attachment { headers: Vec::new(), method: "none", origin: "none", age: None, token: None });
        }
        self.obtain(index, None, waited, &Context { runtime: self, verifier: &Software, now })
    }

    /// The cards that should be fetched now, or what has to be fetched for that first.
    pub(super) fn due_remotes(&self, now: UnixTime) -> Vec<Want> {
        let due = |(index, one): (usize, &Option<One>)| {
            if !one.as_ref()?.kept.borrow().is_due(now) {
                return None;
            }
            match self.card_credential(index, &[], now) {
                Obtained::Wait(want) => Some(want),
                Obtained::Attach(_) | Obtained::Refused(..) => Some(Want::RemoteCard(index)),
            }
        };
        self.outgoing.remotes.0.iter().enumerate().filter_map(due).collect()
    }

    pub(super) fn begin_remote(&self, index: usize, now: UnixTime) -> Option<Call> {
        let connection = self.config().connections.get(index)?;
        let card = connection.card.as_ref()?;
        let kept = self.outgoing.remotes.of(index)?;
        if !kept.borrow_mut().begin(now) {
            return None;
        }
        match self.card_credential(index, &[], now) {
            Obtained::Attach(attachment) => {
                let prefix = connection.target.path_prefix.as_str();
                let path = card.is_well_known().then(|| format!("{}{}", prefix.strip_suffix('/').unwrap_or(prefix), paths::WELL_KNOWN));
                let uri = path.map_or_else(|| card.remote.uri.clone(), |path| card.remote.uri.at(path));
                let mut call = Call::get(&Remote { uri, ..card.remote.clone() }, "application/json", MAX_BYTES);
                call.headers.extend(attachment.headers.into_iter().map(|(name, value)| (name.into(), Value::Secret(value))));
                Some(call)
            }
            Obtained::Wait(_) | Obtained::Refused(..) => {
                let error = told(index, connection, "its credential is not at hand");
                kept.borrow_mut().complete(now, Err(error.clone()));
                self.outgoing.complain(error);
                None
            }
        }
    }

    pub(super) fn complete_remote(&self, index: usize, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let (Some(connection), Some(kept)) = (self.config().connections.get(index), self.outgoing.remotes.of(index)) else {
            return Ok(());
        };
        let read = match answer {
            Ok((200, body)) => self.read_remote(index, connection, body),
            Ok((status @ 300..=399, _)) => Err(format!("answered with status {status}: redirects are not followed")),
            Ok((status, _)) => {
                if let (401, Obtained::Attach(Attachment { token: Some((key, token)), .. })) =
                    (status, self.card_credential(index, &[], now))
                {
                    self.reject(&key, &token, now);
                }
                Err(format!("answered with status {status}"))
            }
            Err(error) => Err(error),
        };
        let (read, notices) = match read {
            Ok((agent, notices)) => (Ok(agent), notices),
            Err(error) => (Err(error), Vec::new()),
        };
        let result = read.as_ref().map(drop).map_err(|error| told(index, connection, error));
        if kept.borrow_mut().complete(now, read) {
            self.outgoing.notices.borrow_mut().extend(notices);
        }
        result
    }

    fn read_remote(&self, index: usize, connection: &Connection, body: &[u8]) -> Result<(RemoteAgent, Vec<(Level, String)>), String> {
        let Some(own) = connection.card.as_ref() else { return Err("nothing asks for it".to_owned()) };
        let card = Card::read(body).map_err(|error| error.to_string())?;
        if let Some(signed) = &connection.require_signed_card {
            // Without keys nothing is good.
            let keys = self.outgoing.remotes.keys_of(index).ok_or("there are no keys for it")?;
            // As it came: the card that was read has other spellings. It has been found to be JSON without repeated members.
            let json = serde_json::from_slice(body).map_err(|_| "the card is not JSON")?;
            card_signature::verify(&json, keys, &signed.algorithms, &Software).map_err(|error| error.to_string())?;
        }
        let (offers, stranger) = Offers::of(&card, &own.remote.uri, connection.target.path_prefix.as_str());
        let name = &connection.name;
        let mut notices = vec![(Level::Info, format!("connection {name:?}: the card offers {:?}", offers.describe()))];
        notices.extend(stranger.map(|url| {
            let text = format!("connection {name:?}: the card names interfaces elsewhere, such as {url:?}: they are not considered");
            (Level::Warn, text)
        }));
        let mut chosen = None;
        if let Credential::Auto(choices) = &connection.credential {
            notices.push(match accepts::pick(&card, choices).map_err(|error| error.to_string())? {
                Ok((index, why)) => {
                    chosen = Some(index);
                    let method = connection.credential.chosen(chosen).map_or("none", Credential::method);
                    (Level::Info, format!("connection {name:?}: credential auto[{index}] ({method}): the card asks for {why}"))
                }
                Err(wanted) => (Level::Warn, format!("connection {name:?}: the card asks for {wanted}: no credential is that")),
            });
        }
        Ok((RemoteAgent { offers, chosen }, notices))
    }

    /// What should be in the log and is not yet.
    pub fn notices(&self) -> Vec<(Level, String)> {
        self.outgoing.notices.take()
    }
}

fn told(index: usize, connection: &Connection, error: &str) -> String {
    format!("connections[{index}].card.remote: no card of {:?} could be fetched: {error}", connection.name)
}
