//! Tokens that no honest authorization server would issue, signed (or not) with keys of our own.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An ES256 key and its name.
pub struct Mint {
    key: SigningKey,
    pub kid: String,
}

impl Mint {
    /// The key that belongs to `kid`; the same name gives the same key.
    pub fn new(kid: &str) -> Result<Self> {
        Ok(Self { key: SigningKey::from_slice(&Sha256::digest(kid))?, kid: kid.to_owned() })
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.key.verifying_key().to_encoded_point(false);
        let half = |bytes: Option<&p256::FieldBytes>| bytes.map_or_else(String::new, |bytes| URL_SAFE_NO_PAD.encode(bytes));
        let (x, y) = (half(point.x()), half(point.y()));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y})
    }

    /// The usual header for this key.
    pub fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    /// Signs with the usual header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    /// Signs with any header, whatever `alg` it states.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let input = input(header, claims);
        let signature: Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

/// A token "signed" by HMAC with `secret`.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> Result<String> {
    let input = input(header, claims);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(input.as_bytes());
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

/// A token with an empty signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", input(header, claims))
}

fn input(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// `token` with one bit of its signature changed.
pub fn broken_signature(token: &str) -> Result<String> {
    let (input, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let mut bytes = URL_SAFE_NO_PAD.decode(signature)?;
    if let Some(byte) = bytes.get_mut(10) {
        *byte ^= 1;
    }
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes)))
}
