//! Whose a task is, without a memory of our own: every id that a caller is shown carries a keyed tag that binds it to
//! that caller, and no id goes in without one. What the tag says of an id is all that is known of it; the agent keeps
//! its own ids and never sees a tag.

mod answer;
mod body;
mod fields;
mod places;
mod plans;
mod route;
mod tag;

pub use answer::Answer;
pub use body::{Problem, RequestBody};
pub use places::Places;
pub use plans::Plans;
pub use route::{untagged_path, untagged_query};
pub use tag::{Keys, Owner, Party, Subject, Tagger, Tenant};
