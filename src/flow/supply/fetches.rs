//! What is fetched, from its beginning to its end, whatever it is.

use crate::config::{Issuer, Jwks};
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::supply::keys::Keyrings;
use crate::flow::supply::shared::Terms;
use crate::flow::supply::store::Supply;
use crate::wire::caching::Caching;
use crate::wire::time::UnixTime;
use serde_json::{Value, json};

/// The members of an issuer that say where its keys are, and what is asked of them on the way.
const OF_KEYS: [&str; 4] = ["issuer", "preset", "tenants", "jwks"];

impl Supply {
    /// What should be fetched now, without anyone asking.
    #[must_use]
    pub fn due(&self, now: UnixTime) -> Vec<Want> {
        self.keyrings
            .borrow()
            .due(now)
            .map(Want::Keys)
            .chain(self.sources.due(now))
            .chain(self.due_credentials(now))
            .chain(self.due_remotes(now))
            .chain(self.due_questions())
            .chain(self.due_grants(now))
            .collect()
    }

    /// Begins a fetch: the call to make, or `None` if one is under way or there is nothing to fetch.
    pub fn begin(&self, want: Want, now: UnixTime) -> Option<Call> {
        match want {
            Want::Keys(index) => self.keyrings.borrow_mut().begin(index, self.config.issuers.get(index)?, now),
            Want::Card(index) => self.sources.begin(index, &self.config, now),
            Want::Introspection(key) => self.begin_introspection(&key),
            Want::Secret(index) => self.begin_secret(index, now),
            Want::Token(key) => self.begin_token(&key, now),
            Want::RemoteCard(index) => self.begin_remote(index, now),
            Want::Grant(key) => self.begin_grant(&key, now),
            Want::Server(index) => self.begin_server(index, now),
            Want::Job(number) => self.begin_job(number, now),
        }
    }

    /// The call that follows the one that was just completed, if the fetch takes several: it has not ended then.
    pub fn proceed(&self, want: Want) -> Option<Call> {
        match want {
            Want::Keys(index) => self.keyrings.borrow_mut().proceed(index, self.config.issuers.get(index)?),
            Want::Grant(key) => self.proceed_grant(&key),
            Want::Job(number) => self.next_of_job(number),
            Want::Card(_) | Want::Introspection(_) | Want::Secret(_) | Want::Token(_) | Want::RemoteCard(_) | Want::Server(_) => None,
        }
    }

    /// Ends a fetch. `caching` is what the answer's headers say; only cards of remote agents go by it ([`Supply::heeds_caching`]).
    ///
    /// # Errors
    /// What was wrong with the answer, for the log. What was there before stays.
    pub fn complete(&self, want: Want, answer: Answer<'_>, caching: &Caching, now: UnixTime) -> Result<(), String> {
        match want {
            Want::Keys(index) => self.complete_keys(index, now, |keyrings, issuer| keyrings.complete(index, issuer, answer, now)),
            Want::Card(index) => match self.sources.complete(index, answer, &self.config, now) {
                Ok(warnings) => {
                    self.warnings.borrow_mut().extend(warnings);
                    Ok(())
                }
                Err(error) => {
                    let name = self.config.agents.get(index).map_or("", |agent| &agent.name);
                    Err(format!("agents[{index}].card.source.remote: no card of {name:?} could be fetched: {error}"))
                }
            },
            Want::Introspection(key) => self.complete_introspection(&key, answer, now),
            Want::Secret(index) => self.complete_secret(index, answer, now),
            Want::Token(key) => self.complete_token(&key, answer, now),
            Want::RemoteCard(index) => self.complete_remote(index, answer, caching, now),
            Want::Grant(key) => self.complete_grant(&key, answer, now),
            Want::Server(index) => self.complete_server(index, answer, now),
            Want::Job(number) => self.complete_job(number, answer, now),
        }
    }

    /// Whether what is fetched says itself how long it is kept.
    #[must_use]
    pub const fn heeds_caching(want: Want) -> bool {
        matches!(want, Want::RemoteCard(_))
    }

    /// Everything that workers share, each with what its note is sealed by: what `configuration` says of the source itself. So its note
    /// outlives a change of anything else.
    pub fn shared(&self, configuration: &[u8]) -> impl Iterator<Item = (Want, Vec<u8>)> {
        let configuration: Value = serde_json::from_slice(configuration).unwrap_or_default();
        (0..self.config.issuers.len()).filter(|index| self.terms(Want::Keys(*index)).is_some()).map(move |index| {
            let issuer = configuration.get("issuers").and_then(|issuers| issuers.get(index));
            let said = OF_KEYS.map(|member| issuer.and_then(|issuer| issuer.get(member)));
            (Want::Keys(index), self.sealed(&json!(said).to_string()))
        })
    }

    /// What workers note for each other of this, if it is anything that all may have.
    pub fn terms(&self, want: Want) -> Option<Terms> {
        match want {
            Want::Keys(index) => self.keyrings.borrow().terms(index, self.config.issuers.get(index)?),
            Want::Card(_)
            | Want::Introspection(_)
            | Want::Secret(_)
            | Want::Token(_)
            | Want::RemoteCard(_)
            | Want::Grant(_)
            | Want::Server(_)
            | Want::Job(_) => None,
        }
    }

    /// Ends a fetch with what another worker fetched at `at`.
    ///
    /// # Errors
    /// As [`Supply::complete`].
    pub fn adopt(&self, want: Want, answer: Answer<'_>, at: UnixTime) -> Result<(), String> {
        match want {
            Want::Keys(index) => self.complete_keys(index, at, |keyrings, issuer| keyrings.adopt(index, issuer, answer, at)),
            Want::Card(_)
            | Want::Introspection(_)
            | Want::Secret(_)
            | Want::Token(_)
            | Want::RemoteCard(_)
            | Want::Grant(_)
            | Want::Server(_)
            | Want::Job(_) => Ok(()),
        }
    }

    /// Ends a fetch of the keys of issuer `index` with `end`, `now` or when another worker had them.
    pub(super) fn complete_keys(
        &self,
        index: usize,
        now: UnixTime,
        end: impl FnOnce(&mut Keyrings, &Issuer) -> Result<bool, String>,
    ) -> Result<(), String> {
        let Some(issuer) = self.config().issuers.get(index) else { return Ok(()) };
        let completed = end(&mut self.keyrings.borrow_mut(), issuer);
        match completed {
            Ok(true) => {
                self.remembered.borrow_mut().forget(index);
                self.warnings.borrow_mut().extend(self.keyrings.borrow().warning(index, issuer, now));
            }
            Ok(false) => {}
            Err(error) => {
                let place = if matches!(issuer.jwks, Jwks::Discovery(_)) { "discovery" } else { "remote" };
                return Err(format!("issuers[{index}].jwks.{place}: no keys of {:?} could be fetched: {error}", issuer.name));
            }
        }
        Ok(())
    }
}
