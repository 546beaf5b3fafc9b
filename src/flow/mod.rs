//! State machines without IO or clock: events and the time go in, effects come out. They join the other rooms.

mod auth_required;
pub mod begin;
pub mod callers;
pub mod consent;
pub mod event;
pub mod exchange;
pub mod inbound;
pub mod meter;
pub mod outbound;
pub mod progress;
pub mod refusal;
pub mod request;
pub mod setup;
pub mod stage;
pub mod supply;
pub mod tasks;
pub mod webhook;

pub use event::call::{Answer, Call, Want};
pub use event::whole::Whole;
pub use event::{Effect, Event, Interest, Level, Outcome, Read, Reply, Route, Step, Value, Wait};
pub use exchange::Exchange;
pub use request::arrived::Part;
pub use setup::runtime::{Context, Runtime};
