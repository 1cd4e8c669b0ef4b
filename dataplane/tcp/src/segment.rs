//! A TCP segment, checked before anything else looks at it.
//!
//! What [`Segment::of`] lets through has a right checksum, unicast addresses and non-zero ports.

use std::net::{IpAddr, SocketAddr};

use headgate_net::wire::{Headers, checksum, ecn, tcp};

use crate::option::TcpOptions;
use crate::sequence::Seq;

pub(crate) use headgate_net::wire::tcp::flag::{ACK, CWR, ECE, FIN, PSH, RST, SYN};

/// A checked segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: Seq,
    pub(crate) acknowledgement: Seq,
    pub(crate) flags: u8,
    /// What routers say: a value of [`ecn`].
    pub(crate) ecn: u8,
    /// As in the header, not scaled.
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    /// The data.
    pub(crate) data: &'a [u8],
}

/// Why a packet holds no segment for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A header or its lengths lie.
    Header,
    /// The segment's checksum is wrong.
    Checksum,
    /// Multicast, unspecified, IPv4-mapped or alike.
    Address,
}

impl<'a> Segment<'a> {
    /// The segment whose headers `headers` are.
    ///
    /// # Panics
    /// Where they are of another frame.
    pub(crate) fn of(frame: &'a [u8], headers: &Headers) -> Result<Self, Malformed> {
        let segment = headers.segment(frame);
        let tcp = tcp::TcpHeader::of(segment).map_err(|_| Malformed::Header)?;
        let ports = [tcp.source_port(), tcp.destination_port()];
        if ports.contains(&0) {
            return Err(Malformed::Header);
        }
        let (source, destination) = headers.addresses(frame);
        if !is_unicast(source) || !is_unicast(destination) {
            return Err(Malformed::Address);
        }
        if checksum::transport_of(frame, headers) != 0 {
            return Err(Malformed::Checksum);
        }
        Ok(Self {
            source: SocketAddr::new(source, ports[0]),
            destination: SocketAddr::new(destination, ports[1]),
            sequence: Seq(tcp.sequence()),
            acknowledgement: Seq(tcp.acknowledgement()),
            flags: tcp.flags(),
            ecn: ecn::of(frame, headers),
            window: tcp.window(),
            options: TcpOptions::of(&segment[tcp::HEADER..tcp.header_len()]),
            data: &segment[tcp.header_len()..],
        })
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Opens a connection, and does nothing else: one that closes it too is nobody's honest segment.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// How much of the sequence space the segment takes: its data, and one each for SYN and FIN.
    pub(crate) fn length(&self) -> u32 {
        tcp::sequence_len(self.data.len(), self.flags)
    }
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified(),
        // An IPv4-mapped address on the wire would pass for the IPv4 connection of the same numbers.
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified() && a.to_ipv4_mapped().is_none(),
    }
}
