//! From a token to a verified caller (RFC 7519 section 7.2, RFC 9068 section 4). The signature is checked
//! before any claim but `iss` is believed.

use super::claims::{Claims, issuer as issuer_of};
use super::jwk::{Key, KeySet, Wanted};
use super::jws::{Jws, JwsError};
use super::signature::Verifier;
use super::{Caller, Origin};
use crate::config::{Algorithm, Issuer};
use crate::wire::time::UnixTime;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NameError;
use sha2::{Digest as _, Sha256};
use std::rc::Rc;
use std::time::Duration;
use thiserror::Error;

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum VerifyError {
    #[error("the token is not a JWT in compact form")]
    Malformed,
    #[error("the token's header demands an extension that is not supported")]
    Extension,
    #[error("the token's issuer is not accepted here")]
    Issuer,
    #[error("the token is of a type that is not accepted here")]
    Type,
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    #[error("no key of the issuer fits the token's kid and alg")]
    Key,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token was issued for another audience")]
    Audience,
    #[error("the token lives longer than is accepted here")]
    Lifetime,
    #[error("who acts for the token's subject is not accepted here")]
    Actor,
}

impl From<JwsError> for VerifyError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Extension => Self::Extension,
        }
    }
}

/// A token taken apart whose issuer is known, but nothing of it verified.
#[derive(Debug)]
pub struct Unverified<'a> {
    jws: Jws<'a>,
    algorithm: Algorithm,
    /// Index of the issuer.
    pub issuer: usize,
    /// The tenant that `iss` names, for an issuer of several.
    tenant: Option<String>,
}

/// Takes `token` apart and finds its issuer among `accepted` indexes of `issuers`. Type and algorithm are
/// checked here already, so that no key is fetched for a token that could never pass.
///
/// # Errors
/// Malformed, extension, issuer, type or algorithm.
pub fn open<'a>(token: &'a str, issuers: &[Issuer], accepted: &[usize]) -> Result<Unverified<'a>, VerifyError> {
    let jws = Jws::parse(token)?;
    let name = issuer_of(&jws.payload).ok_or(VerifyError::Issuer)?;
    let known = |index: &usize| {
        let issuer = issuers.get(*index)?;
        Some((*index, issuer, issuer.recognize(name)?.map(str::to_owned)))
    };
    let (index, issuer, tenant) = accepted.iter().find_map(known).ok_or(VerifyError::Issuer)?;
    if !takes_kind(issuer, jws.kind.as_deref()) {
        return Err(VerifyError::Type);
    }
    // RFC 9864 renamed EdDSA over Ed25519; both names are in use.
    let spelled = if jws.algorithm == "Ed25519" { "EdDSA" } else { jws.algorithm.as_str() };
    let deserializer: serde::de::value::StrDeserializer<'_, NameError> = spelled.into_deserializer();
    let algorithm = Algorithm::deserialize(deserializer).map_err(|_| VerifyError::Algorithm)?;
    if !issuer.takes(algorithm) {
        return Err(VerifyError::Algorithm);
    }
    Ok(Unverified { jws, algorithm, issuer: index, tenant })
}

impl Unverified<'_> {
    /// What the token says of its key, in a short form.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        let id = self.jws.key_id.as_deref().unwrap_or_default();
        Sha256::new().chain_update(&self.jws.algorithm).chain_update([0]).chain_update(id).finalize().into()
    }

    /// Whether `keys` has a key that may have signed this token of `issuer`.
    #[must_use]
    pub fn has_key(&self, issuer: &Issuer, keys: &KeySet) -> bool {
        !self.candidates(issuer, keys).is_empty()
    }

    fn candidates<'k>(&self, issuer: &Issuer, keys: &'k KeySet) -> Vec<&'k Key> {
        // Only in a set for many tenants does the name of a key's issuer mean something.
        let owns = |name: &str| self.tenant.as_deref().is_none_or(|tenant| issuer.owns_key(name, tenant));
        let wanted = Wanted {
            key_id: self.jws.key_id.as_deref(),
            name: &self.jws.algorithm,
            algorithm: self.algorithm,
            with_any_key: issuer.takes_with_any_key(self.algorithm),
            owns: &owns,
        };
        keys.candidates(&wanted)
    }

    /// Verifies the signature and reads the claims. `issuer` is the one that [`open`] found.
    ///
    /// # Errors
    /// Key, signature, or malformed claims.
    pub fn verify(&self, issuer: &Issuer, keys: &KeySet, verifier: &dyn Verifier) -> Result<Verified, VerifyError> {
        let candidates = self.candidates(issuer, keys);
        if candidates.is_empty() {
            return Err(VerifyError::Key);
        }
        let message = self.jws.signing_input.as_bytes();
        if !candidates.iter().any(|key| verifier.verify(self.algorithm, key, message, &self.jws.signature)) {
            return Err(VerifyError::Signature);
        }
        let claims = Claims::read(&self.jws.payload, &issuer.claims).map_err(|_| VerifyError::Malformed)?;
        let expires = issuer.max_token_age.zip(claims.issued).map_or(claims.expires, |(age, issued)| claims.expires.min(issued.plus(age)));
        let caller = Rc::new(Caller { expires, ..claims.clone().caller(Origin::Issuer(self.issuer)) });
        Ok(Verified { issuer: self.issuer, kind: self.jws.kind.clone(), tenant: self.tenant.clone(), claims, caller })
    }
}

/// A token whose signature is good, and what it says. Whether that is enough is judged for each request.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Index of the issuer.
    pub issuer: usize,
    /// Header `typ`.
    kind: Option<String>,
    /// The tenant that `iss` names, for an issuer of several.
    tenant: Option<String>,
    claims: Claims,
    caller: Rc<Caller>,
}

impl Verified {
    /// Judges it at `now`, where it must name one of `audiences`.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`VerifyError`] says.
    pub fn judge(&self, issuer: &Issuer, audiences: &[String], now: UnixTime) -> Result<Rc<Caller>, VerifyError> {
        let (claims, skew) = (&self.claims, issuer.clock_skew);
        if !takes_kind(issuer, self.kind.as_deref()) {
            return Err(VerifyError::Type);
        }
        if now >= claims.expires.plus(skew) || issuer.max_token_age.is_some_and(|oldest| is_older(claims.issued, oldest, now, skew)) {
            return Err(VerifyError::Expired);
        }
        if claims.is_early(now, skew) {
            return Err(VerifyError::NotYetValid);
        }
        if !self.is_of_tenant(issuer, claims.tenant.as_deref()) {
            return Err(VerifyError::Issuer);
        }
        if !claims.audiences.iter().any(|audience| audiences.contains(audience)) {
            return Err(VerifyError::Audience);
        }
        if let Some(longest) = issuer.max_lifetime {
            let lifetime = claims.issued.map_or(Duration::MAX, |issued| claims.expires.since(issued));
            if lifetime > longest {
                return Err(VerifyError::Lifetime);
            }
        }
        let acts = |current: &String| issuer.actors.allowed.as_ref().is_none_or(|allowed| allowed.contains(current));
        if claims.has_foreign_actor || claims.actors.len() > issuer.actors.max_depth || !claims.actors.first().is_none_or(acts) {
            return Err(VerifyError::Actor);
        }
        Ok(Rc::clone(&self.caller))
    }

    /// Whether `tenant`, as the token says it, is one that is accepted, and the one that `iss` names.
    fn is_of_tenant(&self, issuer: &Issuer, tenant: Option<&str>) -> bool {
        let listed = issuer.tenants.is_empty() || tenant.is_some_and(|tenant| issuer.tenants.iter().any(|own| own == tenant));
        listed && self.tenant.as_deref().is_none_or(|named| tenant == Some(named))
    }

    /// A token of `issuer` that says nothing.
    #[cfg(test)]
    pub(super) fn of(issuer: usize) -> Self {
        let payload = serde_json::from_str(r#"{"aud": "a", "exp": 9}"#).unwrap();
        let claims = Claims::read(&payload, &crate::config::Claims::default()).unwrap();
        Self { issuer, kind: None, tenant: None, claims, caller: Rc::new(Caller::of(Origin::Issuer(issuer))) }
    }
}

/// Whether header `typ` is one that `issuer`'s tokens have.
fn takes_kind(issuer: &Issuer, kind: Option<&str>) -> bool {
    let kind = media_type(kind.unwrap_or("JWT"));
    issuer.takes_type(|accepted| media_type(accepted).eq_ignore_ascii_case(kind))
}

/// Whether a token is older than `oldest`. One that does not say when it was issued is.
fn is_older(issued: Option<UnixTime>, oldest: Duration, now: UnixTime, skew: Duration) -> bool {
    issued.is_none_or(|issued| now >= issued.plus(oldest).plus(skew))
}

/// `typ` is a media type whose `application/` may be left out (RFC 7515 section 4.1.9).
fn media_type(name: &str) -> &str {
    match name.get(..12) {
        Some(head) if head.eq_ignore_ascii_case("application/") => name.get(12..).unwrap_or(name),
        _ => name,
    }
}
