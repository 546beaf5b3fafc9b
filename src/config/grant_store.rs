//! Where grants of users are kept: in the memory of one Envoy, or in etcd, for all that share it.

use super::secret::named_at_once;
use super::{ConfigError, HttpUri, Secret, SecretRef, duration};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use std::time::Duration;

/// Fewest and most grants that memory may have room for.
const GRANTS: std::ops::RangeInclusive<u32> = 64..=65536;
/// Longest time that a grant is used without asking etcd: what was revoked elsewhere is used no longer.
const MAX_REMEMBERED: Duration = Duration::from_secs(30);
/// Longest beginning of a key.
const MAX_PREFIX_BYTES: usize = 256;

/// Where grants of users are kept, sealed.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantStore {
    /// In the memory of this Envoy, for all its workers. A restart loses them, and another Envoy does not know them: for one Envoy, and for
    /// trying things out.
    Memory(MemoryStore),
    /// In etcd (API v3), which several Envoys share and which outlives them.
    Etcd(EtcdStore),
}

/// Grants in the memory of one Envoy.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct MemoryStore {
    /// For how many grants there is room, 64 to 65536; at most four times as many are kept. When there is no room, no user can
    /// agree until a grant ends. A change of this number forgets all of them.
    #[serde(default = "MemoryStore::default_grants")]
    #[cfg_attr(feature = "schema", schemars(range(min = 64, max = 65536)))]
    pub grants: u32,
}

/// Grants in etcd.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct EtcdStore {
    /// Scheme, host and port of etcd's clients, `https://` or `http://`, without a path.
    pub uri: HttpUri,
    /// The Envoy cluster that it is asked through, with all members of etcd. TLS and its CA are the cluster's `transport_socket`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cluster: String,
    /// Longest wait for one answer, at least `0.01s`.
    #[serde(default = "EtcdStore::default_timeout", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "2s")))]
    pub timeout: Duration,
    /// What every key begins with: visible ASCII, 1 to 256 characters. Envoys with the same prefix and the same keys share grants.
    #[serde(default = "EtcdStore::default_prefix")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[!-~]{1,256}$")))]
    pub prefix: String,
    /// The user of etcd that asks, where etcd has authentication on. It needs to read and write keys that begin with `prefix`, and no
    /// others.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "none: etcd is asked without authentication")))]
    pub user: Option<String>,
    /// That user's password. Both are given, or neither.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Longest time that a worker uses a grant without asking etcd again, at most `30s`: a grant that was revoked elsewhere works this
    /// long.
    #[serde(default = "EtcdStore::default_remember", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "30s")))]
    pub remember: Duration,
}

impl GrantStore {
    /// For how long a worker believes what it read. Memory costs next to nothing to read, so that little is gained by more.
    #[must_use]
    pub const fn remember(&self) -> Duration {
        match self {
            Self::Memory(_) => Duration::from_secs(1),
            Self::Etcd(etcd) => etcd.remember,
        }
    }

    /// Checks what stands at `at`.
    ///
    /// # Errors
    /// What cannot be, with its place.
    pub fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        match self {
            Self::Memory(memory) if !GRANTS.contains(&memory.grants) => Err(ConfigError::of(at, "memory.grants", "must be 64 to 65536")),
            Self::Memory(_) => Ok(()),
            Self::Etcd(etcd) => etcd.check(&format!("{at}.etcd"), secrets),
        }
    }
}

impl MemoryStore {
    const fn default_grants() -> u32 {
        16384
    }
}

impl EtcdStore {
    fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        if self.uri.path() != "/" {
            return fail("uri", "must end with host and port: etcd's paths are fixed");
        }
        if self.cluster.is_empty() {
            return fail("cluster", "name an Envoy cluster");
        }
        if self.timeout < Duration::from_millis(10) {
            return fail("timeout", "must be at least 0.01s");
        }
        let is_plain = self.prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX_BYTES || !is_plain {
            return fail("prefix", "must be 1 to 256 characters of visible ASCII");
        }
        match (&self.user, &self.password) {
            (Some(user), _) if user.is_empty() => return fail("user", "must not be empty"),
            (Some(_), None) => return fail("password", "is missing: user and password go together"),
            (None, Some(_)) => return fail("user", "is missing: user and password go together"),
            (Some(_), Some(password)) => drop(named_at_once(&format!("{at}.password.secret"), &password.secret, secrets)?),
            (None, None) => {}
        }
        if self.remember > MAX_REMEMBERED {
            return fail("remember", "must be at most 30s");
        }
        Ok(())
    }

    const fn default_timeout() -> Duration {
        Duration::from_secs(2)
    }

    fn default_prefix() -> String {
        "attache/".to_owned()
    }

    const fn default_remember() -> Duration {
        MAX_REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, GrantStore};
    use crate::config::Secret;
    use crate::wire::sorted::SortedMap;
    use serde_json::{Value, json};

    /// What is wrong with this store.
    fn fault(store: Value) -> String {
        let mut secrets = SortedMap::new();
        secrets.insert("etcd_password".to_owned(), Secret::Env("ETCD_PASSWORD".to_owned()));
        match serde_json::from_value::<GrantStore>(store) {
            Ok(store) => store.check("consent.store", &secrets).err().map_or_else(String::new, |error| error.to_string()),
            Err(error) => error.to_string(),
        }
    }

    /// A store in etcd with one member changed, or left out.
    fn etcd(member: &str, value: Value) -> String {
        let mut store =
            json!({"uri": "https://etcd.example:2379", "cluster": "etcd", "user": "attache", "password": {"secret": "etcd_password"}});
        if value.is_null() {
            store.as_object_mut().unwrap().remove(member);
        } else {
            store[member] = value;
        }
        fault(json!({"etcd": store}))
    }

    #[test]
    fn the_smallest_stores_have_defaults() {
        let GrantStore::Memory(memory) = serde_json::from_str(r#"{"memory": {}}"#).unwrap() else { panic!() };
        assert_eq!(memory.grants, 16384);
        let text = r#"{"etcd": {"uri": "http://etcd.example:2379/", "cluster": "etcd"}}"#;
        let GrantStore::Etcd(etcd) = serde_json::from_str(text).unwrap() else { panic!() };
        assert_eq!((etcd.timeout, etcd.prefix.as_str(), etcd.remember), (Duration::from_secs(2), "attache/", Duration::from_secs(30)));
        assert!(etcd.user.is_none() && etcd.password.is_none());
        assert_eq!(fault(serde_json::from_str(text).unwrap()), "");
    }

    #[test]
    fn bounds_are_kept_on_both_sides() {
        for (grants, is_good) in [(63, false), (64, true), (65536, true), (65537, false)] {
            let expected = if is_good { "" } else { "consent.store.memory.grants: must be 64 to 65536" };
            assert_eq!(fault(json!({"memory": {"grants": grants}})), expected);
        }
        for (member, value) in [
            ("timeout", json!("0.01s")),
            ("prefix", json!("~")),
            ("prefix", json!("x".repeat(256))),
            ("remember", json!("0s")),
            ("remember", json!("30s")),
            ("uri", json!("http://[::1]:2379")),
        ] {
            assert_eq!(etcd(member, value.clone()), "", "{member} {value}");
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        for (member, value, expected) in [
            ("uri", json!("https://etcd.example:2379/v3"), "uri: must end with host and port"),
            ("uri", json!("https://etcd.example:2379?x"), "uri: must end with host and port"),
            ("cluster", json!(""), "cluster: name an Envoy cluster"),
            ("timeout", json!("0.009s"), "timeout: must be at least 0.01s"),
            ("prefix", json!(""), "prefix: must be 1 to 256"),
            ("prefix", json!("a b"), "prefix: must be 1 to 256"),
            ("prefix", json!("attaché/"), "prefix: must be 1 to 256"),
            ("prefix", json!("x".repeat(257)), "prefix: must be 1 to 256"),
            ("user", json!(""), "user: must not be empty"),
            ("user", Value::Null, "user: is missing"),
            ("password", Value::Null, "password: is missing"),
            ("password", json!({"secret": "other"}), "password.secret: there is no secret of this name"),
            ("remember", json!("30.1s"), "remember: must be at most 30s"),
        ] {
            let error = etcd(member, value.clone());
            assert!(error.starts_with(&format!("consent.store.etcd.{expected}")), "{member} {value}: {error}");
        }
        for (store, expected) in [
            (json!("memory"), "invalid type"),
            (json!({"redis": {}}), "unknown variant"),
            (json!({"memory": {"slots": 64}}), "unknown field `slots`"),
            (json!({"memory": {"grants": -1}}), "invalid value"),
            (json!({"etcd": {"cluster": "etcd"}}), "missing field `uri`"),
            (json!({"etcd": {"uri": "https://etcd.example"}}), "missing field `cluster`"),
            (json!({"etcd": {"uri": "etcd.example", "cluster": "etcd"}}), "must start with https://"),
            (json!({"etcd": {"uri": "https://etcd.example", "cluster": "etcd", "tls": true}}), "unknown field `tls`"),
        ] {
            let error = fault(store.clone());
            assert!(error.starts_with(expected), "{store}: {error}");
        }
    }
}
