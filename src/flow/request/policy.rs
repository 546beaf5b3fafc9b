//! What an agent or a connection asks of callers: its requirements, resolved to the schemes of the configuration. Made once.

use crate::config::{CertificateSource, Config, KeyPlace, Scheme};
use crate::flow::refusal::challenge::Challenges;
use crate::identity::basic;
use crate::identity::basic::BasicError;
use crate::identity::demand::{Demand, Part};
use crate::identity::verify::Taken;
use crate::wire::header::Headers;
use crate::wire::sorted::SortedMap;

/// What an agent asks of callers.
#[derive(Debug, Default)]
pub struct Policy {
    /// For every operation.
    pub demand: Demand,
    /// For skills besides, by id.
    pub skills: SortedMap<String, Demand>,
    /// Tokens that its schemes take, by scheme and issuer.
    pub tokens: Vec<Taken>,
    /// The scheme that asks about tokens.
    pub(in crate::flow) introspection: Option<usize>,
    /// Schemes of API keys.
    pub(in crate::flow) keys: Vec<usize>,
    /// Schemes of names and passwords.
    pub(in crate::flow) passwords: Vec<usize>,
    /// Schemes of client certificates.
    pub(in crate::flow) certificates: Vec<usize>,
    /// Schemes that ask for nothing.
    pub(in crate::flow) open: Vec<usize>,
    /// Headers that make a difference for answers.
    pub(in crate::flow) carriers: Vec<String>,
    /// Proxies in front may tell of certificates.
    pub(in crate::flow) asks_proxies: bool,
}

impl Policy {
    /// Resolves requirements: scheme names of `config` with scopes. Names that do not exist are never met. `audiences`: those of the
    /// agent, if it has some of its own.
    pub fn new<'r>(
        config: &Config,
        audiences: Option<&[String]>,
        requirements: impl Iterator<Item = &'r SortedMap<String, Vec<String>>>,
        skills: impl Iterator<Item = (&'r String, Vec<&'r SortedMap<String, Vec<String>>>)>,
    ) -> Self {
        let demand = |requirements: &mut dyn Iterator<Item = &'r SortedMap<String, Vec<String>>>| {
            let part = |(name, scopes): (&String, &Vec<String>)| {
                let scheme = config.schemes().keys().position(|own| own == name)?;
                Some(Part { scheme, scopes: scopes.clone() })
            };
            // A requirement with a part that is not known is left out whole.
            Demand::new(requirements.filter_map(|requirement| requirement.iter().map(part).collect()).collect())
        };
        let mut requirements = requirements;
        let own = demand(&mut requirements);
        let skills: SortedMap<String, Demand> =
            skills.map(|(skill, requirements)| (skill.clone(), demand(&mut requirements.into_iter()))).collect();
        let mut used: Vec<usize> = own.schemes().chain(skills.values().flat_map(Demand::schemes)).collect();
        used.sort_unstable();
        used.dedup();
        Self { demand: own, skills, ..Self::default() }.taking(used.into_iter(), audiences, config)
    }

    /// A policy that nobody meets, but that looks at what any scheme looks at.
    #[must_use]
    pub fn of_everything(config: &Config) -> Self {
        Self::default().taking(0..config.schemes().len(), None, config)
    }

    fn taking(self, schemes: impl Iterator<Item = usize>, audiences: Option<&[String]>, config: &Config) -> Self {
        let mut policy = self;
        for (index, scheme) in schemes.filter_map(|index| Some((index, config.scheme_at(index)?))) {
            policy.take(index, scheme, audiences, config);
        }
        policy.carriers.sort_unstable();
        policy.carriers.dedup();
        policy
    }

    fn take(&mut self, index: usize, scheme: &Scheme, audiences: Option<&[String]>, config: &Config) {
        if let Some(CertificateSource::XForwardedClientCert(_)) = scheme.certificate() {
            self.asks_proxies = true;
        }
        match scheme {
            Scheme::Bearer(bearer) => {
                let taken = config.issuers.iter().enumerate().filter(|(_, issuer)| bearer.issuers.contains(&issuer.name));
                let own = bearer.own_terms(audiences);
                self.tokens.extend(taken.map(|(issuer, known)| Taken { scheme: index, issuer, terms: known.terms.with(&own) }));
                self.carriers.push("authorization".to_owned());
            }
            Scheme::Introspection(_) => {
                self.introspection = Some(index);
                self.carriers.push("authorization".to_owned());
            }
            Scheme::ApiKey(key) => {
                self.keys.push(index);
                match key.place {
                    KeyPlace::Header => self.carriers.push(key.name.clone()),
                    KeyPlace::Cookie => self.carriers.push("cookie".to_owned()),
                    // A cache tells two targets apart anyway.
                    KeyPlace::Query => {}
                }
            }
            Scheme::Basic(_) => {
                self.passwords.push(index);
                self.carriers.push("authorization".to_owned());
            }
            Scheme::MutualTls(_) => self.certificates.push(index),
            Scheme::None(_) => self.open.push(index),
        }
    }

    /// Whether some scheme takes tokens.
    #[must_use]
    pub const fn takes_tokens(&self) -> bool {
        !self.tokens.is_empty() || self.introspection.is_some()
    }

    /// Whether some scheme takes names and passwords.
    #[must_use]
    pub const fn takes_passwords(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether the agent may have the `Authorization` header. Passwords stop here; what no scheme looks at goes on only where
    /// the agent asks for nothing and decides itself.
    #[must_use]
    pub fn passes_authorization(&self, headers: &Headers) -> bool {
        let is_password = self.takes_passwords() && basic::presented(headers) != Err(BasicError::Missing);
        (self.takes_tokens() || self.is_open()) && !is_password
    }

    /// The first scheme that takes tokens of this issuer (index).
    #[must_use]
    pub fn scheme_of(&self, issuer: usize) -> Option<usize> {
        self.tokens.iter().find(|taken| taken.issuer == issuer).map(|taken| taken.scheme)
    }

    /// The schemes of API keys.
    #[must_use]
    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// Whether proxies in front may tell of certificates.
    #[must_use]
    pub const fn asks_proxies(&self) -> bool {
        self.asks_proxies
    }

    /// The headers that carry its credentials, in lower case.
    pub fn carriers(&self) -> impl Iterator<Item = &str> {
        self.carriers.iter().map(String::as_str)
    }

    /// What callers are asked for; `metadata`: the URL of the metadata about its tokens.
    #[must_use]
    pub fn challenges(&self, config: &Config, metadata: Option<String>) -> Challenges {
        let mut challenges = Challenges {
            tokens: self.takes_tokens(),
            passwords: self.takes_passwords(),
            certificates: !self.certificates.is_empty(),
            keys: Vec::new(),
            metadata,
        };
        for scheme in self.keys.iter().filter_map(|index| config.scheme_at(*index)) {
            if let Scheme::ApiKey(key) = scheme {
                challenges.add_key(key);
            }
        }
        challenges
    }
}
