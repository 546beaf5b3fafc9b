//! What a run measures: `BENCH` names parts, all of them otherwise.

use anyhow::{Result, bail};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// CPU time of a request beside Envoy's own filters.
    Cost,
    /// Builds of the module beside each other.
    Modules,
    /// The goals.
    Reach,
    /// Time and memory of a start.
    Start,
    /// Requests that anybody can send.
    Strangers,
    /// Calls that wait for a token.
    Cold,
    /// Calls that go as their users, and many of these.
    Users,
    /// Agents, rules, tokens and keys in growing numbers; draws.
    Growth,
}

impl Part {
    /// All, in the order in which they run, but for `start`, which is first.
    pub const ALL: [Self; 8] =
        [Self::Cost, Self::Modules, Self::Reach, Self::Start, Self::Strangers, Self::Cold, Self::Users, Self::Growth];

    /// Its name in `BENCH`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Modules => "modules",
            Self::Reach => "reach",
            Self::Start => "start",
            Self::Strangers => "strangers",
            Self::Cold => "cold",
            Self::Users => "users",
            Self::Growth => "growth",
        }
    }

    /// The parts that the environment asks for. Drawing takes long, so `growth` comes only by name or with `PLOTS=1`; `modules` and `users`,
    /// for which a hundred thousand users agree, by name.
    pub fn asked() -> Result<Vec<Self>> {
        let plots = std::env::var("PLOTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
        let names = std::env::var("BENCH").unwrap_or_default();
        let names: Vec<&str> = names.split([',', ' ']).filter(|name| !name.is_empty()).collect();
        if let Some(unknown) = names.iter().find(|name| !Self::ALL.iter().any(|part| part.name() == **name)) {
            bail!("BENCH={unknown}: the parts are {}", Self::ALL.map(Self::name).join(", "));
        }
        let wanted = |part: &Self| match part {
            Self::Growth if plots => true,
            Self::Growth | Self::Modules | Self::Users => names.contains(&part.name()),
            // Some goals are about the start.
            Self::Start if names.contains(&Self::Reach.name()) => true,
            _ => names.is_empty() || names.contains(&part.name()),
        };
        Ok(Self::ALL.into_iter().filter(wanted).collect())
    }
}
