//! What stands in a configuration and can never mean anything: rules that no request reaches, and names that nothing uses. Said at start;
//! none of it is an error, since it may be on its way in or out.

use super::{Agent, Config, Demanded, Jwks, Rule};
use crate::protocol::{Operation, Version};
use serde_json::Value;

/// Ends of URLs where issuers describe themselves (OpenID Connect Discovery 1.0, RFC 8414).
const DISCOVERY: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

/// Names that are used somewhere.
#[derive(Default)]
struct Used<'a> {
    issuers: Vec<&'a str>,
    schemes: Vec<&'a str>,
    secrets: Vec<&'a str>,
}

impl<'a> Used<'a> {
    /// Takes every name below `value` that stands where names of these are used.
    fn take(&mut self, value: &'a Value) {
        let text = |value: &'a Value| value.as_str().into_iter();
        let list = |value: &'a Value| value.as_array().into_iter().flatten().filter_map(Value::as_str);
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.take(value)),
            Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "secret" => self.secrets.extend(text(value)),
                        "issuers" => self.issuers.extend(list(value)),
                        "issuer" => self.issuers.extend(text(value)),
                        "schemes" => self.schemes.extend(list(value)),
                        "scheme" => self.schemes.extend(text(value)),
                        "security" => {
                            let requirements = value.as_array().into_iter().flatten().filter_map(Value::as_object);
                            self.schemes.extend(requirements.flat_map(|requirement| requirement.keys().map(String::as_str)));
                        }
                        _ => {}
                    }
                    self.take(value);
                }
            }
            _ => {}
        }
    }
}

/// Names of issuers, schemes and secrets in `config` that nothing in its text uses.
pub(super) fn unused(config: &Config, json: &[u8]) -> Vec<String> {
    let Ok(document) = serde_json::from_slice::<Value>(json) else { return Vec::new() };
    let mut used = Used::default();
    used.take(&document);
    let mut said = Vec::new();
    for (index, issuer) in config.issuers.iter().enumerate().filter(|(_, issuer)| !used.issuers.contains(&issuer.name.as_str())) {
        said.push(format!("issuers[{index}]: no scheme takes tokens of {:?}, and nothing else uses it", issuer.name));
    }
    // A card can name any scheme.
    let by_card = config.agents.iter().any(|agent| matches!(agent.security, Demanded::FromCard));
    for name in config.schemes().keys().filter(|name| !by_card && !used.schemes.contains(&name.as_str())) {
        said.push(format!("schemes.{name}: no security names it"));
    }
    for name in config.secrets().keys().filter(|name| !used.secrets.contains(&name.as_str())) {
        said.push(format!("secrets.{name}: nothing uses it"));
    }
    let apps = || config.connections.iter().filter_map(|connection| connection.user_passthrough()?.app.as_ref());
    for name in config.oauth_apps.0.keys().filter(|name| !apps().any(|used| &used == name)) {
        said.push(format!("oauth_apps.{name}: no connection uses it"));
    }
    said
}

impl Config {
    /// Rules that no request reaches, and keys that are looked for where issuers describe themselves.
    pub(super) fn idle(&self) -> impl Iterator<Item = String> {
        let rules = self.agents.iter().enumerate().flat_map(|(index, agent)| {
            let rules = agent.access.as_deref().unwrap_or_default();
            rules.iter().enumerate().filter_map(move |(place, rule)| {
                let why = is_idle(rule, rules.get(..place).unwrap_or_default(), agent)?;
                Some(format!("agents[{index}].access[{place}]: no request reaches this rule: {why}"))
            })
        });
        let keys = self.issuers.iter().enumerate().filter_map(|(index, issuer)| match &issuer.jwks {
            Jwks::Remote(remote) if DISCOVERY.iter().any(|end| remote.uri.path().ends_with(end)) => Some(format!(
                "issuers[{index}].jwks.remote.uri: is where an issuer describes itself, not a JWK Set: write \"discovery\" in place of \"remote\""
            )),
            _ => None,
        });
        rules.chain(keys)
    }
}

/// Why no request reaches `rule` of `agent`, which stands behind `earlier`.
fn is_idle(rule: &Rule, earlier: &[Rule], agent: &Agent) -> Option<String> {
    let covered = || Operation::ALL.into_iter().filter(|operation| rule.covers(*operation));
    let asked = || covered().filter(|operation| *operation != Operation::GetAgentCard);
    if asked().next().is_none() {
        return Some("cards are under card.access, not under rules".to_owned());
    }
    if !asked().any(|operation| is_offered(agent, operation)) {
        return Some("the agent does not offer its operations".to_owned());
    }
    // The first rule decides that names the operation, whatever it requires.
    let takes = |before: &Rule, operation| {
        before.covers(operation)
            && (before.skills.is_empty() || !rule.skills.is_empty() && rule.skills.iter().all(|skill| before.skills.contains(skill)))
    };
    let decides = |operation| earlier.iter().position(|before| takes(before, operation));
    let places: Option<Vec<usize>> = asked().filter(|operation| is_offered(agent, *operation)).map(decides).collect();
    let mut places = places?;
    places.sort_unstable();
    places.dedup();
    let places: Vec<String> = places.iter().map(|place| format!("access[{place}]")).collect();
    Some(format!("{} decides before it, whatever that requires", places.join(" or ")))
}

/// Whether `agent` has `operation` at all.
fn is_offered(agent: &Agent, operation: Operation) -> bool {
    let streams = agent.limits.streaming != Some(false);
    match operation {
        Operation::SendStreamingMessage | Operation::SubscribeToTask => streams,
        // A2A 0.3 has it over HTTP+JSON alone.
        Operation::ListTasks if !agent.offers_by_card() => {
            agent.versions().any(|version| version != Version::V0_3 || agent.offers(version, crate::protocol::Binding::HttpJson))
        }
        _ => true,
    }
}
