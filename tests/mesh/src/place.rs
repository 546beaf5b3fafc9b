//! Where things are: the repository, the tools, this run's log folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Log folders of earlier runs that are kept.
const KEPT_RUNS: usize = 10;

/// The repository's root, as it is found when this runs: what was compiled in another place, and copied from there, must not
/// test the module of that place. cargo says where it is; a program that is started without cargo lies below it.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let start = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| std::env::current_exe().ok());
        let start = start.unwrap_or_default();
        match start.ancestors().find(|folder| folder.join("tools/wasm-cargo.sh").is_file()) {
            Some(root) => root.to_path_buf(),
            None => panic!("{} is in no checkout: start it with cargo", start.display()),
        }
    })
}

/// A tool that `make setup` put into `.tools/`.
pub fn tool(path: &str) -> PathBuf {
    root().join(".tools").join(path)
}

/// The Envoy to run: `$ENVOY_PATH`, else the one that `make setup` chose.
pub fn envoy() -> PathBuf {
    match std::env::var_os("ENVOY_PATH") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => tool("bin/envoy"),
    }
}

/// A script of `tests/mesh/peers/`.
pub fn peer(file: &str) -> PathBuf {
    root().join("tests/mesh/peers").join(file)
}

/// The built filter; `trap` names the test build that traps on request.
pub fn module(trap: bool) -> PathBuf {
    root().join("target").join(if trap { "attache-trap.wasm" } else { "attache.wasm" })
}

/// Writes the module as it ships with a custom section added, which does nothing: another module to Envoy, with the same behaviour.
pub fn relabelled() -> std::io::Result<PathBuf> {
    let mut module = std::fs::read(module(false))?;
    let (name, content) = (b"build", b"next");
    module.extend([0, 1 + 5 + 4, 5]);
    module.extend_from_slice(name);
    module.extend_from_slice(content);
    let path = logs().join(unique("relabelled")).with_extension("wasm");
    std::fs::write(&path, module)?;
    Ok(path)
}

/// The folder of this run, `target/mesh-logs/<run>`, with logs and the configuration files that were used.
pub fn logs() -> &'static Path {
    static LOGS: OnceLock<PathBuf> = OnceLock::new();
    LOGS.get_or_init(|| {
        let parent = root().join("target/mesh-logs");
        forget_old_runs(&parent);
        let path = parent.join(format!("{}-{}", now(), std::process::id()));
        if let Err(error) = std::fs::create_dir_all(&path) {
            panic!("cannot make {}: {error}", path.display());
        }
        path
    })
}

fn forget_old_runs(parent: &Path) {
    let mut runs: Vec<PathBuf> = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|e| e.path()).collect();
    runs.sort();
    for old in runs.iter().rev().skip(KEPT_RUNS) {
        let _ = std::fs::remove_dir_all(old);
    }
}

/// `name`, or `name-2`, `name-3`… when it was taken before in this run.
pub fn unique(name: &str) -> String {
    static TAKEN: OnceLock<Mutex<BTreeMap<String, u32>>> = OnceLock::new();
    let mut taken = TAKEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let count = taken.entry(name.to_owned()).or_insert(0);
    *count += 1;
    if *count == 1 { name.to_owned() } else { format!("{name}-{count}") }
}

/// Seconds since 1970, by the machine's clock.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
