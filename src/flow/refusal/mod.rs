//! Refusals: what a caller reads, in the binding that it uses; and the tasks that the filter answers for itself. They know nothing of a
//! request's state.

pub mod challenge;
pub mod denial;
pub mod local_task;
