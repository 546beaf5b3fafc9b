//! What callers may do, and what requests may ask for.

pub mod access;
pub mod fields;
pub mod limits;
pub mod links;
pub mod places;
pub mod push;
pub mod push_place;
pub mod remote_text;
pub mod revealed;
pub mod tenant;
pub mod texts;
