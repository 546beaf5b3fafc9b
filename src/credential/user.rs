//! Users, as their grants are told apart: two of them never share anything.

use super::Key;
use super::endpoint::digest;
use crate::wire::hex;
use serde_json::{Value, json};

/// A user of whom the issuer of the call's token says who it is, and the client that calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `iss`.
    pub issuer: String,
    /// The tenant at the issuer, if it has several.
    pub tenant: Option<String>,
    /// `sub`.
    pub subject: String,
    /// The client that got the token: what it may do is what its user agreed to for it.
    pub client: Option<String>,
}

/// What tells one grant from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantKey {
    /// Of the user: issuer, tenant, subject.
    pub user: [u8; 16],
    /// Of the client, the connection and the registration, with the user.
    pub grant: [u8; 16],
}

/// A text or nothing, as two texts.
fn parts(text: Option<&str>) -> [&str; 2] {
    text.map_or(["none", ""], |text| ["some", text])
}

fn half(key: &Key) -> [u8; 16] {
    key.first_chunk().copied().unwrap_or_default()
}

impl User {
    /// What tells the user's grants from those of all others.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let [is_some, tenant] = parts(self.tenant.as_deref());
        half(&digest(["attache user 1", &self.issuer, is_some, tenant, &self.subject].into_iter()))
    }

    /// The key of what the user grants to this client at `connection`, by way of registration `app`.
    #[must_use]
    pub fn key(&self, connection: &str, app: &str) -> GrantKey {
        let user = self.digest();
        let own = hex::encode(&user);
        let [is_some, client] = parts(self.client.as_deref());
        GrantKey { user, grant: half(&digest(["attache grant 1", &own, is_some, client, connection, app].into_iter())) }
    }

    /// As it lies, sealed, with a grant.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!([self.issuer, self.tenant, self.subject, self.client])
    }

    /// What [`User::to_value`] made of one.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let [issuer, tenant, subject, client] = value.as_array()?.as_slice() else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let optional = |value: &Value| if value.is_null() { Some(None) } else { text(value).map(Some) };
        Some(Self { issuer: text(issuer)?, tenant: optional(tenant)?, subject: text(subject)?, client: optional(client)? })
    }
}

impl GrantKey {
    /// Both halves.
    #[must_use]
    pub fn to_bytes(self) -> Key {
        let mut key = [0; 32];
        key.iter_mut().zip(self.user.iter().chain(&self.grant)).for_each(|(place, byte)| *place = *byte);
        key
    }

    /// The key that has these halves.
    #[must_use]
    pub fn from_bytes(key: &Key) -> Self {
        let (user, grant) = key.split_at(16);
        Self { user: user.try_into().unwrap_or_default(), grant: grant.try_into().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::{GrantKey, User};
    use std::collections::BTreeSet;

    /// Texts that look alike, or run together.
    const TEXTS: [&str; 13] = ["", " ", "ann", "Ann", "ann ", " ann", "\u{e1}nn", "a\u{301}nn", "an", "n", "some", "none", "ann\0"];

    #[test]
    fn two_users_never_share_a_key() {
        let texts = || TEXTS.iter().map(|text| (*text).to_owned());
        let optional = || std::iter::once(None).chain(texts().map(Some));
        let mut users = Vec::new();
        for issuer in texts().take(4) {
            for tenant in optional() {
                users.extend(texts().map(|subject| User { issuer: issuer.clone(), tenant: tenant.clone(), subject, client: None }));
            }
        }
        let digests: BTreeSet<_> = users.iter().map(User::digest).collect();
        assert_eq!(digests.len(), users.len());
        let user = |client| User { issuer: "i".to_owned(), tenant: None, subject: "ann".to_owned(), client };
        let mut keys = BTreeSet::new();
        let mut count = 0;
        for client in optional() {
            for connection in TEXTS {
                for app in TEXTS {
                    let key = user(client.clone()).key(connection, app);
                    assert_eq!((key.user, GrantKey::from_bytes(&key.to_bytes())), (user(None).digest(), key));
                    keys.insert(key);
                    count += 1;
                }
            }
        }
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_user_is_read_as_it_was_written() {
        for tenant in [None, Some(String::new()), Some("t".to_owned())] {
            let user = User { issuer: "i".to_owned(), tenant, subject: "s".to_owned(), client: Some("c".to_owned()) };
            assert_eq!(User::from_value(&user.to_value()), Some(user));
        }
        assert_eq!(User::from_value(&serde_json::json!(["i", null, null, null])), None);
    }
}
