//! What all requests of one configuration share: the configuration itself, the issuers' keys, remembered
//! tokens, secrets. A new configuration gets a new one, so nothing of the old is believed.

use crate::config::{CertificateSource, Config, ConfigError, Scheme};
use crate::credential::secrets::Secrets;
use crate::credential::signing::Signer;
use crate::flow::event::call::Want;
use crate::flow::event::target::Target;
use crate::flow::request::conceal::Places;
use crate::flow::request::dropped::Dropped;
use crate::flow::request::facts::tells;
use crate::flow::request::matcher::Matcher;
use crate::flow::request::policy::Policy;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::connection::Connection;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::signing;
use crate::flow::setup::webhook::Webhook;
use crate::flow::supply::board::Board;
use crate::flow::supply::seats::{Clients, Seat};
use crate::flow::supply::store::{Supply, Verifying};
use crate::identity::signature::Verifier;
use crate::ownership;
use crate::ownership::Naming;
use crate::policy::{remote_text, revealed};
use crate::protocol::envelope::Questions;
use crate::protocol::notification::Notifications;
use crate::protocol::task_state;
use crate::wire::path;
use crate::wire::sorted::SortedSet;
use crate::wire::time::UnixTime;
use std::rc::Rc;

/// Headers in which clients carry credentials of their own. On a call that leaves they were meant for somebody else.
const CLIENT_CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// Shared state of one configuration in one VM.
#[derive(Debug)]
pub struct Runtime {
    config: Rc<Config>,
    supply: Supply,
    matcher: Matcher,
    agents: Vec<Rc<Agent>>,
    connections: Vec<Rc<Connection>>,
    webhooks: Vec<Rc<Webhook>>,
    /// Looks at all that any scheme looks at.
    everything: Rc<Policy>,
    places: Places,
    /// The certificate of the connection matters.
    asks_peer: bool,
    credential_headers: SortedSet<String>,
    envelope: Rc<Questions>,
    notifications: Rc<Notifications>,
    task_states: Option<Rc<task_state::Plans>>,
    /// What is asked of answers of remote agents, where they are read.
    remote_texts: Option<Rc<remote_text::Plans>>,
    /// What messages are searched for that leave.
    revealed: revealed::Plans,
    /// The host below which links of ours lie.
    consent_host: Option<String>,
    /// Only where calls go as their users.
    naming: Option<Naming>,
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
    /// If keys in the configuration are no JWK Set, or a key that we sign with is too short.
    pub fn new(config: Config, secrets: Secrets) -> Result<Self, ConfigError> {
        let everything = Rc::new(Policy::of_everything(&config));
        let places = Places::new(&config);
        let asks_peer = config.schemes().values().filter_map(Scheme::certificate).any(CertificateSource::asks_connection);
        let matcher = Matcher::new(&config);
        let credential_headers = CLIENT_CREDENTIALS.into_iter().chain(config.credential_headers()).map(str::to_owned).collect();
        let mut plans: Vec<(Option<&str>, Rc<ownership::Plans>)> = Vec::new();
        let mut agents = Vec::with_capacity(config.agents.len());
        for (index, own) in config.agents.iter().enumerate() {
            let mark = own.tasks.owned().and_then(|owned| owned.mark.as_ref()).map(|mark| mark.metadata_key.as_str());
            let known = plans.iter().find(|(own, _)| *own == mark).map(|(_, plans)| Rc::clone(plans));
            let plans = known.unwrap_or_else(|| {
                let new = Rc::new(ownership::Plans::new(mark));
                plans.push((mark, Rc::clone(&new)));
                new
            });
            agents.push(Rc::new(Agent::new(index, own, &config, &secrets, plans)?));
        }
        let connections = config.connections.iter().zip(Dropped::of(&config)).enumerate();
        let connections = connections.map(|(index, (own, dropped))| Connection::new(index, own, dropped, &config, &secrets).map(Rc::new));
        let connections = connections.collect::<Result<_, _>>()?;
        let webhooks = config.webhooks.iter().enumerate();
        let webhooks = webhooks.map(|(index, own)| Webhook::new(index, own, &config, &secrets).map(Rc::new)).collect::<Result<_, _>>()?;
        let notifications = Rc::default();
        config.published_keys.as_ref().map_or(Ok(()), signing::check_published)?;
        let task_states = config.audit.auth_required.then(Rc::default);
        let is_read = config.audit.auth_required || config.consent.is_some() || config.connections.iter().any(|own| own.strips_links());
        let remote_texts = (is_read && !config.connections.is_empty()).then(Rc::default);
        let consent_host = config.consent.as_ref().and_then(|consent| path::host(consent.public_url.authority()));
        let naming = config.consent.is_some().then(Naming::default);
        let config = Rc::new(config);
        let supply = Supply::new(Rc::clone(&config), secrets)?;
        Ok(Self {
            config,
            supply,
            matcher,
            agents,
            connections,
            webhooks,
            everything,
            places,
            asks_peer,
            credential_headers,
            envelope: Rc::default(),
            notifications,
            task_states,
            remote_texts,
            revealed: revealed::Plans::default(),
            consent_host,
            naming,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is asked of answers about the states of tasks, if they are read for that.
    #[must_use]
    pub const fn task_states(&self) -> Option<&Rc<task_state::Plans>> {
        self.task_states.as_ref()
    }

    /// What is asked of answers of remote agents, if they are read.
    #[must_use]
    pub(in crate::flow) const fn remote_texts(&self) -> Option<&Rc<remote_text::Plans>> {
        self.remote_texts.as_ref()
    }

    /// What messages are searched for that leave.
    #[must_use]
    pub(in crate::flow) const fn revealed(&self) -> &revealed::Plans {
        &self.revealed
    }

    /// The host below which links of ours lie.
    #[must_use]
    pub(in crate::flow) fn consent_host(&self) -> Option<&str> {
        self.consent_host.as_deref()
    }

    /// The connection at this place.
    #[must_use]
    pub(in crate::flow) fn connection(&self, index: usize) -> Option<&Rc<Connection>> {
        self.connections.get(index)
    }

    /// What is fetched and kept over requests.
    #[must_use]
    pub const fn supply(&self) -> &Supply {
        &self.supply
    }

    /// Whether refusals leave a line that says what was wrong.
    #[must_use]
    pub fn tells(&self) -> bool {
        tells(&self.config, self.supply.lowest_log_level())
    }

    /// By how many bytes a request's body may grow, whichever agent it is for.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.agents.iter().map(|agent| agent.tag_plans.growth()).max().unwrap_or_default()
    }

    /// What an operator should know and is not in the log yet.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.supply.warnings();
        warnings.extend(self.matcher.warnings());
        warnings
    }

    /// The same with what signs. `json` is the text of the configuration.
    ///
    /// # Errors
    /// If it asks for something signed, and the proxy cannot do that, or not with the key that is there.
    pub fn signing_with(self, signer: Rc<dyn Signer>, json: &[u8]) -> Result<Self, ConfigError> {
        signing::check(&self.config, json, &self.supply.secrets(), &*signer, self.supply.verifier())?;
        Ok(Self { supply: self.supply.signing_with(signer), ..self })
    }

    /// The same, where this checks the signatures of what is fetched.
    #[must_use]
    pub fn verifying_with(self, verifier: Rc<dyn Verifier>) -> Self {
        Self { supply: self.supply.verifying_with(verifier), ..self }
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

    /// The same where workers tell each other on `board` what they have seen.
    #[must_use]
    pub fn remembering_on(self, board: Rc<dyn Board>) -> Self {
        Self { supply: self.supply.remembering_on(board), ..self }
    }

    /// A place for a request to `destination` that waits for `want`; `None` if it has to be refused.
    #[must_use]
    pub(in crate::flow) fn sit(&self, want: Want, destination: &Destination, now: UnixTime) -> Option<Seat> {
        let scheme = match want {
            Want::Keys(issuer) => destination.policy(&self.supply, now).here().and_then(|policy| policy.scheme_of(issuer)),
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
    pub const fn credential_headers(&self) -> &SortedSet<String> {
        &self.credential_headers
    }

    /// The agents, in the order of the configuration.
    #[must_use]
    pub fn agents(&self) -> &[Rc<Agent>] {
        &self.agents
    }

    /// Whom a request is for that the matcher gave to `target`.
    #[must_use]
    pub fn destination(&self, target: Target) -> Option<Destination> {
        match target {
            Target::Agent(index) => self.agents.get(index).cloned().map(Destination::Agent),
            Target::Connection(index) => self.connections.get(index).cloned().map(Destination::Connection),
            Target::Webhook(index) => self.webhooks.get(index).cloned().map(Destination::Webhook),
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

    /// Where requests name tasks and contexts, for connections that call as their users.
    #[must_use]
    pub const fn naming(&self) -> Option<&Naming> {
        self.naming.as_ref()
    }

    /// What is asked of the bodies of notifications.
    #[must_use]
    pub const fn notifications(&self) -> &Rc<Notifications> {
        &self.notifications
    }

    /// What is asked of a JSON-RPC body of which only the envelope matters.
    #[must_use]
    pub fn envelope(&self) -> Rc<Questions> {
        Rc::clone(&self.envelope)
    }
}
