//! A webhook, with all that follows from its configuration.

use crate::config;
use crate::config::{Config, ConfigError};
use crate::credential::push_token::Keys;
use crate::credential::secrets::Secrets;
use crate::credential::tag_keys;
use crate::flow::event::target::Target;
use crate::flow::request::policy::Policy;
use std::ops::Deref;
use std::rc::Rc;

/// A webhook. Made once; it reads as its configuration.
#[derive(Debug)]
pub struct Webhook {
    /// Its place in the configuration.
    pub(in crate::flow) index: usize,
    config: Rc<config::Webhook>,
    /// What `security` asks of senders; `None` where it asks for nothing.
    pub(in crate::flow) senders: Option<Rc<Policy>>,
    /// The keys of the tokens that it takes; `None` if it takes none, or a key has no value.
    pub(in crate::flow) keys: Option<Keys>,
}

impl Deref for Webhook {
    type Target = config::Webhook;

    fn deref(&self) -> &config::Webhook {
        &self.config
    }
}

impl Webhook {
    /// The webhook at `index` of `config`.
    ///
    /// # Errors
    /// If a key of its tokens is too short.
    pub(super) fn new(index: usize, own: &Rc<config::Webhook>, config: &Config, secrets: &Secrets) -> Result<Self, ConfigError> {
        let senders = own.security.as_ref().map(|security| {
            let list = security.requirements();
            Rc::new(Policy::new(config, own.audiences.as_deref(), list.iter().map(|requirement| &requirement.0), std::iter::empty()))
        });
        let keys = match &own.token {
            Some(token) => tag_keys::values(&format!("webhooks[{index}].token.keys"), &token.keys, secrets)?,
            None => None,
        };
        Ok(Self { index, config: Rc::clone(own), senders, keys: keys.map(|keys| Keys::new(keys.into_iter())) })
    }

    /// Its label.
    pub(in crate::flow) const fn target(&self) -> Target {
        Target::Webhook(self.index)
    }
}
