use super::super::{Parsed, checksum, parse, put_word};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn solicitation(source: &str, hop_limit: u8) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    let target: Ipv6Addr = "2001:db8:f::10".parse().unwrap();
    let to: Ipv6Addr = "ff02::1:ff00:10".parse().unwrap();
    let mut frame = vec![0; 14 + 40 + 32];
    set_link(&mut frame, [2, 0, 0, 0, 0, 1], [0x33, 0x33, 0xff, 0, 0, 0x10]);
    set_type(&mut frame, ether_type::IPV6);
    ipv6::write(&mut frame[14..], source.octets(), to.octets(), ICMPV6, hop_limit);
    let message = &mut frame[54..];
    message[0] = v6::NEIGHBOUR_SOLICITATION;
    message[8..24].copy_from_slice(&target.octets());
    message[24..32].copy_from_slice(&[1, 1, 2, 0, 0, 0, 0, 1]);
    let tuple = Tuple {
        source: source.octets(),
        destination: to.octets(),
        ..Tuple::default()
    };
    let sum = checksum::transport(&tuple, ICMPV6, message);
    put_word(&mut frame, 56, sum);
    frame
}

fn headers(frame: &[u8]) -> Headers {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn solicited() {
    let mut frame = solicitation("2001:db8:c::10", 255);
    let asked = headers(&frame);
    assert_eq!(
        parse_solicitation(&frame, &asked),
        Some("2001:db8:f::10".parse().unwrap())
    );
    let len = advertise(&mut frame, &asked, MAC).unwrap();
    assert_eq!(len, frame.len());
    let h = headers(&frame);
    assert_eq!(frame[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9]);
    let tuple = Tuple::<[u8; 16]>::of(&frame, &h);
    assert_eq!(
        Ipv6Addr::from(tuple.source),
        "2001:db8:f::10".parse::<Ipv6Addr>().unwrap()
    );
    assert_eq!(
        Ipv6Addr::from(tuple.destination),
        "2001:db8:c::10".parse::<Ipv6Addr>().unwrap()
    );
    assert_eq!(frame[21], 255);
    assert_eq!(
        (frame[54], frame[58]),
        (v6::NEIGHBOUR_ADVERTISEMENT, SOLICITED | OVERRIDE)
    );
    assert_eq!(frame[78..86], [2, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!(checksum::transport_of(&frame, &h), 0);
}

#[test]
fn duplicate_address_detection_is_told_to_all() {
    let mut frame = solicitation("::", 255);
    let asked = headers(&frame);
    advertise(&mut frame, &asked, MAC).unwrap();
    assert_eq!(frame[..6], ALL_NODES_MAC);
    assert_eq!(frame[38..54], ALL_NODES);
    assert_eq!(frame[58], OVERRIDE);
}

/// A solicitation that has crossed a router is forged (RFC 4861, 7.1.1).
#[test]
fn from_afar_or_damaged() {
    let frame = solicitation("2001:db8:c::10", 254);
    assert_eq!(parse_solicitation(&frame, &headers(&frame)), None);
    let mut frame = solicitation("2001:db8:c::10", 255);
    frame[60] ^= 1;
    assert_eq!(parse_solicitation(&frame, &headers(&frame)), None);
}

#[test]
fn announcement_is_well_formed() {
    let frame = announcement(MAC, "2001:db8:f::10".parse().unwrap());
    let h = headers(&frame);
    assert_eq!(checksum::transport_of(&frame, &h), 0);
    assert_eq!(usize::from(h.end), frame.len());
}
