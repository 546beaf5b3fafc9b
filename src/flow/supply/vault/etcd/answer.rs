//! What etcd answers, as its JSON gateway writes it: what is empty or zero is left out.

use crate::flow::supply::vault::etcd::request;
use crate::flow::supply::vault::operation::{Fault, Found, Version};
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Most characters of a complaint that are logged.
const MAX_COMPLAINT: usize = 160;

/// A value that etcd has.
pub struct Record {
    pub key: Vec<u8>,
    /// Of its last change.
    pub revision: u64,
    /// Until when it is good, and what was written; nothing if that is none of ours.
    content: Option<(UnixTime, Vec<u8>)>,
}

impl Record {
    fn read(value: &Value) -> Option<Self> {
        let bytes = |member: &str| STANDARD.decode(value.get(member).and_then(Value::as_str).unwrap_or_default()).ok();
        let content = bytes("value").and_then(|bytes| {
            let (until, rest) = bytes.split_first_chunk()?;
            Some((UnixTime::from_bytes(*until), rest.to_vec()))
        });
        Some(Self { key: bytes("key")?, revision: number(value.get("mod_revision")?)?, content })
    }

    /// Whether this was written as `value`.
    pub fn is(&self, value: &str) -> bool {
        self.content.as_ref().is_some_and(|(until, bytes)| request::value(bytes, *until) == value)
    }

    /// What is found of it.
    pub fn found(self, now: UnixTime) -> Option<Found> {
        let (_, bytes) = self.content.filter(|(until, _)| now < *until)?;
        Some(Found { bytes, version: Version::new(self.revision) })
    }
}

/// What etcd did.
pub struct Answer(Value);

impl Answer {
    /// What is in the body of an answer.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let value = serde_json::from_slice(body).ok().filter(Value::is_object);
        value.map(Self).ok_or_else(|| unavailable("its answer is no JSON object: does the cluster lead to etcd's clients' port?"))
    }

    /// The values of a range; the one that a transaction found in place of what it asked for.
    pub fn records(&self) -> Vec<Record> {
        let list = self.0.get("kvs").or_else(|| self.0.pointer("/responses/0/response_range/kvs"));
        list.and_then(Value::as_array).map_or_else(Vec::new, |list| list.iter().filter_map(Record::read).collect())
    }

    /// Whether there are more than these.
    pub fn has_more(&self) -> bool {
        self.0.get("more").is_some_and(|more| *more == true)
    }

    /// Whether a transaction found what it was to find.
    pub fn succeeded(&self) -> bool {
        self.0.get("succeeded").is_some_and(|succeeded| *succeeded == true)
    }

    /// The version of what a transaction wrote.
    pub fn written(&self) -> Result<Version, Fault> {
        let revision = self.0.pointer("/header/revision").and_then(number);
        revision.map(Version::new).ok_or_else(|| unavailable("its answer to a write has no revision"))
    }

    /// A new token.
    pub fn token(&self) -> Option<&str> {
        let token = self.0.get("token")?.as_str()?;
        (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

/// Why etcd did not do it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its database is as large as it may be.
    Full,
    /// The token is none, or none any more.
    Token,
    /// The lease has ended, or there was none.
    NoLease,
    /// The lease is there already.
    HasLease,
    /// Something else.
    Other,
}

impl Refused {
    /// Each with a part of the text that etcd has for it: its codes say less.
    const TEXTS: [(&'static str, Self); 5] = [
        ("database space exceeded", Self::Full),
        ("invalid auth token", Self::Token),
        ("revision of auth store is old", Self::Token),
        ("requested lease not found", Self::NoLease),
        ("lease already exists", Self::HasLease),
    ];
    /// What to do about complaints that an operator can end.
    const ADVICE: [(&'static str, &'static str); 6] = [
        ("user name is empty", "etcd has authentication on: give user and password"),
        ("authentication failed", "correct user and password"),
        ("authentication is not enabled", "leave out user and password, or turn etcd's authentication on"),
        ("permission denied", "give the user of etcd a role with readwrite on all keys that begin with prefix"),
        ("too many requests", "etcd is overloaded"),
        ("request is too large", "raise etcd's --max-request-bytes"),
    ];

    /// What the body of an answer with this status means; and that in words.
    pub fn read(status: u16, body: &[u8]) -> (Self, Fault) {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let complaint = value.get("message").or_else(|| value.get("error")).and_then(Value::as_str).unwrap_or_default();
        let refused = Self::TEXTS.into_iter().find(|(text, _)| complaint.contains(text)).map_or(Self::Other, |(_, refused)| refused);
        if refused == Self::Full {
            return (refused, Fault::Full);
        }
        let plain: String = complaint.chars().filter(|letter| matches!(letter, ' '..='~')).take(MAX_COMPLAINT).collect();
        let advice = Self::ADVICE.into_iter().find(|(text, _)| complaint.contains(text)).map_or("", |(_, advice)| advice);
        let status = status.to_string();
        let parts =
            ["it answers ", &status, if plain.is_empty() { "" } else { ": " }, &plain, if advice.is_empty() { "" } else { ": " }, advice];
        (refused, unavailable(&parts.concat()))
    }
}

/// That etcd cannot do it, and why.
pub fn unavailable(why: &str) -> Fault {
    Fault::Unavailable(["etcd: ", why].concat())
}
