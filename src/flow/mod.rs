//! State machines without IO or clock: events and the time go in, effects come out. They join the other rooms.

pub mod authenticate;
pub mod authorize;
pub mod card;
pub mod challenge;
pub mod classify;
pub mod conceal;
pub mod credentials;
pub mod denial;
pub mod egress;
pub mod event;
pub mod exchange;
pub mod expected;
pub mod facts;
pub mod fetch;
pub mod head;
pub mod ingress;
pub mod inspect;
pub mod introspect;
mod keys;
pub mod metadata;
pub mod metric;
pub mod obtain;
pub mod ownership;
pub mod record;
pub mod refusal;
pub mod runtime;
pub mod shared;
pub mod source;
pub mod tasks;
pub mod token_notes;
pub mod tokens;

pub use event::{Effect, Event, Level, Outcome, Reply, Step, Value};
pub use exchange::Exchange;
pub use fetch::{Answer, Call, Want};
pub use runtime::{Context, Runtime};
