//! Bytes and their shapes: headers, media types, URIs, JSON, event streams, protocol buffers, gRPC messages, base64url, time. Knows nothing
//! of A2A.

pub mod address;
pub mod authority;
pub mod base64url;
pub mod caching;
pub mod fold;
pub mod grpc_frame;
pub mod header;
pub mod hex;
pub mod jcs;
pub mod json;
pub mod kept;
pub mod media_type;
pub mod messages;
pub mod network;
pub mod paged;
pub mod path;
pub mod protobuf;
pub mod quoted;
pub mod rewrite;
pub mod scan;
pub mod sorted;
pub mod sse;
pub mod steering;
pub mod structured;
pub mod time;
