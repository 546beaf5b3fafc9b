//! Requests for agents behind this proxy, and their answers: what is asked for, by whom, and whether it goes on.

pub mod card;
pub mod expected;
pub mod identity;
pub mod judged;
pub mod machine;
pub mod metadata;
pub mod owning;
pub mod passing;
pub mod published_keys;
pub mod state;
pub mod waiting;
