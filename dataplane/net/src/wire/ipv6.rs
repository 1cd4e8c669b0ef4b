//! The IPv6 header and its extension headers (RFC 8200).

pub use headgate_abi::wire::extension;
pub use headgate_abi::wire::ipv6::{HEADER, VERSION, field};

use extension::Kind;
use headgate_abi::wire::ipv4::version;

use super::{Address, Headers, Malformed, packet_len, put_word, word};

/// A header whose version is right.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Header<'a>(&'a [u8; HEADER]);

impl<'a> Ipv6Header<'a> {
    /// The header at the front of `packet`. Whether the rest of the packet is there is another question.
    ///
    /// # Errors
    /// [`Malformed`], as [`parse`](super::parse) says it.
    #[inline]
    pub fn of(packet: &'a [u8]) -> Result<Self, Malformed> {
        let fixed: &[u8; HEADER] = packet.first_chunk().ok_or(Malformed::Truncated)?;
        if version(fixed[field::VERSION]) != VERSION {
            return Err(Malformed::BadVersion);
        }
        Ok(Self(fixed))
    }

    /// Bytes of the packet, this header included.
    #[inline]
    #[must_use]
    pub fn total_len(self) -> usize {
        HEADER + usize::from(word(self.0, field::PAYLOAD.start))
    }

    /// What follows.
    #[inline]
    #[must_use]
    pub const fn next(self) -> u8 {
        self.0[field::NEXT]
    }

    /// From whom.
    #[inline]
    #[must_use]
    pub fn source(self) -> [u8; 16] {
        Address::read(&self.0[field::SOURCE])
    }

    /// To whom.
    #[inline]
    #[must_use]
    pub fn destination(self) -> [u8; 16] {
        Address::read(&self.0[field::DESTINATION])
    }
}

/// The extension header of a fragment (RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FragmentHeader([u8; extension::LEAST]);

impl FragmentHeader {
    /// What the whole payload begins with.
    pub(super) const fn next(self) -> u8 {
        self.0[extension::field::NEXT]
    }

    /// Where in the whole payload the fragment belongs, in bytes.
    pub(super) fn offset(self) -> u16 {
        word(&self.0, extension::field::STOP.start) & extension::FRAGMENT_OFFSET
    }

    /// Whether other fragments come behind this one.
    pub(super) fn more(self) -> bool {
        word(&self.0, extension::field::STOP.start) & extension::MORE_FRAGMENTS != 0
    }

    /// What fragments of one packet have in common, in two halves.
    pub(super) fn identification(self) -> [u16; 2] {
        let at = extension::field::IDENTIFICATION.start;
        [word(&self.0, at), word(&self.0, at + 2)]
    }
}

/// How a chain of extension headers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// With a header that is none.
    Transport { at: usize, protocol: u8 },
    /// With the header of a fragment at `at`.
    Fragment { at: usize, header: FragmentHeader },
    /// With a routing header that has segments left.
    Routed,
}

/// Walks extension headers to the first header that is none. `packet` ends where its length says, and `at` is within it.
pub(super) fn walk(packet: &[u8], mut at: usize, mut next: u8) -> Result<Chain, Malformed> {
    use extension::field;
    for _ in 0..=extension::MAX {
        let kind = Kind::of(next);
        if !kind.is_extension() {
            return Ok(Chain::Transport { at, protocol: next });
        }
        let head: &[u8; extension::LEAST] = packet[at..].first_chunk().ok_or(Malformed::Truncated)?;
        if kind.stops(word(head, field::STOP.start)) {
            return Ok(match next {
                extension::FRAGMENT => Chain::Fragment {
                    at,
                    header: FragmentHeader(*head),
                },
                _ => Chain::Routed,
            });
        }
        let length = kind.length(head[field::LENGTH]);
        if packet.len() - at < length {
            return Err(Malformed::BadHeaderLength);
        }
        next = head[field::NEXT];
        at += length;
    }
    Err(Malformed::TooManyHeaders)
}

/// Writes the header of a packet that fills `packet`.
///
/// # Panics
/// Where `packet` is shorter than the header or longer than 65,575 bytes.
pub fn write<A: Address>(packet: &mut [u8], source: A, destination: A, next: u8, hop_limit: u8) {
    let payload = packet_len(packet.len() - HEADER);
    let ip = &mut packet[..HEADER];
    ip[..field::SOURCE.start].fill(0);
    ip[field::VERSION] = VERSION << 4;
    put_word(ip, field::PAYLOAD.start, payload);
    ip[field::NEXT] = next;
    ip[field::HOP_LIMIT] = hop_limit;
    source.write(&mut ip[field::SOURCE]);
    destination.write(&mut ip[field::DESTINATION]);
}

/// Takes the extension headers out of a packet whose last destination has been reached (RFC 8200, section 4): its header
/// moves to right before the transport header. Gives the headers as they are then; what was before `l3` stays where it is.
///
/// # Panics
/// Where `headers` are of another frame, or of IPv4.
#[must_use]
pub fn without_extensions(frame: &mut [u8], headers: &Headers) -> Headers {
    let (old, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let l3 = l4 - HEADER;
    if l3 == old {
        return *headers;
    }
    frame.copy_within(old..old + HEADER, l3);
    let ip = &mut frame[l3..usize::from(headers.end)];
    let payload = packet_len(ip.len() - HEADER);
    put_word(ip, field::PAYLOAD.start, payload);
    ip[field::NEXT] = headers.protocol;
    Headers {
        l3: super::headers::offset(l3),
        ..*headers
    }
}
