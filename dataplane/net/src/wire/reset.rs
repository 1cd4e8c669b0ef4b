//! TCP resets for segments of connections that do not exist (RFC 9293, 3.10.7.1).

use super::link::swap_link;
use super::{Address, Headers, TCP, Tuple, checksum, craft, put_word, tcp_flag};

/// Turns a TCP segment into the reset that answers it. Gives the reset's length; `None` where the segment is a reset
/// itself, which nothing answers, or the buffer is too short.
///
/// # Panics
/// Where `headers` are of another frame, or not of a TCP segment.
pub fn answer(buffer: &mut [u8], headers: &Headers) -> Option<usize> {
    if headers.tcp_flags & tcp_flag::RST != 0 {
        return None;
    }
    let segment = &buffer[usize::from(headers.l4)..usize::from(headers.end)];
    let sequence = craft::Segment::answering(segment);
    let len = if headers.v6 {
        write::<[u8; 16]>(buffer, headers, sequence)
    } else {
        write::<[u8; 4]>(buffer, headers, sequence)
    }?;
    swap_link(buffer);
    Some(len)
}

fn write<A: Address>(buffer: &mut [u8], headers: &Headers, segment: craft::Segment) -> Option<usize> {
    let tuple = Tuple::<A>::of(buffer, headers).reversed();
    let l3 = usize::from(headers.l3);
    let ip_header = craft::ip_header_len::<A>();
    let end = l3 + ip_header + 20;
    let packet = buffer.get_mut(l3..end)?;
    craft::ip_header(packet, tuple.source, tuple.destination, TCP);
    let tcp = &mut packet[ip_header..];
    segment.write(tcp, tuple.source_port, tuple.destination_port);
    let sum = checksum::transport(&tuple, TCP, tcp);
    put_word(tcp, 16, sum);
    Some(end)
}

#[cfg(test)]
mod tests;
