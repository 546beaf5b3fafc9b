//! `attache`, the companion command of the filter: checks configurations before Envoy sees them. What decides is the filter's own code.

mod around;
mod check;
pub mod command;
mod embedded;
mod finding;
mod json;
mod mask;
mod plugin;
mod report;
mod site;
mod tree;
mod yaml;
