//! What a run of the mesh tests found, for `make matrix`, which plays some families of them on one Envoy after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::verdicts;

/// Where the test program writes what it found; with it, only [`FAMILIES`] are run.
pub const REPORT: &str = "MESH_REPORT";

/// The families of tests (what stands before `::`) that are played.
pub const FAMILIES: [&str; 3] = ["attacks", "hold", "tour"];

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Whether each test passed.
    pub tests: BTreeMap<String, bool>,
    /// Cases of each attack corpus that came out as they should, and others.
    pub corpora: BTreeMap<String, (usize, usize)>,
    /// Calls of the tour that came out as stated, of all.
    pub tour: (usize, usize),
}

impl Found {
    /// Cases of all corpora that came out as they should, and others.
    pub fn cases(&self) -> (usize, usize) {
        self.corpora.values().fold((0, 0), |(good, bad), (more, worse)| (good + more, bad + worse))
    }

    /// Tests that passed and all tests, of those whose name `fits`.
    pub fn passed(&self, fits: impl Fn(&str) -> bool) -> (usize, usize) {
        let those = || self.tests.iter().filter(|(name, _)| fits(name));
        (those().filter(|(_, passed)| **passed).count(), those().count())
    }

    /// The tests that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.tests.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name.as_str()).collect()
    }
}

fn found() -> MutexGuard<'static, Found> {
    static FOUND: Mutex<Found> = Mutex::new(Found { tests: BTreeMap::new(), corpora: BTreeMap::new(), tour: (0, 0) });
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file() -> Option<PathBuf> {
    std::env::var_os(REPORT).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether this is a run for the matrix.
pub fn is_on() -> bool {
    file().is_some()
}

/// Whether the test of this name is to be run.
pub fn is_asked(name: &str) -> bool {
    !is_on() || name.split_once("::").is_some_and(|(family, _)| FAMILIES.contains(&family))
}

/// Notes how a test ended.
pub fn note_test(name: &str, passed: bool) {
    found().tests.insert(name.to_owned(), passed);
}

/// Notes how many calls of the tour came out as stated.
pub fn note_tour(held: usize, calls: usize) {
    found().tour = (held, calls);
}

/// Writes what was found, if this is a run for the matrix.
pub fn report() -> Result<()> {
    let Some(path) = file() else { return Ok(()) };
    let found = Found { corpora: verdicts::counts(), ..found().clone() };
    std::fs::write(&path, serde_json::to_vec(&found)?).with_context(|| format!("cannot write {}", path.display()))
}
