//! Who calls, and whether that is enough.

pub mod authenticate;
pub mod authorize;
pub mod credentials;
pub mod tenancy;
pub mod unauthenticated;
