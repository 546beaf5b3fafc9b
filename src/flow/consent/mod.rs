//! Users who authorize a connection in their browser: what they read, what they send, and the cookie that tells them apart.

mod ask;
mod asked;
pub mod cookie;
mod doing;
pub mod form;
mod frame;
mod head;
mod html;
mod owner;
pub mod page;
mod ping;
mod settle;
mod site;
mod steps;
mod told;
pub mod visit;
mod whose;
