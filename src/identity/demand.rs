//! What an agent demands of a caller: one of several requirements, each of one or more schemes with scopes. What a
//! request has proved is held against it.

use super::Caller;
use std::rc::Rc;

/// One scheme of a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the scheme.
    pub scheme: usize,
    /// Every one of these.
    pub scopes: Vec<String>,
}

/// OR of ANDs, as a card's security requirements (A2A 1.0 section 4.4). No requirement, or an empty one, is never met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    requirements: Vec<Vec<Part>>,
}

/// What a request has proved: who it comes from, by scheme (index). One token may prove several schemes.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    /// Most requests prove one scheme.
    first: Option<(usize, Rc<Caller>)>,
    others: Vec<(usize, Rc<Caller>)>,
}

/// Why a demand is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// No requirement has a proof of each of its schemes.
    Credentials,
    /// These scopes would do: those of the first requirement that has its proofs.
    Scopes(Vec<String>),
}

impl Proofs {
    /// Adds a proof.
    pub fn add(&mut self, scheme: usize, caller: Rc<Caller>) {
        match &self.first {
            None => self.first = Some((scheme, caller)),
            Some(_) => self.others.push((scheme, caller)),
        }
    }

    /// The schemes (indexes) that are proved.
    pub fn schemes(&self) -> impl Iterator<Item = usize> {
        self.first.iter().chain(&self.others).map(|(scheme, _)| *scheme)
    }

    /// Whether nothing is proved.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn of(&self, scheme: usize) -> Option<&Rc<Caller>> {
        self.first.iter().chain(&self.others).find(|(own, _)| *own == scheme).map(|(_, caller)| caller)
    }

    /// The caller that `parts` prove: the one of a token, if there is one, since it says more than a key or a certificate.
    fn caller(&self, parts: &[Part]) -> Option<&Rc<Caller>> {
        let mut callers = parts.iter().filter_map(|part| self.of(part.scheme));
        let first = callers.next();
        first.into_iter().chain(callers).find(|caller| caller.origin.is_token()).or(first)
    }
}

impl Demand {
    /// One of `requirements` must hold, with all its schemes.
    #[must_use]
    pub fn new(requirements: Vec<Vec<Part>>) -> Self {
        Self { requirements: requirements.into_iter().filter(|parts| !parts.is_empty()).collect() }
    }

    /// Every scheme that is named, some more than once.
    pub fn schemes(&self) -> impl Iterator<Item = usize> {
        self.requirements.iter().flatten().map(|part| part.scheme)
    }

    /// The schemes (indexes) of each requirement.
    pub fn requirements(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        self.requirements.iter().map(|parts| parts.iter().map(|part| part.scheme))
    }

    /// The caller, if `proofs` meet one requirement whole: the first that they do.
    ///
    /// # Errors
    /// What is missing.
    pub fn meets(&self, proofs: &Proofs) -> Result<Rc<Caller>, Unmet> {
        let mut closest = None;
        for parts in self.proved(proofs) {
            let granted =
                |part: &Part| proofs.of(part.scheme).is_some_and(|caller| part.scopes.iter().all(|scope| caller.scopes.contains(scope)));
            match proofs.caller(parts) {
                Some(caller) if parts.iter().all(granted) => return Ok(Rc::clone(caller)),
                _ => closest = closest.or(Some(parts)),
            }
        }
        Err(closest.map_or(Unmet::Credentials, |parts| Unmet::Scopes(scopes(parts))))
    }

    /// The scopes of the requirement that [`Demand::meets`] found to hold.
    #[must_use]
    pub fn met(&self, proofs: &Proofs) -> Vec<String> {
        let whole = |parts: &&Vec<Part>| {
            parts
                .iter()
                .all(|part| proofs.of(part.scheme).is_some_and(|caller| part.scopes.iter().all(|scope| caller.scopes.contains(scope))))
        };
        self.proved(proofs).find(whole).map_or_else(Vec::new, scopes)
    }

    /// The place of the requirement that decides in [`Demand::meets`], if one has its proofs.
    #[must_use]
    pub fn place(&self, proofs: &Proofs) -> Option<usize> {
        let proved = |parts: &Vec<Part>| parts.iter().all(|part| proofs.of(part.scheme).is_some());
        let granted =
            |part: &Part| proofs.of(part.scheme).is_some_and(|caller| part.scopes.iter().all(|scope| caller.scopes.contains(scope)));
        let whole = self.requirements.iter().position(|parts| parts.iter().all(granted));
        whole.or_else(|| self.requirements.iter().position(proved))
    }

    /// The caller, if `proofs` have what some requirement names, whatever the scopes.
    #[must_use]
    pub fn knows(&self, proofs: &Proofs) -> Option<Rc<Caller>> {
        self.proved(proofs).find_map(|parts| proofs.caller(parts)).cloned()
    }

    fn proved<'a>(&'a self, proofs: &'a Proofs) -> impl Iterator<Item = &'a Vec<Part>> {
        self.requirements.iter().filter(|parts| parts.iter().all(|part| proofs.of(part.scheme).is_some()))
    }

    /// The scopes of the first requirement: what a caller without a token should ask for.
    #[must_use]
    pub fn first_scopes(&self) -> Vec<String> {
        self.requirements.first().map_or_else(Vec::new, scopes)
    }

    /// Every scope that is named for one of these schemes, each once.
    #[must_use]
    pub fn all_scopes(&self, of: impl Fn(usize) -> bool) -> Vec<String> {
        scopes(self.requirements.iter().flatten().filter(|part| of(part.scheme)))
    }
}

/// The scopes of all parts, each once.
fn scopes<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for scope in parts.into_iter().flat_map(|part| &part.scopes) {
        if !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Caller, Demand, Part, Proofs, Rc, Unmet};
    use crate::identity::Origin;

    fn caller(origin: Origin, scopes: &[&str]) -> Rc<Caller> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Rc::new(Caller { scopes, ..Caller::of(origin) })
    }

    fn part(scheme: usize, scopes: &[&str]) -> Part {
        Part { scheme, scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() }
    }

    /// A token that proves `schemes`.
    fn token(schemes: &[usize], scopes: &[&str]) -> Proofs {
        let caller = caller(Origin::Issuer(0), scopes);
        let mut proofs = Proofs::default();
        schemes.iter().for_each(|scheme| proofs.add(*scheme, Rc::clone(&caller)));
        proofs
    }

    #[test]
    fn one_requirement_must_hold_whole() {
        let demand = Demand::new(vec![vec![part(0, &["a"]), part(1, &["b", "a"])], vec![part(2, &["c"])], vec![part(0, &["d"])], vec![]]);
        assert_eq!(demand.first_scopes(), ["a", "b"]);
        assert_eq!(demand.schemes().collect::<Vec<_>>(), [0, 1, 2, 0]);
        for (proofs, met) in [
            (token(&[0, 1], &["b", "a"]), Ok(())),
            (token(&[2], &["c"]), Ok(())),
            (token(&[0, 1], &["d"]), Ok(())),
            (token(&[0, 1], &["a"]), Err(Unmet::Scopes(vec!["a".into(), "b".into()]))),
            (token(&[0], &["a", "b"]), Err(Unmet::Scopes(vec!["d".into()]))),
            (token(&[1], &["a", "b", "c", "d"]), Err(Unmet::Credentials)),
            (token(&[], &["a"]), Err(Unmet::Credentials)),
        ] {
            assert_eq!(demand.meets(&proofs).map(drop), met, "{proofs:?}");
            assert_eq!(demand.place(&proofs).is_none(), met == Err(Unmet::Credentials), "{proofs:?}");
        }
        assert_eq!((demand.place(&token(&[2], &["c"])), demand.place(&token(&[0, 1], &["d"]))), (Some(1), Some(2)));
        assert!(demand.knows(&token(&[0], &[])).is_some());
        assert!(demand.knows(&token(&[1], &[])).is_none());
    }

    #[test]
    fn nothing_demanded_is_never_met() {
        let proofs = token(&[0], &[]);
        assert!(Demand::new(vec![vec![]]).meets(&proofs).is_err());
        assert!(Demand::default().knows(&proofs).is_none());
    }

    #[test]
    fn a_token_says_more_than_a_key() {
        let mut proofs = Proofs::default();
        proofs.add(0, caller(Origin::Scheme(0), &[]));
        proofs.add(1, caller(Origin::Issuer(3), &[]));
        let met = |parts| Demand::new(vec![parts]).meets(&proofs).unwrap().origin;
        assert_eq!(met(vec![part(0, &[]), part(1, &[])]), Origin::Issuer(3));
        assert_eq!(met(vec![part(0, &[])]), Origin::Scheme(0));
    }
}
