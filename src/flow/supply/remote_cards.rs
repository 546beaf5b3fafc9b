//! The cards of remote agents: fetched with the credential of their connection, read, and kept as long as they say.

use crate::card::model::MAX_BYTES;
use crate::card::{Card, paths, signed};
use crate::config::{Connection, Credential, Remote, Which};
use crate::credential::secrets;
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::event::reason::Reason;
use crate::flow::event::{Level, Value};
use crate::flow::request::accepts;
use crate::flow::supply::obtain::{Attachment, Obtained, Refused};
use crate::flow::supply::offers::Offers;
use crate::flow::supply::remote::{One, RemoteAgent};
use crate::flow::supply::sought::Sought;
use crate::flow::supply::store::{Supply, Verifying};
use crate::identity::card_signature;
use crate::wire::caching::Caching;
use crate::wire::kept::{EARLY_FETCH_INTERVAL, Wait};
use crate::wire::time::UnixTime;
use serde_json::{Map, Value as Json};
use std::rc::Rc;
use std::time::Duration;

impl Supply {
    /// What the card of connection `index` says.
    ///
    /// # Errors
    /// What has to be waited for, or why there is none. What is in `waited` is not waited for again.
    pub fn remote_agent(&self, index: usize, waited: &[Want], now: UnixTime) -> Result<Rc<RemoteAgent>, Box<Obtained>> {
        let refused = |cause: Option<String>| Box::new(Refused::sought(Reason::CardUnavailable, cause));
        let Some(kept) = self.outgoing.remotes.of(index) else { return Err(refused(None)) };
        let (usable, wait) = {
            let kept = kept.borrow();
            (kept.usable(now), kept.wait_for_any(now))
        };
        let want = Want::RemoteCard(index);
        match (usable, wait) {
            (Some(agent), _) => Ok(agent),
            (None, Wait::ForFetch) if !waited.contains(&want) => match self.card_credential(index, waited, now) {
                Sought::Here(_) => Err(Box::new(Sought::Wait(want))),
                other => Err(Box::new(other)),
            },
            // Why was logged when it failed.
            (None, _) => Err(refused(None)),
        }
    }

    /// Which of the credentials of connection `index` its remote agent asks for, as far as that is known.
    pub(super) fn chosen(&self, index: usize, now: UnixTime) -> Option<usize> {
        self.outgoing.remotes.of(index)?.borrow().usable(now)?.chosen
    }

    /// The credential for the card: its own, or the connection's, unless that belongs to a caller or the card decides about it.
    fn card_credential(&self, index: usize, waited: &[Want], now: UnixTime) -> Obtained {
        let context = Verifying { verifier: &*self.verifier, now };
        let connection = self.config().connections.get(index);
        let which = match connection.map(|own| (own.credential_of(Which::Card), &own.credential)) {
            Some((Some(_), _)) => Which::Card,
            Some((None, own)) if own.subject().is_some() || matches!(own, Credential::Auto(_)) => {
                return Sought::Here(Attachment {
                    headers: Vec::new(),
                    parameter: None,
                    method: "none",
                    origin: "none",
                    age: None,
                    token: None,
                    caller: None,
                });
            }
            _ => Which::Own,
        };
        self.obtain_that(index, which, None, waited, &context)
    }

    /// The cards that should be fetched now, or what has to be fetched for that first.
    pub(super) fn due_remotes(&self, now: UnixTime) -> Vec<Want> {
        let due = |(index, one): (usize, &Option<One>)| {
            if !one.as_ref()?.kept.borrow().is_due(now) {
                return None;
            }
            match self.card_credential(index, &[], now) {
                Sought::Wait(want) => Some(want),
                Sought::Here(_) | Sought::No(_) => Some(Want::RemoteCard(index)),
            }
        };
        self.outgoing.remotes.0.iter().enumerate().filter_map(due).collect()
    }

    pub(super) fn begin_remote(&self, index: usize, now: UnixTime) -> Option<Call> {
        let connection = self.config().connections.get(index)?;
        let card = connection.card.as_ref()?;
        let One { kept, etag, .. } = self.outgoing.remotes.one(index)?;
        if !kept.borrow_mut().begin(now) {
            return None;
        }
        match self.card_credential(index, &[], now) {
            Sought::Here(attachment) => {
                let prefix = connection.target.path_prefix.as_str();
                let path = card.is_well_known().then(|| format!("{}{}", prefix.strip_suffix('/').unwrap_or(prefix), paths::WELL_KNOWN));
                let uri = path.map_or_else(|| card.remote.uri.clone(), |path| card.remote.uri.at(path));
                let remote = Remote { uri, ..card.remote.clone() };
                let mut call = Call::get(&remote, "application/json", MAX_BYTES);
                if let (Some(parameter), Some((_, path))) =
                    (&attachment.parameter, call.headers.iter_mut().find(|(name, _)| name == ":path"))
                {
                    *path = Value::Secret(secrets::with_parameter(remote.uri.path(), parameter));
                }
                call.headers.extend(attachment.headers.into_iter().map(|(name, value)| (name.into(), Value::Secret(value))));
                call.headers.extend(etag.borrow().clone().map(|etag| ("if-none-match".into(), Value::Text(etag))));
                Some(call)
            }
            Sought::Wait(_) | Sought::No(_) => {
                let error = complaint(index, connection, "its credential is not at hand");
                kept.borrow_mut().complete(now, Err(error.clone()));
                self.outgoing.complain(error);
                None
            }
        }
    }

    pub(super) fn complete_remote(&self, index: usize, answer: Answer<'_>, caching: &Caching, now: UnixTime) -> Result<(), String> {
        let (Some(connection), Some(One { kept, etag, .. })) = (self.config().connections.get(index), self.outgoing.remotes.one(index))
        else {
            return Ok(());
        };
        let lifetime = caching.lifetime.map(|lifetime| bounded(lifetime, connection));
        let read = match answer {
            Ok((304, _)) if etag.borrow().is_some() => {
                kept.borrow_mut().confirm(now);
                // What a 304 leaves out is as it was (RFC 9111 section 4.3.4).
                if lifetime.is_some() {
                    kept.borrow_mut().last(lifetime);
                }
                return Ok(());
            }
            Ok((200, body)) => self.read_remote(index, connection, body),
            Ok((status @ 300..=399, _)) => Err(format!("answered with status {status}: redirects are not followed")),
            Ok((status, _)) => {
                if let (401, Sought::Here(Attachment { token: Some((key, token)), .. })) = (status, self.card_credential(index, &[], now)) {
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
        let result = read.as_ref().map(drop).map_err(|error| complaint(index, connection, error));
        if result.is_ok() {
            kept.borrow_mut().last(lifetime);
            etag.replace(caching.etag.clone());
        }
        if kept.borrow_mut().complete(now, read) {
            self.outgoing.notices.borrow_mut().extend(notices);
        }
        result
    }

    fn read_remote(&self, index: usize, connection: &Connection, body: &[u8]) -> Result<(RemoteAgent, Vec<(Level, String)>), String> {
        let Some(own) = connection.card.as_ref() else { return Err("nothing asks for it".to_owned()) };
        let mut card = Card::read(body).map_err(|error| error.to_string())?;
        if let Some(own) = &connection.require_signed_card {
            // Without keys nothing is good.
            let keys = self.outgoing.remotes.keys_of(index).ok_or("there are no keys for it")?;
            // As it came: the card that was read has other spellings. It has been found to be JSON without repeated members.
            let json: Map<String, Json> = serde_json::from_slice(body).map_err(|_| "the card is not JSON")?;
            let forms = signed::forms(&json).map(Json::Object);
            let form = card_signature::verify(json.get("signatures"), forms, keys, own, &*self.verifier);
            card = Card::from_value(form.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
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
                    let method = connection.credential_of(Which::Choice(index)).map_or("none", Credential::method);
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

/// How long a card is kept that wants to be kept for `lifetime`: its agent decides neither to be asked all the time, nor to be asked
/// when nothing good is left.
fn bounded(lifetime: Duration, connection: &Connection) -> Duration {
    let max_stale = connection.card.as_ref().map_or(Duration::MAX, |card| card.remote.max_stale);
    let longest = max_stale.checked_div(2).unwrap_or_default();
    lifetime.min(longest).max(EARLY_FETCH_INTERVAL.min(longest))
}

fn complaint(index: usize, connection: &Connection, error: &str) -> String {
    format!("connections[{index}].card.remote: no card of {:?} could be fetched: {error}", connection.name)
}

#[cfg(test)]
mod tests {
    use super::{Caching, Duration, Supply, UnixTime, Want};
    use crate::config::Config;
    use crate::credential::secrets::Secrets;
    use crate::flow::event::Value;
    use serde_json::json;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1000 + seconds)
    }

    fn supply() -> Supply {
        supply_with("60s", "600s")
    }

    fn supply_with(refresh: &str, max_stale: &str) -> Supply {
        let config = json!({"connections": [{"name": "x", "match": {"hosts": ["a.example"], "path_prefix": "/"}, "version": "auto",
            "card": {"remote": {"uri": "https://a.example", "cluster": "c", "refresh": refresh, "max_stale": max_stale}},
            "credential": {"none": {}}, "pin": "none"}]});
        Supply::new(std::rc::Rc::new(Config::parse(config.to_string().as_bytes()).unwrap()), Secrets::default()).unwrap()
    }

    /// Fetches the card: the validator that was sent.
    fn fetch(supply: &Supply, seconds: u64, status: u16, lifetime: Option<u64>, etag: Option<&str>) -> Option<String> {
        let call = supply.begin(Want::RemoteCard(0), at(seconds)).unwrap();
        let body = json!({"supportedInterfaces": [{"url": "https://a.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]});
        let caching = Caching { lifetime: lifetime.map(Duration::from_secs), etag: etag.map(str::to_owned) };
        let done = supply.complete(Want::RemoteCard(0), Ok((status, body.to_string().as_bytes())), &caching, at(seconds));
        assert_eq!(done.is_ok(), status == 200 || call.headers.iter().any(|(name, _)| name == "if-none-match"), "{done:?}");
        call.headers.iter().find(|(name, _)| name == "if-none-match").map(|(_, value)| match value {
            Value::Text(tag) => tag.clone(),
            Value::Secret(_) => panic!("a validator is no secret"),
        })
    }

    /// The moment at which it is fetched again.
    fn due(supply: &Supply, from: u64) -> u64 {
        (from..from + 10_000).find(|seconds| !supply.due(at(*seconds)).is_empty()).unwrap() - from
    }

    #[test]
    fn a_card_is_kept_as_long_as_it_says_within_bounds() {
        for (lifetime, expected) in [(None, 60), (Some(0), 5), (Some(7), 7), (Some(200), 200), (Some(100_000), 300), (Some(u64::MAX), 300)]
        {
            let supply = supply();
            assert_eq!(fetch(&supply, 0, 200, lifetime, None), None);
            assert_eq!(due(&supply, 0), expected, "{lifetime:?}");
        }
    }

    #[test]
    fn a_card_that_is_soon_too_old_is_fetched_before() {
        let supply = supply_with("2s", "4s");
        fetch(&supply, 0, 200, Some(100), None);
        assert_eq!(due(&supply, 0), 2);
    }

    #[test]
    fn a_card_is_asked_for_again_by_its_validator() {
        let supply = supply();
        assert_eq!(fetch(&supply, 0, 200, Some(100), Some("\"1\"")), None);
        assert_eq!(fetch(&supply, 100, 304, None, None).as_deref(), Some("\"1\""));
        assert_eq!(due(&supply, 100), 100, "what a 304 does not say is as it was");
        assert_eq!(fetch(&supply, 200, 304, Some(10), None).as_deref(), Some("\"1\""));
        assert_eq!(due(&supply, 200), 10);
        assert!(supply.remote_agent(0, &[], at(800)).is_ok() && supply.remote_agent(0, &[], at(801)).is_err(), "counted from the last 304");
        assert_eq!(fetch(&supply, 210, 200, None, None).as_deref(), Some("\"1\""));
        assert_eq!(due(&supply, 210), 60);
        assert_eq!(fetch(&supply, 270, 200, None, None), None, "the new card has no validator");
    }

    #[test]
    fn a_304_that_nobody_asked_for_is_no_card() {
        let supply = supply();
        assert_eq!(fetch(&supply, 0, 304, Some(100), Some("\"1\"")), None);
        assert!(supply.remote_agent(0, &[Want::RemoteCard(0)], at(0)).is_err());
    }
}
