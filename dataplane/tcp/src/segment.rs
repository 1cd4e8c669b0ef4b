//! A TCP segment in its IP packet, checked before anything else looks at it.
//!
//! What [`Segment::parse`] lets through has lengths that agree with each other, right checksums, unicast addresses and
//! non-zero ports, and is no fragment. It never panics, whatever the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::checksum;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

const PROTOCOL_TCP: u8 = 6;

/// A checked segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// The IP packet, cut to the length in its header.
    pub(crate) packet: &'a [u8],
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    /// As in the header, not scaled.
    pub(crate) window: u16,
    /// Bytes of data, `<= packet.len()`.
    pub(crate) payload: usize,
}

/// Why a packet holds no segment for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A header or its lengths lie.
    Header,
    /// A fragment, or IPv6 with extension headers.
    Fragment,
    /// The IPv4 header's or the segment's checksum is wrong.
    Checksum,
    /// Multicast, unspecified, IPv4-mapped or alike.
    Address,
}

impl<'a> Segment<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (packet, header, source, destination) = match bytes.first().map(|b| b >> 4) {
            Some(4) => ipv4(bytes)?,
            Some(6) => ipv6(bytes)?,
            _ => return Err(Malformed::Header),
        };
        let tcp = &packet[header..];
        let (fixed, _) = tcp.split_first_chunk::<20>().ok_or(Malformed::Header)?;
        let offset = usize::from(fixed[12] >> 4) * 4;
        let payload = tcp
            .len()
            .checked_sub(offset)
            .filter(|_| offset >= 20)
            .ok_or(Malformed::Header)?;
        let ports = [
            u16::from_be_bytes([fixed[0], fixed[1]]),
            u16::from_be_bytes([fixed[2], fixed[3]]),
        ];
        if ports.contains(&0) {
            return Err(Malformed::Header);
        }
        if checksum::fold(checksum::pseudo_header(source, destination, tcp.len()) + checksum::sum(tcp))
            != [0, 0]
        {
            return Err(Malformed::Checksum);
        }
        Ok(Self {
            packet,
            source: SocketAddr::new(source, ports[0]),
            destination: SocketAddr::new(destination, ports[1]),
            sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            flags: fixed[13],
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            payload,
        })
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// How much of the sequence space the segment takes: its data, and one each for SYN and FIN.
    pub(crate) fn length(&self) -> u32 {
        let flags = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        u32::try_from(self.payload)
            .unwrap_or(u32::MAX)
            .wrapping_add(flags)
    }
}

type Addressed<'a> = (&'a [u8], usize, IpAddr, IpAddr);

fn ipv4(bytes: &[u8]) -> Result<Addressed<'_>, Malformed> {
    let (fixed, _) = bytes.split_first_chunk::<20>().ok_or(Malformed::Header)?;
    let header = usize::from(fixed[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let packet = bytes
        .get(..total)
        .filter(|p| header >= 20 && p.len() >= header)
        .ok_or(Malformed::Header)?;
    if fixed[9] != PROTOCOL_TCP {
        return Err(Malformed::Header);
    }
    // More-fragments or an offset.
    if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
        return Err(Malformed::Fragment);
    }
    if checksum::fold(checksum::sum(&packet[..header])) != [0, 0] {
        return Err(Malformed::Checksum);
    }
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    let unicast = |a: Ipv4Addr| !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified();
    if !unicast(source) || !unicast(destination) {
        return Err(Malformed::Address);
    }
    Ok((packet, header, source.into(), destination.into()))
}

fn ipv6(bytes: &[u8]) -> Result<Addressed<'_>, Malformed> {
    const HEADER: usize = 40;
    let (fixed, _) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Header)?;
    let total = HEADER + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let packet = bytes.get(..total).ok_or(Malformed::Header)?;
    if fixed[6] != PROTOCOL_TCP {
        return Err(Malformed::Fragment);
    }
    let address = |from: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[from..from + 16]);
        Ipv6Addr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    // An IPv4-mapped address on the wire would pass for the IPv4 connection of the same numbers.
    let unicast = |a: Ipv6Addr| !a.is_multicast() && !a.is_unspecified() && a.to_ipv4_mapped().is_none();
    if !unicast(source) || !unicast(destination) {
        return Err(Malformed::Address);
    }
    Ok((packet, HEADER, source.into(), destination.into()))
}
