//! What all requests of one configuration share: the configuration itself, the issuers' keys, remembered
//! tokens, secrets. A new configuration gets a new one, so nothing of the old is believed.

use super::authenticate::Policy;
use super::card::Statement;
use super::conceal::Places;
use super::dropped::Dropped;
use super::event::Effect;
use super::fetch::{Answer, Call, Want};
use super::head::Target;
use super::inspect::Plans;
use super::introspect::Introspections;
use super::keys::Keyrings;
use super::matcher::Matcher;
use super::metadata;
use super::metric::{self, Tally};
use super::seats::{Clients, Seats};
use super::shared::Terms;
use super::source::{Lookup, Sources};
use super::tokens::Outgoing;
use crate::config::{Agent, CertificateSource, Config, ConfigError, Connection, Demanded, Issuer, Scheme};
use crate::credential::secrets::Secrets;
use crate::identity::remembered::Remembered;
use crate::identity::signature::Verifier;
use crate::ownership;
use crate::protocol::envelope::Questions;
use crate::wire::caching::Caching;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Headers in which clients carry credentials of their own. On a call that leaves they were meant for somebody else.
const CLIENT_CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// Shared state of one configuration in one VM.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    matcher: Matcher,
    /// `None` where the agent's card is the policy.
    policies: Vec<Option<Rc<Policy>>>,
    /// Those of connections; `None` where nothing is asked of callers.
    callers: Vec<Option<Rc<Policy>>>,
    /// Looks at all that any scheme looks at.
    everything: Rc<Policy>,
    sources: Sources,
    plans: Vec<Plans>,
    statements: Vec<Statement>,
    pub(super) outgoing: Outgoing,
    metadata: Vec<Option<metadata::Place>>,
    places: Places,
    /// The certificate of the connection matters.
    asks_peer: bool,
    credential_headers: BTreeSet<String>,
    /// By connection.
    dropped: Vec<Dropped>,
    /// A body came while headers were held: the proxy has the option that this needs.
    holds: Cell<bool>,
    pub(super) keyrings: RefCell<Keyrings>,
    pub(super) remembered: RefCell<Remembered>,
    /// The keys of owned tasks by agent; `None` where tasks are shared, or a key has no value.
    tag_keys: Vec<Option<Rc<ownership::Keys>>>,
    tag_plans: ownership::Plans,
    envelope: Rc<Questions>,
    introspections: RefCell<Introspections>,
    pub(super) warnings: RefCell<Vec<String>>,
    pub(super) seats: Rc<RefCell<Seats>>,
    /// `None`: clients cannot be told apart.
    pub(super) clients: Option<Rc<dyn Clients>>,
    /// Agents (by index) whose cards promise what nobody enforces: told once.
    told: RefCell<BTreeSet<usize>>,
    tally: Tally,
    lowest_log_level: Cell<u32>,
    /// An empty list that has room.
    spare: RefCell<Vec<Effect>>,
}

/// Most effects that the spare list has room for.
const MOST_SPARE: usize = 64;

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
    /// If keys in the configuration are no JWK Set, or a key of owned tasks is too short.
    pub fn new(config: Config, secrets: Secrets) -> Result<Self, ConfigError> {
        let keyrings = Keyrings::new(&config, &secrets)?;
        let policy = |agent: &Agent| match &agent.security {
            Demanded::FromCard => None,
            Demanded::Requirements(list) => {
                Some(Rc::new(Policy::new(&config, list.iter().map(|requirement| &requirement.0), std::iter::empty())))
            }
        };
        let policies = config.agents.iter().map(policy).collect();
        let caller = |connection: &Connection| {
            let list = connection.security.as_ref()?.requirements();
            Some(Rc::new(Policy::new(&config, list.iter().map(|requirement| &requirement.0), std::iter::empty())))
        };
        let callers = config.connections.iter().map(caller).collect();
        let everything = Rc::new(Policy::of_everything(&config));
        let metadata = config.agents.iter().map(metadata::Place::new).collect();
        let places = Places::new(&config);
        let asks_peer = config.schemes().values().filter_map(Scheme::certificate).any(CertificateSource::asks_connection);
        let sources = Sources::new(&config)?;
        let warnings = sources.warnings(&config).chain(keyrings.warnings(&config)).collect();
        let matcher = Matcher::new(&config);
        let credential_headers = CLIENT_CREDENTIALS.into_iter().chain(config.credential_headers()).map(str::to_owned).collect();
        let dropped = Dropped::of(&config);
        let statement = |(index, agent)| Statement::new(&config, agent, &format!("agents[{index}]"));
        let statements = config.agents.iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        let plans = config.agents.iter().map(Plans::new).collect();
        let tag_keys = config.agents.iter().enumerate().map(|(index, agent)| tag_keys(index, agent, &secrets));
        let tag_keys = tag_keys.collect::<Result<_, _>>()?;
        let outgoing = Outgoing::new(&config, secrets)?;
        Ok(Self {
            config,
            matcher,
            policies,
            callers,
            everything,
            sources,
            plans,
            statements,
            outgoing,
            metadata,
            places,
            asks_peer,
            credential_headers,
            dropped,
            keyrings: RefCell::new(keyrings),
            remembered: RefCell::default(),
            introspections: RefCell::default(),
            seats: Rc::default(),
            clients: None,
            holds: Cell::new(false),
            tag_keys,
            tag_plans: ownership::Plans::default(),
            envelope: Rc::default(),
            warnings: RefCell::new(warnings),
            told: RefCell::default(),
            tally: Tally::default(),
            lowest_log_level: Cell::default(),
            spare: RefCell::default(),
        })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Which agent or connection a request is for.
    #[must_use]
    pub const fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// The secrets.
    #[must_use]
    pub fn secrets(&self) -> Ref<'_, Secrets> {
        self.outgoing.secrets.borrow()
    }

    /// Headers in which credentials travel: those that clients use, and those of every connection.
    #[must_use]
    pub const fn credential_headers(&self) -> &BTreeSet<String> {
        &self.credential_headers
    }

    /// What calls of connection `index` do not take along.
    #[must_use]
    pub fn dropped(&self, index: usize) -> Option<&Dropped> {
        self.dropped.get(index)
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

    /// What connection `index` asks of callers, if it asks anything.
    #[must_use]
    pub fn callers(&self, index: usize) -> Option<Rc<Policy>> {
        self.callers.get(index)?.clone()
    }

    /// What is asked of callers at `target`.
    ///
    /// # Errors
    /// Why that is not known, or that nothing is.
    pub fn policy_at(&self, target: Target, now: UnixTime) -> Result<Rc<Policy>, Lookup> {
        match target {
            Target::Agent(index) => self.policy(index, now),
            Target::Connection(index) => self.callers(index).ok_or(Lookup::Unavailable),
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
        let mut warnings = std::mem::take(&mut *self.warnings.borrow_mut());
        warnings.extend(self.matcher.warnings());
        warnings
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

    /// The lowest [`Level::number`](super::Level::number) that the proxy writes to its log.
    #[must_use]
    pub const fn lowest_log_level(&self) -> u32 {
        self.lowest_log_level.get()
    }

    /// The proxy writes nothing below `number` to its log.
    pub fn set_lowest_log_level(&self, number: u32) {
        self.lowest_log_level.set(number);
    }

    /// The same, where remembered tokens are found by a hash with this seed, which callers cannot know.
    #[must_use]
    pub fn seeded(self, seed: u128) -> Self {
        Self { remembered: RefCell::new(Remembered::default().seeded(seed)), ..self }
    }

    /// A list for what an event brings about.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.spare.take()
    }

    /// Takes a list back whose effects are done, so that the next event needs no new one.
    pub fn recycle(&self, mut effects: Vec<Effect>) {
        if effects.capacity() <= MOST_SPARE {
            effects.clear();
            self.spare.replace(effects);
        }
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
        let age = |(index, issuer): (usize, &Issuer)| Some((metric::keys_age(&issuer.name), keyrings.age(index, now)?.as_secs()));
        self.config.issuers.iter().enumerate().filter_map(age).collect()
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

    /// The keys of agent `index`, whose tasks are owned.
    #[must_use]
    pub fn tag_keys(&self, index: usize) -> Option<Rc<ownership::Keys>> {
        self.tag_keys.get(index)?.clone()
    }

    /// Where bodies name tasks.
    #[must_use]
    pub const fn tag_plans(&self) -> &ownership::Plans {
        &self.tag_plans
    }

    /// What is asked of a JSON-RPC body of which only the envelope matters.
    #[must_use]
    pub fn envelope(&self) -> Rc<Questions> {
        Rc::clone(&self.envelope)
    }

    /// What should be fetched now, without anyone asking.
    #[must_use]
    pub fn due(&self, now: UnixTime) -> Vec<Want> {
        self.keyrings
            .borrow()
            .due(now)
            .map(Want::Keys)
            .chain(self.sources.due(now))
            .chain(self.due_credentials(now))
            .chain(self.due_remotes(now))
            .chain(self.due_questions())
            .collect()
    }

    /// Begins a fetch: the call to make, or `None` if one is under way or there is nothing to fetch.
    pub fn begin(&self, want: Want, now: UnixTime) -> Option<Call> {
        match want {
            Want::Keys(index) => self.keyrings.borrow_mut().begin(index, self.config.issuers.get(index)?, now),
            Want::Card(index) => self.sources.begin(index, &self.config, now),
            Want::Introspection(key) => self.begin_introspection(&key),
            Want::Secret(index) => self.begin_secret(index, now),
            Want::Token(key) => self.begin_token(&key, now),
            Want::RemoteCard(index) => self.begin_remote(index, now),
        }
    }

    /// The call that follows the one that was just completed, if the fetch takes several: it has not ended then.
    pub fn proceed(&self, want: Want) -> Option<Call> {
        match want {
            Want::Keys(index) => self.keyrings.borrow_mut().proceed(index, self.config.issuers.get(index)?),
            Want::Card(_) | Want::Introspection(_) | Want::Secret(_) | Want::Token(_) | Want::RemoteCard(_) => None,
        }
    }

    /// Ends a fetch. `caching` is what the answer's headers say; only cards of remote agents go by it ([`Runtime::heeds_caching`]).
    ///
    /// # Errors
    /// What was wrong with the answer, for the log. What was there before stays.
    pub fn complete(&self, want: Want, answer: Answer<'_>, caching: &Caching, now: UnixTime) -> Result<(), String> {
        match want {
            Want::Keys(index) => self.complete_keys(index, now, |keyrings, issuer| keyrings.complete(index, issuer, answer, now)),
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
            Want::Secret(index) => self.complete_secret(index, answer, now),
            Want::Token(key) => self.complete_token(&key, answer, now),
            Want::RemoteCard(index) => self.complete_remote(index, answer, caching, now),
        }
    }

    /// Whether what is fetched says itself how long it is kept.
    #[must_use]
    pub const fn heeds_caching(want: Want) -> bool {
        matches!(want, Want::RemoteCard(_))
    }

    /// Everything that workers share.
    pub fn shared(&self) -> impl Iterator<Item = Want> {
        (0..self.config.issuers.len()).map(Want::Keys).filter(|want| self.terms(*want).is_some())
    }

    /// What workers note for each other of this, if it is anything that all may have.
    pub fn terms(&self, want: Want) -> Option<Terms> {
        match want {
            Want::Keys(index) => self.keyrings.borrow().terms(index, self.config.issuers.get(index)?),
            Want::Card(_) | Want::Introspection(_) | Want::Secret(_) | Want::Token(_) | Want::RemoteCard(_) => None,
        }
    }

    /// Ends a fetch with what another worker fetched at `at`.
    ///
    /// # Errors
    /// As [`Runtime::complete`].
    pub fn adopt(&self, want: Want, answer: Answer<'_>, at: UnixTime) -> Result<(), String> {
        match want {
            Want::Keys(index) => self.complete_keys(index, at, |keyrings, issuer| keyrings.adopt(index, issuer, answer, at)),
            Want::Card(_) | Want::Introspection(_) | Want::Secret(_) | Want::Token(_) | Want::RemoteCard(_) => Ok(()),
        }
    }
}

/// Fewest characters of a key of owned tasks.
const MIN_TAG_KEY: usize = 32;

/// The keys of an agent's owned tasks. All of them or none: an id that one of them signed would else be nobody's.
fn tag_keys(index: usize, agent: &Agent, secrets: &Secrets) -> Result<Option<Rc<ownership::Keys>>, ConfigError> {
    let Some(owned) = agent.tasks.owned() else { return Ok(None) };
    let mut keys = Vec::new();
    for (place, key) in owned.keys.iter().enumerate() {
        match secrets.value(&key.secret) {
            Ok(value) if value.expose_secret().len() < MIN_TAG_KEY => {
                let at = format!("agents[{index}].tasks.owned.keys[{place}].secret");
                return Err(ConfigError::new(at, format!("{:?} has fewer than {MIN_TAG_KEY} characters", key.secret)));
            }
            Ok(value) => keys.push((key.id.as_str(), value)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(Rc::new(ownership::Keys::new(keys.into_iter()))))
}
