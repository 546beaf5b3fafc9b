//! The adapter to proxy-wasm (ABI 0.2.1): callbacks become events, effects become host calls. Decides nothing.

mod call;
mod log;
mod metrics;
#[cfg(feature = "test-trap")]
mod probe;
mod raw;
mod room;
mod root;
mod shared;
mod signature;
mod stream;
mod tell;
mod waiting;
mod wasi;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|id| -> Box<dyn RootContext> { Box::new(root::Root::new(id)) });
}}
