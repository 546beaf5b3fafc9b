//! From what a request presents to what it proves. A bad credential is never taken for a missing one.

use crate::config::{Entry, Scheme};
use crate::flow::callers::credentials::Credentials;
use crate::flow::event::reason::Reason;
use crate::flow::request::policy::Policy;
use crate::flow::setup::destination::Destination;
use crate::flow::setup::runtime::{Context, Runtime};
use crate::flow::supply::sought::Sought;
use crate::identity::basic::BasicError;
use crate::identity::bearer::BearerError;
use crate::identity::confirmation::Confirmation;
use crate::identity::demand::Proofs;
use crate::identity::verify::{Accepted, Verified};
use crate::identity::{Caller, Kind, Origin, secret_digest};
use std::rc::Rc;

/// What good credentials prove. Whether that is enough is another question.
#[derive(Debug)]
pub struct Proven {
    /// What is proved.
    pub proofs: Proofs,
    /// The policy that it is held against.
    pub policy: Rc<Policy>,
    /// The reason of a refusal, if it is not enough.
    pub lacking: Reason,
}

impl Runtime {
    /// What `credentials` prove at `destination`. With `may_wait`, what is missing is waited for.
    #[must_use]
    pub fn identify(
        &self,
        destination: &Destination,
        credentials: &Credentials<'_>,
        may_wait: bool,
        context: &Context<'_>,
    ) -> Sought<Proven> {
        let policy = match destination.policy(self.supply(), context.now) {
            Sought::Here(policy) => policy,
            Sought::Wait(want) if may_wait => return Sought::Wait(want),
            Sought::Wait(_) => return Sought::No(Reason::CardUnavailable),
            Sought::No(reason) => return Sought::No(reason),
        };
        let mut proofs = Proofs::default();
        let mut lacking = Reason::CredentialsMissing;
        let scheme_at = |index: usize| self.config().scheme_at(index);
        // What is decided here at once comes first: nothing is fetched for a request that is refused anyway.
        for (scheme, presented) in credentials.keys.iter().filter(|(scheme, _)| policy.keys.contains(scheme)) {
            let (Some(Scheme::ApiKey(key)), Ok(presented)) = (scheme_at(*scheme), presented) else {
                return Sought::No(presented.err().map_or(Reason::ApiKeyUnknown, Reason::from));
            };
            match secret_digest::owner(&key.keys, presented) {
                Some(entry) => proofs.add(*scheme, Rc::new(client(*scheme, &entry.id, &entry.scopes, &entry.roles))),
                None => return Sought::No(Reason::ApiKeyUnknown),
            }
        }
        match credentials.password {
            _ if !policy.takes_passwords() => {}
            Err(BasicError::Missing) => {}
            Err(error) => return Sought::No(error.into()),
            Ok(presented) => {
                let users = policy.passwords.iter().filter_map(|index| match scheme_at(*index)? {
                    Scheme::Basic(basic) => Some((*index, secret_digest::owner(&basic.users, &presented)?)),
                    _ => None,
                });
                let users: Vec<(usize, &Entry)> = users.collect();
                if users.is_empty() {
                    return Sought::No(Reason::PasswordWrong);
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
                Err(_) => return Sought::No(Reason::CertificateRefused),
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
            Err(error) => return Sought::No((*error).into()),
            Ok(token) => match self.token(&policy, (token, credentials.known.as_deref()), may_wait, context) {
                Sought::Here(accepted) => {
                    let caller = &accepted.caller;
                    let held = |scheme: &usize| scheme_at(*scheme).is_some_and(|scheme| is_held(caller, scheme, credentials));
                    let mut schemes = accepted.schemes().filter(held).peekable();
                    if schemes.peek().is_none() {
                        return Sought::No(Reason::TokenNotBound);
                    }
                    schemes.for_each(|scheme| proofs.add(scheme, Rc::clone(caller)));
                }
                Sought::No(reason) => return Sought::No(reason),
                Sought::Wait(want) => return Sought::Wait(want),
            },
        }
        for scheme in &policy.open {
            proofs.add(*scheme, Rc::new(Caller { kind: Kind::Anonymous, ..Caller::of(Origin::Scheme(*scheme)) }));
        }
        if proofs.is_empty() { Sought::No(lacking) } else { Sought::Here(Proven { proofs, policy, lacking }) }
    }

    /// Verifies a token here, or asks about one that cannot be.
    fn token(&self, policy: &Policy, token: (&str, Option<&Verified>), may_wait: bool, context: &Context<'_>) -> Sought<Accepted> {
        let authentication = self.supply().authenticate(token, &policy.tokens, may_wait, &context.verifying());
        let (token, _) = token;
        let ask = |scheme| self.supply().introspect(scheme, token, may_wait, context.now).map(|caller| Accepted::by(scheme, caller));
        match (authentication, policy.introspection) {
            // Not a JWT at all, or one of an issuer whose keys are not configured.
            (Sought::No(Reason::TokenMalformed), Some(scheme)) if !looks_like_jwt(token) => ask(scheme),
            (Sought::No(Reason::TokenIssuerUnknown), Some(scheme)) => ask(scheme),
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
