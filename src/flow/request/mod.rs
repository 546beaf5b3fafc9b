//! What both directions read of a request and do to it. Agents and connections are not known here.

pub mod accepts;
pub mod arrived;
pub mod beside;
pub mod carried;
pub mod classify;
pub mod conceal;
pub mod dropped;
pub mod facts;
pub mod head;
pub mod inspect;
pub mod matcher;
pub mod media;
pub mod methods;
pub mod notified;
pub mod policy;
pub mod published;
pub mod say;
pub mod steering;
