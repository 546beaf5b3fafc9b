//! What follows from the configuration, made once: agents, connections, and what they share.

pub mod agent;
pub mod connection;
pub mod destination;
pub mod resource;
pub mod runtime;
pub mod signing;
pub mod statement;
pub mod webhook;
