//! The search for a connection's credential: what is at hand is attached, what is not is waited for once, and what cannot be had
//! is refused.

use crate::config::{Config, Connection, Credential, HeaderCredential, OwnTerms, SignedJwt, Which};
use crate::credential::cache::{Lookup, Token};
use crate::credential::secrets::SecretError;
use crate::credential::signed_jwt::About;
use crate::credential::source::{Parties, Source};
use crate::credential::user::User;
use crate::credential::{Failure, Key, secrets, signed_jwt, static_header};
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::store::{Supply, Verifying};
use crate::flow::supply::tokens::{Job, Subject};
use crate::identity::verify::{Accepted, Taken};
use crate::identity::{Caller, Kind};
use crate::wire::kept::Wait;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::rc::Rc;
use std::time::Duration;

/// What is attached to a call.
#[derive(Debug)]
pub struct Attachment {
    /// Header names in lower case, and values.
    pub headers: Vec<(String, SecretString)>,
    /// `name=value` for the query.
    pub parameter: Option<SecretString>,
    /// The method that obtained it, as the configuration spells it.
    pub method: &'static str,
    /// Where it came from, for whoever traces its use.
    pub origin: &'static str,
    /// How old it is, if it is a token that was fetched.
    pub age: Option<Duration>,
    /// The token that was fetched.
    pub token: Option<(Key, Rc<Token>)>,
    /// For whom it is, if it is not for all.
    pub caller: Option<Rc<Caller>>,
}

impl Attachment {
    /// Nothing of ours: the agent sends what its caller asked for.
    #[must_use]
    pub const fn asked() -> Self {
        Self { headers: Vec::new(), parameter: None, method: "asked", origin: "agent", age: None, token: None, caller: None }
    }
}

/// Why there is no credential.
#[derive(Debug)]
pub struct Refused {
    /// What the caller learns.
    pub reason: Reason,
    /// For the log, if it is not there already.
    pub cause: Option<String>,
}

/// What became of the search for a connection's credential.
pub type Obtained = Sought<Attachment, Refused>;

impl Refused {
    pub(super) const fn sought(reason: Reason, cause: Option<String>) -> Obtained {
        Sought::No(Self { reason, cause })
    }
}

/// Ends the search early.
type Stopped = Box<Obtained>;

fn refused(reason: Reason, cause: impl Into<String>) -> Stopped {
    Box::new(Refused::sought(reason, Some(cause.into())))
}

/// The refusal for a failed fetch; its cause was logged when it failed.
const fn reason_of(failure: Failure, source: Source<'_>) -> Reason {
    match failure {
        Failure::Unavailable => Reason::CredentialUnavailable,
        Failure::Grant if source.sends_subject() => Reason::SubjectRefused,
        Failure::Consent if source.is_for_caller() => Reason::ConsentRequired,
        Failure::Refused | Failure::Grant | Failure::Consent => Reason::CredentialRefused,
    }
}

impl Supply {
    /// The credential of connection `index` for a caller with this token. What is in `waited` was waited for already and
    /// is not waited for again.
    #[must_use]
    pub fn obtain(&self, index: usize, caller: Option<&SecretString>, waited: &[Want], context: &Verifying<'_>) -> Obtained {
        let which = self.chosen(index, context.now).map_or(Which::Own, Which::Choice);
        self.obtain_that(index, which, caller, waited, context)
    }

    /// The caller of connection `index`, by the token that it presents. As [`Supply::obtain`].
    pub(in crate::flow) fn presented(
        &self,
        index: usize,
        token: &SecretString,
        waited: &[Want],
        context: &Verifying<'_>,
    ) -> Result<Subject, Box<Obtained>> {
        let Some(connection) = self.config().connections.get(index) else {
            return Err(Box::new(Refused::sought(Reason::Unmatched, None)));
        };
        Search { supply: self, index, connection, which: Which::Own, credential: &connection.credential, waited, context }.verify(token)
    }

    /// Whose grants are asked for, by the token with which that user calls through any connection that calls as its users.
    pub(in crate::flow) fn owner(&self, token: &SecretString, waited: &[Want], context: &Verifying<'_>) -> Sought<Rc<Caller>> {
        let config = self.config();
        let own = config.connections.iter().filter_map(|connection| connection.user_passthrough());
        let names: Vec<&String> = own.flat_map(|own| &own.subject.issuers).collect();
        let named = config.issuers.iter().enumerate().filter(|(_, issuer)| names.contains(&&issuer.name));
        let taken: Vec<Taken> = named.map(|(issuer, known)| Taken { scheme: usize::MAX, issuer, terms: Rc::clone(&known.terms) }).collect();
        let text = token.expose_secret();
        let known = self.recall(text);
        let ask = |may_wait| self.authenticate((text, known.as_deref()), &taken, may_wait, context);
        let found = match ask(true) {
            Sought::Wait(want) if waited.contains(&want) => ask(false),
            other => other,
        };
        found.map(|accepted| accepted.caller)
    }

    /// The same for one of its credentials.
    pub(super) fn obtain_that(
        &self,
        index: usize,
        which: Which,
        caller: Option<&SecretString>,
        waited: &[Want],
        context: &Verifying<'_>,
    ) -> Obtained {
        let Some(connection) = self.config().connections.get(index) else {
            return Refused::sought(Reason::Unmatched, None);
        };
        let Some(credential) = connection.credential_of(which) else {
            let cause = format!("connection {:?} has no credential that the remote agent's card asks for", connection.name);
            return Refused::sought(Reason::CredentialUnavailable, Some(cause));
        };
        let search = Search { supply: self, index, connection, which, credential, waited, context };
        search.run(caller).unwrap_or_else(|stopped| *stopped)
    }

    /// The credential of connection `index` for a notification about this. As [`Supply::obtain`].
    #[must_use]
    pub fn obtain_for(&self, index: usize, about: About<'_>, waited: &[Want], context: &Verifying<'_>) -> Obtained {
        match self.config().connections.get(index).map(|connection| (connection, &connection.credential)) {
            Some((connection, Credential::SignedJwt(own))) => {
                self.sign(connection, own, about, waited, context.now).unwrap_or_else(|stopped| *stopped)
            }
            _ => self.obtain(index, None, waited, context),
        }
    }

    /// A token that is signed for this alone.
    fn sign(
        &self,
        connection: &Connection,
        own: &SignedJwt,
        about: About<'_>,
        waited: &[Want],
        now: UnixTime,
    ) -> Result<Obtained, Stopped> {
        let key = self.secrets().document(&own.key.secret).cloned();
        let key = key.map_err(|error| self.lacks(&connection.name, &own.key.secret, error, waited, now))?;
        let serial = self.outgoing.nonces.next(now);
        let unsigned = signed_jwt::unsigned(own, about, key, now, &serial);
        let signed = self.outgoing.signer.as_ref().map_or(Err("nothing here can sign".to_owned()), |signer| unsigned.sign(&**signer));
        let token = signed.map_err(|cause| {
            refused(Reason::CredentialUnavailable, format!("connection {:?}: no token for a notification: {cause}", connection.name))
        })?;
        let headers = vec![(own.header.as_str().to_owned(), secrets::prefixed(own.prefix(), &token))];
        Ok(Sought::Here(Attachment { headers, method: "signed_jwt", origin: "signed", ..Attachment::asked() }))
    }

    /// Secret `name` has no value: it is waited for once, or that is the end.
    fn lacks(&self, connection: &str, name: &str, error: SecretError, waited: &[Want], now: UnixTime) -> Stopped {
        let index = self.config().secrets().keys().position(|own| own == name);
        let documents = self.outgoing.documents.borrow();
        if let Some(index) = index
            && error == SecretError::Missing
            && !waited.contains(&Want::Secret(index))
            && documents.get(&index).is_some_and(|kept| kept.wait_for_any(now) == Wait::ForFetch)
        {
            return Box::new(Sought::Wait(Want::Secret(index)));
        }
        refused(Reason::CredentialUnavailable, format!("connection {connection:?} has no credential: secret {name:?} {error}"))
    }
}

/// The search for one call's credential.
struct Search<'a> {
    supply: &'a Supply,
    index: usize,
    connection: &'a Connection,
    /// Which of the connection's credentials it is.
    which: Which,
    credential: &'a Credential,
    waited: &'a [Want],
    context: &'a Verifying<'a>,
}

impl Search<'_> {
    fn run(&self, caller: Option<&SecretString>) -> Result<Obtained, Stopped> {
        let credential = self.credential;
        let method = credential.method();
        let attach = |headers, parameter, origin| {
            Sought::Here(Attachment { headers, parameter, method, origin, age: None, token: None, caller: None })
        };
        match credential {
            Credential::None(_) => return Ok(attach(Vec::new(), None, "none")),
            Credential::Query(own) => {
                let parameter = static_header::parameter(own, &self.supply.secrets());
                let parameter = parameter.map_err(|error| self.lacks(&own.value.secret, error))?;
                return Ok(attach(Vec::new(), Some(parameter), "secret"));
            }
            Credential::Cookie(own) => {
                let cookie = static_header::cookie(own, &self.supply.secrets());
                let cookie = cookie.map_err(|error| self.lacks(&own.value.secret, error))?;
                return Ok(attach(vec![("cookie".to_owned(), cookie)], None, "secret"));
            }
            Credential::Header(_) | Credential::Headers(_) => {
                let secrets = self.supply.secrets();
                let value = |header: &HeaderCredential| match static_header::value(header, &secrets) {
                    Ok(value) => Ok((header.name.as_str().to_owned(), value)),
                    Err(error) => Err(self.lacks(&header.value.secret, error)),
                };
                return Ok(attach(credential.headers().iter().map(value).collect::<Result<_, _>>()?, None, "secret"));
            }
            _ => {}
        }
        let caller = caller.filter(|_| credential.subject().is_some());
        let subject = caller.map(|token| self.verify(token)).transpose()?;
        if credential.subject().is_some() && subject.is_none() {
            return Err(Box::new(Refused::sought(Reason::CredentialsMissing, None)));
        }
        let caller = subject.as_ref().map(|subject| Rc::clone(&subject.caller));
        let Some(source) = Source::of(credential) else {
            let token = subject.map(|subject| subject.token).ok_or_else(|| refused(Reason::CredentialUnavailable, "nothing to pass on"))?;
            let headers = vec![bearer(&token)];
            return Ok(Sought::Here(Attachment { headers, parameter: None, method, origin: "caller", age: None, token: None, caller }));
        };
        let (key, token, origin) = self.token(source, subject.as_ref())?;
        let age = Some(self.context.now.since(token.since));
        Ok(Sought::Here(Attachment {
            headers: vec![bearer(&token.value)],
            parameter: None,
            method,
            origin,
            age,
            token: Some((key, token)),
            caller,
        }))
    }

    /// The token of `source`, or why the search stops.
    fn token(&self, source: Source<'_>, subject: Option<&Subject>) -> Result<(Key, Rc<Token>, &'static str), Stopped> {
        let subject = subject.filter(|_| source.is_for_caller());
        let key = source.key(&self.connection.name, subject.map(|subject| &subject.token));
        let key = key.ok_or_else(|| Box::new(Refused::sought(Reason::CredentialsMissing, None)))?;
        let now = self.context.now;
        let want = Want::Token(key);
        let waited = self.waited.contains(&want);
        let job = || Job { connection: self.index, which: self.which, subject: subject.cloned() };
        let looked = self.supply.outgoing.tokens.borrow_mut().look(key, now, job);
        match looked {
            Lookup::Ready(token) => Ok((key, token, if waited { "fetch" } else { "cache" })),
            Lookup::Failed(failure) => Err(Box::new(Refused::sought(reason_of(failure, source), None))),
            Lookup::Wait if waited => {
                let failure = self.supply.outgoing.tokens.borrow().failure(&key).unwrap_or(Failure::Unavailable);
                Err(Box::new(Refused::sought(reason_of(failure, source), None)))
            }
            Lookup::Wait => {
                // What the request for it needs must be there before anyone waits.
                for (_, other) in source.needs() {
                    self.token(other, subject)?;
                }
                let parties = Parties { subject: subject.map(|subject| subject.token.clone()), ..Parties::default() };
                source.request(&parties, &self.supply.secrets(), now, &key).map_err(|(name, error)| self.lacks(&name, error))?;
                if let Some(name) = source.actor_secret() {
                    self.supply.secrets().value(name).map(drop).map_err(|error| self.lacks(name, error))?;
                }
                Err(Box::new(Sought::Wait(want)))
            }
        }
    }

    /// Verifies the caller's token, which no one else has done on this side.
    fn verify(&self, token: &SecretString) -> Result<Subject, Stopped> {
        let config = self.supply.config();
        let names = self.credential.subject().map(|subject| subject.issuers.as_slice()).unwrap_or_default();
        let own = match self.credential {
            Credential::Passthrough(own) => OwnTerms { audiences: Some(&own.audiences), ..OwnTerms::default() },
            _ => OwnTerms::default(),
        };
        let named = config.issuers.iter().enumerate().filter(|(_, issuer)| names.contains(&issuer.name));
        // No scheme takes them.
        let taken: Vec<Taken> = named.map(|(issuer, known)| Taken { scheme: usize::MAX, issuer, terms: known.terms.with(&own) }).collect();
        let token_text = token.expose_secret();
        let known = self.supply.recall(token_text);
        let ask = |may_wait| self.supply.authenticate((token_text, known.as_deref()), &taken, may_wait, self.context);
        let authentication = match ask(true) {
            // They have been waited for already.
            Sought::Wait(want) if self.waited.contains(&want) => ask(false),
            other => other,
        };
        match authentication {
            Sought::Here(Accepted { caller, .. }) => Ok(Subject { token: token.clone(), until: caller.expires, caller }),
            Sought::No(reason) => Err(Box::new(Refused::sought(reason, None))),
            Sought::Wait(want) => Err(Box::new(Sought::Wait(want))),
        }
    }

    /// Secret `name` has no value.
    fn lacks(&self, name: &str, error: SecretError) -> Stopped {
        self.supply.lacks(&self.connection.name, name, error, self.waited, self.context.now)
    }
}

/// The header that has `token`.
pub(in crate::flow) fn bearer(token: &SecretString) -> (String, SecretString) {
    ("authorization".to_owned(), secrets::prefixed("Bearer ", token))
}

/// The user who calls; `None` for a service, and for a token that names nobody.
pub(in crate::flow) fn acting_user(caller: &Caller, config: &Config) -> Option<User> {
    if caller.kind != Kind::User {
        return None;
    }
    let (_, issuer) = caller.origin.authority(config)?;
    let subject = caller.subject.clone().filter(|subject| !subject.is_empty())?;
    Some(User { issuer: issuer.to_owned(), tenant: caller.tenant.clone(), subject, client: caller.client.clone() })
}
