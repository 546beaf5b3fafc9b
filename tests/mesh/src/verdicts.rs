//! What became of the attack corpora: each test that plays one reports here, and the run ends with one table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};

/// Most rows of a corpus that are named when they come out wrong.
const NAMED: usize = 40;

#[derive(Clone, Copy, Default)]
struct Counts {
    refused: usize,
    passed: usize,
    wrong: usize,
    ended: bool,
}

fn all() -> MutexGuard<'static, BTreeMap<String, Counts>> {
    static ALL: Mutex<BTreeMap<String, Counts>> = Mutex::new(BTreeMap::new());
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One corpus that is being played.
pub struct Corpus {
    name: String,
    counts: Counts,
    wrong: Vec<String>,
}

impl Corpus {
    /// Begins. A corpus that begins and never ends counts as failed.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        all().insert(name.clone(), Counts::default());
        Self { name, counts: Counts::default(), wrong: Vec::new() }
    }

    /// A case was refused, as it should be.
    pub fn refused(&mut self) {
        self.counts.refused += 1;
    }

    /// A case was let through, as it should be.
    pub fn passed(&mut self) {
        self.counts.passed += 1;
    }

    /// A case came out otherwise; `what` names it.
    pub fn wrong(&mut self, what: String) {
        self.counts.wrong += 1;
        self.wrong.push(what);
    }

    /// Cases refused and let through so far.
    pub fn counts(&self) -> (usize, usize) {
        (self.counts.refused, self.counts.passed)
    }

    /// Whether nothing came out wrong so far.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Ends.
    ///
    /// # Errors
    /// If a case came out wrong, or none was refused or none let through: then something else than the rules decided.
    pub fn end(mut self) -> Result<()> {
        self.counts.ended = true;
        all().insert(self.name.clone(), self.counts);
        let named = self.wrong.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n");
        ensure!(self.wrong.is_empty(), "{} cases of {} came out wrong:\n{named}", self.wrong.len(), self.name);
        ensure!(self.counts.refused > 0 && self.counts.passed > 0, "{} has no cases of both kinds", self.name);
        Ok(())
    }
}

/// How many cases of each corpus came out as they should and how many did not, one that did not end counting as one of these.
pub fn counts() -> BTreeMap<String, (usize, usize)> {
    let fair = |counts: &Counts| {
        let good = counts.refused + counts.passed;
        (good, counts.wrong + usize::from(!counts.ended || good == 0))
    };
    all().iter().map(|(name, counts)| (name.clone(), fair(counts))).collect()
}

/// The table of what was played, and whether all of it came out well; `None` if nothing was. Its last line is
/// `N passed, N failed`.
pub fn table() -> Option<(String, bool)> {
    let all = all();
    if all.is_empty() {
        return None;
    }
    let mut text = format!("{:<34} {:>7} {:>8} {:>7} {:>6}\n", "corpus", "cases", "refused", "passed", "wrong");
    for (name, counts) in all.iter() {
        let cases = counts.refused + counts.passed + counts.wrong;
        let note = if counts.ended { "" } else { "  did not end" };
        let _ = writeln!(text, "{name:<34} {cases:>7} {:>8} {:>7} {:>6}{note}", counts.refused, counts.passed, counts.wrong);
    }
    drop(all);
    let (good, bad) = counts().into_values().fold((0, 0), |(good, bad), (more, worse)| (good + more, bad + worse));
    let _ = write!(text, "{good} passed, {bad} failed");
    Some((text, bad == 0))
}
