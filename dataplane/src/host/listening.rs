//! Sockets of the host that a frontend on an address of the host would shadow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use headgate_ring::message::Protocol;

/// A socket that some process listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where; unspecified for any address of the family, and `::` for IPv4 too as a rule.
    pub address: SocketAddr,
}

impl Listening {
    /// Whether packets to `address` would reach this socket.
    #[must_use]
    pub fn takes(&self, protocol: Protocol, address: SocketAddr) -> bool {
        let own = self.address.ip();
        let any = own.is_unspecified() && (own.is_ipv6() || address.is_ipv4());
        self.protocol == protocol && self.address.port() == address.port() && (any || own == address.ip())
    }
}

/// `TCP_LISTEN` and, for UDP, `TCP_CLOSE`: `net/tcp_states.h`.
const TABLES: [(&str, Protocol, u8); 4] = [
    ("tcp", Protocol::Tcp, 0x0a),
    ("tcp6", Protocol::Tcp, 0x0a),
    ("udp", Protocol::Udp, 0x07),
    ("udp6", Protocol::Udp, 0x07),
];

/// All of them in the calling thread's network namespace; none where `/proc` does not tell.
#[must_use]
pub fn listening() -> Vec<Listening> {
    let rows = |(file, protocol, state): &(&str, Protocol, u8)| {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        parse(&text, *protocol, *state)
    };
    TABLES.iter().flat_map(rows).collect()
}

pub(super) fn parse(text: &str, protocol: Protocol, wanted: u8) -> Vec<Listening> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        (state == wanted).then_some(())?;
        Some(Listening {
            protocol,
            address: address(local)?,
        })
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// `0100007F:0016`: the address in words of the machine's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
