//! What crosses the wall to the host, and the words for it: plain data, which decides nothing.

pub mod call;
pub mod class;
pub mod decision;
pub mod effects;
pub mod events;
pub mod interest;
pub mod ledger;
pub mod level;
pub mod metric;
pub mod note;
pub mod reason;
pub mod record;
pub mod reply;
pub mod route;
pub mod target;
pub mod value;
pub mod whole;

pub use effects::{Effect, Outcome, Step};
pub use events::Event;
pub use interest::{Interest, Read, Wait};
pub use level::Level;
pub use reply::Reply;
pub use route::Route;
pub use value::Value;
