//! How a flow in which a user is asked to agree can end.

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The user's answer was taken.
    Used,
    /// The user said no.
    Denied,
    /// The client gave up.
    Cancelled,
    /// Somebody else than the caller agreed.
    Stranger,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Used, Self::Denied, Self::Cancelled, Self::Stranger];

    pub(super) fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| ended.word().as_bytes() == word)
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Stranger => "stranger",
        }
    }
}
