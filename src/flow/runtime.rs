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
use super::metadata;
use super::source::{Lookup, Sources};
use crate::config::{Agent, CertificateSource, Config, ConfigError, Credential, Demanded, Jwks, Scheme};
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
    /// `None` where the agent's card is the policy.
    policies: Vec<Option<Rc<Policy>>>,
    /// Looks at all that any scheme looks at.
    everything: Rc<Policy>,
    sources: Sources,
    plans: Vec<Plans>,
    statements: Vec<Statement>,
    metadata: Vec<Option<metadata::Place>>,
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
    warnings: RefCell<Vec<String>>,
    /// Agents (by index) whose cards promise what nobody enforces: told once.
    told: RefCell<BTreeSet<usize>>,
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
        let policy = |agent: &Agent| match &agent.security {
            Demanded::FromCard => None,
            Demanded::Requirements(list) => {
                Some(Rc::new(Policy::new(&config, list.iter().map(|requirement| &requirement.0), std::iter::empty())))
            }
        };
        let policies = config.agents.iter().map(policy).collect();
        let everything = Rc::new(Policy::of_everything(&config));
        let metadata = config.agents.iter().map(metadata::Place::new).collect();
        let places = Places::new(&config);
        let asks_peer = config.schemes().values().filter_map(Scheme::certificate).any(CertificateSource::asks_connection);
        let sources = Sources::new(&config)?;
        let warnings = sources.warnings(&config).collect();
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
            everything,
            sources,
            plans,
            statements,
            metadata,
            places,
            asks_peer,
            secrets,
            credential_headers,
            keyrings: RefCell::new(keyrings),
            remembered: RefCell::default(),
            introspections: RefCell::default(),
            holds: Cell::new(false),
            warnings: RefCell::new(warnings),
            told: RefCell::default(),
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
    ///
    /// # Errors
    /// Why that is not known: its card has to say it.
    pub fn policy(&self, index: usize, now: UnixTime) -> Result<Rc<Policy>, Lookup> {
        match (self.policies.get(index), self.sources.find(index, now)) {
            (Some(Some(policy)), _) => Ok(Rc::clone(policy)),
            (_, Lookup::Here(source)) => source.declared.as_ref().map(|(_, policy)| Rc::clone(policy)).ok_or(Lookup::Unavailable),
            (_, missing) => Err(missing),
        }
    }

    /// A policy that looks at all that any scheme looks at.
    #[must_use]
    pub fn everything(&self) -> Rc<Policy> {
        Rc::clone(&self.everything)
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

    /// The places of the agents' metadata, by index.
    #[must_use]
    pub fn metadata(&self) -> &[Option<metadata::Place>] {
        &self.metadata
    }

    pub(super) const fn introspections(&self) -> &RefCell<Introspections> {
        &self.introspections
    }

    /// The card of agent `index` that is at hand.
    #[must_use]
    pub fn source(&self, index: usize, now: UnixTime) -> Lookup {
        self.sources.find(index, now)
    }

    /// What an operator should know and has not been told.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.borrow_mut())
    }

    /// Tells once that the card of agent `index` promises security for skills that nobody enforces.
    pub fn warn_of_skills(&self, index: usize, skills: &[&str]) {
        if !skills.is_empty() && self.told.borrow_mut().insert(index) {
            let name = self.config.agents.get(index).map_or("", |agent| &agent.name);
            self.warnings.borrow_mut().push(format!(
                "the card of agent {name:?} promises security for skills ({:?}) that no rule enforces: it is left out of what is published",
                skills.join(" ")
            ));
        }
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
        let keys = keyrings.iter().enumerate().filter(|(_, keyring)| keyring.is_due(now)).map(|(index, _)| Want::Keys(index));
        keys.chain(self.sources.due(now)).collect()
    }

    /// Begins a fetch: the call to make, or `None` if one is under way or there is nothing to fetch.
    pub fn begin(&self, want: Want, now: UnixTime) -> Option<Call> {
        match want {
            Want::Keys(index) => {
                let Jwks::Remote(remote) = &self.config.issuers.get(index)?.jwks else { return None };
                let begins = self.keyrings.borrow_mut().get_mut(index)?.begin(now);
                begins.then(|| Call::get(remote, "application/jwk-set+json, application/json", MAX_SET_BYTES))
            }
            Want::Card(index) => self.sources.begin(index, &self.config, now),
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
            Want::Card(index) => match self.sources.complete(index, answer, &self.config, now) {
                Ok(warning) => {
                    self.warnings.borrow_mut().extend(warning);
                    Ok(())
                }
                Err(error) => {
                    let name = self.config.agents.get(index).map_or("", |agent| &agent.name);
                    Err(format!("agents[{index}].card.source.remote: no card of {name:?} could be fetched: {error}"))
                }
            },
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
    pub fn unauthenticated(&self, index: usize, reason: Reason, now: UnixTime) -> Denial {
        let mut denial = self.at(index, Denial::new(reason), now);
        if let Ok(policy) = self.policy(index, now) {
            denial.scopes = policy.demand.first_scopes();
            let audience = || policy.issuers.first().and_then(|issuer| self.config.issuers.get(*issuer)?.audiences.first());
            if let (Reason::TokenAudienceMismatch, Some(audience)) = (reason, audience()) {
                denial = denial.advise(format!("The token was issued for another audience: ask for one for {audience}."));
            }
        }
        match (reason, denial.challenges.clone()) {
            (Reason::CredentialsMissing, Some(challenges)) => denial.advise(challenges.advice()),
            (Reason::CredentialsRepeated, Some(challenges)) if !challenges.keys.is_empty() || challenges.passwords => {
                denial.advise("Send one Authorization header at most, and each API key once.")
            }
            _ => denial,
        }
    }

    /// `denial` at agent `index`, with its challenges.
    #[must_use]
    pub fn at(&self, index: usize, denial: Denial, now: UnixTime) -> Denial {
        let denial = match self.config.agents.get(index) {
            Some(agent) => denial.at(&agent.name),
            None => denial,
        };
        // Only these have challenges; the others are made for requests that are never refused, too.
        let (true, Ok(policy)) = (matches!(denial.reason.http_status(), 401 | 403), self.policy(index, now)) else { return denial };
        let metadata = self.metadata.get(index).and_then(Option::as_ref).filter(|_| policy.takes_tokens());
        let challenges: Challenges = policy.challenges(&self.config, metadata.map(metadata::Place::url));
        let denial = match denial.reason {
            Reason::InsufficientScope if !challenges.tokens => denial.advise("This caller lacks a scope: ask the agent's operator."),
            _ => denial,
        };
        Denial { challenges: Some(Rc::new(challenges)), ..denial }
    }
}
