//! TCP resets for segments of connections that do not exist (RFC 9293, 3.10.7.1).

use super::ethernet::swap_link;
use super::{Address, Headers, TCP, Tuple, checksum, ip, put_word, tcp};

/// Turns a TCP segment into the reset that answers it. Gives the reset's length; `None` where the segment is a reset
/// itself, which nothing answers, or the buffer is too short.
///
/// # Panics
/// Where `headers` are of another frame, or not of a TCP segment.
pub fn answer(buffer: &mut [u8], headers: &Headers) -> Option<usize> {
    if headers.tcp_flags & tcp::flag::RST != 0 {
        return None;
    }
    let segment = headers.segment(buffer);
    let sequence = tcp::Fields::answering(tcp::TcpHeader::of(segment).ok()?, segment);
    let len = if headers.v6 {
        write::<[u8; 16]>(buffer, headers, sequence)
    } else {
        write::<[u8; 4]>(buffer, headers, sequence)
    }?;
    swap_link(buffer);
    Some(len)
}

fn write<A: Address>(buffer: &mut [u8], headers: &Headers, fields: tcp::Fields) -> Option<usize> {
    let tuple = Tuple::<A>::of(buffer, headers).reversed();
    let l3 = usize::from(headers.l3);
    let end = l3 + A::HEADER + tcp::HEADER;
    let packet = buffer.get_mut(l3..end)?;
    ip::write(packet, tuple.source, tuple.destination, TCP);
    let segment = &mut packet[A::HEADER..];
    fields.write(segment, tuple.source_port, tuple.destination_port);
    let sum = checksum::transport(&tuple, TCP, segment);
    put_word(segment, tcp::field::CHECKSUM.start, sum);
    Some(end)
}

#[cfg(test)]
mod tests;
