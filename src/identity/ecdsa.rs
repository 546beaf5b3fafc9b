//! ECDSA in this module, for hosts that verify no signatures (feature `software-ecdsa`). Envoy verifies them, and the code would be an
//! eighth of the filter: the module that ships leaves it out. There a key is taken as it is, and the host says whether it is one.

#[cfg(feature = "software-ecdsa")]
mod code {
    use jwt_compact::alg::{Es256, VerifyingKey};
    use jwt_compact::{Algorithm, AlgorithmSignature};
    use p384::ecdsa::signature::Verifier as _;

    pub type P256 = <Es256 as Algorithm>::VerifyingKey;
    pub type P384 = p384::ecdsa::VerifyingKey;
    pub type P521 = Box<p521::ecdsa::VerifyingKey>;

    pub fn p256(point: &[u8]) -> Option<P256> {
        VerifyingKey::<Es256>::from_slice(point).ok()
    }

    pub fn p384(point: &[u8]) -> Option<P384> {
        p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()
    }

    pub fn p521(point: &[u8]) -> Option<P521> {
        p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Box::new)
    }

    pub fn es256(key: &P256, message: &[u8], signature: &[u8]) -> bool {
        // jwt-compact checks this length itself only on its own token path.
        signature.len() == 64
            && <Es256 as Algorithm>::Signature::try_from_slice(signature)
                .is_ok_and(|signature| Es256.verify_signature(&signature, key, message))
    }

    pub fn es384(key: &P384, message: &[u8], signature: &[u8]) -> bool {
        p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }

    pub fn es512(key: &P521, message: &[u8], signature: &[u8]) -> bool {
        p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

#[cfg(not(feature = "software-ecdsa"))]
mod code {
    /// No key: only the host has it.
    #[derive(Clone)]
    pub struct Absent;

    pub type P256 = Absent;
    pub type P384 = Absent;
    pub type P521 = Absent;

    #[allow(clippy::unnecessary_wraps, reason = "as the code that can tell")]
    pub const fn key(_: &[u8]) -> Option<Absent> {
        Some(Absent)
    }
    pub use {key as p256, key as p384, key as p521};

    pub const fn never(_: &Absent, _: &[u8], _: &[u8]) -> bool {
        false
    }
    pub use {never as es256, never as es384, never as es512};
}

pub use code::*;
