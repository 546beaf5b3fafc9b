//! What a request is for.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An agent behind this proxy, by index.
    Agent(usize),
    /// A connection to a remote agent, by index.
    Connection(usize),
    /// A webhook, by index.
    Webhook(usize),
}
