use proptest::prelude::*;

use super::super::craft::{Segment, Transport, frame_of};
use super::super::error::{self, Error};
use super::super::{Deltas, Parsed, parse, put_word, rewrite};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn headers(frame: &[u8]) -> Headers {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

/// A packet is translated, a router answers the translated one with an error, and the error is translated back: the
/// first sender must find in it the very packet that it sent, but for the TTL.
fn round_trip<A: Address>(sent_as: &Tuple<A>, went_on_as: &Tuple<A>, tcp: bool) {
    let transport = if tcp {
        Transport::Tcp(
            Segment {
                sequence: 9,
                acknowledgement: 8,
                flags: 0x10,
            },
            b"data",
        )
    } else {
        Transport::Udp(b"data")
    };
    let original = frame_of(MACS, sent_as, transport);
    let mut frame = original.clone();
    let h = headers(&frame);
    rewrite(&mut frame, &h, went_on_as, Deltas::between(sent_as, went_on_as));
    frame.resize(1024, 0);
    let len = error::answer(&mut frame, &h, Error::TooBig(1300)).unwrap();
    frame.truncate(len);

    let h = headers(&frame);
    assert!(intact(&frame, &h));
    let quote = parse_quote(&frame, &h).unwrap();
    assert_eq!(Tuple::<A>::of(&frame, &quote.headers), *went_on_as);
    translate(&mut frame, &h, &quote, sent_as);

    let h = headers(&frame);
    assert!(intact(&frame, &h));
    let outer = Tuple::<A>::of(&frame, &h);
    assert_eq!(
        (outer.source, outer.destination),
        (sent_as.destination, sent_as.source)
    );
    let quoted = &frame[usize::from(h.l4) + 8..];
    let mut expected = original[14..].to_vec();
    if A::V6 {
        expected[7] -= 1;
    } else {
        expected[8] -= 1;
        expected[10..12].fill(0);
        let sum = checksum::checksum(&expected[..20]);
        put_word(&mut expected, 10, sum);
    }
    assert_eq!(quoted, expected);
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
    fn v4(before in tuple::<[u8; 4]>(), after in tuple::<[u8; 4]>(), tcp in any::<bool>()) {
        round_trip(&before, &after, tcp);
    }

    #[test]
    fn v6(before in tuple::<[u8; 16]>(), after in tuple::<[u8; 16]>(), tcp in any::<bool>()) {
        round_trip(&before, &after, tcp);
    }
}

#[test]
fn quotes_that_say_too_little() {
    let tuple = Tuple {
        source: [192, 0, 2, 1],
        destination: [198, 51, 100, 1],
        source_port: 1,
        destination_port: 2,
    };
    let mut frame = frame_of(MACS, &tuple, Transport::Udp(b""));
    let h = headers(&frame);
    assert_eq!(parse_quote(&frame, &h), None);
    frame.resize(200, 0);
    let len = error::answer(&mut frame, &h, Error::PortUnreachable).unwrap();
    let h = headers(&frame[..len]);
    assert!(parse_quote(&frame, &h).is_some());
    // Eight bytes of the transport header are the least that RFC 792 promises.
    for end in h.l4 + 8..h.end {
        assert_eq!(parse_quote(&frame, &Headers { end, ..h }), None);
    }
    // A later fragment has no ports.
    frame[usize::from(h.l4) + 8 + 7] = 1;
    assert_eq!(parse_quote(&frame, &h), None);
}
