//! Routers' word that a packet of ours is too large for the next link: path MTU discovery (RFC 1191, RFC 8201).

use std::net::SocketAddr;

use super::sequence::Seq;
use headgate_net::wire::{Headers, ICMP, ICMPV6, TCP, icmp, ip, quote, tcp};

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
    pub(super) sequence: Seq,
    /// What the next link takes, rounded down to what links have.
    pub(super) mtu: usize,
}

impl TooBig {
    /// Whether a packet is ICMP or ICMPv6, and so none of TCP's.
    pub(super) fn is_icmp(headers: &Headers) -> bool {
        matches!(headers.protocol, ICMP | ICMPV6)
    }

    /// Reads "fragmentation needed" or "packet too big"; `None` for any other message, and for a broken one.
    ///
    /// # Panics
    /// Where `headers` are of another frame.
    pub(super) fn of(frame: &[u8], headers: &Headers) -> Option<Self> {
        let mtu = icmp::too_big(headers.segment(frame).first_chunk()?, headers.v6)?;
        let quoted = quote::parse_quote(frame, headers)?.headers;
        let (local, remote) = quoted.addresses(frame);
        // An error goes to whoever sent what it quotes.
        let believable = quoted.protocol == TCP && headers.addresses(frame).1 == local;
        if !believable || !quote::intact(frame, headers) {
            return None;
        }
        let mtu = match usize::try_from(mtu).unwrap_or(usize::MAX) {
            // Before RFC 1191 routers said 0; then it is less than what was sent.
            0 => ip::IpHeader::of(quoted.packet(frame))
                .ok()?
                .total_len()
                .saturating_sub(1),
            mtu => mtu,
        };
        Some(Self {
            local: SocketAddr::new(local, quoted.source_port),
            remote: SocketAddr::new(remote, quoted.destination_port),
            sequence: Seq(tcp::sequence_of(quoted.segment(frame))?),
            mtu: plateau(mtu, if headers.v6 { LEAST_V6 } else { LEAST_V4 }),
        })
    }
}

fn plateau(mtu: usize, least: usize) -> usize {
    let known = PLATEAUS.iter().copied().find(|plateau| *plateau <= mtu);
    known.unwrap_or(least).max(least)
}
