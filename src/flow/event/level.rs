//! Log levels.

/// Log levels, as Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Details.
    Debug,
    /// Ordinary decisions.
    Info,
    /// Something that an operator should mend.
    Warn,
    /// Something that stops requests from being served.
    Error,
}

impl Level {
    /// The level as the proxy counts: what is more important has more.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
        }
    }
}
