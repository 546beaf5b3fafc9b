//! What is read now and then: the configuration, agent cards, credentials for outbound calls, bodies about tasks that have owners. It is
//! compiled for size.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    unsafe_op_in_unsafe_fn
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub use attache_ground::{protocol, wire};

pub mod card;
pub mod config;
pub mod credential;
pub mod ownership;
