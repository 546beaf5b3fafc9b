//! Secrets and tokens for outbound calls: what is due, how it is asked for, what came.

use crate::config::{ActorToken, Connection, Credential, Secret};
use crate::credential::assertion::Signer;
use crate::credential::cache::Token;
use crate::credential::endpoint::{Answers, TokenRequest};
use crate::credential::source::{Parties, Source};
use crate::credential::{Failure, Key, endpoint, secrets, source};
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::supply::store::Supply;
use crate::flow::supply::tokens::Job;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::rc::Rc;

impl Supply {
    /// The same with what signs client assertions.
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
        secrets.chain(self.outgoing.tokens.borrow().due(now).map(Want::Token)).collect()
    }

    pub(super) fn begin_secret(&self, index: usize, now: UnixTime) -> Option<Call> {
        let Secret::Http(document) = self.config().secrets().values().nth(index)? else { return None };
        let begins = self.outgoing.documents.borrow_mut().get_mut(&index)?.begin(now);
        begins.then(|| Call::get(&document.remote, "*/*", secrets::MAX_BYTES))
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
                let name = self.config().connections.get(job.connection).map_or("", |connection| &connection.name);
                let complaint = format!("connections[{}].credential: no token for {name:?}: {cause}", job.connection);
                self.outgoing.complain(complaint);
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
        let connection = self.config().connections.get(job.connection).ok_or_else(|| unavailable("there is no such connection"))?;
        let credential = connection.credential_of(job.which).ok_or_else(|| unavailable("there is no such credential"))?;
        let source = job.source(credential).ok_or_else(|| unavailable("there is no source"))?;
        if job.subject.as_ref().is_some_and(|subject| now >= subject.until) {
            return Err((Failure::Grant, "the caller's token has expired".to_owned()));
        }
        let parties = Parties {
            subject: job.subject.as_ref().map(|subject| subject.token.clone()),
            actor: if job.is_actor { None } else { self.actor(connection, credential, now)? },
        };
        let count = self.outgoing.serial.get().wrapping_add(1);
        self.outgoing.serial.set(count);
        let serial = source::serial(key, now, count);
        let secrets = self.outgoing.secrets.borrow();
        let request = source.request(&parties, &secrets, now, &serial);
        let request = request.map_err(|(name, error)| (Failure::Unavailable, format!("secret {name:?} {error}")))?;
        match (&request.unsigned, &self.outgoing.signer) {
            (None, _) => Ok(request),
            (Some(unsigned), Some(signer)) => {
                let assertion = unsigned.sign(signer.as_ref()).map_err(|cause| (Failure::Refused, cause))?;
                Ok(request.with_assertion(&assertion))
            }
            (Some(_), None) => Err((Failure::Refused, "nothing here can sign".to_owned())),
        }
    }

    /// The actor token of a connection, if it tells one and has it.
    fn actor(&self, connection: &Connection, credential: &Credential, now: UnixTime) -> Result<Option<SecretString>, (Failure, String)> {
        let Credential::TokenExchange(exchange) = credential else { return Ok(None) };
        match exchange.actor.as_ref().map(|actor| &actor.token) {
            None => Ok(None),
            Some(ActorToken::Secret(name)) => {
                let secrets = self.outgoing.secrets.borrow();
                secrets
                    .value(name)
                    .map(|secret| Some(secret.clone()))
                    .map_err(|error| (Failure::Unavailable, format!("secret {name:?} {error}")))
            }
            Some(ActorToken::ClientCredentials(_) | ActorToken::ManagedIdentity(_)) => {
                let key = Source::of_actor(credential).and_then(|source| source.key(&connection.name, None));
                let token = key.and_then(|key| self.outgoing.tokens.borrow().peek(&key, now));
                token.map(|token| Some(token.value.clone())).ok_or_else(|| (Failure::Unavailable, "there is no actor token".to_owned()))
            }
        }
    }

    pub(super) fn complete_token(&self, key: &Key, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let job = self.outgoing.tokens.borrow().job(key).cloned();
        let connection = job.as_ref().and_then(|job| self.config().connections.get(job.connection));
        let credential = job.as_ref().and_then(|job| connection?.credential_of(job.which));
        let source = job.as_ref().and_then(|job| job.source(credential?));
        let answers = source.map_or(Answers::Token, Source::answers);
        let read = match answer {
            Ok((status, body)) => endpoint::read(answers, status, body, now),
            Err(error) => Err((Failure::Unavailable, error)),
        };
        let complaint = read.as_ref().err().map(|(_, cause)| {
            let at = job.map_or(0, |job| job.connection);
            let name = connection.map_or("", |connection| &connection.name);
            format!("connections[{at}].credential: no token for {name:?}: the token endpoint {cause}")
        });
        self.outgoing.tokens.borrow_mut().complete(key, now, read.map_err(|(failure, _)| failure));
        complaint.map_or(Ok(()), Err)
    }

    /// Whether any connection fetches tokens.
    #[must_use]
    pub fn fetches_tokens(&self) -> bool {
        self.config().connections.iter().flat_map(|connection| connection.credentials()).any(|credential| Source::of(credential).is_some())
    }

    /// What only workers with this configuration and these secrets know.
    #[must_use]
    pub fn seal_of(&self, configuration: &[u8]) -> Vec<u8> {
        let secrets = self.secrets();
        let values = self.config().secrets().iter().filter(|(_, source)| !matches!(source, Secret::Http(_)));
        let values = values.filter_map(|(name, _)| secrets.document(name).ok()).map(|secret| secret.expose_secret());
        let text = String::from_utf8_lossy(configuration);
        endpoint::digest(std::iter::once(text.as_ref()).chain(values)).to_vec()
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
