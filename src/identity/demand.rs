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
pub struct Demand {
    requirements: Vec<BearerDemand>,
    issuers: Vec<usize>,
}

impl Demand {
    /// One of `requirements` must hold, with all its schemes. There is one token, so schemes that must hold
    /// together come down to the issuers that all of them accept and the scopes of all.
    #[must_use]
    pub fn new(requirements: Vec<Vec<BearerDemand>>) -> Self {
        let requirements: Vec<BearerDemand> = requirements.into_iter().filter_map(|schemes| schemes.into_iter().reduce(both)).collect();
        let mut issuers: Vec<usize> = requirements.iter().flat_map(|requirement| requirement.issuers.iter().copied()).collect();
        issuers.sort_unstable();
        issuers.dedup();
        Self { requirements, issuers }
    }

    /// The issuers whose tokens can be of use.
    #[must_use]
    pub fn issuers(&self) -> &[usize] {
        &self.issuers
    }

    /// Whether `caller` meets one requirement whole.
    ///
    /// # Errors
    /// The scopes of the requirement that comes closest: the first that accepts the caller's issuer.
    pub fn meets(&self, caller: &Caller) -> Result<(), &[String]> {
        let mut closest = None;
        for requirement in self.requirements.iter().filter(|requirement| requirement.issuers.contains(&caller.issuer)) {
            if requirement.scopes.iter().all(|scope| caller.scopes.contains(scope)) {
                return Ok(());
            }
            closest = closest.or(Some(requirement.scopes.as_slice()));
        }
        Err(closest.unwrap_or_default())
    }

    /// Whether `caller` comes from an issuer that some requirement accepts, whatever its scopes.
    #[must_use]
    pub fn knows(&self, caller: &Caller) -> bool {
        self.issuers.contains(&caller.issuer)
    }

    /// The scopes of the first requirement: what a caller without a token should ask for.
    #[must_use]
    pub fn first_scopes(&self) -> &[String] {
        self.requirements.first().map_or(&[], |requirement| &requirement.scopes)
    }
}

fn both(mut one: BearerDemand, other: BearerDemand) -> BearerDemand {
    one.issuers.retain(|issuer| other.issuers.contains(issuer));
    for scope in other.scopes {
        if !one.scopes.contains(&scope) {
            one.scopes.push(scope);
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::{BearerDemand, Caller, Demand};
    use crate::identity::Kind;
    use crate::wire::time::UnixTime;

    fn caller(issuer: usize, scopes: &[&str]) -> Caller {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Caller {
            issuer,
            subject: None,
            client: None,
            kind: Kind::Service,
            scopes,
            roles: vec![],
            tenant: None,
            expires: UnixTime::from_secs(0),
        }
    }

    fn bearer(issuers: &[usize], scopes: &[&str]) -> BearerDemand {
        BearerDemand { issuers: issuers.to_vec(), scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() }
    }

    fn missing(demand: &Demand, caller: &Caller) -> Option<Vec<String>> {
        demand.meets(caller).err().map(<[String]>::to_vec)
    }

    #[test]
    fn one_requirement_must_hold_whole() {
        let demand = Demand::new(vec![
            vec![bearer(&[0], &["a"]), bearer(&[0, 3], &["b", "a"])],
            vec![bearer(&[0, 1], &["c"])],
            vec![bearer(&[0], &[]), bearer(&[1], &[])],
        ]);
        assert_eq!(demand.issuers(), [0, 1]);
        assert_eq!(demand.first_scopes(), ["a", "b"]);
        assert_eq!(missing(&demand, &caller(0, &["b", "a"])), None);
        assert_eq!(missing(&demand, &caller(1, &["c"])), None);
        assert_eq!(missing(&demand, &caller(0, &["a"])), Some(vec!["a".into(), "b".into()]));
        assert_eq!(missing(&demand, &caller(1, &["a", "b"])), Some(vec!["c".into()]));
        assert_eq!(missing(&demand, &caller(3, &["a", "b", "c"])), Some(vec![]));
        assert!(demand.knows(&caller(1, &[])));
        assert!(!demand.knows(&caller(3, &[])));
    }

    #[test]
    fn schemes_without_a_common_issuer_can_never_hold() {
        let demand = Demand::new(vec![vec![bearer(&[0], &[]), bearer(&[1], &[])]]);
        assert_eq!(missing(&demand, &caller(0, &[])), Some(vec![]));
        assert!(demand.issuers().is_empty());
    }
}
