//! Agent cards (A2A 1.0 section 8, 0.3 section 5): read in any shape, projected to the version asked for. Pure functions on
//! bytes and JSON: which card is served to whom, and when, is for `flow`.

pub mod both;
pub mod dialect;
pub mod flow;
mod hosts;
pub mod messages;
pub mod model;
pub mod paths;
pub mod policy;
pub mod project;
pub mod protobuf;
pub mod requirement;
pub mod scheme;
pub mod signed;
pub mod validators;

pub use both::{answer, both};
pub use dialect::Dialect;
pub use model::{Card, CardError, CardResponse};
pub use paths::{CardPath, CardPaths};
pub use policy::{PolicyError, Security};
pub use project::{Capabilities, Interface, ProjectError, Skills, View, project};
pub use requirement::Requirement;
pub use scheme::{Location, Means, Scheme};
