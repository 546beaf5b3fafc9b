//! Whether a caller is let in, and may do what it asks for: `security` first, then the rules, with the skill that the
//! request is for where rules or the agent's card tell skills apart.

use crate::config::{Agent, Config, HeaderSource, SkillFrom};
use crate::flow::callers::authenticate::Proven;
use crate::flow::callers::credentials::Credentials;
use crate::flow::callers::why;
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::facts::is_shadowed;
use crate::flow::request::inspect::{Plans, Reader};
use crate::flow::request::policy::Policy;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::identity::demand::{Proofs, Unmet};
use crate::identity::{Caller, Forwarded};
use crate::policy::access;
use crate::policy::access::{Refusal, Skill, Verdict};
use crate::protocol::Operation;
use crate::wire::header::Headers;
use crate::wire::sorted::SortedSet;
use std::rc::Rc;

/// A caller who was let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who it is.
    pub caller: Rc<Caller>,
    pub(super) proofs: Proofs,
    pub(super) policy: Rc<Policy>,
}

/// Whether a caller is let in.
pub enum Admission {
    /// Yes.
    As(Admitted),
    /// No, but that is only reported. With the caller, if it is one whom we know.
    Shadowed(Option<Admitted>, Denial),
    /// No. With the caller, if it is one whom we know.
    Refused(Option<Admitted>, Denial),
    /// That depends on something that has to be fetched.
    Wait(Want),
}

/// Holds what `credentials` prove against the policy of `destination`. A card needs an accepted identity; everything else its scopes as
/// well. With `may_wait`, what is missing is waited for.
#[must_use]
pub fn admit(destination: &Destination, is_card: bool, credentials: &Credentials<'_>, may_wait: bool, context: &Context<'_>) -> Admission {
    let agent = destination.agent();
    let refuse = |admitted, denial: Denial| match agent {
        Some(agent) if is_shadowed(agent, denial.reason) => Admission::Shadowed(admitted, denial),
        _ => Admission::Refused(admitted, denial),
    };
    let unauthenticated = |reason, proofs: Option<&Proofs>| {
        let detail = why::unauthenticated(reason, credentials, proofs, destination, context);
        context.runtime.unauthenticated(destination, reason, context.now).because(detail)
    };
    let (proofs, policy, lacking) = match context.runtime.identify(destination, credentials, may_wait, context) {
        Sought::Here(Proven { proofs, policy, lacking }) => (proofs, policy, lacking),
        Sought::No(reason) => return refuse(None, unauthenticated(reason, None)),
        Sought::Wait(want) => return Admission::Wait(want),
    };
    let met = match policy.demand.knows(&proofs) {
        Some(caller) if is_card => Ok(caller),
        _ => policy.demand.meets(&proofs),
    };
    match met {
        // Without the header an agent could take the claim for one that the token does not have.
        Ok(caller) if agent.is_some_and(|agent| asks_in_vain(agent, &caller)) => {
            refuse(None, unauthenticated(Reason::TokenClaimRefused, Some(&proofs)))
        }
        Ok(caller) => Admission::As(Admitted { caller, proofs, policy }),
        Err(Unmet::Credentials) => refuse(None, unauthenticated(lacking, Some(&proofs))),
        Err(Unmet::Scopes(scopes)) => {
            let detail = why::lacks_scopes(&scopes, &proofs, &policy, destination, context);
            let known = policy.demand.knows(&proofs).map(|caller| Admitted { caller, proofs, policy });
            let denial = Denial { scopes, ..Denial::new(Reason::InsufficientScope) }.because(detail);
            refuse(known, context.runtime.at(destination, denial, context.now))
        }
    }
}

/// Whether `agent` asks for a claim of the caller that no header can say.
fn asks_in_vain(agent: &Agent, caller: &Caller) -> bool {
    agent.forward.headers.iter().any(|header| match header.source {
        HeaderSource::Claim(index) => caller.forwarded.get(index) == Some(&Forwarded::Unfit),
        HeaderSource::Member(..) => false,
    })
}

impl Admitted {
    /// Whether the caller may do `operation` with `skill`. `false`: that depends on the skill, which is not settled.
    /// Cards are not under rules, but for what `card.access` asks.
    ///
    /// # Errors
    /// The refusal.
    pub fn may(&self, agent: &Agent, operation: Operation, skill: Skill<'_>, config: &Config) -> Result<bool, Denial> {
        if let (Operation::GetAgentCard | Operation::GetExtendedAgentCard, Some(require)) = (operation, agent.card.access.require()) {
            access::meets_any(require, &subject(&self.caller, config)).map_err(|refusal| self.denial(refusal))?;
        }
        if operation == Operation::GetAgentCard {
            return Ok(true);
        }
        let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
        let demands = match skill {
            _ if self.policy.skills.is_empty() => Vec::new(),
            Skill::Named(name) => self.policy.skills.get(name).into_iter().collect(),
            Skill::Unsettled => return Ok(false),
            // It may make the agent use any.
            Skill::Unnamed if sends => self.policy.skills.values().collect(),
            Skill::Unnamed => Vec::new(),
        };
        for demand in demands {
            demand.meets(&self.proofs).map_err(|unmet| match unmet {
                Unmet::Scopes(scopes) => self.lacks(scopes),
                Unmet::Credentials => Denial::new(Reason::AccessDenied),
            })?;
        }
        let Some(rules) = &agent.access else { return Ok(true) };
        match access::decide(rules, operation, skill, &subject(&self.caller, config)) {
            Verdict::Allowed => Ok(true),
            Verdict::Unsettled => Ok(false),
            Verdict::Refused(refusal) => Err(self.denial(refusal)),
        }
    }

    fn denial(&self, refusal: Refusal) -> Denial {
        match refusal {
            Refusal::Scopes(scopes) => self.lacks(scopes),
            Refusal::NoRule | Refusal::Caller(_) => Denial::new(Reason::AccessDenied),
        }
    }
}

/// Whether somebody whom we do not know may do `operation` with `skill`: only what every rule and every skill leaves open.
/// `false`: that depends on the skill, which is not settled.
///
/// # Errors
/// The refusal.
pub fn may_anyone(agent: &Agent, policy: &Policy, operation: Operation, skill: Skill<'_>) -> Result<bool, Denial> {
    let is_card = matches!(operation, Operation::GetAgentCard | Operation::GetExtendedAgentCard);
    if is_card && agent.card.access.require().is_some() {
        return Err(Denial::new(Reason::AccessDenied));
    }
    if operation == Operation::GetAgentCard {
        return Ok(true);
    }
    let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
    match skill {
        _ if policy.skills.is_empty() => {}
        Skill::Unsettled => return Ok(false),
        Skill::Named(name) if policy.skills.contains_key(name) => return Err(Denial::new(Reason::AccessDenied)),
        Skill::Unnamed if sends => return Err(Denial::new(Reason::AccessDenied)),
        Skill::Named(_) | Skill::Unnamed => {}
    }
    let Some(rules) = &agent.access else { return Ok(true) };
    let nobody = access::Subject { voucher: None, subject: None, client: None, tenant: None, kind: None, scopes: &[], roles: &[] };
    match access::decide(rules, operation, skill, &nobody) {
        Verdict::Allowed => Ok(true),
        Verdict::Unsettled => Ok(false),
        // Scopes are no use to somebody who has no token.
        Verdict::Refused(_) => Err(Denial::new(Reason::AccessDenied)),
    }
}

impl Admitted {
    /// How the caller was judged, for its trace: places of the configuration and what was missing there.
    #[must_use]
    pub fn judged(&self, agent: &Agent, asked: Option<(Operation, Skill<'_>)>, config: &Config) -> String {
        let security = match (self.policy.demand.place(&self.proofs), self.policy.demand.meets(&self.proofs)) {
            (Some(place), Ok(_)) => format!("security[{place}]: met"),
            (Some(place), Err(Unmet::Scopes(scopes))) => format!("security[{place}]: needs scopes {}", scopes.join(" ")),
            (Some(_), Err(Unmet::Credentials)) | (None, _) => "security: no requirement is met".to_owned(),
        };
        let Some((operation, skill)) = asked else { return security };
        let Some(rules) = agent.access.as_ref().filter(|_| operation != Operation::GetAgentCard) else { return security };
        let (place, verdict) = access::judge(rules, operation, skill, &subject(&self.caller, config));
        let rule = place.map_or_else(|| "access".to_owned(), |place| format!("access[{place}]"));
        match verdict {
            Verdict::Allowed => format!("{security}; {rule}: allows"),
            Verdict::Unsettled => format!("{security}; {rule}: depends on the skill"),
            Verdict::Refused(Refusal::NoRule) => format!("{security}; {rule}: no rule is for this"),
            Verdict::Refused(Refusal::Caller(member)) => format!("{security}; {rule}: require.{member} is not met"),
            Verdict::Refused(Refusal::Scopes(scopes)) => format!("{security}; {rule}: needs scopes {}", scopes.join(" ")),
        }
    }

    /// The refusal that names all scopes of a token that would do: those that let the caller in, and `more`.
    fn lacks(&self, more: Vec<String>) -> Denial {
        let mut scopes = self.policy.demand.met(&self.proofs);
        let new: Vec<String> = more.into_iter().filter(|scope| !scopes.contains(scope)).collect();
        scopes.extend(new);
        Denial { scopes, ..Denial::new(Reason::InsufficientScope) }
    }
}

/// Those of `skills` that a caller may use in messages; without a caller, those that everybody may who is let in at all.
#[must_use]
pub fn usable<'s>(
    skills: impl Iterator<Item = &'s str>,
    admitted: Option<&Admitted>,
    agent: &Agent,
    policy: Option<&Policy>,
    config: &Config,
) -> SortedSet<String> {
    let restricted = |skill: &str| {
        agent.access.iter().flatten().any(|rule| rule.skills.iter().any(|own| own == skill))
            || policy.is_some_and(|policy| policy.skills.contains_key(skill))
    };
    let may = |skill: &&str| match admitted {
        None => !restricted(skill),
        Some(admitted) => [Operation::SendMessage, Operation::SendStreamingMessage]
            .iter()
            .any(|operation| admitted.may(agent, *operation, Skill::Named(skill), config) == Ok(true)),
    };
    skills.filter(may).map(str::to_owned).collect()
}

/// Where a request named its skill before its body came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Nowhere, and it will not.
    Nothing,
    /// In the path.
    Path(String),
    /// It may in the metadata of its message.
    Metadata,
}

impl Spoken {
    /// What the head says. `path` is the skill in the path.
    #[must_use]
    pub fn new(from: Option<&SkillFrom>, path: Option<&str>, headers: &Headers) -> Self {
        match (from, path) {
            (Some(SkillFrom::Path(_)), Some(skill)) => Self::Path(skill.to_owned()),
            (Some(SkillFrom::MetadataKey(_)), _) => Self::Metadata,
            (Some(SkillFrom::Extension(uri)), _) if activates(headers, uri.as_str()) => Self::Metadata,
            (Some(SkillFrom::Extension(_) | SkillFrom::Path(_)) | None, _) => Self::Nothing,
        }
    }

    /// The skill, as far as it is known.
    ///
    /// # Errors
    /// If it is named twice, or by something that is no text.
    pub fn skill<'a>(&'a self, operation: Operation, reader: Option<&'a Reader>, plans: &Plans) -> Result<Skill<'a>, Denial> {
        match (self, reader) {
            (Self::Path(skill), _) => Ok(Skill::Named(skill)),
            (Self::Metadata, Some(reader)) => plans.skill(reader, operation),
            (Self::Metadata | Self::Nothing, _) => Ok(Skill::Unnamed),
        }
    }
}

/// Whether the request activates the extension `uri` (A2A 1.0 section 3.2.6; 0.3 has the name with `X-`).
fn activates(headers: &Headers, uri: &str) -> bool {
    ["a2a-extensions", "x-a2a-extensions"]
        .iter()
        .flat_map(|name| headers.all(name))
        .flat_map(|line| line.split(|byte| *byte == b','))
        .any(|one| one.trim_ascii() == uri.as_bytes())
}

/// The caller as rules see it.
pub(in crate::flow) fn subject<'a>(caller: &'a Caller, config: &'a Config) -> access::Subject<'a> {
    access::Subject {
        voucher: caller.origin.voucher(config),
        subject: caller.subject.as_deref(),
        client: caller.client.as_deref(),
        tenant: caller.tenant.as_deref(),
        kind: Some(caller.kind),
        scopes: &caller.scopes,
        roles: &caller.roles,
    }
}
