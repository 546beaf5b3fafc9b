//! Notifications that remote agents post: whether it is they, whether it is the first time, and about which task.

pub mod head;
pub mod machine;
pub mod shown;
pub mod state;
