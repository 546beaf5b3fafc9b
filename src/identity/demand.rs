//! What an agent demands of a caller: one of several requirements, each with issuers and scopes.

use super::Caller;

/// One scheme of a requirement: a token of one of `issuers` with all `scopes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerDemand {
    /// Indexes of issuers in the configuration.
    pub issuers: Vec<usize>,
    /// Every one of these.
    pub scopes: Vec<String>,
}

/// OR of ANDs, as a card's security requirements (A2A 1.0 section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(pub Vec<Vec<BearerDemand>>);

impl Demand {
    /// The issuers whose tokens can be of use.
    #[must_use]
    pub fn issuers(&self) -> Vec<usize> {
        let mut issuers: Vec<usize> = self.0.iter().flatten().flat_map(|bearer| bearer.issuers.iter().copied()).collect();
        issuers.sort_unstable();
        issuers.dedup();
        issuers
    }

    /// Whether `caller` meets one requirement whole.
    ///
    /// # Errors
    /// The scopes of the requirement that comes closest: the first that accepts the caller's issuer.
    pub fn meets(&self, caller: &Caller) -> Result<(), Vec<String>> {
        let accepts = |requirement: &Vec<BearerDemand>| requirement.iter().all(|bearer| bearer.issuers.contains(&caller.issuer));
        let mut open = self.0.iter().filter(|requirement| accepts(requirement)).peekable();
        let closest = open.peek().map(|requirement| scopes(requirement)).unwrap_or_default();
        if open.any(|requirement| scopes(requirement).iter().all(|scope| caller.scopes.contains(scope))) { Ok(()) } else { Err(closest) }
    }

    /// Whether `caller` comes from an issuer that some requirement accepts, whatever its scopes.
    #[must_use]
    pub fn knows(&self, caller: &Caller) -> bool {
        self.0.iter().any(|requirement| requirement.iter().all(|bearer| bearer.issuers.contains(&caller.issuer)))
    }

    /// The scopes of the first requirement: what a caller without a token should ask for.
    #[must_use]
    pub fn first_scopes(&self) -> Vec<String> {
        self.0.first().map(|requirement| scopes(requirement)).unwrap_or_default()
    }
}

fn scopes(requirement: &[BearerDemand]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for scope in requirement.iter().flat_map(|bearer| &bearer.scopes) {
        if !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{BearerDemand, Caller, Demand};
    use crate::identity::Kind;
    use crate::wire::time::UnixTime;

    fn caller(issuer: usize, scopes: &[&str]) -> Caller {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Caller { issuer, subject: None, client: None, kind: Kind::Service, scopes, expires: UnixTime::from_secs(0) }
    }

    fn bearer(issuers: &[usize], scopes: &[&str]) -> BearerDemand {
        BearerDemand { issuers: issuers.to_vec(), scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() }
    }

    #[test]
    fn one_requirement_must_hold_whole() {
        let demand =
            Demand(vec![vec![bearer(&[0], &["a", "b"])], vec![bearer(&[0, 1], &["c"])], vec![bearer(&[0], &[]), bearer(&[1], &[])]]);
        assert_eq!(demand.meets(&caller(0, &["b", "a"])), Ok(()));
        assert_eq!(demand.meets(&caller(1, &["c"])), Ok(()));
        assert_eq!(demand.meets(&caller(0, &["a"])), Err(vec!["a".into(), "b".into()]));
        assert_eq!(demand.meets(&caller(1, &["a", "b"])), Err(vec!["c".into()]));
        assert_eq!(demand.meets(&caller(2, &["a", "b", "c"])), Err(vec![]));
        assert!(demand.knows(&caller(1, &[])));
        assert!(!demand.knows(&caller(2, &[])));
    }
}
