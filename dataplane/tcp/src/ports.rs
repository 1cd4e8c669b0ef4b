//! Source ports of the connections that we open.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Hands out ports of a range, for each destination from another place (RFC 6056 section 3.3.3).
#[derive(Debug)]
pub(super) struct Ports {
    range: RangeInclusive<u16>,
    next: u32,
}

impl Ports {
    pub(super) fn new(range: RangeInclusive<u16>, seed: u32) -> Self {
        Self { range, next: seed }
    }

    /// A port for which `free` holds; every port is asked at most once. `offset` is a keyed hash of the destination.
    pub(super) fn take(&mut self, offset: u32, mut free: impl FnMut(u16) -> bool) -> Option<u16> {
        let count = u32::try_from(self.range.len()).ok().filter(|count| *count > 0)?;
        for _ in 0..count {
            let place = self.next.wrapping_add(offset) % count;
            self.next = self.next.wrapping_add(1);
            let port = self.range.start().checked_add(u16::try_from(place).ok()?)?;
            if free(port) {
                return Some(port);
            }
        }
        None
    }
}

/// What the offset is a hash of: the destination and our own address.
pub(super) fn destination(local: std::net::IpAddr, remote: SocketAddr) -> super::key::ConnectionKey {
    super::key::ConnectionKey::new(SocketAddr::new(local, 0), remote)
}
