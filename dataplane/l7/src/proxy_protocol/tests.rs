use proptest::prelude::*;

use super::{Announced, NotAnnounced, parse};

fn client(text: &str) -> Announced {
    Announced::Client(text.parse().unwrap())
}

#[rustfmt::skip]
#[test]
fn lines_of_version_1() {
    let longest = "PROXY UNKNOWN ffff:f:f:f:f:f:f:f ffff:f:f:f:f:f:f:f 65535 65535";
    for (line, wanted) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n", Ok(client("192.0.2.1:5"))),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n", Ok(client("[2001:db8::1]:0"))),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", Ok(client("192.0.2.1:1"))),
        ("PROXY UNKNOWN\r\n", Ok(Announced::Nobody)),
        (&format!("{longest}\r\n"), Ok(Announced::Nobody)),
        ("PROXY UNKNOWN whatever comes\r\n", Ok(Announced::Nobody)),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 5 80 x\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 05 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 +5 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 192.0.2.01 198.51.100.2 5 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 5 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4 192.0.2.1  198.51.100.2 5 80\r\n", Err("its addresses and ports are none")),
        ("PROXY TCP4\r\n", Err("its addresses and ports are none")),
        ("PROXY UDP4 192.0.2.1 198.51.100.2 5 80\r\n", Err("it names another protocol than TCP4, TCP6 or UNKNOWN")),
        ("PROXY \r\n", Err("it names another protocol than TCP4, TCP6 or UNKNOWN")),
        ("proxy TCP4 192.0.2.1 198.51.100.2 5 80\r\n", Err("there is no header of the PROXY protocol")),
        ("GET / HTTP/1.1\r\n\r\n", Err("there is no header of the PROXY protocol")),
        ("\x16\x03\x01", Err("there is no header of the PROXY protocol")),
        (&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)), Err("its line has more than 107 bytes")),
    ] {
        let wanted = wanted.map(|announced| Some((announced, line.len()))).map_err(NotAnnounced);
        assert_eq!(parse(line.as_bytes()), wanted, "{line:?}");
        let behind = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(parse(behind.as_bytes()), wanted, "{behind:?}");
    }
}

fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn headers_of_version_2() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0, 5, 0, 80];
    let mut v6 = [0; 36];
    (v6[0], v6[15], v6[33]) = (0x20, 1, 5);
    let with_notes = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    for (bytes, wanted) in [
        (version_2(0x21, 0x11, &v4), Ok(client("192.0.2.1:5"))),
        (version_2(0x21, 0x11, &with_notes), Ok(client("192.0.2.1:5"))),
        (version_2(0x21, 0x21, &v6), Ok(client("[2000::1]:5"))),
        (version_2(0x20, 0x11, &v4), Ok(Announced::Nobody)),
        (version_2(0x20, 0x00, &[]), Ok(Announced::Nobody)),
        (version_2(0x21, 0x00, &[1, 2, 3]), Ok(Announced::Nobody)),
        (version_2(0x21, 0x12, &v4), Ok(Announced::Nobody)),
        (version_2(0x21, 0x31, &[0; 216]), Ok(Announced::Nobody)),
        (
            version_2(0x21, 0x11, &v4[..11]),
            Err("it is shorter than its addresses"),
        ),
        (
            version_2(0x21, 0x21, &v4),
            Err("it is shorter than its addresses"),
        ),
        (
            version_2(0x21, 0x41, &v4),
            Err("its family of addresses is unknown"),
        ),
        (
            version_2(0x22, 0x11, &v4),
            Err("its version or command is unknown"),
        ),
        (
            version_2(0x11, 0x11, &v4),
            Err("its version or command is unknown"),
        ),
        (version_2(0x21, 0x11, &[0; 4_080]), Ok(client("0.0.0.0:0"))),
        (version_2(0x21, 0x11, &[0; 4_081]), Err("it has more than 4 KiB")),
    ] {
        let wanted = wanted
            .map(|announced| Some((announced, bytes.len())))
            .map_err(NotAnnounced);
        assert_eq!(parse(&bytes), wanted, "{bytes:x?}");
    }
}

#[test]
fn a_part_of_one_is_waited_for() {
    for whole in [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n".to_vec(),
        version_2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 2, 0, 5, 0, 80]),
    ] {
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        }
    }
}

proptest! {
    /// Whatever comes, no more is taken than there is, and what more comes does not change what was made of it.
    #[test]
    fn anything_comes_to_something(
        start in prop_oneof![Just(&b""[..]), Just(&b"PROXY "[..]), Just(&b"PROXY TCP4 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..])],
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &rest].concat();
        let whole = parse(&bytes);
        if let Ok(Some((_, length))) = whole {
            prop_assert!(length <= bytes.len());
        }
        for length in 0..bytes.len() {
            let part = parse(&bytes[..length]);
            prop_assert!(part == Ok(None) || part == whole, "{length}");
        }
    }
}
