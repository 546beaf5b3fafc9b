//! Envoy's log.

use crate::flow::Level;
use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;

/// Writes `attache: <message>` to Envoy's log.
pub fn log(level: Level, message: &str) {
    write_line(level, &format!("attache: {message}"));
}

/// Writes `text` as it is.
pub fn write_line(level: Level, text: &str) {
    let level = match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // A log that cannot be written is no reason to stop.
    let _ = hostcalls::log(level, text);
}
