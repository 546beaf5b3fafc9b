//! Users who authorize a connection in their browser: what they read, what they send, and the cookie that tells them apart.

mod ask;
pub mod cookie;
pub mod form;
mod frame;
mod head;
mod html;
pub mod page;
mod told;

pub use head::see_other;
