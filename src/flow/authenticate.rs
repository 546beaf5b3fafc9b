//! From what a request presents to what it proves. A bad credential is never taken for a missing one.

use super::challenge::Challenges;
use super::credentials::Credentials;
use super::denial::Reason;
use super::fetch::Want;
use super::head::Target;
use super::runtime::{Context, Runtime};
use super::source::Lookup;
use crate::config::{CertificateSource, Config, Entry, Place, Scheme};
use crate::identity::basic::{self, BasicError};
use crate::identity::bearer::BearerError;
use crate::identity::confirmation::Confirmation;
use crate::identity::demand::{Demand, Part, Proofs};
use crate::identity::verify::Verified;
use crate::identity::{Caller, Kind, Origin, secret_digest};
use crate::wire::header::Headers;
use std::collections::BTreeMap;
use std::rc::Rc;

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
    /// The scheme that asks about tokens.
    introspection: Option<usize>,
    /// Schemes of API keys.
    keys: Vec<usize>,
    /// Schemes of names and passwords.
    passwords: Vec<usize>,
    /// Schemes of client certificates.
    certificates: Vec<usize>,
    /// Schemes that ask for nothing.
    open: Vec<usize>,
    /// Headers that make a difference for answers.
    carriers: Vec<String>,
    /// Proxies in front may tell of certificates.
    asks_proxies: bool,
}

/// What became of the credentials.
#[derive(Debug)]
pub enum Identified {
    /// They are good. Whether they are enough for this policy is another question; if not, the reason is this.
    As(Proofs, Rc<Policy>, Reason),
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
        config: &Config,
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
        Self { demand: own, skills, ..Self::default() }.taking(used.into_iter(), config)
    }

    /// A policy that nobody meets, but that looks at what any scheme looks at.
    #[must_use]
    pub fn of_everything(config: &Config) -> Self {
        Self::default().taking(0..config.schemes().len(), config)
    }

    fn taking(self, schemes: impl Iterator<Item = usize>, config: &Config) -> Self {
        let mut policy = self;
        for (index, scheme) in schemes.filter_map(|index| Some((index, config.scheme_at(index)?))) {
            policy.take(index, scheme, config);
        }
        policy.issuers = policy.bearers.iter().flat_map(|(_, issuers)| issuers.iter().copied()).collect();
        policy.issuers.sort_unstable();
        policy.issuers.dedup();
        policy.carriers.sort_unstable();
        policy.carriers.dedup();
        policy
    }

    fn take(&mut self, index: usize, scheme: &Scheme, config: &Config) {
        if let Some(CertificateSource::XForwardedClientCert(_)) = scheme.certificate() {
            self.asks_proxies = true;
        }
        match scheme {
            Scheme::Bearer(bearer) => {
                let issuer = |name: &String| config.issuers.iter().position(|issuer| &issuer.name == name);
                self.bearers.push((index, bearer.issuers.iter().filter_map(issuer).collect()));
                self.carriers.push("authorization".to_owned());
            }
            Scheme::Introspection(_) => {
                self.introspection = Some(index);
                self.carriers.push("authorization".to_owned());
            }
            Scheme::ApiKey(key) => {
                self.keys.push(index);
                match key.place {
                    Place::Header => self.carriers.push(key.name.clone()),
                    Place::Cookie => self.carriers.push("cookie".to_owned()),
                    // A cache tells two targets apart anyway.
                    Place::Query => {}
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
        !self.bearers.is_empty() || self.introspection.is_some()
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
        self.bearers.iter().find(|(_, issuers)| issuers.contains(&issuer)).map(|(scheme, _)| *scheme)
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

    /// The schemes that take `caller`'s token.
    fn tokens(&self, caller: &Caller) -> impl Iterator<Item = usize> {
        let origin = caller.origin;
        let verified = self.bearers.iter().filter(move |(_, issuers)| matches!(origin, Origin::Issuer(own) if issuers.contains(&own)));
        let asked = self.introspection.filter(|scheme| origin == Origin::Introspection(*scheme));
        verified.map(|(scheme, _)| *scheme).chain(asked)
    }
}

impl Runtime {
    /// What `credentials` prove at `target`. With `may_wait`, what is missing is waited for.
    #[must_use]
    pub fn identify(&self, target: Target, credentials: &Credentials<'_>, may_wait: bool, context: &Context<'_>) -> Identified {
        let policy = match self.policy_at(target, context.now) {
            Ok(policy) => policy,
            Err(Lookup::Wait(want)) if may_wait => return Identified::Wait(want),
            Err(_) => return Identified::Refused(Reason::CardUnavailable),
        };
        let mut proofs = Proofs::default();
        let mut lacking = Reason::CredentialsMissing;
        let scheme_at = |index: usize| self.config().scheme_at(index);
        // What is decided here at once comes first: nothing is fetched for a request that is refused anyway.
        for (scheme, presented) in credentials.keys.iter().filter(|(scheme, _)| policy.keys.contains(scheme)) {
            let (Some(Scheme::ApiKey(key)), Ok(presented)) = (scheme_at(*scheme), presented) else {
                return Identified::Refused(presented.err().map_or(Reason::ApiKeyUnknown, Reason::from));
            };
            match secret_digest::owner(&key.keys, presented) {
                Some(entry) => proofs.add(*scheme, Rc::new(client(*scheme, &entry.id, &entry.scopes, &entry.roles))),
                None => return Identified::Refused(Reason::ApiKeyUnknown),
            }
        }
        match credentials.password {
            _ if !policy.takes_passwords() => {}
            Err(BasicError::Missing) => {}
            Err(error) => return Identified::Refused(error.into()),
            Ok(presented) => {
                let users = policy.passwords.iter().filter_map(|index| match scheme_at(*index)? {
                    Scheme::Basic(basic) => Some((*index, secret_digest::owner(&basic.users, &presented)?)),
                    _ => None,
                });
                let users: Vec<(usize, &Entry)> = users.collect();
                if users.is_empty() {
                    return Identified::Refused(Reason::PasswordWrong);
                }
                for (scheme, entry) in users {
                    let client = client(scheme, &entry.id, &entry.scopes, &entry.roles);
                    proofs.add(scheme, Rc::new(Caller { kind: Kind::User, subject: client.client.clone(), client: None, ..client }));
                }
            }
        }
        for index in &policy.certificates {
            let Some(Scheme::MutualTls(tls)) = scheme_at(*index) else { continue };
            match credentials.certificate(&tls.from) {
                Err(_) => return Identified::Refused(Reason::CertificateRefused),
                Ok(None) => {}
                Ok(Some(peer)) => match (peer.admitted_by(&tls.allow), peer.identity()) {
                    (Some(allowed), Some(identity)) => {
                        proofs.add(*index, Rc::new(client(*index, identity.as_str(), &allowed.scopes, &allowed.roles)));
                    }
                    // Where every connection has one it is no attempt: it counts if nothing else does.
                    _ => lacking = Reason::CertificateRefused,
                },
            }
        }
        match &credentials.token {
            _ if !policy.takes_tokens() => {}
            Err(BearerError::Missing) => {}
            Err(error) => return Identified::Refused((*error).into()),
            Ok(token) => match self.token(&policy, (token, credentials.known.as_deref()), may_wait, context) {
                Authentication::Caller(caller) => {
                    let held = |scheme: &usize| scheme_at(*scheme).is_some_and(|scheme| is_held(&caller, scheme, credentials));
                    let mut schemes = policy.tokens(&caller).filter(held).peekable();
                    if schemes.peek().is_none() {
                        return Identified::Refused(Reason::TokenNotBound);
                    }
                    schemes.for_each(|scheme| proofs.add(scheme, Rc::clone(&caller)));
                }
                Authentication::Refused(reason) => return Identified::Refused(reason),
                Authentication::Wait(want) => return Identified::Wait(want),
            },
        }
        for scheme in &policy.open {
            proofs.add(*scheme, Rc::new(Caller { kind: Kind::Anonymous, ..Caller::of(Origin::Scheme(*scheme)) }));
        }
        if proofs.is_empty() { Identified::Refused(lacking) } else { Identified::As(proofs, policy, lacking) }
    }

    /// Verifies a token here, or asks about one that cannot be.
    fn token(&self, policy: &Policy, token: (&str, Option<&Verified>), may_wait: bool, context: &Context<'_>) -> Authentication {
        let authentication = self.authenticate(token, &policy.issuers, None, may_wait, context);
        let (token, _) = token;
        match (authentication, policy.introspection) {
            // Not a JWT at all, or one of an issuer whose keys nobody gave us.
            (Authentication::Refused(Reason::TokenMalformed), Some(scheme)) if !looks_like_jwt(token) => {
                self.introspect(scheme, token, may_wait, context.now)
            }
            (Authentication::Refused(Reason::TokenIssuerUnknown), Some(scheme)) => self.introspect(scheme, token, may_wait, context.now),
            (verified, _) => verified,
        }
    }
}

/// Whether `token` is meant to be a signed JWT: three parts, of which the first is an object in base64url.
fn looks_like_jwt(token: &str) -> bool {
    token.split('.').count() == 3 && token.starts_with("ey")
}

/// Whether the client has what the token is bound to, as `scheme` wants it.
fn is_held(caller: &Caller, scheme: &Scheme, credentials: &Credentials<'_>) -> bool {
    match (caller.confirmation, scheme.bound()) {
        (None, bound) => bound.is_none_or(|bound| !bound.required),
        (Some(Confirmation::Certificate(digest)), Some(bound)) => {
            let peer = credentials.certificate(&bound.from).ok().flatten();
            peer.and_then(|peer| peer.digest) == Some(digest)
        }
        // Nobody looked at the certificate, or the token wants something that nobody can check.
        (Some(_), _) => false,
    }
}

/// The caller that a key, password or certificate of `scheme` proves.
fn client(scheme: usize, id: &str, scopes: &[String], roles: &[String]) -> Caller {
    Caller { client: Some(id.to_owned()), scopes: scopes.to_vec(), roles: roles.to_vec(), ..Caller::of(Origin::Scheme(scheme)) }
}

#[cfg(test)]
mod tests {
    use super::looks_like_jwt;

    #[test]
    fn what_is_meant_to_be_a_jwt_is_never_asked_about() {
        assert!(looks_like_jwt("eyJhbGciOiJub25lIn0.e30."));
        assert!(looks_like_jwt("ey.!.?"));
        for opaque in ["", "a", "a.b.c", "ey", "ey.a", "ey.a.b.c"] {
            assert!(!looks_like_jwt(opaque), "{opaque}");
        }
    }
}
