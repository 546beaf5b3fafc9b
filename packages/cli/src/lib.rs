//! `attache`, the companion command of the filter: checks configurations before Envoy sees them. What decides is the filter's own code.

mod around;
mod board;
mod callers;
mod card;
mod check;
pub mod command;
mod embedded;
mod explain;
mod fetch;
mod finding;
mod hash_key;
mod init;
mod json;
mod mask;
mod open;
mod page;
mod play;
mod plugin;
mod report;
mod request;
mod rules;
mod site;
mod skill;
mod token;
mod tree;
mod yaml;
