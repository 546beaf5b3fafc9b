//! Refusals at an agent or a connection, with what a client needs to do better.

use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::resource::MetadataPlace;
use crate::flow::setup::runtime::Runtime;
use crate::flow::supply::sought::Sought;
use crate::wire::time::UnixTime;
use std::rc::Rc;

impl Runtime {
    /// A refusal of a credential, or for want of one, at `destination`, with what a client needs to get a better one.
    #[must_use]
    pub fn unauthenticated(&self, destination: &Destination, reason: Reason, now: UnixTime) -> Denial {
        let mut denial = self.at(destination, Denial::new(reason), now);
        if let Sought::Here(policy) = destination.policy(self.supply(), now) {
            denial.scopes = policy.demand.first_scopes();
            let audience = policy.tokens.first().and_then(|taken| taken.terms.audiences.first());
            if let (Reason::TokenAudienceMismatch, Some(audience)) = (reason, audience) {
                denial = denial.advise(format!("The token was issued for another audience: ask for one for {audience}."));
            }
        }
        match (reason, denial.challenges.clone()) {
            (Reason::CredentialsMissing, Some(challenges)) => denial.advise(challenges.advice()),
            (Reason::CredentialsRepeated, Some(challenges)) if !challenges.keys.is_empty() || challenges.passwords => {
                denial.advise("Send one Authorization header at most, and each API key once.")
            }
            _ => denial,
        }
    }

    /// `denial` at `destination`, with its challenges.
    #[must_use]
    pub fn at(&self, destination: &Destination, denial: Denial, now: UnixTime) -> Denial {
        let metadata = destination.agent().and_then(|agent| agent.metadata.as_ref());
        let denial = denial.at(destination.name());
        // Only these have challenges; the others are made for requests that are never refused, too.
        let (true, Sought::Here(policy)) = (matches!(denial.reason.http_status(), 401 | 403), destination.policy(self.supply(), now))
        else {
            return denial;
        };
        let metadata = metadata.filter(|_| policy.takes_tokens());
        let challenges = policy.challenges(self.config(), metadata.map(MetadataPlace::url));
        let denial = match denial.reason {
            Reason::InsufficientScope if !challenges.tokens => denial.advise("This caller lacks a scope: ask the agent's operator."),
            _ => denial,
        };
        Denial { challenges: Some(Rc::new(challenges)), ..denial }
    }
}
