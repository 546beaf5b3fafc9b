//! Who calls, and whether that is enough.

pub mod authenticate;
pub mod authorize;
pub mod credentials;
pub mod forbidden;
pub mod id_token;
pub mod tenancy;
pub mod unauthenticated;
pub mod why;
