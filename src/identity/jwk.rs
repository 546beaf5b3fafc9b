//! JSON Web Keys (RFC 7517) that can verify signatures, and the DER form that the host wants them in.

use crate::config::Algorithm;
use crate::identity::signature;
use crate::wire::base64url;
use jwt_compact::Algorithm as JwsAlgorithm;
use jwt_compact::alg::{Ed25519, Es256, RsaPublicKey, VerifyingKey};
use jwt_compact::jwk::JsonWebKey;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use thiserror::Error;

/// Largest JWK Set that is read, in bytes.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// Most keys that are kept of one set.
const MAX_KEYS: usize = 64;

/// A public key, ready for both ways of verifying.
#[derive(Clone, Debug)]
pub enum Key {
    /// RSA, 2048 to 4096 bits.
    Rsa(Prepared<RsaPublicKey>),
    /// The curve P-256.
    P256(Prepared<<Es256 as JwsAlgorithm>::VerifyingKey>),
    /// The curve Ed25519.
    Ed25519(Prepared<<Ed25519 as JwsAlgorithm>::VerifyingKey>),
}

/// One key in two forms.
#[derive(Clone, Debug)]
pub struct Prepared<K> {
    /// For [`signature::Software`].
    pub software: K,
    /// DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1); empty where the host cannot use it.
    pub spki: Vec<u8>,
}

/// A key with what its issuer said of it.
#[derive(Clone, Debug)]
struct Entry {
    id: Option<String>,
    /// `alg`: bound to the key if there.
    algorithm: Option<String>,
    key: Key,
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    entries: Vec<Entry>,
    source: String,
}

/// Why a JWK Set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JwkSetError {
    /// Not a JSON object with a list `keys`.
    #[error("not a JWK Set: a JSON object with a list of keys")]
    NotASet,
    /// No key in it can verify a signature.
    #[error("no key in the set can be used to verify signatures")]
    Empty,
    /// Longer than [`MAX_SET_BYTES`].
    #[error("the JWK Set is longer than 256 KiB")]
    TooLarge,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Sets are equal that came from the same text.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot verify (other types, other uses, weak or damaged ones) are left out,
    /// as RFC 7517 section 5 asks.
    ///
    /// # Errors
    /// If nothing usable remains, as [`JwkSetError`] says.
    pub fn parse(json: &[u8]) -> Result<Self, JwkSetError> {
        if json.len() > MAX_SET_BYTES {
            return Err(JwkSetError::TooLarge);
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| JwkSetError::NotASet)?;
        let entries: Vec<Entry> = set
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .filter_map(|jwk| entry(&jwk))
            .take(MAX_KEYS)
            .collect();
        if entries.is_empty() {
            return Err(JwkSetError::Empty);
        }
        Ok(Self { entries, source: String::from_utf8_lossy(json).into_owned() })
    }

    /// The keys that may have signed a token with this `kid` and `alg`: type and use must fit, and the
    /// algorithm if the key names one. A token without `kid` gets a key only if there is exactly one choice.
    #[must_use]
    pub fn candidates(&self, key_id: Option<&str>, name: &str, algorithm: Algorithm) -> Vec<&Key> {
        let fitting =
            |entry: &&Entry| signature::fits(algorithm, &entry.key) && entry.algorithm.as_deref().is_none_or(|bound| same(bound, name));
        let keys: Vec<&Key> = match key_id {
            Some(_) => self.entries.iter().filter(fitting).filter(|entry| entry.id.as_deref() == key_id).map(|entry| &entry.key).collect(),
            None => self.entries.iter().filter(fitting).map(|entry| &entry.key).collect(),
        };
        if key_id.is_none() && keys.len() != 1 { Vec::new() } else { keys }
    }

    /// How many keys can be used.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: an empty set is refused when it is parsed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// `EdDSA` (RFC 8037) and `Ed25519` (RFC 9864) are two names of what we verify with an Ed25519 key.
fn same(bound: &str, name: &str) -> bool {
    let plain = |name: &str| if name == "Ed25519" { "EdDSA".to_owned() } else { name.to_owned() };
    plain(bound) == plain(name)
}

fn entry(jwk: &Jwk) -> Option<Entry> {
    let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return None;
    }
    let bytes = |text: &Option<String>| base64url::decode(text.as_deref()?);
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?)?,
        ("EC", Some("P-256")) => p256(&bytes(&jwk.x)?, &bytes(&jwk.y)?)?,
        ("OKP", Some("Ed25519")) => {
            let software = <<Ed25519 as JwsAlgorithm>::VerifyingKey as VerifyingKey<Ed25519>>::from_slice(&bytes(&jwk.x)?).ok()?;
            Key::Ed25519(Prepared { software, spki: Vec::new() })
        }
        _ => return None,
    };
    Some(Entry { id: jwk.kid.clone(), algorithm: jwk.alg.clone(), key })
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Key> {
    let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
    let odd = exponent.last().is_some_and(|last| last & 1 == 1);
    // RFC 7518 section 3.3 asks for 2048 bits; above 4096 a signature costs more than it protects.
    if !(256..=512).contains(&significant) || !odd || exponent.len() > 8 {
        return None;
    }
    let jwk = JsonWebKey::Rsa { modulus: Cow::Borrowed(modulus), public_exponent: Cow::Borrowed(exponent), private_parts: None };
    let software = RsaPublicKey::try_from(&jwk).ok()?;
    let key = der(0x30, &[der(0x02, &unsigned(modulus)), der(0x02, &unsigned(exponent))].concat());
    // AlgorithmIdentifier rsaEncryption (1.2.840.113549.1.1.1) with NULL parameters.
    const RSA: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let spki = der(0x30, &[RSA.to_vec(), der(0x03, &[&[0_u8], key.as_slice()].concat())].concat());
    Some(Key::Rsa(Prepared { software, spki }))
}

fn p256(x: &[u8], y: &[u8]) -> Option<Key> {
    // RFC 7518 section 6.2.1.2: coordinates have the full length of the field.
    if x.len() != 32 || y.len() != 32 {
        return None;
    }
    let point = [&[0x04_u8], x, y].concat();
    let software = <<Es256 as JwsAlgorithm>::VerifyingKey as VerifyingKey<Es256>>::from_slice(&point).ok()?;
    // AlgorithmIdentifier id-ecPublicKey (1.2.840.10045.2.1) with curve prime256v1 (1.2.840.10045.3.1.7).
    const P256: [u8; 21] =
        [0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let spki = der(0x30, &[P256.to_vec(), der(0x03, &[&[0_u8], point.as_slice()].concat())].concat());
    Some(Key::P256(Prepared { software, spki }))
}

/// One DER element (X.690): tag, length, content.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => element.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            // A usize has at most eight bytes.
            element.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0x08));
            element.extend(bytes);
        }
    }
    element.extend_from_slice(content);
    element
}

/// Content of a non-negative DER INTEGER: no leading zeros but the one that keeps it positive.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    match digits.first() {
        None => vec![0],
        Some(first) if first & 0x80 != 0 => [&[0_u8], digits.as_slice()].concat(),
        Some(_) => digits,
    }
}
