//! Packets on their way out: sinks for what smoltcp makes, and the finishing touch to its headers.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::checksum;
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
fn finish(packet: &mut [u8], next: Option<u32>) -> Sent {
    let v4 = packet[0] >> 4 == 4;
    let header = if v4 { usize::from(packet[0] & 15) * 4 } else { 40 };
    let (source, destination) = if v4 {
        packet[10..12].fill(0);
        let sum = checksum::fold(checksum::sum(&packet[..header]));
        packet[10..12].copy_from_slice(&sum);
        (ipv4(&packet[12..16]), ipv4(&packet[16..20]))
    } else {
        (ipv6(&packet[8..24]), ipv6(&packet[24..40]))
    };
    let tcp = &mut packet[header..];
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let flags = tcp[13];
    if let Some(next) = next.filter(|_| payload == 0 && flags & (SYN | FIN) == 0) {
        tcp[4..8].copy_from_slice(&next.to_be_bytes());
    }
    tcp[16..18].fill(0);
    let sum = checksum::pseudo_header(source, destination, tcp.len()) + checksum::sum(tcp);
    tcp[16..18].copy_from_slice(&checksum::fold(sum));
    let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let flags = tcp[13];
    let length =
        u32::try_from(payload).unwrap_or(0) + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    Sent {
        sequence: word(4),
        end: word(4).wrapping_add(length),
        acknowledgement: word(8),
        flags,
    }
}

fn ipv4(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(bytes);
    Ipv4Addr::from(octets).into()
}

fn ipv6(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    Ipv6Addr::from(octets).into()
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

/// An acknowledgement `from` one end to the other, without checksums.
pub(super) fn bare(
    from: (SocketAddr, SocketAddr),
    sequence: u32,
    acknowledgement: u32,
    window: u16,
) -> Small {
    let mut bytes = [0; Small::CAPACITY];
    let header = match (from.0.ip(), from.1.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes[..10].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
            bytes[12..16].copy_from_slice(&from.octets());
            bytes[16..20].copy_from_slice(&to.octets());
            20
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(a) => Ipv4Addr::to_ipv6_mapped(&a).octets(),
                IpAddr::V6(a) => Ipv6Addr::octets(&a),
            };
            bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 6, 64]);
            bytes[8..24].copy_from_slice(&octets(from));
            bytes[24..40].copy_from_slice(&octets(to));
            40
        }
    };
    let tcp = &mut bytes[header..header + 20];
    tcp[0..2].copy_from_slice(&from.0.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&from.1.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
    tcp[12..14].copy_from_slice(&[5 << 4, ACK]);
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
    Small {
        bytes,
        length: header + 20,
    }
}
