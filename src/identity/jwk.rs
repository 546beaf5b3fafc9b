//! JSON Web Keys (RFC 7517) that can verify signatures, and shared secrets. Private halves are never read.

use super::{der, ecdsa};
use crate::config::{Algorithm, RSA_BITS};
use crate::wire::base64url;
use jwt_compact::alg::RsaPublicKey;
use rsa::BigUint;
use rsa::traits::PublicKeyParts as _;
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use thiserror::Error;

/// Largest JWK Set that is read, in bytes.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// Most keys that are kept of one set.
const MAX_KEYS: usize = 64;
/// Most keys that are tried for one token: of one `kid` there should be one.
const MAX_CANDIDATES: usize = 4;

/// A key, ready for both ways of verifying.
#[derive(Clone)]
pub enum Key {
    /// RSA, 2048 to 8192 bits.
    Rsa(Prepared<RsaPublicKey>),
    /// The curve P-256.
    P256(Prepared<ecdsa::P256>),
    /// The curve P-384.
    P384(Prepared<ecdsa::P384>),
    /// The curve P-521.
    P521(Prepared<ecdsa::P521>),
    /// The curve Ed25519.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// A secret for HMAC. No JWK Set has one.
    Shared(SecretSlice<u8>),
}

impl Key {
    /// The DER `SubjectPublicKeyInfo`, where the host can use the key.
    #[must_use]
    pub fn spki(&self) -> Option<&[u8]> {
        match self {
            Self::Rsa(key) => Some(&key.spki),
            Self::P256(key) => Some(&key.spki),
            Self::P384(key) => Some(&key.spki),
            Self::P521(key) => Some(&key.spki),
            Self::Ed25519(_) | Self::Shared(_) => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rsa(_) => "Rsa",
            Self::P256(_) => "P256",
            Self::P384(_) => "P384",
            Self::P521(_) => "P521",
            Self::Ed25519(_) => "Ed25519",
            Self::Shared(_) => "Shared",
        })
    }
}

/// One key in two forms.
#[derive(Clone)]
pub struct Prepared<K> {
    /// For [`Software`](super::signature::Software).
    pub software: K,
    /// For the host: DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
}

/// A key with what its issuer said of it.
#[derive(Clone, Debug)]
struct Entry {
    id: Option<String>,
    /// `alg`: bound to the key if there.
    algorithm: Option<String>,
    /// Microsoft's `issuer`: in sets for many tenants, whose key it is.
    issuer: Option<String>,
    key: Key,
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    entries: Vec<Entry>,
    source: String,
    /// Keys that are left out because their RSA modulus is too long.
    oversized: usize,
}

/// What a token says of its key.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// `kid`.
    pub key_id: Option<&'a str>,
    /// `alg`, as the token spells it.
    pub name: &'a str,
    /// The same.
    pub algorithm: Algorithm,
    /// Whether a key will do that does not name its algorithm (`alg`).
    pub with_any_key: bool,
    /// Whether a key that names its issuer is one of the token's.
    pub owns: &'a dyn Fn(&str) -> bool,
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
    /// Nothing but RSA keys that are longer than allowed.
    #[error("every key that could be used is an RSA key with more bits than max_rsa_bits")]
    Oversized,
    /// Longer than [`MAX_SET_BYTES`].
    #[error("the JWK Set is longer than 256 KiB")]
    TooLarge,
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    issuer: Option<Value>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half (RFC 7518 sections 6.2.2 and 6.3.2), which has no place here.
    d: Option<serde::de::IgnoredAny>,
}

/// Sets are equal that came from the same text.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Key {
    /// Whether a [`Verifier`](super::signature::Verifier) may be asked for `algorithm` with this key at all.
    #[must_use]
    pub const fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, ES512, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
        match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => matches!(self, Self::Rsa(_)),
            ES256 => matches!(self, Self::P256(_)),
            ES384 => matches!(self, Self::P384(_)),
            ES512 => matches!(self, Self::P521(_)),
            EdDSA => matches!(self, Self::Ed25519(_)),
            HS256 | HS384 | HS512 => matches!(self, Self::Shared(_)),
        }
    }
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot verify (other types, other uses, weak or damaged ones, private ones) are left
    /// out, as RFC 7517 section 5 asks; so are RSA keys whose modulus has more than `max_rsa_bits`, for they cost most.
    ///
    /// # Errors
    /// If nothing usable remains, as [`JwkSetError`] says.
    pub fn parse(json: &[u8], max_rsa_bits: usize) -> Result<Self, JwkSetError> {
        if json.len() > MAX_SET_BYTES {
            return Err(JwkSetError::TooLarge);
        }
        let set: Set<'_> = serde_json::from_slice(json).map_err(|_| JwkSetError::NotASet)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut oversized: usize = 0;
        for found in set.keys.into_iter().filter_map(|key| serde_json::from_slice::<Jwk>(key.get().as_bytes()).ok()).filter_map(entry) {
            match &found.key {
                Key::Rsa(key) if key.software.n().bits() > max_rsa_bits => oversized = oversized.saturating_add(1),
                _ if entries.len() < MAX_KEYS => entries.push(found),
                _ => {}
            }
        }
        match (entries.is_empty(), oversized) {
            (true, 0) => Err(JwkSetError::Empty),
            (true, _) => Err(JwkSetError::Oversized),
            (false, _) => Ok(Self { entries, source: String::from_utf8_lossy(json).into_owned(), oversized }),
        }
    }

    /// The one secret that an issuer and we share.
    #[must_use]
    pub fn shared(secret: SecretSlice<u8>) -> Self {
        let entry = Entry { id: None, algorithm: None, issuer: None, key: Key::Shared(secret) };
        Self { entries: vec![entry], source: String::new(), oversized: 0 }
    }

    /// The keys that may have signed a token: type and use must fit, and the algorithm and the issuer if the key names one. A token
    /// with `kid` gets the keys of that name, else those without one; a token without `kid` gets every key, unless they are more
    /// than are tried. There is never another than the shared secret, whatever `kid` says.
    #[must_use]
    pub fn candidates(&self, wanted: &Wanted<'_>) -> Vec<&Key> {
        let fitting = |entry: &&Entry| {
            entry.key.fits(wanted.algorithm)
                && entry.algorithm.as_deref().map_or(wanted.with_any_key, |bound| same(bound, wanted.name))
                && entry.issuer.as_deref().is_none_or(wanted.owns)
        };
        let keys = |id: Option<&str>| -> Vec<&Key> {
            let named = |entry: &&Entry| matches!(entry.key, Key::Shared(_)) || wanted.key_id.is_none() || entry.id.as_deref() == id;
            let fitting = self.entries.iter().filter(named).filter(fitting).map(|entry| &entry.key);
            fitting.take(MAX_CANDIDATES.saturating_add(1)).collect()
        };
        let mut found = keys(wanted.key_id);
        if found.is_empty() {
            found = keys(None);
        }
        match (wanted.key_id, found.len() > MAX_CANDIDATES) {
            (None, true) => Vec::new(),
            _ => {
                found.truncate(MAX_CANDIDATES);
                found
            }
        }
    }

    /// How many keys are left out because their RSA modulus is longer than allowed.
    #[must_use]
    pub const fn oversized(&self) -> usize {
        self.oversized
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

fn entry(jwk: Jwk) -> Option<Entry> {
    // `jwt-svid` is what bundles of SPIFFE call it (SPIFFE Trust Domain and Bundle section 4.2.2).
    let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig" || usage == "jwt-svid")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    // Who publishes a private key has none.
    if !verifies || jwk.d.is_some() {
        return None;
    }
    let bytes = |text: &Option<String>| base64url::decode(text.as_deref()?);
    // RFC 7518 section 6.2.1.2: coordinates have the full length of the field.
    let point = |length: usize| {
        let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
        (x.len() == length && y.len() == length).then(|| [&[0x04_u8], x.as_slice(), y.as_slice()].concat())
    };
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => rsa_key(&bytes(&jwk.n)?, &bytes(&jwk.e)?)?,
        ("EC", Some("P-256")) => {
            let point = point(32)?;
            let software = ecdsa::p256(&point)?;
            Key::P256(Prepared { software, spki: der::key(der::P256, &point) })
        }
        ("EC", Some("P-384")) => {
            let point = point(48)?;
            let software = ecdsa::p384(&point)?;
            Key::P384(Prepared { software, spki: der::key(der::P384, &point) })
        }
        ("EC", Some("P-521")) => {
            let point = point(66)?;
            let software = ecdsa::p521(&point)?;
            Key::P521(Prepared { software, spki: der::key(der::P521, &point) })
        }
        ("OKP", Some("Ed25519")) => Key::Ed25519(ed25519(&bytes(&jwk.x)?)?),
        _ => return None,
    };
    let issuer = jwk.issuer.as_ref().and_then(Value::as_str).map(str::to_owned);
    Some(Entry { id: jwk.kid, algorithm: jwk.alg, issuer, key })
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<Key> {
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    // Five bytes are more than any library takes; 1 would make every message its own signature.
    if !odd(modulus)
        || !odd(exponent)
        || exponent.len() > 5
        || exponent.iter().rev().skip(1).all(|byte| *byte == 0) && exponent.ends_with(&[1])
    {
        return None;
    }
    let number = BigUint::from_bytes_be(modulus);
    if !RSA_BITS.contains(&number.bits()) {
        return None;
    }
    let software = RsaPublicKey::new_with_max_size(number, BigUint::from_bytes_be(exponent), *RSA_BITS.end()).ok()?;
    Some(Key::Rsa(Prepared { software, spki: der::rsa_key(modulus, exponent) }))
}

fn ed25519(bytes: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    // y below 2^255 - 19 (RFC 8032 section 5.1.3); dalek reduces what is not.
    let [low, middle @ .., high] = &bytes;
    let canonical = *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff);
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()?;
    (canonical && !key.is_weak()).then_some(key)
}

/// Whether `secret` is long enough for `least` bytes of hash (RFC 7518 section 3.2).
#[must_use]
pub fn is_strong(secret: &SecretSlice<u8>, least: usize) -> bool {
    secret.expose_secret().len() >= least
}

#[cfg(test)]
mod tests {
    use super::{JwkSetError, KeySet, Wanted};
    use crate::config::Algorithm;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    fn is_kept(key: Value) -> bool {
        match KeySet::parse(json!({"keys": [key]}).to_string().as_bytes(), 8192) {
            Ok(set) => set.len() == 1,
            Err(error) => {
                assert_eq!(error, JwkSetError::Empty);
                false
            }
        }
    }

    /// An RSA key of `bits` whose numbers are odd; whether it is a product of primes nobody can see.
    fn rsa(bits: usize, exponent: &[u8]) -> Value {
        let mut modulus = vec![0_u8; bits.div_ceil(8)];
        modulus[0] = 1 << ((bits - 1) % 8);
        *modulus.last_mut().unwrap() |= 1;
        json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent)})
    }

    #[test]
    fn weak_rsa_keys_are_left_out() {
        for (bits, kept) in [(1024, false), (2047, false), (2048, true), (3072, true), (8192, true), (8193, false), (16384, false)] {
            assert_eq!(is_kept(rsa(bits, &[1, 0, 1])), kept, "{bits}");
        }
        for (exponent, kept) in [
            (&[3][..], true),
            (&[0, 0, 3], true),
            (&[1], false),
            (&[0, 1], false),
            (&[2], false),
            (&[1, 0, 0], false),
            (&[], false),
            (&[0], false),
            (&[1, 0, 0, 0, 0, 1], false),
        ] {
            assert_eq!(is_kept(rsa(2048, exponent)), kept, "{exponent:?}");
        }
        let mut even = rsa(2048, &[1, 0, 1]);
        even["n"] = json!(URL_SAFE_NO_PAD.encode([0x80_u8; 256]));
        assert!(!is_kept(even));
    }

    #[test]
    fn rsa_keys_over_the_limit_are_left_out_and_counted() {
        let (usual, long) = (rsa(4096, &[1, 0, 1]), rsa(4097, &[1, 0, 1]));
        let parse = |keys: &[&Value], limit| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), limit);
        let set = parse(&[&long, &usual, &long], 4096).unwrap();
        assert_eq!((set.len(), set.oversized()), (1, 2));
        assert_eq!(parse(&[&long], 4096), Err(JwkSetError::Oversized));
        let all = parse(&[&long, &usual], 8192).unwrap();
        assert_eq!((all.len(), all.oversized()), (2, 0));
    }

    #[test]
    fn pss_wants_a_key_that_names_it_or_an_issuer_that_lists_it() {
        let mut named = rsa(2048, &[1, 0, 1]);
        let set = |key: &Value| KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes(), 4096).unwrap();
        let fits = |set: &KeySet, with_any_key| {
            let wanted = Wanted { key_id: None, name: "PS256", algorithm: Algorithm::PS256, with_any_key, owns: &|_| true };
            set.candidates(&wanted).len() == 1
        };
        assert!(!fits(&set(&named), false) && fits(&set(&named), true));
        named["alg"] = json!("PS256");
        assert!(fits(&set(&named), false) && fits(&set(&named), true));
        for other in ["RS256", "PS384"] {
            named["alg"] = json!(other);
            assert!(!fits(&set(&named), false) && !fits(&set(&named), true), "{other}");
        }
    }

    #[test]
    fn without_names_a_few_keys_are_tried() {
        let named = |names: &[Option<&str>]| {
            let keys = names.iter().enumerate().map(|(index, name)| {
                let mut key = rsa(2048 + 8 * index, &[1, 0, 1]);
                key["kid"] = json!(name);
                key
            });
            KeySet::parse(json!({"keys": keys.collect::<Vec<_>>()}).to_string().as_bytes(), 4096).unwrap()
        };
        let tried = |names: &[Option<&str>], key_id| {
            let wanted = Wanted { key_id, name: "RS256", algorithm: Algorithm::RS256, with_any_key: true, owns: &|_| true };
            named(names).candidates(&wanted).len()
        };
        let (a, b) = (Some("a"), Some("b"));
        for (names, key_id, expected) in [
            // A key of that name, and only that.
            (&[a, b, None][..], a, 1),
            (&[a, a, a, a, a], a, 4),
            (&[a, b], Some("c"), 0),
            (&[a], Some(""), 0),
            // Keys that have no name may be any.
            (&[None], a, 1),
            (&[None, None, b], a, 2),
            (&[None; 6], a, 4),
            // A token that names none.
            (&[a], None, 1),
            (&[a, b, None, None], None, 4),
            (&[a, b, None, None, None], None, 0),
        ] {
            assert_eq!(tried(names, key_id), expected, "{names:?} {key_id:?}");
        }
    }

    #[test]
    fn keys_of_spiffe_bundles_are_for_tokens_or_for_certificates() {
        for (usage, kept) in [("sig", true), ("jwt-svid", true), ("x509-svid", false), ("enc", false), ("", false)] {
            let mut key = rsa(2048, &[1, 0, 1]);
            key["use"] = json!(usage);
            assert_eq!(is_kept(key), kept, "{usage}");
        }
    }

    #[test]
    fn weak_and_ambiguous_ed25519_keys_are_left_out() {
        let is_kept = |bytes: [u8; 32]| is_kept(json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(bytes)}));
        let mut good = [0_u8; 32];
        good[0] = 3;
        assert!(is_kept(good));
        let small = |first: u8, last: u8| {
            let mut bytes = [0_u8; 32];
            bytes[0] = first;
            bytes[31] = last;
            bytes
        };
        for weak in [small(0, 0), small(1, 0), small(0, 0x80), small(1, 0x80)] {
            assert!(!is_kept(weak), "{weak:?}");
        }
        // 3, written as 3 plus the prime.
        let mut ambiguous = [0xff_u8; 32];
        ambiguous[0] = 0xf0;
        ambiguous[31] = 0x7f;
        assert!(!is_kept(ambiguous));
    }

    #[test]
    fn published_private_keys_and_repeated_members_are_left_out() {
        let mut private = rsa(2048, &[3]);
        private["d"] = json!("AQ");
        assert!(!is_kept(private));
        let key = rsa(2048, &[3]).to_string();
        let set = |key: &str| KeySet::parse(format!("{{\"keys\":[{key}]}}").as_bytes(), 4096).is_ok();
        assert!(set(&key));
        assert!(!set(&key.replace("\"kty\"", "\"kty\":\"EC\",\"kty\"")));
        assert!(!set(r#"{"kty":"oct","k":"AQ"}"#));
    }
}
