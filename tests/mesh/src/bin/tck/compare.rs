//! What three runs say of each test, as a table: passed directly, passed through the filter, lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::kit::Outcomes;

/// The tables, and how many tests the filter lost.
pub struct Report {
    pub text: String,
    pub lost: usize,
}

#[derive(Default)]
struct Counts {
    played: usize,
    direct: usize,
    own: usize,
    lent: usize,
    lost: usize,
}

/// Compares them test by test.
pub fn report(direct: &Outcomes, own: &Outcomes, lent: &Outcomes) -> Report {
    let passed = |outcomes: &Outcomes, test: &str| outcomes.get(test).is_some_and(|(outcome, _)| outcome == "passed");
    let mut files: BTreeMap<&str, Counts> = BTreeMap::new();
    let (mut lost, mut only_lent, mut gained) = (String::new(), String::new(), String::new());
    let tests: BTreeSet<&String> = direct.keys().chain(own.keys()).chain(lent.keys()).collect();
    for test in tests {
        let counts = files.entry(test.split("::").next().unwrap_or_default()).or_default();
        let ways = (passed(direct, test), passed(own, test), passed(lent, test));
        counts.played += 1;
        counts.direct += usize::from(ways.0);
        counts.own += usize::from(ways.1);
        counts.lent += usize::from(ways.2);
        match ways {
            (true, false, false) => {
                counts.lost += 1;
                let _ = writeln!(lost, "  {test}\n    own credential:  {}\n    lent credential: {}", told(own, test), told(lent, test));
            }
            (true, false, true) => {
                let _ = writeln!(only_lent, "  {test}\n    own credential: {}", told(own, test));
            }
            (false, true, _) | (false, _, true) => {
                let _ = writeln!(gained, "  {test}\n    directly: {}", told(direct, test));
            }
            _ => {}
        }
    }
    let count: usize = files.values().map(|counts| counts.lost).sum();
    let mut text = table(&files);
    for (title, list) in [
        ("Passed only where Envoy lent the credential (the test sends none):", only_lent),
        ("Passed through the filter and not directly:", gained),
        ("LOST (passed directly and in neither run through the filter):", lost),
    ] {
        if !list.is_empty() {
            let _ = write!(text, "\n{title}\n{list}");
        }
    }
    let _ = write!(text, "\n{count} lost");
    Report { text, lost: count }
}

fn told(outcomes: &Outcomes, test: &str) -> String {
    outcomes.get(test).map_or_else(|| "not played".to_owned(), |(outcome, why)| format!("{outcome} {why}"))
}

fn table(files: &BTreeMap<&str, Counts>) -> String {
    let mut text = format!("{:<68} {:>6} {:>8} {:>6} {:>6} {:>6}\n", "file", "tests", "directly", "own", "lent", "lost");
    let mut sum = Counts::default();
    for (file, counts) in files {
        let Counts { played, direct, own, lent, lost } = counts;
        let _ = writeln!(text, "{file:<68} {played:>6} {direct:>8} {own:>6} {lent:>6} {lost:>6}");
        sum.played += played;
        sum.direct += direct;
        sum.own += own;
        sum.lent += lent;
        sum.lost += lost;
    }
    let Counts { played, direct, own, lent, lost } = sum;
    let _ = writeln!(text, "{:<68} {played:>6} {direct:>8} {own:>6} {lent:>6} {lost:>6}", "all");
    text
}
