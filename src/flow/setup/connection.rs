//! A connection to a remote agent, with all that follows from its configuration.

use crate::config;
use crate::config::Config;
use crate::flow::event::target::Target;
use crate::flow::request::dropped::Dropped;
use crate::flow::request::policy::Policy;
use std::ops::Deref;
use std::rc::Rc;

/// A connection. Made once; it reads as its configuration.
#[derive(Debug)]
pub struct Connection {
    /// Its place in the configuration.
    pub(in crate::flow) index: usize,
    config: Rc<config::Connection>,
    /// What it asks of callers; `None` where nothing is asked.
    pub(in crate::flow) callers: Option<Rc<Policy>>,
    /// What its calls do not take along.
    pub(in crate::flow) dropped: Dropped,
}

impl Deref for Connection {
    type Target = config::Connection;

    fn deref(&self) -> &config::Connection {
        &self.config
    }
}

impl Connection {
    /// The connection at `index` of `config`.
    pub(super) fn new(index: usize, own: &Rc<config::Connection>, dropped: Dropped, config: &Config) -> Self {
        let callers = own.security.as_ref().map(|security| {
            let list = security.requirements();
            Rc::new(Policy::new(config, None, list.iter().map(|requirement| &requirement.0), std::iter::empty()))
        });
        Self { index, config: Rc::clone(own), callers, dropped }
    }

    /// Its label.
    pub(in crate::flow) const fn target(&self) -> Target {
        Target::Connection(self.index)
    }
}
