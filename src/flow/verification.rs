//! Verifies tokens. A signature is checked once; whether what is signed is good is judged for each request.

use super::authenticate::Authentication;
use super::denial::Reason;
use super::fetch::Want;
use super::keys::Found;
use super::metric::Tally;
use super::runtime::{Context, Runtime};
use crate::identity::verify::{self, Verified};
use std::rc::Rc;

impl Runtime {
    /// What `token` says, if its signature was verified before.
    #[must_use]
    pub fn recall(&self, token: &str) -> Option<Rc<Verified>> {
        self.remembered.borrow_mut().recall(token)
    }

    /// Verifies `token` where tokens of `accepted` issuers are taken that name one of `audiences`; one of their issuer's, if that
    /// is `None`. `known` is what [`Runtime::recall`] has of it. With `may_wait`, missing keys are waited for once.
    #[must_use]
    pub fn authenticate(
        &self,
        (token, known): (&str, Option<&Verified>),
        accepted: &[usize],
        audiences: Option<&[String]>,
        may_wait: bool,
        context: &Context<'_>,
    ) -> Authentication {
        let now = context.now;
        let issuer = |index: usize| self.config().issuers.get(index).ok_or(Authentication::Refused(Reason::TokenIssuerUnknown));
        let judge = |verified: &Verified| {
            let issuer = issuer(verified.issuer)?;
            let judged = verified.judge(issuer, audiences.unwrap_or(&issuer.audiences), now);
            judged.map_err(|error| Authentication::Refused(error.into()))
        };
        // A signature is worth no more than its key: beyond max_stale neither counts.
        if let Some(known) = known.filter(|known| self.keyrings.borrow().is_usable(known.issuer, now)) {
            Tally::add(&self.tally().remembered, 1);
            return match accepted.contains(&known.issuer) {
                true => judge(known).map_or_else(|refused| refused, Authentication::Caller),
                false => Authentication::Refused(Reason::TokenIssuerUnknown),
            };
        }
        let parts = match verify::open(token, &self.config().issuers, accepted) {
            Ok(parts) => parts,
            Err(error) => return Authentication::Refused(error.into()),
        };
        let issuer = match issuer(parts.issuer) {
            Ok(issuer) => issuer,
            Err(refused) => return refused,
        };
        let keys = match self.keyrings.borrow_mut().find(&parts, issuer, may_wait, now) {
            Found::Keys(keys) => keys,
            Found::Wait => return Authentication::Wait(Want::Keys(parts.issuer)),
            Found::Refused(reason) => return Authentication::Refused(reason),
        };
        Tally::add(&self.tally().examined, 1);
        let verified = match parts.verify(issuer, &keys, context.verifier) {
            Ok(verified) => Rc::new(verified),
            Err(error) => return Authentication::Refused(error.into()),
        };
        match judge(&verified) {
            Ok(caller) => {
                self.remembered.borrow_mut().remember(token, verified);
                Authentication::Caller(caller)
            }
            Err(refused) => refused,
        }
    }
}
