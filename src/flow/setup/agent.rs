//! An agent behind this proxy, with all that follows from its configuration.

use crate::card::paths::ON_HOST;
use crate::config;
use crate::config::{Config, ConfigError, Demanded};
use crate::credential::secrets::Secrets;
use crate::credential::tag_keys;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::request::inspect::Plans;
use crate::flow::request::policy::Policy;
use crate::flow::setup::resource::MetadataPlace;
use crate::flow::setup::statement::Statement;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::source::Source;
use crate::flow::supply::store::Supply;
use crate::ownership;
use crate::wire::path;
use crate::wire::time::UnixTime;
use serde_json::Value;
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

/// An agent. Made once; it reads as its configuration.
#[derive(Debug)]
pub struct Agent {
    /// Its place in the configuration.
    pub(in crate::flow) index: usize,
    config: Rc<config::Agent>,
    /// `None` where its card is the policy.
    policy: Option<Rc<Policy>>,
    /// What is asked of the bodies of its requests.
    pub(in crate::flow) plans: Plans,
    /// What is stated of it in cards.
    pub(in crate::flow) statement: Statement,
    /// Where its metadata is, if it has a `public_url`.
    pub(in crate::flow) metadata: Option<MetadataPlace>,
    /// The keys of its owned tasks; `None` where tasks are shared, or a key has no value.
    pub(in crate::flow) tag_keys: Option<Rc<ownership::Keys>>,
    /// Where bodies about its owned tasks name them.
    pub(in crate::flow) tag_plans: Rc<ownership::Plans>,
    /// What its card, which is this one, makes of it.
    by_card: RefCell<Option<(Rc<Source>, Rc<Agent>)>>,
}

impl Deref for Agent {
    type Target = config::Agent;

    fn deref(&self) -> &config::Agent {
        &self.config
    }
}

impl Agent {
    /// The agent at `index` of `config`; `tag_plans` are for its mark.
    ///
    /// # Errors
    /// If a path of its cards cannot be one, or a key of its tasks is too short.
    pub(super) fn new(
        index: usize,
        own: &Rc<config::Agent>,
        config: &Config,
        secrets: &Secrets,
        tag_plans: Rc<ownership::Plans>,
    ) -> Result<Self, ConfigError> {
        let policy = match &own.security {
            Demanded::FromCard => None,
            Demanded::Requirements(list) => Some(Rc::new(Policy::new(
                config,
                own.audiences.as_deref(),
                list.iter().map(|requirement| &requirement.0),
                std::iter::empty(),
            ))),
        };
        Ok(Self {
            index,
            config: Rc::clone(own),
            policy,
            plans: Plans::new(own),
            statement: Statement::new(config, own, &format!("agents[{index}]"))?,
            metadata: MetadataPlace::new(own),
            tag_keys: keys(index, own, secrets)?,
            tag_plans,
            by_card: RefCell::default(),
        })
    }

    /// What it asks of callers, as far as it is known: its card may have to say it.
    #[must_use]
    pub fn policy(&self, supply: &Supply, now: UnixTime) -> Sought<Rc<Policy>> {
        if let Some(policy) = &self.policy {
            return Sought::Here(Rc::clone(policy));
        }
        match supply.source(self.index, now) {
            Some(Sought::Here(source)) => match &source.declared {
                Some((_, policy)) => Sought::Here(Rc::clone(policy)),
                None => Sought::No(Reason::CardUnavailable),
            },
            Some(Sought::Wait(want)) => Sought::Wait(want),
            Some(Sought::No(_)) | None => Sought::No(Reason::CardUnavailable),
        }
    }

    /// The agent as it is now: with what its card offers, if that says it. `this` is the agent itself.
    pub(in crate::flow) fn by_card(this: &Rc<Self>, supply: &Supply, now: UnixTime) -> Sought<Rc<Self>> {
        if !this.offers_by_card() {
            return Sought::Here(Rc::clone(this));
        }
        let source = match supply.source(this.index, now) {
            Some(Sought::Here(source)) => source,
            Some(Sought::Wait(want)) => return Sought::Wait(want),
            Some(Sought::No(_)) | None => return Sought::No(Reason::CardUnavailable),
        };
        let known = this.by_card.borrow().as_ref().filter(|(known, _)| Rc::ptr_eq(known, &source)).map(|(_, agent)| Rc::clone(agent));
        if let Some(agent) = known {
            return Sought::Here(agent);
        }
        let streams = source.card.members().get("capabilities").and_then(|all| all.get("streaming")).and_then(Value::as_bool);
        let own = Rc::new(this.config.with_offers(source.offers.clone().unwrap_or_default(), streams));
        let Ok(statement) = Statement::new(supply.config(), &own, "") else { return Sought::No(Reason::CardUnavailable) };
        let agent = Rc::new(Self {
            index: this.index,
            policy: this.policy.clone(),
            plans: Plans::new(&own),
            statement,
            metadata: this.metadata.clone(),
            tag_keys: this.tag_keys.clone(),
            tag_plans: Rc::clone(&this.tag_plans),
            by_card: RefCell::default(),
            config: own,
        });
        this.by_card.replace(Some((source, Rc::clone(&agent))));
        Sought::Here(agent)
    }

    /// What of `path`, which is for this agent, follows its prefix; [`ON_HOST`] for its card outside of it.
    pub(in crate::flow) fn suffix<'p>(&self, path: &'p str) -> &'p str {
        match &self.card.at {
            Some(place) if place.path == path => ON_HOST,
            _ => path::strip_segments(path, self.target.path_prefix.as_str()).unwrap_or_default(),
        }
    }

    /// Its label.
    pub(in crate::flow) const fn target(&self) -> Target {
        Target::Agent(self.index)
    }
}

/// The keys of an agent's owned tasks. All of them or none: an id that one of them signed would else belong to no caller.
fn keys(index: usize, agent: &config::Agent, secrets: &Secrets) -> Result<Option<Rc<ownership::Keys>>, ConfigError> {
    let Some(owned) = agent.tasks.owned() else { return Ok(None) };
    let keys = tag_keys::values(&format!("agents[{index}].tasks.owned.keys"), &owned.keys, secrets)?;
    Ok(keys.map(|keys| Rc::new(ownership::Keys::new(keys.into_iter()))))
}
