//! The local mesh: real Envoys with the built filter, a real authorization server, real agents and callers.
//!
//! `make run` plays a tour on it, the mesh tests drive it, the benchmark loads it.

pub mod authorization;
pub mod canary;
pub mod chance;
pub mod collector;
pub mod connections;
pub mod drawn;
pub mod envoy;
pub mod envoy_file;
pub mod etcd;
pub mod event_stream;
pub mod http;
pub mod layout;
pub mod limiter;
pub mod live;
pub mod matrix;
pub mod mesh;
pub mod mint;
pub mod observed;
pub mod page;
pub mod peer;
pub mod person;
pub mod place;
pub mod port;
pub mod process;
pub mod prometheus;
mod protobuf;
pub mod push_token;
pub mod raw;
pub mod refusal;
pub mod report;
pub mod same;
mod shared_envoy;
pub mod sign_in;
pub mod stand_in;
pub mod tls;
pub mod told;
pub mod tour;
mod tour_callers;
mod tour_methods;
pub mod tour_wallet;
pub mod user_server;
pub mod verdicts;
pub mod visitor;
pub mod wait;
pub mod wiretap;
