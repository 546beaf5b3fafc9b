//! What etcd is asked, as its JSON gateway takes it: keys and values in base64, numbers of 64 bits as texts. Nothing in a body needs an
//! escape but the name and the password of a user.

use crate::flow::event::value::Value;
use crate::flow::supply::vault::operation::{Id, Place};
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Seconds that one lease is for: all values that end within them share it, so that their number is bounded, however often values are
/// written anew.
const LEASE_STEP: u64 = 600;
/// By how much a lease outlives its values: clocks differ.
const LEASE_SLACK: u64 = 15;
/// No value is kept longer: ten years.
const LONGEST: Duration = Duration::from_secs(315_360_000);
/// Most grants in one answer to a listing.
pub const PAGE: usize = 16;

/// A request: path and body.
pub struct Request {
    pub path: &'static str,
    pub body: Value,
}

/// The lease of all values that end within the same minutes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lease(u64);

impl Lease {
    /// The one for a value that ends at `until`; the moment itself, which is not later than any value is kept.
    pub fn of(until: UnixTime, now: UnixTime) -> (Self, UnixTime) {
        let until = until.clamp(now, now.plus(LONGEST));
        (Self(seconds(until).div_ceil(LEASE_STEP)), until)
    }

    /// Its id, which every Envoy with this prefix finds for it.
    fn id(self, prefix: &str) -> String {
        // 31 bits of the prefix before 32 of the time: positive, as etcd wants it.
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(prefix));
        let prefix = u64::from(u32::from_be_bytes([a, b, c, d]) >> 1 | 1);
        (prefix << 32 | self.0 & 0xffff_ffff).to_string()
    }

    /// Asks for it.
    pub fn grant(self, prefix: &str, now: UnixTime) -> Request {
        let lasts = self.0.saturating_mul(LEASE_STEP).saturating_sub(seconds(now)).saturating_add(LEASE_SLACK);
        Request::plain("/v3/lease/grant", &["{\"ID\":\"", &self.id(prefix), "\",\"TTL\":\"", &lasts.to_string(), "\"}"])
    }
}

fn seconds(time: UnixTime) -> u64 {
    let since = time.since(UnixTime::default());
    since.as_secs().saturating_add(u64::from(since.subsec_nanos() > 0))
}

/// The key of a place, in base64.
pub fn key(prefix: &str, place: &Place) -> String {
    match place {
        Place::Grant { user, grant } => base64(&[&of_user(prefix, user), &base64url::encode(grant)]),
        Place::Flow { id } => base64(&[prefix, "f/", &base64url::encode(id)]),
    }
}

/// What the keys of a user's grants begin with.
pub fn of_user(prefix: &str, user: &Id) -> String {
    [prefix, "g/", &base64url::encode(user), "/"].concat()
}

fn base64(parts: &[&str]) -> String {
    STANDARD.encode(parts.concat())
}

/// `bytes` as a value that ends at `until`.
pub fn value(bytes: &[u8], until: UnixTime) -> String {
    STANDARD.encode([&until.to_bytes(), bytes].concat())
}

impl Request {
    fn plain(path: &'static str, parts: &[&str]) -> Self {
        Self { path, body: Value::Text(parts.concat()) }
    }

    /// For a token of `user`.
    pub fn authenticate(user: &str, password: &SecretString) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let body = ["{\"name\":", &quoted(user), ",\"password\":", &quoted(password.expose_secret()), "}"].concat();
        Self { path: "/v3/auth/authenticate", body: Value::Secret(body.into()) }
    }

    /// For what is at `key`.
    pub fn read(key: &str) -> Self {
        Self::plain("/v3/kv/range", &["{\"key\":\"", key, "\"}"])
    }

    /// For the grants of a user, from the first, or behind the key `last`.
    pub fn list(beginning: &str, last: Option<&str>) -> Self {
        let from = last.map_or_else(|| base64(&[beginning]), |last| base64(&[last, "\0"]));
        // What all of them are before: `0` comes next behind `/`.
        let end = base64(&[beginning.strip_suffix('/').unwrap_or(beginning), "0"]);
        let limit = PAGE.to_string();
        Self::plain("/v3/kv/range", &["{\"key\":\"", &from, "\",\"range_end\":\"", &end, "\",\"limit\":\"", &limit, "\"}"])
    }

    /// To put `value` at `key`, if the last change of what is there was at `revision` (0: nothing is there). Else for what is there.
    pub fn write(key: &str, value: &str, lease: Lease, prefix: &str, revision: Option<u64>) -> Self {
        let put = ["{\"request_put\":{\"key\":\"", key, "\",\"value\":\"", value, "\",\"lease\":\"", &lease.id(prefix), "\"}}"].concat();
        Self::transaction(key, &put, revision)
    }

    /// To remove what is at `key`, if its last change was at `revision`. Without that no transaction is needed: etcd takes none when it is
    /// full, but removes all the same.
    pub fn remove(key: &str, revision: Option<u64>) -> Self {
        match revision {
            None => Self::plain("/v3/kv/deleterange", &["{\"key\":\"", key, "\"}"]),
            Some(_) => Self::transaction(key, &["{\"request_delete_range\":{\"key\":\"", key, "\"}}"].concat(), revision),
        }
    }

    fn transaction(key: &str, then: &str, revision: Option<u64>) -> Self {
        let compare = revision.map_or_else(String::new, |revision| {
            ["{\"key\":\"", key, "\",\"target\":\"MOD\",\"mod_revision\":\"", &revision.to_string(), "\"}"].concat()
        });
        let parts = ["{\"compare\":[", &compare, "],\"success\":[", then, "],\"failure\":[{\"request_range\":{\"key\":\"", key, "\"}}]}"];
        Self::plain("/v3/kv/txn", &parts)
    }
}
