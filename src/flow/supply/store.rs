//! What is kept over requests, in one place. Nothing outside of this room changes it but by its functions.

use crate::config::{Config, ConfigError, Issuer};
use crate::credential::push_token::Nonce;
use crate::credential::secrets::Secrets;
use crate::flow::event::metric::Tally;
use crate::flow::event::{Effect, metric};
use crate::flow::supply::board::Board;
use crate::flow::supply::grants::kept::Grants;
use crate::flow::supply::introspect::Introspections;
use crate::flow::supply::keys::Keyrings;
use crate::flow::supply::seats::{Clients, Seats};
use crate::flow::supply::sought::Sought;
use crate::flow::supply::source::{Source, Sources};
use crate::flow::supply::tokens::Outgoing;
use crate::flow::supply::witness::Witness;
use crate::identity::remembered::Remembered;
use crate::identity::signature::{Software, Verifier};
use crate::wire::sorted::SortedSet;
use crate::wire::time::UnixTime;
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

/// How tokens are verified here, and when.
#[derive(Clone, Copy)]
pub struct Verifying<'a> {
    /// How signatures are verified.
    pub verifier: &'a dyn Verifier,
    /// The time of the event.
    pub now: UnixTime,
}

/// Everything that is fetched, remembered or counted over requests. Its `impl` blocks stand in the files of this room, one for
/// each kind.
#[derive(Debug)]
pub struct Supply {
    pub(super) config: Rc<Config>,
    pub(super) sources: Sources,
    pub(super) outgoing: Outgoing,
    /// What users granted, where any do.
    pub(in crate::flow) grants: Option<Grants>,
    pub(super) keyrings: RefCell<Keyrings>,
    pub(super) remembered: RefCell<Remembered>,
    pub(super) introspections: RefCell<Introspections>,
    pub(super) warnings: RefCell<Vec<String>>,
    pub(super) seats: Rc<RefCell<Seats>>,
    /// `None`: clients cannot be warned apart.
    pub(super) clients: Option<Rc<dyn Clients>>,
    /// What was seen once at any worker.
    witness: Witness,
    /// A body came while headers were held: the proxy has the option that this needs.
    holds: Cell<bool>,
    /// Agents (by index) whose cards promise what no rule enforces: logged once.
    warned: RefCell<SortedSet<usize>>,
    /// Agents (by index) of whose unchanged cards one was looked at.
    looked_at: RefCell<SortedSet<usize>>,
    /// Checks what is fetched.
    pub(super) verifier: Rc<dyn Verifier>,
    pub(super) tally: Tally,
    lowest_log_level: Cell<u32>,
    /// An empty list that has room.
    spare: RefCell<Vec<Effect>>,
}

/// Most effects that the spare list has room for.
const MOST_SPARE: usize = 64;

impl Supply {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// If keys or cards in the configuration cannot be read.
    pub fn new(config: Rc<Config>, secrets: Secrets) -> Result<Self, ConfigError> {
        let keyrings = Keyrings::new(&config, &secrets)?;
        let sources = Sources::new(&config)?;
        let warnings = sources.warnings(&config).chain(keyrings.warnings(&config)).collect();
        let grants = Grants::new(&config, &secrets)?;
        let outgoing = Outgoing::new(&config, secrets)?;
        Ok(Self {
            config,
            sources,
            outgoing,
            grants,
            keyrings: RefCell::new(keyrings),
            remembered: RefCell::default(),
            introspections: RefCell::default(),
            warnings: RefCell::new(warnings),
            seats: Rc::default(),
            clients: None,
            witness: Witness::default(),
            holds: Cell::new(false),
            warned: RefCell::default(),
            looked_at: RefCell::default(),
            verifier: Rc::new(Software),
            tally: Tally::default(),
            lowest_log_level: Cell::default(),
            spare: RefCell::default(),
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The secrets.
    #[must_use]
    pub fn secrets(&self) -> Ref<'_, Secrets> {
        self.outgoing.secrets.borrow()
    }

    /// The card of agent `index`; `None` where the agent answers for itself.
    #[must_use]
    pub fn source(&self, index: usize, now: UnixTime) -> Option<Sought<Rc<Source>>> {
        self.sources.find(index, now)
    }

    pub(super) const fn introspections(&self) -> &RefCell<Introspections> {
        &self.introspections
    }

    /// What an operator should know and is not in the log yet.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// A body came while headers were held.
    pub fn note_hold(&self) {
        self.holds.set(true);
    }

    /// Whether one did: then the proxy has the option.
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.holds.get()
    }

    /// Whether response headers are held until their body has been read. Where the proxy lacks the option, no body comes then, and
    /// the desk sees that.
    #[must_use]
    pub fn holds_responses(&self) -> bool {
        self.config.hold_headers
    }

    /// Tells once that the card of agent `index` promises security for skills that nobody enforces.
    pub fn warn_of_skills(&self, index: usize, skills: &[&str]) {
        if !skills.is_empty() && self.warned.borrow_mut().insert(index) {
            let name = self.config.agents.get(index).map_or("", |agent| &agent.name);
            self.warnings.borrow_mut().push(format!(
                "the card of agent {name:?} promises security for skills ({:?}) that no rule enforces: it is left out of what is published",
                skills.join(" ")
            ));
        }
    }

    /// Whether a card of agent `index` that passes unchanged is still to be looked at.
    #[must_use]
    pub fn expects_card_of(&self, index: usize) -> bool {
        !self.looked_at.borrow().contains(&index)
    }

    /// Whether this is the first one that can be looked at.
    #[must_use]
    pub fn looks_at_card_of(&self, index: usize) -> bool {
        self.looked_at.borrow_mut().insert(index)
    }

    /// A number that is used once: by no other worker, and not again after a restart.
    #[must_use]
    pub fn nonce(&self, now: UnixTime) -> Nonce {
        self.outgoing.nonces.next(now).first_chunk().copied().unwrap_or_default()
    }

    /// What is counted here.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The lowest [`Level::number`](crate::flow::event::Level::number) that the proxy writes to its log.
    #[must_use]
    pub const fn lowest_log_level(&self) -> u32 {
        self.lowest_log_level.get()
    }

    /// The proxy writes nothing below `number` to its log.
    pub fn set_lowest_log_level(&self, number: u32) {
        self.lowest_log_level.set(number);
    }

    /// The same where workers tell each other on `board` what they have seen.
    #[must_use]
    pub fn remembering_on(mut self, board: Rc<dyn Board>) -> Self {
        if let Some(grants) = &mut self.grants {
            grants.open(&self.config, &self.outgoing.secrets.borrow(), &board);
        }
        Self { witness: Witness::on(board), ..self }
    }

    /// What was seen once at any worker.
    #[must_use]
    pub const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Checks the signatures of what is fetched.
    #[must_use]
    pub fn verifier(&self) -> &dyn Verifier {
        &*self.verifier
    }

    /// The same, where this checks the signatures of what is fetched.
    #[must_use]
    pub fn verifying_with(self, verifier: Rc<dyn Verifier>) -> Self {
        Self { verifier, ..self }
    }

    /// The same, where remembered tokens are found by a hash with this seed, which callers cannot know, and what is to be used once
    /// is unlike what other workers use.
    #[must_use]
    pub fn seeded(mut self, seed: u128) -> Self {
        self.outgoing.nonces.seed(seed);
        // What a host gives that has no random numbers. Links and seals that can be guessed are worse than none.
        if let (0, Some(grants)) = (seed, &mut self.grants) {
            grants.ring = None;
        }
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

    /// The ages of the keys that were fetched, in seconds, by gauge.
    #[must_use]
    pub fn ages(&self, now: UnixTime) -> Vec<(String, u64)> {
        let keyrings = self.keyrings.borrow();
        let age = |(index, issuer): (usize, &Issuer)| Some((metric::keys_age(&issuer.name), keyrings.age(index, now)?.as_secs()));
        self.config.issuers.iter().enumerate().filter_map(age).collect()
    }
}
