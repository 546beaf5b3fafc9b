//! What is stated of an agent in its cards, as far as the configuration says it.

use crate::card::paths::{ON_HOST, WELL_KNOWN};
use crate::card::{Capabilities, CardPaths, Requirement, Security};
use crate::config::{Agent, Config, ConfigError};
use crate::flow::supply::source::describe;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::sorted::SortedMap;

/// What is stated of one agent. Made once.
#[derive(Debug)]
pub struct Statement {
    /// Where its cards are.
    pub paths: CardPaths,
    /// Where the agent itself has its card, below its prefix, where the configuration says that.
    upstream: Option<String>,
    pub(in crate::flow) public: Option<Public>,
}

#[derive(Debug)]
pub(in crate::flow) struct Public {
    pub(in crate::flow) url: String,
    /// Newest version first.
    pub(in crate::flow) interfaces: Vec<(Version, Binding, String)>,
    pub(in crate::flow) security: Security,
    pub(in crate::flow) capabilities: Capabilities,
}

impl Statement {
    /// What the configuration states of `agent`, which stands at `at`.
    ///
    /// # Errors
    /// If a path of its cards cannot be one.
    pub fn new(config: &Config, agent: &Agent, at: &str) -> Result<Self, ConfigError> {
        let versions: Vec<Version> = agent.versions().collect();
        let paths = match &agent.card.at {
            Some(_) => CardPaths::on_host(),
            None => CardPaths::new(&agent.card.paths.0, &versions)
                .map_err(|(version, error)| ConfigError::new(format!("{at}.card.paths.{version}"), error.to_string()))?,
        };
        let public = agent.public_url.as_ref().map(|uri| {
            let url = uri.to_string();
            let url = url.strip_suffix('/').unwrap_or(&url).to_owned();
            let offers = versions.iter().rev().flat_map(|version| agent.bindings(*version).iter().map(|binding| (*version, *binding)));
            let place = |version, binding| match binding {
                Binding::Grpc => uri.authority().to_owned(),
                Binding::Jsonrpc | Binding::HttpJson => format!("{url}{}", agent.path(version, binding)),
            };
            let interfaces = offers.map(|(version, binding)| (version, binding, place(version, binding))).collect();
            let scheme = |name: &String| config.scheme(name).and_then(describe).map(|scheme| (name.clone(), scheme));
            // Where nothing is asked for, the requirement names nothing.
            let stated = |requirement: &Requirement| -> Requirement {
                requirement.iter().filter(|(name, _)| scheme(name).is_some()).map(|(name, scopes)| (name.clone(), scopes.clone())).collect()
            };
            let requirements: Vec<_> = agent.security.requirements().iter().map(|requirement| stated(&requirement.0)).collect();
            let security = Security {
                schemes: requirements.iter().flat_map(|requirement| requirement.keys().filter_map(scheme)).collect(),
                skills: skills(agent, &requirements),
                requirements,
            };
            let capabilities = Capabilities {
                streaming: agent.limits.streams(),
                push_notifications: !agent.push_notifications.hosts.is_empty(),
                extended_card: true,
            };
            Public { url, interfaces, security, capabilities }
        });
        Ok(Self { paths, upstream: agent.card.upstream_path.clone(), public })
    }
}

/// What the rules ask for skills besides: the scopes of the rule that decides about a message for each, on top of every
/// requirement. (Cards have no words for the other conditions.)
fn skills(agent: &Agent, requirements: &[Requirement]) -> SortedMap<String, Vec<Requirement>> {
    let rules = || agent.access.iter().flatten().filter(|rule| rule.covers(Operation::SendMessage));
    let mut named: SortedMap<String, Vec<Requirement>> = SortedMap::new();
    for skill in rules().flat_map(|rule| &rule.skills) {
        let Some(rule) = rules().find(|rule| rule.skills.is_empty() || rule.skills.contains(skill)) else { continue };
        // Each list of scopes that would do. Who needs none meets the requirement as it is.
        let enough: Vec<Vec<&String>> = rule
            .require
            .iter()
            .flat_map(|require| {
                let any: Vec<Option<&String>> = match require.any_scope.as_slice() {
                    [] => vec![None],
                    scopes => scopes.iter().map(Some).collect(),
                };
                any.into_iter().map(|one| require.scopes.iter().chain(one).collect())
            })
            .collect();
        let mut stated = Vec::new();
        // Nobody has no scopes.
        let named_ones = requirements.iter().filter(|requirement| !requirement.is_empty());
        for (requirement, more) in named_ones.flat_map(|requirement| enough.iter().map(move |more| (requirement, more))) {
            let with = |scopes: &Vec<String>| {
                let new = more.iter().filter(|scope| !scopes.contains(scope)).map(|scope| (*scope).clone());
                scopes.iter().cloned().chain(new).collect()
            };
            stated.push(requirement.iter().map(|(scheme, scopes)| (scheme.clone(), with(scopes))).collect());
        }
        if enough.iter().any(|scopes| !scopes.is_empty()) {
            named.insert(skill.clone(), stated);
        }
    }
    named
}

impl Statement {
    /// Where the agent itself has the card that is asked for at `suffix` below `prefix`, if it is elsewhere.
    #[must_use]
    pub fn source(&self, prefix: &str, suffix: &str) -> Option<String> {
        self.paths.find(suffix)?;
        let own = match &self.upstream {
            Some(own) => own,
            None if self.public.is_some() && suffix != ON_HOST => WELL_KNOWN,
            None => return None,
        };
        (suffix != own).then(|| format!("{}{own}", prefix.strip_suffix('/').unwrap_or(prefix)))
    }
}
