//! The authority of a request, as routers compare it: `host[:port]` (RFC 9110 section 7.2). What two readers could take
//! for two different hosts is no authority here.

use std::borrow::Cow;

/// An authority in lower case, with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    text: Cow<'a, str>,
    /// Length of the host.
    host: usize,
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`. `None` for user information, ports that are no
    /// number, an empty host, and bytes that no host has.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        // Most are a name without port.
        if !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
            return Some(Self { text: Cow::Borrowed(text), host: text.len() });
        }
        let host = port_start(text).unwrap_or(text.len());
        let name = text.get(..host)?;
        let port = text.get(host..)?.strip_prefix(':');
        let is_bracketed = name.starts_with('[');
        let closes = name.len() > 2 && name.ends_with(']') && name.matches(['[', ']']).count() == 2;
        let is_host =
            !name.is_empty() && name.bytes().all(is_host_byte) && if is_bracketed { closes } else { !name.contains(['[', ']', ':']) };
        let lower = || match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
        (is_host && port.is_none_or(is_port)).then(|| Self { text: lower(), host })
    }

    /// All of it, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without the port. A trailing dot stays.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(..self.host).unwrap_or(&self.text)
    }

    /// The digits of its port, if it names one.
    #[must_use]
    pub fn port(&self) -> Option<&str> {
        self.text.get(self.host..)?.strip_prefix(':')
    }

    /// Whether it names a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.host < self.text.len()
    }

    /// The same without dots at the end of the host, if there are some.
    #[must_use]
    pub fn without_dots(&self) -> Option<Authority<'static>> {
        let host = self.host().trim_end_matches('.');
        let port = self.text.get(self.host..)?;
        (host.len() < self.host).then(|| Authority { text: Cow::Owned(format!("{host}{port}")), host: host.len() })
    }
}

/// Where the port of `text` begins, with its colon, if it has one: behind the last colon that is not inside brackets.
#[must_use]
pub fn port_start(text: &str) -> Option<usize> {
    let colon = text.rfind(':')?;
    text.rfind(']').is_none_or(|bracket| bracket < colon).then_some(colon).filter(|_| !text.get(..colon).is_some_and(opens))
}

/// Whether a bracket is open at the end of `text`.
fn opens(text: &str) -> bool {
    text.rfind('[').is_some_and(|open| text.rfind(']').is_none_or(|close| close < open))
}

/// Whether `text` is a port: decimal digits up to 65535.
#[must_use]
pub fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a host may have `byte`: letters, digits, `-`, `.`, `_`, and what addresses in brackets have.
#[must_use]
pub const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']')
}

#[cfg(test)]
mod tests {
    use super::Authority;

    #[test]
    fn host_and_port_are_told_apart() {
        for (text, all, host) in [
            ("Expense.Example.COM:8443", "expense.example.com:8443", "expense.example.com"),
            ("a.test.", "a.test.", "a.test."),
            ("a.test.:80", "a.test.:80", "a.test."),
            ("[::1]", "[::1]", "[::1]"),
            ("[2001:DB8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]"),
            ("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1"),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!((authority.as_str(), authority.host()), (all, host), "{text}");
            assert_eq!(authority.has_port(), all != host, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        for odd in [
            "",
            ":80",
            "user@host",
            "host:",
            "host:80:80",
            "host:+1",
            "host:99999",
            "a b",
            "[::1",
            "::1",
            "[]",
            "[::1]x",
            "[::1]:",
            "a[b]",
            "é",
            "a/b",
            "a%2e",
        ] {
            assert_eq!(Authority::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn dots_at_the_end_are_seen() {
        let without = |text| Authority::parse(text).unwrap().without_dots().map(|authority| authority.as_str().to_owned());
        assert_eq!(without("a.test.:80").as_deref(), Some("a.test:80"));
        assert_eq!(without("a.test..").as_deref(), Some("a.test"));
        assert_eq!(without("a.test:80"), None);
    }
}
