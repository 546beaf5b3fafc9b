//! JWTs that this side signs (RFC 7515 section 7.1), by whoever has the means: the proxy.

use crate::config::AssertionAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fmt::Debug;

/// Signs with a private key.
pub trait Signer: Debug {
    /// Whether it can sign anything at all.
    fn is_there(&self) -> bool;

    /// The signature over `message`: PKCS#1 v1.5 with SHA-256 for RS256, ASN.1 DER for ES256. `key` is PKCS#8 in PEM.
    ///
    /// # Errors
    /// Why not, without a word of the key.
    fn sign(&self, algorithm: AssertionAlgorithm, key: &SecretString, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// A JWT without its signature.
#[derive(Debug)]
pub struct Unsigned {
    algorithm: AssertionAlgorithm,
    key: SecretString,
    input: String,
}

/// Bytes of the signature of the shortest RSA key that there may be (RFC 7518 section 3.3).
const MIN_RSA_BYTES: usize = 256;

impl Unsigned {
    /// The JWT with these `claims`. `names`: members of its header that name the key, with their values.
    #[must_use]
    pub fn new(algorithm: AssertionAlgorithm, key: SecretString, names: &[(&str, Option<&str>)], claims: &Value) -> Self {
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        for (name, value) in names {
            if let (Some(value), Some(header)) = (value, header.as_object_mut()) {
                header.insert((*name).to_owned(), json!(value));
            }
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        Self { algorithm, key, input: format!("{}.{}", part(&header), part(claims)) }
    }

    /// What is signed.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The JWT, signed.
    ///
    /// # Errors
    /// Why it could not be.
    pub fn sign(&self, signer: &dyn Signer) -> Result<SecretString, String> {
        let signature = signature(signer, self.algorithm, &self.key, self.input.as_bytes())?;
        Ok(SecretString::from(format!("{}.{}", self.input, URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// The signature over `message`, as JWS has it (RFC 7518 section 3).
///
/// # Errors
/// Why there is none, without a word of the key.
pub fn signature(signer: &dyn Signer, algorithm: AssertionAlgorithm, key: &SecretString, message: &[u8]) -> Result<Vec<u8>, String> {
    let signature = signer.sign(algorithm, key, message)?;
    match algorithm {
        AssertionAlgorithm::RS256 if signature.len() < MIN_RSA_BYTES => Err("the key is not one of RSA with 2048 bits or more".to_owned()),
        AssertionAlgorithm::RS256 => Ok(signature),
        AssertionAlgorithm::ES256 => raw_ecdsa(&signature).ok_or_else(|| "the key is not one of P-256".to_owned()),
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
