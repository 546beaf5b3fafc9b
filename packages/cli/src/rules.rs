//! The rules of an agent one by one, as the filter judges them.

use attache::config::{Agent, Config, Rule};
use attache::identity::Caller;
use attache::policy::access::{Refusal, Skill, Subject, judge, meets_any};
use attache::protocol::Operation;
use serde_json::{Value, json};

/// What each rule says to `caller` about `operation` with `skill`, and which one decides.
pub fn told(agent: &Agent, (operation, skill): (Operation, Skill<'_>), caller: &Caller, config: &Config) -> Vec<Value> {
    let Some(rules) = &agent.access else { return Vec::new() };
    let subject = Subject {
        voucher: caller.origin.voucher(config),
        subject: caller.subject.as_deref(),
        client: caller.client.as_deref(),
        tenant: caller.tenant.as_deref(),
        kind: Some(caller.kind),
        scopes: &caller.scopes,
        roles: &caller.roles,
    };
    let deciding = judge(rules, operation, skill, &subject).0;
    let is_for_others = |rule: &Rule| match skill {
        Skill::Named(name) => !rule.skills.is_empty() && !rule.skills.iter().any(|own| own == name),
        Skill::Unnamed | Skill::Unsettled => false,
    };
    let one = |(index, rule): (usize, &Rule)| {
        let (is_met, says) = match rule.covers(operation).then(|| meets_any(&rule.require, &subject)) {
            None => (None, format!("is not for {}", operation.name())),
            Some(_) if is_for_others(rule) => (None, "is for other skills".to_owned()),
            Some(Ok(())) => (Some(true), "is met".to_owned()),
            Some(Err(Refusal::Caller(member))) => (Some(false), format!("require.{member} is not met")),
            Some(Err(Refusal::Scopes(scopes))) => (Some(false), format!("scopes {} are needed", scopes.join(" "))),
            Some(Err(Refusal::NoRule)) => (Some(false), "admits nobody".to_owned()),
        };
        let skills = if rule.skills.is_empty() { Value::Null } else { json!(rule.skills) };
        json!({"rule": format!("access[{index}]"), "met": is_met, "says": says, "decides": deciding == Some(index), "skills": skills})
    };
    rules.iter().enumerate().map(one).collect()
}
