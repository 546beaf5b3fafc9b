//! State machines without IO or clock: events and the time go in, effects come out. They join the other rooms.

pub mod card;
pub mod classify;
pub mod denial;
pub mod egress;
pub mod event;
pub mod exchange;
pub mod head;
pub mod ingress;
pub mod inspect;
pub mod runtime;

pub use event::{Count, Effect, Event, Level, Outcome, Reply, Step, Value};
pub use exchange::Exchange;
pub use runtime::{Context, Runtime};
