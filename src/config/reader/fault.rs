//! What is wrong with a configuration's JSON, as it is carried out from the place where it was found.

use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// One step from a value into what it holds.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

impl Step {
    pub(super) fn append_to(&self, place: &mut String) {
        match self {
            Self::Member(name) => {
                let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                place.push_str(if place.is_empty() { "" } else { "." });
                // Where a name with a dot ends could not be seen.
                if is_plain { place.push_str(name) } else { place.push_str(&format!("{name:?}")) }
            }
            Self::Element(index) => place.push_str(&format!("[{index}]")),
        }
    }
}

/// What is wrong, where its reader stood, and the steps to it, the innermost first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) message: String,
    pub(super) at: Option<usize>,
    pub(super) path: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Fault(pub(super) Box<Found>);

impl Fault {
    pub(super) fn new(message: String, at: Option<usize>) -> Self {
        Self(Box::new(Found { message, at, path: Vec::new() }))
    }

    /// It stands at `at`, unless its place is known.
    #[inline(never)]
    pub(super) fn at(mut self, at: usize) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    #[inline(never)]
    pub(super) fn within_member(self, name: String) -> Self {
        self.within(Step::Member(name))
    }

    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), None)
    }

    // `serde_json` has its own words for null.
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(serde_json::Error::invalid_type(unexpected, expected).to_string(), None)
    }
}
