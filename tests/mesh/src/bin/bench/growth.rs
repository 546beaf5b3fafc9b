//! How a request's cost grows with agents, access rules, tokens and keys. Drawn into `docs/growth-*.svg`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::place;
use serde_json::{Value, json};

use crate::cpu::{self, Clock};
use crate::kind::{Kind, Loads};
use crate::load::{self, Load, Visited};
use crate::noise::{self, Refused};
use crate::plot::Plot;
use crate::rows::{self, Base, Row, TOKENS};
use crate::spread::Spread;
use crate::table::{self, Table};
use crate::tokens;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Agents,
    Rules,
    Tokens,
    Keys,
}

impl Axis {
    const ALL: [Self; 4] = [Self::Agents, Self::Rules, Self::Tokens, Self::Keys];

    fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Rules => "rules",
            Self::Tokens => "tokens",
            Self::Keys => "keys",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Agents => "Agents on one host; the last one is called",
            Self::Rules => "Access rules of the agent; the last one decides",
            Self::Tokens => "Different tokens in turn, all seen before",
            Self::Keys => "Keys of the issuer; every token is new and of the last key",
        }
    }

    fn counts(self) -> &'static [usize] {
        match self {
            Self::Agents => &[1, 10, 100, 1000],
            Self::Rules => &[1, 10, 100],
            Self::Tokens => &[1, 100, TOKENS],
            // A set holds 64 at most.
            Self::Keys => &[1, 8, 64],
        }
    }

    /// What the drawing compares with.
    fn reference(self) -> Row {
        if self == Self::Keys { Row::JwtUncached } else { Row::Native }
    }

    fn kind(self) -> Kind {
        if self == Self::Keys { Kind::FirstSight } else { Kind::Small }
    }

    fn file(self, count: usize, base: &Base) -> Result<EnvoyFile> {
        let mut file = Row::Silent.file(base)?;
        file.edit_plugin(|plugin| match self {
            Self::Agents => rows::add_agents(plugin, count),
            Self::Rules => add_rules(plugin, count),
            Self::Tokens => {}
            Self::Keys => add_keys(plugin, count),
        })?;
        Ok(file)
    }
}

/// The last of `count` rules is the first for messages.
fn add_rules(plugin: &mut Value, count: usize) {
    let others = (1..count).map(|number| json!({"operations": ["CancelTask"], "require": {"scopes": [format!("scope-{number}")]}}));
    let scope = plugin["agents"][0]["security"][0]["oauth2"][0].clone();
    let last = json!({"operations": ["SendMessage"], "require": {"scopes": [scope]}});
    plugin["agents"][0]["access"] = others.chain([last]).collect();
}

/// The issuer's key becomes the last of `count`.
fn add_keys(plugin: &mut Value, count: usize) {
    if let Some(keys) = plugin["issuers"][0]["jwks"]["inline"]["keys"].as_array_mut() {
        keys.splice(0..0, (1..count).map(|number| tokens::made_up_key(&format!("other-{number}"), 256)));
    }
}

/// One Envoy, its load, and what it cost by round.
struct Target {
    what: What,
    envoy: Envoy,
    clock: Clock,
    load: Arc<Load>,
    costs: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Point(Axis, usize),
    Row(Row, Kind),
}

/// What was measured.
pub struct Growth {
    targets: Vec<Target>,
}

/// Measures all points in `rounds` rounds.
pub async fn measure(rounds: usize, seconds: f64, base: &Base, loads: &Loads) -> Result<Growth> {
    use Kind::{FirstSight, Small};
    let rows = [(Row::Bare, Small), (Row::Native, Small), (Row::Bare, FirstSight), (Row::JwtUncached, FirstSight)];
    let points = Axis::ALL.into_iter().flat_map(|axis| axis.counts().iter().map(move |count| What::Point(axis, *count)));
    let mut targets = Vec::new();
    for what in rows.into_iter().map(|(row, kind)| What::Row(row, kind)).chain(points) {
        eprintln!("  growth, starting {what:?}");
        targets.push(start(what, base, loads).await.with_context(|| format!("{what:?}"))?);
    }
    cpu::separate(&targets.iter().map(|target| target.envoy.process().pid()).collect::<Vec<_>>())?;
    for round in 1..=rounds {
        let visited: Vec<_> = targets.iter().map(Target::visited).collect();
        let samples = load::round(&visited, Duration::from_secs_f64(seconds)).await?;
        for (target, sample) in targets.iter_mut().zip(samples) {
            target.costs.push(sample.cost());
        }
        eprintln!("  growth, round {round} of {rounds}");
    }
    Ok(Growth { targets })
}

async fn start(what: What, base: &Base, loads: &Loads) -> Result<Target> {
    let (file, load, name) = match what {
        What::Row(row, kind) => (row.file(base)?, loads.of(kind)?, format!("{row:?}-{kind:?}")),
        What::Point(Axis::Tokens, count) => {
            (Axis::Tokens.file(count, base)?, loads.some(Kind::SmallMany, count)?, format!("tokens-{count}"))
        }
        What::Point(axis, count) => (axis.file(count, base)?, loads.of(axis.kind())?, format!("{}-{count}", axis.name())),
    };
    let envoy = Envoy::start(&format!("bench-growth-{name}").to_lowercase(), &file, Options::default().workers(1)).await?;
    // New tokens must stay new.
    if !matches!(what, What::Point(Axis::Keys, _) | What::Row(_, Kind::FirstSight)) {
        load::each_token_once(envoy.port(), &load).await?;
    }
    Ok(Target { what, clock: Clock::of(envoy.process().pid())?, envoy, load, costs: Vec::new() })
}

impl Growth {
    fn target(&self, what: What) -> Result<&Target> {
        self.targets.iter().find(|target| target.what == what).with_context(|| format!("nothing measured of {what:?}"))
    }

    /// What a target adds to the bare router, by round.
    fn added(&self, what: What) -> Result<Vec<f64>> {
        let kind = match what {
            What::Row(_, kind) => kind,
            What::Point(axis, _) => axis.kind(),
        };
        let bare = &self.target(What::Row(Row::Bare, kind))?.costs;
        Ok(self.target(what)?.costs.iter().zip(bare).map(|(cost, bare)| cost - bare).collect())
    }

    /// The table, if the same configuration was close enough to itself.
    pub fn table(&self, refused: &mut Refused) -> Result<Option<Table>> {
        // One agent and one token: the same.
        let again = self.added(What::Point(Axis::Tokens, 1))?.into_iter();
        let ratios = again.zip(self.added(What::Point(Axis::Agents, 1))?).map(|(again, one)| again / one);
        if !refused.allows("growth", Spread::of(ratios).context("no rounds")?.off(1.0), noise::MOST) {
            return Ok(None);
        }
        let bare = self.target(What::Row(Row::Bare, Kind::Small))?.memory()?;
        let mut table = table::head(["what grows", "how many", "cost µs", "min..max", "RSS over bare, MiB"]);
        for axis in Axis::ALL {
            for count in axis.counts() {
                let what = What::Point(axis, *count);
                let mut line = vec![axis.name().to_owned(), count.to_string()];
                line.extend(Spread::of(self.added(what)?).context("no rounds")?.micros());
                line.push(format!("{:.1}", self.target(what)?.memory()? - bare));
                table.push(line);
            }
        }
        Ok(Some(table))
    }

    /// Writes the drawings.
    pub fn draw(&self) -> Result<()> {
        for axis in Axis::ALL {
            let point = |count: &usize| Ok((*count, Spread::of(self.added(What::Point(axis, *count))?).context("no rounds")?));
            let reference = Spread::of(self.added(What::Row(axis.reference(), axis.kind()))?).context("no rounds")?;
            let plot = Plot {
                title: axis.title().to_owned(),
                x: axis.name().to_owned(),
                y: "CPU µs a request over a bare router".to_owned(),
                points: axis.counts().iter().map(point).collect::<Result<_>>()?,
                reference: Some((axis.reference().title(), reference.median)),
            };
            let path = place::root().join(format!("docs/growth-{}.svg", axis.name()));
            std::fs::write(&path, plot.svg()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The drawings, as the document shows them.
    pub fn images() -> String {
        Axis::ALL.map(|axis| format!("![{}](growth-{}.svg)\n", axis.title(), axis.name())).join("\n")
    }
}

impl Target {
    fn visited(&self) -> Visited<'_> {
        Visited { name: format!("{:?}", self.what), port: self.envoy.port(), load: &self.load, clock: self.clock }
    }

    fn memory(&self) -> Result<f64> {
        Ok(self.envoy.process().memory("VmRSS")? as f64 / (1024.0 * 1024.0))
    }
}
