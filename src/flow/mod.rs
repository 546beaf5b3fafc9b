//! State machines without IO or clock: events and the time go in, effects come out. They join the other rooms.

pub mod authenticate;
pub mod authorize;
pub mod card;
pub mod classify;
pub mod denial;
pub mod egress;
pub mod event;
pub mod exchange;
pub mod facts;
pub mod fetch;
pub mod head;
pub mod ingress;
pub mod inspect;
pub mod metric;
pub mod record;
pub mod runtime;
pub mod source;

pub use event::{Effect, Event, Level, Outcome, Reply, Step, Value};
pub use exchange::Exchange;
pub use fetch::{Answer, Call, Want};
pub use runtime::{Context, Runtime};
