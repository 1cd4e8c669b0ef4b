//! The PROXY protocol, versions 1 and 2 (its `proxy-protocol.txt`): what a balancer says of a connection before the
//! client's first byte.

use std::net::{IpAddr, SocketAddr};
use std::str::{FromStr, Split};

#[cfg(test)]
mod tests;

/// What version 1 begins with, and how long its line is at most (section 2.1), in bytes.
const LINE: &[u8] = b"PROXY ";
const LINE_MOST: usize = 107;
/// What version 2 begins with, and how long what stands before its addresses is (section 2.2), in bytes.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
/// What we take of version 2, in bytes: addresses have 216 at most, the rest are notes that nobody here reads. Section 2.2 wants
/// no less than 536.
pub(crate) const MOST: usize = 4_096;

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Client(SocketAddr),
    /// The balancer itself, or somebody of whom it says nothing: the connection's own address counts.
    Nobody,
}

/// What comes is no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAnnounced(pub(crate) &'static str);

/// Reads a header at the start of `bytes`, and how long it is; `None` if it has not ended.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Announced, usize)>, NotAnnounced> {
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    if begins(SIGNATURE) {
        return version_2(bytes);
    }
    if begins(LINE) {
        return version_1(bytes);
    }
    Err(NotAnnounced("there is no header of the PROXY protocol"))
}

fn version_1(bytes: &[u8]) -> Result<Option<(Announced, usize)>, NotAnnounced> {
    let line = &bytes[..bytes.len().min(LINE_MOST)];
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() < LINE_MOST {
            Ok(None)
        } else {
            Err(NotAnnounced("its line has more than 107 bytes"))
        };
    };
    let text = std::str::from_utf8(&line[LINE.len()..end]);
    let mut words = text.map_err(|_| NotAnnounced("its line is no text"))?.split(' ');
    let announced = match words.next() {
        Some("UNKNOWN") => Announced::Nobody,
        Some("TCP4") => Announced::Client(client::<std::net::Ipv4Addr>(words)?),
        Some("TCP6") => Announced::Client(client::<std::net::Ipv6Addr>(words)?),
        _ => {
            return Err(NotAnnounced(
                "it names another protocol than TCP4, TCP6 or UNKNOWN",
            ));
        }
    };
    Ok(Some((announced, end + 2)))
}

/// Source and destination, an address and a port each.
fn client<A: FromStr + Into<IpAddr>>(mut words: Split<'_, char>) -> Result<SocketAddr, NotAnnounced> {
    let address = |word: Option<&str>| word?.parse::<A>().ok().map(Into::<IpAddr>::into);
    let (source, destination) = (address(words.next()), address(words.next()));
    let (from, to) = (port(words.next()), port(words.next()));
    match (source, destination, from, to, words.next()) {
        (Some(source), Some(_), Some(from), Some(_), None) => Ok(socket(source, from)),
        _ => Err(NotAnnounced("its addresses and ports are none")),
    }
}

fn port(word: Option<&str>) -> Option<u16> {
    let word = word?;
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn version_2(bytes: &[u8]) -> Result<Option<(Announced, usize)>, NotAnnounced> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(NotAnnounced("its version or command is unknown")),
    };
    if length > MOST {
        return Err(NotAnnounced("it has more than 4 KiB"));
    }
    let Some(addresses) = bytes.get(FIXED..length) else {
        return Ok(None);
    };
    if is_local {
        return Ok(Some((Announced::Nobody, length)));
    }
    let announced = match family {
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *addresses.first_chunk::<12>().ok_or(SHORT)?;
            let port = u16::from_be_bytes([high, low]);
            Announced::Client(socket([a, b, c, d].into(), port))
        }
        0x21 => {
            let addresses = addresses.first_chunk::<36>().ok_or(SHORT)?;
            let source = *addresses.first_chunk::<16>().ok_or(SHORT)?;
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Announced::Client(socket(source.into(), port))
        }
        // Nothing that is told of, datagrams, or sockets of Unix, of which no client of ours is one.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Announced::Nobody,
        _ => return Err(NotAnnounced("its family of addresses is unknown")),
    };
    Ok(Some((announced, length)))
}

const SHORT: NotAnnounced = NotAnnounced("it is shorter than its addresses");

fn socket(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}
