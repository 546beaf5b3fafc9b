//! The rules of an agent one by one, as the filter judges them.

use attache::config::{Agent, Config, Rule};
use attache::identity::Caller;
use attache::policy::access::{Refusal, Skill, Subject, judge, meets_any};
use attache::protocol::Operation;
use serde_json::{Value, json};

/// What each rule says to `caller` about `operation`, and which one decides, if no rule tells skills apart.
pub fn told(agent: &Agent, operation: Operation, caller: &Caller, config: &Config) -> Vec<Value> {
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
    let tells_skills = rules.iter().any(|rule| !rule.skills.is_empty());
    let deciding = if tells_skills { None } else { judge(rules, operation, Skill::Unnamed, &subject).0 };
    let one = |(index, rule): (usize, &Rule)| {
        let (is_met, says) = match rule.covers(operation).then(|| meets_any(&rule.require, &subject)) {
            None => (None, format!("is not for {}", operation.name())),
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
