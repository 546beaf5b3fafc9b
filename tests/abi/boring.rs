//! Envoy's foreign functions `verify_signature`, with the same reach: RSA PKCS#1 v1.5 and ECDSA, keys
//! as DER `SubjectPublicKeyInfo`, ECDSA signatures as ASN.1 DER; and `sign`, with keys of P-256 as the tests have them.

use super::signing_keys::Es256Signer;
use attache::config::AssertionAlgorithm;
use attache::credential::signing::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs1v15;
use rsa::pkcs8::SubjectPublicKeyInfoRef;
use rsa::sha2::{Sha256, Sha384, Sha512};
use secrecy::SecretString;

/// What comes before the point in the DER of a P-256 key.
const P256_HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// What comes before the point in the DER of a P-384 key.
const P384_HEAD: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
/// What comes before the point in the DER of a P-521 key.
const P521_HEAD: &[u8] = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";

/// Takes `VerifySignatureArguments`, answers `VerifySignatureResult`.
pub fn verify_signature(argument: &[u8]) -> Vec<u8> {
    let [hash, key, signature, text] = [1, 2, 3, 4].map(|number| field(argument, number));
    if verify(hash, key, signature, text) { vec![0x08, 0x01] } else { b"\x12\x02no".to_vec() }
}

/// Takes `SignArguments`, answers `SignResult`. `None` if there is no key.
pub fn sign(argument: &[u8]) -> Option<Vec<u8>> {
    let [hash, text, pem] = [1, 3, 4].map(|number| field(argument, number));
    assert_eq!(hash, b"sha256");
    let key = SecretString::from(str::from_utf8(pem).unwrap().to_owned());
    let signed = (!pem.is_empty()).then(|| Es256Signer.sign(AssertionAlgorithm::ES256, &key, text))?;
    Some(signed.map_or_else(
        |_| b"\x1a\x02no".to_vec(),
        |signature| [&[0x08, 0x01, 0x12, u8::try_from(signature.len()).unwrap()], &signature[..]].concat(),
    ))
}

fn verify(hash: &[u8], key: &[u8], signature: &[u8], text: &[u8]) -> bool {
    if let Some(point) = key.strip_prefix(P256_HEAD) {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a point");
        assert_eq!(hash, b"sha256");
        return p256::ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(text, &signature).is_ok());
    }
    if let Some(point) = key.strip_prefix(P384_HEAD) {
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a point");
        assert_eq!(hash, b"sha384");
        return p384::ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(text, &signature).is_ok());
    }
    if let Some(point) = key.strip_prefix(P521_HEAD) {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a point");
        assert_eq!(hash, b"sha512");
        return p521::ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(text, &signature).is_ok());
    }
    let key = rsa_key(key);
    let Ok(signature) = pkcs1v15::Signature::try_from(signature) else { return false };
    match hash {
        b"sha256" => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(text, &signature).is_ok(),
        b"sha384" => pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(text, &signature).is_ok(),
        b"sha512" => pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(text, &signature).is_ok(),
        other => panic!("no such hash: {other:?}"),
    }
}

/// A key of up to 8192 bits, as BoringSSL takes it; the crate's own limit is 4096.
fn rsa_key(der: &[u8]) -> rsa::RsaPublicKey {
    let info = SubjectPublicKeyInfoRef::try_from(der).expect("a key in DER");
    let key = rsa::pkcs1::RsaPublicKey::try_from(info.subject_public_key.raw_bytes()).expect("an RSA key");
    let number = |bytes: &[u8]| rsa::BigUint::from_bytes_be(bytes);
    rsa::RsaPublicKey::new_with_max_size(number(key.modulus.as_bytes()), number(key.public_exponent.as_bytes()), 8192).expect("an RSA key")
}

/// Field `number` of a protobuf message whose fields all have a length.
fn field(mut message: &[u8], number: u8) -> &[u8] {
    while let [tag, rest @ ..] = message {
        assert_eq!(tag & 7, 2, "length-delimited");
        let (mut length, mut at) = (0, 0);
        loop {
            length |= usize::from(rest[at] & 0x7f) << (7 * at);
            at += 1;
            if rest[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let (value, after) = rest[at..].split_at(length);
        if tag >> 3 == number {
            return value;
        }
        message = after;
    }
    &[]
}
