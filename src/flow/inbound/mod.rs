//! Requests for agents behind this proxy. No credential is obtained here.

pub mod card;
pub mod expected;
pub mod identity;
pub mod machine;
pub mod metadata;
pub mod owning;
pub mod state;
pub mod told;
pub mod waiting;
