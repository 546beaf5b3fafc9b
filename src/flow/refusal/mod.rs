//! Refusals: what a caller reads, in the binding that it uses. They know nothing of a request's state.

pub mod challenge;
pub mod denial;
