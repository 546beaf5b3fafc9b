//! What calls that leave share: secrets, tokens, and the fetches that bring them.

use super::authenticate::Authentication;
use super::denial::Reason;
use super::event::Value;
use super::fetch::{Answer, Call, Want};
use super::runtime::{Context, Runtime};
use crate::config::{ActorToken, Config, Connection, Credential, Secret};
use crate::credential::assertion::Signer;
use crate::credential::cache::{Cache, Lookup, Token};
use crate::credential::endpoint::{self, TokenRequest};
use crate::credential::secrets::{self, SecretError, Secrets};
use crate::credential::source::{self, Parties, Source};
use crate::credential::{Failure, Key, static_header};
use crate::wire::kept::{Kept, Wait};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Secrets and tokens of one configuration.
#[derive(Debug)]
pub struct Outgoing {
    pub(super) secrets: RefCell<Secrets>,
    /// The secrets that are fetched, by index, as digests of what came last.
    documents: RefCell<BTreeMap<usize, Kept<Key>>>,
    tokens: RefCell<Cache<Job>>,
    signer: Option<Rc<dyn Signer>>,
    /// Per connection; whoever waits has a clone.
    seats: Vec<Rc<()>>,
    serial: Cell<u64>,
    /// Why a fetch could not even begin.
    complaint: RefCell<Option<String>>,
}

/// What a fetch of a token needs to know.
#[derive(Clone, Debug)]
struct Job {
    connection: usize,
    /// It is the actor's token, not the connection's.
    is_actor: bool,
    subject: Option<Subject>,
}

/// The caller's token, verified.
#[derive(Clone, Debug)]
struct Subject {
    token: SecretString,
    until: UnixTime,
}

/// What is attached to a call.
#[derive(Debug)]
pub struct Attachment {
    /// Header names in lower case, and values.
    pub headers: Vec<(String, SecretString)>,
    /// Where it came from, for whoever traces its use.
    pub origin: &'static str,
    /// How old it is, if it is a token that was fetched.
    pub age: Option<Duration>,
    /// The token that was fetched.
    pub token: Option<(Key, Rc<Token>)>,
}

/// What became of the search for a connection's credential.
#[derive(Debug)]
pub enum Obtained {
    /// Here it is.
    Attach(Attachment),
    /// There is none; with the cause for the log, if that was not told before.
    Refused(Reason, Option<String>),
    /// This has to be fetched first.
    Wait(Want),
}

/// Ends the search early.
type Stopped = Box<Obtained>;

impl Outgoing {
    pub(super) fn new(config: &Config, secrets: Secrets) -> Self {
        // The last good value of a secret is kept for as long as it takes.
        let document = |(index, secret): (usize, &Secret)| match secret {
            Secret::Http(document) => Some((index, Kept::remote(document.remote.refresh, Duration::MAX))),
            Secret::Env(_) | Secret::Inline(_) => None,
        };
        Self {
            secrets: RefCell::new(secrets),
            documents: RefCell::new(config.secrets().values().enumerate().filter_map(document).collect()),
            tokens: RefCell::default(),
            signer: None,
            seats: config.connections.iter().map(|_| Rc::new(())).collect(),
            serial: Cell::new(0),
            complaint: RefCell::default(),
        }
    }
}

fn refused(reason: Reason, cause: impl Into<String>) -> Stopped {
    Box::new(Obtained::Refused(reason, Some(cause.into())))
}

/// The refusal for a failed fetch; its cause was told when it failed.
const fn reason_of(failure: Failure, for_caller: bool) -> Reason {
    match (failure, for_caller) {
        (Failure::Unavailable, _) => Reason::CredentialUnavailable,
        (Failure::Grant, true) => Reason::SubjectRefused,
        (Failure::Consent, true) => Reason::ConsentRequired,
        (Failure::Refused | Failure::Grant | Failure::Consent, _) => Reason::CredentialRefused,
    }
}

impl Runtime {
    /// The same with what signs client assertions.
    #[must_use]
    pub fn signing_with(mut self, signer: Rc<dyn Signer>) -> Self {
        self.outgoing.signer = Some(signer);
        self
    }

    /// The credential of connection `index` for a caller with this token. What is in `waited` was waited for already and
    /// is not waited for again.
    #[must_use]
    pub fn obtain(&self, index: usize, caller: Option<&SecretString>, waited: &[Want], context: &Context<'_>) -> Obtained {
        let Some(connection) = self.config().connections.get(index) else {
            return Obtained::Refused(Reason::Unmatched, None);
        };
        let search = Search { runtime: self, index, connection, waited, context };
        search.run(caller).unwrap_or_else(|stopped| *stopped)
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
            Ok(request) => Some(call(request)),
            Err((failure, cause)) => {
                let name = self.config().connections.get(job.connection).map_or("", |connection| &connection.name);
                let told = format!("connections[{}].credential: no token for {name:?}: {cause}", job.connection);
                self.outgoing.complaint.replace(Some(told));
                self.outgoing.tokens.borrow_mut().complete(key, now, Err(failure));
                None
            }
        }
    }

    /// Why a fetch could not begin, for the log; told once.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.outgoing.complaint.take()
    }

    fn ask(&self, key: &Key, job: &Job, now: UnixTime) -> Result<TokenRequest, (Failure, String)> {
        let unavailable = |cause: &str| (Failure::Unavailable, cause.to_owned());
        let connection = self.config().connections.get(job.connection).ok_or_else(|| unavailable("there is no such connection"))?;
        let source = if job.is_actor { Source::of_actor(&connection.credential) } else { Source::of(&connection.credential) };
        let source = source.ok_or_else(|| unavailable("there is no source"))?;
        if job.subject.as_ref().is_some_and(|subject| now >= subject.until) {
            return Err((Failure::Grant, "the caller's token has expired".to_owned()));
        }
        let parties = Parties {
            subject: job.subject.as_ref().map(|subject| subject.token.clone()),
            actor: if job.is_actor { None } else { self.actor(connection, now)? },
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
    fn actor(&self, connection: &Connection, now: UnixTime) -> Result<Option<SecretString>, (Failure, String)> {
        let Credential::TokenExchange(exchange) = &connection.credential else { return Ok(None) };
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
                let key = Source::of_actor(&connection.credential).and_then(|source| source.key(&connection.name, None));
                let token = key.and_then(|key| self.outgoing.tokens.borrow().peek(&key, now));
                token.map(|token| Some(token.value.clone())).ok_or_else(|| (Failure::Unavailable, "there is no actor token".to_owned()))
            }
        }
    }

    pub(super) fn complete_token(&self, key: &Key, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let job = self.outgoing.tokens.borrow().job(key).cloned();
        let read = match answer {
            Ok((status, body)) => endpoint::read(status, body, now),
            Err(error) => Err((Failure::Unavailable, error)),
        };
        let told = read.as_ref().err().map(|(_, cause)| {
            let at = job.map_or(0, |job| job.connection);
            let name = self.config().connections.get(at).map_or("", |connection| &connection.name);
            format!("connections[{at}].credential: no token for {name:?}: the token endpoint {cause}")
        });
        self.outgoing.tokens.borrow_mut().complete(key, now, read.map_err(|(failure, _)| failure));
        told.map_or(Ok(()), Err)
    }

    /// Connection and method that a token is for, for statistics.
    #[must_use]
    pub fn token_of(&self, key: &Key) -> Option<(&str, &'static str)> {
        let index = self.outgoing.tokens.borrow().job(key)?.connection;
        let connection = self.config().connections.get(index)?;
        Some((&connection.name, connection.credential.method()))
    }
}

/// The search for one call's credential.
struct Search<'a> {
    runtime: &'a Runtime,
    index: usize,
    connection: &'a Connection,
    waited: &'a [Want],
    context: &'a Context<'a>,
}

impl Search<'_> {
    fn run(&self, caller: Option<&SecretString>) -> Result<Obtained, Stopped> {
        let attach = |headers, origin| Obtained::Attach(Attachment { headers, origin, age: None, token: None });
        let credential = &self.connection.credential;
        match credential {
            Credential::None(_) => return Ok(attach(Vec::new(), "none")),
            Credential::Header(_) | Credential::Headers(_) => {
                let secrets = self.runtime.secrets();
                let value = |header: &crate::config::HeaderCredential| match static_header::value(header, &secrets) {
                    Ok(value) => Ok((header.name.as_str().to_owned(), value)),
                    Err(error) => Err(self.lacks(&header.value.secret, error)),
                };
                return Ok(attach(credential.headers().iter().map(value).collect::<Result<_, _>>()?, "secret"));
            }
            _ => {}
        }
        let subject = caller.map(|token| self.verify(token)).transpose()?;
        if credential.subject().is_some() && subject.is_none() {
            return Err(Box::new(Obtained::Refused(Reason::CredentialsMissing, None)));
        }
        let Some(source) = Source::of(credential) else {
            let token = subject.map(|subject| subject.token).ok_or_else(|| refused(Reason::CredentialUnavailable, "nothing to pass on"))?;
            return Ok(attach(vec![bearer(&token)], "caller"));
        };
        if let Some(source) = Source::of_actor(credential) {
            self.token(source, None, true)?;
        }
        let (key, token, origin) = self.token(source, subject, false)?;
        let age = Some(self.context.now.since(token.since));
        Ok(Obtained::Attach(Attachment { headers: vec![bearer(&token.value)], origin, age, token: Some((key, token)) }))
    }

    /// The token of `source`, or why the search stops.
    fn token(&self, source: Source<'_>, subject: Option<Subject>, is_actor: bool) -> Result<(Key, Rc<Token>, &'static str), Stopped> {
        let key = source.key(&self.connection.name, subject.as_ref().map(|subject| &subject.token));
        let key = key.ok_or_else(|| Box::new(Obtained::Refused(Reason::CredentialsMissing, None)))?;
        let now = self.context.now;
        let for_caller = subject.is_some();
        let want = Want::Token(key);
        let waited = self.waited.contains(&want);
        let job = || Job { connection: self.index, is_actor, subject: subject.clone() };
        let looked = self.runtime.outgoing.tokens.borrow_mut().look(key, now, job);
        match looked {
            Lookup::Ready(token) => Ok((key, token, if waited { "fetch" } else { "cache" })),
            Lookup::Failed(failure) => Err(Box::new(Obtained::Refused(reason_of(failure, for_caller), None))),
            Lookup::Wait if waited => {
                let failure = self.runtime.outgoing.tokens.borrow().failure(&key).unwrap_or(Failure::Unavailable);
                Err(Box::new(Obtained::Refused(reason_of(failure, for_caller), None)))
            }
            Lookup::Wait => {
                // What the request for it needs must be there before anyone waits.
                let parties = Parties { subject: subject.as_ref().map(|subject| subject.token.clone()), actor: None };
                source.request(&parties, &self.runtime.secrets(), now, &key).map_err(|(name, error)| self.lacks(&name, error))?;
                if let (Credential::TokenExchange(exchange), false) = (&self.connection.credential, is_actor)
                    && let Some(ActorToken::Secret(name)) = exchange.actor.as_ref().map(|actor| &actor.token)
                {
                    self.runtime.secrets().value(name).map(drop).map_err(|error| self.lacks(name, error))?;
                }
                Err(Box::new(Obtained::Wait(want)))
            }
        }
    }

    /// Verifies the caller's token, which no one else has done on this side.
    fn verify(&self, token: &SecretString) -> Result<Subject, Stopped> {
        let config = self.runtime.config();
        let names = self.connection.credential.subject().map(|subject| subject.issuers.as_slice()).unwrap_or_default();
        let accepted: Vec<usize> = names.iter().filter_map(|name| config.issuers.iter().position(|issuer| &issuer.name == name)).collect();
        let audiences = match &self.connection.credential {
            Credential::Passthrough(own) => Some(own.audiences.as_slice()),
            _ => None,
        };
        let may_wait = !self.waited.iter().any(|want| matches!(want, Want::Keys(_)));
        match self.runtime.authenticate_for(audiences, &accepted, token.expose_secret(), may_wait, self.context) {
            Authentication::Caller(caller) => Ok(Subject { token: token.clone(), until: caller.expires }),
            Authentication::Refused(reason) => Err(Box::new(Obtained::Refused(reason, None))),
            Authentication::Wait(want) => Err(Box::new(Obtained::Wait(want))),
        }
    }

    /// Secret `name` has no value: it is waited for once, or that is the end.
    fn lacks(&self, name: &str, error: SecretError) -> Stopped {
        let index = self.runtime.config().secrets().keys().position(|own| own == name);
        let documents = self.runtime.outgoing.documents.borrow();
        if let Some(index) = index
            && error == SecretError::Missing
            && !self.waited.contains(&Want::Secret(index))
            && documents.get(&index).is_some_and(|kept| kept.wait_for_any(self.context.now) == Wait::ForFetch)
        {
            return Box::new(Obtained::Wait(Want::Secret(index)));
        }
        let text = format!("connection {:?} has no credential: secret {name:?} {error}", self.connection.name);
        refused(Reason::CredentialUnavailable, text)
    }
}

fn bearer(token: &SecretString) -> (String, SecretString) {
    ("authorization".to_owned(), secrets::prefixed("Bearer ", token))
}

fn call(request: TokenRequest) -> Call {
    let text = |text: &str| Value::Text(text.to_owned());
    let method = if request.form.is_some() { "POST" } else { "GET" };
    let target = request.target.as_deref().unwrap_or_else(|| request.uri.path());
    let mut headers = vec![
        (":method".into(), text(method)),
        (":scheme".into(), text(request.uri.scheme())),
        (":authority".into(), text(request.uri.authority())),
        (":path".into(), text(target)),
        ("accept".into(), text("application/json")),
    ];
    if request.form.is_some() {
        headers.push(("content-type".into(), text("application/x-www-form-urlencoded")));
    }
    headers.extend(request.headers.into_iter().map(|(name, value)| (name.into(), Value::Secret(value))));
    Call {
        cluster: request.cluster,
        headers,
        body: request.form.map(Value::Secret),
        timeout: request.timeout,
        most: endpoint::MAX_ANSWER_BYTES,
    }
}
