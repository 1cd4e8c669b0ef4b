//! Packets on their way out: how a segment is written, and the short answers that wait for room.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use headgate_net::wire::{TCP, ecn, ip, ipv4, ipv6, tcp};

use super::option::OptionBytes;

/// Takes packets out: `emit(length, fill)` hands `fill` a buffer of exactly `length` bytes, or returns `false`.
pub type Emit<'a> = dyn FnMut(usize, &mut dyn FnMut(&mut [u8])) -> bool + 'a;

/// A segment to be written: everything but its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// From where, and to where.
    pub(super) ends: (SocketAddr, SocketAddr),
    pub(super) fields: tcp::Fields,
    /// What routers are told: a value of [`ecn`].
    pub(super) ecn: u8,
    pub(super) options: OptionBytes,
}

impl Header {
    /// Bytes of the packet with `data` bytes of data.
    pub(super) fn packet_len(&self, data: usize) -> usize {
        ip_header_len(self.ends.0) + self.options.header_len() + data
    }

    /// Writes the packet that fills `packet`; `data` writes its data.
    pub(super) fn write(&self, packet: &mut [u8], data: impl FnOnce(&mut [u8])) {
        let (from, to) = self.ends;
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ip::write(packet, from.octets(), to.octets(), TCP),
            (from, to) => ip::write(packet, octets(from), octets(to), TCP),
        }
        if self.ecn != ecn::NOT_ECT {
            ecn::set(packet, self.ecn);
        }
        let segment = &mut packet[ip_header_len(from)..];
        self.fields
            .write_with(segment, from.port(), to.port(), self.options.bytes());
        data(&mut segment[self.options.header_len()..]);
        tcp::fill_checksum(segment, from.ip(), to.ip());
    }
}

/// Bytes of the IP header of packets from this address.
pub(super) const fn ip_header_len(from: SocketAddr) -> usize {
    match from {
        SocketAddr::V4(_) => ipv4::HEADER,
        SocketAddr::V6(_) => ipv6::HEADER,
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => Ipv4Addr::to_ipv6_mapped(&a).octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// Answers to what belongs to no connection, or not yet: resets, SYN-ACKs, the acknowledgements of TIME-WAIT.
#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Header>,
    pub(super) dropped: u64,
}

impl Replies {
    /// More than a batch of segments can ask for.
    const LIMIT: usize = 1024;

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether what can wait may be pushed, and leaves enough room for answers to what arrives.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < Self::LIMIT / 4
    }

    pub(super) fn push(&mut self, header: Header) {
        if self.queue.len() < Self::LIMIT {
            self.queue.push_back(header);
        } else {
            self.dropped += 1;
        }
    }

    /// Hands out what waits; returns how many, and whether all went.
    pub(super) fn emit(&mut self, emit: &mut Emit<'_>) -> (u64, bool) {
        let mut emitted = 0;
        while let Some(header) = self.queue.front() {
            if !emit(header.packet_len(0), &mut |packet| header.write(packet, |_| {})) {
                return (emitted, false);
            }
            emitted += 1;
            self.queue.pop_front();
        }
        (emitted, true)
    }
}
