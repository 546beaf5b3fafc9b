//! Page tokens of lists as callers get them: the agent's own, encrypted, with a seal that binds it to the caller and the tenant.
//! Agents put ids into them, also those of tasks that a page does not show, so that nobody may read them. (SIV, as in RFC 5297,
//! with HMAC-SHA256 for both halves: the seal, 128 bits, is the nonce.) The text is the name of the key, `.`, seal and token in
//! base64url.

use super::tag::{CODE_BYTES, Code, Tagger, Tenant, over};
use crate::wire::base64url;
use hmac::Mac;

/// So that nothing else that these keys sign is taken for a seal, or for its mask.
const SEALS: &[u8] = b"attache page token seal 1";
const MASKS: &[u8] = b"attache page token mask 1";

/// Bytes of one part of the mask.
const PART: usize = 32;

impl Tagger {
    /// The agent's page token as the caller sees it; `None` while the request's tenant is not known.
    #[must_use]
    pub fn sealed(&self, token: &str) -> Option<String> {
        let ((name, key), tenant) = self.keys.first().zip(self.settled())?;
        let seal = over(&self.scoped(key, SEALS, tenant), &[token.as_bytes()]).finalize().into_bytes();
        let mut bytes = seal.get(..CODE_BYTES)?.to_vec();
        let masked = self.masked((key, tenant), &bytes, token.as_bytes());
        bytes.extend(masked);
        Some(format!("{name}.{}", base64url::encode(&bytes)))
    }

    /// The agent's page token, if `text` is one that this caller got in the request's tenant.
    #[must_use]
    pub fn unsealed(&self, text: &str) -> Option<String> {
        let (name, text) = text.split_once('.')?;
        let (key, tenant) = self.keys.named(name).zip(self.settled())?;
        let bytes = base64url::decode(text)?;
        let (seal, masked) = bytes.split_at_checked(CODE_BYTES)?;
        let token = self.masked((key, tenant), seal, masked);
        // In constant time.
        over(&self.scoped(key, SEALS, tenant), &[&token]).verify_truncated_left(seal).ok()?;
        String::from_utf8(token).ok()
    }

    /// `bytes` with a key stream over them that `seal` begins.
    fn masked(&self, (key, tenant): (&Code, Tenant), seal: &[u8], bytes: &[u8]) -> Vec<u8> {
        let begun = over(&self.scoped(key, MASKS, tenant), &[seal]);
        let mut masked = Vec::with_capacity(bytes.len());
        for (count, part) in (0_u32..).zip(bytes.chunks(PART)) {
            let mask = over(&begun, &[&count.to_be_bytes()]).finalize().into_bytes();
            masked.extend(part.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::super::tag::tests::{ANN, NEW, OLD, keys, tagger, tagger_in};
    use super::super::tag::{Owner, Tagger};
    use super::Tenant;

    #[test]
    fn a_page_token_comes_back_to_whom_it_was_given_and_to_nobody_else() {
        for token in ["2", "eyJpZCI6InQxIn0", "täsk/1 \u{0}", &"0123456789abcdef".repeat(9)] {
            let seen = tagger("ann").sealed(token).unwrap();
            assert!(!seen.contains(token) && seen.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{seen}");
            assert_eq!(tagger("ann").unsealed(&seen).as_deref(), Some(token));
            for other in [tagger("bob"), tagger_in("ann", Some("acme")), tagger_in("ann", None)] {
                assert_eq!(other.unsealed(&seen), None);
            }
        }
        let acme = tagger_in("ann", Some("acme")).sealed("t").unwrap();
        assert_eq!(tagger_in("ann", Some("acme")).unsealed(&acme).as_deref(), Some("t"));
        assert_eq!((tagger("ann").unsealed(&acme), tagger_in("ann", None).sealed("t")), (None, None));
    }

    #[test]
    fn what_was_not_given_is_no_page_token() {
        let ann = tagger("ann");
        let (seen, other) = (ann.sealed("page two").unwrap(), ann.sealed("page three").unwrap());
        let mark = ann.mark().unwrap();
        let mixed = format!("{}{}", &seen[..25], &other[25..]);
        for forged in [
            "",
            ".",
            "page two",
            "k1.",
            "k1.AAAA",
            &seen[..seen.len() - 1],
            &format!("{seen}A"),
            &seen.replace("k1.", "k2."),
            &mixed,
            &mark,
        ] {
            assert_eq!(ann.unsealed(forged), None, "{forged}");
        }
        for at in 3..seen.len() {
            let mut forged = seen.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'Q' } else { b'A' };
            assert_eq!(ann.unsealed(std::str::from_utf8(&forged).unwrap()), None, "{at}");
        }
    }

    #[test]
    fn page_tokens_of_all_keys_count() {
        let owner = Owner::of("expense", &ANN).unwrap();
        let with = |list: &[(&str, &str)]| {
            let tagger = Tagger::new(keys(list), owner);
            assert!(tagger.settle(Tenant::NONE));
            tagger
        };
        let first = with(&[OLD]).sealed("2").unwrap();
        assert_eq!(with(&[NEW, OLD]).unsealed(&first).as_deref(), Some("2"));
        assert!(with(&[NEW, OLD]).sealed("2").unwrap().starts_with("b."));
        assert_eq!(with(&[NEW]).unsealed(&first), None);
    }
}
