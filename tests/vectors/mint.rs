//! Keys and signatures of the test vectors. Keys come from names, so that nobody has to keep them and nobody
//! can take them for real ones.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac as _};
use rsa::BigUint;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use rsa::sha2::{Digest as _, Sha256, Sha384, Sha512};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, pkcs1v15, pss};
use serde_json::{Value, json};

/// What comes before the point in the DER of a P-256 key.
const P256_HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// What comes before the point in the DER of a P-384 key.
const P384_HEAD: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
/// What comes before the point in the DER of a P-521 key.
const P521_HEAD: &[u8] = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
/// What comes before an Ed25519 key.
const ED25519_HEAD: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A private key.
pub enum Key {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(ed25519_dalek::SigningKey),
}

impl Key {
    pub fn rsa(name: &str, bits: usize) -> Self {
        Self::Rsa(Box::new(RsaPrivateKey::new(&mut Bytes::of(name), bits).unwrap()))
    }

    pub fn p256(name: &str) -> Self {
        Self::P256(p256::ecdsa::SigningKey::from_slice(&Sha256::digest(name)).unwrap())
    }

    pub fn p384(name: &str) -> Self {
        Self::P384(p384::ecdsa::SigningKey::from_slice(&Sha384::digest(name)).unwrap())
    }

    pub fn p521(name: &str) -> Self {
        Self::P521(Box::new(p521::ecdsa::SigningKey::from_slice(&[&[0, 0], &Sha512::digest(name)[..]].concat()).unwrap()))
    }

    pub fn ed25519(name: &str) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&Sha256::digest(name).into()))
    }

    /// The public half.
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => json!({"kty": "RSA", "kid": kid, "n": encode(key.n().to_bytes_be()), "e": encode(key.e().to_bytes_be())}),
            Self::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            Self::P384(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            Self::P521(key) => {
                let point = p521::ecdsa::VerifyingKey::from(&**key).to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-521", "kid": kid, "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(key.verifying_key().as_bytes())})
            }
        }
    }

    /// The public half as DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der().unwrap().into_vec(),
            // RFC 5480 section 2 and RFC 8410 section 4: a fixed head and the key.
            Self::P256(key) => [P256_HEAD, key.verifying_key().to_encoded_point(false).as_bytes()].concat(),
            Self::P384(key) => [P384_HEAD, key.verifying_key().to_encoded_point(false).as_bytes()].concat(),
            Self::P521(key) => [P521_HEAD, p521::ecdsa::VerifyingKey::from(&**key).to_encoded_point(false).as_bytes()].concat(),
            Self::Ed25519(key) => [ED25519_HEAD, key.verifying_key().as_bytes()].concat(),
        }
    }

    /// Signs `message` as `algorithm` says, in JOSE form.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match (self, algorithm) {
            (Self::Rsa(key), "RS256") => pkcs1v15::SigningKey::<Sha256>::new(*key.clone()).sign(message).to_vec(),
            (Self::Rsa(key), "RS384") => pkcs1v15::SigningKey::<Sha384>::new(*key.clone()).sign(message).to_vec(),
            (Self::Rsa(key), "RS512") => pkcs1v15::SigningKey::<Sha512>::new(*key.clone()).sign(message).to_vec(),
            (Self::Rsa(_), "PS256") => self.sign_pss(message, 32),
            (Self::Rsa(key), "PS384") => {
                pss::SigningKey::<Sha384>::new(*key.clone()).sign_with_rng(&mut Bytes::of("salt"), message).to_vec()
            }
            (Self::Rsa(key), "PS512") => {
                pss::SigningKey::<Sha512>::new(*key.clone()).sign_with_rng(&mut Bytes::of("salt"), message).to_vec()
            }
            (Self::P256(key), "ES256") => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::P384(key), "ES384") => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::P521(key), "ES512") => {
                // A nonce for each message: the library has no deterministic one for this curve.
                let nonce = &mut Bytes::of(&encode(Sha512::digest([&key.to_bytes()[..], message].concat())));
                let signature: p521::ecdsa::Signature = key.sign_with_rng(nonce, message);
                signature.to_bytes().to_vec()
            }
            (Self::Ed25519(key), "EdDSA" | "Ed25519") => key.sign(message).to_bytes().to_vec(),
            _ => panic!("no key signs {algorithm} so"),
        }
    }

    /// PS256 with a salt of `length` bytes; 32 is the right one.
    pub fn sign_pss(&self, message: &[u8], length: usize) -> Vec<u8> {
        let Self::Rsa(key) = self else { panic!("PSS is for RSA") };
        let key = pss::SigningKey::<Sha256>::new_with_salt_len(*key.clone(), length);
        key.sign_with_rng(&mut Bytes::of("salt"), message).to_vec()
    }

    /// The RSA signature plus the modulus: the same number to a verifier that forgets RFC 8017 section 5.2.2.
    /// `None` if it is longer than the modulus.
    pub fn beyond_the_modulus(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let Self::Rsa(key) = self else { panic!("only RSA has a modulus") };
        let sum = (BigUint::from_bytes_be(signature) + key.n()).to_bytes_be();
        (sum.len() == signature.len()).then_some(sum)
    }
}

/// HMAC-SHA-256.
pub fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

/// PEM of a public key (RFC 7468 section 13).
pub fn pem(spki: &[u8]) -> String {
    let text = STANDARD.encode(spki);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// `r||s` with `n - s` in place of `s`: as valid as the first.
pub fn other_s(signature: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    let (r, s) = signature.split_scalars();
    p256::ecdsa::Signature::from_scalars(r, -s).unwrap().to_bytes().to_vec()
}

/// Whether `s` is in the upper half.
pub fn is_high(signature: &[u8]) -> bool {
    p256::ecdsa::Signature::from_slice(signature).unwrap().normalize_s().is_some()
}

/// ASN.1 DER of `r||s`.
pub fn der(signature: &[u8]) -> Vec<u8> {
    p256::ecdsa::Signature::from_slice(signature).unwrap().to_der().as_bytes().to_vec()
}

/// An Ed25519 signature with `S` plus the order of the group (RFC 8032 section 5.1.7 forbids it).
pub fn s_plus_order(signature: &[u8]) -> Vec<u8> {
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0x10,
    ];
    let sum = BigUint::from_bytes_le(&signature[32..]) + BigUint::from_bytes_le(&order);
    let mut s = sum.to_bytes_le();
    s.resize(32, 0);
    [&signature[..32], &s].concat()
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes that follow from a name: SHA-256 of name and counter.
struct Bytes {
    name: String,
    block: u64,
    rest: Vec<u8>,
}

impl Bytes {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), block: 0, rest: Vec::new() }
    }
}

impl RngCore for Bytes {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.rest.is_empty() {
                self.rest = Sha256::digest(format!("{} {}", self.name, self.block)).to_vec();
                self.block += 1;
            }
            *byte = self.rest.pop().unwrap();
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Bytes {}
