//! Signatures of agent cards: a JWS whose payload is the canonical form of what is signed of the card (A2A 1.0 section 8.4, RFC 7515,
//! RFC 8785). Keys come from the configuration alone: what a header says of keys elsewhere (`jku`, `jwk`, `x5u`) is never
//! looked at.

use super::jwk::{KeySet, Wanted};
use super::signature::Verifier;
use crate::config::{Algorithm, SignedCard};
use crate::wire::json::UniqueValue;
use crate::wire::{base64url, jcs};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Most signatures of a card that are looked at.
const MOST: usize = 8;

/// Why a card is not known to be the agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CardSignatureError {
    /// It has no list of signatures, or an empty one.
    #[error("the card is not signed")]
    Missing,
    /// None of its signatures is good by one of the keys.
    #[error("no signature of the card is good by one of the keys of require_signed_card")]
    Wrong,
}

/// Which of `forms`, of what may have been signed of a card, is signed by one of its `signatures` (the member of the card) with one of
/// `keys` and an algorithm that `wanted` takes.
///
/// # Errors
/// As [`CardSignatureError`] says.
pub fn verify(
    signatures: Option<&Value>,
    forms: impl IntoIterator<Item = Value>,
    keys: &KeySet,
    wanted: &SignedCard,
    verifier: &dyn Verifier,
) -> Result<Value, CardSignatureError> {
    let Some(signatures) = signatures.and_then(Value::as_array).filter(|list| !list.is_empty()) else {
        return Err(CardSignatureError::Missing);
    };
    for form in forms {
        let payload = base64url::encode(jcs::canonical(&form).as_bytes());
        let is_good = |signature: &Value| good(signature, &payload, keys, wanted, verifier).is_some();
        if signatures.iter().take(MOST).any(is_good) {
            return Ok(form);
        }
    }
    Err(CardSignatureError::Wrong)
}

fn good(signature: &Value, payload: &str, keys: &KeySet, card: &SignedCard, verifier: &dyn Verifier) -> Option<()> {
    let text = |name: &str| signature.get(name).and_then(Value::as_str);
    let protected = text("protected")?;
    let UniqueValue(header) = serde_json::from_slice(&base64url::decode(protected)?).ok()?;
    let header = header.as_object()?;
    // RFC 7515 section 4.1.11; with `b64` (RFC 7797) something else would be signed.
    if header.contains_key("crit") || header.contains_key("b64") {
        return None;
    }
    let member = |name: &str| header.get(name).and_then(Value::as_str);
    let name = member("alg")?;
    let algorithm = Algorithm::deserialize(Value::String(name.to_owned())).ok().filter(|algorithm| card.takes(*algorithm))?;
    let key_id = Some(member("kid")?);
    let bytes = base64url::decode(text("signature")?)?;
    let message = format!("{protected}.{payload}");
    let wanted = Wanted { key_id, name, algorithm, with_any_key: card.takes_with_any_key(algorithm), owns: &|_| true };
    keys.candidates(&wanted).into_iter().any(|key| verifier.verify(algorithm, key, message.as_bytes(), &bytes)).then_some(())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::{CardSignatureError, verify};
    use crate::config::SignedCard;
    use crate::identity::jwk::KeySet;
    use crate::identity::signature::Software;
    use crate::wire::base64url::encode;
    use crate::wire::jcs::canonical;
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{Signature, SigningKey};
    use serde_json::{Value, json};

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn keys() -> KeySet {
        let point = key().verifying_key().to_encoded_point(false);
        let half = |at: usize| encode(&point.as_bytes()[at..at + 32]);
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": half(1), "y": half(33)}]});
        KeySet::parse(set.to_string().as_bytes(), 4096).unwrap()
    }

    fn card() -> Value {
        json!({"name": "é", "version": "1.0.0", "skills": [{"id": "b", "a": 1.0}], "supportedInterfaces": []})
    }

    fn signed(header: &Value, card: &Value) -> Value {
        let protected = encode(header.to_string().as_bytes());
        let message = format!("{protected}.{}", encode(canonical(card).as_bytes()));
        let signature: Signature = key().sign(message.as_bytes());
        json!({"protected": protected, "signature": encode(&signature.to_bytes())})
    }

    fn header() -> Value {
        json!({"alg": "ES256", "kid": "k", "typ": "JOSE"})
    }

    fn with(signatures: &[Value]) -> Value {
        let mut card = card();
        card["signatures"] = json!(signatures);
        card
    }

    fn judge(card: &Value) -> Result<(), CardSignatureError> {
        let mut plain = card.clone();
        let signatures = plain.as_object_mut().and_then(|members| members.remove("signatures"));
        let forms = [json!({"another": "form"}), plain.clone()];
        let wanted = json!({"jwks": {"inline": {}}, "algorithms": ["ES256", "RS256"]});
        let wanted: SignedCard = serde_json::from_value(wanted).unwrap();
        let signed = verify(signatures.as_ref(), forms, &keys(), &wanted, &Software)?;
        assert_eq!(signed, plain);
        Ok(())
    }

    #[test]
    fn a_signed_card_in_any_order_of_members_is_good() {
        assert_eq!(judge(&with(&[signed(&header(), &card())])), Ok(()));
        let other = json!({"protected": "e30", "signature": ""});
        assert_eq!(judge(&with(&[json!("x"), other, signed(&header(), &card())])), Ok(()));
        let text = with(&[signed(&header(), &card())]).to_string();
        let turned: Value = serde_json::from_str(&text.replace("\"a\":1.0", "\"a\" : 1e0")).unwrap();
        assert_eq!(judge(&turned), Ok(()));
    }

    #[test]
    fn anything_else_is_not() {
        for none in [card(), with(&[]), json!([]), json!({"signatures": {}})] {
            assert_eq!(judge(&none), Err(CardSignatureError::Missing), "{none}");
        }
        let good = signed(&header(), &card());
        let mut changed = with(std::slice::from_ref(&good));
        changed["name"] = json!("e");
        let mut more = with(std::slice::from_ref(&good));
        more["url"] = json!("https://evil.example");
        let late: Vec<Value> = (0..8).map(|_| json!({})).chain([good.clone()]).collect();
        let mut bad = good.clone();
        bad["signature"] = json!(encode(&[1; 64]));
        for wrong in [changed, more, with(&late), with(&[bad])] {
            assert_eq!(judge(&wrong), Err(CardSignatureError::Wrong), "{wrong}");
        }
        for (member, value) in [
            ("alg", json!("none")),
            ("alg", json!("ES384")),
            ("alg", json!("HS256")),
            ("alg", Value::Null),
            ("kid", json!("other")),
            ("kid", Value::Null),
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
        ] {
            let mut header = header();
            header[member] = value;
            assert_eq!(judge(&with(&[signed(&header, &card())])), Err(CardSignatureError::Wrong), "{header}");
        }
        let header = header();
        let by_header = json!({"protected": encode(b"{}"), "header": header, "signature": good["signature"]});
        assert_eq!(judge(&with(&[by_header])), Err(CardSignatureError::Wrong));
    }
}
