//! Project Wycheproof's vectors for every algorithm that is verified here: those that must fail do, those that must hold
//! do. Keys are read as JWKs, as an issuer publishes them. What goes to the host is compared with `tests/abi/boring.rs`
//! through the built module and with Envoy's cryptography in the mesh.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use attache::config::Algorithm;
use attache::identity::jwk::{Key, KeySet, Wanted};
use attache::identity::signature::{Software, Verifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretSlice;
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// Counts what was asked and notes what came out otherwise.
#[derive(Default)]
struct Score {
    good: usize,
    bad: usize,
    wrong: Vec<String>,
}

impl Score {
    fn note(&mut self, what: &str, number: usize, expected: TestResult, holds: bool) {
        match expected {
            // Policy: BoringSSL and RustCrypto refuse some of these, and so may we.
            TestResult::Acceptable => {}
            TestResult::Valid if holds => self.good += 1,
            TestResult::Invalid if !holds => self.bad += 1,
            _ => self.wrong.push(format!("{what} {number}: {holds}, not {expected:?}")),
        }
    }

    fn check(self, good: usize, bad: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(self.good >= good && self.bad >= bad, "{} good and {} bad", self.good, self.bad);
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key(jwk: Value, name: &str, algorithm: Algorithm) -> Option<Key> {
    let keys = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes(), 8192).ok()?;
    let candidates = keys.candidates(&Wanted { key_id: None, name, algorithm, with_any_key: true, owns: &|_| true });
    candidates.first().map(|key| (*key).clone())
}

fn shared(secret: &[u8]) -> Key {
    let keys = KeySet::shared(SecretSlice::from(secret.to_vec()));
    let candidates =
        keys.candidates(&Wanted { key_id: None, name: "HS256", algorithm: Algorithm::HS256, with_any_key: true, owns: &|_| true });
    candidates[0].clone()
}

#[test]
fn ecdsa() {
    use ecdsa::TestName;
    let mut score = Score::default();
    for (set, curve, length, name, algorithm) in [
        (TestName::EcdsaSecp256r1Sha256P1363, "P-256", 32, "ES256", Algorithm::ES256),
        (TestName::EcdsaSecp384r1Sha384P1363, "P-384", 48, "ES384", Algorithm::ES384),
        (TestName::EcdsaSecp521r1Sha512P1363, "P-521", 66, "ES512", Algorithm::ES512),
    ] {
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(length);
            let jwk = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)});
            let key = key(jwk, name, algorithm).expect("every key is on its curve");
            assert_eq!(key.spki(), Some(group.der.as_slice()), "what the host gets");
            for test in &group.tests {
                score.note(name, test.tc_id, test.result, Software.verify(algorithm, &key, &test.msg, &test.sig));
            }
        }
    }
    score.check(400, 200);
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    let mut score = Score::default();
    for (sets, name, algorithm) in [
        (
            &[TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256, TestName::Rsa8192Sha256][..],
            "RS256",
            Algorithm::RS256,
        ),
        (&[TestName::Rsa2048Sha384, TestName::Rsa3072Sha384, TestName::Rsa4096Sha384, TestName::Rsa8192Sha384], "RS384", Algorithm::RS384),
        (&[TestName::Rsa2048Sha512, TestName::Rsa3072Sha512, TestName::Rsa4096Sha512, TestName::Rsa8192Sha512], "RS512", Algorithm::RS512),
    ] {
        for group in sets.iter().flat_map(|set| rsa_pkcs1_verify::TestSet::load(*set).unwrap().test_groups) {
            let Some(key) = key(json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)}), name, algorithm) else {
                panic!("{name}: a key of {} bits", group.key_size);
            };
            assert_eq!(key.spki(), Some(group.der.as_slice()), "what the host gets");
            for test in &group.tests {
                score.note(name, test.tc_id, test.result, Software.verify(algorithm, &key, &test.msg, &test.sig));
            }
        }
    }
    score.check(80, 2500);
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName;
    let mut score = Score::default();
    for (sets, name, algorithm) in [
        (
            &[TestName::RsaPss2048Sha256Mgf1SaltLen32, TestName::RsaPss3072Sha256Mgf1SaltLen32, TestName::RsaPss4096Sha256Mgf1SaltLen32][..],
            "PS256",
            Algorithm::PS256,
        ),
        (&[TestName::RsaPss2048Sha384Mgf1SaltLen48, TestName::RsaPss4096Sha384Mgf1SaltLen48], "PS384", Algorithm::PS384),
        (&[TestName::RsaPss4096Sha512Mgf1SaltLen64], "PS512", Algorithm::PS512),
    ] {
        for group in sets.iter().flat_map(|set| rsa_pss_verify::TestSet::load(*set).unwrap().test_groups) {
            let key = key(json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)}), name, algorithm).unwrap();
            for test in &group.tests {
                score.note(name, test.tc_id, test.result, Software.verify(algorithm, &key, &test.msg, &test.sig));
            }
        }
    }
    // Salts that RFC 7518 section 3.5 does not allow: what is good there is bad here.
    for set in [TestName::RsaPss2048Sha256Mgf1SaltLen0, TestName::RsaPss4096Sha512Mgf1SaltLen32] {
        let (name, algorithm) = match set {
            TestName::RsaPss2048Sha256Mgf1SaltLen0 => ("PS256", Algorithm::PS256),
            _ => ("PS512", Algorithm::PS512),
        };
        for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
            let key = key(json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)}), name, algorithm).unwrap();
            for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
                score.note(name, test.tc_id, TestResult::Invalid, Software.verify(algorithm, &key, &test.msg, &test.sig));
            }
        }
    }
    score.check(200, 200);
}

#[test]
fn eddsa() {
    let mut score = Score::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk)});
        let key = key(jwk, "EdDSA", Algorithm::EdDSA).expect("no key is weak");
        for test in &group.tests {
            score.note("EdDSA", test.tc_id, test.result, Software.verify(Algorithm::EdDSA, &key, &test.msg, &test.sig));
        }
    }
    score.check(80, 50);
}

/// JWS has no truncated HMAC: of those vectors, whole tags are taken and every shorter one is refused.
#[test]
fn hmac() {
    use mac::TestName;
    let mut score = Score::default();
    for (set, bits, name, algorithm) in [
        (TestName::HmacSha256, 256, "HS256", Algorithm::HS256),
        (TestName::HmacSha384, 384, "HS384", Algorithm::HS384),
        (TestName::HmacSha512, 512, "HS512", Algorithm::HS512),
    ] {
        for group in mac::TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let expected = if group.tag_size == bits { test.result } else { TestResult::Invalid };
                score.note(name, test.tc_id, expected, Software.verify(algorithm, &shared(&test.key), &test.msg, &test.tag));
            }
        }
    }
    score.check(90, 400);
}

/// JOSE has no leading zeros in numbers, DER may.
fn number(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    encode(&bytes[zeros..])
}
