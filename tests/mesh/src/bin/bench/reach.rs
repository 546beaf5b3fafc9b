//! The goals: what each must be, what it is, and whether that is reached.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use attache_mesh::place;

use crate::kind::Kind;
use crate::noise::{self, Refused};
use crate::rows::{AGENTS, Row, TOKENS};
use crate::samples::{Cell, Samples};
use crate::spread::Spread;
use crate::start::Starts;
use crate::table::{self, Table};

/// How a number is written, and what noise is compared with.
#[derive(Clone, Copy)]
enum Unit {
    Ratio,
    Milliseconds,
    MiB,
    /// Without noise.
    Megabytes,
}

struct Goal {
    what: String,
    goal: f64,
    must: f64,
    unit: Unit,
    measured: Spread,
    /// By how much the same configuration differs from itself: a part for ratios, else in the unit.
    noise: f64,
}

/// Goal, must, measured and verdict of each.
pub fn table(samples: &Samples, starts: &Starts, refused: &mut Refused) -> Result<Table> {
    let mut table = table::head(["what", "goal", "must", "measured", "min..max", "noise", "verdict"]);
    for goal in goals(samples, starts)? {
        table.push(goal.line(refused));
    }
    Ok(table)
}

fn goals(samples: &Samples, starts: &Starts) -> Result<Vec<Goal>> {
    use Kind::{FirstSight, Large, OneString, Outbound, Small, SmallMany};
    let ratio = |what: &str, [goal, must]: [f64; 2], of: Cell, by: Cell, [row, again]: [Row; 2]| {
        let (measured, noise) = (samples.relative(of, by)?, samples.noise(by.0, row, again)?);
        anyhow::Ok(Goal { what: what.to_owned(), goal, must, unit: Unit::Ratio, measured, noise })
    };
    let native = |what: &str, bounds, kind, row| ratio(what, bounds, (kind, row), (kind, Row::Native), [Row::Native, Row::NativeAgain]);
    let silent = [Row::Silent, Row::SilentAgain];
    let mut goals = vec![
        native("small body, remembered token, no record, ÷ native stack", [0.5, 0.65], Small, Row::Silent)?,
        native("the same with the default record", [0.65, 0.85], Small, Row::Attache)?,
        native("64 KiB, strict, ÷ native stack", [0.3, 0.55], Large, Row::Silent)?,
        native("64 KiB in one string ÷ native stack", [0.15, 0.3], OneString, Row::Silent)?,
        ratio(&format!("{TOKENS} tokens ÷ one"), [1.05, 1.1], (SmallMany, Row::Silent), (Small, Row::Silent), silent)?,
        ratio(
            "first sight of an RS256 token ÷ jwt_authn without cache",
            [1.0, 1.15],
            (FirstSight, Row::FirstSight),
            (FirstSight, Row::JwtUncached),
            [Row::JwtUncached, Row::JwtUncachedAgain],
        )?,
        ratio(
            "outbound, static header, ÷ credential_injector",
            [1.2, 1.5],
            (Outbound, Row::OutboundAttache),
            (Outbound, Row::Injector),
            [Row::Injector, Row::InjectorAgain],
        )?,
        ratio(&format!("{AGENTS} agents ÷ 1"), [1.1, 1.2], (Small, Row::Agents), (Small, Row::Silent), silent)?,
    ];
    let (module, gzip) = sizes()?;
    let mut fixed = |what: &str, bounds: [f64; 2], unit, measured: Spread, noise| {
        goals.push(Goal { what: what.to_owned(), goal: bounds[0], must: bounds[1], unit, measured, noise });
    };
    let title = format!("module, MB (in gzip {:.2})", gzip as f64 / 1e6);
    fixed(&title, [0.9, 1.3], Unit::Megabytes, Spread::of([module as f64 / 1e6]).context("no size")?, 0.0);
    fixed("first 200 over bare, ms", [450.0, 800.0], Unit::Milliseconds, starts.first_over_bare()?, starts.first_noise()?);
    fixed("RSS over bare, one worker, MiB", [45.0, 70.0], Unit::MiB, starts.rss_over_bare()?, starts.rss_noise()?);
    fixed("RSS over bare, each further worker, MiB", [2.0, 5.0], Unit::MiB, starts.rss_each_further()?, starts.rss_further_noise()?);
    Ok(goals)
}

impl Goal {
    fn line(&self, refused: &mut Refused) -> Vec<String> {
        let median = self.measured.median;
        let (noise, effect) = match self.unit {
            // What this row must be able to tell apart is the goal and the must.
            Unit::Ratio => (self.noise.max(self.measured.off(median) / median.abs()), (self.must - self.goal) / self.must),
            Unit::Milliseconds | Unit::MiB => (self.noise.max(self.measured.off(median)), self.must - self.goal),
            Unit::Megabytes => (0.0, 1.0),
        };
        let [goal, must] = [self.goal, self.must].map(|value| self.write(value));
        let shown = self.shown(noise);
        let allowed = match self.unit {
            Unit::Ratio => refused.allows(&self.what, noise, effect),
            // In the unit; a part of what is to be told apart reads better.
            _ => refused.allows(&self.what, noise / self.must, effect / self.must),
        };
        let mut line = vec![self.what.clone(), goal, must];
        if allowed {
            let extremes = if self.measured.least < self.measured.most { self.measured.extremes(self.digits()) } else { String::new() };
            line.extend([self.write(median), extremes, shown, self.verdict().to_owned()]);
        } else {
            line.extend(["-".to_owned(), String::new(), shown, "no result: noise".to_owned()]);
        }
        line
    }

    fn verdict(&self) -> &'static str {
        let median = self.measured.median;
        let unsure = self.measured.interval().is_some_and(|[low, high]| low <= self.must && self.must < high);
        match (median <= self.goal, median <= self.must, unsure) {
            (true, _, false) => "goal reached",
            (false, true, false) => "must reached",
            (_, true, true) => "must reached, just",
            (_, false, false) => "missed",
            (_, false, true) => "missed, just",
        }
    }

    fn shown(&self, noise: f64) -> String {
        match self.unit {
            Unit::Ratio => noise::part(noise),
            Unit::Megabytes => String::new(),
            _ if noise.is_finite() => format!("{noise:.*}", self.digits()),
            _ => "unknown".to_owned(),
        }
    }

    fn digits(&self) -> usize {
        match self.unit {
            Unit::Ratio | Unit::Megabytes => 2,
            Unit::MiB => 1,
            Unit::Milliseconds => 0,
        }
    }

    fn write(&self, value: f64) -> String {
        format!("{value:.*}", self.digits())
    }
}

/// Bytes of the module as it is and compressed.
pub fn sizes() -> Result<(u64, u64)> {
    let path = place::module(false);
    let output = Command::new("gzip").args(["-9", "-c"]).arg(&path).output().context("cannot run gzip")?;
    ensure!(output.status.success(), "gzip failed on {}", path.display());
    Ok((std::fs::metadata(&path)?.len(), u64::try_from(output.stdout.len())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rounds: [f64; 6], noise: f64) -> (String, String, bool) {
        let measured = Spread::of(rounds).unwrap();
        let mut refused = Refused::default();
        let goal = Goal { what: "goal".into(), goal: 0.5, must: 0.65, unit: Unit::Ratio, measured, noise };
        let cells = goal.line(&mut refused);
        (cells[3].clone(), cells[6].clone(), refused.is_empty())
    }

    #[test]
    fn a_verdict_says_on_which_side_of_goal_and_must_the_median_is() {
        let around = |median: f64| [-0.02, -0.01, 0.0, 0.0, 0.01, 0.02].map(|off| median + off);
        for (median, verdict) in
            [(0.4, "goal reached"), (0.6, "must reached"), (0.64, "must reached, just"), (0.66, "missed, just"), (1.4, "missed")]
        {
            assert_eq!(line(around(median), 0.05), (format!("{median:.2}"), verdict.to_owned(), true));
        }
    }

    #[test]
    fn a_ratio_is_not_shown_where_it_or_the_same_configuration_spreads_too_far() {
        let none = ("-".to_owned(), "no result: noise".to_owned(), false);
        assert_eq!(line([0.4; 6], 0.3), none);
        assert_eq!(line([0.1, 0.4, 0.4, 0.4, 0.4, 0.9], 0.01), none);
    }
}
