//! Addresses of the lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The gateway's own address on the clients' link.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The gateway's own IPv6 address on the clients' link.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1);
/// How many clients there are.
pub const CLIENTS: u8 = 8;
/// How many pods there can be.
pub const PODS: u8 = 16;

/// The client behind a bad line, see `Lab::add_remote`.
pub const REMOTE: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, 0, 0x10)),
);

/// Client `n` of [`CLIENTS`], counted from 0: 192.0.2.10 and up.
///
/// # Panics
///
/// When there is no such client.
#[must_use]
pub fn client(n: u8) -> (IpAddr, IpAddr) {
    assert!(n < CLIENTS, "the lab has {CLIENTS} clients");
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x10 + u16::from(n));
    (Ipv4Addr::new(192, 0, 2, 10 + n).into(), v6.into())
}

/// Pod `n` of [`PODS`], counted from 1: 10.244.1.11 and up.
///
/// # Panics
///
/// When there is no such pod.
#[must_use]
pub fn pod(n: u8) -> (IpAddr, IpAddr) {
    assert!((1..=PODS).contains(&n), "the lab has pods 1 to {PODS}");
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0x10 + u16::from(n));
    (Ipv4Addr::new(10, 244, 1, 10 + n).into(), v6.into())
}

/// Virtual address `n` that clients reach through a route: 198.51.100.10 and up.
#[must_use]
pub const fn vip(n: u8) -> (IpAddr, IpAddr) {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10 + n as u16);
    (IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + n)), IpAddr::V6(v6))
}

/// Virtual address `n` on the clients' own link, found by ARP and NDP: 192.0.2.200 and up.
#[must_use]
pub const fn on_link_vip(n: u8) -> (IpAddr, IpAddr) {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x200 + n as u16);
    (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200 + n)), IpAddr::V6(v6))
}
