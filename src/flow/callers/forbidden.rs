//! Why a caller who was let in may not do what it asks for, for the record alone: which rule says so, what it needs, and what the caller
//! has of it.

use crate::config::{Alternatives, Require};
use crate::flow::callers::authorize::{Admitted, subject};
use crate::flow::callers::why::place;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::identity::Caller;
use crate::identity::demand::Unmet;
use crate::policy::access;
use crate::policy::access::{Refusal, Skill, Verdict};
use crate::protocol::Operation;
use crate::wire::quoted;

impl Admitted {
    /// Why the caller may not do `operation` with `skill`.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn why(&self, agent: &Agent, operation: Operation, skill: Skill<'_>, context: &Context<'_>) -> Option<String> {
        if !context.runtime.tells() {
            return None;
        }
        let config = context.runtime.config();
        let at = place(agent.target());
        let about = match skill {
            Skill::Named(name) => format!("{} with skill {}", operation.name(), quoted::text(name)),
            Skill::Unsettled | Skill::Unnamed => operation.name().to_owned(),
        };
        let unmet = self.policy.skills.iter().find_map(|(name, demand)| match (skill, demand.meets(&self.proofs)) {
            (Skill::Named(own), _) if own != name => None,
            (_, Err(unmet)) => Some((name, unmet)),
            (_, Ok(_)) => None,
        });
        if let Some((name, unmet)) = unmet.filter(|_| matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage)) {
            let name = quoted::text(name);
            return Some(match unmet {
                Unmet::Scopes(scopes) => {
                    let has = quoted::list(&self.caller.scopes);
                    format!("the card of {at}: skill {name} needs scopes {}, the caller has {has}", quoted::list(&scopes))
                }
                Unmet::Credentials => format!("the card of {at}: skill {name} needs another credential"),
            });
        }
        let own = subject(&self.caller, config);
        if let (Operation::GetAgentCard | Operation::GetExtendedAgentCard, Some(require)) = (operation, agent.card.access.require())
            && let Err(refusal) = access::meets_any(require, &own)
        {
            return Some(self.unmet(&format!("{at}.card.access"), require, refusal, &about));
        }
        let rules = agent.access.as_deref()?;
        let (rule, verdict) = access::judge(rules, operation, skill, &own);
        let rule = rule.and_then(|place| Some((place, rules.get(place)?)));
        match (rule, verdict) {
            (Some((place, rule)), Verdict::Refused(refusal)) => {
                Some(self.unmet(&format!("{at}.access[{place}]"), &rule.require, refusal, &about))
            }
            (None, Verdict::Refused(_)) => Some(format!("{at}.access: no rule is for {about}")),
            (_, Verdict::Allowed | Verdict::Unsettled) => None,
        }
    }
}

impl Admitted {
    /// Why the caller does not meet `require`, which stands at `at`.
    fn unmet(&self, at: &str, require: &Alternatives, refusal: Refusal, about: &str) -> String {
        match (refusal, require.first(&format!("{at}.require"))) {
            (Refusal::Scopes(scopes), _) => {
                let (scopes, has) = (quoted::list(&scopes), quoted::list(&self.caller.scopes));
                format!("{at}: scopes {scopes} needed for {about}, the caller has {has}")
            }
            (Refusal::Caller(member), Some((place, first))) => {
                format!("{place}.{member}: {}, for {about}", needed(first, member, &self.caller))
            }
            (Refusal::NoRule | Refusal::Caller(_), _) => format!("{at}: no rule is for {about}"),
        }
    }
}

/// What `member` of a rule's `require` asks for, and what the caller has of it. Subjects are persons: of them only how many there are.
fn needed(require: &Require, member: &str, caller: &Caller) -> String {
    let has = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), quoted::text);
    match member {
        "kind" => {
            let kind = require.kind.map_or("", |kind| kind.as_str());
            format!("{kind:?} needed, the caller is {:?}", caller.kind.as_str())
        }
        "clients" => format!("one of {} needed, the caller is {}", quoted::list(&require.clients), has(caller.client.as_deref())),
        "tenants" => format!("one of {} needed, the caller's is {}", quoted::list(&require.tenants), has(caller.tenant.as_deref())),
        "any_role" => format!("one of {} needed, the caller has {}", quoted::list(&require.any_role), quoted::list(&caller.roles)),
        "roles" => format!("{} needed, the caller has {}", quoted::list(&require.roles), quoted::list(&caller.roles)),
        "subjects" => format!("the caller is none of {}", require.subjects.len()),
        _ => format!("one of issuers {} or schemes {} needed", quoted::list(&require.issuers), quoted::list(&require.schemes)),
    }
}
