//! What all requests of one configuration share: the configuration itself, the issuers' keys, remembered
//! tokens, secrets. A new configuration gets a new one, so nothing of the old is believed.

use crate::config::{Agent, CertificateSource, Config, ConfigError, Connection, Demanded, Scheme};
use crate::credential::assertion::Signer;
use crate::credential::secrets::Secrets;
use crate::flow::event::call::Want;
use crate::flow::event::target::Target;
use crate::flow::request::conceal::Places;
use crate::flow::request::dropped::Dropped;
use crate::flow::request::inspect::Plans;
use crate::flow::request::matcher::Matcher;
use crate::flow::request::policy::Policy;
use crate::flow::setup::resource::Place;
use crate::flow::setup::statement::Statement;
use crate::flow::supply::seats::{Clients, Seat};
use crate::flow::supply::source::Lookup;
use crate::flow::supply::store::{Supply, Verifying};
use crate::identity::signature::Verifier;
use crate::ownership;
use crate::protocol::envelope::Questions;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Headers in which clients carry credentials of their own. On a call that leaves they were meant for somebody else.
const CLIENT_CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// Shared state of one configuration in one VM.
#[derive(Debug)]
pub struct Runtime {
    config: Rc<Config>,
    supply: Supply,
    matcher: Matcher,
    /// `None` where the agent's card is the policy.
    policies: Vec<Option<Rc<Policy>>>,
    /// Those of connections; `None` where nothing is asked of callers.
    callers: Vec<Option<Rc<Policy>>>,
    /// Looks at all that any scheme looks at.
    everything: Rc<Policy>,
    plans: Vec<Plans>,
    statements: Vec<Statement>,
    metadata: Vec<Option<Place>>,
    places: Places,
    /// The certificate of the connection matters.
    asks_peer: bool,
    credential_headers: BTreeSet<String>,
    /// By connection.
    dropped: Vec<Dropped>,
    /// The keys of owned tasks by agent; `None` where tasks are shared, or a key has no value.
    tag_keys: Vec<Option<Rc<ownership::Keys>>>,
    tag_plans: ownership::Plans,
    envelope: Rc<Questions>,
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

impl<'a> Context<'a> {
    /// How tokens are verified, and when.
    #[must_use]
    pub const fn verifying(&self) -> Verifying<'a> {
        Verifying { verifier: self.verifier, now: self.now }
    }
}

impl Runtime {
    /// Prepares `config`, whose secrets have these values.
    ///
    /// # Errors
    /// If keys in the configuration are no JWK Set, or a key of owned tasks is too short.
    pub fn new(config: Config, secrets: Secrets) -> Result<Self, ConfigError> {
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
        let metadata = config.agents.iter().map(Place::new).collect();
        let places = Places::new(&config);
        let asks_peer = config.schemes().values().filter_map(Scheme::certificate).any(CertificateSource::asks_connection);
        let matcher = Matcher::new(&config);
        let credential_headers = CLIENT_CREDENTIALS.into_iter().chain(config.credential_headers()).map(str::to_owned).collect();
        let dropped = Dropped::of(&config);
        let statement = |(index, agent)| Statement::new(&config, agent, &format!("agents[{index}]"));
        let statements = config.agents.iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        let plans = config.agents.iter().map(Plans::new).collect();
        let tag_keys = config.agents.iter().enumerate().map(|(index, agent)| tag_keys(index, agent, &secrets));
        let tag_keys = tag_keys.collect::<Result<_, _>>()?;
        let config = Rc::new(config);
        let supply = Supply::new(Rc::clone(&config), secrets)?;
        Ok(Self {
            config,
            supply,
            matcher,
            policies,
            callers,
            everything,
            plans,
            statements,
            metadata,
            places,
            asks_peer,
            credential_headers,
            dropped,
            tag_keys,
            tag_plans: ownership::Plans::default(),
            envelope: Rc::default(),
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is fetched and kept over requests.
    #[must_use]
    pub const fn supply(&self) -> &Supply {
        &self.supply
    }

    /// What an operator should know and is not in the log yet.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.supply.warnings();
        warnings.extend(self.matcher.warnings());
        warnings
    }

    /// The same with what signs client assertions.
    #[must_use]
    pub fn signing_with(self, signer: Rc<dyn Signer>) -> Self {
        Self { supply: self.supply.signing_with(signer), ..self }
    }

    /// The same, where remembered tokens are found by a hash with this seed, which callers cannot know.
    #[must_use]
    pub fn seeded(self, seed: u128) -> Self {
        Self { supply: self.supply.seeded(seed), ..self }
    }

    /// The same where clients can be told apart.
    #[must_use]
    pub fn telling_apart(self, clients: Rc<dyn Clients>) -> Self {
        Self { supply: self.supply.telling_apart(clients), ..self }
    }

    /// A place for a request to `target` that waits for `want`; `None` if it has to be refused.
    #[must_use]
    pub(in crate::flow) fn sit(&self, want: Want, target: Target, now: UnixTime) -> Option<Seat> {
        let scheme = match want {
            Want::Keys(issuer) => self.policy_at(target, now).ok().and_then(|policy| policy.scheme_of(issuer)),
            _ => None,
        };
        self.supply.sit(want, scheme)
    }

    /// Which agent or connection a request is for.
    #[must_use]
    pub const fn matcher(&self) -> &Matcher {
        &self.matcher
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
        match (self.policies.get(index), self.supply.source(index, now)) {
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
    pub fn metadata(&self) -> &[Option<Place>] {
        &self.metadata
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
