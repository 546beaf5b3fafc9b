//! With what we call: the credentials that connections attach, where they come from, and how long they are kept.

mod answer;
pub mod app_server;
pub mod assertion;
pub mod authorize;
pub mod cache;
pub mod devices;
pub mod endpoint;
pub mod grant;
pub mod link;
pub mod managed_identity;
pub mod push_token;
pub mod seal;
pub mod secrets;
pub mod signed_jwt;
pub mod signing;
pub mod source;
pub mod static_header;
pub mod tag_keys;
pub mod user;
pub mod user_tokens;

/// What tells one token from all others: a digest of connection, method, client, subject, actor, scopes and audience.
pub type Key = [u8; 32];

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No usable answer: down, slow, overloaded, or not a token endpoint at all.
    Unavailable,
    /// The endpoint refuses this side: its client, its scopes, its audience.
    Refused,
    /// The endpoint does not take the caller's token.
    Grant,
    /// The caller has to agree to something first.
    Consent,
}
