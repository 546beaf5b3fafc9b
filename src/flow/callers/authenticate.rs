//! From what a request presents to what it proves. A bad credential is never taken for a missing one.

use crate::config::{Entry, Scheme};
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::request::policy::Policy;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::{Context, Runtime};
use crate::flow::supply::authentication::Authentication;
use crate::flow::supply::source::Lookup;
use crate::identity::basic::BasicError;
use crate::identity::bearer::BearerError;
use crate::identity::confirmation::Confirmation;
use crate::identity::demand::Proofs;
use crate::identity::verify::Verified;
use crate::identity::{Caller, Kind, Origin, secret_digest};
use std::rc::Rc;

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

impl Runtime {
    /// What `credentials` prove at `destination`. With `may_wait`, what is missing is waited for.
    #[must_use]
    pub fn identify(&self, destination: &Destination, credentials: &Credentials<'_>, may_wait: bool, context: &Context<'_>) -> Identified {
        let policy = match destination.policy(self.supply(), context.now) {
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
        let authentication = self.supply().authenticate(token, &policy.issuers, None, may_wait, &context.verifying());
        let (token, _) = token;
        match (authentication, policy.introspection) {
            // Not a JWT at all, or one of an issuer whose keys are not configured.
            (Authentication::Refused(Reason::TokenMalformed), Some(scheme)) if !looks_like_jwt(token) => {
                self.supply().introspect(scheme, token, may_wait, context.now)
            }
            (Authentication::Refused(Reason::TokenIssuerUnknown), Some(scheme)) => {
                self.supply().introspect(scheme, token, may_wait, context.now)
            }
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
        // The certificate was not looked at, or the token wants something that cannot be checked here.
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
