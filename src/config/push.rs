//! `push_notifications`: where callers may let an agent send notifications. The check itself is
//! `policy::push`.

use super::{ConfigError, HostPattern};
use crate::wire::address::{Host, Reach};
use serde::Deserialize;
use std::num::NonZeroU16;

/// Where notifications may go. Without it: `https` on its own port, at any public host.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct PushRule {
    /// How they are sent: `https`, `http` or both.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub schemes: Vec<PushScheme>,
    /// The hosts that are allowed. `*` stands for public hosts only. An empty list: notifications are not offered.
    #[cfg_attr(feature = "schema", schemars(extend("default" = ["*"], "x-default" = r#"`["*"]`"#)))]
    pub hosts: Vec<HostPattern>,
    /// The ports that are allowed, also when the URL names none.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "the scheme's own (443, 80)")))]
    pub ports: Option<Vec<NonZeroU16>>,
    /// Whether loopback, private and shared (RFC 6598) addresses and local names are hosts like any other. Metadata services, link-local,
    /// multicast, reserved and embedded addresses never are.
    pub private_addresses: bool,
}

/// How notifications are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum PushScheme {
    /// With TLS.
    Https,
    /// In the clear.
    Http,
}

impl PushScheme {
    /// How URLs spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// The port of URLs that name none.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl Default for PushRule {
    fn default() -> Self {
        Self { schemes: vec![PushScheme::Https], hosts: vec![HostPattern::Any], ports: None, private_addresses: false }
    }
}

impl PushRule {
    /// Whether the port is one of those allowed for URLs of `scheme`.
    #[must_use]
    pub fn has_port(&self, scheme: PushScheme, port: u16) -> bool {
        match &self.ports {
            None => port == scheme.port(),
            Some(ports) => ports.iter().any(|allowed| allowed.get() == port),
        }
    }

    /// Whether `reach` is allowed to a host that the list names.
    #[must_use]
    pub const fn reaches(&self, reach: Reach) -> bool {
        match reach {
            Reach::Public => true,
            Reach::Private | Reach::Shared | Reach::Loopback | Reach::LocalName => self.private_addresses,
            Reach::LinkLocal | Reach::Metadata | Reach::Unspecified | Reach::Multicast | Reach::Embedded | Reach::Reserved => false,
        }
    }

    /// Checks the rule at `at` of the configuration.
    ///
    /// # Errors
    /// What could never match, and what would only seem to be allowed.
    pub fn check(&self, at: &str) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: String| Err(ConfigError::of(at, member, &reason));
        if self.schemes.is_empty() {
            return fail("schemes", "name https, http or both".to_owned());
        }
        if self.ports.as_ref().is_some_and(Vec::is_empty) {
            return fail("ports", "name at least one port, or leave it out".to_owned());
        }
        for (index, pattern) in self.hosts.iter().enumerate() {
            let place = format!("hosts[{index}]");
            match pattern {
                HostPattern::Any => {}
                HostPattern::Prefix(_) => return fail(&place, "say how the name ends, not how it begins".to_owned()),
                HostPattern::Suffix(suffix) => {
                    let name = suffix.strip_prefix('.').and_then(Host::parse);
                    if !matches!(name, Some(Host::Name(_))) {
                        return fail(&place, "no name ends so".to_owned());
                    }
                }
                HostPattern::Exact(text) => match Host::parse(text).filter(|host| host.to_string() == *text) {
                    None => {
                        return fail(&place, "a host is a name, four decimal numbers, or an IPv6 address in its shortest form".to_owned());
                    }
                    // Naming a local name allows it.
                    Some(host) if host.reach() == Reach::LocalName || self.reaches(host.reach()) => {}
                    Some(host) if !self.private_addresses && Self { private_addresses: true, ..self.clone() }.reaches(host.reach()) => {
                        return fail(&place, "this address needs private_addresses: true".to_owned());
                    }
                    Some(_) => return fail(&place, "notifications are never sent to this host".to_owned()),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::PushRule;
    use serde_json::{Value, json};

    fn answer(rule: Value) -> String {
        match serde_json::from_value::<PushRule>(rule) {
            Ok(rule) => rule.check("push").map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rules_that_mean_something_are_taken() {
        for rule in [
            json!({}),
            json!({"hosts": []}),
            json!({"hosts": ["hooks.example.com", "*.hooks.example.com", "8.8.8.8", "[2606:4700::1111]", "hooks.default.svc"]}),
            json!({"schemes": ["https", "http"], "ports": [8443], "hosts": ["10.0.0.7", "localhost"], "private_addresses": true}),
        ] {
            assert_eq!(answer(rule.clone()), "ok", "{rule}");
        }
    }

    #[test]
    fn every_refusal_names_its_place() {
        for (rule, expected) in [
            (json!({"schemes": []}), "push.schemes: "),
            (json!({"schemes": ["ftp"]}), "unknown variant `ftp`"),
            (json!({"ports": []}), "push.ports: "),
            (json!({"ports": [0]}), "invalid value: integer `0`"),
            (json!({"host": []}), "unknown field `host`"),
            (json!({"hosts": ["*", "a/b"]}), "a host is a name"),
            (json!({"hosts": ["hooks.*"]}), "push.hosts[0]: say how"),
            (json!({"hosts": ["*hooks.example.com"]}), "push.hosts[0]: no name ends so"),
            (json!({"hosts": ["hooks.example.com:443"]}), "push.hosts[0]: a host is"),
            (json!({"hosts": ["*", "10.0.0.7"]}), "push.hosts[1]: this address needs private_addresses"),
            (json!({"hosts": ["127.1"]}), "push.hosts[0]: a host is"),
            (json!({"hosts": ["[2606:4700:0::1111]"]}), "push.hosts[0]: a host is"),
            (json!({"hosts": ["*.0.0.1"]}), "push.hosts[0]: no name ends so"),
            (json!({"hosts": ["169.254.169.254"], "private_addresses": true}), "push.hosts[0]: notifications are never"),
            (json!({"hosts": ["metadata.google.internal"], "private_addresses": true}), "push.hosts[0]: notifications are never"),
        ] {
            let answer = answer(rule.clone());
            assert!(answer.starts_with(expected), "{rule}: {answer}");
        }
    }
}
