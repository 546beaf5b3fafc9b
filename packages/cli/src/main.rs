//! The command `attache`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(attache_cli::command::run())
}
