//! The built module (`target/attache.wasm`, by `make build`) in a recording host: what it imports, what it asks
//! of its host and when, and that no order of callbacks and no byte brings it down.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "abi/attacks.rs"]
mod attacks;
#[path = "abi/boring.rs"]
mod boring;
#[path = "abi/given.rs"]
mod given;
#[path = "abi/held.rs"]
mod held;
#[path = "abi/host.rs"]
mod host;
#[path = "abi/inbound.rs"]
mod inbound;
#[path = "abi/keys.rs"]
mod keys;
#[path = "abi/module.rs"]
mod module;
#[path = "abi/outbound.rs"]
mod outbound;
#[path = "abi/robust.rs"]
mod robust;
#[path = "abi/shared.rs"]
mod shared;
#[path = "abi/signing.rs"]
mod signing;
#[path = "golden/keys.rs"]
#[allow(dead_code, reason = "others read more of it")]
mod signing_keys;
#[path = "abi/task_states.rs"]
mod task_states;
#[path = "abi/users.rs"]
mod users;
#[path = "abi/vectors.rs"]
mod vectors;
#[path = "abi/vm.rs"]
mod vm;
#[path = "abi/waiting.rs"]
mod waiting;
