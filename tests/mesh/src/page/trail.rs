//! The records in the logs of the Envoys, as they are written, and which call each belongs to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::envoy::Envoy;
use crate::process::LogReader;
use crate::tour::{Door, Program};
use crate::wait;

use super::Shared;
use super::board::Kind;

/// How long a call waits for its record: that is written before its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of calls that somebody else sends, so many records are shown at each look. (A load test need not fill the page.)
const OF_OTHERS: usize = 10;

/// A record, and which Envoy wrote it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub door: Door,
    pub record: Value,
}

/// The records of calls that are under way, by request id.
#[derive(Default)]
pub struct Trail {
    wanted: Mutex<BTreeMap<String, Vec<Seen>>>,
}

impl Trail {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Seen>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on records of this request are kept for it.
    pub fn expect(&self, id: &str) {
        self.wanted().insert(id.to_owned(), Vec::new());
    }

    /// Waits until as many Envoys as the call passed have written theirs, and gives them.
    pub async fn take(&self, id: &str, is_whole: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && !self.wanted().get(id).is_some_and(|seen| is_whole(seen)) {
            tokio::time::sleep(wait::POLL).await;
        }
        self.wanted().remove(id).unwrap_or_default()
    }

    fn note(&self, seen: &Seen) -> bool {
        let id = seen.record["request_id"].as_str().unwrap_or_default();
        let mut wanted = self.wanted();
        let Some(list) = wanted.get_mut(id) else { return false };
        list.push(seen.clone());
        true
    }
}

/// Reads the logs of all Envoys from where they are now, for good.
pub async fn follow(shared: &Shared) {
    let Some(standing) = shared.standing.get() else { return };
    let mut logs = open(&standing.program);
    loop {
        for (door, log) in &mut logs {
            let mut of_others = 0;
            for record in log.lines(standing.program.envoy(*door)).iter().filter_map(|line| record(line)) {
                let seen = Seen { door: *door, record };
                let is_own = shared.trail.note(&seen);
                of_others += usize::from(!is_own);
                if is_own || of_others <= OF_OTHERS {
                    shared.board.post(Kind::Record, &json!({"envoy": door.name(), "record": seen.record}));
                }
            }
        }
        tokio::time::sleep(wait::POLL).await;
    }
}

/// The log of an Envoy, as far as it was read.
enum Log {
    Alone(LogReader),
    /// Of one that shares its process: the bytes that were read of what is its own.
    Shared(usize),
}

impl Log {
    fn lines(&mut self, envoy: &Envoy) -> Vec<String> {
        match self {
            Self::Alone(reader) => reader.lines(),
            Self::Shared(read) => {
                let log = envoy.log();
                let whole = log.get(*read..).and_then(|more| more.rfind('\n').and_then(|end| more.get(..=end))).unwrap_or_default();
                *read += whole.len();
                whole.lines().map(str::to_owned).collect()
            }
        }
    }
}

fn open(program: &Program<'_>) -> Vec<(Door, Log)> {
    let log = |envoy: &Envoy| match envoy.is_alone() {
        true => Log::Alone(envoy.process().log_from_now()),
        false => Log::Shared(envoy.log().len()),
    };
    Door::ALL.into_iter().map(|door| (door, log(program.envoy(door)))).collect()
}

fn record(line: &str) -> Option<Value> {
    let (_, record) = line.split_once("attache: audit ")?;
    serde_json::from_str(record).ok()
}
