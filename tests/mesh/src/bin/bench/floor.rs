//! Filters that decide nothing, for what WebAssembly itself costs in Envoy: `floor.wat`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use attache_mesh::place;

const TEXT: &str = include_str!("floor.wat");

/// Makes the module; with `calls` it makes the calls that Attaché makes.
pub fn module(calls: bool) -> Result<PathBuf> {
    let place = |ending: &str| place::logs().join(format!("floor-{}.{ending}", u8::from(calls)));
    let (text, module) = (place("wat"), place("wasm"));
    std::fs::write(&text, TEXT.replace("CALLS", if calls { "1" } else { "0" }))?;
    let output = Command::new(place::tool("bin/wasm-opt")).arg("-O").arg(&text).arg("-o").arg(&module).output();
    let output = output.context("cannot run wasm-opt")?;
    ensure!(output.status.success(), "{}: {}", text.display(), String::from_utf8_lossy(&output.stderr));
    Ok(module)
}
