use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// As `arping` sends it, padded to the least frame.
fn request() -> Vec<u8> {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6];
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10]);
    frame.extend_from_slice(&[0, 0, 0, 0, 0, 0, 192, 0, 2, 200]);
    frame.resize(60, 0);
    frame
}

#[test]
fn request_and_reply() {
    let mut frame = request();
    assert_eq!(parse_request(&frame, 14), Some(Ipv4Addr::new(192, 0, 2, 200)));
    let len = reply(&mut frame, 14, MAC);
    assert_eq!(len, 42);
    assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6]);
    assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 2]);
    assert_eq!(frame[22..32], [2, 0, 0, 0, 0, 9, 192, 0, 2, 200]);
    assert_eq!(frame[32..42], [2, 0, 0, 0, 0, 1, 192, 0, 2, 10]);
    assert_eq!(parse_request(&frame, 14), None);
}

#[test]
fn what_is_no_request() {
    for at in 14..22 {
        let mut frame = request();
        frame[at] ^= 0x40;
        assert_eq!(parse_request(&frame, 14), None);
    }
    let mut frame = request();
    frame[22] |= 1;
    assert_eq!(parse_request(&frame, 14), None);
    for len in 0..42 {
        assert_eq!(parse_request(&request()[..len], 14), None);
    }
}

#[test]
fn announcement_is_a_request_for_oneself() {
    let frame = announcement(MAC, Ipv4Addr::new(192, 0, 2, 200));
    assert_eq!(parse_request(&frame, 14), Some(Ipv4Addr::new(192, 0, 2, 200)));
    assert_eq!(frame[28..32], frame[38..42]);
    assert_eq!(frame[..6], [0xff; 6]);
}
