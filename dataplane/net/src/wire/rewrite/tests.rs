use proptest::collection::vec;
use proptest::prelude::*;

use super::super::craft::{Segment, Transport, frame_of};
use super::super::{Parsed, TCP, checksum, parse};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn parsed(frame: &[u8]) -> Headers {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

/// Writes the class of service: what it says of priorities and of congestion (RFC 2474, RFC 3168) is not ours.
fn set_class<A: Address>(frame: &mut [u8], class: u8) {
    if A::V6 {
        frame[14] |= class >> 4;
        frame[15] = class << 4;
    } else {
        frame[15] = class;
        ipv4::fill_checksum(&mut frame[14..34]);
    }
}

/// The incremental update gives what summing everything gives, bit for bit, and the class of service stays.
fn agrees<A: Address>(from: &Tuple<A>, to: &Tuple<A>, (protocol, class): (u8, u8), payload: &[u8]) {
    let transport = if protocol == TCP {
        Transport::Tcp(
            Segment {
                sequence: 1,
                acknowledgement: 2,
                flags: 0x18,
            },
            payload,
        )
    } else {
        Transport::Udp(payload)
    };
    let mut frame = frame_of(MACS, from, transport);
    set_class::<A>(&mut frame, class);
    let headers = parsed(&frame);
    rewrite(&mut frame, &headers, to, Deltas::between(from, to));
    let mut expected = frame_of(MACS, to, transport);
    set_class::<A>(&mut expected, class);
    if A::V6 {
        expected[14 + 7] -= 1;
    } else {
        expected[14 + 8] -= 1;
        expected[24..26].fill(0);
        let sum = checksum::checksum(&expected[14..34]);
        expected[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    assert_eq!(frame, expected);
}

fn tuple<A: Address + Arbitrary>() -> impl Strategy<Value = Tuple<A>> {
    (any::<A>(), any::<A>(), any::<u16>(), any::<u16>()).prop_map(|(source, destination, a, b)| Tuple {
        source,
        destination,
        source_port: a,
        destination_port: b,
    })
}

proptest! {
    #[test]
    fn incremental_is_full_v4(
        from in tuple::<[u8; 4]>(), to in tuple::<[u8; 4]>(), tcp in any::<bool>(), class in any::<u8>(), payload in vec(any::<u8>(), 0..40),
    ) {
        agrees(&from, &to, (if tcp { TCP } else { UDP }, class), &payload);
    }

    #[test]
    fn incremental_is_full_v6(
        from in tuple::<[u8; 16]>(), to in tuple::<[u8; 16]>(), tcp in any::<bool>(), class in any::<u8>(), payload in vec(any::<u8>(), 0..40),
    ) {
        agrees(&from, &to, (if tcp { TCP } else { UDP }, class), &payload);
    }

    /// There and back again leaves the packet as it was, but for the TTL.
    #[test]
    fn reversible(from in tuple::<[u8; 4]>(), to in tuple::<[u8; 4]>(), payload in vec(any::<u8>(), 0..40)) {
        let original = frame_of(MACS, &from, Transport::Udp(&payload));
        let mut frame = original.clone();
        let headers = parsed(&frame);
        rewrite(&mut frame, &headers, &to, Deltas::between(&from, &to));
        rewrite(&mut frame, &headers, &from, Deltas::between(&to, &from));
        prop_assert_eq!(&frame[26..], &original[26..]);
        prop_assert_eq!(checksum::checksum(&frame[14..34]), 0);
    }
}

#[test]
fn no_udp_checksum_stays_none() {
    let from = Tuple {
        source: [192, 0, 2, 1],
        destination: [198, 51, 100, 1],
        source_port: 1,
        destination_port: 2,
    };
    let to = Tuple {
        source: [10, 0, 0, 1],
        destination: [10, 0, 0, 2],
        source_port: 3,
        destination_port: 4,
    };
    let mut frame = frame_of(MACS, &from, Transport::Udp(b"x"));
    frame[40..42].fill(0);
    let headers = parsed(&frame);
    rewrite(&mut frame, &headers, &to, Deltas::between(&from, &to));
    assert_eq!(frame[40..42], [0, 0]);
}

/// A sum that comes out as zero is sent as all ones (RFC 768): zero would mean that there is none.
#[test]
fn udp_checksum_of_zero_is_all_ones() {
    let from = Tuple {
        source: [192, 0, 2, 1],
        destination: [198, 51, 100, 1],
        source_port: 1,
        destination_port: 2,
    };
    let frame = frame_of(MACS, &from, Transport::Udp(b"xy"));
    let sum = word(&frame, 40);
    // The source port moves by exactly the checksum, which brings it to zero.
    let to = Tuple {
        source_port: 1 + sum,
        ..from
    };
    let mut frame = frame;
    let headers = parsed(&frame);
    rewrite(&mut frame, &headers, &to, Deltas::between(&from, &to));
    assert_eq!(word(&frame, 40), 0xffff);
    assert_eq!(checksum::transport_of(&frame, &headers), 0);
}
