//! What a block may not be, and what it may cost.

use super::{bytes, decode};
use crate::h2::hpack::encoder::integer;
use crate::h2::hpack::{Decoder, NO_TABLE, field};

#[test]
fn what_is_no_block_is_refused() {
    for (hex, why) in [
        ("80", "there is no entry of an index"),
        ("be", "there is no entry of an index"),
        ("ff ff ff ff ff 0f", "an integer is too large"),
        ("ff 80 80 80 80 80 00", "an integer is too large"),
        ("ff 80 80", "the block ends within an integer"),
        ("7f 00 01 61", "there is no entry of an index"),
        ("40", "the block ends within a string"),
        ("40 01", "the block ends within a string"),
        ("40 01 61", "the block ends within a string"),
        ("40 01 61 02 61", "the block ends within a string"),
        ("40 01 61 7f ff ff ff ff 0f 61", "an integer is too large"),
        // Section 4.2 and 6.3.
        ("82 20", "a table's size changes within a block"),
        ("3f e2 1f", "the table is to be larger than it may be"),
        // Section 5.2: zeros, eight ones, EOS and what stands behind it.
        ("00 01 61 81 18", "the padding of a string is none"),
        ("00 01 61 82 1f ff", "the padding of a string is none"),
        ("00 01 61 81 ff", "the padding of a string is none"),
        ("00 01 61 84 ff ff ff ff", "the padding of a string is none"),
        ("00 01 61 86 ff ff ff fc 1f ff", "a string goes on behind its end"),
        (
            "00 01 61 89 ff ff ff fc 1f ff ff ff ff",
            "a string goes on behind its end",
        ),
        ("00 81 fe 01 61", "the padding of a string is none"),
    ] {
        let got = decode(&mut Decoder::new(4_096), &bytes(hex));
        assert_eq!(got.map_err(|error| error.0), Err(why), "{hex}");
    }
}

#[test]
fn what_is_unusual_is_read() {
    for (hex, wanted) in [
        ("", &[][..]),
        ("20 3f e1 1f 82", &[(":method", "GET")]),
        // An integer with zeros in front.
        ("1f 8f 80 80 80 00 00", &[("content-range", "")]),
        ("00 00 00", &[("", "")]),
        ("00 80 80", &[("", "")]),
        ("00 01 61 81 1f", &[("a", "a")]),
    ] {
        let fields = decode(&mut Decoder::new(4_096), &bytes(hex)).unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(fields, wanted, "{hex}");
    }
}

#[test]
fn a_name_may_be_that_of_the_entry_which_goes_for_it() {
    let mut decoder = Decoder::new(100);
    let first = [&b"\x40\x06x-name\x32"[..], &[b'a'; 50]].concat();
    decode(&mut decoder, &first).unwrap();
    assert_eq!(decoder.size(), 88);
    let second = [&b"\x7e\x32"[..], &[b'b'; 50]].concat();
    assert_eq!(
        decode(&mut decoder, &second).unwrap(),
        [("x-name".to_owned(), "b".repeat(50))]
    );
    assert_eq!(
        decode(&mut decoder, b"\xbe").unwrap(),
        [("x-name".to_owned(), "b".repeat(50))]
    );
    // What is larger than the table empties it (section 4.4).
    let third = [&b"\x7e\x46"[..], &[b'c'; 70]].concat();
    assert_eq!(decode(&mut decoder, &third).unwrap()[0].0, "x-name");
    assert_eq!(decoder.size(), 0);
    assert!(decode(&mut decoder, b"\xbe").is_err());
}

#[test]
fn a_block_that_gives_a_thousand_times_its_bytes_takes_no_memory() {
    let mut decoder = Decoder::new(4_096);
    let large = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'a'; 4_000]].concat();
    let mut given = 0;
    decoder.decode(&large, |_, value| given += value.len()).unwrap();
    assert_eq!(given, 4_000);
    decoder
        .decode(&[0xbe; 10_000], |_, value| given += value.len())
        .unwrap();
    assert_eq!(given, 40_004_000);
    assert!(decoder.memory() <= 4_096 + 1_024, "{} bytes", decoder.memory());
}

#[test]
fn memory_is_taken_once_and_used_again() {
    let (mut decoder, mut memory) = (Decoder::new(4_096), Vec::new());
    for number in 0..2_000 {
        let mut block = format!("\x40\x08x-{number:06}\x10{:016}", number * 7).into_bytes();
        // A name from the table, and a coded value.
        block.extend_from_slice(b"\x7e\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff");
        let fields = decode(&mut decoder, &block).unwrap();
        assert_eq!(
            (&*fields[0].0, &*fields[1].0),
            (&*format!("x-{number:06}"), &*fields[0].0)
        );
        assert_eq!(fields[1].1, "www.example.com");
        memory.push(decoder.memory());
    }
    // 4,096 bytes hold some seventy of these fields.
    assert!(memory[100..].iter().all(|now| *now == memory[100]), "{memory:?}");
    assert!(memory[100] < 6_000, "{} bytes", memory[100]);
}

#[test]
fn a_table_of_no_size_holds_no_memory() {
    let mut decoder = Decoder::new(4_096);
    decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
    assert!(decoder.memory() > 0);
    decode(&mut decoder, &[NO_TABLE]).unwrap();
    assert_eq!((decoder.size(), decoder.memory()), (0, 0));
    let mut block = Vec::new();
    integer(NO_TABLE, 5, 4_096, &mut block);
    assert_eq!(block, b"\x3f\xe1\x1f");
    assert_eq!(decode(&mut decoder, &block), Ok(vec![]));
}

#[test]
fn secrets_are_never_indexed_and_names_are_in_lower_case() {
    for (name, value, start) in [
        ("Authorization", "Basic eA==", &b"\x1f\x08\x0a"[..]),
        ("cookie", "a=b", b"\x1f\x11\x03"),
        ("proxy-authorization", "a", b"\x1f\x22\x01"),
        ("Set-Cookie", "a=b", b"\x1f\x28\x03"),
        ("Content-Type", "text/html", b"\x0f\x10\x09"),
        ("X-Frame-Options", "DENY", b"\x00\x0fx-frame-options\x04DENY"),
        (":status", "404", b"\x8d"),
        (":status", "418", b"\x08\x03418"),
        ("accept-encoding", "gzip, deflate", b"\x90"),
        ("accept-encoding", "", b"\x0f\x01\x00"),
        (":path", "/", b"\x84"),
    ] {
        let mut block = Vec::new();
        field(name.as_bytes(), value.as_bytes(), &mut block);
        assert!(block.starts_with(start), "{name}: {block:x?}");
    }
}
