//! Routers' word that a packet of ours is too large for the next link: path MTU discovery (RFC 1191, RFC 8201).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::checksum;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// Bytes of the ICMP header in front of the quoted packet, in both families.
const HEADER: usize = 8;
/// MTUs that links have (RFC 1191, section 7, and those of today's tunnels), so that few are told apart.
const PLATEAUS: [usize; 16] = [
    1500, 1492, 1480, 1472, 1460, 1450, 1440, 1420, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1006,
];
/// What no honest IPv4 link is below. Whoever says less would have us send many small packets.
const LEAST_V4: usize = 552;
/// RFC 8200, section 5; RFC 8201, section 4 forbids to go below.
const LEAST_V6: usize = 1280;

/// What a router says about a segment of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooBig {
    /// Who sent the segment.
    pub(super) local: SocketAddr,
    /// To whom.
    pub(super) remote: SocketAddr,
    /// Its sequence number.
    pub(super) sequence: u32,
    /// What the next link takes, rounded down to what links have.
    pub(super) mtu: usize,
}

impl TooBig {
    /// Whether a packet is ICMP or ICMPv6, and so none of TCP's.
    pub(super) fn is_icmp(packet: &[u8]) -> bool {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) => packet.get(9) == Some(&ICMP),
            Some(6) => packet.get(6) == Some(&ICMPV6),
            _ => false,
        }
    }

    /// Reads "fragmentation needed" or "packet too big"; `None` for any other message, and for a broken one.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let (message, told, v6) = outer(packet)?;
        let head: &[u8; HEADER] = message.first_chunk()?;
        let mtu = match (v6, head[0], head[1]) {
            (false, 3, 4) => usize::from(u16::from_be_bytes([head[6], head[7]])),
            (true, 2, _) => u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize,
            _ => return None,
        };
        let (segment, source, destination, length) = quoted(&message[HEADER..], v6)?;
        let fixed: &[u8; 8] = segment.first_chunk()?;
        // Before RFC 1191 routers said 0; then it is less than what was sent.
        let mtu = if mtu == 0 { length.saturating_sub(1) } else { mtu };
        (told == source).then_some(Self {
            local: SocketAddr::new(source, u16::from_be_bytes([fixed[0], fixed[1]])),
            remote: SocketAddr::new(destination, u16::from_be_bytes([fixed[2], fixed[3]])),
            sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            mtu: plateau(mtu, if v6 { LEAST_V6 } else { LEAST_V4 }),
        })
    }
}

fn plateau(mtu: usize, least: usize) -> usize {
    let known = PLATEAUS.iter().copied().find(|plateau| *plateau <= mtu);
    known.unwrap_or(least).max(least)
}

/// The ICMP message whose checksum is right, whom it is for, and whether it is ICMPv6.
fn outer(packet: &[u8]) -> Option<(&[u8], IpAddr, bool)> {
    if packet.first()? >> 4 == 4 {
        let fixed: &[u8; 20] = packet.first_chunk()?;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let message = packet.get(usize::from(fixed[0] & 15) * 4..total)?;
        let whole = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff == 0;
        let right = checksum::fold(checksum::sum(message)) == [0, 0];
        return (whole && right).then_some((message, v4(fixed, 16), false));
    }
    let fixed: &[u8; 40] = packet.first_chunk()?;
    let total = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let message = packet.get(40..total)?;
    let length = u32::try_from(message.len()).ok()?.to_be_bytes();
    let pseudo = checksum::sum(&fixed[8..40]) + checksum::sum(&length) + checksum::sum(&[0, ICMPV6]);
    let right = checksum::fold(pseudo + checksum::sum(message)) == [0, 0];
    right.then_some((message, v6(fixed, 24), true))
}

/// The quoted segment, from whom and to whom it was, and how long its packet was.
fn quoted(packet: &[u8], is_v6: bool) -> Option<(&[u8], IpAddr, IpAddr, usize)> {
    if is_v6 {
        let fixed: &[u8; 40] = packet.first_chunk()?;
        let length = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let ours = fixed[0] >> 4 == 6 && fixed[6] == TCP;
        return ours.then_some((&packet[40..], v6(fixed, 8), v6(fixed, 24), length));
    }
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let header = usize::from(fixed[0] & 15) * 4;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let first = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff == 0;
    let ours = fixed[0] >> 4 == 4 && header >= 20 && fixed[9] == TCP && first;
    let segment = packet.get(header..).filter(|_| ours)?;
    Some((segment, v4(fixed, 12), v4(fixed, 16), length))
}

fn v4(header: &[u8; 20], at: usize) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[at..at + 4]);
    Ipv4Addr::from(octets).into()
}

fn v6(header: &[u8; 40], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets).into()
}
