//! Whose a task is, without a memory of our own: every id that a caller is shown carries a keyed tag that binds it to
//! that caller, and no id goes in without one. What the tag says of an id is all that is known of it; the agent keeps
//! its own ids and never sees a tag.

mod answer;
mod asked;
mod body;
mod fields;
mod list;
mod local_id;
mod mark;
mod naming;
mod page;
mod places;
mod plans;
mod route;
mod tag;
mod unmark;

pub use answer::Answer;
pub use asked::{Listed, listed_body};
pub use body::{Problem, RequestBody};
pub use list::List;
pub use local_id::{Bound, IsMac, LocalId, Mac};
pub use naming::{Named, Naming};
pub use places::Places;
pub use plans::Plans;
pub use route::{listed_query, untagged_path, untagged_query};
pub use tag::{Keys, Owner, Party, Subject, Tagger, Tenant};
