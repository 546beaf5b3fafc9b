//! Where notifications may go (A2A 1.0 sections 3.1.7 and 13.2). A caller who names a push-notification URL makes
//! the agent send requests there, with the agent's place in the network. So a URL goes on only if every parser reads
//! it the same way and the rule allows what they read.
//!
//! What a proxy cannot see: which address a name resolves to, now or when the agent sends (DNS rebinding); where a
//! redirect leads; what stands behind an allowed host. It says nothing about configurations that an agent has
//! already stored. `docs/push-notifications.md` says what to do about that.

use super::places::{Fact, Facts, MAX_TEXT_BYTES};
use crate::config::{HostPattern, PushRule, PushScheme};
use crate::protocol::Operation;
use crate::protocol::error::A2aError;
use crate::wire::address::{Host, Reach};
use crate::wire::scan::{Kind, Value};
use thiserror::Error;

/// Longer URLs are refused.
pub const MAX_URL_BYTES: usize = 2048;

/// Longer tokens and credentials are refused.
pub const MAX_CREDENTIAL_BYTES: usize = MAX_TEXT_BYTES;

/// The facts that the guard depends on.
pub const FACTS: [Fact; 3] = [Fact::PushConfig, Fact::PushUrl, Fact::PushCredential];

/// Why a push-notification configuration was refused. The text is for the caller and repeats nothing of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushRefusal {
    /// The rule allows no host at all.
    #[error("push notifications are not offered here")]
    NotOffered,
    /// An operation that is about a URL has none where A2A puts it.
    #[error("the push notification URL is missing")]
    Missing,
    /// Over [`MAX_URL_BYTES`].
    #[error("the push notification URL is too long")]
    TooLong,
    /// Something that no URL holds: a space, a control character (plain or escaped), a backslash, a letter outside
    /// ASCII, a `%` that escapes nothing. Parsers strip, replace or escape these, each in its way.
    #[error("the push notification URL holds a character that must be escaped, or that no URL may hold")]
    Character,
    /// Not `scheme://`, a host, and a path that starts with `/`.
    #[error("the push notification URL is not an absolute http or https URL")]
    NotAbsolute,
    /// `http` or `https`, and not allowed.
    #[error("the scheme of the push notification URL is not allowed")]
    Scheme,
    /// `user@`, or what some parser takes for it.
    #[error("the push notification URL holds user information")]
    UserInformation,
    /// `#`.
    #[error("the push notification URL holds a fragment")]
    Fragment,
    /// No number from 1 to 65535 in plain decimal, or not an allowed one.
    #[error("the port of the push notification URL is not allowed")]
    Port,
    /// No name or address, or one in a notation that not every parser reads alike.
    #[error("the host of the push notification URL is neither a name nor an address in its usual notation")]
    Notation,
    /// An address or name that leads elsewhere than to the public network.
    #[error("the host of the push notification URL is not a public one")]
    Address(Reach),
    /// A host that the list does not have.
    #[error("the host of the push notification URL is not one of those allowed")]
    HostNotListed,
    /// A token, scheme or credential with something in it that a header value cannot hold.
    #[error("a push notification credential holds a character that a header cannot carry")]
    CredentialCharacter,
    /// Over [`MAX_CREDENTIAL_BYTES`].
    #[error("a push notification credential is too long")]
    CredentialTooLong,
}

impl PushRefusal {
    /// What A2A calls it.
    #[must_use]
    pub const fn error(self) -> A2aError {
        match self {
            Self::NotOffered => A2aError::PushNotificationNotSupported,
            _ => A2aError::InvalidParams,
        }
    }
}

/// What a push-notification URL says about where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub scheme: PushScheme,
    /// Whereto.
    pub host: Host,
    /// The port, the scheme's own if the URL names none.
    pub port: u16,
}

impl Target {
    /// Reads `url`, as it stands behind JSON's escapes.
    ///
    /// # Errors
    /// The first thing that makes it no URL, or one with two readings.
    pub fn parse(url: &str) -> Result<Self, PushRefusal> {
        if url.len() > MAX_URL_BYTES {
            return Err(PushRefusal::TooLong);
        }
        if !url.bytes().all(is_url_byte) || !url.split('%').skip(1).all(is_harmless_escape) {
            return Err(PushRefusal::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(PushRefusal::NotAbsolute)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => PushScheme::Https,
            "http" => PushScheme::Http,
            _ => return Err(PushRefusal::NotAbsolute),
        };
        if url.contains('#') {
            return Err(PushRefusal::Fragment);
        }
        // The authority ends at the first slash or question mark; old parsers look for its `@` up to the slash.
        let before_path = rest.split('/').next().unwrap_or_default();
        if before_path.contains('@') {
            return Err(PushRefusal::UserInformation);
        }
        let authority = before_path.split('?').next().unwrap_or_default();
        if authority.is_empty() {
            return Err(PushRefusal::NotAbsolute);
        }
        let host_end = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority.get(host_end..).and_then(|tail| tail.find(':')) {
            Some(colon) => authority.split_at(host_end.saturating_add(colon)),
            None => (authority, ""),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => plain_port(digits).ok_or(PushRefusal::Port)?,
            None => scheme.port(),
        };
        Ok(Self { scheme, host: Host::parse(host).ok_or(PushRefusal::Notation)?, port })
    }
}

/// Whether `rule` allows every push-notification configuration that a scan has found. `complete` says that nothing
/// can be added: only then is a missing URL refused.
///
/// # Errors
/// The first reason why not.
pub fn check_found(found: &Facts<'_>, operation: Operation, rule: &PushRule, complete: bool) -> Result<(), PushRefusal> {
    let creates = operation == Operation::CreateTaskPushNotificationConfig;
    let configs = found.count(Fact::PushConfig).max(usize::from(creates));
    if configs > 0 && rule.hosts.is_empty() {
        return Err(PushRefusal::NotOffered);
    }
    for url in found.values(Fact::PushUrl) {
        match url {
            Value { kind: Kind::String, text: Some(url) } => check(url, rule)?,
            Value { kind: Kind::String, text: None } => return Err(PushRefusal::TooLong),
            _ => return Err(PushRefusal::NotAbsolute),
        }
    }
    for credential in found.values(Fact::PushCredential) {
        match credential {
            Value { kind: Kind::String, text: Some(text) } => check_credential(text)?,
            Value { kind: Kind::String, text: None } => return Err(PushRefusal::CredentialTooLong),
            _ => return Err(PushRefusal::CredentialCharacter),
        }
    }
    if complete && found.count(Fact::PushUrl) < configs { Err(PushRefusal::Missing) } else { Ok(()) }
}

/// Whether `rule` lets an agent send notifications to `url`.
///
/// # Errors
/// The first reason why not.
pub fn check(url: &str, rule: &PushRule) -> Result<(), PushRefusal> {
    if rule.hosts.is_empty() {
        return Err(PushRefusal::NotOffered);
    }
    let Target { scheme, host, port } = Target::parse(url)?;
    if !rule.schemes.contains(&scheme) {
        return Err(PushRefusal::Scheme);
    }
    if !rule.has_port(scheme, port) {
        return Err(PushRefusal::Port);
    }
    check_host(&host, rule)
}

/// Whether `rule` lets a notification that leaves go to `host`, and to `port` if it names one; the scheme that it has then. What
/// comes to a proxy in the clear does not say whether it leaves with TLS: without a port it may be any scheme's own.
///
/// # Errors
/// The first reason why not.
pub fn check_authority(host: &str, port: Option<&str>, rule: &PushRule) -> Result<PushScheme, PushRefusal> {
    let port = port.map(|digits| plain_port(digits).ok_or(PushRefusal::Port)).transpose()?;
    let fits = |scheme: &&PushScheme| rule.has_port(**scheme, port.unwrap_or(scheme.port()));
    let scheme = *rule.schemes.iter().find(fits).ok_or(PushRefusal::Port)?;
    check_host(&Host::parse(host).ok_or(PushRefusal::Notation)?, rule)?;
    Ok(scheme)
}

fn check_host(host: &Host, rule: &PushRule) -> Result<(), PushRefusal> {
    let text = host.to_string();
    let named = |pattern: &HostPattern| *pattern != HostPattern::Any && pattern.covers(&text);
    match host.reach() {
        // The operator means a local name that the list has.
        Reach::LocalName if rule.hosts.iter().any(named) => {}
        reach if !rule.reaches(reach) => return Err(PushRefusal::Address(reach)),
        _ => {}
    }
    if rule.hosts.iter().any(|pattern| pattern.covers(&text)) { Ok(()) } else { Err(PushRefusal::HostNotListed) }
}

/// Whether `value`, a `token` or what stands under `authentication`, can be put into a header as it is: visible
/// ASCII and spaces. Letters outside ASCII are refused as well: cut to a byte, `Ċ` is a line feed.
///
/// # Errors
/// Why not.
pub fn check_credential(value: &str) -> Result<(), PushRefusal> {
    if value.len() > MAX_CREDENTIAL_BYTES {
        return Err(PushRefusal::CredentialTooLong);
    }
    if value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) { Ok(()) } else { Err(PushRefusal::CredentialCharacter) }
}

/// What may stand in a URI (RFC 3986 appendix A).
const fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Whether what follows a `%` is two hex digits of anything but a control character.
fn is_harmless_escape(rest: &str) -> bool {
    let digits = rest.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).is_some_and(|code| !code.is_ascii_control())
}

fn plain_port(digits: &str) -> Option<u16> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::{MAX_CREDENTIAL_BYTES, MAX_URL_BYTES, PushRefusal, Target, check, check_authority, check_credential, check_found};
    use crate::config::{PushRule, PushScheme};
    use crate::policy::places::tests::scan;
    use crate::protocol::Operation;
    use crate::protocol::error::A2aError;
    use crate::wire::address::Reach;
    use serde_json::{Value, json};

    fn rule(json: &str) -> PushRule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_url_gives_scheme_host_and_port() {
        let target = Target::parse("HTTP://Hooks.Example.COM.:8080/a?b@c").unwrap();
        assert_eq!((target.scheme, target.host.to_string().as_str(), target.port), (PushScheme::Http, "hooks.example.com", 8080));
        let target = Target::parse("https://[2606:4700::1111]").unwrap();
        assert_eq!((target.scheme, target.host.to_string().as_str(), target.port), (PushScheme::Https, "[2606:4700::1111]", 443));
    }

    #[test]
    fn a_rule_without_hosts_offers_no_notifications() {
        let refusal = check("https://hooks.example.com/", &rule(r#"{"hosts":[]}"#)).unwrap_err();
        assert_eq!((refusal, refusal.error()), (PushRefusal::NotOffered, A2aError::PushNotificationNotSupported));
        assert_eq!(check("https://hooks.example.com/", &PushRule::default()), Ok(()));
        assert_eq!(PushRefusal::HostNotListed.error(), A2aError::InvalidParams);
    }

    #[test]
    fn what_leaves_says_host_and_port() {
        let both = r#"{"schemes":["https","http"]}"#;
        for (host, port, json, expected) in [
            ("hooks.example.com", None, "{}", Ok(PushScheme::Https)),
            ("hooks.example.com", Some("443"), "{}", Ok(PushScheme::Https)),
            ("hooks.example.com", Some("80"), "{}", Err(PushRefusal::Port)),
            ("hooks.example.com", Some("80"), both, Ok(PushScheme::Http)),
            ("hooks.example.com", None, both, Ok(PushScheme::Https)),
            ("hooks.example.com", Some("080"), both, Err(PushRefusal::Port)),
            ("hooks.example.com", None, r#"{"ports":[8443]}"#, Err(PushRefusal::Port)),
            ("hooks.example.com", Some("8443"), r#"{"ports":[8443]}"#, Ok(PushScheme::Https)),
            ("other.example.com", None, r#"{"hosts":["hooks.example.com"]}"#, Err(PushRefusal::HostNotListed)),
            ("169.254.169.254", None, "{}", Err(PushRefusal::Address(Reach::Metadata))),
            ("127.0.0.1", None, "{}", Err(PushRefusal::Address(Reach::Loopback))),
            ("redis", None, "{}", Err(PushRefusal::Address(Reach::LocalName))),
            ("127.1", None, "{}", Err(PushRefusal::Notation)),
        ] {
            assert_eq!(check_authority(host, port, &rule(json)), expected, "{host} {port:?} {json}");
        }
    }

    #[test]
    fn private_addresses_never_open_metadata_services() {
        let private = rule(r#"{"private_addresses":true}"#);
        for url in ["https://10.0.0.7/", "https://[::1]/", "https://100.64.0.1/", "https://redis/"] {
            assert_eq!(check(url, &private), Ok(()), "{url}");
        }
        assert_eq!(check("https://169.254.169.254/", &private), Err(PushRefusal::Address(Reach::Metadata)));
        assert_eq!(check("https://[::ffff:10.0.0.7]/", &private), Err(PushRefusal::Address(Reach::Embedded)));
    }

    #[test]
    fn every_place_is_guarded_and_a_url_that_is_nowhere_is_missing() {
        let ask = |operation, body: &Value| scan(operation, body, |found| check_found(found, operation, &PushRule::default(), true));
        let (send, create) = (Operation::SendStreamingMessage, Operation::CreateTaskPushNotificationConfig);
        type Place = fn(Value) -> Value;
        let places: [(Operation, Place); 9] = [
            (send, |config| json!({"message": {}, "configuration": {"taskPushNotificationConfig": config}})),
            (send, |config| json!({"message": {}, "configuration": {"task_push_notification_config": config}})),
            (send, |config| json!({"message": {}, "configuration": {"pushNotificationConfig": config}})),
            (send, |config| json!({"message": {}, "configuration": {"push_notification": config}})),
            (create, |config| config),
            (create, |config| json!({"taskId": "t", "pushNotificationConfig": config})),
            (create, |config| json!({"name": "tasks/t", "push_notification_config": config})),
            (create, |config| json!({"parent": "tasks/t", "config": {"pushNotificationConfig": config}})),
            (create, |config| json!({"config": config})),
        ];
        for (operation, place) in places {
            for (config, expected) in [
                (
                    json!({"url": "https://hooks.example.com/", "token": "t", "authentication": {"schemes": ["Bearer"], "credentials": "c"}}),
                    Ok(()),
                ),
                (json!({"url": "https://127.0.0.1/"}), Err(PushRefusal::Address(Reach::Loopback))),
                (json!({"url": ["https://hooks.example.com/"]}), Err(PushRefusal::NotAbsolute)),
                (json!({"url": format!("https://hooks.example.com/{}", "a".repeat(9000))}), Err(PushRefusal::TooLong)),
                (json!({"url": "https://hooks.example.com/", "token": "a\r\nb: c"}), Err(PushRefusal::CredentialCharacter)),
                (json!({"url": "https://hooks.example.com/", "authentication": {"scheme": "A\n"}}), Err(PushRefusal::CredentialCharacter)),
                (
                    json!({"url": "https://hooks.example.com/", "authentication": {"schemes": ["A", 1]}}),
                    Err(PushRefusal::CredentialCharacter),
                ),
                (
                    json!({"url": "https://hooks.example.com/", "authentication": {"credentials": "\u{0}"}}),
                    Err(PushRefusal::CredentialCharacter),
                ),
                (json!({"url": "https://hooks.example.com/", "token": "a".repeat(9000)}), Err(PushRefusal::CredentialTooLong)),
                (json!({"token": "t"}), Err(PushRefusal::Missing)),
                (json!({"url": null}), Err(PushRefusal::Missing)),
            ] {
                let body = place(config);
                assert_eq!(ask(operation, &body), expected, "{body}");
            }
        }
        assert_eq!(ask(send, &json!({"message": {}, "configuration": {"pushNotificationConfig": null}})), Ok(()));
        assert_eq!(ask(Operation::GetTask, &json!({"url": "x"})), Ok(()));
        assert_eq!(ask(create, &json!({"push": {"url": "https://hooks.example.com/"}})), Err(PushRefusal::Missing));
        let closed = |body: &Value| scan(send, body, |found| check_found(found, send, &rule(r#"{"hosts":[]}"#), true));
        assert_eq!(closed(&json!({"configuration": {"pushNotification": {}}})), Err(PushRefusal::NotOffered));
        assert_eq!(closed(&json!({"message": {}})), Ok(()));
    }

    #[test]
    fn long_urls_are_refused() {
        let url = |length: usize| format!("https://hooks.example.com/{}", "a".repeat(length - 26));
        assert_eq!(check(&url(MAX_URL_BYTES), &PushRule::default()), Ok(()));
        assert_eq!(check(&url(MAX_URL_BYTES + 1), &PushRule::default()), Err(PushRefusal::TooLong));
    }

    #[test]
    fn credentials_hold_what_a_header_holds() {
        for good in ["", "Bearer", "s3cr3t/+==", "Basic dXNlcjpwYXNz", "a b"] {
            assert_eq!(check_credential(good), Ok(()), "{good:?}");
        }
        for bad in ["a\r\nx-admin: 1", "a\n", "a\r", "a\0", "a\tb", "a\u{7f}", "\u{1b}[2J", "Ċ", "é", "a\u{85}b", "\u{2028}"] {
            assert_eq!(check_credential(bad), Err(PushRefusal::CredentialCharacter), "{bad:?}");
        }
        assert_eq!(check_credential(&"a".repeat(MAX_CREDENTIAL_BYTES)), Ok(()));
        assert_eq!(check_credential(&"a".repeat(MAX_CREDENTIAL_BYTES + 1)), Err(PushRefusal::CredentialTooLong));
    }
}
