use super::super::craft::{Segment, Transport, frame};
use super::super::{Parsed, checksum, parse};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const IP: usize = 14;

fn made(v6: bool) -> Vec<u8> {
    let ends = if v6 {
        ["[2001:db8::1]:1000", "[2001:db8::2]:80"]
    } else {
        ["192.0.2.1:1000", "192.0.2.2:80"]
    };
    let [source, destination] = ends.map(|end| end.parse().unwrap());
    frame(
        MACS,
        source,
        destination,
        Transport::Tcp(Segment::default(), b"data"),
    )
}

fn read(frame: &[u8]) -> u8 {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => of(frame, &headers),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_field_stands_where_the_rfcs_say() {
    // RFC 791 and RFC 2474: differentiated services 46, ECT(0).
    let mut frame = made(false);
    frame[IP + 1] = 46 << 2;
    frame[IP + 10..IP + 12].fill(0);
    let sum = checksum::checksum(&frame[IP..IP + 20]);
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(read(&frame), NOT_ECT);
    set(&mut frame[IP..], ECT_0);
    assert_eq!((frame[IP + 1], read(&frame)), (0xba, ECT_0));
    // RFC 8200: version 6, class 0xb8, flow label 0xfabcd.
    let mut frame = made(true);
    frame[IP..IP + 4].copy_from_slice(&[0x6b, 0x8f, 0xab, 0xcd]);
    assert_eq!(read(&frame), NOT_ECT);
    set(&mut frame[IP..], CE);
    assert_eq!(
        (&frame[IP..IP + 4], read(&frame)),
        ([0x6b, 0xbf, 0xab, 0xcd].as_slice(), CE)
    );
}

#[test]
fn every_value_is_written_over_every_other() {
    for v6 in [false, true] {
        let original = made(v6);
        for from in 0..=CE {
            for to in 0..=CE {
                let mut frame = original.clone();
                set(&mut frame[IP..], from);
                set(&mut frame[IP..], to);
                // That it is read at all says that the checksum is right.
                assert_eq!(read(&frame), to);
                set(&mut frame[IP..], NOT_ECT);
                assert_eq!(frame, original, "nothing else is changed");
            }
        }
    }
}
