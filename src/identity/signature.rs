//! Verifying a signature with a key that fits its algorithm. Which code does it is the caller's choice: the
//! host's BoringSSL where there is one, [`Software`] everywhere.

use super::ecdsa;
use super::jwk::Key;
use crate::config::Algorithm;
use hmac::digest::KeyInit;
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac, SimpleHmac};
use jwt_compact::AlgorithmSignature;
use jwt_compact::alg::Rsa;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;

/// Verifies signatures.
pub trait Verifier: fmt::Debug {
    /// Whether `signature` (JOSE form, RFC 7518 section 3) over `message` was made by the owner of `key` with
    /// `algorithm`. `false` if the two do not belong together.
    fn verify(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool;
}

/// Verifies in this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl Verifier for Software {
    fn verify(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        match (algorithm, key) {
            (Algorithm::RS256, Key::Rsa(key)) => check(Rsa::rs256(), &key.software, message, signature),
            (Algorithm::RS384, Key::Rsa(key)) => check(Rsa::rs384(), &key.software, message, signature),
            (Algorithm::RS512, Key::Rsa(key)) => check(Rsa::rs512(), &key.software, message, signature),
            (Algorithm::PS256, Key::Rsa(key)) => check(Rsa::ps256(), &key.software, message, signature),
            (Algorithm::PS384, Key::Rsa(key)) => check(Rsa::ps384(), &key.software, message, signature),
            (Algorithm::PS512, Key::Rsa(key)) => check(Rsa::ps512(), &key.software, message, signature),
            (Algorithm::ES256, Key::P256(key)) => ecdsa::es256(&key.software, message, signature),
            (Algorithm::ES384, Key::P384(key)) => ecdsa::es384(&key.software, message, signature),
            (Algorithm::ES512, Key::P521(key)) => ecdsa::es512(&key.software, message, signature),
            // Strict: no point of small order, which fits every message (RFC 8032 leaves it open).
            (Algorithm::EdDSA, Key::Ed25519(key)) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            (Algorithm::HS256, Key::Shared(secret)) => authenticate::<Sha256>(secret, message, signature),
            (Algorithm::HS384, Key::Shared(secret)) => authenticate::<Sha384>(secret, message, signature),
            (Algorithm::HS512, Key::Shared(secret)) => authenticate::<Sha512>(secret, message, signature),
            _ => false,
        }
    }
}

fn check<A: jwt_compact::Algorithm>(algorithm: A, key: &A::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    // jwt-compact checks this length itself only on its own token path.
    let fits = A::Signature::LENGTH.is_none_or(|length| length.get() == signature.len());
    fits && A::Signature::try_from_slice(signature).is_ok_and(|signature| algorithm.verify_signature(&signature, key, message))
}

/// Whether `tag` is the whole HMAC (RFC 2104); compared in constant time.
fn authenticate<D: Digest + BlockSizeUser>(secret: &SecretSlice<u8>, message: &[u8], tag: &[u8]) -> bool {
    <SimpleHmac<D> as KeyInit>::new_from_slice(secret.expose_secret())
        .is_ok_and(|hmac| hmac.chain_update(message).verify_slice(tag).is_ok())
}
