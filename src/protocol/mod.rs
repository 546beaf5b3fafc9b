//! A2A as types: versions, bindings, operations, and how a request names them.

pub mod binding;
pub mod envelope;
pub mod error;
pub mod grpc;
pub mod http_json;
pub mod notification;
pub mod operation;
pub mod task_state;
pub mod version;

pub use binding::Binding;
pub use operation::{Operation, OperationClass};
pub use version::Version;
