//! Client assertions (RFC 7523 section 3), signed by whoever has the means: the proxy.

use super::Key;
use crate::config::{AssertionAlgorithm, Client, PrivateKeyJwt};
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::json;
use std::fmt::Debug;

/// `client_assertion_type` of a JWT (RFC 7523 section 2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Signs with a private key.
pub trait Signer: Debug {
    /// The signature over `message`: PKCS#1 v1.5 with SHA-256 for RS256, ASN.1 DER for ES256. `key` is PKCS#8 in PEM.
    ///
    /// # Errors
    /// Why not, without a word of the key.
    fn sign(&self, algorithm: AssertionAlgorithm, key: &SecretString, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// An assertion without its signature.
#[derive(Debug)]
pub struct Unsigned {
    algorithm: AssertionAlgorithm,
    key: SecretString,
    input: String,
}

impl Unsigned {
    /// What `client` asserts at `now`. `serial` is its `jti`.
    #[must_use]
    pub fn new(client: &Client, own: &PrivateKeyJwt, key: SecretString, now: UnixTime, serial: &Key) -> Self {
        let mut header = json!({"alg": own.algorithm.name(), "typ": "JWT"});
        for (name, value) in [("kid", &own.key_id), ("x5t", &own.x5t)] {
            if let (Some(value), Some(header)) = (value, header.as_object_mut()) {
                header.insert(name.to_owned(), json!(value));
            }
        }
        let issued = now.since(UnixTime::default()).as_secs();
        let audience = own.audience.clone().unwrap_or_else(|| client.token_endpoint.uri.to_string());
        let claims = json!({
            "iss": client.client_id, "sub": client.client_id, "aud": audience, "jti": URL_SAFE_NO_PAD.encode(serial),
            "iat": issued, "nbf": issued, "exp": issued.saturating_add(own.lifetime.as_secs()),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        Self { algorithm: own.algorithm, key, input: format!("{}.{}", part(&header), part(&claims)) }
    }

    /// The assertion, signed.
    ///
    /// # Errors
    /// Why it could not be.
    pub fn sign(&self, signer: &dyn Signer) -> Result<SecretString, String> {
        let signature = signer.sign(self.algorithm, &self.key, self.input.as_bytes())?;
        let signature = match self.algorithm {
            AssertionAlgorithm::RS256 => signature,
            AssertionAlgorithm::ES256 => raw_ecdsa(&signature).ok_or("the key is not one of P-256")?,
        };
        Ok(SecretString::from(format!("{}.{}", self.input, URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// `r||s` (RFC 7518 section 3.4) of an ECDSA signature in DER: SEQUENCE { INTEGER r, INTEGER s }, each below 2^256.
fn raw_ecdsa(der: &[u8]) -> Option<Vec<u8>> {
    let (body, rest) = element(0x30, der)?;
    let (r, after) = element(0x02, body)?;
    let (s, end) = element(0x02, after)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut raw = Vec::with_capacity(64);
    for number in [r, s] {
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        raw.resize(raw.len().checked_add(32_usize.checked_sub(digits.len())?)?, 0);
        raw.extend_from_slice(digits);
    }
    Some(raw)
}

/// The content of the element with this tag that `bytes` begin with, and what follows it. Lengths below 128 only.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = bytes.split_first_chunk::<2>()?;
    if found != tag || length >= 0x80 {
        return None;
    }
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::raw_ecdsa;

    #[test]
    fn signatures_in_der_become_r_and_s() {
        let raw = raw_ecdsa(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]).unwrap();
        assert_eq!((raw.len(), raw[31], raw[63]), (64, 0x80, 1));
        let full = [&[0x30, 70, 2, 33, 0][..], &[0xff; 32], &[2, 33, 0], &[0xfe; 32]].concat();
        assert_eq!(raw_ecdsa(&full).unwrap(), [[0xff; 32], [0xfe; 32]].concat());
        let long = [&[0x30, 38, 2, 33][..], &[1; 33], &[2, 1, 1]].concat();
        for odd in [&[][..], &[0x30], &[0x30, 3, 2, 1, 1], &[0x31, 6, 2, 1, 1, 2, 1, 1], &[0x30, 6, 2, 1, 1, 2, 1, 1, 0], &long] {
            assert_eq!(raw_ecdsa(odd), None, "{odd:?}");
        }
    }
}
