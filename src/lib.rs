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
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub use attache_ground::{protocol, wire};
pub use attache_settings::{card, config, credential, ownership};

pub mod flow;
pub mod identity;
pub mod policy;

#[cfg(all(target_arch = "wasm32", not(test)))]
mod host;

// The golden cases on wasm32. They are a part of the library's own tests because these alone are built without the
// host, whose imports nothing but a proxy has.
#[cfg(all(target_arch = "wasm32", test))]
extern crate self as attache;
#[cfg(all(target_arch = "wasm32", test))]
#[path = "../tests/golden/on_wasm32.rs"]
mod on_wasm32;
#[cfg(all(target_arch = "wasm32", test))]
#[path = "../tests/scanner/on_wasm32.rs"]
mod scanner_on_wasm32;

// `rsa` asks for randomness in code that signs; nothing here signs, so there is none to give.
#[cfg(target_arch = "wasm32")]
mod no_randomness {
    fn none(_: &mut [u8]) -> Result<(), getrandom::Error> {
        Err(getrandom::Error::UNSUPPORTED)
    }

    getrandom::register_custom_getrandom!(none);
}
