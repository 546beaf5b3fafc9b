//! Attaché secures Agent2Agent (A2A) traffic inside Envoy: it verifies who calls an agent before the
//! request reaches it, and attaches the right credential to the calls that leave.
//!
//! The rooms, from the wire up; each may import only what stands before it:
//! `wire` (bytes), `protocol` (A2A as types), `config` (what the operator wrote), `identity` and
//! `credential` (who calls; with what we call), `flow` (state machines that join them), and `host`, the only
//! room that knows proxy-wasm.

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
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod config;
pub mod identity;
pub mod protocol;
pub mod wire;
