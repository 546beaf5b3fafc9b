//! The network that a client's address is in, to tell clients apart: a whole IPv4 address, or the first 64 bits of an IPv6
//! address, of which the rest is any client's to choose (RFC 4291 section 2.5.1).

use std::net::{IpAddr, SocketAddr};

/// What is taken for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// An IPv4 address.
    V4(u32),
    /// The first half of an IPv6 address.
    V6(u64),
}

impl Network {
    /// Reads an address with its port, as Envoy's `source.address` has it: `192.0.2.1:5000`, `[2001:db8::1]:5000`. An IPv4
    /// address inside of an IPv6 address (`::ffff:192.0.2.1`) is that IPv4 address. `None` for what is no address, such as the
    /// path of a Unix socket.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let address: SocketAddr = text.parse().ok()?;
        Some(match address.ip().to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // The last shift leaves no more than 64 bits.
            IpAddr::V6(address) => Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_port_makes_no_difference_and_half_an_ipv6_address_neither() {
        let same = |one: &str, other: &str| Network::parse(one).unwrap() == Network::parse(other).unwrap();
        assert!(same("192.0.2.1:1", "192.0.2.1:2") && same("192.0.2.1:1", "[::ffff:192.0.2.1]:9"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:0:0:2]:2"));
        assert!(!same("192.0.2.1:1", "192.0.2.2:1") && !same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
        for other in ["", "192.0.2.1", "/run/envoy.sock", "[::1]", "localhost:80", "internal://x"] {
            assert_eq!(Network::parse(other), None, "{other}");
        }
    }
}
