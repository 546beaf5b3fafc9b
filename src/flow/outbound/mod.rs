//! Calls to remote agents: what they are, in which version they go, and the credential that goes with them.

mod acting;
pub mod as_user;
mod elsewhere;
mod endorse;
mod endorsed;
pub mod finding;
pub mod leaving;
pub mod machine;
pub mod negotiate;
pub mod notice;
pub mod notifying;
mod revealing;
pub mod state;
mod whole;
