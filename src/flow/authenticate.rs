//! From what a request presents to what it proves. A bad credential is never taken for a missing one.

use super::denial::Reason;
use super::fetch::Want;
use super::runtime::{Context, Runtime};
use super::source::Lookup;
use crate::config::Scheme;
use crate::identity::bearer::{self, BearerError};
use crate::identity::demand::{Demand, Part, Proofs};
use crate::identity::{Caller, Origin};
use crate::wire::header::Headers;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the head of a request presents: all that any scheme looks at.
#[derive(Debug)]
pub struct Credentials<'h> {
    bearer: Result<Cow<'h, str>, BearerError>,
}

impl<'h> Credentials<'h> {
    /// Finds them in the head.
    #[must_use]
    pub fn read(headers: &'h Headers) -> Self {
        Self { bearer: bearer::token(headers).map(Cow::Borrowed) }
    }

    /// The same, kept beyond the head.
    #[must_use]
    pub fn into_owned(self) -> Credentials<'static> {
        Credentials { bearer: self.bearer.map(|token| Cow::Owned(token.into_owned())) }
    }
}

/// What an agent asks of callers.
#[derive(Debug, Default)]
pub struct Policy {
    /// For every operation.
    pub demand: Demand,
    /// For skills besides, by id.
    pub skills: BTreeMap<String, Demand>,
    /// The issuers (indexes) whose tokens can be of use.
    pub issuers: Vec<usize>,
    /// Those of its schemes that take tokens, with their issuers.
    bearers: Vec<(usize, Vec<usize>)>,
}

/// What became of the credentials.
#[derive(Debug)]
pub enum Identified {
    /// They are good. Whether they are enough for this policy is another question.
    As(Proofs, Rc<Policy>),
    /// They are not.
    Refused(Reason),
    /// This has to be fetched first.
    Wait(Want),
}

/// What became of a token.
#[derive(Debug)]
pub enum Authentication {
    /// It is good.
    Caller(Rc<Caller>),
    /// It is not.
    Refused(Reason),
    /// This has to be fetched first.
    Wait(Want),
}

impl Policy {
    /// Resolves requirements: scheme names of `config` with scopes. Names that do not exist are never met.
    pub fn new<'r>(
        config: &crate::config::Config,
        requirements: impl Iterator<Item = &'r BTreeMap<String, Vec<String>>>,
        skills: impl Iterator<Item = (&'r String, Vec<&'r BTreeMap<String, Vec<String>>>)>,
    ) -> Self {
        let demand = |requirements: &mut dyn Iterator<Item = &'r BTreeMap<String, Vec<String>>>| {
            let part = |(name, scopes): (&String, &Vec<String>)| {
                let scheme = config.schemes().keys().position(|own| own == name)?;
                Some(Part { scheme, scopes: scopes.clone() })
            };
            // A requirement with a part that is not known is left out whole.
            Demand::new(requirements.filter_map(|requirement| requirement.iter().map(part).collect()).collect())
        };
        let mut requirements = requirements;
        let own = demand(&mut requirements);
        let skills: BTreeMap<String, Demand> =
            skills.map(|(skill, requirements)| (skill.clone(), demand(&mut requirements.into_iter()))).collect();
        let mut used: Vec<usize> = own.schemes().chain(skills.values().flat_map(Demand::schemes)).collect();
        used.sort_unstable();
        used.dedup();
        let issuer = |name: &String| config.issuers.iter().position(|issuer| &issuer.name == name);
        let bearers: Vec<(usize, Vec<usize>)> = used
            .into_iter()
            .filter_map(|index| match config.schemes().values().nth(index)? {
                Scheme::Bearer(bearer) => Some((index, bearer.issuers.iter().filter_map(issuer).collect())),
            })
            .collect();
        let mut issuers: Vec<usize> = bearers.iter().flat_map(|(_, issuers)| issuers.iter().copied()).collect();
        issuers.sort_unstable();
        issuers.dedup();
        Self { demand: own, skills, issuers, bearers }
    }
}

impl Runtime {
    /// What `credentials` prove to agent `index`. With `may_wait`, what is missing is waited for.
    #[must_use]
    pub fn identify(&self, index: usize, credentials: &Credentials<'_>, may_wait: bool, context: &Context<'_>) -> Identified {
        let policy = match self.policy(index, context.now) {
            Ok(policy) => policy,
            Err(Lookup::Wait(want)) if may_wait => return Identified::Wait(want),
            Err(_) => return Identified::Refused(Reason::CardUnavailable),
        };
        let mut proofs = Proofs::default();
        match &credentials.bearer {
            Ok(token) => match self.authenticate(&policy.issuers, token, may_wait, context) {
                Authentication::Caller(caller) => {
                    let own = |issuers: &[usize]| matches!(caller.origin, Origin::Issuer(issuer) if issuers.contains(&issuer));
                    for (scheme, _) in policy.bearers.iter().filter(|(_, issuers)| own(issuers)) {
                        proofs.add(*scheme, Rc::clone(&caller));
                    }
                }
                Authentication::Refused(reason) => return Identified::Refused(reason),
                Authentication::Wait(want) => return Identified::Wait(want),
            },
            Err(BearerError::Missing) => {}
            Err(error) => return Identified::Refused((*error).into()),
        }
        if proofs.is_empty() { Identified::Refused(Reason::CredentialsMissing) } else { Identified::As(proofs, policy) }
    }
}
