//! Whom a request is for.

use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::request::policy::Policy;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::connection::Connection;
use crate::flow::setup::webhook::Webhook;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::store::Supply;
use crate::wire::time::UnixTime;
use std::rc::Rc;

/// Whom a request is for.
#[derive(Clone, Debug)]
pub enum Destination {
    /// An agent behind this proxy.
    Agent(Rc<Agent>),
    /// The remote agent of a connection.
    Connection(Rc<Connection>),
    /// A webhook.
    Webhook(Rc<Webhook>),
}

impl Destination {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(agent) => &agent.name,
            Self::Connection(connection) => &connection.name,
            Self::Webhook(webhook) => &webhook.name,
        }
    }

    /// Its label in statistics and records.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Self::Agent(agent) => agent.target(),
            Self::Connection(connection) => connection.target(),
            Self::Webhook(webhook) => webhook.target(),
        }
    }

    /// The agent, if it is one.
    #[must_use]
    pub const fn agent(&self) -> Option<&Rc<Agent>> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::Connection(_) | Self::Webhook(_) => None,
        }
    }

    /// What it asks of callers.
    #[must_use]
    pub fn policy(&self, supply: &Supply, now: UnixTime) -> Sought<Rc<Policy>> {
        match self {
            Self::Agent(agent) => agent.policy(supply, now),
            Self::Connection(connection) => connection.callers.clone().map_or(Sought::No(Reason::CardUnavailable), Sought::Here),
            Self::Webhook(webhook) => webhook.senders.clone().map_or(Sought::No(Reason::CardUnavailable), Sought::Here),
        }
    }
}
