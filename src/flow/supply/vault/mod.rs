//! The vault: where grants of users lie, and what is remembered of their sign-ins. What lies there is sealed before it comes here.

pub mod etcd;
pub mod memory;
pub mod operation;
