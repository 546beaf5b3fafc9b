//! Verifying a signature with a key that fits its algorithm. Which code does it is the caller's choice: the
//! host's BoringSSL where there is one, [`Software`] everywhere.

use super::jwk::Key;
use crate::config::Algorithm;
use jwt_compact::AlgorithmSignature;
use jwt_compact::alg::{Ed25519, Es256, Rsa};

/// Verifies signatures.
pub trait Verifier {
    /// Whether `signature` (JOSE form, RFC 7518 section 3) over `message` was made by the owner of `key` with
    /// `algorithm`. `false` if the two do not belong together.
    fn verify(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool;
}

/// Verifies in this module, with jwt-compact.
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
            (Algorithm::ES256, Key::P256(key)) => check(Es256, &key.software, message, signature),
            (Algorithm::EdDSA, Key::Ed25519(key)) => check(Ed25519, &key.software, message, signature),
            (_, Key::Rsa(_) | Key::P256(_) | Key::Ed25519(_)) => false,
        }
    }
}

/// Whether [`Verifier`]s may be asked for `algorithm` with `key` at all.
#[must_use]
pub const fn fits(algorithm: Algorithm, key: &Key) -> bool {
    use Algorithm::{ES256, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    matches!(
        (algorithm, key),
        (RS256 | RS384 | RS512 | PS256 | PS384 | PS512, Key::Rsa(_)) | (ES256, Key::P256(_)) | (EdDSA, Key::Ed25519(_))
    )
}

fn check<A: jwt_compact::Algorithm>(algorithm: A, key: &A::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    // jwt-compact checks this length itself only on its own token path.
    let fits = A::Signature::LENGTH.is_none_or(|length| length.get() == signature.len());
    fits && A::Signature::try_from_slice(signature).is_ok_and(|signature| algorithm.verify_signature(&signature, key, message))
}

/// `r||s` of ES256 (RFC 7518 section 3.4) as the ASN.1 DER that BoringSSL reads. `None` unless it has 64 bytes.
#[must_use]
pub fn ecdsa_der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32)?;
    if s.len() != 32 {
        return None;
    }
    let integer = |bytes: &[u8]| super::jwk::der(0x02, &super::jwk::unsigned(bytes));
    Some(super::jwk::der(0x30, &[integer(r), integer(s)].concat()))
}

#[cfg(test)]
mod tests {
    use super::ecdsa_der;

    #[test]
    fn raw_ecdsa_signatures_become_minimal_der() {
        let mut raw = [0_u8; 64];
        raw[31] = 0x80;
        raw[63] = 0x01;
        assert_eq!(ecdsa_der(&raw).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        assert_eq!(ecdsa_der(&[0; 64]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(ecdsa_der(&[0; 63]), None);
        assert_eq!(ecdsa_der(&[0; 65]), None);
    }
}
