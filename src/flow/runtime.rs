//! What all requests of one configuration share: the configuration itself, the issuers' keys, remembered
//! tokens, secrets. A new configuration gets a new one, so nothing of the old is believed.

use super::authenticate::{Authentication, Policy};
use super::card::Statement;
use super::challenge::Challenges;
use super::conceal::Places;
use super::denial::{Denial, Reason};
use super::fetch::{Answer, Call, Want};
use super::inspect::Plans;
use super::introspect::Introspections;
use super::metadata::Metadata;
use crate::config::{Agent, CertificateSource, Config, ConfigError, Credential, Jwks, Scheme};
use crate::credential::secrets::Secrets;
use crate::identity::Origin;
use crate::identity::jwk::{JwkSetError, KeySet, MAX_SET_BYTES};
use crate::identity::remembered::Remembered;
use crate::identity::signature::Verifier;
use crate::identity::verify;
use crate::wire::kept::{Kept, Wait};
use crate::wire::time::UnixTime;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Headers in which clients carry credentials of their own. On a call that leaves they were meant for somebody else.
const CLIENT_CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// Shared state of one configuration in one VM.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    policies: Vec<Rc<Policy>>,
    plans: Vec<Plans>,
    statements: Vec<Statement>,
    challenges: Vec<Rc<Challenges>>,
    metadata: Vec<Option<Metadata>>,
    places: Places,
    /// The certificate of the connection matters.
    asks_peer: bool,
    secrets: Secrets,
    credential_headers: BTreeSet<String>,
    /// A body came while headers were held: the proxy has the option that this needs.
    holds: Cell<bool>,
    keyrings: RefCell<Vec<Kept<KeySet>>>,
    remembered: RefCell<Remembered>,
    introspections: RefCell<Introspections>,
}

/// What a state machine is given besides the event.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Shared state.
    pub runtime: &'a Runtime,
    /// How signatures are verified here.
    pub verifier: &'a dyn Verifier,
    /// The time of the event.
    pub now: UnixTime,
}

impl Runtime {
    /// Prepares `config`, whose secrets have these values.
    ///
    /// # Errors
    /// If keys in the configuration are no JWK Set.
    pub fn new(config: Config, secrets: Secrets) -> Result<Self, ConfigError> {
        let keyring = |(index, issuer): (usize, &crate::config::Issuer)| match &issuer.jwks {
            Jwks::Remote(remote) => Ok(Kept::remote(remote.refresh, remote.max_stale)),
            Jwks::Inline(set) => KeySet::parse(set.to_string().as_bytes())
                .map(Kept::inline)
                .map_err(|error: JwkSetError| ConfigError::new(format!("issuers[{index}].jwks.inline"), error.to_string())),
        };
        let keyrings = config.issuers.iter().enumerate().map(keyring).collect::<Result<_, _>>()?;
        let policy = |agent: &crate::config::Agent| {
            Rc::new(Policy::new(&config, agent.security.iter().map(|requirement| &requirement.0), std::iter::empty()))
        };
        let policies: Vec<Rc<Policy>> = config.agents.iter().map(policy).collect();
        let metadata: Vec<Option<Metadata>> =
            config.agents.iter().zip(&policies).map(|(agent, policy)| Metadata::new(&config, agent, policy)).collect();
        let challenge = |(policy, metadata): (&Rc<Policy>, &Option<Metadata>)| {
            let metadata = metadata.as_ref().map(|metadata| metadata.url.clone());
            Rc::new(Challenges { metadata, ..policy.challenges(&config) })
        };
        let challenges = policies.iter().zip(&metadata).map(challenge).collect();
        let places = Places::new(&config);
        let asks_peer = config.schemes().values().filter_map(Scheme::certificate).any(CertificateSource::asks_connection);
        let configured = config.connections.iter().filter_map(|connection| match &connection.credential {
            Credential::Header(header) => Some(header.name.as_str()),
            Credential::None(_) => None,
        });
        let credential_headers =
            CLIENT_CREDENTIALS.into_iter().chain(configured).map(str::to_owned).chain(places.headers().cloned()).collect();
        let statement = |(index, agent)| Statement::new(&config, agent, &format!("agents[{index}]"));
        let statements = config.agents.iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        let plans = config.agents.iter().map(Plans::new).collect();
        Ok(Self {
            config,
            policies,
            plans,
            statements,
            challenges,
            metadata,
            places,
            asks_peer,
            secrets,
            credential_headers,
            keyrings: RefCell::new(keyrings),
            remembered: RefCell::default(),
            introspections: RefCell::default(),
            holds: Cell::new(false),
        })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The secrets.
    #[must_use]
    pub const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Headers in which credentials travel: those that clients use, and those of every connection.
    #[must_use]
    pub const fn credential_headers(&self) -> &BTreeSet<String> {
        &self.credential_headers
    }

    /// What agent `index` asks of callers.
    #[must_use]
    pub fn policy(&self, index: usize) -> Option<Rc<Policy>> {
        self.policies.get(index).cloned()
    }

    /// A body came while headers were held.
    pub fn note_hold(&self) {
        self.holds.set(true);
    }

    /// Whether response headers can be held: only if it is known that the proxy has the option, because without it a
    /// held response never ends.
    #[must_use]
    pub const fn can_hold_responses(&self) -> bool {
        self.config.hold_headers && self.holds.get()
    }

    /// What is stated of agent `index`.
    #[must_use]
    pub fn statement(&self, index: usize) -> Option<&Statement> {
        self.statements.get(index)
    }

    /// Whether requests should bring the certificate of their connection.
    #[must_use]
    pub const fn asks_peer(&self) -> bool {
        self.asks_peer
    }

    /// Where API keys are.
    #[must_use]
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// The agents that have metadata, with it.
    pub fn metadata(&self) -> impl Iterator<Item = (&Agent, &Metadata)> {
        self.config.agents.iter().zip(&self.metadata).filter_map(|(agent, metadata)| Some((agent, metadata.as_ref()?)))
    }

    pub(super) const fn introspections(&self) -> &RefCell<Introspections> {
        &self.introspections
    }

    /// What is asked of the bodies of requests to agent `index`.
    #[must_use]
    pub fn plans(&self, index: usize) -> Option<&Plans> {
        self.plans.get(index)
    }

    /// Verifies `token` for an agent that takes tokens of `accepted` issuers. With `may_wait`, missing keys are waited
    /// for once.
    #[must_use]
    pub fn authenticate(&self, accepted: &[usize], token: &str, may_wait: bool, context: &Context<'_>) -> Authentication {
        let now = context.now;
        let remembered = self.remembered.borrow_mut().recall(token, now);
        if let Some(caller) = remembered
            && let Origin::Issuer(issuer) = caller.origin
            // A verdict is worth no more than its key: beyond max_stale neither counts.
            && self.keyrings.borrow().get(issuer).is_some_and(|keyring| keyring.usable(now).is_some())
        {
            let known = accepted.contains(&issuer);
            return if known { Authentication::Caller(caller) } else { Authentication::Refused(Reason::TokenIssuerUnknown) };
        }
        let token_parts = match verify::open(token, &self.config.issuers, accepted) {
            Ok(parts) => parts,
            Err(error) => return Authentication::Refused(error.into()),
        };
        let index = token_parts.issuer;
        let keyrings = self.keyrings.borrow();
        let (Some(keyring), Some(issuer)) = (keyrings.get(index), self.config.issuers.get(index)) else {
            return Authentication::Refused(Reason::TokenIssuerUnknown);
        };
        let Some(keys) = keyring.usable(now) else {
            return match keyring.wait_for_any(now) {
                Wait::ForFetch if may_wait => Authentication::Wait(Want::Keys(index)),
                Wait::ForFetch | Wait::Never => Authentication::Refused(Reason::KeysUnavailable),
            };
        };
        if may_wait && !token_parts.has_key(&keys) && keyring.wait_for_another(now) == Wait::ForFetch {
            return Authentication::Wait(Want::Keys(index));
        }
        drop(keyrings);
        match token_parts.verify(issuer, &keys, context.verifier, now) {
            Ok(caller) => {
                let caller = Rc::new(caller);
                let until = caller.expires.plus(issuer.clock_skew);
                self.remembered.borrow_mut().remember(token, Rc::clone(&caller), until);
                Authentication::Caller(caller)
            }
            Err(error) => Authentication::Refused(error.into()),
        }
    }

    /// What should be fetched now, without anyone asking.
    #[must_use]
    pub fn due(&self, now: UnixTime) -> Vec<Want> {
        let keyrings = self.keyrings.borrow();
        keyrings.iter().enumerate().filter(|(_, keyring)| keyring.is_due(now)).map(|(index, _)| Want::Keys(index)).collect()
    }

    /// Begins a fetch: the call to make, or `None` if one is under way or there is nothing to fetch.
    pub fn begin(&self, want: Want, now: UnixTime) -> Option<Call> {
        match want {
            Want::Keys(index) => {
                let Jwks::Remote(remote) = &self.config.issuers.get(index)?.jwks else { return None };
                let begins = self.keyrings.borrow_mut().get_mut(index)?.begin(now);
                begins.then(|| Call::get(remote, "application/jwk-set+json, application/json", MAX_SET_BYTES))
            }
            Want::Card(_) => None,
            Want::Introspection(key) => self.begin_introspection(&key),
        }
    }

    /// Ends a fetch.
    ///
    /// # Errors
    /// What was wrong with the answer, for the log. What was there before stays.
    pub fn complete(&self, want: Want, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        match want {
            Want::Keys(index) => self.complete_keys(index, answer, now).map_err(|error| {
                let name = self.config.issuers.get(index).map_or("", |issuer| &issuer.name);
                format!("issuers[{index}].jwks.remote: no keys of {name:?} could be fetched: {error}")
            }),
            Want::Card(_) => Ok(()),
            Want::Introspection(key) => self.complete_introspection(&key, answer, now),
        }
    }

    fn complete_keys(&self, index: usize, answer: Answer<'_>, now: UnixTime) -> Result<(), String> {
        let keys = match answer {
            Ok((200, body)) => KeySet::parse(body).map_err(|error| error.to_string()),
            Ok((status, _)) => Err(format!("answered with status {status}")),
            Err(error) => Err(error),
        };
        let failed = keys.as_ref().err().cloned();
        if let Some(keyring) = self.keyrings.borrow_mut().get_mut(index)
            && keyring.complete(now, keys)
        {
            self.remembered.borrow_mut().forget(index);
        }
        failed.map_or(Ok(()), Err)
    }

    /// A refusal of a credential, or for want of one, at agent `index`, with what a client needs to get a better one.
    #[must_use]
    pub fn unauthenticated(&self, index: usize, reason: Reason) -> Denial {
        let mut denial = Denial::new(reason);
        if let Some(policy) = self.policies.get(index) {
            denial.scopes = policy.demand.first_scopes();
            let audience = || policy.issuers.first().and_then(|issuer| self.config.issuers.get(*issuer)?.audiences.first());
            if let (Reason::TokenAudienceMismatch, Some(audience)) = (reason, audience()) {
                denial = denial.advise(format!("The token was issued for another audience: ask for one for {audience}."));
            }
        }
        match (reason, self.challenges.get(index)) {
            (Reason::CredentialsMissing, Some(challenges)) => denial = denial.advise(challenges.advice()),
            (Reason::CredentialsRepeated, Some(challenges)) if !challenges.keys.is_empty() || challenges.passwords => {
                denial = denial.advise("Send one Authorization header at most, and each API key once.");
            }
            _ => {}
        }
        self.at(index, denial)
    }

    /// `denial` at agent `index`, with its challenges.
    #[must_use]
    pub fn at(&self, index: usize, denial: Denial) -> Denial {
        let denial = match self.config.agents.get(index) {
            Some(agent) => denial.at(&agent.name),
            None => denial,
        };
        let challenges = self.challenges.get(index).cloned();
        let denial = match (&challenges, denial.reason) {
            (Some(challenges), Reason::InsufficientScope) if !challenges.tokens => {
                denial.advise("This caller lacks a scope: ask the agent's operator.")
            }
            _ => denial,
        };
        Denial { challenges, ..denial }
    }
}
