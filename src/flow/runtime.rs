//! What all requests of one configuration share: the configuration itself, the issuers' keys, remembered
//! tokens, secrets. A new configuration gets a new one, so nothing of the old is believed.

use super::authenticate::{Authentication, Policy};
use super::card::Statement;
use super::denial::{Denial, Reason};
use super::fetch::{Answer, Call, Want};
use super::inspect::Plans;
use super::metric::{self, Tally};
use super::source::{Lookup, Sources};
use crate::config::{Agent, Config, ConfigError, Credential, Demanded, Issuer, Jwks};
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
    sources: Sources,
    plans: Vec<Plans>,
    statements: Vec<Statement>,
    secrets: Secrets,
    credential_headers: BTreeSet<String>,
    /// A body came while headers were held: the proxy has the option that this needs.
    holds: Cell<bool>,
    keyrings: RefCell<Vec<Kept<KeySet>>>,
    remembered: RefCell<Remembered>,
    warnings: RefCell<Vec<String>>,
    /// Agents (by index) whose cards promise what nobody enforces: told once.
    told: RefCell<BTreeSet<usize>>,
    tally: Tally,
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
        let sources = Sources::new(&config)?;
        let warnings = sources.warnings(&config).collect();
        let configured = config.connections.iter().filter_map(|connection| match &connection.credential {
            Credential::Header(header) => Some(header.name.as_str()),
            Credential::None(_) => None,
        });
        let credential_headers = CLIENT_CREDENTIALS.into_iter().chain(configured).map(str::to_owned).collect();
        let statement = |(index, agent)| Statement::new(&config, agent, &format!("agents[{index}]"));
        let statements = config.agents.iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        let plans = config.agents.iter().map(Plans::new).collect();
        Ok(Self {
            config,
            policies,
            sources,
            plans,
            statements,
            secrets,
            credential_headers,
            keyrings: RefCell::new(keyrings),
            remembered: RefCell::default(),
            holds: Cell::new(false),
            warnings: RefCell::new(warnings),
            told: RefCell::default(),
            tally: Tally::default(),
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

    /// What is counted here.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The ages of the keys that were fetched, in seconds, by gauge.
    #[must_use]
    pub fn ages(&self, now: UnixTime) -> Vec<(String, u64)> {
        let keyrings = self.keyrings.borrow();
        let age = |(issuer, keyring): (&Issuer, &Kept<KeySet>)| Some((metric::keys_age(&issuer.name), keyring.age(now)?.as_secs()));
        self.config.issuers.iter().zip(keyrings.iter()).filter_map(age).collect()
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
            Tally::add(&self.tally.remembered, 1);
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
        Tally::add(&self.tally.examined, 1);
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

    /// A refusal for a bad token at agent `index`, with what a client needs to get a better one.
    #[must_use]
    pub fn unauthenticated(&self, index: usize, reason: Reason, now: UnixTime) -> Denial {
        let mut denial = Denial::new(reason);
        if let Ok(policy) = self.policy(index, now) {
            denial.scopes = policy.demand.first_scopes();
            let audience = || policy.issuers.first().and_then(|issuer| self.config.issuers.get(*issuer)?.audiences.first());
            if let (Reason::TokenAudienceMismatch, Some(audience)) = (reason, audience()) {
                denial = denial.advise(format!("The token was issued for another audience: ask for one for {audience}."));
            }
        }
        match self.config.agents.get(index) {
            Some(agent) => denial.at(&agent.name),
            None => denial,
        }
    }
}
