//! Links that lead a user to where it can agree, and what its browser keeps on the way. Both are sealed: who holds one cannot read for whom
//! it is, nor make another.

use super::authorize::Tie;
use super::seal::{KeyRing, NONCE_BYTES};
use super::user::User;
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// How long a link works.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Longest link that is looked at, in characters.
const LONGEST: usize = 4096;

/// What a link is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Tells it from all others.
    pub flow: [u8; 16],
    /// The connection that the call went through, by name.
    pub connection: String,
    /// The issuer of the caller's token, by its name in the configuration.
    pub issuer: String,
    /// Who called, and through which client.
    pub user: User,
    /// Claims of the caller's token that the sign-in must show, too.
    pub identity: Vec<(String, String)>,
    /// When it was made, in whole seconds.
    pub issued: UnixTime,
}

impl fmt::Debug for Link {
    /// Without anything of the user.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("connection", &self.connection).field("issued", &self.issued).finish_non_exhaustive()
    }
}

impl Link {
    /// The end of its life.
    #[must_use]
    pub const fn ends(&self) -> UnixTime {
        self.issued.plus(LIFETIME)
    }

    fn to_value(&self) -> Value {
        let seconds = self.issued.since(UnixTime::default()).as_secs();
        json!([base64url::encode(&self.flow), self.connection, self.issuer, self.user.to_value(), self.identity, seconds])
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [flow, connection, issuer, user, identity, issued] = value.as_array()?.as_slice() else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let pair = |value: &Value| match value.as_array()?.as_slice() {
            [name, value] => Some((text(name)?, text(value)?)),
            _ => None,
        };
        Some(Self {
            flow: base64url::decode(flow.as_str()?)?.try_into().ok()?,
            connection: text(connection)?,
            issuer: text(issuer)?,
            user: User::from_value(user)?,
            identity: identity.as_array()?.iter().map(pair).collect::<Option<_>>()?,
            issued: UnixTime::from_secs(issued.as_u64()?),
        })
    }

    /// It as it stands in a URL.
    #[must_use]
    pub fn seal(&self, ring: &KeyRing, nonce: [u8; NONCE_BYTES]) -> String {
        base64url::encode(&ring.seal(&[b"link"], nonce, self.to_value().to_string().as_bytes()))
    }

    /// What [`Link::seal`] made of one, whether it still works or not.
    #[must_use]
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        let sealed = base64url::decode(Some(text).filter(|text| text.len() <= LONGEST)?)?;
        let plain = ring.open(&[b"link"], &sealed)?;
        Self::from_value(&serde_json::from_slice(plain.expose_secret()).ok()?)
    }
}

/// How far a browser has come with a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has the page that asks whether to go on; with what its button sends besides.
    Asked(String),
    /// It was sent to where users of the caller's issuer sign in.
    SigningIn(Tie),
    /// It was sent to where the user agrees.
    Agreeing(Tie),
}

/// What a browser keeps on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// What for.
    pub link: Link,
    /// How far.
    pub stage: Stage,
}

impl Passage {
    /// As it lies in the cookie `name`.
    #[must_use]
    pub fn seal(&self, name: &[u8], ring: &KeyRing, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let tied = |word: &str, tie: &Tie| json!([word, tie.state, tie.nonce, tie.verifier]);
        let stage = match &self.stage {
            Stage::Asked(csrf) => json!(["asked", csrf, "", ""]),
            Stage::SigningIn(tie) => tied("signing_in", tie),
            Stage::Agreeing(tie) => tied("agreeing", tie),
        };
        ring.seal(&[b"cookie", name], nonce, json!([stage, self.link.to_value()]).to_string().as_bytes())
    }

    /// What [`Passage::seal`] made of one, for the same cookie.
    #[must_use]
    pub fn open(name: &[u8], ring: &KeyRing, sealed: &[u8]) -> Option<Self> {
        let plain = ring.open(&[b"cookie", name], sealed)?;
        let value: Value = serde_json::from_slice(plain.expose_secret()).ok()?;
        let [stage, link] = value.as_array()?.as_slice() else { return None };
        let texts = stage.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        let [word, first, second, third] = <[String; 4]>::try_from(texts).ok()?;
        let stage = match word.as_str() {
            "asked" => Stage::Asked(first),
            "signing_in" => Stage::SigningIn(Tie { state: first, nonce: second, verifier: third }),
            "agreeing" => Stage::Agreeing(Tie { state: first, nonce: second, verifier: third }),
            _ => return None,
        };
        Some(Self { link: Link::from_value(link)?, stage })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyRing, Link, Passage, Stage, Tie, UnixTime, User};

    fn ring(text: &str) -> KeyRing {
        KeyRing::new(std::iter::once(("k", &text.to_owned().into()))).unwrap()
    }

    fn link() -> Link {
        Link {
            flow: [3; 16],
            connection: "hr".to_owned(),
            issuer: "corp".to_owned(),
            user: User { issuer: "https://corp.example".to_owned(), tenant: None, subject: "ann".to_owned(), client: None },
            identity: vec![("sub".to_owned(), "ann".to_owned())],
            issued: UnixTime::from_secs(1000),
        }
    }

    #[test]
    fn a_link_is_read_by_who_made_it() {
        let (own, other) = (ring("0123456789abcdef0123456789abcdef"), ring("fedcba9876543210fedcba9876543210"));
        let text = link().seal(&own, [1; 24]);
        assert_eq!(Link::open(&own, &text), Some(link()));
        assert!(text.len() < 400 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!((Link::open(&other, &text), Link::open(&own, &text[1..]), Link::open(&own, "")), (None, None, None));
        // What a browser keeps is no link, and what it keeps in one cookie is nothing in another.
        let tie = Tie { state: "s".to_owned(), nonce: "n".to_owned(), verifier: "v".to_owned() };
        for stage in [Stage::Asked("c".to_owned()), Stage::SigningIn(tie.clone()), Stage::Agreeing(tie)] {
            let passage = Passage { link: link(), stage };
            let sealed = passage.seal(b"one", &own, [2; 24]);
            assert_eq!(Passage::open(b"one", &own, &sealed), Some(passage));
            assert_eq!((Passage::open(b"two", &own, &sealed), Passage::open(b"one", &other, &sealed)), (None, None));
            assert_eq!(Link::open(&own, &crate::wire::base64url::encode(&sealed)), None);
        }
        assert!(!format!("{:?}", link()).contains("ann"));
    }
}
