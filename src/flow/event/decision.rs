//! What was decided, about what, and with which credential.

use std::time::Duration;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// The request goes on, or is answered here with what it asks for.
    Allow,
    /// It is refused.
    Deny,
    /// It goes on, and would be refused if its agent had no `shadow`.
    ShadowDeny,
}

impl Decision {
    /// The name in records and statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::ShadowDeny => "shadow_deny",
        }
    }
}

/// What a request is for, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// An agent behind this proxy.
    Agent(String),
    /// A remote agent.
    Connection(String),
    /// A webhook.
    Webhook(String),
    /// Nothing that is configured.
    Nowhere,
}

impl Recipient {
    /// The name; `none` for nowhere.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name) | Self::Connection(name) | Self::Webhook(name) => name,
            Self::Nowhere => "none",
        }
    }
}

/// The credential that went with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// How it was obtained, as the configuration spells it.
    pub method: &'static str,
    /// Where it came from: `secret`, `cache`, `fetch`, `caller`, `signed`, `agent` or `none`.
    pub origin: &'static str,
    /// How old it is, if it is a token that was fetched.
    pub age: Option<Duration>,
}
