//! The 5-tuple of a connection, packed for hashing.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// Local and remote address and port. IPv4 addresses stand as IPv4-mapped ones, which the parser does not let through
/// from IPv6 packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionKey {
    local: u128,
    remote: u128,
    ports: u32,
}

impl ConnectionKey {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let bits = |address| match address {
            IpAddr::V4(a) => std::net::Ipv4Addr::to_ipv6_mapped(&a).to_bits(),
            IpAddr::V6(a) => a.to_bits(),
        };
        Self {
            local: bits(local.ip()),
            remote: bits(remote.ip()),
            ports: u32::from(local.port()) << 16 | u32::from(remote.port()),
        }
    }
}

impl Hash for ConnectionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.local);
        state.write_u128(self.remote);
        state.write_u32(self.ports);
    }
}
