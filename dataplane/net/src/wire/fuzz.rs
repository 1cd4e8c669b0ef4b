//! What the fuzz target and the property tests run on arbitrary bytes.

use super::{
    Address, Deltas, Headers, ICMP, ICMPV6, Parsed, TCP, Tuple, UDP, arp, checksum, echo, error, ethernet,
    ipv6, ndp, parse, parse_packet, quote, reset, rewrite, udp,
};

/// The longest frame that is tried; answers may be longer than the question.
const BUFFER: usize = 4096;

/// Parses `data` as a frame and does to it all that can be done to such a frame, checking what each step promises.
///
/// # Panics
/// Where something in this module does not keep its contract: that is a bug.
pub fn fuzz(data: &[u8]) {
    let data = &data[..data.len().min(BUFFER - 1024)];
    match parse(data) {
        Ok(Parsed::Ip(headers)) => packet(data, &headers),
        Ok(Parsed::Arp(l3)) => {
            if arp::parse_request(data, l3).is_some() {
                let mut frame = data.to_vec();
                let len = arp::reply(&mut frame, l3, [2, 0, 0, 0, 0, 1]);
                assert!(len <= frame.len());
            }
        }
        Ok(_) | Err(_) => {}
    }
}

fn packet(data: &[u8], headers: &Headers) {
    let (l3, l4, end) = (
        usize::from(headers.l3),
        usize::from(headers.l4),
        usize::from(headers.end),
    );
    assert!(
        14 <= l3 && l3 < l4 && l4 <= end && end <= data.len(),
        "{headers:?}"
    );
    if headers.v6 {
        translations::<[u8; 16]>(data, headers);
    } else {
        translations::<[u8; 4]>(data, headers);
    }
    answers(data, headers);
    unwrapped(data, headers);
    let mut untagged = data.to_vec();
    let shorter = ethernet::untag(&mut untagged, l3);
    assert_eq!(untagged[14..untagged.len() - shorter], data[l3..]);
}

/// The packet without its frame, and without extension headers, is the same packet.
fn unwrapped(data: &[u8], headers: &Headers) {
    let l3 = headers.l3;
    let alone = Headers {
        l3: 0,
        l4: headers.l4 - l3,
        end: headers.end - l3,
        ..*headers
    };
    assert_eq!(parse_packet(headers.packet(data)), Ok(Parsed::Ip(alone)));
    if headers.v6 {
        let mut frame = data.to_vec();
        let bare = ipv6::without_extensions(&mut frame, headers);
        assert_eq!(bare.segment(&frame), headers.segment(data));
        let tuple = |frame: &[u8], headers| Tuple::<[u8; 16]>::of(frame, headers);
        assert_eq!(tuple(&frame, &bare), tuple(data, headers));
        let Ok(Parsed::Ip(again)) = parse_packet(bare.packet(&frame)) else {
            panic!("without its extension headers it is no packet")
        };
        assert_eq!(usize::from(again.l4), ipv6::HEADER);
        assert_eq!(again.segment(bare.packet(&frame)), headers.segment(data));
    }
}

/// A buffer with room behind the frame, as the frames of a UMEM have it.
fn buffer(data: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xa5; BUFFER];
    buffer[..data.len()].copy_from_slice(data);
    buffer
}

/// What the frame of an answer must be: something that parses to the end.
fn check(buffer: &[u8], len: usize, protocol: u8) {
    match parse(&buffer[..len]) {
        Ok(Parsed::Ip(headers)) => {
            assert_eq!(usize::from(headers.end), len);
            assert_eq!(headers.protocol, protocol);
            assert!(protocol == ICMP || checksum::transport_of(buffer, &headers) == 0);
        }
        other => panic!("{other:?}"),
    }
}

fn answers(data: &[u8], headers: &Headers) {
    let icmp = if headers.v6 { ICMPV6 } else { ICMP };
    for kind in [
        error::Error::PortUnreachable,
        error::Error::TooBig(1280),
        error::Error::TimeExceeded,
    ] {
        let mut buffer = buffer(data);
        let len = error::answer(&mut buffer, headers, kind).expect("there is room");
        check(&buffer, len, icmp);
    }
    if headers.protocol == TCP {
        let mut buffer = buffer(data);
        if let Some(len) = reset::answer(&mut buffer, headers) {
            check(&buffer, len, TCP);
        }
    }
    if echo::is_request(data, headers) {
        let mut frame = data.to_vec();
        echo::reply(&mut frame, headers);
        assert_eq!(parse(&frame), Ok(Parsed::Ip(*headers)));
    }
    if ndp::parse_solicitation(data, headers).is_some() {
        let mut buffer = buffer(data);
        let len = ndp::advertise(&mut buffer, headers, [2, 0, 0, 0, 0, 1]).expect("there is room");
        check(&buffer, len, ICMPV6);
    }
}

fn translations<A: Address>(data: &[u8], headers: &Headers) {
    if headers.packet(data)[A::HOP_LIMIT] == 0 {
        return;
    }
    let from = Tuple::<A>::of(data, headers);
    // Any bytes of the frame will do for the other tuple.
    let to = Tuple {
        source: A::read(&data[..A::LEN]),
        source_port: from.destination_port ^ 0x5a5a,
        destination_port: from.source_port.wrapping_add(1),
        ..from
    };
    if matches!(headers.protocol, TCP | UDP) {
        let mut frame = data.to_vec();
        let before = checksum::transport_of(data, headers);
        rewrite(&mut frame, headers, &to, Deltas::between(&from, &to));
        let Ok(Parsed::Ip(after)) = parse(&frame) else {
            panic!("rewriting broke the frame")
        };
        assert_eq!(Tuple::<A>::of(&frame, &after), to);
        let unset = headers.protocol == UDP && headers.segment(data)[udp::field::CHECKSUM] == [0, 0];
        assert!(unset || before != 0 || matches!(checksum::transport_of(&frame, &after), 0));
    }
    if let Some(quote) = quote::parse_quote(data, headers) {
        let mut frame = data.to_vec();
        quote::translate(&mut frame, headers, &quote, &to);
        assert!(quote::intact(&frame, headers));
        let Ok(Parsed::Ip(after)) = parse(&frame) else {
            panic!("translation broke the frame")
        };
        assert_eq!(
            Tuple::<A>::of(&frame, &quote::parse_quote(&frame, &after).unwrap().headers),
            to
        );
    }
}
