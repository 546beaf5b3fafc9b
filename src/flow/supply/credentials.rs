//! Secrets and tokens for outbound calls: what is due, how it is asked for, what came.

use crate::config::{DocumentHeader, Secret};
use crate::credential::cache::{Cache, Token};
use crate::credential::endpoint::{Answers, TokenRequest};
use crate::credential::signing::Signer;
use crate::credential::source::{Parties, Role, Source};
use crate::credential::{Failure, Key, endpoint, secrets};
use crate::flow::event::Value;
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::supply::store::Supply;
use crate::flow::supply::tokens::Job;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use std::rc::Rc;

impl Supply {
    /// The same with what signs.
    #[must_use]
    pub fn signing_with(mut self, signer: Rc<dyn Signer>) -> Self {
        self.outgoing.signer = Some(signer);
        self
    }

    /// A place among those who wait for the credential of connection `index`; `None` if all are taken.
    #[must_use]
    pub fn seat(&self, index: usize) -> Option<Rc<()>> {
        let (seat, connection) = (self.outgoing.seats.get(index)?, self.config().connections.get(index)?);
        // One is the connection's own.
        (Rc::strong_count(seat) <= connection.max_waiting).then(|| Rc::clone(seat))
    }

    /// The remote agent did not take this token.
    pub fn reject(&self, key: &Key, token: &Rc<Token>, now: UnixTime) {
        self.outgoing.tokens.borrow_mut().reject(key, token, now);
    }

    pub(super) fn due_credentials(&self, now: UnixTime) -> Vec<Want> {
        let documents = self.outgoing.documents.borrow();
        let secrets = documents.iter().filter(|(_, kept)| kept.is_due(now)).map(|(index, _)| Want::Secret(*index));
        let tokens = self.outgoing.tokens.borrow();
        secrets.chain(tokens.due(now).map(|key| Want::Token(self.first_of(key, &tokens, now)))).collect()
    }

    /// The token of `key`, or that which it needs and has to be fetched before.
    fn first_of(&self, key: Key, tokens: &Cache<Job>, now: UnixTime) -> Key {
        let missing = |(_, other): &(Role, Key)| tokens.peek(other, now).is_none() && tokens.job(other).is_some();
        match self.needed_for(&key, tokens).into_iter().find(missing) {
            Some((_, other)) => self.first_of(other, tokens, now),
            None => key,
        }
    }

    /// The keys of the tokens that the request for that of `key` needs, and what each is there.
    fn needed_for(&self, key: &Key, tokens: &Cache<Job>) -> Vec<(Role, Key)> {
        let found = tokens.job(key).and_then(|job| Some((job, job.source(key, self.config())?)));
        let Some((job, (source, connection))) = found else { return Vec::new() };
        let subject = job.subject.as_ref().map(|subject| &subject.token);
        source.needs().filter_map(|(role, other)| Some((role, other.key(&connection.name, subject)?))).collect()
    }

    pub(super) fn begin_secret(&self, index: usize, now: UnixTime) -> Option<Call> {
        let (name, Secret::Http(document)) = self.config().secrets().iter().nth(index)? else { return None };
        if !self.outgoing.documents.borrow_mut().get_mut(&index)?.begin(now) {
            return None;
        }
        let mut call = Call::get(&document.remote, "*/*", secrets::MAX_BYTES);
        for (header, value) in &document.headers.0 {
            let value = match value {
                DocumentHeader::Plain(value) => Ok(value.clone()),
                DocumentHeader::Secret(other) => self.secrets().value(other).cloned().map_err(|error| format!("secret {other:?} {error}")),
            };
            match value {
                Ok(value) => {
                    call.headers.retain(|(own, _)| own != header.as_str());
                    call.headers.push((header.as_str().to_owned().into(), Value::Secret(value)));
                }
                Err(cause) => {
                    self.outgoing.complain(format!("secrets.{name}.http.headers.{}: {cause}", header.as_str()));
                    self.outgoing.documents.borrow_mut().get_mut(&index)?.complete(now, Err(cause));
                    return None;
                }
            }
        }
        Some(call)
    }

    pub(super) fn complete_secret(&self, index: usize, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let Some((name, Secret::Http(document))) = self.config().secrets().iter().nth(index) else { return Ok(()) };
        let read = match answer {
            Ok((200, body)) => secrets::read(body, document.json_pointer.as_deref()).map_err(str::to_owned),
            Ok((status, _)) => Err(format!("answered with status {status}")),
            Err(error) => Err(error),
        };
        let failed = read.as_ref().err().map(|error| format!("secrets.{name}.http: {error}; the last value is kept"));
        if let Some(kept) = self.outgoing.documents.borrow_mut().get_mut(&index) {
            let digest = read.as_ref().map(|secret| endpoint::digest([secret.expose_secret()].into_iter())).map_err(Clone::clone);
            if kept.complete(now, digest)
                && let Ok(secret) = read
            {
                self.outgoing.secrets.borrow_mut().insert(name, Some(secret.expose_secret().to_owned()));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Begins the fetch of a token. What cannot even be asked for fails here; `None` then, too.
    pub(super) fn begin_token(&self, key: &Key, now: UnixTime) -> Option<Call> {
        let job = self.outgoing.tokens.borrow_mut().begin(key, now)?.clone();
        match self.ask(key, &job, now) {
            Ok(request) => Some(request.into()),
            Err((failure, cause)) => {
                self.outgoing.complain(self.no_token(key, &job, &cause));
                self.outgoing.tokens.borrow_mut().complete(key, now, Err(failure));
                None
            }
        }
    }

    /// Why a fetch could not begin, for the log, once.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.outgoing.complaint.take()
    }

    fn ask(&self, key: &Key, job: &Job, now: UnixTime) -> Result<TokenRequest, (Failure, String)> {
        let unavailable = |cause: &str| (Failure::Unavailable, cause.to_owned());
        let (source, _) = job.source(key, self.config()).ok_or_else(|| unavailable("there is no source"))?;
        if job.subject.as_ref().is_some_and(|subject| now >= subject.until) {
            return Err((Failure::Grant, "the caller's token has expired".to_owned()));
        }
        let parties = self.parties(source, key, job, now)?;
        let serial = self.outgoing.nonces.next(now);
        let secrets = self.outgoing.secrets.borrow();
        let request = source.request(&parties, &secrets, now, &serial);
        self.signed(request.map_err(|(name, error)| (Failure::Unavailable, format!("secret {name:?} {error}")))?)
    }

    /// `request` with its assertion, if it has one that is still to be signed.
    pub(super) fn signed(&self, request: TokenRequest) -> Result<TokenRequest, (Failure, String)> {
        match (&request.unsigned, &self.outgoing.signer) {
            (None, _) => Ok(request),
            (Some(unsigned), Some(signer)) => {
                let assertion = unsigned.sign(signer.as_ref()).map_err(|cause| (Failure::Refused, cause))?;
                Ok(request.with_assertion(&assertion))
            }
            (Some(_), None) => Err((Failure::Refused, "nothing here can sign".to_owned())),
        }
    }

    /// The tokens that a request of `source` carries.
    fn parties(&self, source: Source<'_>, key: &Key, job: &Job, now: UnixTime) -> Result<Parties, (Failure, String)> {
        let mut parties = Parties { subject: job.subject.as_ref().map(|subject| subject.token.clone()), ..Parties::default() };
        if let Some(name) = source.actor_secret() {
            let secrets = self.outgoing.secrets.borrow();
            let secret = secrets.value(name).map_err(|error| (Failure::Unavailable, format!("secret {name:?} {error}")))?;
            parties.actor = Some(secret.clone());
        }
        let tokens = self.outgoing.tokens.borrow();
        for (role, other) in self.needed_for(key, &tokens) {
            let token = tokens.peek(&other, now).ok_or_else(|| (Failure::Unavailable, format!("there is no {}", role.name())))?;
            let place = match role {
                Role::Actor => &mut parties.actor,
                Role::Grant => &mut parties.grant,
                Role::Assertion => &mut parties.assertion,
            };
            *place = Some(token.value.clone());
        }
        Ok(parties)
    }

    pub(super) fn complete_token(&self, key: &Key, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let job = self.outgoing.tokens.borrow().job(key).cloned();
        let source = job.as_ref().and_then(|job| job.source(key, self.config()));
        let answers = source.map_or(Answers::Token, |(source, _)| source.answers());
        let read = match answer {
            Ok((status, body)) => endpoint::read(answers, status, body, now),
            Err(error) => Err((Failure::Unavailable, error)),
        };
        let complaint =
            read.as_ref().err().zip(job).map(|((_, cause), job)| self.no_token(key, &job, &format!("the token endpoint {cause}")));
        if let Err((Failure::Refused | Failure::Grant, _)) = read {
            self.doubt_needed_for(key, now);
        }
        self.outgoing.tokens.borrow_mut().complete(key, now, read.map_err(|(failure, _)| failure));
        complaint.map_or(Ok(()), Err)
    }

    /// What the request for the token of `key` was made with may be what was wrong with it: it is fetched anew next time, unless it
    /// is young.
    fn doubt_needed_for(&self, key: &Key, now: UnixTime) {
        let mut tokens = self.outgoing.tokens.borrow_mut();
        for (_, other) in self.needed_for(key, &tokens) {
            if let Some(token) = tokens.peek(&other, now) {
                tokens.reject(&other, &token, now);
            }
        }
    }

    /// Why there is no token of `key`, for the log.
    fn no_token(&self, key: &Key, job: &Job, cause: &str) -> String {
        let at = job.connection;
        let (what, name) = match job.source(key, self.config()) {
            Some((source, connection)) => (source.what(), connection.name.as_str()),
            None => ("token", ""),
        };
        format!("connections[{at}].credential: no {what} for {name:?}: {cause}")
    }

    /// Whether any connection fetches tokens.
    #[must_use]
    pub fn fetches_tokens(&self) -> bool {
        self.config().connections.iter().flat_map(|connection| connection.credentials()).any(|credential| Source::of(credential).is_some())
    }

    /// What only workers with this configuration and these secrets know.
    #[must_use]
    pub fn seal_of(&self, configuration: &[u8]) -> Vec<u8> {
        self.sealed(&String::from_utf8_lossy(configuration))
    }

    /// A digest of `text` that nobody knows who does not know the secrets.
    pub(super) fn sealed(&self, text: &str) -> Vec<u8> {
        let secrets = self.secrets();
        let values = self.config().secrets().iter().filter(|(_, source)| !matches!(source, Secret::Http(_)));
        let values = values.filter_map(|(name, _)| secrets.document(name).ok()).map(|secret| secret.expose_secret());
        endpoint::digest(std::iter::once(text).chain(values)).to_vec()
    }

    /// When the newest token of `key` was asked for.
    #[must_use]
    pub fn newest_token(&self, key: &Key) -> Option<UnixTime> {
        self.outgoing.tokens.borrow().newest(key)
    }

    /// Takes a token that another worker has fetched.
    pub fn adopt_token(&self, key: &Key, token: Token) {
        self.outgoing.tokens.borrow_mut().adopt(key, token);
    }

    /// The token of `key`, for other workers.
    #[must_use]
    pub fn fetched_token(&self, key: &Key, now: UnixTime) -> Option<Token> {
        let token = self.outgoing.tokens.borrow().peek(key, now)?;
        Some(Token { value: token.value.clone(), since: token.since, until: token.until })
    }

    /// Connection and method that a token is for, for statistics.
    #[must_use]
    pub fn token_of(&self, key: &Key) -> Option<(&str, &'static str)> {
        let (index, which) = {
            let tokens = self.outgoing.tokens.borrow();
            let job = tokens.job(key)?;
            (job.connection, job.which)
        };
        let connection = self.config().connections.get(index)?;
        Some((&connection.name, connection.credential_of(which)?.method()))
    }
}
