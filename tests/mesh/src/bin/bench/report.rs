//! The table: medians over the rounds, how far they spread, and the document that states them.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cold::{CALLS, Round};
use crate::load::{CONNECTIONS, Sample};
use crate::rows::{CACHE, DEFAULT_CACHE, Row, TOKENS};
use crate::strangers::Line;
use crate::tokens::KEY_BITS;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Of the body.
    pub bytes: usize,
    /// Different ones, sent in turn.
    pub tokens: usize,
}

impl Kind {
    /// A name for tables.
    pub fn title(self) -> String {
        let size = if self.bytes.is_multiple_of(1024) { format!("{} KiB", self.bytes / 1024) } else { format!("{} bytes", self.bytes) };
        let tokens = if self.tokens == 1 { "1 token".to_owned() } else { format!("{} tokens", self.tokens) };
        format!("{size}, {tokens}")
    }

    /// A default cache differs from the large one only where tokens do not fit.
    pub fn measures(self, row: Row) -> bool {
        row != Row::JwtDefaultCache || self.tokens > DEFAULT_CACHE
    }
}

/// How it was measured.
pub struct Setup {
    pub rounds: usize,
    pub seconds: f64,
    pub warm_up: Duration,
    /// Cores that the bench may use.
    pub cores: usize,
    /// Envoy had one of them to itself.
    pub separate: bool,
    /// Bytes of a token.
    pub token: usize,
    /// Bytes of the filter.
    pub module: u64,
    /// Version of Envoy.
    pub envoy: String,
    /// Rounds of cold calls.
    pub cold: Vec<Round>,
    /// Requests that anybody can send.
    pub strangers: Vec<Line>,
}

/// Median and extremes of the rounds.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let low = *values.get(values.len().checked_sub(1)? / 2)?;
        let high = *values.get(values.len() / 2)?;
        Some(Self { median: low.midpoint(high), least: *values.first()?, most: *values.last()? })
    }

    fn micros(self) -> [String; 2] {
        [format!("{:.1}", self.median), format!("{:.1}..{:.1}", self.least, self.most)]
    }

    fn ratio(self) -> [String; 2] {
        [format!("{:.2}", self.median), format!("{:.2}..{:.2}", self.least, self.most)]
    }
}

/// All samples, in the order of the rounds.
#[derive(Default)]
pub struct Report {
    samples: Vec<(Kind, Row, Sample)>,
}

impl Report {
    /// Adds what one visit of a row saw.
    pub fn add(&mut self, kind: Kind, row: Row, sample: Sample) {
        self.samples.push((kind, row, sample));
    }

    /// The loads, in the order in which they were measured.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for (kind, _, _) in &self.samples {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        kinds
    }

    /// CPU time per request, by round.
    fn per_request(&self, kind: Kind, row: Row) -> Vec<f64> {
        self.samples.iter().filter(|(k, r, _)| (*k, *r) == (kind, row)).map(|(_, _, sample)| sample.cost()).collect()
    }

    /// What a row adds to the bare router, by round.
    fn added(&self, kind: Kind, row: Row) -> Vec<f64> {
        let bare = self.per_request(kind, Row::Bare);
        self.per_request(kind, row).iter().zip(bare).map(|(row, bare)| row - bare).collect()
    }

    fn cost(&self, kind: Kind, row: Row) -> Result<Spread> {
        Spread::of(self.added(kind, row)).context("no samples")
    }

    /// The same as a share of what the native stack adds: of the medians, and the extremes of the rounds.
    fn relative(&self, kind: Kind, row: Row) -> Result<Spread> {
        let native = self.added(kind, Row::Native);
        let rounds = self.added(kind, row).into_iter().zip(native).map(|(row, native)| row / native);
        let median = self.cost(kind, row)?.median / self.cost(kind, Row::Native)?.median;
        Ok(Spread { median, ..Spread::of(rounds).context("no samples")? })
    }

    /// Rows by loads: cost in microseconds, and relative to the native stack.
    fn summary(&self) -> Result<Vec<Vec<String>>> {
        let kinds = self.kinds();
        let mut lines = vec![vec!["configuration".to_owned()]];
        if let Some(head) = lines.first_mut() {
            head.extend(kinds.iter().map(|kind| kind.title()));
        }
        for row in Row::ALL {
            let mut line = vec![row.title()];
            for kind in &kinds {
                line.push(match row {
                    _ if !kind.measures(row) => "-".to_owned(),
                    Row::Bare => "0".to_owned(),
                    _ => format!("{:.1} µs ({:.2})", self.cost(*kind, row)?.median, self.relative(*kind, row)?.median),
                });
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// Columns: row, CPU, its spread, cost, its spread, relative cost, its spread.
    fn table(&self, kind: Kind) -> Result<Vec<Vec<String>>> {
        let mut lines = vec![vec![
            "configuration".to_owned(),
            "CPU µs/request".into(),
            "min..max".into(),
            "cost µs".into(),
            "min..max".into(),
            "cost / native stack".into(),
            "min..max".into(),
        ]];
        for row in Row::ALL.into_iter().filter(|row| kind.measures(*row)) {
            let mut line = vec![row.title()];
            line.extend(Spread::of(self.per_request(kind, row)).context("no samples")?.micros());
            if row == Row::Bare {
                line.extend(["0", "", "0", ""].map(str::to_owned));
            } else {
                line.extend(self.cost(kind, row)?.micros());
                line.extend(self.relative(kind, row)?.ratio());
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// The smallest share of its time that Envoy was busy for in any sample.
    fn least_busy(&self) -> f64 {
        let busy = self.samples.iter().map(|(_, _, sample)| sample.cpu.as_secs_f64() / sample.wall.as_secs_f64());
        busy.fold(f64::INFINITY, f64::min)
    }

    /// The tables for a terminal.
    pub fn text(&self, setup: &Setup) -> Result<String> {
        let mut text = format!(
            "Envoy {}, RS256 with a key of {KEY_BITS} bits, tokens of {} bytes, {} rounds of {} s\n",
            setup.envoy, setup.token, setup.rounds, setup.seconds
        );
        for kind in self.kinds() {
            let _ = writeln!(text, "\nBody of {}:", kind.title());
            let lines = self.table(kind)?;
            let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
            for line in &lines {
                for (column, cell) in line.iter().enumerate() {
                    let width = width(column).unwrap_or(0);
                    let _ = if column == 0 { write!(text, "  {cell:width$}") } else { write!(text, "  {cell:>width$}") };
                }
                text.push('\n');
            }
        }
        text += "\nWhat a bad request costs, relative to a good one:\n";
        for line in strangers(&setup.strangers)?.iter().skip(1) {
            let _ = writeln!(text, "  {}", line.join("  "));
        }
        Ok(text)
    }

    /// `docs/performance.md`.
    pub fn document(&self, setup: &Setup) -> Result<String> {
        let mut text = String::from(
            "# What Attaché costs\n\n\
             Written by `make bench`, which measures all of it anew; edit `tests/mesh/src/bin/bench/` instead.\n\n\
             CPU time of the Envoy process per request. *Cost* is what a configuration adds to the bare router. The *native stack* is\n\
             what Envoy offers for the same job without Attaché: `jwt_authn` with a cache, `a2a`, and `rbac` on the scope claim.\n\
             Attaché also writes a record of each request to the log; the last row does not. Numbers are medians over the rounds.\n\
             Microseconds depend on the machine, the ratios less so.\n\n\
             Cost by body and number of different tokens; in brackets, relative to the native stack under the same load:\n\n",
        );
        text += &markdown(&self.summary()?);
        text +=
            "\nBelow, the smallest and the largest round stand beside each median: where they are far apart, the machine was not quiet.\n";
        for kind in self.kinds() {
            let _ = writeln!(text, "\n## Body of {}\n", kind.title());
            text += &markdown(&self.table(kind)?);
        }
        text += "\n## What a bad request costs\n\n\
                 CPU time of Envoy, as a ratio to a good request of 437 bytes with a token seen before (1.00) that the same Envoy passes to an\n\
                 agent. Anybody can send all of these but the last three. Endpoints that are asked, and the agent, run in the bench program.\n\n";
        text += &markdown(&strangers(&setup.strangers)?);
        let _ = writeln!(
            text,
            "\n## Cold calls\n\n\
             {CALLS} calls at once over two workers, before there is a token: all wait for one answer of the token endpoint. Milliseconds from\n\
             that answer until the filter lets the first, the median and the last of them go (by its records), and until their callers\n\
             have the remote agent's answer. Callers, endpoint, agent and Envoy share the cores.\n"
        );
        text += &markdown(&cold(&setup.cold)?);
        let placing = if setup.separate {
            "Envoy is kept on one core, the load and the upstream on the rest."
        } else {
            "There was one core for Envoy, the load and the upstream together."
        };
        let _ = write!(
            text,
            "\n## How it is measured\n\n\
             - Envoy {envoy}, the same binary for every row, one worker thread each. All stay up; one at a time is loaded.\n\
             - Every row is `envoy/inbound.yaml` with other filters before the router: the same listener, routes and clusters. The\n  \
               access log is left out of all of them, the keys are in the configuration.\n\
             - `a2a` runs with `traffic_mode: REJECT` and a body limit of 1 MiB, as Attaché does. `rbac` matches the scope as a whole word.\n\
             - RS256 with a key of {KEY_BITS} bits, tokens of {token} bytes. \"{TOKENS} tokens\" are sent in turn; each was seen before measuring.\n  \
               A cache of {CACHE} holds all of them, as does Attaché's memory of verified tokens (up to {CACHE}); the default cache of {DEFAULT_CACHE} does not.\n\
             - The request is SendMessage of A2A 1.0 over JSON-RPC and HTTP/1.1, with `content-length`; the large body is text parts of 230 bytes.\n\
             - {CONNECTIONS} keep-alive connections, each asking again when it is answered. The upstream reads the whole body. Both are\n  \
               in the bench program, whose CPU time is not counted. {placing}\n\
             - Rounds visit every row in turn: {rounds} rounds, {seconds} s measured after {warm_up} ms of warm-up. Time is the kernel's CPU clock of\n  \
               the process. Envoy was busy for at least {busy:.0} % of every measured time.\n\
             - Before measuring, each row must answer 200 to good requests of both sizes (the upstream says how much of the body it got)\n  \
               and refuse a missing token, a broken signature, an expired token, another audience and another issuer; native stack and\n  \
               Attaché must also refuse a token without the scope and a body that is not A2A. Afterwards Envoy's counters must\n  \
               show that caches were hit, or not, as the row says.\n\
             - This run: {cores} {arch} cores, `attache.wasm` of {module} KiB.\n\n\
             Repeat with `make bench`; it takes about six minutes. `ROUNDS=3 SECONDS=0.3 make bench` is quicker and noisier.\n",
            envoy = setup.envoy,
            token = setup.token,
            rounds = setup.rounds,
            seconds = setup.seconds,
            warm_up = setup.warm_up.as_millis(),
            busy = self.least_busy() * 100.0,
            cores = setup.cores,
            arch = std::env::consts::ARCH,
            module = setup.module / 1024,
        );
        Ok(text)
    }
}

/// Columns: what is measured, then first, median and last call, each with its spread.
fn cold(rounds: &[Round]) -> Result<Vec<Vec<String>>> {
    let head = ["", "first", "min..max", "median", "min..max", "last", "min..max"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let released: Vec<&[f64]> = rounds.iter().map(|round| round.released.as_slice()).collect();
    let answered: Vec<&[f64]> = rounds.iter().map(|round| round.answered.as_slice()).collect();
    for (title, rounds) in [("let go by the filter", released), ("answered by the agent", answered)] {
        let mut line = vec![title.to_owned()];
        for place in [0, CALLS / 2, CALLS - 1] {
            line.extend(Spread::of(rounds.iter().filter_map(|times| times.get(place).copied())).context("no cold calls")?.micros());
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Columns: kind of request, ratio, its spread, microseconds.
fn strangers(lines: &[Line]) -> Result<Vec<Vec<String>>> {
    let mut table = vec![["request", "ratio", "min..max", "CPU µs"].map(str::to_owned).to_vec()];
    for line in lines {
        let mut cells = vec![line.title.clone()];
        cells.extend(Spread::of(line.ratios.iter().copied()).context("no samples")?.ratio());
        cells.extend(Spread::of(line.costs.iter().copied()).context("no samples")?.micros().into_iter().take(1));
        table.push(cells);
    }
    Ok(table)
}

fn markdown(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|---|{}", "---:|".repeat(line.len().saturating_sub(1)));
        }
    }
    text
}
