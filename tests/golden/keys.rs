//! A key of P-256 that signs as the proxy does: from PKCS#8 in PEM, with signatures in DER.

use attache::config::AssertionAlgorithm;
use attache::credential::signing::Signer;
use attache::identity::der;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_compact::alg::{Es256, SigningKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

type Key = <Es256 as Algorithm>::SigningKey;

/// What stands before the number in PKCS#8 of a key of P-256: version, algorithm, curve, `ECPrivateKey` with nothing else in it.
const HEAD: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];

/// The private key made of one byte, in PEM.
pub fn pem(seed: u8) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode([&HEAD[..], &[seed; 32]].concat()))
}

/// Its public half, with this `kid`.
pub fn jwk(seed: u8, key_id: &str) -> Value {
    let key: Key = SigningKey::<Es256>::from_slice(&[seed; 32]).unwrap();
    let mut jwk = serde_json::to_value(JsonWebKey::from(key.verifying_key())).unwrap();
    jwk["kid"] = json!(key_id);
    jwk
}

/// The claims of a JWT, if that key signed it.
pub fn verified(seed: u8, token: &str) -> Option<Value> {
    let (input, signature) = token.rsplit_once('.')?;
    let signature = <Es256 as Algorithm>::Signature::try_from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let key: Key = SigningKey::<Es256>::from_slice(&[seed; 32]).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(input.split_once('.')?.1).ok()?;
    let holds = Es256.verify_signature(&signature, key.verifying_key(), input.as_bytes());
    serde_json::from_slice(&claims).ok().filter(|_| holds)
}

/// Signs with such keys, and with none of another form.
#[derive(Debug)]
pub struct Es256Signer;

impl Signer for Es256Signer {
    fn is_there(&self) -> bool {
        true
    }

    fn sign(&self, _: AssertionAlgorithm, key: &SecretString, message: &[u8]) -> Result<Vec<u8>, String> {
        let text: String = key.expose_secret().lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(text).ok();
        let number = der.as_deref().and_then(|der| der.strip_prefix(&HEAD[..]));
        let key: Option<Key> = number.and_then(|number| SigningKey::<Es256>::from_slice(number).ok());
        let key = key.ok_or("the private key cannot sign: is it PKCS#8 in PEM?")?;
        Ok(der::ecdsa_signature(&AlgorithmSignature::as_bytes(&Es256.sign(&key, message)), 32).unwrap())
    }
}
