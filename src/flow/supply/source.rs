//! Cards that are at hand: from the configuration, or fetched from the agent and kept. They are served while the agent
//! sleeps, and with `security: from_card` they are the policy.

use crate::card::model::MAX_BYTES;
use crate::card::scheme::{Kind, Location};
use crate::card::{Card, Means, Scheme, Security};
use crate::config::{Agent, CardSource, Config, ConfigError, Demanded, KeyPlace, Offer, Remote, Scheme as Configured};
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::event::reason::Reason;
use crate::flow::request::policy::Policy;
use crate::flow::supply::offered::offered;
use crate::flow::supply::sought::Sought;
use crate::protocol::Version;
use crate::wire::kept::{Kept, Wait};
use crate::wire::sorted::SortedMap;
use crate::wire::time::UnixTime;
use std::cell::RefCell;
use std::rc::Rc;

/// A card, and what follows from it.
#[derive(Debug)]
pub struct Source {
    /// The card as the agent wrote it.
    pub card: Card,
    /// What it declares and what that asks of callers, if it is the policy.
    pub declared: Option<(Security, Rc<Policy>)>,
    /// What it offers, if that is what the agent offers.
    pub offers: Option<SortedMap<Version, Offer>>,
    /// What an operator should know of that.
    notices: Vec<String>,
}

impl Source {
    /// What an operator should know of it.
    pub fn warnings<'a>(&'a self, agent: &Agent) -> impl Iterator<Item = String> + 'a {
        self.notices.iter().cloned().chain(self.warning(agent))
    }

    /// It asks for more for some skills, and nothing says which skill a message is for.
    fn warning(&self, agent: &Agent) -> Option<String> {
        let (security, _) = self.declared.as_ref()?;
        let skills: Vec<&str> = security.skills.keys().map(String::as_str).collect();
        (agent.skill_from.is_none() && !skills.is_empty()).then(|| {
            format!(
                "the card of agent {:?} asks for more for some skills ({:?}), but without skill_from nothing says which skill a message \
                 is for: every message has to meet all of it",
                agent.name,
                skills.join(" ")
            )
        })
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.card == other.card
    }
}

/// The cards of all agents, by index; `None` for agents that answer themselves.
#[derive(Debug)]
pub struct Sources(Vec<Option<RefCell<Kept<Source>>>>);

impl Sources {
    /// What the configuration says.
    ///
    /// # Errors
    /// If a card in it is none, or cannot be the policy that it is to be.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let source = |(index, agent): (usize, &Rc<Agent>)| match &agent.card.source {
            CardSource::Upstream => Ok(None),
            CardSource::Remote(Remote { refresh, max_stale, .. }) => Ok(Some(RefCell::new(Kept::remote(*refresh, *max_stale)))),
            CardSource::Inline(value) => Card::from_value(value.0.clone())
                .map_err(|error| error.to_string())
                .and_then(|card| read(card, agent, config))
                .map(|source| Some(RefCell::new(Kept::inline(source))))
                .map_err(|error| ConfigError::new(format!("agents[{index}].card.source.inline"), error)),
        };
        config.agents.iter().enumerate().map(source).collect::<Result<_, _>>().map(Self)
    }

    /// The card of agent `index`; `None` where the agent answers for itself.
    #[must_use]
    pub fn find(&self, index: usize, now: UnixTime) -> Option<Sought<Rc<Source>>> {
        let Some(Some(kept)) = self.0.get(index) else { return None };
        let kept = kept.borrow();
        Some(match (kept.usable(now), kept.wait_for_any(now)) {
            (Some(source), _) => Sought::Here(source),
            (None, Wait::ForFetch) => Sought::Wait(Want::Card(index)),
            (None, Wait::Never) => Sought::No(Reason::CardUnavailable),
        })
    }

    /// What operators should know of the cards in the configuration.
    pub fn warnings<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = String> + 'a {
        let source = |kept: &Option<RefCell<Kept<Source>>>| kept.as_ref()?.borrow().usable(UnixTime::default());
        self.0
            .iter()
            .zip(&config.agents)
            .flat_map(move |(kept, agent)| source(kept).map(|source| source.warnings(agent).collect::<Vec<_>>()).unwrap_or_default())
    }

    /// The cards that should be fetched now.
    pub fn due(&self, now: UnixTime) -> impl Iterator<Item = Want> {
        let due = move |kept: &Option<RefCell<Kept<Source>>>| kept.as_ref().is_some_and(|kept| kept.borrow().is_due(now));
        self.0.iter().enumerate().filter(move |(_, kept)| due(kept)).map(|(index, _)| Want::Card(index))
    }

    /// Begins the fetch of a card.
    pub fn begin(&self, index: usize, config: &Config, now: UnixTime) -> Option<Call> {
        let CardSource::Remote(remote) = &config.agents.get(index)?.as_ref().card.source else { return None };
        let begins = self.0.get(index)?.as_ref()?.borrow_mut().begin(now);
        begins.then(|| Call::get(remote, "application/json", MAX_BYTES))
    }

    /// Ends it. What a card that is fetched in another shape is negotiated by, the filter does not ask for: either is read.
    ///
    /// # Errors
    /// What was wrong. The card that was there stays. Otherwise, what an operator should know of a new card.
    pub fn complete(&self, index: usize, answer: Answer<'_>, config: &Config, now: UnixTime) -> Result<Vec<String>, String> {
        let (Some(Some(kept)), Some(agent)) = (self.0.get(index), config.agents.get(index)) else { return Ok(Vec::new()) };
        let source = match answer {
            Ok((200, body)) => Card::read(body).map_err(|error| error.to_string()).and_then(|card| read(card, agent, config)),
            Ok((status, _)) => Err(format!("answered with status {status}")),
            Err(error) => Err(error),
        };
        let result = source.as_ref().map(|source| source.warnings(agent).collect()).map_err(Clone::clone);
        let is_new = kept.borrow_mut().complete(now, source);
        result.map(|warnings: Vec<String>| if is_new { warnings } else { Vec::new() })
    }
}

/// A card with its policy, if it is to be one.
fn read(card: Card, agent: &Agent, config: &Config) -> Result<Source, String> {
    let (offers, notices) = match agent.offers_by_card() {
        true => offered(&card, agent).map(|(offers, notices)| (Some(offers), notices))?,
        false => (None, Vec::new()),
    };
    if !matches!(agent.security, Demanded::FromCard) {
        return Ok(Source { card, declared: None, offers, notices });
    }
    let security = Security::declared(&card).map_err(|error| error.to_string())?;
    for (name, scheme) in &security.schemes {
        let own = config
            .scheme(name)
            .ok_or_else(|| format!("securitySchemes.{name}: `schemes` of the configuration has no scheme of this name"))?;
        if means(own) != scheme.means() {
            return Err(format!("securitySchemes.{name}: `schemes.{name}` of the configuration is something else"));
        }
    }
    let skills = security.skills.iter().map(|(skill, requirements)| (skill, requirements.iter().collect()));
    let policy = Rc::new(Policy::new(config, agent.audiences.as_deref(), security.requirements.iter(), skills));
    Ok(Source { card, declared: Some((security, policy)), offers, notices })
}

/// What it takes to enforce a configured scheme.
fn means(scheme: &Configured) -> Option<Means> {
    describe(scheme)?.means()
}

/// A configured scheme as a card says it; `None` if it asks for nothing.
#[must_use]
pub fn describe(scheme: &Configured) -> Option<Scheme> {
    Some(match scheme {
        Configured::Bearer(_) | Configured::Introspection(_) => Scheme::bearer(),
        Configured::ApiKey(key) => {
            let location = match key.place {
                KeyPlace::Header => Location::Header,
                KeyPlace::Query => Location::Query,
                KeyPlace::Cookie => Location::Cookie,
            };
            Scheme::api_key(location, &key.name)
        }
        Configured::Basic(_) => Kind::Http { scheme: "Basic".to_owned(), bearer_format: None }.into(),
        Configured::MutualTls(_) => Scheme::mutual_tls(),
        Configured::None(_) => return None,
    })
}
