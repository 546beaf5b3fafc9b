//! What callers may do, and what requests may ask for.

pub mod access;
