//! RS256 access tokens, as an authorization server would issue them, and their key.

use anyhow::Result;
use attache_mesh::place;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs1v15::SigningKey;
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

/// Bits of the signing key.
pub const KEY_BITS: usize = 2048;
/// Seconds that a token lives: longer than any run.
const LIFETIME: u64 = 3 * 3600;
const KEY_ID: &str = "bench";

/// An issuer with a fresh key.
pub struct Issuer {
    key: SigningKey<Sha256>,
    public: RsaPublicKey,
    issuer: String,
    audience: String,
    /// The scope that the agent demands.
    scope: String,
}

impl Issuer {
    /// Makes a key.
    pub fn new(issuer: &str, audience: &str, scope: &str) -> Result<Self> {
        let private = RsaPrivateKey::new(&mut OsRng, KEY_BITS)?;
        Ok(Self {
            public: private.to_public_key(),
            key: SigningKey::new(private),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            scope: scope.to_owned(),
        })
    }

    /// The public key as a JWK set.
    pub fn jwks(&self) -> Value {
        let encode = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": encode(self.public.n()), "e": encode(self.public.e())}]})
    }

    /// The claims of a good token of caller `number`.
    pub fn claims(&self, number: usize) -> Value {
        let now = place::now();
        json!({"iss": self.issuer, "aud": self.audience, "sub": format!("caller-{number:05}"), "client_id": "caller",
            "scope": format!("agent:read {}", self.scope), "iat": now, "exp": now + LIFETIME, "jti": format!("{number:012x}")})
    }

    /// A good token of caller `number`.
    pub fn token(&self, number: usize) -> String {
        self.sign(&self.claims(number))
    }

    /// Good tokens of callers 0 to `count`, made on all cores.
    pub fn tokens(&self, count: usize) -> Vec<String> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let numbers: Vec<usize> = (0..count).collect();
        std::thread::scope(|scope| {
            let chunks = numbers.chunks(count.div_ceil(threads).max(1));
            let running: Vec<_> =
                chunks.map(|chunk| scope.spawn(move || chunk.iter().map(|number| self.token(*number)).collect::<Vec<_>>())).collect();
            // A thread that panicked leaves too few, which is seen.
            running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        })
    }

    /// Signs any claims.
    pub fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": KEY_ID});
        let input = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.key.sign(input.as_bytes()).to_bytes();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A public key without `alg`, odd and of `bytes` bytes. No private half is needed, since nothing is signed with it.
pub fn made_up_key(kid: &str, bytes: usize) -> Value {
    let number: Vec<u8> = (0..bytes).map(|place| if place == 0 || place + 1 == bytes { 0xc5 } else { (place * 151 % 256) as u8 }).collect();
    json!({"kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode(number), "e": "AQAB"})
}
