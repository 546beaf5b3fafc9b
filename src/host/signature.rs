//! Signatures through Envoy's foreign function `verify_signature` (BoringSSL: a thirtieth of the time), and in
//! Rust where the host has none or cannot do the algorithm (PSS, EdDSA, HMAC).

use crate::config::{Algorithm, AssertionAlgorithm};
use crate::credential::signing::Signer;
use crate::flow::Level;
use crate::host::log::log;
use crate::identity::der::ecdsa_signature;
use crate::identity::jwk::Key;
use crate::identity::signature::{Software, Verifier};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;
use secrecy::{ExposeSecret, SecretString};
use std::cell::Cell;

/// What is logged once, of a host without `verify_signature`.
const ABSENT: &str = if cfg!(feature = "software-ecdsa") {
    "the proxy has no verify_signature: signatures are verified here, which takes longer"
} else {
    "the proxy has no verify_signature: this build of the filter verifies no signatures of ES256, ES384 and ES512 itself, and those of \
     RS256, RS384 and RS512 take longer"
};

/// What is logged at start of a host without `sign`, the only thing that the filter uses and an older Envoy (1.36) lacks. Not at the first
/// need: a configuration with that need is refused.
pub const NO_SIGN: &str = "this Envoy has no foreign function sign (1.37 has): private_key_jwt and signed_jwt cannot be configured";

/// Verifies on the host first.
#[derive(Debug, Default)]
pub struct HostFirst {
    /// The host said that it has no such function.
    absent: Cell<bool>,
}

impl Verifier for HostFirst {
    fn verify(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        if self.absent.get() {
            return Software.verify(algorithm, key, message, signature);
        }
        let request = match (algorithm, key) {
            (Algorithm::RS256, Key::Rsa(key)) => request(b"sha256", &key.spki, signature, message),
            (Algorithm::RS384, Key::Rsa(key)) => request(b"sha384", &key.spki, signature, message),
            (Algorithm::RS512, Key::Rsa(key)) => request(b"sha512", &key.spki, signature, message),
            (Algorithm::ES256, Key::P256(key)) => match ecdsa_signature(signature, 32) {
                Some(der) => request(b"sha256", &key.spki, &der, message),
                None => return false,
            },
            (Algorithm::ES384, Key::P384(key)) => match ecdsa_signature(signature, 48) {
                Some(der) => request(b"sha384", &key.spki, &der, message),
                None => return false,
            },
            (Algorithm::ES512, Key::P521(key)) => match ecdsa_signature(signature, 66) {
                Some(der) => request(b"sha512", &key.spki, &der, message),
                None => return false,
            },
            _ => return Software.verify(algorithm, key, message, signature),
        };
        match hostcalls::call_foreign_function("verify_signature", Some(&request)) {
            // VerifySignatureResult { bool result = 1 }: true is exactly this; everything else is no.
            Ok(Some(result)) => result.starts_with(&[0x08, 0x01]),
            Ok(None) => false,
            Err(error) => {
                if matches!(error, Status::NotFound) {
                    self.absent.set(true);
                    log(Level::Warn, ABSENT);
                }
                Software.verify(algorithm, key, message, signature)
            }
        }
    }
}

/// Signs through Envoy's foreign function `sign` (BoringSSL).
#[derive(Debug)]
pub struct HostSigner;

impl Signer for HostSigner {
    fn is_there(&self) -> bool {
        // It signs nothing with what is no key, and says so.
        let request = fields(&[(1, b"sha256"), (3, b"attache"), (4, b"no key")]);
        !matches!(hostcalls::call_foreign_function("sign", Some(&request)), Err(Status::NotFound))
    }

    fn sign(&self, _: AssertionAlgorithm, key: &SecretString, message: &[u8]) -> Result<Vec<u8>, String> {
        let request = fields(&[(1, b"sha256"), (3, message), (4, key.expose_secret().as_bytes())]);
        match hostcalls::call_foreign_function("sign", Some(&request)) {
            // SignResult { bool result = 1, bytes signature = 2 }.
            Ok(Some(answer)) => signature(&answer).ok_or_else(|| "the private key cannot sign: is it PKCS#8 in PEM?".to_owned()),
            Ok(None) => Err("the proxy signed nothing".to_owned()),
            Err(Status::NotFound) => Err("the proxy has no foreign function sign".to_owned()),
            Err(_) => Err("the private key cannot sign: is it PKCS#8 in PEM?".to_owned()),
        }
    }
}

/// Field 2 of a message whose field 1 is `true`.
fn signature(message: &[u8]) -> Option<Vec<u8>> {
    let rest = message.strip_prefix(&[0x08, 0x01, 2 << 3 | 2])?;
    let (length, bytes) = match *rest {
        [low @ 0..0x80, ..] => (usize::from(low), rest.get(1..)?),
        [low, high @ 0..0x80, ..] => (usize::from(high) << 7 | usize::from(low & 0x7f), rest.get(2..)?),
        _ => return None,
    };
    Some(bytes.get(..length)?.to_vec())
}

/// `VerifySignatureArguments`: hash name, key as DER SubjectPublicKeyInfo, signature, text.
fn request(hash: &[u8], spki: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    fields(&[(1, hash), (2, spki), (3, signature), (4, text)])
}

/// A protocol-buffer message of these length-delimited fields, whose numbers are below 16.
fn fields(list: &[(u8, &[u8])]) -> Vec<u8> {
    let size = list.iter().fold(0, |sum: usize, (_, bytes)| sum.saturating_add(bytes.len()).saturating_add(8));
    let mut message = Vec::with_capacity(size);
    for (field, bytes) in list {
        message.push(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or(0));
        message.extend_from_slice(bytes);
    }
    message
}
