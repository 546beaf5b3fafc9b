//! A connection to a remote agent, with all that follows from its configuration.

use crate::config;
use crate::config::{Config, ConfigError, PushTo};
use crate::credential::push_token::Keys;
use crate::credential::secrets::Secrets;
use crate::credential::tag_keys;
use crate::flow::event::target::Target;
use crate::flow::request::dropped::Dropped;
use crate::flow::request::policy::Policy;
use crate::policy::push_place::Plans;
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
    /// How push-notification configurations in its calls get tokens of ours, if they do.
    pub(in crate::flow) endorsing: Option<Box<Endorsing>>,
}

/// How push-notification configurations get tokens of ours.
#[derive(Debug)]
pub struct Endorsing {
    /// `None` where a key has no value.
    pub(in crate::flow) keys: Option<Keys>,
    /// Where they stand.
    pub(in crate::flow) plans: Plans,
}

impl Deref for Connection {
    type Target = config::Connection;

    fn deref(&self) -> &config::Connection {
        &self.config
    }
}

impl Connection {
    /// The connection at `index` of `config`.
    ///
    /// # Errors
    /// If a key of its tokens for notifications is too short.
    pub(super) fn new(
        index: usize,
        own: &Rc<config::Connection>,
        dropped: Dropped,
        config: &Config,
        secrets: &Secrets,
    ) -> Result<Self, ConfigError> {
        let callers = own.security.as_ref().map(|security| {
            let list = security.requirements();
            Rc::new(Policy::new(config, None, list.iter().map(|requirement| &requirement.0), std::iter::empty()))
        });
        let endorsing = own.push.as_ref().map(|push| endorsing(index, push, secrets)).transpose()?;
        Ok(Self { index, config: Rc::clone(own), callers, dropped, endorsing })
    }

    /// Its label.
    pub(in crate::flow) const fn target(&self) -> Target {
        Target::Connection(self.index)
    }
}

#[cold]
fn endorsing(index: usize, push: &PushTo, secrets: &Secrets) -> Result<Box<Endorsing>, ConfigError> {
    let keys = tag_keys::values(&format!("connections[{index}].push.keys"), &push.keys, secrets)?;
    Ok(Box::new(Endorsing { keys: keys.map(|keys| Keys::new(keys.into_iter())), plans: Plans::default() }))
}
