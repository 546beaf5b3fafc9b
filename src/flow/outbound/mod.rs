//! Calls to remote agents. Callers are judged elsewhere.

pub mod finding;
pub mod leaving;
pub mod machine;
pub mod negotiate;
pub mod state;
