//! Packets on their way out: sinks for what smoltcp makes, and the finishing touch to its headers.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use headgate_net::wire::{Address, TCP, ip, ipv4, tcp};

use super::device::Sink;
use super::segment::{ACK, FIN, SYN, Segment};

/// Takes packets out: `emit(length, fill)` hands `fill` a buffer of exactly `length` bytes, or returns `false`.
pub type Emit<'a> = dyn FnMut(usize, &mut dyn FnMut(&mut [u8])) -> bool + 'a;

/// What a segment that was sent said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) sequence: u32,
    /// The sequence number after the segment.
    pub(super) end: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
}

/// Fills in the checksums of a packet that smoltcp has written, and reads what it says.
///
/// `next` is the sequence number after all that the connection has ever sent. Once a retransmission timer has fired,
/// smoltcp numbers bare acknowledgements by what it has sent again; the peer drops those as old, and two smoltcps in
/// that state never hear each other again. They carry `next`, as RFC 9293 section 3.10.7.4 has it.
///
/// # Panics
/// Where `packet` is not a whole IP header and a whole TCP header: smoltcp writes both, or nothing.
fn finish(packet: &mut [u8], next: Option<u32>) -> Sent {
    let ip = ip::IpHeader::of(packet).expect("an IP header");
    let (source, destination) = (ip.source(), ip.destination());
    let is_v4 = source.is_ipv4();
    let (header, segment) = packet.split_at_mut(ip.header_len());
    if is_v4 {
        ipv4::fill_checksum(header);
    }
    let tcp = tcp::TcpHeader::of(segment).expect("a TCP header");
    let (payload, flags) = (segment.len() - tcp.header_len(), tcp.flags());
    let acknowledgement = tcp.acknowledgement();
    let sequence = match next {
        Some(next) if payload == 0 && flags & (SYN | FIN) == 0 => next,
        _ => tcp.sequence(),
    };
    tcp::finish(segment, sequence, source, destination);
    Sent {
        sequence,
        end: sequence.wrapping_add(tcp::sequence_len(payload, flags)),
        acknowledgement,
        flags,
    }
}

/// A segment without data: an acknowledgement, a reset, a SYN-ACK.
#[derive(Clone, Copy)]
pub(super) struct Small {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Small {
    /// An IPv6 header and the longest TCP header, 100 bytes, fit.
    const CAPACITY: usize = 112;

    /// `None` if `packet` is longer.
    pub(super) fn copy(packet: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::CAPACITY];
        bytes.get_mut(..packet.len())?.copy_from_slice(packet);
        Some(Self {
            bytes,
            length: packet.len(),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Answers that smoltcp gives while it takes a segment in; they wait here for the next [`Emit`].
#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Small>,
    pub(super) dropped: u64,
    pub(super) last: Option<Sent>,
    /// As in [`finish`], of the connection that the next answers are for.
    pub(super) next: Option<u32>,
}

impl Replies {
    /// More than a batch of segments can ask for.
    const LIMIT: usize = 1024;

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, packet: Small) {
        if self.queue.len() < Self::LIMIT {
            self.queue.push_back(packet);
        } else {
            self.dropped += 1;
        }
    }

    /// Hands out what waits; returns how many, and whether all went.
    pub(super) fn emit(&mut self, emit: &mut Emit<'_>) -> (u64, bool) {
        let mut emitted = 0;
        while let Some(packet) = self.queue.front() {
            if !emit(packet.length, &mut |buffer| {
                buffer.copy_from_slice(packet.bytes());
            }) {
                return (emitted, false);
            }
            emitted += 1;
            self.queue.pop_front();
        }
        (emitted, true)
    }
}

impl Sink for Replies {
    fn ready(&self) -> bool {
        true
    }

    fn put(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let mut small = Small {
            bytes: [0; Small::CAPACITY],
            length,
        };
        if length > Small::CAPACITY {
            // smoltcp answers with headers alone; were it otherwise, the packet would be lost like any other.
            fill(&mut vec![0; length]);
            self.dropped += 1;
            return;
        }
        fill(&mut small.bytes[..length]);
        self.last = Some(finish(&mut small.bytes[..length], self.next));
        self.push(small);
    }
}

/// Swallows packets.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn ready(&self) -> bool {
        true
    }

    fn put(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8])) {
        fill(&mut vec![0; length]);
    }
}

/// Hands packets to an [`Emit`] as smoltcp makes them, written straight into the frame. smoltcp takes a packet for
/// sent once it has made it, so one that `emit` refuses is kept in `stash` for the next time.
pub(super) struct Outlet<'a, 'e> {
    pub(super) emit: &'a mut Emit<'e>,
    pub(super) stash: &'a mut Option<Vec<u8>>,
    pub(super) last: Option<Sent>,
    /// As in [`finish`], of the connection that is being served.
    pub(super) next: Option<u32>,
    pub(super) emitted: u64,
}

impl Outlet<'_, '_> {
    /// Hands out what was refused before; returns whether there is room for more.
    pub(super) fn unstash(&mut self) -> bool {
        if let Some(packet) = self.stash.take() {
            if !(self.emit)(packet.len(), &mut |buffer| buffer.copy_from_slice(&packet)) {
                *self.stash = Some(packet);
                return false;
            }
            self.emitted += 1;
        }
        true
    }
}

impl Sink for Outlet<'_, '_> {
    fn ready(&self) -> bool {
        self.stash.is_none()
    }

    fn put(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let mut sent = None;
        (self.emit)(length, &mut |buffer| {
            if buffer.len() == length && sent.is_none() {
                fill(buffer);
                sent = Some(finish(buffer, self.next));
            }
        });
        self.last = Some(sent.unwrap_or_else(|| {
            let mut packet = vec![0; length];
            fill(&mut packet);
            let sent = finish(&mut packet, self.next);
            *self.stash = Some(packet);
            sent
        }));
        self.emitted += u64::from(self.stash.is_none());
    }
}

/// An acknowledgement in answer to `segment`.
pub(super) fn acknowledgement(segment: &Segment<'_>, sequence: u32, acknowledgement: u32) -> Small {
    let mut small = bare(
        (segment.destination, segment.source),
        sequence,
        acknowledgement,
        u16::MAX,
    );
    finish(&mut small.bytes[..small.length], None);
    small
}

/// An acknowledgement `from` one end to the other, without a checksum of TCP.
pub(super) fn bare(
    from: (SocketAddr, SocketAddr),
    sequence: u32,
    acknowledgement: u32,
    window: u16,
) -> Small {
    let mut bytes = [0; Small::CAPACITY];
    let header = match (from.0.ip(), from.1.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ip_header(&mut bytes, from.octets(), to.octets()),
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(a) => Ipv4Addr::to_ipv6_mapped(&a).octets(),
                IpAddr::V6(a) => a.octets(),
            };
            ip_header(&mut bytes, octets(from), octets(to))
        }
    };
    let length = header + tcp::HEADER;
    tcp::Fields {
        sequence,
        acknowledgement,
        flags: ACK,
        window,
    }
    .write(&mut bytes[header..length], from.0.port(), from.1.port());
    Small { bytes, length }
}

/// Writes the header in front of a TCP header without options, and gives its length.
fn ip_header<A: Address>(bytes: &mut [u8], from: A, to: A) -> usize {
    ip::write(&mut bytes[..A::HEADER + tcp::HEADER], from, to, TCP);
    A::HEADER
}
