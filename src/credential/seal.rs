//! Sealed values: what is kept outside of this VM so that only holders of a key read it, and only at the place that it was sealed for
//! (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03; HMAC-SHA256, RFC 2104).
//!
//! A sealed value is a version byte, the length of the key's id and the id, 24 bytes of nonce, the ciphertext, and 16 bytes of tag. All
//! before the nonce is authenticated, as is the place: its parts, each with its length before it.

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use std::fmt;

/// Fewest characters of a key's text.
pub const MIN_KEY: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag at the end.
const TAG_BYTES: usize = 16;
/// The first byte of all that is sealed so.
const VERSION: u8 = 1;

/// What the keys are for that are derived from one text: none is used for two things.
const TO_SEAL: &[u8] = b"attache seal 1";
const TO_CODE: &[u8] = b"attache code of a place 1";

type Code = Hmac<Sha256>;

/// Keys by name: the first seals, all open.
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

/// One key.
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
    code: Code,
}

impl KeyRing {
    /// Takes the keys by name, each as a secret text whose bytes are what its keys are derived from. `None` without a key, or with one
    /// that cannot be: a text of fewer than [`MIN_KEY`] bytes, a name that is empty or longer than 255 bytes.
    pub fn new<'k>(keys: impl Iterator<Item = (&'k str, &'k SecretString)>) -> Option<Self> {
        let mut keys = keys.map(|(id, text)| Key::new(id, text.expose_secret().as_bytes())).collect::<Option<Vec<Key>>>()?.into_iter();
        Some(Self { first: keys.next()?, others: keys.collect() })
    }

    /// `plain` so that only this ring opens it, and only at `place`. A nonce must never come twice: random ones of this length do not.
    #[must_use]
    pub fn seal(&self, place: &[&[u8]], nonce: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let head = self.first.head();
        let mut sealed = head.clone();
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(start..).unwrap_or_default();
        match self.first.cipher.encrypt_in_place_detached(&XNonce::from(nonce), &authenticated(&head, place), body) {
            Ok(tag) => sealed.extend_from_slice(&tag),
            // Longer than the cipher can seal, which no memory holds. What is empty opens nowhere.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// What was sealed for `place` with a key of this ring; `None` for anything else.
    #[must_use]
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Option<SecretSlice<u8>> {
        let (&[version, length], rest) = sealed.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(usize::from(length))?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let key = self.keys().find(|key| key.id.as_bytes() == id).filter(|_| version == VERSION)?;
        let mut plain = body.to_vec();
        let authenticated = authenticated(&key.head(), place);
        key.cipher.decrypt_in_place_detached(&XNonce::from(*nonce), &authenticated, &mut plain, tag.into()).ok()?;
        Some(plain.into())
    }

    /// A code over `place` that nobody makes without the first key.
    #[must_use]
    pub fn mac(&self, place: &[&[u8]]) -> [u8; 32] {
        self.first.code_of(place).finalize().into_bytes().into()
    }

    /// Whether `code` is one over `place`, by any of the keys. In constant time.
    #[must_use]
    pub fn is_mac(&self, place: &[&[u8]], code: &[u8]) -> bool {
        self.keys().any(|key| key.code_of(place).verify_slice(code).is_ok())
    }

    /// The same of the first half of one, which RFC 2104 section 5 lets stand for the whole.
    #[must_use]
    pub fn is_half(&self, place: &[&[u8]], half: &[u8; 16]) -> bool {
        self.keys().any(|key| key.code_of(place).verify_truncated_left(half).is_ok())
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Key {
    fn new(id: &str, text: &[u8]) -> Option<Self> {
        if text.len() < MIN_KEY || id.is_empty() || u8::try_from(id.len()).is_err() {
            return None;
        }
        // A key of any length is one for HMAC.
        let derived = |purpose: &[u8]| Some(<Code as KeyInit>::new_from_slice(text).ok()?.chain_update(purpose).finalize().into_bytes());
        Some(Self {
            id: id.to_owned(),
            cipher: XChaCha20Poly1305::new(&derived(TO_SEAL)?),
            code: <Code as KeyInit>::new_from_slice(&derived(TO_CODE)?).ok()?,
        })
    }

    /// What a sealed value begins with.
    fn head(&self) -> Vec<u8> {
        let length = u8::try_from(self.id.len()).unwrap_or_default();
        [&[VERSION, length], self.id.as_bytes()].concat()
    }

    fn code_of(&self, place: &[&[u8]]) -> Code {
        self.code.clone().chain_update(authenticated(&[], place))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keys().map(|key| &key.id)).finish()
    }
}

/// `head` and the parts of `place`. With its length before it no part can be mistaken for two.
fn authenticated(head: &[u8], place: &[&[u8]]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    for part in place {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{ExposeSecret, KeyRing, MIN_KEY, NONCE_BYTES, SecretString, TAG_BYTES};

    const OLD: (&str, &str) = ("a", "0123456789abcdef0123456789abcdef");
    const NEW: (&str, &str) = ("b", "fedcba9876543210fedcba9876543210");
    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn ring(keys: &[(&str, &str)]) -> Option<KeyRing> {
        let keys: Vec<_> = keys.iter().map(|(id, text)| (*id, SecretString::from(*text))).collect();
        KeyRing::new(keys.iter().map(|(id, text)| (*id, text)))
    }

    fn opened(ring: &KeyRing, place: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        ring.open(place, sealed).map(|plain| plain.expose_secret().to_vec())
    }

    #[test]
    fn what_is_sealed_is_read_by_the_ring_at_its_place_alone() {
        let ring = ring(&[OLD]).unwrap();
        for plain in [&b""[..], b"t.o.k", &[0; 1000]] {
            let sealed = ring.seal(&[b"grant", b"ann"], NONCE, plain);
            assert_eq!(sealed.len(), 2 + 1 + NONCE_BYTES + plain.len() + TAG_BYTES);
            assert_eq!(opened(&ring, &[b"grant", b"ann"], &sealed).as_deref(), Some(plain));
            assert!(plain.is_empty() || !sealed.windows(plain.len()).any(|part| part == plain));
        }
    }

    #[test]
    fn a_byte_that_was_changed_cut_off_or_added_is_seen() {
        let ring = ring(&[OLD, NEW]).unwrap();
        let place: &[&[u8]] = &[b"grant", b"ann"];
        let sealed = ring.seal(place, NONCE, b"token");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(opened(&ring, place, &changed).is_none(), "byte {at} bit {bit}");
            }
            assert!(opened(&ring, place, &sealed[..at]).is_none() && opened(&ring, place, &sealed[at + 1..]).is_none());
        }
        assert!(opened(&ring, place, &[&sealed[..], b"x"].concat()).is_none());
        // The other key's name before what this key sealed.
        let mut renamed = sealed;
        renamed[2] = b'b';
        assert!(opened(&ring, place, &renamed).is_none());
    }

    /// Names that look alike, or alike in one way of writing them: none is another.
    const NAMES: [&[u8]; 25] = [
        b"",
        b" ",
        b"  ",
        b"\0",
        b"\0\0",
        b"ann",
        b"Ann",
        b"ANN",
        b" ann",
        b"ann ",
        b"ann\n",
        b"ann\0",
        "ann\u{200b}".as_bytes(),
        "ann\u{a0}".as_bytes(),
        "\u{430}nn".as_bytes(),
        // NFC, NFD, and compatible forms.
        "jos\u{e9}".as_bytes(),
        "jose\u{301}".as_bytes(),
        "\u{fb01}n".as_bytes(),
        b"fin",
        "stra\u{df}e".as_bytes(),
        b"strasse",
        "\u{131}".as_bytes(),
        b"i",
        b"\xff",
        b"\x00\x00\x00\x00\x00\x00\x00\x03ann",
    ];

    /// All places of up to three of the names: 16,276.
    fn places() -> Vec<Vec<&'static [u8]>> {
        let mut all: Vec<Vec<&[u8]>> = vec![Vec::new()];
        let mut last = all.clone();
        for _ in 0..3 {
            last = last.iter().flat_map(|place| NAMES.map(|name| [place.as_slice(), &[name]].concat())).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn no_two_places_are_one() {
        let ring = ring(&[OLD]).unwrap();
        let places = places();
        assert_eq!(places.len(), 1 + 25 + 625 + 15_625);
        let mut codes: Vec<_> = places.iter().map(|place| ring.mac(place)).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), places.len());
        // Each of the short ones opens its own alone.
        let short = &places[..1 + 25 + 625];
        for (at, place) in short.iter().enumerate().step_by(31) {
            let sealed = ring.seal(place, NONCE, b"token");
            let code = ring.mac(place);
            for (other, elsewhere) in short.iter().enumerate() {
                assert_eq!(opened(&ring, elsewhere, &sealed).is_some(), at == other, "{place:?} {elsewhere:?}");
                assert_eq!(ring.is_mac(elsewhere, &code), at == other);
            }
        }
    }

    #[test]
    fn keys_rotate() {
        let (before, during, after) = (ring(&[OLD]).unwrap(), ring(&[NEW, OLD]).unwrap(), ring(&[NEW]).unwrap());
        let place: &[&[u8]] = &[b"ann"];
        let (first, second) = (before.seal(place, NONCE, b"1"), during.seal(place, NONCE, b"2"));
        assert_eq!(opened(&during, place, &first).as_deref(), Some(&b"1"[..]));
        assert_eq!(opened(&after, place, &second).as_deref(), Some(&b"2"[..]));
        assert!(opened(&after, place, &first).is_none() && opened(&before, place, &second).is_none());
        assert!(during.is_mac(place, &before.mac(place)) && after.is_mac(place, &during.mac(place)));
        assert!(!after.is_mac(place, &before.mac(place)));
        let half = *before.mac(place).first_chunk().unwrap();
        assert!(during.is_half(place, &half) && !after.is_half(place, &half));
        // The same name with another text behind it is another key.
        let other = ring(&[("a", NEW.1)]).unwrap();
        assert!(opened(&other, place, &first).is_none() && !other.is_mac(place, &before.mac(place)));
    }

    #[test]
    fn a_code_is_all_of_it() {
        let ring = ring(&[OLD, NEW]).unwrap();
        let code = ring.mac(&[b"ann"]);
        assert!(ring.is_mac(&[b"ann"], &code));
        assert!(!ring.is_mac(&[b"ann"], &[]) && !ring.is_mac(&[b"ann"], &code[..31]) && !ring.is_mac(&[b"ann"], &[0; 32]));
        assert!(!ring.is_mac(&[b"ann"], &[&code[..], &[0]].concat()));
        let half = *code.first_chunk().unwrap();
        assert!(ring.is_half(&[b"ann"], &half) && !ring.is_half(&[b"bob"], &half) && !ring.is_half(&[b"ann"], &[0; 16]));
        assert!(!ring.is_half(&[b"ann"], code.last_chunk().unwrap()));
    }

    #[test]
    fn what_can_be_no_key_makes_no_ring() {
        let long = "i".repeat(256);
        for keys in [&[][..], &[("a", "short")], &[OLD, ("b", &"x".repeat(MIN_KEY - 1))], &[("", OLD.1)], &[(&long, OLD.1)]] {
            assert!(ring(keys).is_none());
        }
        assert!(!format!("{:?}", ring(&[OLD]).unwrap()).contains("0123"));
    }

    /// Made with the Python packages `hmac` and PyNaCl (libsodium), so that what is stored today is read tomorrow.
    #[test]
    fn the_form_of_a_sealed_value_stays() {
        let ring = ring(&[("k1", OLD.1)]).unwrap();
        let sealed = ring.seal(&[b"grant", b"", b"ann"], std::array::from_fn(|at| u8::try_from(at).unwrap()), b"t.o.k");
        assert_eq!(crate::wire::hex::encode(&sealed), VECTOR);
        assert_eq!(crate::wire::hex::encode(&ring.mac(&[b"grant", b"", b"ann"])), CODE);
    }

    const VECTOR: &str = "01026b31000102030405060708090a0b0c0d0e0f1011121314151617246ca69a9ca5c09eb52331c2280e9ae176289aa73e";
    const CODE: &str = "3dfcf78efcf22b37e053efc93cb006fc2a19f513d96a5420636ea0a3cec0ddad";
}
