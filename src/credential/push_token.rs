//! The token that we put into push-notification configurations on their way to a remote agent, and that its notifications bring back:
//! the name of the key, `.`, and in base64url a version, what is named, the end of its life, a nonce, digests of who called and of the
//! task, and HMAC-SHA256 (RFC 2104) over all of it and the connection. Nothing of it has to be kept anywhere: whoever has the keys can
//! check it. It says nothing to others.

use crate::wire::time::UnixTime;
use crate::wire::{base64url, hex};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt;
use thiserror::Error;

/// What the digests and codes begin with, so that nothing else that these keys may sign is taken for one of them. None begins another.
const LABEL: &[u8] = b"attache push token 1\n";
const CALLER_LABEL: &[u8] = b"attache push caller 1\n";
const TASK_LABEL: &[u8] = b"attache push task 1\n";
/// The first byte.
const VERSION: u8 = 1;
/// Of the second byte: a task is named.
const NAMES_TASK: u8 = 1;
/// Bytes of a digest: RFC 2104 section 5 wants at least half.
const DIGEST_BYTES: usize = 16;
/// Bytes before the code: version, flags, end of life, nonce, caller, task.
const HEAD_BYTES: usize = 2 + 8 + NONCE_BYTES + 2 * DIGEST_BYTES;
/// Bytes of the code: all that HMAC gives.
const CODE_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

type Code = Hmac<Sha256>;

/// What makes one token unlike every other.
pub type Nonce = [u8; NONCE_BYTES];

/// Whether a text is not a token of ours that is good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushTokenError {
    /// It has another shape, or names a key that is not known: somebody else's.
    #[error("it is no token of this webhook's keys")]
    NotOurs,
    /// It has our shape, but no connection was given it.
    #[error("it is forged, or was made for another connection")]
    Forged,
    /// Its life is over.
    #[error("it has expired")]
    Late,
}

/// The keys of tokens: the first signs, all verify.
pub struct Keys(Vec<(String, Code)>);

/// Who made a call, as far as it was verified.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Who vouches for the caller: an issuer's URL or a scheme's name, with a word for which of the two.
    pub origin: (&'static str, &'a str),
    /// The tenant of the issuer.
    pub tenant: Option<&'a str>,
    /// The caller's own name there.
    pub subject: Option<&'a str>,
    /// The client.
    pub client: Option<&'a str>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The name of the connection through which the configuration goes.
    pub connection: &'a str,
    /// Who called, if that is known.
    pub caller: Option<Party<'a>>,
    /// The task, as the remote agent knows it; none where there is none yet.
    pub task: Option<&'a str>,
    /// When its life is over.
    pub expires: UnixTime,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushClaims {
    /// The place of its connection among those that were asked about.
    pub connection: usize,
    /// Who called, by a name that says nothing to others: 32 hexadecimal digits. It lasts as long as the key that signed.
    pub caller: Option<String>,
    /// When its life is over.
    pub expires: UnixTime,
    /// What makes it unlike every other.
    pub nonce: Nonce,
    /// The place of the key, and the digest of the task, if one is named.
    task: Option<(usize, [u8; DIGEST_BYTES])>,
}

impl Keys {
    /// Takes the keys by name, each as a secret text whose bytes are the key.
    pub fn new<'k>(keys: impl Iterator<Item = (&'k str, &'k SecretString)>) -> Self {
        let code = |secret: &SecretString| Code::new_from_slice(secret.expose_secret().as_bytes());
        // A key of any length is one for HMAC.
        Self(keys.filter_map(|(name, secret)| Some((name.to_owned(), code(secret).ok()?))).collect())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A new token. `nonce` is never to be used again. `None` without a key.
#[must_use]
pub fn mint(keys: &Keys, purpose: &Purpose<'_>, nonce: &Nonce) -> Option<SecretString> {
    let (name, key) = keys.0.first()?;
    let caller = purpose.caller.map(|caller| caller.digest(key)).unwrap_or_default();
    let task = purpose.task.map(|task| task_digest(key, nonce, task));
    let seconds = purpose.expires.since(UnixTime::default()).as_secs();
    let mut token = Vec::with_capacity(HEAD_BYTES + CODE_BYTES);
    token.extend([VERSION, if task.is_some() { NAMES_TASK } else { 0 }]);
    token.extend(seconds.to_be_bytes());
    token.extend(nonce);
    token.extend(caller);
    token.extend(task.unwrap_or_default());
    let code = code(key, purpose.connection, &token).finalize().into_bytes();
    token.extend(code);
    Some(SecretString::from(format!("{name}.{}", base64url::encode(&token))))
}

/// Whether `token` is one that was made for one of `connections`, and is good at `now`. Whether it is for a task is to be asked of
/// [`PushClaims::fits_task`], once the task is known.
///
/// # Errors
/// If it is not.
pub fn verify<'c>(
    keys: &Keys,
    connections: impl Iterator<Item = &'c str>,
    token: &str,
    now: UnixTime,
) -> Result<PushClaims, PushTokenError> {
    let parts = token.split_once('.').ok_or(PushTokenError::NotOurs)?;
    let (place, (_, key)) = keys.0.iter().enumerate().find(|(_, (name, _))| name == parts.0).ok_or(PushTokenError::NotOurs)?;
    let bytes = base64url::decode(parts.1).and_then(|bytes| <[u8; HEAD_BYTES + CODE_BYTES]>::try_from(bytes).ok());
    let bytes = bytes.ok_or(PushTokenError::NotOurs)?;
    let (head, given) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(PushTokenError::NotOurs)?;
    // In constant time for each connection. A webhook has few.
    let made = |connection: &str| code(key, connection, head).verify_slice(given).is_ok();
    let connection = connections.enumerate().find(|(_, name)| made(name)).map(|(place, _)| place).ok_or(PushTokenError::Forged)?;
    let (&[version, flags], rest) = head.split_first_chunk().ok_or(PushTokenError::NotOurs)?;
    let (seconds, rest) = rest.split_first_chunk().ok_or(PushTokenError::NotOurs)?;
    let (nonce, rest) = rest.split_first_chunk().ok_or(PushTokenError::NotOurs)?;
    let (caller, task) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or(PushTokenError::NotOurs)?;
    let task = <[u8; DIGEST_BYTES]>::try_from(task).map_err(|_| PushTokenError::NotOurs)?;
    // A later version may be signed with the same keys, and means something else.
    if version != VERSION || flags & !NAMES_TASK != 0 {
        return Err(PushTokenError::NotOurs);
    }
    let expires = UnixTime::from_secs(u64::from_be_bytes(*seconds));
    if now >= expires {
        return Err(PushTokenError::Late);
    }
    Ok(PushClaims {
        connection,
        caller: (*caller != [0; DIGEST_BYTES]).then(|| hex::encode(caller)),
        expires,
        nonce: *nonce,
        task: (flags & NAMES_TASK != 0).then_some((place, task)),
    })
}

impl PushClaims {
    /// Whether it was made for one task.
    #[must_use]
    pub const fn task_bound(&self) -> bool {
        self.task.is_some()
    }

    /// Whether it is good for the task that the remote agent calls `task`: one that was made for no task is good for any. `keys` are those
    /// that it was verified with.
    #[must_use]
    pub fn fits_task(&self, keys: &Keys, task: &str) -> bool {
        let Some((place, own)) = &self.task else { return true };
        let Some((_, key)) = keys.0.get(*place) else { return false };
        task_code(key, &self.nonce, task).verify_truncated_left(own).is_ok()
    }
}

impl Party<'_> {
    /// Who this is, for who has the key.
    fn digest(&self, key: &Code) -> [u8; DIGEST_BYTES] {
        let mut code = key.clone();
        code.update(CALLER_LABEL);
        for part in [Some(self.origin.0), Some(self.origin.1), self.tenant, self.subject, self.client] {
            // What is absent is not empty.
            code.update(&[u8::from(part.is_some())]);
            measured(&mut code, part.unwrap_or_default().as_bytes());
        }
        half(code)
    }
}

/// The code of a token that begins with `head` and was made for `connection`.
fn code(key: &Code, connection: &str, head: &[u8]) -> Code {
    let mut code = key.clone();
    code.update(LABEL);
    measured(&mut code, connection.as_bytes());
    // It always has the same length.
    code.update(head);
    code
}

/// The task of one token: two tokens for a task do not show that it is the same.
fn task_code(key: &Code, nonce: &Nonce, task: &str) -> Code {
    let mut code = key.clone();
    code.update(TASK_LABEL);
    code.update(nonce);
    code.update(task.as_bytes());
    code
}

fn task_digest(key: &Code, nonce: &Nonce, task: &str) -> [u8; DIGEST_BYTES] {
    half(task_code(key, nonce, task))
}

/// Adds `part` with its length before it, so that no part can be mistaken for two.
fn measured(code: &mut Code, part: &[u8]) {
    code.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    code.update(part);
}

/// The first half of what `code` comes to.
fn half(code: Code) -> [u8; DIGEST_BYTES] {
    code.finalize().into_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Keys, NONCE_BYTES, Party, Purpose, PushClaims, PushTokenError, base64url, mint, verify};
    use crate::wire::time::UnixTime;
    use secrecy::{ExposeSecret, SecretString};

    const OLD: (&str, &str) = ("k1", "0123456789abcdef0123456789abcdef");
    const NEW: (&str, &str) = ("k2", "fedcba9876543210fedcba9876543210");
    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];
    const ANN: Party<'static> =
        Party { origin: ("issuer", "https://auth.example"), tenant: None, subject: Some("ann"), client: Some("cli") };
    const PURPOSE: Purpose<'static> = Purpose { connection: "partner", caller: Some(ANN), task: None, expires: UnixTime::from_secs(2000) };

    fn keys(names: &[(&str, &str)]) -> Keys {
        let secrets: Vec<_> = names.iter().map(|(name, secret)| (*name, SecretString::from(*secret))).collect();
        Keys::new(secrets.iter().map(|(name, secret)| (*name, secret)))
    }

    fn token(names: &[(&str, &str)], purpose: &Purpose<'_>) -> String {
        mint(&keys(names), purpose, &NONCE).unwrap().expose_secret().to_owned()
    }

    fn read(names: &[(&str, &str)], token: &str, now: u64) -> Result<PushClaims, PushTokenError> {
        verify(&keys(names), ["other", "partner"].into_iter(), token, UnixTime::from_secs(now))
    }

    #[test]
    fn a_token_says_what_it_was_made_for() {
        let text = token(&[OLD], &PURPOSE);
        assert!(text.starts_with("k1.AQA") && text.len() == 3 + 120, "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')), "{text}");
        let claims = read(&[OLD], &text, 1999).unwrap();
        assert_eq!((claims.connection, claims.expires, claims.nonce), (1, UnixTime::from_secs(2000), NONCE));
        assert!(!claims.task_bound() && claims.fits_task(&keys(&[OLD]), "any"));
        assert_eq!(claims.caller.as_ref().map(String::len), Some(32));
        assert_eq!(read(&[OLD], &token(&[OLD], &Purpose { caller: None, ..PURPOSE }), 0).unwrap().caller, None);
        assert!(mint(&keys(&[]), &PURPOSE, &NONCE).is_none());
        assert!(!format!("{:?} {claims:?}", keys(&[OLD])).contains(OLD.1));
    }

    #[test]
    fn every_changed_byte_is_refused() {
        for task in [None, Some("t1")] {
            let text = token(&[OLD], &Purpose { task, ..PURPOSE });
            assert!(read(&[OLD], &text, 0).is_ok());
            let bytes = base64url::decode(&text[3..]).unwrap();
            for place in 0..bytes.len() {
                for bit in 0..8 {
                    let mut other = bytes.clone();
                    other[place] ^= 1 << bit;
                    let other = format!("k1.{}", base64url::encode(&other));
                    assert_eq!(read(&[OLD], &other, 0), Err(PushTokenError::Forged), "byte {place}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_has_not_our_shape_is_not_ours() {
        let text = token(&[OLD], &PURPOSE);
        let version = {
            let mut bytes = base64url::decode(&text[3..]).unwrap();
            bytes[0] = 2;
            bytes.truncate(bytes.len() - 32);
            let code = super::Mac::finalize(super::code(&keys(&[OLD]).0[0].1, "partner", &bytes)).into_bytes();
            format!("k1.{}", base64url::encode(&[&bytes[..], &code[..]].concat()))
        };
        for other in [
            String::new(),
            "k1".to_owned(),
            "k1.".to_owned(),
            ".".to_owned(),
            text[3..].to_owned(),
            text.replace("k1.", "k2."),
            text.replace("k1.", "K1."),
            text.replace("k1.", "."),
            format!("{text}="),
            format!("{text}A"),
            format!("{text}AAAA"),
            format!(" {text}"),
            format!("{text}."),
            text[..text.len() - 1].to_owned(),
            text[..text.len() - 4].to_owned(),
            text.replacen('A', "+", 1),
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln".to_owned(),
            version,
        ] {
            assert_eq!(read(&[OLD], &other, 0), Err(PushTokenError::NotOurs), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_good_for_its_connection_until_it_expires() {
        let text = token(&[OLD], &PURPOSE);
        for names in [&[][..], &["other"], &["partne"], &["partner2"], &["Partner"], &[""]] {
            let read = verify(&keys(&[OLD]), names.iter().copied(), &text, UnixTime::default());
            assert_eq!(read, Err(PushTokenError::Forged), "{names:?}");
        }
        for (now, expected) in [(0, Ok(())), (1999, Ok(())), (2000, Err(PushTokenError::Late)), (u64::MAX, Err(PushTokenError::Late))] {
            assert_eq!(read(&[OLD], &text, now).map(drop), expected, "{now}");
        }
        // Who has no good token is not told when it would expire.
        assert_eq!(verify(&keys(&[OLD]), ["other"].into_iter(), &text, UnixTime::from_secs(3000)), Err(PushTokenError::Forged));
        // Of the second in which it ends nothing is left.
        let half = Purpose { expires: UnixTime::new(std::time::Duration::from_millis(2999)), ..PURPOSE };
        assert_eq!(read(&[OLD], &token(&[OLD], &half), 2000), Err(PushTokenError::Late));
    }

    #[test]
    fn a_token_for_a_task_is_good_for_no_other() {
        for task in ["t1", "", "täsk/1 \u{0}", "t1~k1.AAAA"] {
            let claims = read(&[NEW, OLD], &token(&[OLD], &Purpose { task: Some(task), ..PURPOSE }), 0).unwrap();
            assert!(claims.task_bound() && claims.fits_task(&keys(&[NEW, OLD]), task), "{task}");
            for other in ["t2", "t", "t11", " t1", "T1", "x"] {
                assert!(!claims.fits_task(&keys(&[NEW, OLD]), other), "{task} {other}");
            }
            // With keys in another order the place is another's.
            assert!(!claims.fits_task(&keys(&[OLD, NEW]), task) && !claims.fits_task(&keys(&[OLD]), task));
        }
        let task_of = |nonce: &[u8; NONCE_BYTES]| {
            let purpose = Purpose { task: Some("t1"), ..PURPOSE };
            let text = mint(&keys(&[OLD]), &purpose, nonce).unwrap().expose_secret().to_owned();
            base64url::decode(&text[3..]).unwrap()[42..58].to_vec()
        };
        assert_ne!(task_of(&NONCE), task_of(&[8; NONCE_BYTES]), "tokens do not show that they are for the same task");
    }

    #[test]
    fn keys_rotate() {
        let (before, after) = (token(&[OLD], &PURPOSE), token(&[NEW, OLD], &PURPOSE));
        assert!(after.starts_with("k2."));
        assert!(read(&[NEW, OLD], &before, 0).is_ok() && read(&[NEW, OLD], &after, 0).is_ok());
        assert_eq!(read(&[NEW], &before, 0), Err(PushTokenError::NotOurs));
        assert_eq!(read(&[OLD], &after, 0), Err(PushTokenError::NotOurs));
        // The same name for another key.
        assert_eq!(read(&[(OLD.0, NEW.1)], &before, 0), Err(PushTokenError::Forged));
        // A name only finds the key.
        assert_eq!(read(&[OLD, (NEW.0, OLD.1)], &before.replace("k1.", "k2."), 0).map(|claims| claims.connection), Ok(1));
    }

    #[test]
    fn no_part_can_be_mistaken_for_two() {
        let caller = |caller: Party<'_>| {
            let text = token(&[OLD], &Purpose { caller: Some(caller), ..PURPOSE });
            read(&[OLD], &text, 0).unwrap().caller.unwrap()
        };
        let parties = [
            ANN,
            Party { origin: ("scheme", "https://auth.example"), ..ANN },
            Party { origin: ("issuer", "https://auth.exampl"), tenant: Some("e"), ..ANN },
            Party { tenant: Some(""), ..ANN },
            Party { tenant: Some("ann"), subject: None, ..ANN },
            Party { subject: Some("annc"), client: Some("li"), ..ANN },
            Party { subject: Some("ann"), client: None, ..ANN },
            Party { subject: None, client: Some("ann"), ..ANN },
            Party { subject: Some("anncli"), client: Some(""), ..ANN },
            Party { subject: Some("ann\0\0\0\0\0\0\0\u{3}cli"), client: None, ..ANN },
        ];
        let mut names = parties.map(caller).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), parties.len());
        assert_eq!(caller(ANN), caller(ANN));
        // What a connection is called does not run into what follows it.
        let text = token(&[OLD], &Purpose { connection: "partner\u{1}", ..PURPOSE });
        assert_eq!(read(&[OLD], &text, 0), Err(PushTokenError::Forged));
    }

    #[test]
    fn every_token_has_the_same_length_and_no_two_are_the_same() {
        let made = |nonce: u8, task: Option<&str>| {
            let purpose = Purpose { task, ..PURPOSE };
            mint(&keys(&[OLD]), &purpose, &[nonce; NONCE_BYTES]).unwrap().expose_secret().to_owned()
        };
        let long = "t".repeat(10_000);
        let all = [made(0, None), made(1, None), made(0, Some("t")), made(0, Some(&long)), made(1, Some("t"))];
        assert!(all.iter().all(|token| token.len() == all[0].len()));
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
