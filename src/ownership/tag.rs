//! The tag at the end of an id: `~`, the name of the key, `.`, and half of HMAC-SHA256 (RFC 2104, 128 bits) in base64url
//! over the owner, the A2A tenant, what the id names, and the id. Where the request named a tenant (A2A 1.0 section 3.1.1), a digest of
//! it stands before the code, with `.` between: a JSON-RPC body may name its tenant behind the ids, and an id that comes first
//! then says itself which tenant it is of. `~` is unreserved in URLs (RFC 3986 section 2.3); an id of the agent that holds one
//! itself is no trouble, because the tag begins at the last.

use crate::wire::base64url;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// What begins a tag.
const MARK: char = '~';
/// Bytes of the code that are kept: RFC 2104 section 5 wants at least half.
pub(super) const CODE_BYTES: usize = 16;
/// Bytes of the digest of a tenant.
const TENANT_BYTES: usize = 16;
/// So that nothing else that these keys may sign is taken for a tag.
const PURPOSE: &[u8] = b"attache task ownership 2";
/// The same of tags that do not say of which tenant they are. They were made before tags did.
const PURPOSE_BEFORE: &[u8] = b"attache task ownership 1";

pub(super) type Code = Hmac<Sha256>;

/// What an id names. The tag of one is none for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A task.
    Task,
    /// A context.
    Context,
}

/// A tenant of an agent, as A2A 1.0 has them: `tenant` of a request. Not the tenant of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant(Option<[u8; TENANT_BYTES]>);

impl Tenant {
    /// Of a request that names none.
    pub const NONE: Self = Self(None);

    /// The one that is called `name`. An empty one is none, as in protocol buffers.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let digest = || Sha256::digest(name).first_chunk().copied();
        Self(if name.is_empty() { None } else { digest() })
    }
}

/// What is known of a request's tenant.
#[derive(Clone, Copy, Debug)]
enum Tenancy {
    /// It may still be named. What has come is about this one, if about any.
    Open(Option<Tenant>),
    /// It is this one.
    Settled(Tenant),
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

    /// The one that signs, with its name.
    pub(super) fn first(&self) -> Option<&(String, Code)> {
        self.0.first()
    }

    /// The one of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Code> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, key)| key)
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

/// Puts tags on for one request of a caller and its answer, and takes them off.
#[derive(Clone, Debug)]
pub struct Tagger {
    pub(super) keys: Rc<Keys>,
    owner: Owner,
    tenancy: Cell<Tenancy>,
}

impl Tagger {
    /// For `owner`, with the agent's keys.
    #[must_use]
    pub const fn new(keys: Rc<Keys>, owner: Owner) -> Self {
        Self { keys, owner, tenancy: Cell::new(Tenancy::Open(None)) }
    }

    /// Tells the request's tenant. `false` if it is another than the one that was told, or that ids have named.
    #[must_use]
    pub fn settle(&self, tenant: Tenant) -> bool {
        match self.tenancy.replace(Tenancy::Settled(tenant)) {
            Tenancy::Open(named) => named.is_none_or(|named| named == tenant),
            Tenancy::Settled(before) => {
                self.tenancy.set(Tenancy::Settled(before));
                before == tenant
            }
        }
    }

    /// Whether the request's tenant is known.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.tenancy.get(), Tenancy::Settled(_))
    }

    /// Takes note that something in the request is about `tenant`. `false` if the request is about another.
    #[must_use]
    pub fn names(&self, tenant: Tenant) -> bool {
        match self.tenancy.get() {
            Tenancy::Settled(own) | Tenancy::Open(Some(own)) => own == tenant,
            Tenancy::Open(None) => {
                self.tenancy.set(Tenancy::Open(Some(tenant)));
                true
            }
        }
    }

    /// The id as the caller sees it; `None` while the request's tenant is not known. An empty id names nothing and stays so.
    #[must_use]
    pub fn tagged(&self, subject: Subject, id: &str) -> Option<String> {
        let Tenancy::Settled(tenant) = self.tenancy.get() else { return None };
        match self.keys.first() {
            Some((name, key)) if !id.is_empty() => {
                let code = self.code(key, subject, tenant, id).finalize().into_bytes();
                let code = base64url::encode(code.get(..CODE_BYTES).unwrap_or_default());
                let tenant = tenant.0.map(|digest| format!("{}.", base64url::encode(&digest))).unwrap_or_default();
                Some(format!("{id}{MARK}{name}.{tenant}{code}"))
            }
            _ => Some(id.to_owned()),
        }
    }

    /// The id as the agent knows it, if `text` is one that this caller was shown in the request's tenant.
    #[must_use]
    pub fn untagged<'t>(&self, subject: Subject, text: &'t str) -> Option<&'t str> {
        let (id, tag) = text.rsplit_once(MARK).filter(|(id, _)| !id.is_empty())?;
        let (name, rest) = tag.split_once('.')?;
        let (tenant, code) = match rest.split_once('.') {
            Some((digest, code)) => (Tenant(Some(base64url::decode(digest)?.try_into().ok()?)), code),
            None => (Tenant::NONE, rest),
        };
        let code = base64url::decode(code).filter(|code| code.len() == CODE_BYTES)?;
        let (place, (_, key)) = self.keys.0.iter().enumerate().find(|(_, (own, _))| own == name)?;
        // In constant time.
        if self.code(key, subject, tenant, id).verify_truncated_left(&code).is_ok() {
            return self.names(tenant).then_some(id);
        }
        // A tag of before is good in any tenant, until its key goes. No such tag is made any more: the key that signs has none.
        let is_before = place > 0 && tenant == Tenant::NONE;
        (is_before && self.code_before(key, subject, id).verify_truncated_left(&code).is_ok()).then_some(id)
    }

    /// The request's tenant, once it is known.
    pub(super) fn settled(&self) -> Option<Tenant> {
        match self.tenancy.get() {
            Tenancy::Settled(tenant) => Some(tenant),
            Tenancy::Open(_) => None,
        }
    }

    /// The tenant that the request has to be about from now on: the one that is known or that ids have named, or none.
    pub(super) fn assumed(&self) -> Tenant {
        match self.tenancy.get() {
            Tenancy::Settled(tenant) | Tenancy::Open(Some(tenant)) => tenant,
            Tenancy::Open(None) => {
                self.tenancy.set(Tenancy::Settled(Tenant::NONE));
                Tenant::NONE
            }
        }
    }

    /// A code that begins with `purpose`, the owner and `tenant`.
    pub(super) fn scoped(&self, key: &Code, purpose: &[u8], tenant: Tenant) -> Code {
        // All but the purpose, which is one of a few and begins none of the others, has one length.
        over(key, &[purpose, &self.owner.0, &[u8::from(tenant.0.is_some())], &tenant.0.unwrap_or_default()])
    }

    fn code(&self, key: &Code, subject: Subject, tenant: Tenant, id: &str) -> Code {
        // All but the id has one length.
        let tenanted = [u8::from(tenant.0.is_some())];
        over(key, &[PURPOSE, &[letter(subject)], &self.owner.0, &tenanted, &tenant.0.unwrap_or_default(), id.as_bytes()])
    }

    fn code_before(&self, key: &Code, subject: Subject, id: &str) -> Code {
        over(key, &[PURPOSE_BEFORE, &[letter(subject)], &self.owner.0, id.as_bytes()])
    }
}

/// A code with `key` over `parts`, one behind the other.
pub(super) fn over(key: &Code, parts: &[&[u8]]) -> Code {
    let mut code = key.clone();
    parts.iter().for_each(|part| code.update(part));
    code
}

pub(super) const fn letter(subject: Subject) -> u8 {
    match subject {
        Subject::Task => b't',
        Subject::Context => b'c',
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{CODE_BYTES, Keys, Mac, Owner, Party, Subject, Tagger, Tenant, base64url};
    use secrecy::SecretString;
    use std::rc::Rc;

    pub fn keys(names: &[(&str, &str)]) -> Rc<Keys> {
        let secrets: Vec<_> = names.iter().map(|(name, secret)| (*name, SecretString::from(*secret))).collect();
        Rc::new(Keys::new(secrets.iter().map(|(name, secret)| (*name, secret))))
    }

    pub const ANN: Party<'static> =
        Party { origin: ("issuer", "https://auth.example"), tenant: None, subject: Some("ann"), client: Some("cli"), is_user: true };

    pub const OLD: (&str, &str) = ("a", "0123456789abcdef0123456789abcdef");
    pub const NEW: (&str, &str) = ("b", "fedcba9876543210fedcba9876543210");

    /// Of a caller called `subject`, with the key `k1`, whose request is about `tenant` (empty: none), or has not said so.
    pub fn tagger_in(subject: &str, tenant: Option<&str>) -> Rc<Tagger> {
        let owner = Owner::of("expense", &Party { subject: Some(subject), ..ANN }).unwrap();
        let tagger = Tagger::new(keys(&[("k1", "0123456789abcdef0123456789abcdef")]), owner);
        assert!(tenant.is_none_or(|tenant| tagger.settle(Tenant::named(tenant))));
        Rc::new(tagger)
    }

    /// The same of a request about no tenant.
    pub fn tagger(subject: &str) -> Rc<Tagger> {
        tagger_in(subject, Some(""))
    }

    /// What `tagger` shows.
    pub fn shown(tagger: &Tagger, subject: Subject, id: &str) -> String {
        tagger.tagged(subject, id).unwrap()
    }

    #[test]
    fn an_id_comes_back_to_whom_it_was_shown_and_to_nobody_else() {
        let (ann, bob) = (tagger("ann"), tagger("bob"));
        for id in ["t1", "a~b", "x~k1.AAAAAAAAAAAAAAAAAAAAAA", "~", "täsk/1 \u{0}", "."] {
            let seen = shown(&ann, Subject::Task, id);
            assert_eq!(ann.untagged(Subject::Task, &seen), Some(id));
            assert_eq!(bob.untagged(Subject::Task, &seen), None);
            assert_eq!(ann.untagged(Subject::Context, &seen), None);
            // A shown id is no id of the agent: shown once more it is another.
            let twice = shown(&ann, Subject::Task, &seen);
            assert_eq!(ann.untagged(Subject::Task, &twice), Some(seen.as_str()));
        }
        assert_eq!(shown(&ann, Subject::Task, ""), "");
    }

    #[test]
    fn what_is_no_tag_of_ours_is_none() {
        let ann = tagger("ann");
        let shown = shown(&ann, Subject::Task, "t1");
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
        let with = |list: &[(&str, &str)]| {
            let tagger = Tagger::new(keys(list), owner);
            assert!(tagger.settle(Tenant::NONE));
            tagger
        };
        let (before, during, after) = (with(&[OLD]), with(&[NEW, OLD]), with(&[NEW]));
        let (first, second) = (shown(&before, Subject::Task, "t"), shown(&during, Subject::Task, "t"));
        assert_eq!(during.untagged(Subject::Task, &first), Some("t"));
        assert_eq!(after.untagged(Subject::Task, &second), Some("t"));
        assert_eq!(after.untagged(Subject::Task, &first), None);
        // The same name with another key behind it is another key.
        assert_eq!(with(&[("a", NEW.1)]).untagged(Subject::Task, &first), None);
        assert!(!format!("{during:?}").contains("fedcba"));
    }

    #[test]
    fn a_tag_is_of_one_tenant() {
        for subject in [Subject::Task, Subject::Context] {
            for (tenant, other) in [("acme", "bolt"), ("acme", ""), ("", "acme"), ("acme", "ACME"), ("acme", "acme ")] {
                let text = shown(&tagger_in("ann", Some(tenant)), subject, "t1");
                assert_eq!(tagger_in("ann", Some(tenant)).untagged(subject, &text), Some("t1"), "{tenant}");
                assert_eq!(tagger_in("ann", Some(other)).untagged(subject, &text), None, "{tenant} in {other}");
                assert_eq!(tagger_in("bob", Some(tenant)).untagged(subject, &text), None, "{tenant}");
                // The tenant is named behind the id.
                for (named, holds) in [(tenant, true), (other, false)] {
                    let late = tagger_in("ann", None);
                    assert_eq!(late.untagged(subject, &text), Some("t1"));
                    assert_eq!(late.settle(Tenant::named(named)), holds, "{tenant} in {named}");
                }
            }
        }
        let (acme, bolt) = (tagger_in("ann", Some("acme")), tagger_in("ann", Some("bolt")));
        let (one, other) = (shown(&acme, Subject::Task, "t1"), shown(&bolt, Subject::Task, "t1"));
        let late = tagger_in("ann", None);
        assert_eq!(late.untagged(Subject::Task, &one), Some("t1"));
        assert_eq!(late.untagged(Subject::Task, &other), None, "one request is about one tenant");
        assert_eq!(tagger_in("ann", None).tagged(Subject::Task, "t1"), None, "nothing is shown before the tenant is known");
        // The digest is no part that can be left out, put in, or changed.
        let (_, tag) = one.split_once("~k1.").unwrap();
        let (digest, code) = tag.split_once('.').unwrap();
        let (_, another) = other.split_once("~k1.").unwrap();
        let (another, _) = another.split_once('.').unwrap();
        for forged in [
            format!("t1~k1.{code}"),
            format!("t1~k1.{another}.{code}"),
            format!("t1~k1.{digest}.{digest}.{code}"),
            format!("t1~k1..{code}"),
        ] {
            for tenant in [Some("acme"), Some("bolt"), Some(""), None] {
                assert_eq!(tagger_in("ann", tenant).untagged(Subject::Task, &forged), None, "{forged} in {tenant:?}");
            }
        }
    }

    #[test]
    fn tags_of_before_are_good_in_any_tenant_until_their_key_goes() {
        let owner = Owner::of("expense", &ANN).unwrap();
        let with = |list: &[(&str, &str)], tenant: &str| {
            let tagger = Tagger::new(keys(list), owner);
            assert!(tagger.settle(Tenant::named(tenant)));
            tagger
        };
        let old = with(&[OLD], "");
        let code = old.code_before(&old.keys.0[0].1, Subject::Task, "t1").finalize().into_bytes();
        let before = format!("t1~a.{}", base64url::encode(&code[..CODE_BYTES]));
        // Made by the program before this one.
        assert_eq!(before, "t1~a.68u7k8dPtsiuPCUQXXPXKQ");
        for (list, tenant, good) in [
            (&[NEW, OLD][..], "", true),
            (&[NEW, OLD], "acme", true),
            (&[NEW], "", false),
            // The key that signs makes no such tags: put a new one before it.
            (&[OLD], "", false),
            (&[OLD, NEW], "acme", false),
        ] {
            assert_eq!(with(list, tenant).untagged(Subject::Task, &before).is_some(), good, "{list:?} {tenant}");
        }
        assert_eq!(with(&[NEW, OLD], "").untagged(Subject::Context, &before), None);
        let digest = base64url::encode(&[0; 16]);
        assert_eq!(with(&[NEW, OLD], "").untagged(Subject::Task, &before.replace("~a.", &format!("~a.{digest}."))), None);
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
