//! With what we call: the credentials that connections attach.

pub mod secrets;
pub mod static_header;
