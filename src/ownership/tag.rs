//! The tag at the end of an id: `~`, the name of the key, `.`, and half of HMAC-SHA256 (RFC 2104, 128 bits) in base64url
//! over the owner, what the id names, and the id. `~` is unreserved in URLs (RFC 3986 section 2.3); an id of the agent
//! that holds one itself is no trouble, because the tag begins at the last.

use crate::wire::base64url;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use std::rc::Rc;

/// What begins a tag.
const MARK: char = '~';
/// Bytes of the code that are kept: RFC 2104 section 5 wants at least half.
const CODE_BYTES: usize = 16;
/// So that nothing else that these keys may sign is taken for a tag.
const PURPOSE: &[u8] = b"attache task ownership 1";

type Code = Hmac<Sha256>;

/// What an id names. The tag of one is none for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A task.
    Task,
    /// A context.
    Context,
}

/// The keys of an agent's tags: the first signs, all verify.
pub struct Keys(Vec<(String, Code)>);

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

/// Who calls, as far as it decides what belongs to whom.
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
    /// A person, who is the same with every client.
    pub is_user: bool,
}

/// A caller as the owner of tasks of one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner([u8; 32]);

impl Owner {
    /// A user owns by subject, a service by subject and client. `None` for a caller without such a name: two of them
    /// could not be told apart.
    #[must_use]
    pub fn of(agent: &str, party: &Party<'_>) -> Option<Self> {
        let (subject, client) = match (party.is_user, party.subject, party.client) {
            (true, None, _) | (false, None, None) => return None,
            (true, subject, _) => (subject, None),
            (false, subject, client) => (subject, client),
        };
        let kind = if party.is_user { "user" } else { "service" };
        let mut digest = Sha256::new();
        for part in [Some(agent), Some(party.origin.0), Some(party.origin.1), Some(kind), party.tenant, subject, client] {
            // With its length before it no part can be mistaken for two, and what is absent is not empty.
            let length = part.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX));
            digest.update(length.to_be_bytes());
            digest.update(part.unwrap_or_default());
        }
        Some(Self(digest.finalize().into()))
    }
}

/// Puts tags on for one caller, and takes them off.
#[derive(Clone, Debug)]
pub struct Tagger {
    keys: Rc<Keys>,
    owner: Owner,
}

impl Tagger {
    /// For `owner`, with the agent's keys.
    #[must_use]
    pub const fn new(keys: Rc<Keys>, owner: Owner) -> Self {
        Self { keys, owner }
    }

    /// The id as the caller sees it. An empty one names nothing and stays so.
    #[must_use]
    pub fn tagged(&self, subject: Subject, id: &str) -> String {
        match self.keys.0.first() {
            Some((name, key)) if !id.is_empty() => {
                let code = self.code(key, subject, id).finalize().into_bytes();
                let code = base64url::encode(code.get(..CODE_BYTES).unwrap_or_default());
                format!("{id}{MARK}{name}.{code}")
            }
            _ => id.to_owned(),
        }
    }

    /// The id as the agent knows it, if `text` is one that this caller was shown.
    #[must_use]
    pub fn untagged<'t>(&self, subject: Subject, text: &'t str) -> Option<&'t str> {
        let (id, tag) = text.rsplit_once(MARK)?;
        let (name, code) = tag.split_once('.')?;
        let code = base64url::decode(code).filter(|code| code.len() == CODE_BYTES)?;
        let (_, key) = self.keys.0.iter().find(|(own, _)| own == name)?;
        // In constant time.
        self.code(key, subject, id).verify_truncated_left(&code).ok().map(|()| id).filter(|id| !id.is_empty())
    }

    fn code(&self, key: &Code, subject: Subject, id: &str) -> Code {
        let subject = match subject {
            Subject::Task => b't',
            Subject::Context => b'c',
        };
        // All but the id has one length.
        key.clone().chain_update(PURPOSE).chain_update([subject]).chain_update(self.owner.0).chain_update(id)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Keys, Owner, Party, Subject, Tagger};
    use secrecy::SecretString;
    use std::rc::Rc;

    fn keys(names: &[(&str, &str)]) -> Rc<Keys> {
        let secrets: Vec<_> = names.iter().map(|(name, secret)| (*name, SecretString::from(*secret))).collect();
        Rc::new(Keys::new(secrets.iter().map(|(name, secret)| (*name, secret))))
    }

    const ANN: Party<'static> =
        Party { origin: ("issuer", "https://auth.example"), tenant: None, subject: Some("ann"), client: Some("cli"), is_user: true };

    /// Of a caller called `subject`, with the key `k1`.
    pub fn tagger(subject: &str) -> Rc<Tagger> {
        let owner = Owner::of("expense", &Party { subject: Some(subject), ..ANN }).unwrap();
        Rc::new(Tagger::new(keys(&[("k1", "0123456789abcdef0123456789abcdef")]), owner))
    }

    #[test]
    fn an_id_comes_back_to_whom_it_was_shown_and_to_nobody_else() {
        let (ann, bob) = (tagger("ann"), tagger("bob"));
        for id in ["t1", "a~b", "x~k1.AAAAAAAAAAAAAAAAAAAAAA", "~", "täsk/1 \u{0}", "."] {
            let shown = ann.tagged(Subject::Task, id);
            assert_eq!(ann.untagged(Subject::Task, &shown), Some(id));
            assert_eq!(bob.untagged(Subject::Task, &shown), None);
            assert_eq!(ann.untagged(Subject::Context, &shown), None);
            // A shown id is no id of the agent: shown once more it is another.
            let twice = ann.tagged(Subject::Task, &shown);
            assert_eq!(ann.untagged(Subject::Task, &twice), Some(shown.as_str()));
        }
        assert_eq!(ann.tagged(Subject::Task, ""), "");
    }

    #[test]
    fn what_is_no_tag_of_ours_is_none() {
        let ann = tagger("ann");
        let shown = ann.tagged(Subject::Task, "t1");
        let (cut, last) = shown.split_at(shown.len() - 1);
        // The last letter holds two bits of the code and four that must be zero.
        let odd = if last == "A" { "B" } else { "A" };
        for other in [
            "t1".to_owned(),
            String::new(),
            "~".to_owned(),
            "t1~k1.".to_owned(),
            cut.to_owned(),
            format!("{cut}{odd}"),
            format!("{shown}="),
            format!("{shown}A"),
            format!(" {shown}"),
            shown.replace("t1~", "t2~"),
            shown.replace("~k1.", "~k2."),
            shown.replace("~k1.", "~."),
            shown.replace("t1~", "~"),
            shown.replace('~', "%7E"),
        ] {
            assert_eq!(ann.untagged(Subject::Task, &other), None, "{other:?}");
        }
    }

    #[test]
    fn keys_rotate() {
        let owner = Owner::of("expense", &ANN).unwrap();
        let (old, new) = (("a", "0123456789abcdef0123456789abcdef"), ("b", "fedcba9876543210fedcba9876543210"));
        let before = Tagger::new(keys(&[old]), owner);
        let during = Tagger::new(keys(&[new, old]), owner);
        let after = Tagger::new(keys(&[new]), owner);
        let (first, second) = (before.tagged(Subject::Task, "t"), during.tagged(Subject::Task, "t"));
        assert_eq!(during.untagged(Subject::Task, &first), Some("t"));
        assert_eq!(after.untagged(Subject::Task, &second), Some("t"));
        assert_eq!(after.untagged(Subject::Task, &first), None);
        // The same name with another key behind it is another key.
        assert_eq!(Tagger::new(keys(&[("a", new.1)]), owner).untagged(Subject::Task, &first), None);
        assert!(!format!("{during:?}").contains("fedcba"));
    }

    #[test]
    fn owners_are_told_apart_by_everything_that_names_them() {
        let owner = |party: Party<'_>| Owner::of("expense", &party);
        let ann = owner(ANN);
        assert!(ann.is_some() && ann != Owner::of("travel", &ANN));
        assert_eq!(ann, owner(Party { client: None, ..ANN }), "a user is the same with every client");
        for other in [
            Party { origin: ("issuer", "https://auth.example/"), ..ANN },
            Party { origin: ("scheme", "https://auth.example"), ..ANN },
            Party { tenant: Some(""), ..ANN },
            Party { subject: Some("bob"), ..ANN },
            Party { is_user: false, ..ANN },
        ] {
            assert_ne!(ann, owner(other), "{other:?}");
        }
        let service = Party { is_user: false, ..ANN };
        assert_ne!(owner(service), owner(Party { client: Some("web"), ..service }));
        assert_ne!(owner(Party { subject: None, ..service }), owner(Party { subject: Some("cli"), client: None, ..service }));
        assert_eq!(owner(Party { subject: None, ..ANN }), None);
        assert_eq!(owner(Party { subject: None, client: None, ..service }), None);
    }
}
