//! Whether a verified caller may do an operation: the first rule that names the operation decides, and no rule
//! means no (A2A 1.0 section 7.5 leaves the model to the server).

use crate::config::{Alternatives, Kind, Require, Rule, Voucher};
use crate::protocol::Operation;

/// The facts about a caller that rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who vouches for it.
    pub voucher: Option<Voucher<'a>>,
    /// `sub`.
    pub subject: Option<&'a str>,
    /// The client that got the token.
    pub client: Option<&'a str>,
    /// The tenant of the issuer.
    pub tenant: Option<&'a str>,
    /// User or service, if the caller is known.
    pub kind: Option<Kind>,
    /// Granted scopes.
    pub scopes: &'a [String],
    /// Granted roles.
    pub roles: &'a [String],
}

/// Why a caller may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No rule names the operation.
    NoRule,
    /// These scopes would do.
    Scopes(Vec<String>),
    /// The caller is not one of those that the rule admits: by this member of the first requirement.
    Caller(&'static str),
}

/// What is known of the skill that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skill<'a> {
    /// It may still be named: the body has not come so far.
    Unsettled,
    /// None is named.
    Unnamed,
    /// This one.
    Named(&'a str),
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The caller may.
    Allowed,
    /// It depends on the skill, which is not settled.
    Unsettled,
    /// The caller may not.
    Refused(Refusal),
}

/// Whether `subject` may do `operation` under `rules`: the first rule decides that names the operation and, if it names
/// skills, the request's skill.
///
/// A message that names no skill may make the agent use any. It has to meet every rule for skills that stands before the
/// one that decides: leaving the name out never gives more than saying it.
#[must_use]
pub fn decide(rules: &[Rule], operation: Operation, skill: Skill<'_>, subject: &Subject<'_>) -> Verdict {
    judge(rules, operation, skill, subject).1
}

/// The same, with the place of the rule that decided, if one did.
#[must_use]
pub fn judge(rules: &[Rule], operation: Operation, skill: Skill<'_>, subject: &Subject<'_>) -> (Option<usize>, Verdict) {
    let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.covers(operation)) {
        match skill {
            _ if rule.skills.is_empty() => {}
            Skill::Unsettled => return (None, Verdict::Unsettled),
            Skill::Named(name) if rule.skills.iter().any(|own| own == name) => {}
            Skill::Unnamed if sends => match meets_any(&rule.require, subject) {
                Ok(()) => continue,
                Err(refusal) => return (Some(index), Verdict::Refused(refusal)),
            },
            Skill::Named(_) | Skill::Unnamed => continue,
        }
        return (Some(index), meets_any(&rule.require, subject).map_or_else(Verdict::Refused, |()| Verdict::Allowed));
    }
    (None, Verdict::Refused(Refusal::NoRule))
}

/// Whether one of `alternatives` is met.
///
/// # Errors
/// Why not: the scopes that would do for the first that lacks nothing else, or else what the first wants.
pub fn meets_any(alternatives: &Alternatives, subject: &Subject<'_>) -> Result<(), Refusal> {
    let mut closest = None;
    for require in alternatives.iter() {
        match (meets(require, subject), &closest) {
            (Ok(()), _) => return Ok(()),
            (Err(refusal @ Refusal::Scopes(_)), None | Some(Refusal::Caller(_))) | (Err(refusal), None) => closest = Some(refusal),
            (Err(_), Some(_)) => {}
        }
    }
    Err(closest.unwrap_or(Refusal::NoRule))
}

fn meets(require: &Require, subject: &Subject<'_>) -> Result<(), Refusal> {
    let one_of = |list: &[String], value: Option<&str>| list.is_empty() || value.is_some_and(|value| list.iter().any(|one| one == value));
    let vouched = match subject.voucher {
        _ if require.issuers.is_empty() && require.schemes.is_empty() => true,
        Some(Voucher::Issuer(name)) => require.issuers.iter().any(|own| own == name),
        Some(Voucher::Scheme(name)) => require.schemes.iter().any(|own| own == name),
        None => false,
    };
    let conditions = [
        ("kind", require.kind.is_none_or(|kind| Some(kind) == subject.kind)),
        ("clients", one_of(&require.clients, subject.client)),
        ("subjects", one_of(&require.subjects, subject.subject)),
        (if require.issuers.is_empty() { "schemes" } else { "issuers" }, vouched),
        ("tenants", one_of(&require.tenants, subject.tenant)),
        ("any_role", require.any_role.is_empty() || require.any_role.iter().any(|role| subject.roles.contains(role))),
        ("roles", require.roles.iter().all(|role| subject.roles.contains(role))),
    ];
    if let Some((member, _)) = conditions.into_iter().find(|(_, holds)| !holds) {
        return Err(Refusal::Caller(member));
    }
    if !require.scopes.iter().all(|scope| subject.scopes.contains(scope)) {
        return Err(Refusal::Scopes(require.scopes.clone()));
    }
    match require.any_scope.first() {
        Some(first) if !require.any_scope.iter().any(|scope| subject.scopes.contains(scope)) => {
            // One is enough, so one is named; with the others that are needed anyway.
            Err(Refusal::Scopes(require.scopes.iter().chain([first]).cloned().collect()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Operation, Refusal, Rule, Skill, Subject, Verdict, Voucher, decide};
    use serde_json::{Value, json};

    fn ask(rules: Value, operation: Operation, change: impl Fn(&mut Subject<'_>)) -> Result<(), Refusal> {
        match ask_of(rules, operation, Skill::Unnamed, change) {
            Verdict::Allowed => Ok(()),
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Unsettled => unreachable!(),
        }
    }

    fn ask_of(rules: Value, operation: Operation, skill: Skill<'_>, change: impl Fn(&mut Subject<'_>)) -> Verdict {
        let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
        let scopes = ["agent:read".to_owned(), "agent:execute".to_owned()];
        let roles = ["Foundry User".to_owned()];
        let mut subject = Subject {
            voucher: Some(Voucher::Issuer("corp")),
            subject: Some("ann"),
            client: Some("cli"),
            tenant: None,
            kind: Some(Kind::User),
            scopes: &scopes,
            roles: &roles,
        };
        change(&mut subject);
        decide(&rules, operation, skill, &subject)
    }

    #[test]
    fn the_first_rule_that_names_the_operation_decides() {
        let rules = json!([
            {"operations": ["CancelTask"], "require": {"scopes": ["agent:admin"]}},
            {"operations": ["execute"], "require": {"any_scope": ["agent:execute", "agent:admin"]}},
            {"operations": ["read"]}
        ]);
        assert_eq!(ask(rules.clone(), Operation::SendMessage, |_| ()), Ok(()));
        assert_eq!(ask(rules.clone(), Operation::GetTask, |_| ()), Ok(()));
        assert_eq!(ask(rules.clone(), Operation::CancelTask, |_| ()), Err(Refusal::Scopes(vec!["agent:admin".into()])));
        assert_eq!(ask(rules.clone(), Operation::CreateTaskPushNotificationConfig, |_| ()), Err(Refusal::NoRule));
        assert_eq!(ask(rules, Operation::SendMessage, |subject| subject.scopes = &[]), Err(Refusal::Scopes(vec!["agent:execute".into()])));
    }

    #[test]
    fn every_condition_counts() {
        for (require, admits) in [
            (json!({}), true),
            (json!({"kind": "user"}), true),
            (json!({"kind": "service"}), false),
            (json!({"clients": ["other", "cli"]}), true),
            (json!({"clients": ["other"]}), false),
            (json!({"subjects": ["ann"]}), true),
            (json!({"subjects": ["bob"]}), false),
            (json!({"issuers": ["corp"]}), true),
            (json!({"issuers": ["else"]}), false),
            (json!({"tenants": ["t"]}), false),
            (json!({"roles": ["Foundry User"]}), true),
            (json!({"roles": ["Foundry User", "Owner"]}), false),
        ] {
            let rules = json!([{"operations": ["any"], "require": require}]);
            let member = require.as_object().unwrap().keys().next().map(String::as_str);
            let wanted = if admits { None } else { member };
            let refused = match ask(rules, Operation::GetTask, |_| ()) {
                Err(Refusal::Caller(member)) => Some(member),
                other => other.map(|()| None).unwrap(),
            };
            assert_eq!(refused, wanted, "{require}");
        }
    }

    #[test]
    fn a_name_counts_with_who_vouches_for_it() {
        let rules = json!([{"operations": ["any"], "require": {"clients": ["cli"], "issuers": ["corp"], "schemes": ["key"]}}]);
        for (voucher, admits) in [
            (Some(Voucher::Issuer("corp")), true),
            (Some(Voucher::Scheme("key")), true),
            (Some(Voucher::Issuer("key")), false),
            (Some(Voucher::Scheme("corp")), false),
            (Some(Voucher::Issuer("partner")), false),
            (None, false),
        ] {
            // Subjects of the test borrow for as long as it runs.
            let answer = ask(rules.clone(), Operation::GetTask, |subject| subject.voucher = voucher);
            assert_eq!(answer.is_ok(), admits, "{voucher:?}");
        }
    }

    #[test]
    fn a_rule_for_a_skill_decides_about_that_skill() {
        let rules = json!([
            {"operations": ["execute"], "skills": ["approve"], "require": {"scopes": ["expense:approve"]}},
            {"operations": ["execute", "read"], "skills": ["submit"], "require": {"scopes": ["agent:execute"]}},
            {"operations": ["any"], "require": {"any_scope": ["agent:read"]}}
        ]);
        let send = |skill| ask_of(rules.clone(), Operation::SendMessage, skill, |_| ());
        let approve = Verdict::Refused(Refusal::Scopes(vec!["expense:approve".into()]));
        assert_eq!(send(Skill::Named("approve")), approve);
        assert_eq!(send(Skill::Named("submit")), Verdict::Allowed);
        assert_eq!(send(Skill::Named("other")), Verdict::Allowed);
        assert_eq!(send(Skill::Unsettled), Verdict::Unsettled);
        assert_eq!(send(Skill::Unnamed), approve, "without a name it may be any skill");
        let get = |skill| ask_of(rules.clone(), Operation::GetTask, skill, |_| ());
        assert_eq!(get(Skill::Unnamed), Verdict::Allowed, "reading a task uses no skill");
        let all = ["agent:read".to_owned(), "agent:execute".to_owned(), "expense:approve".to_owned()];
        let whole = ask_of(rules.clone(), Operation::SendStreamingMessage, Skill::Unnamed, |subject| {
            // The test's subjects borrow for longer than this list lives.
            subject.scopes = Box::leak(Box::new(all.clone()));
        });
        assert_eq!(whole, Verdict::Allowed);
    }
}
