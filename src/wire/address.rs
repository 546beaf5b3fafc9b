//! Hosts of URLs, each in its one plain notation, and what a literal address or a special name leads to (RFC 3986
//! section 3.2.2, RFC 6890 and the IANA special-purpose registries, RFC 6761). The WHATWG URL standard and
//! `inet_aton` read many more notations as addresses (`2130706433`, `0177.0.0.1`, `0x7f.1`, `127.1`): a text that
//! any of them could read as another host is no host here. Nothing is looked up: what a name resolves to is not known.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name in lower case without trailing dot; its last label is no number.
    Name(String),
    /// Four decimal numbers.
    V4(Ipv4Addr),
    /// What stood in brackets.
    V6(Ipv6Addr),
}

/// What a host leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A name like any other, or an address that is reachable from everywhere.
    Public,
    /// A name that only a local network resolves: without a dot, or below `localhost`, `local`, `internal`, …
    LocalName,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`; `fc00::/7` and the old `fec0::/10`.
    Private,
    /// `100.64.0.0/10`, shared between a provider and its customers.
    Shared,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A cloud's metadata or host service, by address or name: it hands out credentials.
    Metadata,
    /// `0.0.0.0/8`, `::`: often this host.
    Unspecified,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// An IPv6 address that carries an IPv4 address: mapped, compatible, 6to4, Teredo, NAT64, ISATAP.
    Embedded,
    /// Set aside for other uses: documentation, benchmarks, the future.
    Reserved,
}

/// Names below which nothing is public.
const LOCAL: [&str; 12] =
    ["localhost", "localdomain", "local", "internal", "intranet", "home.arpa", "lan", "corp", "home", "private", "svc", "in-addr.arpa"];
/// Metadata services by name.
const METADATA_NAMES: [&str; 7] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "metadata.azure.internal",
];
/// Metadata and host services outside `169.254.0.0/16`: Alibaba, Azure, Oracle.
const METADATA_V4: [[u8; 4]; 3] = [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]];

impl Host {
    /// Reads a host as it stands in a URL, an IPv6 address in brackets. Upper case and one trailing dot behind a
    /// name are ordinary; `None` for everything else that has two readings: escapes, other notations of
    /// addresses, zones, empty or overlong labels.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            return inside.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let plain = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        (name.len() <= 253 && name.split('.').all(plain) && !is_number(last)).then_some(Self::Name(name))
    }

    /// What the host leads to, as far as its text tells.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::Name(name) => name_reach(name),
            Self::V4(address) => v4_reach(*address),
            Self::V6(address) => v6_reach(*address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::V4(address) => write!(formatter, "{address}"),
            Self::V6(address) => write!(formatter, "[{address}]"),
        }
    }
}

/// Whether a URL parser takes a host that ends in this label for an IPv4 address (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn name_reach(name: &str) -> Reach {
    let below = |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|head| head.is_empty() || head.ends_with('.'));
    if METADATA_NAMES.contains(&name) {
        Reach::Metadata
    } else if !name.contains('.') || LOCAL.iter().any(below) {
        Reach::LocalName
    } else {
        Reach::Public
    }
}

fn v4_reach(address: Ipv4Addr) -> Reach {
    let octets = address.octets();
    if METADATA_V4.contains(&octets) {
        return Reach::Metadata;
    }
    match octets {
        [0, ..] => Reach::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
        [100, 64..=127, ..] => Reach::Shared,
        [127, ..] => Reach::Loopback,
        [169, 254, 169, 254] | [169, 254, 170, 2 | 23] => Reach::Metadata,
        [169, 254, ..] => Reach::LinkLocal,
        [224..=239, ..] => Reach::Multicast,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => {
            Reach::Reserved
        }
        _ => Reach::Public,
    }
}

fn v6_reach(address: Ipv6Addr) -> Reach {
    match address.segments() {
        // Amazon's services, Google, Oracle, Scaleway.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] | [0xfd00, 0xc1, ..] | [0xfd00, 0x42, ..] => Reach::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // Compatible, mapped (also in its translated form), NAT64 (RFC 6052, RFC 8215), Teredo, 6to4.
        [0, 0, 0, 0, 0 | 0xffff, _, ..] | [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..] => Reach::Embedded,
        // ISATAP (RFC 5214 section 6.1), whatever the prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Reach::Embedded,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xff00..=0xffff, ..] => Reach::Multicast,
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Reserved,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Reach};

    fn reach(text: &str) -> Reach {
        Host::parse(text).unwrap_or_else(|| panic!("{text} is a host")).reach()
    }

    #[test]
    fn a_host_has_one_notation_besides_case_and_a_trailing_dot() {
        for (text, plain) in [
            ("Hooks.Example.COM.", "hooks.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_a.b-c.example", "_a.b-c.example"),
            ("0x7f.example", "0x7f.example"),
            ("8.8.8.8", "8.8.8.8"),
            ("[2606:4700:0:0::1111]", "[2606:4700::1111]"),
        ] {
            assert_eq!(Host::parse(text).map(|host| host.to_string()).as_deref(), Some(plain), "{text}");
        }
    }

    #[test]
    fn what_some_parser_reads_as_another_host_is_no_host() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a.example..",
            "-a.example",
            "a-.example",
            "a b",
            "a%2eb",
            "bücher.example",
            "１２７.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0X7F.1",
            "0x",
            "127.0.0.0x1",
            "127.0.0.1.",
            "127.0.0.1.5",
            "256.0.0.1",
            "1.2.3.4.example.5",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "[::ffff:127.0.0.01]",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        assert_eq!(Host::parse(&format!("{}.example", "a".repeat(64))), None);
        assert_eq!(Host::parse(&["a"; 128].join(".")), None);
    }

    #[test]
    fn the_edges_of_every_block() {
        for (text, expected) in [
            ("9.255.255.255", Reach::Public),
            ("10.0.0.0", Reach::Private),
            ("11.0.0.0", Reach::Public),
            ("100.63.255.255", Reach::Public),
            ("100.64.0.0", Reach::Shared),
            ("100.127.255.255", Reach::Shared),
            ("100.128.0.0", Reach::Public),
            ("100.100.100.200", Reach::Metadata),
            ("168.63.129.16", Reach::Metadata),
            ("169.254.0.1", Reach::LinkLocal),
            ("169.254.169.254", Reach::Metadata),
            ("172.15.255.255", Reach::Public),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.0", Reach::Public),
            ("192.167.255.255", Reach::Public),
            ("192.169.0.0", Reach::Public),
            ("198.17.255.255", Reach::Public),
            ("198.20.0.0", Reach::Public),
            ("223.255.255.255", Reach::Public),
            ("239.255.255.255", Reach::Multicast),
            ("255.255.255.255", Reach::Reserved),
            ("0.0.0.0", Reach::Unspecified),
            ("[::]", Reach::Unspecified),
            ("[::2]", Reach::Embedded),
            ("[::7f00:1]", Reach::Embedded),
            ("[::ffff:8.8.8.8]", Reach::Embedded),
            ("[::ffff:0:127.0.0.1]", Reach::Embedded),
            ("[64:ff9b::8.8.8.8]", Reach::Embedded),
            ("[64:ff9b:1::a00:1]", Reach::Embedded),
            ("[2001:0:4136::1]", Reach::Embedded),
            ("[2002:7f00:1::]", Reach::Embedded),
            ("[2606:4700::5efe:a00:1]", Reach::Embedded),
            ("[2606:4700::200:5efe:a00:1]", Reach::Embedded),
            ("[fd00:ec2::254]", Reach::Metadata),
            ("[fd00:ec3::254]", Reach::Private),
            ("[fec0::1]", Reach::Private),
            ("[febf::1]", Reach::LinkLocal),
            ("[ff02::1]", Reach::Multicast),
            ("[2001:1ff::1]", Reach::Reserved),
            ("[2001:200::1]", Reach::Public),
            ("[2001:db8::1]", Reach::Reserved),
            ("[3fff:fff::1]", Reach::Reserved),
            ("[3ffe::1]", Reach::Public),
            ("[4000::1]", Reach::Reserved),
            ("[100::1]", Reach::Reserved),
            ("[1:2:3:4:5:6:7:8]", Reach::Reserved),
        ] {
            assert_eq!(reach(text), expected, "{text}");
        }
    }

    #[test]
    fn names_that_only_a_local_network_resolves() {
        for text in ["localhost", "a.LOCALHOST.", "redis", "printer.local", "hooks.default.svc", "hooks.svc.cluster.local", "db.internal"] {
            assert_eq!(reach(text), Reach::LocalName, "{text}");
        }
        for text in ["metadata.google.internal", "METADATA", "instance-data.ec2.internal."] {
            assert_eq!(reach(text), Reach::Metadata, "{text}");
        }
        for text in ["hooks.example.com", "notlocalhost.example", "local.example", "metadata.google.internal.example.com"] {
            assert_eq!(reach(text), Reach::Public, "{text}");
        }
    }
}
