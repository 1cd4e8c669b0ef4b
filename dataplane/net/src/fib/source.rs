//! Which of the host's addresses speaks for it.

use std::net::IpAddr;

use super::snapshot::{DeviceAddress, Snapshot};

/// The best source address for packets that leave by `interface` towards `next_hop`, of the family of `dst`.
///
/// As the kernel does for IPv4 (`inet_select_addr`) and close to RFC 6724, rules 2, 3 and 5: an address of the
/// device whose prefix holds the next hop, then any of the device, then any of the host.
pub(super) fn select(snapshot: &Snapshot, interface: u32, next_hop: IpAddr, dst: IpAddr) -> Option<IpAddr> {
    let usable = |a: &&DeviceAddress| a.global && !a.avoided && a.address.addr().is_ipv4() == dst.is_ipv4();
    let rank = |a: &&DeviceAddress| match a.interface == interface {
        true if a.address.contains(&next_hop) => 0,
        true => 1,
        false => 2,
    };
    // The first of the least.
    snapshot
        .addresses
        .iter()
        .filter(usable)
        .min_by_key(rank)
        .map(|a| a.address.addr())
}
